// What standing tasks do to one partition. Retention lets go of what has expired; logs that have grown are marked, so
// that a recovery need not read what was written long ago; members of an ISR that lag are dropped; flush.ms.
#include "engine/replication/replicas.h"

namespace klamm::replication {

namespace {
constexpr size_t kFlushesPerTurn = 200;
constexpr Duration kRemoveAgain = seconds(1);
constexpr size_t kMarksAtOnce = 2;  // each syncs its log and writes some three files: the disk is there for others too
constexpr int64_t kMarkBytes = 16 << 20;  // that a log has grown since its last mark: some 10 ms of recovery
}  // namespace

void Replicas::shrink_isr(Ctx& ctx, const TopicIdPartition& id, Cow<Partition>& partition, Out& out) {
  if (partition->role() != Role::leader || partition->assignment().isr.size() <= 1) return;
  Moved m;
  partition.write().shrink_isr(ctx, config_.common, brokers_, m);
  moved(id, m, out);
}

// True: there was something to let go.
bool Replicas::retain(Io& io, Cow<Partition>& partition, Out& out) {
  if (!partition->retains_too_much(io.ctx.wall)) return false;
  Partition& p = partition.write();
  p.retain(io);
  if (p.dirty()) dirty_.insert(p.id());
  out.changed.push_back(p.id());  // followers hear of the log start
  return true;
}

bool Replicas::wants_mark(const Partition& p) const {
  return p.log().unmarked_bytes() >= kMarkBytes && !full_.count(p.log().options().dir);
}

// Marks that have ended make room for those that wait.
void Replicas::mark_some(Io& io) {
  std::erase_if(marking_, [this](const TopicIdPartition& id) {
    const Partition* p = find(id);
    return !p || !p->log().marking();
  });
  while (!mark_due_.empty() && marking_.size() < kMarksAtOnce && !ending_) {
    const TopicIdPartition id = mark_due_.extract(mark_due_.begin()).value();
    const Partition* p = find(id);
    if (!p || !wants_mark(*p)) continue;
    log::Log& log = write(id)->log();
    log.mark(io);
    if (log.marking()) marking_.insert(id);
  }
}

void Replicas::remove_put_away(Io& io) {
  TopicIdPartition id;
  while (removals_.pop(io.ctx.now, &id))
    if (Partition* p = write(id); p && !ending_) {
      p->log().remove_put_away(io);  // not while the log opens again
      if (!p->log().failed() && p->log().removal_overdue(io.ctx.now)) removals_.set(io.ctx.now + kRemoveAgain, id);
    }
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
