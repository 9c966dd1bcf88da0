#include "engine/metadata/records.h"

namespace klamm::metadata {

List<int32_t> numbers(Arena& arena, const std::vector<NodeId>& nodes) {
  List<int32_t> out;
  out.reserve(arena, nodes.size());
  for (NodeId n : nodes) out.push_back(arena, n.value);
  return out;
}
List<Uuid> uuids(Arena& arena, const std::vector<Uuid>& ids) {
  List<Uuid> out;
  out.reserve(arena, ids.size());
  for (const Uuid& id : ids) out.push_back(arena, id);
  return out;
}

Slice partition_record(Arena& arena, const TopicIdPartition& id, const PartitionInfo& p) {
  protocol::PartitionRecord r;
  r.topic_id = id.topic;
  r.partition_id = id.partition;
  r.replicas = numbers(arena, p.replicas);
  r.directories = uuids(arena, p.directories);
  r.isr = numbers(arena, p.isr);
  r.removing_replicas = numbers(arena, p.removing);
  r.adding_replicas = numbers(arena, p.adding);
  if (!p.elr.empty()) r.eligible_leader_replicas = numbers(arena, p.elr);
  if (!p.last_known_elr.empty()) r.last_known_elr = numbers(arena, p.last_known_elr);
  r.leader = p.leader.value;
  r.leader_recovery_state = static_cast<int8_t>(p.recovery);
  r.leader_epoch = p.leader_epoch;
  r.partition_epoch = p.partition_epoch;
  return encode_record(kPartitionVersion, r);
}

}  // namespace klamm::metadata
