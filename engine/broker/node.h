// A Kafka node: broker, controller, or both. The engine's main machine.
#pragma once
#include "engine/broker/parts.h"
#include "engine/env/machine.h"

namespace klamm::broker {

class Node final : public Machine {
 public:
  explicit Node(Boot boot) : parts_(std::move(boot)) {}
  void turn(Ctx& ctx, std::span<const Event> events, Commands& out) override;
  Instant next_deadline() const override;
  std::unique_ptr<Machine> clone() const override { return std::make_unique<Node>(*this); }
  void fields(Visitor& v) const override { parts_.fields(v); }

  // Between turns: the whole state, for people, the simulator's questions and Python.
  const Parts& parts() const { return parts_; }

 private:
  Parts parts_;
};

// What is wrong with the properties that a node would be booted with; errors mean that it must not be.
metadata::ConfigReport check_boot(const Boot& boot);
// The properties must have passed check_boot.
std::unique_ptr<Machine> make_node(const Boot& boot);

}  // namespace klamm::broker
