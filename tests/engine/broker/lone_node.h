// One node, broker and controller in one, alone on a fake disk: its life from boot to exit.
#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>

#include "engine/broker/node.h"
#include "engine/log/checkpoints.h"
#include "tests/support/fake_storage.h"
#include "tests/support/turns.h"

namespace klamm::broker {

class LoneNode {
 public:
  explicit LoneNode(std::map<std::string, std::string> properties = {}) {
    boot_.listeners = {{"PLAINTEXT", "here", 9092, "here", 9092}, {"CONTROLLER", "here", 9093, "here", 9093}};
    boot_.properties = {{"process.roles", "broker,controller"},
                        {"node.id", "1"},
                        {"controller.quorum.voters", "1@here:9093"},
                        {"controller.listener.names", "CONTROLLER"},
                        {"inter.broker.listener.name", "PLAINTEXT"},
                        {"listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"},
                        {"listeners", "PLAINTEXT://here:9092,CONTROLLER://here:9093"},
                        {"log.dirs", "/data"}};
    for (const auto& [k, v] : properties) boot_.properties[k] = v;
    for (std::string_view dir : metadata::config_list(boot_.properties["log.dirs"]))
      boot_.directories.emplace_back(dir);
    if (boot_.properties["process.roles"] == "broker") boot_.listeners.pop_back();
  }

  // A new life on the same disk, until `ready` or the exit.
  void start() {
    start([] { return false; });
  }
  template<class Done>
  void start(Done done) {
    ++boot_.incarnation;
    exit.reset();
    ready = false;
    node = make_node(boot_);
    turn({});
    run_for(seconds(5), [&] { return ready || done(); });
  }
  void turn(const std::vector<Event>& events) {
    Ctx ctx{world.now, world.wall, world.chance, world.flaws, trace ? *trace : world.trace, world.scratch};
    Commands out;
    node->turn(ctx, events, out);
    ++turns;
    for (const Command& c : out) {
      if (const auto* x = std::get_if<Exit>(&c)) {
        EXPECT_FALSE(exit.has_value());
        exit = *x;
      }
      if (const auto* x = std::get_if<Answered>(&c)) ready = ready || x->bytes.text() == "ready";
      if (on_command) on_command(c);
    }
    disk.submit(out);
    world.now.ns += 1000;
  }
  // Disk first, then time; until `done`, the exit, or for `most`.
  template<class Done>
  void run_for(Duration most, Done done) {
    const Instant end = world.now + most;
    while (!exit && !done() && world.now < end) {
      if (disk.ready() > 0) {
        if (const auto e = disk.step(0))
          turn({locked && is_lock(*e) ? Event(Ended{token_of(*e), IoError::locked}) : *e});
        continue;
      }
      const Instant next = node->next_deadline();
      if (next >= end) {
        world.now = end;
        return;
      }
      if (next > world.now) world.now = next;
      turn({});
    }
  }
  void run_for(Duration most) {
    run_for(most, [] { return false; });
  }
  void stop() {
    turn({Asked{1, "stop", {}}});
    run_for(seconds(2));
  }
  std::string file(const std::string& path) const {
    const auto* bytes = disk.content(path);
    return bytes ? std::string(bytes->begin(), bytes->end()) : "";
  }
  void set_file(const std::string& path, const std::string& text) {
    disk.set_content(path, {text.begin(), text.end()});
  }

  TestWorld world;
  FakeStorage disk;
  std::unique_ptr<Machine> node;
  std::optional<Exit> exit;
  bool ready = false;
  bool locked = false;     // another process holds the directory
  Trace* trace = nullptr;  // null: nobody listens
  std::function<void(const Command&)> on_command;
  uint64_t turns = 0;

 private:
  static Token token_of(const Event& e) { return std::get<Ended>(e).token; }
  bool is_lock(const Event& e) {  // the lock is the first thing that a node asks for
    return std::exchange(first_, false) && std::holds_alternative<Ended>(e);
  }
  Boot boot_;
  bool first_ = true;
};

}  // namespace klamm::broker
