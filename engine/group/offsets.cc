// OffsetCommit 2 to 10, OffsetFetch 1 to 10, OffsetDelete 0, and offsets that age.
#include <algorithm>

#include "engine/group/core.h"
#include "engine/group/records.h"
#include "engine/group/replies.h"
#include "engine/protocol/topics.h"

namespace klamm::group {

using coordinator::NewRecord;
using protocol::OffsetCommitRequest;
using protocol::OffsetCommitResponse;
using protocol::OffsetDeleteRequest;
using protocol::OffsetDeleteResponse;
using protocol::OffsetFetchRequest;
using protocol::OffsetFetchResponse;

namespace {

constexpr Offset kNoOffset = -1;

int64_t expiry(int64_t now_ms, int64_t retention_ms) {
  if (retention_ms == -1) return -1;
  return std::max<int64_t>(saturating_add(now_ms, retention_ms), 0);
}

void fail_all(OffsetCommitResponse& response, ErrorCode error) {
  for (auto& topic : response.topics)
    for (auto& p : topic.partitions)
      if (p.error_code == 0) p.error_code = code(error);
}

ErrorCode commit_fence(const Group* g, const Ticket& ticket, const OffsetCommitRequest& request) {
  const int32_t generation = request.generation_id_or_member_epoch;
  if (!g) return unknown_group_commit(generation, ticket.version);
  const CommitClaim claim{.generation = generation,
                          .anonymous = request.member_id.empty() && is_null(request.group_instance_id),
                          .member = g->fence(request.member_id, request.group_instance_id)};
  return offset_commit_fence(claim, g->state, g->generation);
}

void set_offset(OffsetFetchResponse::OffsetFetchResponsePartitions& p, int32_t partition, const CommittedOffset* o) {
  p.partition_index = partition;
  p.committed_offset = o ? o->offset : kNoOffset;
  p.committed_leader_epoch = o ? o->leader_epoch : kNoEpoch;
  p.metadata = o ? Str(o->metadata) : Str("");
}

void set_unstable(OffsetFetchResponse::OffsetFetchResponsePartitions& p, int32_t partition) {
  set_offset(p, partition, nullptr);
  p.error_code = code(ErrorCode::unstable_offset_commit);
}

}  // namespace

void Core::commit_offsets(Op& op, const Caller& caller, const OffsetCommitRequest& request,
                          const OffsetCommitResponse& refused, OffsetCommitResponse& response) {
  Group* g = find(op, request.group_id);
  const auto answer_all = [&] {
    response.topics = protocol::told_together(op.ctx.arena(), refused.topics, response.topics, committed_topic);
    op.reply(caller.origin, encode_body(caller.ticket(), response));
  };
  if (const ErrorCode e = commit_fence(g, caller.ticket(), request); e != ErrorCode::none) {
    fail_all(response, e);
    return answer_all();
  }
  if (Member* m = g ? g->member(request.member_id) : nullptr) touch(op, *g, *m);  // a commit is a sign of life
  const int64_t now = op.ctx.wall.ms;
  const int64_t expires = expiry(now, request.retention_time_ms);
  for (size_t t = 0; t < request.topics.size(); ++t) {
    const auto& topic = request.topics[t];
    for (size_t i = 0; i < topic.partitions.size(); ++i) {
      const auto& p = topic.partitions[i];
      if (utf16_length(p.committed_metadata) > static_cast<size_t>(config_.offset_metadata_max)) {
        response.topics[t].partitions[i].error_code = code(ErrorCode::offset_metadata_too_large);
        continue;
      }
      op.record(offset_record({request.group_id, topic.name, p.partition_index},
                              {.offset = p.committed_offset,
                               .leader_epoch = p.committed_leader_epoch,
                               .metadata = is_null(p.committed_metadata) ? Str("") : p.committed_metadata,
                               .commit_ms = now,
                               .expire_ms = expires,
                               .topic_id = topic.topic_id}));
    }
  }
  answer_all();
}

void Core::delete_offsets(Op& op, const Caller& caller, const OffsetDeleteRequest& request,
                          const OffsetDeleteResponse& refused, OffsetDeleteResponse& response) {
  const Group* g = find(op, request.group_id);
  ErrorCode error = g ? ErrorCode::none : ErrorCode::group_id_not_found;
  if (g && g->state != State::empty && !g->of_consumers()) error = ErrorCode::non_empty_group;
  if (error != ErrorCode::none) {
    response.error_code = code(error);
    response.topics = {};
    op.reply(caller.origin, encode_body(caller.ticket(), response));
    return;
  }
  for (size_t t = 0; t < request.topics.size(); ++t) {
    const Str topic = request.topics[t].name;
    for (auto& answer : response.topics[t].partitions) {
      const OffsetKeyView key{request.group_id, topic, answer.partition_index};
      if (g->subscribes(topic))
        answer.error_code = code(ErrorCode::group_subscribed_to_topic);
      else if (op.hard().offsets.contains(key) || op.hard().has_unstable_offset(key))
        op.record(offset_tombstone(key));
    }
  }
  response.topics =
      protocol::told_together(op.ctx.arena(), refused.topics, response.topics, [](const auto& t) { return t.name; });
  op.reply(caller.origin, encode_body(caller.ticket(), response));
}

OffsetFetchResponse::OffsetFetchResponseGroup Core::fetch_offsets(
    Arena& arena, const Hard& hard, const OffsetFetchRequest::OffsetFetchRequestGroup& asked, bool stable) {
  OffsetFetchResponse::OffsetFetchResponseGroup out;
  out.group_id = asked.group_id;
  const bool unstable = stable && hard.has_open_transaction(asked.group_id);
  if (asked.topics.is_null()) {
    OffsetFetchResponse::OffsetFetchResponseTopics* topic = nullptr;
    for_each_offset(hard.offsets, asked.group_id, [&](const auto& entry) {
      if (!topic || topic->name != entry.key.topic) {
        topic = &out.topics.add(arena);
        topic->name = entry.key.topic;
      }
      auto& p = topic->partitions.add(arena);
      if (unstable && hard.has_unstable_offset(entry.key.view()))
        set_unstable(p, entry.key.partition);
      else
        set_offset(p, entry.key.partition, &entry.value);
      return true;
    });
    return out;
  }
  for (const auto& t : asked.topics) {
    auto& topic = out.topics.add(arena);
    topic.name = t.name;
    topic.topic_id = t.topic_id;
    topic.partitions.reserve(arena, t.partition_indexes.size());
    for (const int32_t partition : t.partition_indexes) {
      const OffsetKeyView key{asked.group_id, t.name, partition};
      const CommittedOffset* o = hard.offsets.find(key);
      auto& p = topic.partitions.add(arena);
      if (unstable && hard.has_unstable_offset(key))
        set_unstable(p, partition);
      else
        set_offset(p, partition, o && of_another_topic(o->topic_id, t.topic_id) ? nullptr : o);
    }
  }
  return out;
}

// ---- searches for offsets that have to go

struct Core::Step {
  size_t groups = kGroupsPerSweep;
  size_t offsets = kOffsetsPerSweep;
  size_t records = kRecordsPerSweep;
  size_t bytes = kBytesPerSweep;
  bool full() const { return records == 0 || bytes == 0; }
  // False: no batch takes it, for the topic's max.message.bytes was lowered. It stays for the searches to come.
  bool record(Op& op, NewRecord tombstone) {
    --records;
    bytes -= std::min(bytes, coordinator::record_size(tombstone));
    return op.record_apart(std::move(tombstone));
  }
};

// ---- offsets of topics that were deleted

bool Core::Purge::dooms(const HardState::Offsets::Entry& entry) const {
  const auto gone = topics.find(entry.key.topic);
  return gone != topics.end() && (entry.value.topic_id.zero() || gone->second.contains(entry.value.topic_id));
}

void Core::forget_topics(Instant now, const TopicIds& topics) {
  const bool began = !purge_.topics.empty();
  for (const auto& [name, ids] : topics) (began ? purge_.later : purge_.topics)[name].insert(ids.begin(), ids.end());
  if (!purge_timer_) purge_timer_ = timers_.set(now, Timer{Timer::Kind::purge, {}, {}, {}});
}

void Core::purge(Op& op) {
  timers_.cancel(purge_timer_);
  Step step;
  const auto go_on = [&] { purge_timer_ = timers_.set(op.ctx.now, Timer{Timer::Kind::purge, {}, {}, {}}); };
  while (!purge_.topics.empty()) {
    auto open = op.hard().open_transactions.lower_bound(purge_.producer);
    for (; !purge_.stable && !open.at_end(); ++open) {
      if (open->key != purge_.producer) purge_.producer = open->key, purge_.next = {};
      if (!purge_among(op, open->value, step)) return go_on();
    }
    if (!purge_.stable) purge_.stable = true, purge_.next = {};
    if (!purge_among(op, op.hard().offsets, step)) return go_on();
    TopicIds later = std::move(purge_.later);
    purge_ = {};
    purge_.topics = std::move(later);
  }
}

// From `purge_.next` on. False: there are more than the step may take.
bool Core::purge_among(Op& op, const HardState::Offsets& offsets, Step& step) {
  for (auto it = offsets.lower_bound(purge_.next); !it.at_end(); ++it) {
    if (step.offsets == 0 || step.full()) {
      purge_.next = it->key;
      return false;
    }
    --step.offsets;
    if (!purge_.dooms(*it)) continue;
    if (!purge_.stable && op.hard().offsets.contains(it->key)) continue;  // goes with it, or has been overtaken
    step.record(op, offset_tombstone(it->key.view()));
  }
  purge_.next = {};
  return true;
}

// ---- offsets that age, and groups that are left with none

// One step of the search: some groups, or part of a large one; the next turn goes on.
void Core::sweep(Op& op) {
  Step step;
  auto it = op.hard().groups.lower_bound(sweep_);
  if (!it.at_end() && !sweep_.empty() && it->key == sweep_) ++it;
  for (; !it.at_end(); ++it) {
    if (step.groups-- == 0 || step.full() || !sweep_group(op, it->key, step)) {
      timers_.set(op.ctx.now + kSweepPause, Timer{});
      return;
    }
    sweep_ = it->key;
    sweep_next_ = {};
  }
  sweep_.clear();
  timers_.set(op.ctx.now + milliseconds(config_.retention_check_ms), Timer{});
}

// False: it has more offsets than one step may look at; `sweep_next_` is where the next one goes on.
bool Core::sweep_group(Op& op, std::string_view id, Step& step) {
  const auto soft = groups_.find(id);
  const StoredGroup& stored = *op.hard().groups.find(id);
  std::optional<Group> restored;
  if (soft == groups_.end()) restored = Group::restored(id, stored, op.ctx.arena());
  const Group& g = restored ? *restored : soft->second;
  // The record that all have left was not taken. Until it is the group stays, for with its record they would be back.
  const bool stale = g.state == State::empty && !stored.members.empty();
  if (stale) step.record(op, group_record(op.ctx.arena(), g));
  const Ageing kind = ageing({.state = g.state,
                              .simple = !g.protocol_type,
                              .knows_topics = g.of_consumers() && g.topics,
                              .has_timestamp = g.since_ms >= 0});
  if (kind == Ageing::never) return true;
  const OffsetKeyView first{id, {}};
  const OffsetKeyView begin = sweep_next_.group == id ? std::max(sweep_next_.view(), first) : first;
  auto it = op.hard().offsets.lower_bound(first);
  const auto among = [&] { return !it.at_end() && it->key.group == id; };
  bool all = !stale && (!among() || it->key.view() >= begin);  // none stayed behind
  for (it = op.hard().offsets.lower_bound(begin); among(); ++it) {
    if (step.offsets == 0 || step.full()) {
      sweep_next_ = it->key;
      return false;
    }
    --step.offsets;
    const CommittedOffset& o = it->value;
    const Age age{o.expire_ms, kind == Ageing::since_empty ? g.since_ms : o.commit_ms};
    if (g.subscribes(it->key.topic) || !offset_expired(age, op.ctx.wall.ms, config_.offsets_retention_ms) ||
        op.hard().has_unstable_offset(it->key.view()) || !step.record(op, offset_tombstone(it->key.view())))
      all = false;
  }
  if (all && g.state == State::empty && g.pending_members.empty() && !op.hard().has_open_transaction(id)) {
    if (op.record_apart(group_tombstone(id)) && soft != groups_.end()) groups_.erase(soft);
  }
  return true;
}

}  // namespace klamm::group
