// Topics get more partitions (KIP-195).
#include <map>

#include "engine/controller/operation.h"

namespace klamm::controller {
namespace {

using NewPartitions = protocol::CreatePartitionsRequest::CreatePartitionsTopic;

std::optional<Refusal> grow(Operation& op, const NewPartitions& t) {
  const metadata::Topic* topic = op.image.topic(t.name);
  if (!topic) return Refusal{ErrorCode::unknown_topic_or_partition, ""};
  const auto now = static_cast<int32_t>(topic->partitions.size());
  KLAMM_ASSERT(now > 0);
  if (t.count == now)
    return Refusal{ErrorCode::invalid_partitions, "Topic already has " + std::to_string(now) + " partition(s)."};
  if (t.count < now)
    return Refusal{ErrorCode::invalid_partitions, "The topic " + topic->name + " currently has " + std::to_string(now) +
                                                      " partition(s); " + std::to_string(t.count) +
                                                      " would not be an increase."};
  const size_t more = static_cast<size_t>(t.count - now);
  if (!t.assignments.is_null() && t.assignments.size() != more)
    return Refusal{ErrorCode::invalid_replica_assignment,
                   "Attempted to add " + std::to_string(more) + " additional partition(s), but only " +
                       std::to_string(t.assignments.size()) + " assignment(s) were specified."};
  const size_t factor = topic->partitions.find(0)->replicas.size();
  Placement placement(op.ctx.chance, op.draws.placement, usable_brokers(op.image));
  if (t.assignments.is_null())
    if (auto fault = placement.fault(static_cast<int32_t>(factor))) return not_placed(factor, *fault);
  std::vector<Slice> records;
  for (size_t i = 0; i < more; ++i) {
    std::vector<NodeId> replicas;
    if (t.assignments.is_null()) {
      replicas = placement.next(static_cast<int32_t>(factor));
    } else {
      if (auto refused = check_replicas(op, t.assignments[i].broker_ids, factor)) return refused;
      for (int32_t id : t.assignments[i].broker_ids) replicas.push_back(NodeId{id});
    }
    const int32_t index = now + static_cast<int32_t>(i);
    const PartitionInfo p = new_partition(op, std::move(replicas));
    if (p.isr.empty()) return t.assignments.is_null() ? not_placed(factor, kNoneActive) : none_active(index);
    records.push_back(checked_partition_record(op.ctx.arena(), {topic->id, index}, p));
  }
  for (Slice& record : records) op.records.push_back(std::move(record));
  return std::nullopt;
}

}  // namespace

void create_partitions(Operation& op, int16_t, const protocol::CreatePartitionsRequest& q,
                       protocol::CreatePartitionsResponse& a) {
  std::map<Str, int> times;
  int64_t wanted = 0;
  for (const NewPartitions& t : q.topics) {
    ++times[t.name];
    const metadata::Topic* topic = op.image.topic(t.name);
    if (topic) wanted += std::max<int64_t>(int64_t{t.count} - static_cast<int64_t>(topic->partitions.size()), 0);
  }
  for (const NewPartitions& t : q.topics) {
    int& n = times[t.name];
    if (n == 0) continue;  // its answer is there
    std::optional<Refusal> refused;
    if (n > 1)
      refused = Refusal{ErrorCode::invalid_request, "Duplicate topic name."};
    else if (wanted > kPartitionsMax)
      refused = Refusal{ErrorCode::policy_violation, "Excessively large number of partitions per request."};
    else
      refused = grow(op, t);
    n = 0;
    auto& out = a.results.add(op.ctx.arena());
    out.name = t.name;
    if (!refused) continue;
    out.error_code = static_cast<int16_t>(refused->code);
    out.error_message = refused->message.empty() ? kNullStr : op.text(refused->message);
  }
  if (q.validate_only) op.records.clear();
}

}  // namespace klamm::controller
