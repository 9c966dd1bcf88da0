// Administration of what is there: records, configs, numbers of partitions.
#include "engine/client/admin.h"
#include "engine/protocol/messages/create_partitions.h"
#include "engine/protocol/messages/delete_records.h"
#include "engine/protocol/messages/incremental_alter_configs.h"

namespace klamm::client {
namespace {
enum : int8_t { kTopicResource = 2, kBrokerResource = 4 };
enum : int8_t { kSet = 0, kRemove = 1 };
}  // namespace

bool Admin::send_delete_records(Turn& turn, uint32_t number, Operation& op) {
  DeleteRecords ask;
  unpack(op.ask, ask);
  const PartitionView at = leader(turn, op, ask.partition);
  if (at.leader == kNoNode) return false;
  const CallTo call = to(turn, number, op, static_cast<uint64_t>(at.leader.value));
  Arena& arena = turn.ctx().arena();
  protocol::DeleteRecordsRequest request;
  request.timeout_ms = static_cast<int32_t>(call.timeout.ms());
  auto& topic = request.topics.add(arena);
  topic.name = arena.copy(ask.partition.topic);
  auto& p = topic.partitions.add(arena);
  p.partition_index = ask.partition.partition;
  p.offset = ask.offset;
  return go(turn, call, op, request, {0, 2});
}

bool Admin::take_records_deleted(Turn& turn, Operation& op, const net::Answer& answer) {
  const auto* r = response_of<protocol::DeleteRecordsResponse>(turn, answer);
  if (!r || r->topics.size() != 1 || r->topics[0].partitions.size() != 1) return false;
  const auto& p = r->topics[0].partitions[0];
  const auto error = static_cast<ErrorCode>(p.error_code);
  if (error != ErrorCode::none && refreshes_metadata(error)) turn.cluster.stale();
  if (error != ErrorCode::none && retriable(error)) return false;
  turn.answer(op.token, RecordsDeleted{error, p.low_watermark});
  return true;
}

bool Admin::send_alter_configs(Turn& turn, uint32_t number, Operation& op) {
  AlterConfigs ask;
  unpack(op.ask, ask);
  Arena& arena = turn.ctx().arena();
  protocol::IncrementalAlterConfigsRequest request;
  auto& resource = request.resources.add(arena);
  resource.resource_type = ask.topic.empty() ? kBrokerResource : kTopicResource;
  resource.resource_name = arena.copy(!ask.topic.empty() ? ask.topic : ask.broker ? std::to_string(*ask.broker) : "");
  for (const AlterConfigs::Config& c : ask.configs) {
    auto& config = resource.configs.add(arena);
    config.name = arena.copy(c.name);
    config.config_operation = c.value ? kSet : kRemove;
    config.value = c.value ? arena.copy(*c.value) : kNullStr;
  }
  return go(turn, to(turn, number, op, turn.cluster.any()), op, request, {0, 1});
}

bool Admin::take_altered(Turn& turn, Operation& op, const net::Answer& answer) {
  const auto* r = response_of<protocol::IncrementalAlterConfigsResponse>(turn, answer);
  if (!r || r->responses.size() != 1) return false;
  const auto error = static_cast<ErrorCode>(r->responses[0].error_code);
  if (error != ErrorCode::none && retriable(error)) return false;
  turn.answer(op.token, Done{error, std::string(r->responses[0].error_message)});
  return true;
}

bool Admin::send_create_partitions(Turn& turn, uint32_t number, Operation& op) {
  CreatePartitions ask;
  unpack(op.ask, ask);
  const CallTo call = to(turn, number, op, turn.cluster.any());
  Arena& arena = turn.ctx().arena();
  protocol::CreatePartitionsRequest request;
  request.timeout_ms = static_cast<int32_t>(call.timeout.ms());
  auto& topic = request.topics.add(arena);
  topic.name = arena.copy(ask.topic);
  topic.count = ask.count;
  topic.assignments = decltype(topic.assignments)::null();
  return go(turn, call, op, request, {0, 3});
}

bool Admin::take_partitions_created(Turn& turn, Operation& op, const net::Answer& answer) {
  const auto* r = response_of<protocol::CreatePartitionsResponse>(turn, answer);
  if (!r || r->results.size() != 1) return false;
  const auto error = static_cast<ErrorCode>(r->results[0].error_code);
  if (error != ErrorCode::none && retriable(error)) return false;
  turn.cluster.stale();
  turn.answer(op.token, Done{error, std::string(r->results[0].error_message)});
  return true;
}

}  // namespace klamm::client
