// Recovery: what a former life left on disk becomes a log again. The batches are the truth; the rest follows from them.
#include <algorithm>
#include <limits>

#include "engine/log/checkpoints.h"
#include "engine/log/log.h"

namespace klamm::log {

void Log::open(Io& io, const OpenFrom& from) {
  KLAMM_ASSERT(state_ == State::fresh);
  state_ = State::opening;
  opening_.emplace(Opening{});
  opening_->from = from;
  opening_->limit = std::numeric_limits<Offset>::max();
  opening_->refold = options_.track_producers;
  on_disk_ = true;  // for all we know
  io.list(begin(Step::list), options_.dir, path_);
}

void Log::on_listed(Io& io, const Op& op, const StorageEnd& end, Out& out) {
  if (op.error == IoError::not_found) {
    on_disk_ = false;
    return finish_empty(io, out);
  }
  if (complete_swaps(io, *end.entries)) return;  // then it is listed again
  bool identity = false, epochs = false;
  std::vector<std::pair<Offset, const std::string*>> indexes;
  for (const DirEntry& e : *end.entries) {
    Offset base = 0;
    if (parse_segment_file(e.name, ".log", &base)) {
      segments_.emplace_back(base);
      Segment& s = segments_.back();
      s.size = e.size;
      s.named = s.name_durable = true;
      s.index_loaded = s.times_loaded = false;
    }
    for (const char* suffix : {".index", ".timeindex", ".txnindex"})
      if (parse_segment_file(e.name, suffix, &base)) indexes.push_back({base, &e.name});
    if (parse_segment_file(e.name, ".timeindex", &base)) opening_->time_bytes[base] = e.size;
    if (parse_segment_file(e.name, ".snapshot", &base)) snapshots_.insert(base);
    identity |= e.name == kPartitionMetadataFile;
    epochs |= e.name == kEpochFile;
    for (const char* leftover : {".tmp", ".deleted", ".cleaned"}) {
      if (!e.name.ends_with(leftover)) continue;
      if (ops_.size() < kMaxOps / 2)
        io.remove(begin(Step::sweep), options_.dir, path_ + "/" + e.name);
      else
        uncleanable_ = true;  // in this life: beside an old cleaned file a swap file would not be believed
    }
  }
  for (const auto& [base, name] : indexes) {
    const bool aborted = name->ends_with(".txnindex");
    if (Segment* s = find_segment(base)) {
      s->txn_file = s->txn_file || aborted;
      continue;
    }
    if (aborted) lost_aborted_.insert(base);
    if (ops_.size() < kMaxOps / 2) io.remove(begin(Step::sweep), options_.dir, path_ + "/" + *name);
  }
  const auto load = [&](Step step, const char* name) {
    ++opening_->loads;
    io.load(begin(step), options_.dir, path_ + "/" + name, kMaxPartitionFileBytes);
  };
  opening_->identity_wrong = !options_.adopt_unnamed && !segments_.empty();
  if (identity) load(Step::load_identity, kPartitionMetadataFile);
  if (epochs) load(Step::load_epochs, kEpochFile);
  if (opening_->loads == 0) begin_scan(io, out);
}

void Log::on_identity(Io& io, const Op& op, const StorageEnd& end, Out& out) {
  if (const auto id = parse_partition_metadata(end.bytes.text()); op.error == IoError::none && id) {
    opening_->identity_wrong = *id != options_.topic;
    identity_.begun = identity_.visible = true;
  }
  if (--opening_->loads == 0) begin_scan(io, out);
}

void Log::on_epochs(Io& io, const Op& op, const StorageEnd& end, Out& out) {
  if (const auto entries = parse_epoch_checkpoint(end.bytes.text()); op.error == IoError::none && entries) {
    for (const EpochEntry& e : *entries) epochs_.assign(e);
    epoch_file_holds_ = epochs_;
    opening_->epochs_known = epochs_.latest() >= opening_->from.epoch;
  }
  if (--opening_->loads == 0) begin_scan(io, out);
}

void Log::begin_scan(Io& io, Out& out) {
  if (opening_->identity_wrong) {  // somebody else's: a topic of this name that is gone
    const Uuid away = io.ctx.chance.uuid(Stream::directory_id, static_cast<uint64_t>(topic_key(options_.topic)),
                                         static_cast<uint64_t>(options_.partition));
    segments_.clear();
    snapshots_.clear();
    epochs_.clear();
    epoch_file_holds_.clear();
    identity_ = {};
    on_disk_ = false;
    return io.rename(
        begin(Step::move_stray), options_.dir,
        {path_, moved_partition_dir(options_.topic_name, options_.partition, away, PartitionDirKind::stray)});
  }
  if (segments_.empty()) return finish_empty(io, out);
  if (opening_->refold) return choose_snapshot(io, out);
  locate_scan(io, out);
}

// What need not be read again is skipped.
void Log::locate_scan(Io& io, Out& out) {
  Opening& o = *opening_;
  if (o.refold && !o.again && !o.from.clean) o.from.recovery_point = std::min(o.from.recovery_point, o.certain);
  if (!o.again && identity_.visible) {
    // Something below the recovery point lies here: then the directory was durable when it was written down.
    const bool sure = segments_.front().base < o.from.recovery_point;
    identity_.syncing = identity_.durable = identity_.dir_durable = sure;
  }
  Offset from = std::min(o.from.recovery_point, o.limit);
  if (o.refold) from = std::min(from, o.fold_from);
  o.at = o.newest_at = 0;
  if (o.epochs_known)
    while (o.at + 1 < segments_.size() && segments_[o.at + 1].base <= from) ++o.at;
  if (!options_.track_producers) return start_scan(io, out);
  load_aborted(io, out);
}

void Log::start_scan(Io& io, Out& out) {
  Opening& o = *opening_;
  o.end = segments_[o.at].base;
  scan_segment(io, out);
}

// Without an epoch file the scan tells them, from this segment on.
void Log::forget_epochs() {
  Opening& o = *opening_;
  if (!o.epochs_known) epochs_.truncate_from_end(o.end);
  o.epoch = epochs_.epoch_at(o.end - 1);
}

// The file is believed as long as no batch contradicts it: it knows where epochs began whose first batches compaction
// has taken.
void Log::note_epoch(const BatchHeader& h) {
  const LeaderEpoch epoch = h.partition_leader_epoch;
  if (epochs_.epoch_at(h.base_offset) != epoch || epochs_.epoch_at(h.last_offset()) != epoch)
    epochs_.truncate_from_end(opening_->scanner.expect());
  if (epoch > epochs_.latest()) epochs_.assign({epoch, h.base_offset});
}

void Log::scan_segment(Io& io, Out& out) {
  Opening& o = *opening_;
  if (o.at == segments_.size()) return finish_open(io, out);
  o.waiting = ops_.size() >= kMaxOps / 2;  // index files are slower to write than segments to read
  if (o.waiting) return;
  Segment& s = segments_[o.at];
  // Where compaction was; else what lay between has been lost. Within a file it would be missed: there are gaps only
  // where compaction was, here or at the leader whose batches these are.
  // Kafka leaves them wherever a round of cleaning went on; a snapshot at or behind one says that all was there when it
  // was made, even if no file of the node tells of this log.
  const bool vouched = !snapshots_.empty() && s.base <= *snapshots_.rbegin();
  const bool gap_allowed = vouched || s.base < std::max(o.from.recovery_point, o.from.cleaned_to);
  if (s.base < o.end || (s.base > o.end && !gap_allowed)) return cut_behind(io, out);
  if (!s.file) {
    Op op{Step::open_scanned};
    op.segment = s.base;
    s.file = io.open(begin(std::move(op)), options_.dir, file_path(s.base, ".log"), OpenMode::read_write);
    return;
  }
  s.index_loaded = s.times_loaded = true;
  s.created_ms = io.ctx.wall.ms;
  draw_jitter(io.ctx, s);
  o.resumed = false;
  if (can_resume(s)) return load_resume(io, s);
  forget_epochs();
  s.first_timestamp = kNoTimestamp;
  s.index = SegmentIndex(s.base);
  scan_from(io, {0, std::max(o.end, s.base)}, out);
}

void Log::scan_from(Io& io, const ResumePoint& from, Out& out) {
  Opening& o = *opening_;
  ScanOptions scan;
  scan.position = from.position;
  scan.file_size = segments_[o.at].size;
  scan.base = segments_[o.at].base;
  scan.expect = from.from;
  scan.epoch = o.resumed ? kNoEpoch : o.epoch;
  scan.limit = o.limit;
  o.scanner = BatchScanner(scan);
  o.read_at = from.position;
  read_scan(io, out);
}

void Log::read_scan(Io& io, Out& out) {
  Opening& o = *opening_;
  Segment& s = segments_[o.at];
  if (o.read_at < s.size) {
    const auto size = static_cast<uint32_t>(std::min<int64_t>(kScanBytes, s.size - o.read_at));
    return io.read(begin(Step::scan), s.file, o.read_at, size);
  }
  if (!o.scanner.between_batches()) return cut_here(io, true, out);
  o.end = o.scanner.expect();
  o.epoch = o.scanner.epoch();
  if (++o.at < segments_.size()) {
    if (!o.again && (segments_[o.at].base > o.from.recovery_point || o.vouched > 0))
      write_sealed(io, s);
    else
      s.index.thin();
  }
  scan_segment(io, out);
}

void Log::on_scanned(Io& io, const StorageEnd& end, Out& out) {
  Opening& o = *opening_;
  Segment& s = segments_[o.at];
  bool in_vain = false;
  const auto verdict = o.scanner.feed(end.bytes.span(), [&](const BatchHeader& h, int64_t position, ByteSpan batch) {
    in_vain = in_vain || resumed_in_vain(h);
    if (in_vain) return;
    if (position == 0) s.first_timestamp = h.max_timestamp;
    s.index.add(h, position, options_.config.index_interval_bytes);
    note_epoch(h);
    if (options_.tell_control && !batch.empty()) out.control.push_back(Slice::copy(batch));
    if (o.refold && h.base_offset >= o.fold_from) apply_batch(s, {h, read_end_marker(h, batch)});
  });
  if (in_vain) return resume_in_vain(io, out);
  if (verdict != BatchScanner::Verdict::more) return cut_here(io, verdict == BatchScanner::Verdict::bad, out);
  o.read_at = end.bytes.empty() ? s.size : o.read_at + static_cast<int64_t>(end.bytes.size());
  read_scan(io, out);
}

// What is bad or cannot be read lies below what was durable: then it has come since, and takes nothing with it. The
// segment stays as it is, for reads to tell; its index files may still lead to what is behind. After an orderly end
// that holds for the last segment too, only that nothing more is appended to it.
bool Log::keep_damaged(Io& io, Out& out) {
  Opening& o = *opening_;
  const bool last = o.at + 1 == segments_.size();
  const Offset sure = std::min(o.from.recovery_point, o.limit);
  const Offset end = last ? sure : segments_[o.at + 1].base;
  if (!options_.track_producers || end > sure || end <= o.scanner.expect()) return false;
  if (last && (!o.from.clean || o.again)) return false;
  Segment& s = segments_[o.at];
  const TimestampAndOffset newest = s.index.newest();
  s.index = SegmentIndex(s.base);
  s.index.set_newest(newest);
  s.index_loaded = s.times_loaded = o.resumed = false;
  o.end = end;
  if (last) {
    begin_segment(io.ctx, end);
    segments_.back().forced = true;
    ++o.at;
  }
  ++o.at;
  scan_segment(io, out);
  return true;
}

// The log ends with the last good batch of the segment under scan.
void Log::cut_here(Io& io, bool damaged, Out& out) {
  Opening& o = *opening_;
  if (o.resumed && o.scanner.expect() < o.certain) return resume_in_vain(io, out);
  if (damaged && keep_damaged(io, out)) return;
  o.end = o.scanner.expect();
  cut_open(io, o.at, o.scanner.position(), damaged);
}

// The segment under scan does not continue the one before it.
void Log::cut_behind(Io& io, Out& out) {
  Opening& o = *opening_;
  KLAMM_ASSERT_REL(o.at, >, 0);
  cut_open(io, o.at - 1, segments_[o.at - 1].size, true);
  pump_opening(io, out);
}

void Log::cut_open(Io& io, size_t keep, int64_t position, bool damaged) {
  if (damaged) {
    PROBE(io.ctx, log_torn_tail);
    dropped_bytes_ += segments_[keep].size - position;
    for (size_t i = keep + 1; i < segments_.size(); ++i) dropped_bytes_ += segments_[i].size;
  }
  drop_snapshots_above(io, opening_->end);
  cut_files(io, keep, position);
  opening_->cutting = true;
}

void Log::tell_dropped(Ctx& ctx) const {
  const Uuid& topic = options_.topic;
  ctx.trace.event(
      {TraceKind::log_tail_dropped, 0, options_.partition, topic_key(topic), topic_key_rest(topic), dropped_bytes_});
}

void Log::pump_opening(Io& io, Out& out) {
  if (!opening_ || held_ > 0 || cleaning_) return;
  if (opening_->draining && !dirty() && writes_.empty()) {
    opening_->draining = false;
    begin_scan(io, out);
  } else if (opening_->waiting) {
    scan_segment(io, out);
  } else if (opening_->cutting) {
    finish_open(io, out);
  }
}

void Log::finish_open(Io& io, Out& out) {
  // After a crash those that were not believed go: nothing tells that what is below them was durable, or is the same.
  const bool doubts = !opening_->again && opening_->refold;
  drop_snapshots_above(io, doubts ? std::min(opening_->certain, opening_->end) : opening_->end);
  if (opening_->refold && opening_->fold_from > opening_->end) {  // that snapshot was of another log
    opening_->cutting = false;
    opening_->from.recovery_point = opening_->vouched = 0;
    return begin_scan(io, out);
  }
  const Opening o = *opening_;
  opening_.reset();
  state_ = State::ready;
  const bool first = !o.again;
  if (first) {
    for (size_t i = 0; i < segments_.size(); ++i) {
      Segment& s = segments_[i];
      const bool sure = i + 1 < segments_.size() && segments_[i + 1].base <= o.from.recovery_point;
      s.unsynced = s.file && !sure;
      s.name_durable = sure;
    }
    Segment& last = segments_.back();
    last.unsynced = last.unsynced || last.forced;
    const bool small = last.size < options_.resume_least && o.time_bytes.count(last.base);
    if (o.from.clean && o.certain == o.end && o.vouched == 0 && (o.resumed || small)) last.index_holds = last.size;
    sweep_snapshots(io);
    ends_.log_start = std::max(segments_.front().base, std::min(o.from.log_start, o.end));
    ends_.synced = recovery_point_ = std::min(o.from.recovery_point, o.end);
    noted_recovery_point_ = recovery_point_;
    cleaned_to_ = o.from.cleaned_to > o.end ? ends_.log_start : std::max(o.from.cleaned_to, ends_.log_start);
  }
  if (!first) clip_ends(o.end);
  ends_.submitted = ends_.written = flushed_ = write_reached_ = o.end;
  sync_reached_ = ends_.synced;
  epochs_.truncate_from_end(o.end);
  epochs_.truncate_from_start(ends_.log_start);
  // After a crash the file may tell of an older epoch than the batches that are gone had: of an empty log nothing else
  // would say so, and no epoch is better than that one.
  if (first && !o.from.clean && ends_.log_start == o.end) epochs_.clear();
  if (!segments_.empty()) forget_aborted_from(&segments_.back().aborted, o.end);
  tail_.reset(o.end);
  ops_.give_back_memory();  // most logs are idle
  out.ready = true;
  io.ctx.trace.event(
      {TraceKind::log_recovered, 0, options_.partition, topic_key(options_.topic), o.end, ends_.log_start});
  if (first) begin_behind_deleted(io, o.from.log_start);
}

// Where the log starts was durable and what lies before it was not: the deleted stays deleted, and no offset is given
// twice.
void Log::begin_behind_deleted(Io& io, Offset log_start) {
  if (log_start <= ends_.submitted) return;
  const Uuid away = io.ctx.chance.uuid(Stream::directory_id, static_cast<uint64_t>(options_.partition),
                                       static_cast<uint64_t>(log_start));
  truncate_fully_and_start_at(io, log_start, away);
}

// What the node's checkpoints say was said of that other topic, and would be believed of this one after a crash: it is
// for the node to write them anew first. The metadata log has no lines in them.
void Log::on_strayed(Io& io, Out& out) {
  if (options_.adopt_unnamed) return finish_empty(io, out);
  opening_.reset();
  lost_aborted_.clear();
  state_ = State::fresh;
  out.strayed = true;
}

void Log::finish_empty(Io& io, Out& out) {
  if (opening_->refold) producers_.reset_to(ends_.submitted);
  const Offset log_start = on_disk_ ? opening_->from.log_start : 0;
  drop_snapshots_above(io, ends_.submitted);
  epochs_.clear();  // of a file whose batches are gone
  opening_.reset();
  state_ = State::ready;
  ops_.give_back_memory();  // most logs are idle
  out.ready = true;
  io.ctx.trace.event({TraceKind::log_recovered, 0, options_.partition, topic_key(options_.topic), 0, 0});
  begin_behind_deleted(io, log_start);
}

}  // namespace klamm::log
