// The cluster under test: brokers, the first of them controllers too, and hosts of clients, as `klamm cluster` would
// start them.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/base/flaws.h"
#include "sim/world.h"

namespace klamm::sim {

// The product's own machines; see factories.cc.
std::unique_ptr<Machine> make_broker(const Boot& boot);
std::unique_ptr<Machine> make_client(const Boot& boot);

struct ClusterSpec {
  uint32_t brokers = 3;
  uint32_t clients = 3;
  Flaws flaws;
  std::map<std::string, std::string> config;  // goes to every broker; "{id}" in a value is its node id
  uint32_t controllers = 0;                   // the first so many brokers; 0: all
};

// Broker i of [0, brokers) is host i with node id i + 1; the clients follow.
inline int32_t node_of(HostId host) { return static_cast<int32_t>(host) + 1; }
inline HostId host_of(int32_t node) { return static_cast<HostId>(node - 1); }

std::vector<HostSpec> cluster_hosts(const ClusterSpec& spec);

}  // namespace klamm::sim
