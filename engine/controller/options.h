// What the node's configuration says to the controller.
#pragma once
#include <string>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/ids.h"
#include "engine/base/units.h"
#include "engine/metadata/config.h"

namespace klamm::controller {

struct Options {
  NodeId node;
  std::string cluster_id;
  Duration session_timeout = seconds(9);  // broker.session.timeout.ms
  int32_t default_partitions = 1;         // num.partitions
  int16_t default_replication_factor = 1;
  int32_t min_insync_replicas = 1;  // the bootstrap records make it the cluster's dynamic default (KIP-966)
  bool unclean_leader_election = false;
  bool delete_topic_enable = true;
  bool auto_leader_rebalance = true;
  Duration balance_interval = seconds(300);  // leader.imbalance.check.interval.seconds
  Duration unclean_interval = seconds(300);  // unclean.leader.election.interval.ms
  bool bootstrap_elr = true;                 // eligible.leader.replicas.version = 1 in a fresh cluster
  std::vector<Slice> bootstrap_records;      // framed; a fresh cluster begins with these; empty: with levels of our own
  metadata::Properties properties;           // the node's own, for the defaults of topic configs
};

}  // namespace klamm::controller
