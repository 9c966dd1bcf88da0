// The fetch loop of a follower: one request at a time to each leader, for all partitions that follow it.
#include <algorithm>

#include "engine/protocol/messages/fetch.h"
#include "engine/replication/replicas.h"

namespace klamm::replication {

namespace {
constexpr int16_t kFetchVersion = 17;
constexpr Duration kHoldMost = milliseconds(100);  // one slow write must not keep the others from being fetched
}  // namespace

void Replicas::send_fetch(Io& io, NodeId leader, Fetcher& f, Out& out) {
  if (f.in_flight || f.follows.empty() || io.ctx.now < f.not_before) return;
  protocol::FetchRequest m;
  m.replica_state.replica_id = config_.common.self.value;
  m.replica_state.replica_epoch = own_epoch_;
  m.max_wait_ms = static_cast<int32_t>(config_.fetch_wait.ms());
  m.min_bytes = config_.fetch_min_bytes;
  m.max_bytes = config_.fetch_response_max_bytes;
  m.session_epoch = -1;
  f.asked.clear();
  bool held = false;
  for (const TopicIdPartition& id : f.follows) {
    const Partition* p = find(id);
    KLAMM_ASSERT(p != nullptr);
    if (const auto it = f.delayed.find(id); it != f.delayed.end()) {
      if (io.ctx.now < it->second) continue;
      f.delayed.erase(it);
    }
    if (p->role() != Role::follower || !p->log().ready()) continue;
    if (!p->wants_fetch(config_.common)) {
      held = true;
      continue;
    }
    if (m.topics.empty() || m.topics.back().topic_id != id.topic) m.topics.add(io.ctx.arena()).topic_id = id.topic;
    auto& x = m.topics.back().partitions.add(io.ctx.arena());
    const log::Ends& e = p->log().ends();
    x.partition = id.partition;
    x.current_leader_epoch = p->assignment().leader_epoch;
    x.fetch_offset = e.submitted;
    x.last_fetched_epoch = p->last_epoch();
    x.log_start_offset = e.log_start;
    x.partition_max_bytes = config_.fetch_max_bytes;
    f.asked[id] = {x.current_leader_epoch, x.fetch_offset};
  }
  if (!held) f.held = {};
  if (held && f.held == Instant{}) {
    f.held = io.ctx.now;
    wake_at(io.ctx.now + kHoldMost, Timer::fetch);
  }
  // A write ends soon, and then all are asked for at once: a fetch without it might wait long at the leader.
  if (f.asked.empty() || (held && io.ctx.now - f.held < kHoldMost)) return;
  f.held = {};
  Writer w;
  encode(w, kFetchVersion, m);
  KLAMM_ASSERT(w.ok());
  f.in_flight = true;
  f.call = ++last_call_;
  out.calls.push_back({leader, protocol::FetchRequest::kApiKey, kFetchVersion, w.finish(),
                       Owner{config_.module, 0, f.call}, config_.request_timeout});
}

void Replicas::on_answer(Io& io, const Owner& owner, IoError error, const Slice& body, int16_t version, Out& out) {
  for (auto& [leader, f] : fetchers_) {
    if (!f.in_flight || f.call != owner.key) continue;
    f.in_flight = false;
    if (error == IoError::none) return fetch_answered(io, f, body, version, out);
    f.not_before = io.ctx.now + config_.fetch_backoff;
    return wake_at(f.not_before, Timer::fetch);
  }
}

void Replicas::fetch_answered(Io& io, Fetcher& f, const Slice& body, int16_t version, Out& out) {
  protocol::FetchResponse m;
  Reader reader(body.span());
  if (!decode(reader, io.ctx.arena(), version, m) || m.error_code != 0) {
    f.not_before = io.ctx.now + config_.fetch_backoff;
    return wake_at(f.not_before, Timer::fetch);
  }
  for (const auto& topic : m.responses) {
    for (const auto& x : topic.partitions) {
      const TopicIdPartition id{topic.topic_id, x.partition_index};
      const auto asked = f.asked.find(id);
      Partition* p = asked == f.asked.end() ? nullptr : write(id);
      if (!p) continue;
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
        wait = !p->fetched(io, config_.common, reply, moved_here).has_value();
        if (p->log().ready() && p->log().dirty()) dirty_.insert(id);
      } else if (static_cast<ErrorCode>(x.error_code) == ErrorCode::offset_out_of_range &&
                 p->role() == Role::follower && p->log().ready() &&
                 accept_fetch_reply(asked->second, {p->assignment().leader_epoch, p->log().ends().submitted}) &&
                 x.log_start_offset > p->log().ends().submitted) {
        p->start_over(io, x.log_start_offset);
      }
      if (wait) {
        f.delayed[id] = io.ctx.now + config_.fetch_backoff;
        wake_at(f.delayed[id], Timer::fetch);
      }
      moved(id, moved_here, out);
    }
  }
}

}  // namespace klamm::replication
