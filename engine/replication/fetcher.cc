// The fetch loop of a follower: one standing request to each leader, for all partitions that follow it, and a second
// one when the first lacks a partition that could be asked for.
#include <algorithm>

#include "engine/protocol/messages/fetch.h"
#include "engine/replication/replicas.h"

namespace klamm::replication {

namespace {
constexpr int16_t kFetchVersion = 17;
constexpr Duration kHoldMost = milliseconds(100);  // one slow write must not keep the others from being fetched
}  // namespace

bool Replicas::may_ask(const Fetcher& f, const TopicIdPartition& id, Instant now) const {
  if (const auto it = f.delayed.find(id); it != f.delayed.end() && now < it->second.until) return false;
  const Partition* p = find(id);
  KLAMM_ASSERT(p != nullptr);
  return p->role() == Role::follower && p->log().ready() && !full_.count(p->log().options().dir);
}

void Replicas::send_fetch(Io& io, NodeId leader, Fetcher& f, Out& out) {
  if (f.follows.empty() || f.calls.size() == kFetchLanes || io.ctx.now < f.not_before) return;
  const auto lacks = [&](const TopicIdPartition& id) { return may_ask(f, id, io.ctx.now) && find(id)->wants_fetch(); };
  if (!f.calls.empty() && std::none_of(f.missing.begin(), f.missing.end(), lacks)) return;
  protocol::FetchRequest m;
  m.replica_state.replica_id = config_.common.self.value;
  m.replica_state.replica_epoch = own_epoch_;
  m.max_wait_ms = static_cast<int32_t>(config_.fetch_wait.ms());
  m.min_bytes = config_.fetch_min_bytes;
  m.max_bytes = config_.fetch_response_max_bytes;
  m.session_epoch = -1;
  FetchCall call;
  std::set<TopicIdPartition> missing;
  bool held = false;
  for (const TopicIdPartition& id : f.follows) {
    const Partition* p = find(id);
    const bool may = may_ask(f, id, io.ctx.now);
    if (!may || !p->wants_fetch()) {
      held = held || may;
      missing.insert(id);
      continue;
    }
    if (m.topics.empty() || m.topics.back().topic_id != id.topic) m.topics.add(io.ctx.arena()).topic_id = id.topic;
    auto& x = m.topics.back().partitions.add(io.ctx.arena());
    x.partition = id.partition;
    const FetchedFor from = p->next_fetch();
    x.current_leader_epoch = from.epoch;
    x.fetch_offset = from.offset;
    x.last_fetched_epoch = from.last_epoch;
    x.log_start_offset = p->log().ends().log_start;
    x.partition_max_bytes = config_.fetch_max_bytes;
    call.asked[id] = from;
  }
  if (!held) f.held = {};
  if (held && f.held == Instant{}) {
    f.held = io.ctx.now;
    wake_at(io.ctx.now + kHoldMost, Timer::fetch);
  }
  // A write ends soon, and then all are asked for at once: a fetch without it would have to be made good by another.
  if (call.asked.empty() || (held && io.ctx.now - f.held < kHoldMost)) return;
  f.held = {};
  Writer w;
  encode(w, kFetchVersion, m);
  KLAMM_ASSERT(w.ok());
  f.missing = std::move(missing);
  call.number = ++last_call_;
  call.lane = f.calls.empty() || f.calls[0].lane != 0 ? 0 : 1;
  out.calls.push_back({leader, protocol::FetchRequest::kApiKey, kFetchVersion, w.finish(),
                       Owner{config_.module, 0, call.number}, config_.request_timeout, call.lane});
  f.calls.push_back(std::move(call));
}

void Replicas::on_answer(Io& io, const Owner& owner, IoError error, const Slice& body, int16_t version, Out& out) {
  for (auto& [leader, f] : fetchers_) {
    const auto it = std::find_if(f.calls.begin(), f.calls.end(), [&](const auto& c) { return c.number == owner.key; });
    if (it == f.calls.end()) continue;
    const FetchCall call = std::move(*it);
    f.calls.erase(it);
    for (const auto& [id, at] : call.asked) {  // what is left may not ask for it
      const bool still = std::any_of(f.calls.begin(), f.calls.end(), [&](const auto& c) { return c.asked.count(id); });
      if (!still && f.follows.count(id)) f.missing.insert(id);
    }
    if (error == IoError::none) return fetch_answered(io, f, call, body, version, out);
    f.not_before = io.ctx.now + config_.fetch_backoff;
    return wake_at(f.not_before, Timer::fetch);
  }
}

void Replicas::delay(Fetcher& f, const TopicIdPartition& id, Instant now) {
  Delay& d = f.delayed[id];
  d.wait = d.wait.ns == 0 ? config_.error_backoff : std::min(d.wait * 2, config_.error_backoff_max);
  d.until = now + d.wait;
  wake_at(d.until, Timer::fetch);
}

void Replicas::fetch_answered(Io& io, Fetcher& f, const FetchCall& call, const Slice& body, int16_t version, Out& out) {
  protocol::FetchResponse m;
  Reader reader(body.span());
  if (!decode(reader, io.ctx.arena(), version, m) || m.error_code != 0) {
    f.not_before = io.ctx.now + config_.fetch_backoff;
    return wake_at(f.not_before, Timer::fetch);
  }
  for (const auto& topic : m.responses) {
    for (const auto& x : topic.partitions) {
      const TopicIdPartition id{topic.topic_id, x.partition_index};
      const auto asked = call.asked.find(id);
      Partition* p = asked == call.asked.end() || !f.follows.count(id) ? nullptr : write(id);
      if (!p || asked->second.epoch != p->assignment().leader_epoch || full_.count(p->log().options().dir)) continue;
      Moved moved_here;
      bool wait = x.error_code != 0;
      if (!wait) {
        Partition::Fetched reply;
        reply.asked = asked->second;
        reply.high_watermark = x.high_watermark;
        reply.log_start = x.log_start_offset;
        if (x.diverging_epoch.end_offset >= 0)
          reply.diverging = OffsetAndEpoch{x.diverging_epoch.end_offset, x.diverging_epoch.epoch};
        if (!x.records.is_null() && x.records.size > 0) reply.records = body.of(x.records.span());
        wait = !p->fetched(io, reply, moved_here).has_value();
        if (p->log().ready() && p->dirty()) dirty_.insert(id);
      } else if (static_cast<ErrorCode>(x.error_code) == ErrorCode::offset_out_of_range &&
                 p->role() == Role::follower && p->log().ready() &&
                 accept_fetch_reply(asked->second, p->next_fetch()) &&
                 starts_over({p->log().ends().log_start, p->log().ends().submitted, x.log_start_offset})) {
        p->start_over(io, x.log_start_offset);
        if (p->dirty()) dirty_.insert(id);
      }
      if (wait)
        delay(f, id, io.ctx.now);
      else
        f.delayed.erase(id);
      moved(id, moved_here, out);
    }
  }
}

}  // namespace klamm::replication
