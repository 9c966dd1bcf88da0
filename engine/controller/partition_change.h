// One change of a partition, from what shall be different to the record that says so.
#pragma once
#include <optional>

#include "engine/controller/rules.h"

namespace klamm::controller {

// Starts as "no change"; set what is wanted, then `apply`.
struct PartitionChange {
  explicit PartitionChange(const PartitionInfo& now) : before(now), isr(now.isr), recovery(now.recovery) {}
  const PartitionInfo& before;
  std::vector<NodeId> isr;   // wanted
  LeaderRecovery recovery;   // wanted
  NodeId lossy = kNoNode;    // a replica that came back from an unclean shutdown: out of isr and elr
  std::vector<NodeId> live;  // of the replicas: those that may lead
  Election election = Election::online;
  size_t min_isr = 1;  // effective
  bool elr_enabled = true;
};

// The partition after the change, epochs included; nothing if nothing changes. A reassignment whose target is reached
// ends here, a leader that may not lead is replaced here, and the elr follows the isr (KIP-966).
// Promises R3 and R9 if they held before.
std::optional<PartitionInfo> apply(const PartitionChange& change);

// The encoded PartitionChangeRecord from one state of a partition to the next.
Slice change_record(Arena& arena, const TopicIdPartition& id, const PartitionInfo& before, const PartitionInfo& after);
// The encoded PartitionRecord of a new partition.
Slice checked_partition_record(Arena& arena, const TopicIdPartition& id, const PartitionInfo& info);

// Asserts what must hold of every partition that we write (R3, R9).
void check_partition(const PartitionInfo& p);

}  // namespace klamm::controller
