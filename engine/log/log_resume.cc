// What recovery learns from index files: the newest timestamps of segments that it need not read, and where in the
// first segment that it must look at to begin: at the last index entry below what a snapshot vouches for.
//
// The index files of the active segment are complete before a snapshot at its end or in its middle is written, and
// later only the same entries and more are written over them. All the same a wrong entry does no harm: from it on there
// must be good batches up to what the snapshot vouches for; if not, the segment is read from its start.
#include "engine/log/log.h"

namespace klamm::log {

// ---- the segments before the scan

// One after the other. An empty time index says that no record has a time: what is below a recovery point was written
// with its indexes. Where it tells nothing, the scan begins.
void Log::load_newest(Io& io, Out& out) {
  Opening& o = *opening_;
  for (; o.newest_at < o.at; ++o.newest_at) {
    Segment& s = segments_[o.newest_at];
    if (s.index_loaded || s.index.newest().timestamp >= 0 || s.size == 0) continue;
    const auto size = o.time_bytes.find(s.base);
    const auto entry = static_cast<int64_t>(kTimeEntryBytes);
    if (size != o.time_bytes.end() && size->second == 0) {
      s.created_ms = io.ctx.wall.ms;
      continue;
    }
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
  const bool zeros = last && last->relative == 0 && last->timestamp == 0;  // of a file that was never cut to its length
  if (last && !zeros && last->timestamp >= 0 && s.base + last->relative < segments_[o.newest_at + 1].base) {
    s.index.set_newest({last->timestamp, s.base + last->relative});
    ++o.newest_at;
  } else {
    o.at = o.newest_at;
  }
  load_newest(io, out);
}

// ---- the segment where it begins

bool Log::can_resume(const Segment& s) const {
  const Opening& o = *opening_;
  return o.may_resume && !o.again && o.epochs_known && s.base < o.certain && s.size >= options_.resume_least;
}

void Log::load_resume(Io& io, const Segment& s) {
  opening_->loads = 3;
  const auto op = [&](Step step) {
    Op o{step};
    o.segment = s.base;
    return begin(std::move(o));
  };
  io.load(op(Step::resume_offsets), options_.dir, file_path(s.base, ".index"), kMaxIndexFile);
  io.load(op(Step::resume_times), options_.dir, file_path(s.base, ".timeindex"), kMaxIndexFile);
  io.read(op(Step::resume_head), s.file, 0, kBatchHeaderSize);
}

void Log::on_resume(Io& io, const Op& op, const StorageEnd& end, Out& out) {
  Opening& o = *opening_;
  Slice& into = op.step == Step::resume_offsets ? o.offset_file : op.step == Step::resume_times ? o.time_file : o.head;
  into = op.error == IoError::none ? end.bytes : Slice();
  if (--o.loads > 0) return;
  Segment& s = segments_[o.at];
  const auto first = o.head.size() == kBatchHeaderSize ? read_sane_header(o.head.data()) : std::nullopt;
  s.index = SegmentIndex(s.base);
  const auto at =
      first ? s.index.resume({o.offset_file.span(), o.time_file.span()}, {s.size, o.certain}) : std::nullopt;
  o.offset_file = o.time_file = o.head = {};
  if (!at) return resume_in_vain(io, out);
  s.first_timestamp = first->max_timestamp;
  s.marked = at->position;
  o.resumed = true;
  o.placed = false;
  scan_from(io, *at, out);
}

// The first batch of a scan that was resumed: epochs up to it are known, if the epoch file speaks of this log, and of
// no interest if it lies before the log start.
bool Log::resumed_in_vain(const BatchHeader& first) {
  Opening& o = *opening_;
  if (!o.resumed || o.placed) return false;
  o.placed = true;
  return first.base_offset >= o.from.log_start && epochs_.epoch_at(first.base_offset) != first.partition_leader_epoch;
}

// This segment from its start, and all that follow.
void Log::resume_in_vain(Io& io, Out& out) {
  Opening& o = *opening_;
  Segment& s = segments_[o.at];
  o.may_resume = o.resumed = false;
  s.first_timestamp = kNoTimestamp;
  s.marked = 0;
  s.index = SegmentIndex(s.base);
  forget_epochs();
  scan_from(io, {0, std::max(o.end, s.base)}, out);
}

}  // namespace klamm::log
