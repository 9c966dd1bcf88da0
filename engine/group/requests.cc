// What each API checks before a group is asked, and how requests about several groups are taken apart.
#include <algorithm>
#include <set>
#include <utility>

#include "engine/group/call.h"
#include "engine/protocol/topics.h"

namespace klamm::group {

using namespace protocol;

namespace {

constexpr int32_t kAllGroupOperations = 3400;  // READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS as bits
constexpr int16_t kSyncNamesProtocol = 5;      // first version of SyncGroup that must name type and protocol (KIP-559)
constexpr int16_t kTopicIds = 10;              // first version of OffsetCommit and OffsetFetch with topic ids

template<class AnsweredTopic>
void tell(Arena& arena, AnsweredTopic& topic, int32_t partition, ErrorCode error) {
  auto& answer = topic.partitions.add(arena);
  answer.partition_index = partition;
  answer.error_code = code(error);
}

// The partition exists?
bool known(const Topics& topics, Str topic, int32_t partition) {
  return partition >= 0 && partition < topics.partitions(topic);
}

}  // namespace

bool Coordinator::serves(int16_t api) {
  switch (api) {
    case JoinGroupRequest::kApiKey:
    case SyncGroupRequest::kApiKey:
    case HeartbeatRequest::kApiKey:
    case LeaveGroupRequest::kApiKey:
    case OffsetCommitRequest::kApiKey:
    case OffsetFetchRequest::kApiKey:
    case OffsetDeleteRequest::kApiKey:
    case DescribeGroupsRequest::kApiKey:
    case ListGroupsRequest::kApiKey:
    case DeleteGroupsRequest::kApiKey: return true;
  }
  return false;
}

void Coordinator::on_request(Ctx& ctx, const Request& request, const Topics& topics, Out& out) {
  Letters letters;
  Call call{ctx, request, topics, letters, out};
  switch (request.ticket.api) {
    case JoinGroupRequest::kApiKey: join(call); break;
    case SyncGroupRequest::kApiKey: sync(call); break;
    case HeartbeatRequest::kApiKey: heartbeat(call); break;
    case LeaveGroupRequest::kApiKey: leave(call); break;
    case OffsetCommitRequest::kApiKey: commit_offsets(call); break;
    case OffsetFetchRequest::kApiKey: fetch_offsets(call); break;
    case OffsetDeleteRequest::kApiKey: delete_offsets(call); break;
    case DescribeGroupsRequest::kApiKey: describe(call); break;
    case ListGroupsRequest::kApiKey: list(call); break;
    case DeleteGroupsRequest::kApiKey: delete_groups(call); break;
    default: KLAMM_ASSERT(!"an API that groups serve");
  }
  deliver(ctx, letters, out);
}

void Coordinator::join(Call& call) {
  JoinGroupRequest rq;
  if (!call.decode_into(rq)) return;
  const auto refuse = [&](ErrorCode error) {
    JoinGroupResponse response;
    response.error_code = code(error);
    response.member_id = rq.member_id;
    if (call.version() >= 7) response.protocol_name = kNullStr;
    call.answer(response);
  };
  if (rq.group_id.empty()) return refuse(ErrorCode::invalid_group_id);
  if (rq.session_timeout_ms < config_.min_session_timeout_ms || rq.session_timeout_ms > config_.max_session_timeout_ms)
    return refuse(ErrorCode::invalid_session_timeout);
  const Caller caller{call.origin(), call.request.client_id, call.request.client_host};
  const uint64_t ordinal = member_ordinal_++;
  write(call, rq.group_id, [&](Core& core, Core::Op& op) { core.join(op, caller, rq, ordinal); });
}

void Coordinator::sync(Call& call) {
  SyncGroupRequest rq;
  if (!call.decode_into(rq)) return;
  if (call.version() >= kSyncNamesProtocol && (is_null(rq.protocol_type) || is_null(rq.protocol_name)))
    return call.refuse(ErrorCode::inconsistent_group_protocol);
  if (rq.group_id.empty()) return call.refuse(ErrorCode::invalid_group_id);
  const Caller caller{call.origin(), {}, {}};
  write(call, rq.group_id, [&](Core& core, Core::Op& op) { core.sync(op, caller, rq); });
}

void Coordinator::heartbeat(Call& call) {
  HeartbeatRequest rq;
  if (!call.decode_into(rq)) return;
  if (rq.group_id.empty()) return call.refuse(ErrorCode::invalid_group_id);
  const Caller caller{call.origin(), {}, {}};
  write(call, rq.group_id, [&](Core& core, Core::Op& op) { core.heartbeat(op, caller, rq); });
}

void Coordinator::leave(Call& call) {
  LeaveGroupRequest rq;
  if (!call.decode_into(rq)) return;
  if (rq.group_id.empty()) return call.refuse(ErrorCode::invalid_group_id);
  const Caller caller{call.origin(), {}, {}};
  write(call, rq.group_id, [&](Core& core, Core::Op& op) { core.leave(op, caller, rq); });
}

// Topics and partitions that do not exist are answered here; only the others reach the group.
void Coordinator::commit_offsets(Call& call) {
  OffsetCommitRequest rq;
  if (!call.decode_into(rq)) return;
  OffsetCommitResponse refused, response;
  const auto told = [&](OffsetCommitResponse& in, const OffsetCommitRequest::OffsetCommitRequestTopic& t) -> auto& {
    auto& topic = in.topics.add(call.arena());
    topic.name = t.name;
    topic.topic_id = t.topic_id;
    return topic;
  };
  const auto asked = std::exchange(rq.topics, {});
  for (auto t : asked) {
    ErrorCode error = ErrorCode::none;
    if (call.version() >= kTopicIds) {
      t.name = call.topics.name(t.topic_id);
      if (is_null(t.name)) t.name = "", error = ErrorCode::unknown_topic_id;
    } else {
      t.topic_id = call.topics.id(t.name);
      if (t.topic_id.zero()) error = ErrorCode::unknown_topic_or_partition;
    }
    if (error != ErrorCode::none) {
      auto& topic = told(refused, t);
      for (const auto& p : t.partitions) tell(call.arena(), topic, p.partition_index, error);
      continue;
    }
    const auto partitions = std::exchange(t.partitions, {});
    for (const auto& p : partitions)
      if (known(call.topics, t.name, p.partition_index))
        t.partitions.push_back(call.arena(), p);
      else
        tell(call.arena(), told(refused, t), p.partition_index, ErrorCode::unknown_topic_or_partition);
    if (t.partitions.empty()) continue;
    auto& topic = told(response, t);
    for (const auto& p : t.partitions) tell(call.arena(), topic, p.partition_index, ErrorCode::none);
    rq.topics.push_back(call.arena(), t);
  }
  join_topics(call.arena(), refused.topics, Core::committed_topic);
  if (rq.topics.empty()) return call.answer(refused);
  const Caller caller{call.origin(), {}, {}};
  write(call, rq.group_id, [&](Core& core, Core::Op& op) { core.commit_offsets(op, caller, rq, refused, response); });
}

void Coordinator::delete_offsets(Call& call) {
  OffsetDeleteRequest rq;
  if (!call.decode_into(rq)) return;
  if (rq.group_id.empty()) return call.refuse(ErrorCode::invalid_group_id);
  OffsetDeleteResponse refused, response;
  const auto asked = std::exchange(rq.topics, {});
  for (auto t : asked) {
    const bool exists = !call.topics.id(t.name).zero();
    const auto partitions = std::exchange(t.partitions, {});
    if (!exists) refused.topics.add(call.arena()).name = t.name;
    for (const auto& p : partitions) {
      if (known(call.topics, t.name, p.partition_index)) {
        t.partitions.push_back(call.arena(), p);
        continue;
      }
      auto& topic = refused.topics.add(call.arena());
      topic.name = t.name;
      tell(call.arena(), topic, p.partition_index, ErrorCode::unknown_topic_or_partition);
    }
    if (t.partitions.empty()) continue;
    auto& topic = response.topics.add(call.arena());
    topic.name = t.name;
    for (const auto& p : t.partitions) tell(call.arena(), topic, p.partition_index, ErrorCode::none);
    rq.topics.push_back(call.arena(), t);
  }
  join_topics(call.arena(), refused.topics, [](const auto& t) { return t.name; });
  const Caller caller{call.origin(), {}, {}};
  write(call, rq.group_id, [&](Core& core, Core::Op& op) { core.delete_offsets(op, caller, rq, refused, response); });
}

void Coordinator::describe(Call& call) {
  DescribeGroupsRequest rq;
  if (!call.decode_into(rq)) return;
  DescribeGroupsResponse response;
  AnswerRoom room(call.arena());
  for (const Str id : rq.groups) {
    if (!room.left()) return call.close();
    auto& group = response.groups.add(call.arena());
    const ErrorCode e = runtime_.read(partition_of(id), [&](const Core& core, const HardState& hard) {
      group = core.describe(call.arena(), hard, id, call.version());
    });
    group.group_id = id;
    for (const auto& member : group.members) room.share(member.member_metadata.size + member.member_assignment.size);
    if (e != ErrorCode::none) group.error_code = code(e);
    if (rq.include_authorized_operations && group.error_code == 0) group.authorized_operations = kAllGroupOperations;
  }
  call.answer(response);
}

void Coordinator::list(Call& call) {
  ListGroupsRequest rq;
  if (!call.decode_into(rq)) return;
  ListGroupsResponse response;
  ErrorCode error = ErrorCode::none;
  runtime_.for_each([&](int32_t partition) {
    const ErrorCode e = runtime_.read(partition, [&](const Core& core, const HardState& hard) {
      core.list(call.arena(), hard, rq, response.groups);
    });
    if (e == ErrorCode::coordinator_load_in_progress) error = e;
  });
  if (error != ErrorCode::none) return call.refuse(error);
  call.answer(response);
}

void Coordinator::delete_groups(Call& call) {
  DeleteGroupsRequest rq;
  if (!call.decode_into(rq)) return;
  if (rq.groups_names.empty()) return call.answer(DeleteGroupsResponse());
  const auto& names = rq.groups_names;
  std::set<Str> seen;
  const uint64_t gather = begin_gather(call, static_cast<uint32_t>(names.size()), {});
  for (uint32_t i = 0; i < names.size(); ++i) {
    const Origin part{call.ticket(), {}, gather, i};
    if (!seen.insert(names[i]).second) {
      part_done(call.ctx, gather, i, ErrorCode::none, call.out);  // has the first one's result
      continue;
    }
    const auto operation = [&](Core& core, Core::Op& op) {
      const ErrorCode e = core.delete_group(op, names[i]);
      if (e == ErrorCode::none)
        op.reply(part, {});
      else
        op.refuse_now(part, e);
    };
    const ErrorCode e = runtime_.write(call.ctx, partition_of(names[i]), call.letters, operation);
    if (e != ErrorCode::none) part_done(call.ctx, gather, i, e, call.out);
  }
}

}  // namespace klamm::group
