// Runs one machine on real sockets and files: gathers what has happened, takes a turn, executes its commands.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/env/boot.h"
#include "engine/env/machine.h"
#include "server/listeners.h"
#include "server/log_lines.h"

namespace klamm::server {

using MachineFactory = std::function<std::unique_ptr<Machine>(const Boot&)>;

struct DriverOptions {
  Boot boot;
  std::vector<BoundSocket> sockets;  // as boot.listeners
  MachineFactory make;
  const LogLines* log = nullptr;  // outlives the driver
  // Called on the driver's thread. Token 0 with the text "ready": the machine serves.
  std::function<void(uint64_t token, bool last, std::string bytes)> answered;
  int64_t descriptors = 0;         // that the run may use of this process's; 0: all. See `descriptor_share`
  bool abort_on_assertion = true;  // else the run ends with kAsserted: for hosts that share a process with others
};

constexpr int kAsserted = 134;  // as after abort
constexpr int kKilled = 137;    // the code of a run that `kill` ended, as after kill -9

struct DriverEnd {
  int code = 0;
  std::string reason;
};

class Driver final {
 public:
  static constexpr Duration kSpaceInterval = seconds(2);
  static constexpr Duration kLastSends = milliseconds(200);  // for what is on its way out when the machine exits

  explicit Driver(DriverOptions options);
  ~Driver();
  // Boots the machine and runs it to its Exit, or until `kill`. On the calling thread, once. An assertion that fails is
  // printed with the last trace events, and the process aborts, or the machine is touched no more.
  DriverEnd run();
  // From any thread.
  void ask(uint64_t token, std::string verb, std::string bytes);
  // From any thread: ends the run at once, the machine learns nothing.
  void kill();
  // From any thread: a fault, see Network::block.
  void block(uint16_t port, bool on);
  // From any thread: calls `look` on the driver's thread between two turns.
  void inspect(std::function<void(const Machine&)> look);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace klamm::server
