#include "server/cluster_plan.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "server/os_chance.h"

namespace klamm::server {
namespace {

namespace fs = std::filesystem;

// A kept directory remembers its cluster.
std::string cluster_id_in(const std::string& root) {
  Properties p;
  const std::string file = root + "/node-1.properties";
  if (fs::exists(file)) read_properties(file, p);
  if (p.count("klamm.cluster.id")) return p["klamm.cluster.id"];
  OsChance chance;
  return chance.uuid(Stream::cluster_id, 0, 0).text();
}

}  // namespace

ClusterPlan::ClusterPlan(const Options& options) {
  if (!make_root(options)) return;
  nodes.resize(static_cast<size_t>(options.nodes));
  std::string voters;
  for (size_t i = 0; i < nodes.size(); ++i) {
    PlannedNode& n = nodes[i];
    n.id = static_cast<int>(i) + 1;
    const bool controller = n.id <= kMostControllers;
    if (!reserve(n, controller)) return;
    if (!controller) continue;
    voters.append(voters.empty() ? "" : ",").append(std::to_string(n.id));
    voters.append("@127.0.0.1:").append(std::to_string(n.controller_port));
  }
  const std::string cluster_id = cluster_id_in(root_);
  for (PlannedNode& n : nodes) configure(n, options, voters, cluster_id);
}

ClusterPlan::~ClusterPlan() {
  std::error_code ignored;
  if (temporary_) fs::remove_all(root_, ignored);
}

bool ClusterPlan::make_root(const Options& options) {
  std::error_code error;
  temporary_ = options.dir.empty();
  if (temporary_) {
    std::string pattern = (fs::temp_directory_path() / "klamm-cluster-XXXXXX").string();
    if (mkdtemp(pattern.data())) root_ = pattern;
  } else {
    fs::create_directories(options.dir, error);
    root_ = fs::absolute(options.dir).string();
  }
  if (root_.empty() || error)
    problems.push_back("the directory " + (temporary_ ? "for temporary files" : options.dir) + " cannot be written");
  return problems.empty();
}

bool ClusterPlan::reserve(PlannedNode& n, bool controller) {
  for (int i = 0; i < (controller ? 2 : 1); ++i) {
    n.reserved.push_back(bind_socket({"127.0.0.1", 0}));
    const BoundSocket& s = n.reserved.back();
    if (!s.descriptor) problems.push_back(s.error);
    (i == 0 ? n.port : n.controller_port) = s.address.port;
  }
  return problems.empty();
}

void ClusterPlan::configure(PlannedNode& n, const Options& options, const std::string& voters,
                            const std::string& cluster_id) {
  const std::string id = std::to_string(n.id), at = root_ + "/node-" + id;
  const std::string replicas = std::to_string(std::min(options.nodes, 3));
  const std::string in_sync = std::to_string(std::min(options.nodes, 2));
  n.dir = at;
  n.properties_file = at + ".properties";
  n.log_file = at + ".log";
  std::string listeners = "PLAINTEXT://127.0.0.1:" + std::to_string(n.port);
  if (n.controller_port != 0) listeners += ",CONTROLLER://127.0.0.1:" + std::to_string(n.controller_port);
  n.properties = {{"process.roles", n.controller_port != 0 ? "broker,controller" : "broker"},
                  {"node.id", id},
                  {"listeners", listeners},
                  {"controller.listener.names", "CONTROLLER"},
                  {"controller.quorum.voters", voters},
                  {"log.dirs", n.dir},
                  {"klamm.cluster.id", cluster_id},
                  {"group.initial.rebalance.delay.ms", "0"},
                  {"default.replication.factor", replicas},  // a node may be killed, and nothing is lost or refused
                  {"min.insync.replicas", in_sync},
                  {"offsets.topic.replication.factor", replicas},
                  {"transaction.state.log.replication.factor", replicas},
                  {"transaction.state.log.min.isr", in_sync},
                  {"share.coordinator.state.topic.replication.factor", replicas},
                  {"share.coordinator.state.topic.min.isr", in_sync}};
  if (std::string why = read_assignments(options.config, id, n.properties); !why.empty()) problems.push_back(why);
  metadata::ConfigReport report;
  metadata::parse_broker_config(n.properties, report);
  for (const metadata::ConfigProblem& p : report.errors) problems.push_back(p.text());
  if (n.id == 1) warnings = report.warnings;
  write_properties(n.properties_file, n.properties);
}

std::string ClusterPlan::brokers() const {
  std::string out;
  for (const PlannedNode& n : nodes) out.append(out.empty() ? "" : ",").append("127.0.0.1:" + std::to_string(n.port));
  return out;
}

}  // namespace klamm::server
