// OffsetFetch 1 to 10. Versions: 2 all topics and an error of its own, 7 require_stable (KIP-447), 8 several groups
// (KIP-709), 9 member id and epoch (KIP-848), 10 topic ids.
#include <algorithm>

#include "engine/group/call.h"

namespace klamm::group {

using namespace protocol;
using AskedGroup = OffsetFetchRequest::OffsetFetchRequestGroup;
using AnsweredGroup = OffsetFetchResponse::OffsetFetchResponseGroup;

namespace {

constexpr int16_t kFetchTopicIds = 10;
constexpr int16_t kSeveralGroups = 8;

// The one group of an older version, in the newer form.
AskedGroup only_group(Arena& arena, const OffsetFetchRequest& rq) {
  AskedGroup group;
  group.group_id = rq.group_id;
  if (rq.topics.is_null()) group.topics = decltype(group.topics)::null();
  for (const auto& t : rq.topics) {
    auto& topic = group.topics.add(arena);
    topic.name = t.name;
    topic.partition_indexes = t.partition_indexes;
  }
  return group;
}

void into_old_form(Arena& arena, const AnsweredGroup& group, OffsetFetchResponse& response) {
  response.error_code = group.error_code;
  for (const auto& t : group.topics) {
    auto& topic = response.topics.add(arena);
    topic.name = t.name;
    for (const auto& p : t.partitions) {
      auto& partition = topic.partitions.add(arena);
      partition.partition_index = p.partition_index;
      partition.committed_offset = p.committed_offset;
      partition.committed_leader_epoch = p.committed_leader_epoch;
      partition.metadata = p.metadata;
      partition.error_code = p.error_code;
    }
  }
}

void refuse_topic(Arena& arena, const OffsetFetchRequest::OffsetFetchRequestTopics& asked, AnsweredGroup& group) {
  auto& topic = group.topics.add(arena);
  topic.topic_id = asked.topic_id;
  for (const int32_t index : asked.partition_indexes) {
    auto& p = topic.partitions.add(arena);
    p.partition_index = index;
    p.committed_offset = -1;
    p.error_code = code(ErrorCode::unknown_topic_id);
  }
}

// With topic ids: names are found for those asked, unknown ones are refused; of all there are, those without id are
// left out.
AnsweredGroup fetch_by_id(Arena& arena, const Topics& topics, const HardState& hard, const AskedGroup& asked,
                          bool stable) {
  AskedGroup named = asked;
  if (!asked.topics.is_null()) {
    named.topics = {};
    for (const auto& t : asked.topics) {
      const Str name = topics.name(t.topic_id);
      if (is_null(name)) continue;
      auto& topic = named.topics.add(arena);
      topic = t;
      topic.name = name;
    }
  }
  AnsweredGroup group = Core::fetch_offsets(arena, hard, named, stable);
  if (!asked.topics.is_null()) {
    for (const auto& t : asked.topics)
      if (is_null(topics.name(t.topic_id))) refuse_topic(arena, t, group);
    return group;
  }
  const auto all = group.topics;
  group.topics = {};
  for (const auto& t : all) {
    const Uuid id = topics.id(t.name);
    if (id.zero()) continue;
    auto& topic = group.topics.add(arena);
    topic = t;
    topic.topic_id = id;
  }
  return group;
}

}  // namespace

// A fetch that wants stable offsets reads the latest and waits until that is committed; any other reads what is.
void Coordinator::fetch_offsets(Call& call) {
  OffsetFetchRequest rq;
  if (!call.decode_into(rq)) return;
  Arena& arena = call.arena();
  const bool several = call.version() >= kSeveralGroups;
  if (!several) rq.groups.add(arena) = only_group(arena, rq);
  const bool stable = rq.require_stable;
  OffsetFetchResponse response;
  std::vector<ErrorCode> errors;
  AnswerRoom room(arena);
  for (const AskedGroup& asked : rq.groups) {
    if (!room.left()) return call.close();
    AnsweredGroup& group = response.groups.add(arena);
    group.group_id = asked.group_id;
    const auto fetch = [&](const HardState& hard) {
      group = call.version() >= kFetchTopicIds ? fetch_by_id(arena, call.topics, hard, asked, stable)
                                               : Core::fetch_offsets(arena, hard, asked, stable);
    };
    const int32_t partition = partition_of(asked.group_id);
    ErrorCode e = runtime_.served(partition);
    if (e == ErrorCode::none && stable) fetch(runtime_.shard(partition)->latest);
    if (e == ErrorCode::none && !stable)
      e = runtime_.read(partition, [&](const Core&, const HardState& h) { fetch(h); });
    if (e != ErrorCode::none) group.error_code = code(e);
    for (const auto& topic : group.topics)
      for (const auto& p : topic.partitions) room.share(p.metadata.size());
    errors.push_back(e);
  }
  if (!several) {
    if (errors[0] != ErrorCode::none) return call.refuse(errors[0]);
    into_old_form(arena, response.groups[0], response);
    response.groups = {};
  }
  if (!stable || errors.empty()) return call.answer(response);
  const uint32_t parts = static_cast<uint32_t>(errors.size());
  if (parts == 1 && errors[0] == ErrorCode::none) {
    write(call, rq.groups[0].group_id,
          [&](Core&, Core::Op& op) { op.reply(call.origin(), encode_body(call.ticket(), response)); });
    return;
  }
  const uint64_t gather = begin_gather(call, parts, encode_body(call.ticket(), response));
  for (uint32_t i = 0; i < parts; ++i) {
    ErrorCode e = errors[i];
    const auto barrier = [&](Core&, Core::Op& op) { op.reply({call.ticket(), {}, gather, i}, {}); };
    if (e == ErrorCode::none) e = runtime_.write(call.ctx, partition_of(rq.groups[i].group_id), call.letters, barrier);
    if (e != ErrorCode::none) part_done(call.ctx, gather, i, e, call.out);
  }
}

}  // namespace klamm::group
