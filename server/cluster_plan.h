// The nodes of a cluster on this computer: ids, ports, directories and properties, before any of them runs.
#pragma once
#include <string>
#include <vector>

#include "server/listeners.h"
#include "server/properties.h"

namespace klamm::server {

struct PlannedNode {
  int id = 0;
  uint16_t port = 0;
  uint16_t controller_port = 0;  // 0: it is no controller
  std::string dir;               // of its data
  std::string properties_file;   // for `klamm serve`
  std::string log_file;
  Properties properties;
  std::vector<BoundSocket> reserved;  // bound but never listening: nobody else takes its ports while it is down
};

class ClusterPlan final {
 public:
  static constexpr int kMostControllers = 3;

  struct Options {
    int nodes = 3;                    // the first kMostControllers are controllers too
    std::string dir;                  // "": a temporary one, removed with the plan
    std::vector<std::string> config;  // "key=value" for every node; {id} is the node's id
  };
  // Binds the ports and writes the properties files. What went wrong is in `problems`, and then there is no cluster.
  explicit ClusterPlan(const Options& options);
  ~ClusterPlan();
  ClusterPlan(const ClusterPlan&) = delete;

  std::string brokers() const;  // "127.0.0.1:1234,..."

  std::vector<PlannedNode> nodes;
  std::vector<std::string> problems;
  std::vector<std::string> warnings;

 private:
  bool make_root(const Options& options);
  bool reserve(PlannedNode& n, bool controller);
  void configure(PlannedNode& n, const Options& options, const std::string& voters, const std::string& cluster_id);

  std::string root_;
  bool temporary_ = false;
};

}  // namespace klamm::server
