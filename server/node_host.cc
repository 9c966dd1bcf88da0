#include "server/node_host.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>

#include "server/os_chance.h"

namespace klamm::server {
namespace {

std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 && name[0] ? name : "localhost";
}

uint64_t new_incarnation() { return OsChance().name({Stream::incarnation_id, 0, 0}); }

// A process that was killed just now may hold its port for some milliseconds yet.
BoundSocket bind_soon(const ListenAddress& address) {
  constexpr int kTries = 30;
  for (int i = 1;; ++i) {
    BoundSocket s = bind_socket(address);
    if (s.descriptor || !s.taken || i == kTries) return s;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

BoundListener bound_listener(const metadata::BrokerConfig& config, const metadata::Endpoint& e, uint16_t port) {
  BoundListener out{e.listener, e.host, port, e.host, port};
  for (const metadata::Endpoint& a : config.advertised_listeners)
    if (a.listener == e.listener) {
      if (!a.host.empty()) out.advertised_host = a.host;
      if (a.port != 0 && a.port != e.port) out.advertised_port = a.port;
    }
  if (out.advertised_host.empty() || out.advertised_host == "0.0.0.0" || out.advertised_host == "::")
    out.advertised_host = host_name();
  return out;
}

std::filesystem::path whole_path(const std::string& dir) {
  std::filesystem::path path = std::filesystem::absolute(dir).lexically_normal();
  return path.has_filename() ? path : path.parent_path();  // "d/" is "d"
}

// The engine compares the overrides' addresses with those of connections, as text.
void resolve_overrides(const metadata::BrokerConfig& config, NodeBoot& out) {
  constexpr const char* kName = "max.connections.per.ip.overrides";
  std::string text;
  for (const auto& [host, most] : config.max_connections_overrides) {
    const std::string address = numeric_address(host);
    if (address.empty()) out.problems.push_back(std::string(kName) + "=" + host + ": no address is known for it");
    text += (text.empty() ? "" : ",") + address + ":" + std::to_string(most);
  }
  if (!text.empty()) out.boot.properties[kName] = text;
}

// Those of log.dirs, then the metadata's, if it is another.
void list_directories(const metadata::BrokerConfig& config, NodeBoot& out) {
  std::map<std::filesystem::path, std::string> seen;
  for (const std::string& dir : config.log_dirs) {
    const auto [it, fresh] = seen.emplace(whole_path(dir), dir);
    if (fresh)
      out.boot.directories.push_back(dir);
    else
      out.problems.push_back("log.dirs: " + it->second + " and " + dir + " are one directory");
  }
  const auto [it, separate] = seen.emplace(whole_path(config.metadata_log_dir), config.metadata_log_dir);
  if (separate)
    out.boot.directories.push_back(config.metadata_log_dir);
  else if (it->second != config.metadata_log_dir)
    out.boot.properties["metadata.log.dir"] = it->second;  // as it is spelled there
}

}  // namespace

NodeBoot prepare_boot(const metadata::Properties& properties) {
  NodeBoot out;
  metadata::ConfigReport report;
  const metadata::BrokerConfig config = metadata::parse_broker_config(properties, report);
  out.warnings = std::move(report.warnings);
  for (const metadata::ConfigProblem& p : report.errors) out.problems.push_back(p.text());
  if (!out.problems.empty()) return out;
  out.boot.incarnation = new_incarnation();
  out.boot.properties = properties;
  resolve_overrides(config, out);
  list_directories(config, out);
  for (const std::string& dir : out.boot.directories)
    if (make_directories(dir) != IoError::none || access(dir.c_str(), W_OK | X_OK) != 0)
      out.problems.push_back("log.dirs=" + dir + ": the directory cannot be made, or not be written");
  for (const metadata::Endpoint& e : config.listeners) {
    BoundSocket s = bind_soon({e.host, e.port});
    if (!s.descriptor) out.problems.push_back("listeners=" + e.listener + ": " + s.error);
    out.boot.listeners.push_back(bound_listener(config, e, s.address.port));
    out.sockets.push_back(std::move(s));
  }
  return out;
}

Boot client_boot(metadata::Properties properties) {
  Boot boot;
  boot.incarnation = new_incarnation();
  boot.properties = std::move(properties);
  return boot;
}

NodeHost::NodeHost(HostOptions o)
    : boot_(o.boot.boot), log_(o.log), on_ready_(std::move(o.on_ready)), on_ended_(std::move(o.on_ended)) {
  for (const std::string& w : o.boot.warnings) log_.warn("server", w);
  DriverOptions d;
  d.boot = boot_;
  d.sockets = std::move(o.boot.sockets);
  d.make = std::move(o.make);
  d.log = &log_;
  d.answered = [this](uint64_t token, bool last, std::string bytes) { answered(token, last, std::move(bytes)); };
  d.descriptors = o.descriptors;
  d.abort_on_assertion = o.abort_on_assertion;
  driver_ = std::make_unique<Driver>(std::move(d));
  thread_ = std::thread([this] { run(); });
}

void NodeHost::run() {
  const DriverEnd end = driver_->run();
  if (end.code != 0 && end.code != kKilled)
    log_.error("server", "Ended with code " + std::to_string(end.code) + ": " + end.reason);
  {
    const std::lock_guard lock(mutex_);
    end_ = end;
    changed_.notify_all();
  }
  if (on_ended_) on_ended_(end);
}

void NodeHost::answered(uint64_t token, bool last, std::string bytes) {
  if (token == 0) {
    for (const BoundListener& l : boot_.listeners)
      log_.info("server", "Listening on " + l.name + "://" +
                              (l.host.find(':') == l.host.npos ? l.host : "[" + l.host + "]") + ":" +
                              std::to_string(l.port));
    log_.info("server", "Transitioning from RECOVERY to RUNNING");
    log_.info("server", "Kafka Server started");
    {
      const std::lock_guard lock(mutex_);
      ready_ = true;
      changed_.notify_all();
    }
    if (on_ready_) on_ready_();
    return;
  }
  Answer answer;
  {
    const std::lock_guard lock(mutex_);
    const auto at = answers_.find(token);
    if (at == answers_.end()) return;
    answer = at->second;
    if (last) answers_.erase(at);
  }
  answer(last, std::move(bytes));
}

bool NodeHost::wait_ready(Duration at_most) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::nanoseconds(at_most.ns), [this] { return ready_ || end_; });
  return ready_ && !end_;
}

void NodeHost::ask(std::string verb, std::string bytes, Answer answer) {
  uint64_t token = 0;
  {
    const std::lock_guard lock(mutex_);
    token = next_token_++;
    answers_[token] = std::move(answer);
  }
  driver_->ask(token, std::move(verb), std::move(bytes));
}

std::optional<std::string> NodeHost::ask_and_wait(std::string verb, std::string bytes, Duration at_most) {
  struct Waiting {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<std::string> answer;
  };
  const auto w = std::make_shared<Waiting>();
  ask(std::move(verb), std::move(bytes), [w](bool, std::string answer) {
    const std::lock_guard lock(w->mutex);
    w->answer = std::move(answer);
    w->changed.notify_all();
  });
  std::unique_lock lock(w->mutex);
  w->changed.wait_for(lock, std::chrono::nanoseconds(at_most.ns), [&] { return w->answer.has_value(); });
  return w->answer;
}

DriverEnd NodeHost::stop(Duration at_most) {
  ask_to_stop();
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::nanoseconds(at_most.ns), [this] { return end_.has_value(); });
    if (!end_) log_.warn("server", "The node did not stop in time and is ended");
  }
  kill();
  return join();
}

void NodeHost::kill() {
  driver_->kill();
  join();
}

DriverEnd NodeHost::join() {
  if (thread_.joinable()) thread_.join();
  const std::lock_guard lock(mutex_);
  return *end_;
}

}  // namespace klamm::server
