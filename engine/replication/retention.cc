// Standing tasks. Retention: every log.retention.check.interval.ms all partitions are looked at, a few a turn.
// Producers that have not written for long are forgotten. Logs that have grown are marked, so that a recovery need not
// read what was written long ago.
#include "engine/replication/replicas.h"

namespace klamm::replication {

namespace {
constexpr size_t kLooksPerTurn = 200;
constexpr size_t kMarksPerTurn = 8;
constexpr size_t kFlushesPerTurn = 200;
constexpr int64_t kMarkBytes = 16 << 20;      // that a log has grown since its last mark: some 10 ms of recovery
constexpr Duration kFirstLook = seconds(30);  // as Kafka, unless the interval is shorter
}  // namespace

void Replicas::begin_standing_tasks(Ctx& ctx) {
  wake_at(ctx.now + std::min(config_.retention_check, kFirstLook), Timer::retention);
  wake_at(ctx.now + config_.producer_check, Timer::expire);
  if (config_.mark > Duration{}) wake_at(ctx.now + config_.mark, Timer::mark);
}

void Replicas::retain_some(Io& io, Out& out) {
  if (ending_) return;
  auto it = retention_at_ ? partitions_.lower_bound(*retention_at_) : partitions_.begin();
  for (size_t looks = 0; it != partitions_.end() && looks < kLooksPerTurn; ++it, ++looks) {
    if (!it->second->retains_too_much(io.ctx.wall)) continue;
    Partition& p = it->second.write();
    p.retain(io);
    if (p.dirty()) dirty_.insert(it->first);
    out.changed.push_back(it->first);  // followers hear of the log start
  }
  retention_at_.reset();
  if (it != partitions_.end()) {
    retention_at_ = it->first;
    return wake_at(io.ctx.now, Timer::retention);
  }
  wake_at(io.ctx.now + config_.retention_check, Timer::retention);
}

void Replicas::mark_some(Io& io) {
  if (ending_) return;
  auto it = mark_at_ ? partitions_.lower_bound(*mark_at_) : partitions_.begin();
  size_t marks = 0;
  for (; it != partitions_.end() && marks < kMarksPerTurn; ++it) {
    const log::Log& log = it->second->log();
    if (log.unmarked_bytes() < kMarkBytes || full_.count(log.options().dir)) continue;
    it->second.write().log().mark(io);
    ++marks;
  }
  mark_at_.reset();
  if (it != partitions_.end()) {
    mark_at_ = it->first;
    return wake_at(io.ctx.now, Timer::mark);
  }
  wake_at(io.ctx.now + config_.mark, Timer::mark);
}

void Replicas::expire_producers(Ctx& ctx) {
  for (auto& [id, partition] : partitions_)
    if (partition->log().producers_expired(ctx)) partition.write().log().expire_producers(ctx);
  wake_at(ctx.now + config_.producer_check, Timer::expire);
}

void Replicas::remove_put_away(Io& io) {
  TopicIdPartition id;
  while (removals_.pop(io.ctx.now, &id))
    if (Partition* p = write(id); p && !ending_) p->log().remove_put_away(io);
}

// ---- flush.ms

// The log has something that is not synced: at the latest when the first of it is flush.ms old, it will be.
void Replicas::plan_flush(Ctx& ctx, const Partition& p) {
  const Duration after = p.settings().flush_after;
  const log::Log& log = p.log();
  if (after >= kNeverFlushed || ending_ || !log.ready() || log.ends().synced == log.ends().submitted) return;
  if (TimerId& timer = flush_timers_[p.id()]; !timer)
    timer = flushes_.set(flush_at(ctx.now, after, config_.flush_look), p.id());
}

void Replicas::forget_flush(const TopicIdPartition& id) {
  const auto it = flush_timers_.find(id);
  if (it == flush_timers_.end()) return;
  flushes_.cancel(it->second);
  flush_timers_.erase(it);
}

void Replicas::flush_due(Io& io) {
  TopicIdPartition id;
  for (size_t n = 0; n < kFlushesPerTurn && flushes_.pop(io.ctx.now, &id); ++n) {
    flush_timers_.erase(id);
    Partition* p = write(id);
    if (!p || ending_ || !p->log().ready()) continue;  // what opens again is planned anew
    PROBE(io.ctx, flushed_by_time);
    p->log().sync(io);
  }
}

}  // namespace klamm::replication
