#include "engine/controller/partition_change.h"

#include <algorithm>

#include "engine/metadata/records.h"

namespace klamm::controller {

using metadata::contains;

namespace {

std::vector<NodeId> without(const std::vector<NodeId>& nodes, const std::vector<NodeId>& gone) {
  std::vector<NodeId> out;
  for (NodeId n : nodes)
    if (!contains(gone, n)) out.push_back(n);
  return out;
}

// All replicas that shall stay are in sync: those that shall go may go (KIP-455).
void complete_reassignment(const PartitionChange& c, PartitionInfo& p) {
  if (!p.reassigning()) return;
  const std::vector<NodeId> isr = without(c.isr, p.removing), replicas = without(p.replicas, p.removing);
  if (isr.empty() || replicas.empty()) return;
  for (NodeId n : replicas)
    if (!contains(isr, n)) return;
  std::vector<Uuid> directories;
  for (size_t i = 0; i < p.replicas.size(); ++i)
    if (contains(replicas, p.replicas[i])) directories.push_back(p.directories[i]);
  p.isr = isr;
  p.elr = without(p.elr, p.removing);
  p.replicas = replicas;
  p.directories = std::move(directories);
  p.removing.clear();
  p.adding.clear();
}

void lead(const PartitionChange& c, PartitionInfo& p) {
  const Elected e = elect({p.replicas, p.isr, p.elr, p.last_known_elr, p.leader, c.live, c.elr_enabled}, c.election);
  if (e.leader == p.leader && (e.leader == kNoNode || contains(p.isr, e.leader))) return;
  p.leader = e.leader;
  if (e.unclean) {
    p.isr = {e.leader};
    p.elr.clear();
    p.recovery = LeaderRecovery::recovering;
  } else if (contains(p.elr, e.leader)) {
    p.isr = {e.leader};
    p.elr = without(p.elr, p.isr);
  }
  if (p.isr.size() >= c.min_isr) p.elr.clear();
}

}  // namespace

std::optional<PartitionInfo> apply(const PartitionChange& c) {
  const PartitionInfo& before = c.before;
  PartitionInfo p = before;
  p.isr = c.isr;
  p.recovery = c.recovery;
  complete_reassignment(c, p);
  p.elr = c.elr_enabled
              ? next_elr({without(before.isr, without(before.replicas, p.replicas)), p.elr, p.isr, c.lossy, c.min_isr})
              : std::vector<NodeId>();
  lead(c, p);
  if (!c.elr_enabled && p.isr.empty()) p.isr = before.isr;  // the last member stays the only candidate

  if (p.leader != kNoNode)
    p.last_known_elr.clear();
  else if (c.elr_enabled && p.isr.empty() && before.leader != kNoNode)
    p.last_known_elr = {before.leader};

  // A leader that stays gets a new epoch when replicas went: they must not be counted any more.
  const bool bump = p.leader != before.leader || !without(before.replicas, p.replicas).empty();
  if (p == before && !bump) return std::nullopt;
  if (bump) ++p.leader_epoch;
  ++p.partition_epoch;
  check_partition(p);
  return p;
}

Slice change_record(Arena& arena, const TopicIdPartition& id, const PartitionInfo& before, const PartitionInfo& after) {
  KLAMM_ASSERT_REL(after.partition_epoch, ==, before.partition_epoch + 1);
  protocol::PartitionChangeRecord r;
  r.topic_id = id.topic;
  r.partition_id = id.partition;
  const auto differs = [&](auto& field, const std::vector<NodeId>& was, const std::vector<NodeId>& is) {
    if (was != is) field = metadata::numbers(arena, is);
  };
  differs(r.isr, before.isr, after.isr);
  differs(r.replicas, before.replicas, after.replicas);
  differs(r.removing_replicas, before.removing, after.removing);
  differs(r.adding_replicas, before.adding, after.adding);
  differs(r.eligible_leader_replicas, before.elr, after.elr);
  differs(r.last_known_elr, before.last_known_elr, after.last_known_elr);
  if (before.directories != after.directories) r.directories = metadata::uuids(arena, after.directories);
  if (before.leader_epoch != after.leader_epoch) {
    KLAMM_ASSERT_REL(after.leader_epoch, ==, before.leader_epoch + 1);
    r.leader = after.leader.value;
  } else {
    KLAMM_ASSERT_REL(after.leader.value, ==, before.leader.value);
  }
  if (before.recovery != after.recovery) r.leader_recovery_state = static_cast<int8_t>(after.recovery);
  return metadata::encode_record(metadata::kPartitionVersion, r);
}

Slice checked_partition_record(Arena& arena, const TopicIdPartition& id, const PartitionInfo& info) {
  check_partition(info);
  return metadata::partition_record(arena, id, info);
}

void check_partition(const PartitionInfo& p) {
  KLAMM_ASSERT(!p.replicas.empty());
  KLAMM_ASSERT_REL(p.directories.size(), ==, p.replicas.size());
  KLAMM_ASSERT(p.leader == kNoNode || contains(p.isr, p.leader));
  for (NodeId n : p.isr) KLAMM_ASSERT(contains(p.replicas, n));
  for (NodeId n : p.elr) KLAMM_ASSERT(contains(p.replicas, n) && !contains(p.isr, n));
}

}  // namespace klamm::controller
