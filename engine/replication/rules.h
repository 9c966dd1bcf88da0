// The law of partition replication, as pure functions. Each says the rule, why it is so, and its KIP.
#pragma once
#include <algorithm>
#include <vector>

#include "engine/base/error_code.h"
#include "engine/base/flaws.h"
#include "engine/base/ids.h"
#include "engine/base/units.h"
#include "engine/protocol/batch_builder.h"

namespace klamm::replication {

// ---- what a leader admits

// Rule: a record may claim a time at most so much before and after the leader's; the differences wrap as Kafka's do.
// Why: retention and the time index go by record time, and a wrong clock must not keep or drop a segment.
// KIP-937.
struct TimeLimits {
  int64_t now = 0;
  int64_t before_max = 0;
  int64_t after_max = 0;
};
inline bool time_admitted(int64_t timestamp, const TimeLimits& limits) {
  const auto age = static_cast<int64_t>(static_cast<uint64_t>(limits.now) - static_cast<uint64_t>(timestamp));
  const auto lead = static_cast<int64_t>(-static_cast<uint64_t>(age));
  return age <= limits.before_max && lead <= limits.after_max;
}

// Rule: a batch may unpack to sixteen times max.message.bytes, but always to 64 MiB and never to more than 512.
// Why: a small batch must not become one that stalls the node or takes its memory. Kafka has no such limit.
inline constexpr uint64_t kPlainRatio = 16;
inline constexpr uint64_t kPlainLeast = 64 << 20;
inline uint64_t plain_max(int32_t max_message_bytes) {
  const uint64_t most = protocol::kPlainMost;
  return std::clamp(kPlainRatio * static_cast<uint64_t>(std::max(max_message_bytes, 0)), kPlainLeast, most);
}

// ---- epochs

// Rule: a request that names a leader epoch is served only at exactly that epoch.
// Why: a reader or follower of another leadership would mix two histories.
// KIP-320. -1 is a client that knows no epoch.
inline ErrorCode fetch_fence(LeaderEpoch asked, LeaderEpoch current) {
  if (asked == kNoEpoch || asked == current) return ErrorCode::none;
  return asked < current ? ErrorCode::fenced_leader_epoch : ErrorCode::unknown_leader_epoch;
}

// Rule: a replica that becomes follower keeps its log; only the leader's word on where histories part may cut it.
// Why: the follower learns the high watermark one fetch late, so its own may lag a record that was acknowledged.
// KIP-101; flaw M01 cuts at the local high watermark, as before 0.11.
struct NewFollower {
  Offset high_watermark;
  Offset log_end;
};
inline Offset truncation_point(const Flaws& flaws, NewFollower at) {
  return flaws.replica_truncate_to_high_watermark ? std::min(at.high_watermark, at.log_end) : at.log_end;
}

// Rule: cut to the leader's end of the largest epoch it shares with us, and no further than our own end of that epoch.
// Why: beyond it the two logs may hold different records at one offset. The answer may name an epoch that we lack; then
// the next fetch, from our end of the next lower epoch, finds the point. KIP-279, KIP-595.
struct Divergence {
  OffsetAndEpoch leader;  // diverging epoch of the reply: the leader's largest epoch <= ours, and its end there
  OffsetAndEpoch own;     // our largest epoch <= leader.epoch, and our end there
};
inline Offset divergence_point(Divergence d) { return std::min(d.leader.offset, d.own.offset); }

// Rule: a follower whose fetch is out of the leader's range begins anew at the leader's start if its own log ends
// before that, or is empty. Why: in the one case what lies between is gone for good; in the other the leader's end lies
// below, and no epoch is left that could tell where the two logs part. Kafka's follower goes to the leader's start or
// end.
struct OutOfRange {
  Offset own_start = 0;
  Offset own_end = 0;
  Offset leader_start = -1;  // of the reply; -1: not told
};
inline bool starts_over(OutOfRange r) {
  return r.leader_start > r.own_end || (r.leader_start >= 0 && r.own_start == r.own_end);
}

// Rule: a fetch reply counts only if it answers the fetch of this epoch from exactly the present end of the log: the
// same offset behind a record of the same epoch.
// Why: a reply of a former leadership, or one from before a truncation, would leave a gap, append twice, or cut once
// more what was truncated and filled again since.
// Replication protocol; the guard of kafka-tlaplus' replication specification.
struct FetchedFor {
  LeaderEpoch epoch;
  Offset offset;
  LeaderEpoch last_epoch;  // of the record before `offset`
  template<class V>
  void fields(V& v) const {
    v("epoch", epoch), v("offset", offset), v("last_epoch", last_epoch);
  }
};
inline bool accept_fetch_reply(FetchedFor asked, FetchedFor present) {
  return asked.epoch == present.epoch && asked.offset == present.offset && asked.last_epoch == present.last_epoch;
}

// ---- high watermark

// Rule: records count as replicated when every member of the ISR and of the proposed ISR has them.
// Why: once the controller commits the proposal any of its members may be elected, before the leader hears of it.
// KIP-497 (maximal ISR).
inline std::vector<NodeId> maximal_isr(const std::vector<NodeId>& confirmed, const std::vector<NodeId>* proposed) {
  std::vector<NodeId> all = confirmed;
  if (proposed)
    for (NodeId n : *proposed)
      if (std::find(all.begin(), all.end(), n) == all.end()) all.push_back(n);
  return all;
}

// Rule: the high watermark moves only while the ISR has min(min.insync.replicas, replicas) members.
// Why: what clients have read must be on as many replicas as an eligible leader may be chosen from.
// KIP-966, KAFKA-15583.
struct IsrSize {
  size_t isr;
  size_t replicas;
  size_t min_insync;
};
inline bool high_watermark_may_move(IsrSize s) { return s.isr >= std::min(s.min_insync, s.replicas); }

// Rule: acks=all is refused while the ISR is smaller than min.insync.replicas (at most the replicas there are).
// Why: the producer asked for that many copies. KIP-1 of old: KAFKA-1555.
inline ErrorCode enough_replicas(IsrSize s) {
  return high_watermark_may_move(s) ? ErrorCode::none : ErrorCode::not_enough_replicas;
}

// ---- ISR

// Rule: a follower is caught up while it has the leader's end, or had the end of its fetch before within the lag limit.
// Why: a busy leader's end is always ahead; lag is measured in time. KIP-16.
struct FollowerLag {
  Offset follower_end;
  Offset leader_end;
  Instant last_caught_up;
  Instant now;
  Duration lag_max;
};
inline bool caught_up(FollowerLag f) { return f.follower_end == f.leader_end || f.now - f.last_caught_up <= f.lag_max; }

// Rule: a follower joins the ISR when it has all below the high watermark and has reached this epoch's start.
// Why: a fresh leader's high watermark may be older than the true one. KAFKA-7128; with KIP-841 it must be alive too,
// and with KIP-903 be the incarnation that the metadata knows.
struct Admission {
  Offset follower_end;
  Offset high_watermark;
  Offset epoch_start;
  bool alive;        // registered, not fenced, not shutting down
  bool epoch_known;  // its fetch named the broker epoch of the metadata
};
inline bool isr_admission(Admission a) {
  return a.follower_end >= a.high_watermark && a.follower_end >= a.epoch_start && a.alive && a.epoch_known;
}

// ---- what clients may see

// Rule: "latest" is answered only once the high watermark has reached this epoch's start.
// Why: a fresh leader's lagging high watermark would let the end go back. KIP-207.
inline ErrorCode list_offsets_gate(Offset high_watermark, Offset epoch_start) {
  return high_watermark >= epoch_start ? ErrorCode::none : ErrorCode::offset_not_available;
}

// Rule: a replica acknowledges what is written, but never more than `unsynced_max` records beyond what is synced.
// Why: Kafka's replication recovers a lost suffix from the other replicas. Who does not want to rely on it sets
// flush.messages: Kafka then syncs within the append that reaches so many, and answers it after that; or
// klamm.flush=commit, which is flush.messages=1 for all. Written is not durable.
struct Ends {
  Offset written;
  Offset synced;
};
inline Offset acked_end(Ends e, int64_t unsynced_max) {
  return e.written - e.synced > unsynced_max ? e.synced + unsynced_max : e.written;
}
inline bool sync_due(Offset submitted, Offset synced, int64_t unsynced_max) {
  return submitted - synced > unsynced_max;
}

// Rule: what is appended is synced flush.ms later, at the first look after that if looks are only taken now and then.
// Why: flush.ms bounds in time what a loss of power takes. Kafka looks each log.flush.scheduler.interval.ms, by default
// never; here nobody needs to look.
inline constexpr Duration kNeverFlushed = milliseconds(INT64_MAX);
inline Instant flush_at(Instant appended, Duration flush_after, Duration look_each) {
  const Instant due = appended + flush_after;
  if (look_each <= Duration{} || look_each >= kNeverFlushed) return due;
  return {(due.ns + look_each.ns - 1) / look_each.ns * look_each.ns};
}

}  // namespace klamm::replication
