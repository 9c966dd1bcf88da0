// Standing task. Compaction: every log.cleaner.backoff.ms all compacted partitions are looked at, a few a turn, and the
// dirtiest of those that want it is cleaned; after it comes the next one at once. One at a time on a node.
#include "engine/replication/replicas.h"

namespace klamm::replication {

namespace {
constexpr size_t kCompactionLooks = 200;
}  // namespace

void Replicas::compact_at(Instant at) {
  timers_.cancel(compaction_timer_);
  compaction_timer_ = timers_.set(at, Timer::compact);
}

void Replicas::compact_some(Io& io) {
  if (ending_) return;
  compact_at(io.ctx.now + config_.compaction.backoff);
  if (compacting_) {
    const Partition* p = find(*compacting_);
    if (p && p->log().cleaning()) return go_on_compacting(io);
    compacting_.reset();
  }
  auto it = compaction_at_ ? partitions_.lower_bound(*compaction_at_) : partitions_.begin();
  for (size_t looks = 0; it != partitions_.end() && looks < kCompactionLooks; ++it, ++looks) {
    const log::Log& log = it->second->log();
    if (!log.options().config.compacted || full_.count(log.options().dir)) continue;
    const log::CleanRange range = log.cleanable(io.ctx.wall, it->second->high_watermark());
    if (!log::wants_cleaning(range, log.options().config)) continue;
    const int64_t dirt = log::dirtiness(range);
    if (!dirtiest_ || dirt > dirtiest_->second) dirtiest_ = {it->first, dirt};
  }
  compaction_at_.reset();
  if (it != partitions_.end()) {
    compaction_at_ = it->first;
    return compact_at(io.ctx.now);
  }
  const auto chosen = std::exchange(dirtiest_, std::nullopt);
  Partition* p = chosen ? write(chosen->first) : nullptr;
  if (!p || full_.count(p->log().options().dir)) return;
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

void Replicas::checkpoint_begins(DirId dir) {
  auto& points = checkpointing_[dir];
  points.clear();
  for (const auto& [id, p] : partitions_)
    if (p->log().options().dir == dir && p->log().options().config.compacted)
      points.push_back({id, p->log().recovery_point()});
}

void Replicas::checkpoint_ended(DirId dir) {
  for (const auto& [id, recovery_point] : std::exchange(checkpointing_[dir], {}))
    if (const Partition* p = find(id); p && p->log().ready() && p->log().noted_recovery_point() != recovery_point)
      write(id)->log().note_checkpoint(recovery_point);
}

}  // namespace klamm::replication
