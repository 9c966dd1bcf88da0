// From memory to the disk: writes, syncs, checkpoints, the orderly end.
#include <algorithm>

#include "engine/log/checkpoints.h"
#include "engine/log/log.h"

namespace klamm::log {

Owner Log::begin(Op op) {
  op.generation = generation_;
  return {options_.module, ops_.add(std::move(op)), options_.key};
}

void Log::fail(IoError error, Out& out) {
  if (state_ == State::failed) return;
  state_ = State::failed;
  cleaning_.reset();
  out.failed = error;
}

void Log::on_storage(Io& io, const Owner& owner, const StorageEnd& end, Out& out) {
  KLAMM_ASSERT_REL(owner.key, ==, options_.key);
  Op& op = ops_.at(owner.step);
  if (op.step == Step::epoch_file) {
    const auto done = epoch_file_.on_storage(io, owner, end);
    if (!done) return;
    op.left = 1;
    op.error = *done;
  } else if (op.error == IoError::none || (op.error == IoError::not_found && end.error != IoError::none)) {
    op.error = end.error;  // not_found may be tolerated, what comes with it not
  }
  if (op.left > 1) {
    --op.left;
    return;
  }
  const Op done = ops_.take(owner.step);
  for (const FileId f : done.files) io.ops.close_file(f);
  if (state_ == State::failed) return;
  ended(io, done, end, out);
  if (state_ != State::failed) pump(io, out);
}

// Which failures are an answer and not the end of the log.
static bool tolerated(const Op& op) {
  switch (op.step) {
    case Step::list:
    case Step::load_identity:
    case Step::load_epochs:
    case Step::cut_remove:
    case Step::drop_snapshots:
    case Step::sweep_marks:
    case Step::front_names:
    case Step::put_away:
    case Step::clean_remove:
    case Step::swap_remove:
    case Step::move_away:
    case Step::remove_away:
    case Step::sweep: return op.error == IoError::not_found;
    case Step::cold_open:
    case Step::cold_index:
    case Step::cold_times:
    case Step::cold_read:
    case Step::clean_read:
    case Step::load_snapshot:
    case Step::load_aborted:
    case Step::newest:
    case Step::resume_offsets:
    case Step::resume_times:
    case Step::resume_head:
    case Step::close_files: return true;
    default: return false;
  }
}

void Log::ended(Io& io, const Op& op, const StorageEnd& end, Out& out) {
  const bool scanned = op.step == Step::scan && opening_ && op.generation == generation_;
  if (scanned && op.error != IoError::none && keep_damaged(io, out)) return;
  if (op.error != IoError::none && !tolerated(op)) return fail(op.error, out);
  switch (op.step) {
    case Step::list: return opening_ ? on_listed(io, op, end, out) : void();
    case Step::load_identity: return opening_ ? on_identity(io, op, end, out) : void();
    case Step::load_epochs: return opening_ ? on_epochs(io, op, end, out) : void();
    case Step::load_snapshot: return opening_ ? on_snapshot(io, op, end, out) : void();
    case Step::load_aborted: return opening_ ? on_aborted(io, op, end, out) : void();
    case Step::newest: return on_newest(io, op, end, out);
    case Step::resume_offsets:
    case Step::resume_times:
    case Step::resume_head: return opening_ ? on_resume(io, op, end, out) : void();
    case Step::open_scanned:
      if (Segment* s = find_segment(op.segment); s && opening_) s->size = end.value, scan_segment(io, out);
      return;
    case Step::scan:
      if (scanned) on_scanned(io, end, out);
      return;
    case Step::move_stray: io.sync_dir(begin(Step::name_stray), options_.dir, ""); return;
    case Step::name_stray: return opening_ ? on_strayed(io, out) : void();
    case Step::open_segment:
      if (Segment* s = find_segment(op.segment); s && s->file == FileId::unpack(op.number)) s->named = true;
      return;
    case Step::write:
      for (WriteRun& w : writes_)
        if (w.number == op.number) w.done = true;
      return;
    case Step::write_identity: identity_.visible = true; return;
    case Step::sync_identity: identity_.durable = true; return;
    case Step::sync: round_.files_done = true; return;
    case Step::names:
      names_running_ = false;
      if (op.generation != generation_) return;  // asked again
      identity_.dir_durable = true;
      for (const Offset base : op.segments)
        if (Segment* s = find_segment(base)) s->name_durable = true;
      roll_waits_ = false;
      return;
    case Step::write_index:
    case Step::name_aborted: return on_indexes(io, op);
    case Step::epoch_file: return;
    case Step::write_snapshot: snapshot_running_ = false; return sweep_snapshots(io);
    case Step::sweep_marks:
    case Step::sweep_mark_names: return on_swept(io, op);
    case Step::drop_snapshots: io.sync_dir(begin(Step::drop_snapshot_names), options_.dir, path_); return;
    case Step::drop_snapshot_names:
      snapshot_running_ = false;
      KLAMM_ASSERT_REL(held_, >, 0);
      --held_;
      return;
    case Step::cut: return remove_cut(io, op);
    case Step::cut_remove:
      if (!op.segments.empty()) return remove_cut(io, op);
      io.sync_dir(begin(Step::cut_names), options_.dir, path_);
      return;
    case Step::cut_names:
      KLAMM_ASSERT_REL(held_, >, 0);
      --held_;
      return;
    case Step::front_names:
      front_sure_ = true;
      put_away_running_ = false;
      return;
    case Step::put_away: {
      Op names{Step::put_away_names};
      names.segment = op.segment;
      return io.sync_dir(begin(std::move(names)), options_.dir, path_);
    }
    case Step::put_away_names: return on_put_away(io, op.segment, out);
    case Step::clean_read:
    case Step::clean_write:
    case Step::clean_remove: return on_clean(io, op, end, out);
    case Step::swap_scan: return opening_ ? on_swap_scan(io, end) : void();
    case Step::swap_remove:
    case Step::swap_names: return opening_ ? on_swap_step(io, op.step) : void();
    case Step::cold_open: return on_cold_open(io, op, out);
    case Step::cold_index: return on_cold_index(io, op, end, out);
    case Step::cold_times: return on_cold_times(io, op, end, out);
    case Step::cold_read: return on_cold_read(io, op, end, out);
    case Step::move_away: io.sync_dir(begin(Step::name_away), options_.dir, ""); return;
    case Step::name_away: return on_moved_away(io, out);
    case Step::remove_away:
      state_ = State::gone;
      out.removed = true;
      return;
    case Step::close_files:
    case Step::sweep: return;
  }
}

void Log::pump(Io& io, Out& out) {
  update_written(out);
  if (ready() || state_ == State::closing || (opening_ && opening_->draining)) flush(io);
  pump_cleaning(io, out);
  start_waiting_cold(io, out);
  pump_opening(io, out);
  if (sync_wanted_ && !round_.running) start_round(io);
  pump_names(io);
  update_synced(io, out);
  pump_put_away(io);
  pump_epoch_file(io);
  pump_snapshots(io);
  pump_checkpoint(io, out);
  pump_snapshots(io);
  pump_closing(io, out);
  pump_leaving(io);
}

// ---- writes

void Log::begin_identity(Io& io) {
  identity_.begun = identity_.syncing = on_disk_ = true;
  const Owner written = begin(Step::write_identity, 2);
  const FileId file = io.open(written, options_.dir, path_ + "/" + kPartitionMetadataFile, OpenMode::create_empty);
  io.write(written, file, 0, {Slice::copy(encode_partition_metadata(options_.topic))});
  Op synced{Step::sync_identity, 2};
  synced.files = {file};
  const Owner after = begin(std::move(synced));
  io.sync(after, file);
  io.close(after, file);
}

void Log::open_segment(Io& io, Segment& s) {
  Op op{Step::open_segment};
  op.segment = s.base;
  const Owner owner = begin(std::move(op));
  // Closed for the end of the log, or after an open that failed, it may be there already.
  const OpenMode mode = s.named ? OpenMode::read_write : OpenMode::create_empty;
  s.file = io.open(owner, options_.dir, file_path(s.base, ".log"), mode);
  ops_.at(owner.step).number = s.file.packed();
}

// At an orderly end: what lies between the last segment's beginning and `at` is read again quickly, so that what spares
// the reading need not survive a loss of power. Recovery believes nothing that is torn.
bool Log::spares_little(Offset at) const {
  return state_ == State::closing && at > segments_.back().base && segments_.back().size < options_.resume_least;
}

// Over what the files held: they never tell less than before (log_resume.cc).
void Log::write_indexes(Io& io, Segment& s) {
  const bool sync = &s != &segments_.back() || !spares_little(ends_.submitted);
  const auto write = [&](const char* suffix, std::vector<Slice> content) {
    Op op{Step::write_index, static_cast<uint32_t>(3 + (content.empty() ? 0 : 1) + (sync ? 1 : 0))};
    op.segment = s.base;
    const Owner owner = begin(std::move(op));
    const FileId file = io.open(owner, options_.dir, file_path(s.base, suffix), OpenMode::create);
    const auto size = static_cast<int64_t>(content.empty() ? 0 : content.front().size());
    if (!content.empty()) io.write(owner, file, 0, std::move(content));
    io.truncate(owner, file, size);
    if (sync) io.sync(owner, file);
    io.close(owner, file);
    ops_.at(owner.step).files = {file};
    ++s.index_writes;
  };
  write(".index", s.index.encode_offsets());
  write(".timeindex", s.index.encode_times());
  s.txn_file = s.txn_file || !s.aborted.empty();
  if (s.txn_file)
    write(".txnindex", s.aborted.empty() ? std::vector<Slice>() : std::vector{encode_txn_index(s.aborted)});
  s.index_durable = true;
}

void Log::on_indexes(Io& io, const Op& op) {
  Segment* s = find_segment(op.segment);
  if (!s || s->index_writes == 0) return;
  if (op.step == Step::name_aborted) s->txn_named = op.generation == generation_;  // else there may be a new one
  if (--s->index_writes > 0) return;
  if (s->txn_file && !s->txn_named) {
    ++s->index_writes;
    Op names{Step::name_aborted};
    names.segment = s->base;
    return io.sync_dir(begin(std::move(names)), options_.dir, path_);
  }
  if (!s->index_durable) write_sealed(io, *s);
}

// A segment that became full. What is being written of it already goes first.
void Log::write_sealed(Io& io, Segment& s) {
  if (s.index_writes > 0) return;
  s.index.seal();
  write_indexes(io, s);
  s.index.thin();
}

bool Log::indexes_due() const {
  return std::any_of(segments_.begin(), segments_.end(),
                     [](const Segment& s) { return s.index_writes > 0 || !s.index_durable; });
}

// A segment's file is made only once the name of the one before it is durable: a log may lose its end, never its start.
void Log::flush(Io& io) {
  if (!dirty() || held_ > 0 || closing_) return;
  KLAMM_ASSERT(ready() || state_ == State::closing || (opening_ && opening_->draining));
  if (!identity_.begun) begin_identity(io);
  size_t first = segments_.size();
  const auto due = [](const Segment& s) { return s.pending_bytes > 0 || !s.index_durable || s.lacks_file(); };
  while (first > 0 && due(segments_[first - 1])) --first;
  // A mark was where a segment ended now, and would vouch for index files that are just being written over.
  for (size_t i = first; i + 1 < segments_.size(); ++i)
    if (!segments_[i].index_durable && snapshots_.count(segments_[i + 1].base))
      return drop_snapshots_above(io, segments_[i + 1].base - 1);
  for (size_t i = first; i < segments_.size(); ++i) {
    Segment& s = segments_[i];
    if (s.pending_bytes > 0 || s.lacks_file()) {
      if (writes_.size() >= kMaxWrites) return;
      if (!s.file && i > 0 && !segments_[i - 1].name_durable) {
        roll_waits_ = true;
        return pump_names(io);
      }
      if (!s.file) open_segment(io, s);
    }
    if (s.pending_bytes > 0) {
      const bool active = i + 1 == segments_.size();
      Op op{Step::write};
      op.number = next_write_++;
      op.segment = s.base;
      flushed_ = active ? ends_.submitted : segments_[i + 1].base;
      writes_.push_back({op.number, flushed_});
      io.write(begin(std::move(op)), s.file, s.size - s.pending_bytes, std::move(s.pending));
      s.pending.clear();
      s.pending_bytes = 0;
    }
    if (!s.index_durable) write_sealed(io, s);
  }
  KLAMM_ASSERT_REL(flushed_, ==, ends_.submitted);
}

void Log::update_written(Out& out) {
  while (!writes_.empty() && writes_.front().done) {
    write_reached_ = std::max(write_reached_, writes_.front().end);
    writes_.pop_front();
  }
  if (!identity_.visible || write_reached_ <= ends_.written) return;
  ends_.written = write_reached_;
  KLAMM_ASSERT_REL(ends_.written, <=, ends_.submitted);
  out.written = true;
  tail_.evict(options_.tail_bytes, ends_.written);
}

// ---- syncs

void Log::sync(Io& io) {
  flush(io);
  if (ends_.synced == ends_.submitted || (round_.running && round_.target == ends_.submitted)) return;
  sync_wanted_ = true;
  if (!round_.running) start_round(io);
}

void Log::start_round(Io& io) {
  if (held_ > 0 || !(ready() || state_ == State::closing)) return;
  flush(io);
  sync_wanted_ = dirty();  // flush may stop half-way
  round_ = {.running = true, .target = flushed_};
  std::vector<Segment*> due;  // clean segments come before those that are not
  for (auto s = segments_.rbegin(); s != segments_.rend() && (s->unsynced || !s->name_durable); ++s) {
    if (s->file && s->unsynced) due.push_back(&*s);
  }
  round_.files_done = due.empty();
  if (!due.empty()) {
    const Owner owner = begin(Step::sync, static_cast<uint32_t>(due.size()));
    for (Segment* s : due) {
      io.sync(owner, s->file);
      s->unsynced = s->pending_bytes > 0;
    }
  }
  if (!identity_.begun) {
    begin_identity(io);
  } else if (!identity_.syncing) {  // recovery found it: perhaps it was never synced
    identity_.syncing = true;
    Op op{Step::sync_identity, 3};
    const Owner owner = begin(std::move(op));
    const FileId file = io.open(owner, options_.dir, path_ + "/" + kPartitionMetadataFile, OpenMode::read_write);
    io.sync(owner, file);
    io.close(owner, file);
    ops_.at(owner.step).files = {file};
  }
}

// Some files have names that a loss of power may take, and a sync or the next segment waits for them.
bool Log::names_missing() const {
  if (!identity_.dir_durable) return true;
  for (auto s = segments_.rbegin(); s != segments_.rend() && (s->unsynced || !s->name_durable); ++s)
    if (s->file && !s->name_durable) return true;
  return false;
}

void Log::pump_names(Io& io) {
  if (names_running_ || !(round_.running || roll_waits_ || puts_away()) || !identity_.visible || !names_missing())
    return;
  Op op{Step::names, static_cast<uint32_t>(identity_.dir_durable ? 1 : 2)};
  for (auto s = segments_.rbegin(); s != segments_.rend() && (s->unsynced || !s->name_durable); ++s) {
    if (!s->file || s->name_durable) continue;
    if (!s->named) return;  // its open has not ended
    op.segments.push_back(s->base);
  }
  const Owner owner = begin(std::move(op));
  io.sync_dir(owner, options_.dir, path_);
  if (!identity_.dir_durable) io.sync_dir(owner, options_.dir, "");
  names_running_ = true;
}

void Log::update_synced(Io& io, Out& out) {
  // A segment that is just being put away may come back unsynced, and then all behind it is lost.
  if (round_.running && round_.files_done && identity_.durable && !names_missing() && !put_away_running_) {
    round_.running = false;
    sync_reached_ = std::max(sync_reached_, round_.target);
    if (sync_wanted_) start_round(io);
  }
  const Offset synced = std::min(sync_reached_, ends_.written);
  if (synced <= ends_.synced) return;
  ends_.synced = synced;
  out.synced = true;
  io.ctx.trace.event({TraceKind::durable, 0, options_.partition, topic_key(options_.topic), synced});
}

// ---- checkpoints and the orderly end

bool Log::checkpoint(Io& io) {
  KLAMM_ASSERT(ready());
  checkpoint_wanted_ = true;
  Out out;
  pump_checkpoint(io, out);
  return out.checkpointed;
}

void Log::pump_checkpoint(Io& io, Out& out) {
  if (checkpoint_to_ < 0) {
    if (!checkpoint_wanted_ || !(ready() || state_ == State::closing)) return;
    checkpoint_wanted_ = false;
    checkpoint_to_ = ends_.submitted;
    sync(io);
  }
  if (opening_) return;  // a truncation is reading the epochs back
  if (ends_.synced < checkpoint_to_ || held_ > 0 || epoch_file_.busy()) return;
  EpochCache due = epochs_below(checkpoint_to_);
  if (on_disk_ && due != epoch_file_holds_) {
    write_epoch_file(io, std::move(due));
    return;
  }
  if (indexes_due()) return;
  recovery_point_ = checkpoint_to_;
  checkpoint_to_ = -1;
  out.checkpointed = true;
  if (checkpoint_wanted_) pump_checkpoint(io, out);  // nothing else need happen any more
}

// Epochs that wrote something before `end`. An empty log remembers whose record was its last.
EpochCache Log::epochs_below(Offset end) const {
  EpochCache below = epochs_;
  below.truncate_from_end(std::max(end, ends_.log_start + 1));
  return below;
}

void Log::write_epoch_file(Io& io, EpochCache epochs) {
  const Owner owner = begin(Step::epoch_file);
  epoch_file_.start(io, owner, options_.dir, path_ + "/" + kEpochFile,
                    Slice::copy(encode_epoch_checkpoint(epochs.entries())));
  epoch_file_holds_ = std::move(epochs);
}

bool Log::close(Io& io) {
  KLAMM_ASSERT(ready());
  state_ = State::closing;
  checkpoint_wanted_ = true;
  mark_.reset();
  abandon_cleaning(io);
  Out out;
  pump_checkpoint(io, out);
  pump_snapshots(io);
  pump_closing(io, out);
  return out.closed;
}

void Log::pump_closing(Io& io, Out& out) {
  if (state_ != State::closing || checkpoint_wanted_ || checkpoint_to_ >= 0 || held_ > 0 || cleaning_) return;
  if (!last_indexes_) {
    if (indexes_due()) return;
    last_indexes_ = true;
    if (on_disk_ && !segments_.empty() && segments_.back().file &&
        segments_.back().index_holds != segments_.back().size) {
      segments_.back().index.seal();
      write_indexes(io, segments_.back());
    }
  }
  if (!closing_) {
    if (indexes_due() || !end_has_snapshot(io)) return;
    closing_ = true;
    close_files(io);
  }
  if (ops_.size() > 0) return;
  state_ = State::closed;
  out.closed = true;
}

}  // namespace klamm::log
