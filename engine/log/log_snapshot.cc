// Producer snapshots: what makes recovery start near the end of a log.
//
// A snapshot is written where a segment begins and at an orderly end, but only once everything below it is durable, the
// epoch file and the sealed indexes too; a truncation removes durably those above it before it touches a segment. So a
// readable snapshot says that nothing below it needs to be looked at, whatever a checkpoint of the node says.
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
  const Owner owner = begin(Step::write_snapshot, 4);
  const FileId file = io.open(owner, options_.dir, file_path(at, ".snapshot"), OpenMode::create_empty);
  io.write(owner, file, 0, {std::move(content)});
  io.sync(owner, file);
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
    Op op{Step::drop_snapshots, static_cast<uint16_t>(snapshots_gone_.size())};
    const Owner owner = begin(std::move(op));
    for (const Offset at : snapshots_gone_) io.remove(owner, options_.dir, file_path(at, ".snapshot"));
    snapshots_gone_.clear();
    return;
  }
  issue_cuts(io);
  if (held_ > 0 || !(ready() || state_ == State::closing)) return;
  Segment* s = oldest_unwritten_snapshot();
  if (!s) return;
  if (s->base > recovery_point_) {
    checkpoint_wanted_ = checkpoint_wanted_ || checkpoint_to_ < s->base;
    return;
  }
  Slice content = std::move(*s->snapshot);
  s->snapshot.reset();
  if (!snapshots_.count(s->base)) write_snapshot(io, s->base, std::move(content));
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
  const auto from = snapshots_.upper_bound(end);
  if (from == snapshots_.end()) return;
  if (snapshots_gone_.empty()) ++held_;
  snapshots_gone_.insert(snapshots_gone_.end(), from, snapshots_.end());
  snapshots_.erase(from, snapshots_.end());
  pump_snapshots(io);
}

// The ends of former lives. They are right, but of no use once there is a later one; a truncation still knows of them.
void Log::sweep_snapshots(Io& io) {
  for (auto it = snapshots_.begin(); it != snapshots_.end() && std::next(it) != snapshots_.end(); ++it)
    if (!find_segment(*it) && ops_.size() < kMaxOps / 2)
      io.remove(begin(Step::sweep), options_.dir, file_path(*it, ".snapshot"));
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
  o.fold_from = o.certain = op.segment;
  locate_scan(io, out);
}

// The newest timestamps of segments that are not scanned, one after the other from their time indexes. Where one tells
// nothing, the scan begins.
void Log::load_newest(Io& io, Out& out) {
  Opening& o = *opening_;
  for (; o.newest_at < o.at; ++o.newest_at) {
    const Segment& s = segments_[o.newest_at];
    if (s.index_loaded || s.index.newest().timestamp >= 0 || s.size == 0) continue;
    const auto size = o.time_bytes.find(s.base);
    const auto entry = static_cast<int64_t>(kTimeEntryBytes);
    if (size == o.time_bytes.end() || size->second < entry) {
      o.at = o.newest_at;
      break;
    }
    const FileId file =
        io.open(begin(Step::close_files), options_.dir, file_path(s.base, ".timeindex"), OpenMode::read_write);
    Op read{Step::newest};
    read.segment = s.base;
    read.number = file.packed();
    return io.read(begin(std::move(read)), file, size->second / entry * entry - entry, kTimeEntryBytes);
  }
  start_scan(io, out);
}

void Log::on_newest(Io& io, const Op& op, const StorageEnd& end, Out& out) {
  Op closes{Step::close_files};
  closes.files = {FileId::unpack(op.number)};
  io.close(begin(std::move(closes)), FileId::unpack(op.number));
  if (!opening_) return;
  Opening& o = *opening_;
  Segment& s = segments_[o.newest_at];
  KLAMM_ASSERT_REL(s.base, ==, op.segment);
  const auto last = op.error == IoError::none ? read_time_entry(end.bytes.span()) : std::nullopt;
  if (last && last->timestamp >= 0 && s.base + last->relative < segments_[o.newest_at + 1].base) {
    s.index.set_newest({last->timestamp, s.base + last->relative});
    ++o.newest_at;
  } else {
    o.at = o.newest_at;
  }
  load_newest(io, out);
}

// ---- expiration

Expiration Log::expiration(const Ctx& ctx) const { return {ctx.wall.ms, options_.config.producer_expiration_ms}; }

}  // namespace klamm::log
