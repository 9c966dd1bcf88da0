// Truncation, and the directory that goes away.
#include <algorithm>
#include <limits>

#include "engine/log/checkpoints.h"
#include "engine/log/log.h"

namespace klamm::log {

// Memory changes at once. On disk: shorten and sync the segment that stays, remove the later ones, make their absence
// durable; only then may a write follow (held_). Otherwise a loss of power could bring old batches back behind new
// ones.
void Log::truncate_to(Io& io, Offset offset) {
  KLAMM_ASSERT(ready());
  offset = std::max(offset, ends_.log_start);
  const Offset before = ends_.submitted;
  if (offset >= before) {
    // An epoch that began at the end and wrote nothing goes too: the leader that this log follows may not know it.
    epochs_.truncate_from_end(before);
    return;
  }
  ++generation_;
  abandon_cleaning(io);
  forget_cold();
  const bool folds = producers_.truncate_to(offset);
  const bool located = truncate_in_memory(io, offset);
  const Offset to = located ? ends_.submitted : offset;
  io.ctx.trace.event({TraceKind::log_truncated, 0, options_.partition, topic_key(options_.topic), to, before});
  if (folds && located) return;
  reopen(io, located ? std::numeric_limits<Offset>::max() : offset, !folds);
}

// False if the place of `offset` is not in memory: then nothing has happened.
bool Log::truncate_in_memory(Io& io, Offset offset) {
  if (offset < tail_.from()) return false;
  const TailBatch& cut = *tail_.find(offset);
  const Offset end = std::min(offset, cut.base);
  const int64_t position = cut.position;
  const auto at = std::lower_bound(segments_.begin(), segments_.end(), cut.segment,
                                   [](const Segment& s, Offset asked) { return s.base < asked; });
  KLAMM_ASSERT(at != segments_.end() && at->base == cut.segment);
  SegmentIndex index = at->index;
  index.truncate(end, position);
  // The newest batch that stays is known up to the last index entry; from there on the tail must tell.
  const Offset known = index.offsets().empty() ? at->base : at->base + index.offsets().back().relative + 1;
  if (known < tail_.from() && known < end) return false;
  tail_.truncate(offset);
  for (auto b = tail_.batches().rbegin(); b != tail_.batches().rend() && b->segment == at->base && b->last >= known;
       ++b)
    if (b->max_timestamp >= index.newest().timestamp) index.set_newest({b->max_timestamp, b->last});
  at->index = std::move(index);
  forget_aborted_from(&at->aborted, end);
  epochs_.truncate_from_end(end);
  clip_ends(end);
  drop_snapshots_above(io, end);
  cut_files(io, static_cast<size_t>(at - segments_.begin()), position);
  return true;
}

void Log::clip_ends(Offset end) {
  for (Offset* e :
       {&ends_.submitted, &ends_.written, &ends_.synced, &ends_.log_start, &flushed_, &write_reached_, &sync_reached_,
        &round_.target, &recovery_point_, &checkpoint_to_, &cleaned_to_, &noted_recovery_point_})
    *e = std::min(*e, end);
  for (WriteRun& w : writes_) w.end = std::min(w.end, end);
}

// The last segment has neither bytes nor a file. It goes, unless what is before it is being put away.
bool Log::drop_unmade() {
  Segment& s = segments_.back();
  s.forced = put_away_to_ > 0 && s.base <= put_away_to_;
  if (s.forced) return false;
  segments_.pop_back();
  return true;
}

void Log::cut_files(Io& io, size_t keep, int64_t position) {
  Segment& s = segments_[keep];
  Op op{Step::cut, 0};
  const int64_t submitted = s.size - s.pending_bytes;
  const bool shortens = position < submitted;
  if (shortens) op.left += 2;
  int64_t pending = std::max<int64_t>(0, position - submitted);
  std::vector<Slice> kept;
  for (const Slice& piece : s.pending) {
    if (pending == 0) break;
    kept.push_back(piece.part(0, static_cast<size_t>(std::min<int64_t>(pending, static_cast<int64_t>(piece.size())))));
    pending -= static_cast<int64_t>(kept.back().size());
  }
  s.pending = std::move(kept);
  s.pending_bytes = std::max<int64_t>(0, position - submitted);
  s.size = position;
  if (shortens && !s.file) open_segment(io, s);  // closed after a read of it that failed
  if (s.marked > position) s.marked = 0;         // its snapshot goes
  s.index_holds = -1;
  for (size_t i = keep + 1; i < segments_.size(); ++i) {
    const Segment& gone = segments_[i];
    if (gone.file) op.files.push_back(gone.file), ++op.left;
    if (gone.file || gone.named) op.segments.push_back(gone.base);
  }
  segments_.erase(segments_.begin() + static_cast<int64_t>(keep) + 1, segments_.end());
  const FileId file = s.file;
  if (position == 0 && !s.file && !s.named) drop_unmade();
  if (!segments_.empty()) segments_.back().index_durable = true;  // active (again): its indexes are due when it is full
  if (op.left == 0 && op.segments.empty()) return;
  ++held_;
  KLAMM_ASSERT(!shortens || file);
  if (op.left == 0) op.left = 1;  // its first part is to wait
  cuts_.push_back({begin(std::move(op)).step, shortens ? file : FileId{}, position});
  pump_snapshots(io);
}

void Log::issue_cuts(Io& io) {
  while (!cuts_.empty()) {
    const Cut cut = cuts_.front();
    cuts_.pop_front();
    const Owner owner{options_.module, cut.slot, options_.key};
    Op& op = ops_.at(cut.slot);
    if (!cut.file && op.files.empty()) {
      remove_cut(io, ops_.take(cut.slot));
      continue;
    }
    op.left = static_cast<uint32_t>(op.files.size() + (cut.file ? 2 : 0));
    if (cut.file) {
      io.truncate(owner, cut.file, cut.position);
      io.sync(owner, cut.file);
    }
    for (const FileId f : op.files) io.close(owner, f);
  }
}

void Log::remove_cut(Io& io, const Op& op) {
  if (op.segments.empty()) {
    KLAMM_ASSERT_REL(held_, >, 0);
    --held_;
    return;
  }
  constexpr const char* kSuffixes[] = {".log", ".index", ".timeindex", ".txnindex"};
  constexpr size_t kMost = 1'000;  // segments at a time
  const size_t n = std::min(op.segments.size(), kMost);
  Op removes{Step::cut_remove, static_cast<uint32_t>(n * std::size(kSuffixes))};
  removes.segments.assign(op.segments.begin(), op.segments.end() - static_cast<int64_t>(n));  // later
  const Owner owner = begin(std::move(removes));
  for (size_t i = op.segments.size() - n; i < op.segments.size(); ++i)
    for (const char* suffix : kSuffixes) io.remove(owner, options_.dir, file_path(op.segments[i], suffix));
}

// Too deep for memory: the rest is read back as by recovery, once what is under way has ended.
void Log::reopen(Io& io, Offset limit, bool refold) {
  state_ = State::opening;
  opening_.emplace(Opening{});
  opening_->from = {ends_.synced, ends_.log_start};
  opening_->limit = limit;
  opening_->refold = refold;
  opening_->draining = opening_->again = opening_->epochs_known = true;
  if (limit < tail_.from()) {  // what is not yet submitted lies behind it
    for (Segment& s : segments_) {
      s.size -= s.pending_bytes;
      s.pending_bytes = 0;
      s.pending.clear();
    }
    while (!segments_.back().file && !segments_.back().named && drop_unmade()) {
    }
    segments_.back().index_durable = true;
    epochs_.truncate_from_end(limit);
    clip_ends(limit);
    tail_.reset(limit);
  }
  flush(io);
  Out nothing;  // if nothing had to be read back, ready() was never lost
  pump_opening(io, nothing);
}

void Log::truncate_fully_and_start_at(Io& io, Offset start, const Uuid& away) {
  KLAMM_ASSERT(ready());
  ++generation_;
  io.ctx.trace.event(
      {TraceKind::log_truncated, 1, options_.partition, topic_key(options_.topic), start, ends_.submitted});
  if (on_disk_ && !leaving_)
    leave(io, moved_partition_dir(options_.topic_name, options_.partition, away, PartitionDirKind::deleted), false);
  segments_.clear();
  tail_.reset(start);
  forget_cold();
  snapshots_.clear();
  mark_.reset();
  epochs_.clear();
  producers_.reset_to(start);
  writes_.clear();
  round_ = {};
  roll_waits_ = false;
  put_away_.clear();
  put_away_to_ = start;
  if (checkpoint_to_ >= 0) checkpoint_wanted_ = true;
  checkpoint_to_ = -1;
  recovery_point_ = noted_recovery_point_ = 0;
  cleaned_to_ = start;
  uncleanable_ = false;
  flushed_ = write_reached_ = sync_reached_ = start;
  ends_ = {start, start, start, start};
  if (start > 0) {  // a file holds the place: nothing else would tell where this log ends
    begin_segment(io.ctx, start);
    segments_.back().forced = true;
  }
  pump_leaving(io);
}

bool Log::remove(Io& io, const Uuid& away) {
  KLAMM_ASSERT(!failed());
  const bool unsure = state_ == State::fresh || state_ == State::opening;  // a former life may have left something
  state_ = State::leaving;
  ++generation_;
  opening_.reset();
  if (!on_disk_ && !unsure && !leaving_) {
    KLAMM_ASSERT_REL(ops_.size(), ==, 0);
    state_ = State::gone;
    return true;
  }
  if (leaving_)
    leaving_->for_good = true;
  else
    leave(io, moved_partition_dir(options_.topic_name, options_.partition, away, PartitionDirKind::deleted), true);
  pump_leaving(io);
  return false;
}

void Log::set_aside(Io& io, const Uuid& away) {
  KLAMM_ASSERT(state_ == State::fresh);
  state_ = State::leaving;
  leave(io, moved_partition_dir(options_.topic_name, options_.partition, away, PartitionDirKind::stray), true);
  leaving_->stray = true;
  pump_leaving(io);
}

void Log::leave(Io& io, std::string away, bool for_good) {
  ++held_;
  for (Cut& cut : cuts_) cut.file = {};  // it is closed now, and goes as it is
  close_files(io);
  leaving_.emplace(Leaving{});
  leaving_->away = std::move(away);
  leaving_->for_good = for_good;
}

void Log::close_files(Io& io) {
  Op op{Step::close_files, 0};
  for (Segment& s : segments_) {
    if (!s.file) continue;
    op.files.push_back(s.file);
    s.file = {};
  }
  if (cleaning_)
    for (const FileId file : {cleaning_->source_file, cleaning_->target})
      if (file) op.files.push_back(file);
  cleaning_.reset();
  op.left = static_cast<uint32_t>(op.files.size());
  if (op.left == 0) return;
  const std::vector<FileId> files = op.files;
  const Owner owner = begin(std::move(op));
  for (const FileId f : files) io.close(owner, f);
}

void Log::pump_leaving(Io& io) {
  if (!leaving_ || leaving_->stage != Leaving::Stage::draining || ops_.size() > 0) return;
  leaving_->stage = Leaving::Stage::moving;
  io.rename(begin(Step::move_away), options_.dir, {path_, leaving_->away});
}

void Log::on_moved_away(Io& io, Out& out) {
  if (leaving_->stray) {
    state_ = State::gone;
    out.removed = true;
    return;
  }
  const std::string away = leaving_->away;
  io.remove(begin(leaving_->for_good ? Step::remove_away : Step::sweep), options_.dir, away);
  if (leaving_->for_good) {
    leaving_->stage = Leaving::Stage::removing;
    return;
  }
  leaving_.reset();
  identity_ = {};
  on_disk_ = false;
  epoch_file_holds_.clear();
  KLAMM_ASSERT_REL(held_, >, 0);
  --held_;
}

}  // namespace klamm::log
