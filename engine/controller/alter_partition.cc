// A leader changes its isr.
#include <set>

#include "engine/controller/operation.h"

namespace klamm::controller {

using metadata::contains;

namespace {

using Request = protocol::AlterPartitionRequest;
using Response = protocol::AlterPartitionResponse;

IsrProposal proposal(const Request& q, const Request::PartitionData& p, int16_t version) {
  IsrProposal out;
  out.from = NodeId{q.broker_id};
  out.leader_epoch = p.leader_epoch;
  out.partition_epoch = p.partition_epoch;
  out.recovery = p.leader_recovery_state;
  if (version < 3)
    for (int32_t id : p.new_isr) out.isr.push_back({NodeId{id}, -1});
  else
    for (const auto& m : p.new_isr_with_epochs) out.isr.push_back({NodeId{m.broker_id}, m.broker_epoch});
  return out;
}

void fill(Arena& arena, const PartitionInfo& info, Response::PartitionData& a) {
  a.leader_id = info.leader.value;
  a.leader_epoch = info.leader_epoch;
  a.partition_epoch = info.partition_epoch;
  a.leader_recovery_state = static_cast<int8_t>(info.recovery);
  for (NodeId n : info.isr) a.isr.push_back(arena, n.value);
}

void alter(Operation& op, const metadata::Topic& topic, const IsrProposal& wanted, Response::PartitionData& a) {
  const PartitionInfo* now = topic.partitions.find(a.partition_index);
  const ErrorCode fault = alter_partition_validate(op.image, now, wanted);
  a.error_code = static_cast<int16_t>(fault);
  if (fault != ErrorCode::none) {
    PROBE(op.ctx, alter_partition_refused);
    return;
  }
  PartitionChange change = prepare_change(op, topic, a.partition_index, {});
  change.isr.clear();
  for (const IsrMember& m : wanted.isr) change.isr.push_back(m.node);
  change.recovery = static_cast<LeaderRecovery>(wanted.recovery);
  KLAMM_ASSERT(contains(change.isr, now->leader));
  const std::optional<PartitionInfo> after = emit_change(op, {topic.id, a.partition_index}, change);
  if (after &&
      after->leader != wanted.from)  // the end of a reassignment took the leadership: the leader must look anew
    a.error_code = static_cast<int16_t>(ErrorCode::new_leader_elected);
  else
    fill(op.ctx.arena(), after ? *after : *now, a);
}

}  // namespace

void alter_partition(Operation& op, int16_t version, const Request& q, Response& a) {
  const ErrorCode fault = check_broker_epoch(op, q.broker_id, q.broker_epoch);
  a.error_code = static_cast<int16_t>(fault);
  if (fault != ErrorCode::none) return;
  Arena& arena = op.ctx.arena();
  std::set<TopicIdPartition> seen;  // a second proposal for one partition would be judged by a state that is past
  for (size_t t = 0; t < q.topics.size(); ++t) {
    auto& out = a.topics.add(arena);
    out.topic_id = q.topics[t].topic_id;
    const metadata::Topic* topic = op.image.topic(out.topic_id);
    for (size_t i = 0; i < q.topics[t].partitions.size(); ++i) {
      const Request::PartitionData& p = q.topics[t].partitions[i];
      Response::PartitionData& result = out.partitions.add(arena);
      result.partition_index = p.partition_index;
      if (!topic)
        result.error_code = static_cast<int16_t>(ErrorCode::unknown_topic_id);
      else if (!seen.insert({topic->id, p.partition_index}).second)
        result.error_code = static_cast<int16_t>(ErrorCode::invalid_request);
      else
        alter(op, *topic, proposal(q, p, version), result);
    }
  }
}

}  // namespace klamm::controller
