// Compaction: every log.cleaner.backoff.ms all compacted partitions are looked at (walk.cc), and the dirtiest of those
// that want it is cleaned; after it comes the next one at once. One at a time on a node.
#include "engine/replication/replicas.h"

namespace klamm::replication {

void Replicas::compact_at(Instant at) {
  timers_.cancel(compaction_timer_);
  compaction_timer_ = timers_.set(at, Timer::compact);
}

// Goes on, or looks for what to begin with.
void Replicas::compact_on(Io& io) {
  compact_at(io.ctx.now + config_.compaction.backoff);
  if (compacting_) {
    const Partition* p = find(*compacting_);
    if (p && p->log().cleaning()) return go_on_compacting(io);
    compacting_.reset();
  }
  begin_task(Task::compact);
}

void Replicas::look_for_dirt(Ctx& ctx, const Partition& p) {
  const log::Log& log = p.log();
  if (!log.options().config.compacted || full_.count(log.options().dir)) return;
  const log::CleanRange range = log.cleanable(ctx.wall, p.high_watermark());
  if (!log::wants_cleaning(range, log.options().config)) return;
  const int64_t dirt = log::dirtiness(range);
  if (!walk_.dirtiest || dirt > walk_.dirtiest->second) walk_.dirtiest = {p.id(), dirt};
}

void Replicas::compact_dirtiest(Io& io) {
  const auto chosen = std::exchange(walk_.dirtiest, std::nullopt);
  Partition* p = chosen ? write(chosen->first) : nullptr;
  if (!p || compacting_ || full_.count(p->log().options().dir)) return;
  log::CleanBy by = config_.compaction.by;
  by.high_watermark = p->high_watermark();
  if (p->log().clean(io, by)) compacting_ = chosen->first;
}

// Held up so far by the bytes that it may move in a second.
void Replicas::go_on_compacting(Io& io) {
  log::Out said;
  const TopicIdPartition id = *compacting_;
  write(id)->log().go_on_cleaning(io, said);
  compaction_said(io.ctx, id, said);
}

void Replicas::compaction_said(Ctx& ctx, const TopicIdPartition& id, const log::Out& said) {
  if (compacting_ != id) return;
  if (said.clean_at) compact_at(*said.clean_at);
  if (!said.cleaned) return;
  compacting_.reset();
  compact_at(ctx.now);
}

// A log that is full of what nobody needs may still not fill the disk with what it is to become.
void Replicas::abandon_compaction(Io& io, DirId dir) {
  Partition* p = compacting_ ? write(*compacting_) : nullptr;
  if (p && p->log().options().dir == dir) p->log().abandon_cleaning(io);
}

// ---- how far compaction may go: only what a file vouches for

void Replicas::checkpoint_begins(DirId dir, std::vector<std::pair<TopicIdPartition, Offset>> compacted) {
  checkpointing_[dir] = std::move(compacted);
}

void Replicas::checkpoint_ended(DirId dir) {
  for (const auto& [id, recovery_point] : std::exchange(checkpointing_[dir], {}))
    if (const Partition* p = find(id); p && p->log().ready() && p->log().noted_recovery_point() != recovery_point)
      write(id)->log().note_checkpoint(recovery_point);
}

}  // namespace klamm::replication
