// What a log no longer keeps: which of its oldest segments have expired, and how their files go.
//
// The log start moves at once. The files of a segment are renamed to *.deleted, and that is made durable before the
// next segment's turn comes: whatever a crash leaves is the log without some of its oldest segments, never with a hole.
// The last segment with bytes goes only once the file of an empty one has a durable name, which holds the log's end.
#include <algorithm>

#include "engine/log/checkpoints.h"
#include "engine/log/log.h"
#include "engine/log/rules.h"

namespace klamm::log {
namespace {
constexpr const char* kSuffixes[] = {".log", ".index", ".timeindex", ".txnindex", ".snapshot"};
}  // namespace

size_t Log::expired(Wall now, const RetainBy& by) const {
  RetentionView view{ends_.log_start, by.high_watermark, size_bytes(), now.ms, by.policy};
  for (size_t i = 0; i < segments_.size(); ++i) {
    const Segment& s = segments_[i];
    const bool active = i + 1 == segments_.size();
    const int64_t newest = s.index.newest().timestamp >= 0 ? s.index.newest().timestamp : s.created_ms;
    const SegmentAge age{active ? ends_.submitted : segments_[i + 1].base, s.size, newest, active};
    if (expiry_of(age, view, options_.config) == Expiry::no) return i;
    view.log_bytes -= s.size;
  }
  return segments_.size();
}

bool Log::retains_too_much(Wall now, const RetainBy& by) const { return ready() && !cleaning_ && expired(now, by) > 0; }

void Log::retain(Io& io, const RetainBy& by) {
  if (!ready() || cleaning_) return;
  const size_t count = expired(io.ctx.wall, by);
  if (count == 0) return;
  PROBE(io.ctx, log_retained);
  if (count == segments_.size()) {
    segments_.back().index_durable = true;  // its indexes would only be deleted
    begin_segment(io.ctx, ends_.submitted);
    segments_.back().forced = segments_.back().unsynced = true;  // a sync does not stop there: look at start_round
  }
  advance_log_start(io.ctx, segments_[count].base);
  put_away_to_ = std::max(put_away_to_, segments_[count].base);
  flush(io);
  pump_names(io);
  pump_put_away(io);
}

void Log::begin_anew_at(Io& io, Offset start) {
  KLAMM_ASSERT(ready() && !cleaning_ && !options_.track_producers);
  KLAMM_ASSERT_REL(start, >=, ends_.submitted);
  KLAMM_ASSERT_REL(ends_.synced, ==, ends_.submitted);
  const bool beyond = start > ends_.submitted;
  const TraceKind kind = beyond ? TraceKind::log_truncated : TraceKind::log_start_moved;
  io.ctx.trace.event({kind, beyond, options_.partition, topic_key(options_.topic), start, ends_.submitted});
  forget_cold();
  while (!segments_.empty() && !segments_.back().file && !segments_.back().named) segments_.pop_back();
  if (segments_.empty() || segments_.back().base < start) {
    if (!segments_.empty()) segments_.back().index_durable = true;  // its indexes would only be deleted
    begin_segment(io.ctx, start);
    segments_.back().forced = segments_.back().unsynced = true;  // a sync does not stop there: look at start_round
  }
  epochs_.clear();
  tail_.reset(start);
  flushed_ = write_reached_ = sync_reached_ = start;
  ends_ = {start, start, start, start};
  put_away_to_ = start;
  flush(io);
  pump_names(io);
  pump_put_away(io);
}

bool Log::puts_away() const { return segments_.size() > 1 && segments_[1].base <= put_away_to_; }

void Log::pump_put_away(Io& io) {
  if (!ready() || held_ > 0 || put_away_running_ || cleaning_ || !puts_away()) return;
  Segment& s = segments_.front();
  if (!segments_[1].name_durable || ends_.written < segments_[1].base || s.index_writes > 0) return;
  KLAMM_ASSERT_REL(s.pending_bytes, ==, 0);
  put_away_running_ = true;
  // Renames of a former life may not be durable; this life's must not overtake them.
  if (!front_sure_) return io.sync_dir(begin(Step::front_names), options_.dir, path_);
  Op op{Step::put_away, static_cast<uint32_t>(std::size(kSuffixes) + (s.file ? 1 : 0))};
  op.segment = s.base;
  if (s.file) op.files = {s.file};
  const Owner owner = begin(std::move(op));
  for (const char* suffix : kSuffixes) {
    const std::string path = file_path(s.base, suffix);
    io.rename(owner, options_.dir, {path, path + kDeletedSuffix});
  }
  if (s.file) io.close(owner, s.file);
  forget_cold(s.base, s.base + 1);
  segments_.pop_front();
}

void Log::on_put_away(Io& io, Offset base, Out& out) {
  put_away_running_ = false;
  if (leaving_) return;  // the directory goes with all it holds
  snapshots_.erase(base);
  epoch_file_due_ = true;
  if (identity_.durable && identity_.dir_durable)  // nothing before it needs to survive any more
    sync_reached_ = std::max(sync_reached_, segments_.front().base);
  out.remove_at = io.ctx.now + milliseconds(options_.config.file_delete_delay_ms);
  put_away_.push_back({base, *out.remove_at});
}

// The epochs that began in what is gone need not be remembered until the next checkpoint.
void Log::pump_epoch_file(Io& io) {
  if (!epoch_file_due_ || !ready() || held_ > 0 || checkpoint_wanted_ || checkpoint_to_ >= 0 || epoch_file_.busy())
    return;
  epoch_file_due_ = false;
  write_epoch_file(io, epochs_below(ends_.written));
}

Instant Log::next_removal() const {
  return ready() && !put_away_.empty() && ops_.size() < kMaxOps / 2 ? put_away_.front().remove_at : kNever;
}

void Log::remove_put_away(Io& io) {
  if (!ready()) return;
  while (!put_away_.empty() && put_away_.front().remove_at <= io.ctx.now && ops_.size() < kMaxOps / 2) {
    const Owner owner = begin(Step::sweep, static_cast<uint32_t>(std::size(kSuffixes)));
    for (const char* suffix : kSuffixes)
      io.remove(owner, options_.dir, file_path(put_away_.front().base, suffix) + kDeletedSuffix);
    put_away_.pop_front();
  }
}

}  // namespace klamm::log
