// A node in a thread of its own: boots it from Kafka's properties on real sockets and directories, asks it, stops it.
#pragma once
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/metadata/config.h"
#include "server/driver.h"

namespace klamm::server {

// What a machine is born with on this computer, with its sockets bound. `problems` (a line each): it cannot be born.
struct NodeBoot {
  Boot boot;
  std::vector<BoundSocket> sockets;
  std::vector<std::string> problems;
  std::vector<std::string> warnings;
};
// Listeners are bound in the order of the property `listeners`; directories are `log.dirs`, then `metadata.log.dir` if
// it is none of them.
NodeBoot prepare_boot(const metadata::Properties& properties);
// A boot value without listeners and directories, for hosts of clients.
Boot client_boot(metadata::Properties properties);

struct HostOptions {
  NodeBoot boot;
  MachineFactory make;
  LogLines::Options log;
  std::function<void()> on_ready;                  // on the node's thread
  std::function<void(const DriverEnd&)> on_ended;  // on the node's thread, as its last act
  int64_t descriptors = 0;                         // see DriverOptions
  bool abort_on_assertion = true;                  // see DriverOptions
};

class NodeHost final {
 public:
  using Answer = std::function<void(bool last, std::string bytes)>;
  // For thousands of logs on a slow disk; a node waits less long for one that does nothing.
  static constexpr Duration kStopDeadline = seconds(60);

  explicit NodeHost(HostOptions options);  // starts
  ~NodeHost() { kill(); }
  NodeHost(const NodeHost&) = delete;

  const Boot& boot() const { return boot_; }
  // Port of a listener as bound.
  uint16_t port(size_t listener = 0) const { return boot_.listeners.at(listener).port; }
  // False: not ready within that time, or ended before.
  bool wait_ready(Duration at_most);
  // `answer` is called on the node's thread, perhaps repeatedly.
  void ask(std::string verb, std::string bytes, Answer answer);
  // Waits for the one answer; nothing if it did not come in time.
  std::optional<std::string> ask_and_wait(std::string verb, std::string bytes, Duration at_most);
  void inspect(std::function<void(const Machine&)> look) { driver_->inspect(std::move(look)); }
  void block(uint16_t port, bool on) { driver_->block(port, on); }
  void ask_to_stop() { driver_->ask(0, "stop", ""); }
  // Asks it to stop, and ends it the hard way when the deadline passes. Idempotent.
  DriverEnd stop(Duration at_most = kStopDeadline);
  // Ends it at once, as kill -9 would: it says goodbye to nobody.
  void kill();
  // Waits for its end.
  DriverEnd join();

 private:
  void answered(uint64_t token, bool last, std::string bytes);
  void run();

  const Boot boot_;
  const LogLines log_;
  const std::function<void()> on_ready_;
  const std::function<void(const DriverEnd&)> on_ended_;
  std::mutex mutex_;  // guards all below but the thread
  std::condition_variable changed_;
  std::map<uint64_t, Answer> answers_;
  uint64_t next_token_ = 1;
  bool ready_ = false;
  std::optional<DriverEnd> end_;
  std::unique_ptr<Driver> driver_;
  std::thread thread_;
};

}  // namespace klamm::server
