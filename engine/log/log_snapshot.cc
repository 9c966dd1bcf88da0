// Producer snapshots: what makes recovery start near the end of a log.
//
// A snapshot is written where a segment begins, at an orderly end and now and then in the middle of a segment (a mark),
// but only once everything below it is durable, the epoch file and the indexes too; a truncation removes durably those
// above it before it touches a segment. So a readable snapshot says that nothing below it needs to be looked at,
// whatever a checkpoint of the node says.
#include <algorithm>

#include "engine/log/checkpoints.h"
#include "engine/log/log.h"
#include "engine/log/producer_snapshot.h"

namespace klamm::log {

// ---- writing

void Log::write_snapshot(Io& io, Offset at, Slice content) {
  KLAMM_ASSERT(!snapshot_running_);
  KLAMM_ASSERT_REL(at, <=, recovery_point_);
  snapshot_running_ = true;
  snapshots_.insert(at);
  const bool sync = !spares_little(at);
  const Owner owner = begin(Step::write_snapshot, sync ? 4 : 3);
  const FileId file = io.open(owner, options_.dir, file_path(at, ".snapshot"), OpenMode::create_empty);
  io.write(owner, file, 0, {std::move(content)});
  if (sync) io.sync(owner, file);
  io.close(owner, file);
  ops_.at(owner.step).files = {file};
}

// Those not yet written belong to the newest segments.
Segment* Log::oldest_unwritten_snapshot() {
  Segment* oldest = nullptr;
  for (auto s = segments_.rbegin(); s != segments_.rend() && s->snapshot; ++s) oldest = &*s;
  return oldest;
}

void Log::pump_snapshots(Io& io) {
  if (snapshot_running_) return;
  if (!snapshots_gone_.empty()) {
    snapshot_running_ = true;
    Op op{Step::drop_snapshots, static_cast<uint32_t>(snapshots_gone_.size())};
    const Owner owner = begin(std::move(op));
    for (const Offset at : snapshots_gone_) io.remove(owner, options_.dir, file_path(at, ".snapshot"));
    snapshots_gone_.clear();
    return;
  }
  issue_cuts(io);
  if (held_ > 0 || !(ready() || state_ == State::closing)) return;
  Segment* s = oldest_unwritten_snapshot();
  if (!s) return pump_mark(io);
  if (s->base > recovery_point_) {
    checkpoint_wanted_ = checkpoint_wanted_ || checkpoint_to_ < s->base;
    return;
  }
  if (indexes_due()) return;
  Slice content = std::move(*s->snapshot);
  s->snapshot.reset();
  if (!snapshots_.count(s->base)) write_snapshot(io, s->base, std::move(content));
}

void Log::mark(Io& io) {
  if (!ready() || mark_ || !options_.track_producers || unmarked_bytes() == 0) return;
  mark_.emplace({ends_.submitted, segments_.back().size, encode_producer_snapshot(producers_.entries())});
  Out nothing;
  pump_snapshots(io);
  pump_checkpoint(io, nothing);
  pump_snapshots(io);  // if all was durable already
}

void Log::pump_mark(Io& io) {
  if (!mark_ || indexes_due()) return;
  if (recovery_point_ < mark_->at) {
    checkpoint_wanted_ = checkpoint_wanted_ || checkpoint_to_ < mark_->at;
    return;
  }
  Segment& s = segments_.back();
  if (s.base >= mark_->at) return mark_.reset();  // it became full: the snapshot at its end does as well
  if (!mark_->indexed) {
    mark_->indexed = true;
    return write_indexes(io, s);
  }
  s.marked = mark_->size;
  if (!snapshots_.count(mark_->at)) write_snapshot(io, mark_->at, std::move(mark_->producers));
  mark_.reset();
}

// True once the log's end has a snapshot, or needs none.
bool Log::end_has_snapshot(Io& io) {
  if (!options_.track_producers || !on_disk_ || segments_.empty()) return true;
  if (snapshot_running_ || oldest_unwritten_snapshot()) return false;
  if (!snapshots_.count(ends_.submitted))
    write_snapshot(io, ends_.submitted, encode_producer_snapshot(producers_.entries()));
  return true;
}

// No write and no cut of a file follows before they are gone for good.
void Log::drop_snapshots_above(Io& io, Offset end) {
  if (mark_ && mark_->at > end) mark_.reset();
  const auto from = snapshots_.upper_bound(end);
  if (from == snapshots_.end()) return;
  if (snapshots_gone_.empty()) ++held_;
  snapshots_gone_.insert(snapshots_gone_.end(), from, snapshots_.end());
  snapshots_.erase(from, snapshots_.end());
  pump_snapshots(io);
}

// Of those that are not where a segment begins only the newest two are of use: the node's recovery point may not yet
// have come to the newest, nor its name to the disk. A truncation knows of them until they are durably gone.
void Log::sweep_snapshots(Io& io) {
  Op op{Step::sweep_marks, 0};
  size_t newest = snapshots_.size();  // counted from the end
  for (const Offset at : snapshots_)
    if (newest-- > 2 && !find_segment(at)) op.segments.push_back(at), ++op.left;
  if (op.left == 0) return;
  const std::vector<Offset> gone = op.segments;
  const Owner owner = begin(std::move(op));
  for (const Offset at : gone) io.remove(owner, options_.dir, file_path(at, ".snapshot"));
}

void Log::on_swept(Io& io, const Op& op) {
  if (op.step == Step::sweep_marks) {
    Op names{Step::sweep_mark_names};
    names.segments = op.segments;
    names.generation = op.generation;
    return io.sync_dir(begin(std::move(names)), options_.dir, path_);
  }
  for (const Offset at : op.segments)
    if (op.generation == generation_) snapshots_.erase(at);  // else there may be a new one in its place
}

// ---- reading

// The newest one that may be believed; then the scan.
void Log::choose_snapshot(Io& io, Out& out) {
  Opening& o = *opening_;
  const Offset front = segments_.front().base;  // what was before is gone, whether or not it was durable
  const Offset most = std::min({std::max(o.from.recovery_point, front), o.limit, o.snapshots_to});
  const auto after = snapshots_.upper_bound(most);
  if (after == snapshots_.begin() || *std::prev(after) < front) {
    producers_.reset_to(front);
    o.fold_from = front;
    o.certain = o.vouched;
    return locate_scan(io, out);
  }
  Op op{Step::load_snapshot};
  op.segment = *std::prev(after);
  o.snapshots_to = op.segment - 1;
  const std::string path = file_path(op.segment, ".snapshot");
  io.load(begin(std::move(op)), options_.dir, path, kMaxSnapshotBytes);
}

void Log::on_snapshot(Io& io, const Op& op, const StorageEnd& end, Out& out) {
  Opening& o = *opening_;
  if (op.error != IoError::none) return choose_snapshot(io, out);
  auto entries = parse_producer_snapshot(end.bytes.span());
  if (!entries) return choose_snapshot(io, out);
  producers_.restore(std::move(*entries), op.segment);
  producers_.expire(expiration(io.ctx));
  o.fold_from = op.segment;
  o.certain = std::max(op.segment, o.vouched);
  locate_scan(io, out);
}

// ---- expiration

Expiration Log::expiration(const Ctx& ctx) const { return {ctx.wall.ms, options_.config.producer_expiration_ms}; }

}  // namespace klamm::log
