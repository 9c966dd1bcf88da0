// klamm cluster N: a cluster on free ports, until the end of input or SIGTERM.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/child.h"
#include "cli/commands.h"
#include "engine/broker/node.h"
#include "server/clock.h"
#include "server/cluster_plan.h"
#include "server/node_host.h"
#include "server/signals.h"

namespace klamm::cli {
namespace {

using server::PlannedNode;
constexpr Duration kReadyDeadline = seconds(60);

// A node of the plan that runs: in this process, or in one of its own.
struct RunningNode {
  const PlannedNode& plan;
  std::unique_ptr<server::NodeHost> host = nullptr;
  std::unique_ptr<Child> child = nullptr;

  std::string start(bool process, size_t nodes);
  bool wait_ready(Duration at_most) { return host ? host->wait_ready(at_most) : child->wait_ready(at_most); }
  void ask_to_stop() {
    if (host) host->ask_to_stop();
    if (child) child->terminate();
  }
  void stop(Duration at_most) {
    if (host) host->stop(at_most);
    if (child) child->end(at_most);
  }
};

// "" or what is wrong.
std::string RunningNode::start(bool process, size_t nodes) {
  const int log = ::open(plan.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) return plan.log_file + " cannot be written";
  if (process) {
    child = Child::start({"serve", plan.properties_file}, log);
    ::close(log);
    return child ? "" : "no process can be started";
  }
  server::HostOptions o;
  o.boot = server::prepare_boot(plan.properties);
  if (!o.boot.problems.empty()) return o.boot.problems[0];
  o.make = broker::make_node;
  o.log.descriptor = log;  // as long as this process
  o.log.name = "Broker id=" + std::to_string(plan.id);
  o.descriptors = server::descriptor_share(nodes);
  host = std::make_unique<server::NodeHost>(std::move(o));
  return "";
}

std::string description(const server::ClusterPlan& plan, const std::vector<RunningNode>& nodes, Duration ready_after) {
  nlohmann::ordered_json out{{"brokers", plan.brokers()}, {"nodes", nlohmann::ordered_json::array()}};
  for (const RunningNode& n : nodes)
    out["nodes"].push_back({{"id", n.plan.id},
                            {"pid", n.child ? n.child->pid() : getpid()},
                            {"port", n.plan.port},
                            {"controller_port", n.plan.controller_port},
                            {"dir", n.plan.dir},
                            {"properties", n.plan.properties_file}});
  const int64_t microseconds = ready_after.ns / 1'000;
  out["ready_ms"] = static_cast<double>(microseconds) / 1'000.0;
  return out.dump();
}

void stop_all(std::vector<RunningNode>& nodes) {
  server::exit_at_latest_after(server::NodeHost::kStopDeadline + seconds(1), server::kKilled);
  for (RunningNode& n : nodes) n.ask_to_stop();
  const Instant until = server::monotonic_now() + server::NodeHost::kStopDeadline;
  for (RunningNode& n : nodes) n.stop(std::max(until - server::monotonic_now(), milliseconds(1)));
}

// Starts all; false: one of them cannot serve, and why is said.
bool start_all(std::vector<RunningNode>& nodes, bool processes) {
  for (RunningNode& n : nodes)
    if (std::string why = n.start(processes, nodes.size()); !why.empty()) {
      std::cerr << "klamm cluster: node " << n.plan.id << ": " << why << "\n";
      return false;
    }
  const Instant until = server::monotonic_now() + kReadyDeadline;
  for (RunningNode& n : nodes)
    if (!n.wait_ready(until - server::monotonic_now())) {
      std::cerr << "klamm cluster: node " << n.plan.id << " does not serve; its log says:\n";
      std::cerr << server::load_file(n.plan.log_file, 16 << 20).bytes;
      return false;
    }
  return true;
}

struct ClusterArguments {
  server::ClusterPlan::Options plan;
  bool processes = false;
  bool json = false;
};

int run(const ClusterArguments& a, server::MainWait& wait, Instant started) {
  const server::ClusterPlan plan(a.plan);
  for (const std::string& w : plan.warnings) std::cerr << "klamm cluster: " << w << "\n";
  for (const std::string& p : plan.problems) std::cerr << "klamm cluster: " << p << "\n";
  if (!plan.problems.empty()) return kBadUsage;
  std::vector<RunningNode> nodes;
  for (const PlannedNode& n : plan.nodes) nodes.push_back({n});
  const bool serves = start_all(nodes, a.processes);
  if (serves) {
    const Duration ready_after = server::monotonic_now() - started;
    std::cout << (a.json ? description(plan, nodes, ready_after) : "BROKERS=" + plan.brokers()) << std::endl;
    wait.wait(true, seconds(INT32_MAX));
  }
  stop_all(nodes);
  return serves ? 0 : 1;
}

}  // namespace

int cluster_main(int argc, char** argv) {
  const Instant started = server::monotonic_now();
  ClusterArguments a;
  CLI::App app(
      "Runs a cluster on free ports, prints BROKERS=host:port,... once all nodes serve, and lives until the\n"
      "end of input or SIGTERM.");
  app.name("klamm cluster");
  app.add_option("nodes", a.plan.nodes, "how many nodes; up to three are controllers too")->check(CLI::Range(1, 99));
  app.add_flag("--processes", a.processes, "each node is a process of its own");
  app.add_option("--dir", a.plan.dir, "keep data, logs and properties there");
  app.add_option("--config", a.plan.config, "key=value for every node; {id} is the node's id; repeatable")
      ->allow_extra_args(false);
  app.add_flag("--json", a.json, "print one line of JSON that names every node's process, ports and properties");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kBadUsage;
  }
  server::MainWait wait;
  server::raise_descriptor_limit();
  return run(a, wait, started);
}

}  // namespace klamm::cli
