// Compaction, first part: which keys are newer elsewhere, and the segments written anew without what they displace.
#include <algorithm>

#include "engine/log/clean_batch.h"
#include "engine/log/log.h"

namespace klamm::log {

CleanRange Log::cleanable(Wall now, Offset high_watermark) const {
  const LogConfig& config = options_.config;
  if (!ready() || cleaning_ || uncleanable_ || !config.compacted || segments_.size() < 2) return {};
  if (held_ > 0 || puts_away() || put_away_running_) return {};
  CleanView view;
  view.log_start = ends_.log_start;
  view.cleaned_to = cleaned_to_;
  view.most = std::min(last_stable(high_watermark), noted_recovery_point_);
  view.now_ms = now.ms;
  int64_t before = kNoTimestamp;
  for (const Segment& s : segments_) {
    const int64_t newest = s.index.newest().timestamp;
    // Where a former life wrote the first batch, the segment before it tells how old that is at most.
    const int64_t first = s.first_timestamp >= 0 ? s.first_timestamp : before >= 0 ? before : newest;
    view.segments.push_back({s.base, s.size, first, newest >= 0 ? newest : s.created_ms});
    before = newest;
    if (s.pending_bytes > 0 || s.snapshot || s.index_writes > 0 || !s.index_durable)
      view.most = std::min(view.most, s.base);
  }
  return clean_range(view, config);
}

bool Log::clean(Io& io, const CleanBy& by) {
  const CleanRange range = cleanable(io.ctx.wall, by.high_watermark);
  if (range.dirty_bytes == 0 || ops_.any(Step::sweep)) return false;  // what is swept may have the names of ours
  PROBE(io.ctx, log_cleaned);
  cleaning_.emplace(Cleaning{});
  Cleaning& c = *cleaning_;
  c.number = next_cleaning_++;
  c.generation = generation_;
  c.by = by;
  c.now_ms = io.ctx.wall.ms;
  c.range = range;
  const uint64_t entity = static_cast<uint64_t>(topic_key(options_.topic)) + static_cast<uint64_t>(options_.partition);
  KeyOffsetsOptions keys;
  keys.key[0] = io.ctx.chance.name({Stream::key_hash, entity, 2 * c.number});
  keys.key[1] = io.ctx.chance.name({Stream::key_hash, entity, 2 * c.number + 1});
  keys.bytes_max = by.keys_bytes;
  keys.full_percent = by.keys_percent;
  c.keys = KeyOffsets(keys);
  c.keys.cover_to(range.dirty);
  c.end.cleaned_to = cleaned_to_;
  c.transactions = CleanTransactions(aborted_by(range.dirty));
  begin_source(segment_of(range.dirty).base);
  Out nothing;  // there is something to read
  pump_cleaning(io, nothing);
  return true;
}

void Log::go_on_cleaning(Io& io, Out& out) { pump_cleaning(io, out); }

void Log::pump_cleaning(Io& io, Out& out) {
  while (cleaning_ && cleaning_->running == 0) {
    Cleaning& c = *cleaning_;
    if (c.stage == Stage::waiting) {
      if (!cold_reads_.empty()) return;
      clear_group(io);
    } else if (c.abandoned) {
      drop_target(io, out);
    } else {
      KLAMM_ASSERT(c.stage == Stage::mapping || c.stage == Stage::rewriting);
      if (!read_source(io, out)) return;
    }
  }
}

// Before it becomes visible it leaves no trace; later its present group is brought to its end.
void Log::abandon_cleaning(Io& io) {
  if (!cleaning_) return;
  Cleaning& c = *cleaning_;
  c.abandoned = true;
  if (c.running > 0 || c.committed()) return;
  Out nothing;
  drop_target(io, nothing);
}

void Log::end_cleaning(Io& io, Out& out) {
  Cleaning& c = *cleaning_;
  close_source(io);
  if (!c.abandoned && c.generation == generation_) cleaned_to_ = c.end.cleaned_to = std::min(c.keys.end(), c.range.end);
  uncleanable_ = uncleanable_ || c.end.corrupt || c.end.error != IoError::none;
  out.cleaned = c.end;
  cleaning_.reset();
}

// ---- reading

void Log::begin_source(Offset base) {
  Cleaning& c = *cleaning_;
  c.source = c.expect = base;
  c.position = 0;
  c.need = 0;
}

void Log::close_source(Io& io) {
  Cleaning& c = *cleaning_;
  if (!c.source_file) return;
  Op closes{Step::close_files};
  closes.files = {c.source_file};
  io.close(begin(std::move(closes)), c.source_file);
  c.source_file = {};
}

Offset Log::segment_end(Offset base) const {
  const auto next = std::upper_bound(segments_.begin(), segments_.end(), base,
                                     [](Offset asked, const Segment& s) { return asked < s.base; });
  KLAMM_ASSERT(next != segments_.end());
  return next->base;
}

// False: not now.
bool Log::read_source(Io& io, Out& out) {
  Cleaning& c = *cleaning_;
  const Segment* s = find_segment(c.source);
  KLAMM_ASSERT(s != nullptr);
  if (c.position >= s->size) {
    end_source(io, out);
    return true;
  }
  if (io.ctx.now < c.not_before) {
    out.clean_at = c.not_before;
    return false;
  }
  if (!c.source_file)
    c.source_file = io.open(begin(Step::close_files), options_.dir, file_path(c.source, ".log"), OpenMode::read_write);
  const auto size = static_cast<uint32_t>(std::min<int64_t>(std::max(kCleanBytes, c.need), s->size - c.position));
  c.asked = size;
  io.read(begin_clean(Step::clean_read), c.source_file, c.position, size);
  return true;
}

void Log::end_source(Io& io, Out& out) {
  Cleaning& c = *cleaning_;
  close_source(io);
  const Offset next = segment_end(c.source);
  if (c.stage == Stage::mapping) {
    c.keys.cover_to(next);
    return next < c.range.end ? begin_source(next) : begin_rewriting(io, out);
  }
  if (next < c.group_end) return begin_source(next);
  if (!c.changed && segment_end(c.group) == c.group_end) return drop_target(io, out);  // the file there is as good
  seal_group(io);
}

void Log::on_clean_read(Io& io, const Op& op, const StorageEnd& end, Out& out) {
  Cleaning& c = *cleaning_;
  if (c.abandoned) return;
  const Segment& s = *find_segment(c.source);
  const Offset limit = segment_end(c.source);
  const int64_t written = c.target_size;
  const Slice& bytes = end.bytes;
  std::vector<Slice> kept;
  bool room = true, good = op.error == IoError::none && bytes.size() == c.asked;
  size_t at = 0;
  c.need = 0;
  while (good && room && bytes.size() - at >= kBatchHeaderSize) {
    const auto h = read_sane_header(bytes.data() + at);
    good = h && h->base_offset >= c.expect && h->last_offset() < limit &&
           static_cast<int64_t>(h->size()) <= s.size - c.position - static_cast<int64_t>(at);
    if (!good) break;
    c.need = static_cast<uint32_t>(h->size());
    if (h->size() > bytes.size() - at) break;
    const Slice batch = bytes.part(at, h->size());
    at += h->size();
    const bool last = c.position + static_cast<int64_t>(at) == s.size && limit == c.group_end && !extend_group();
    good = protocol::check_batch(batch.span()) &&
           (c.stage == Stage::mapping ? map_one(*h, batch, &room) : rewrite_one(*h, batch, last, &kept));
    if (room) c.expect = h->last_offset() + 1;
  }
  if (!good || (at == 0 && c.need <= bytes.size())) {
    c.end.error = op.error;
    c.end.corrupt = op.error == IoError::none;
    c.abandoned = true;
    return;
  }
  c.position += static_cast<int64_t>(at);
  throttle(io, static_cast<int64_t>(at) + c.target_size - written);
  if (!room) return begin_rewriting(io, out);
  if (!kept.empty()) io.write(begin_clean(Step::clean_write), c.target, written, std::move(kept));
}

void Log::throttle(Io& io, int64_t bytes) {
  Cleaning& c = *cleaning_;
  if (c.by.bytes_per_second <= 0) return;
  const int64_t rate = std::max<int64_t>(1, c.by.bytes_per_second / 1'000);  // a millisecond
  c.not_before = std::max(c.not_before, io.ctx.now) + microseconds(bytes * 1'000 / rate);
}

// ---- the two passes

bool Log::map_one(const BatchHeader& h, const Slice& batch, bool* room) {
  Cleaning& c = *cleaning_;
  if (h.control())
    c.transactions.on_control(h, batch.span());
  else if (c.transactions.is_aborted(h))
    return c.keys.cover_to(h.last_offset() + 1), true;
  if (h.last_offset() < c.range.dirty) return true;
  const auto put = map_batch(h, batch.span(), c.range.dirty, c.keys);
  if (!put) return false;
  *room = *put;
  if (*room) c.keys.cover_to(h.last_offset() + 1);
  return true;
}

void Log::begin_rewriting(Io& io, Out& out) {
  Cleaning& c = *cleaning_;
  close_source(io);
  c.end.corrupt = c.keys.end() <= c.range.dirty;  // a single batch has more keys than there is memory for
  c.abandoned = c.abandoned || c.end.corrupt;
  c.rewrite_end = c.range.end;
  for (const Segment& s : segments_)
    if (s.base >= c.keys.end()) c.rewrite_end = std::min(c.rewrite_end, s.base);
  if (!c.abandoned)
    io.ctx.trace.event({TraceKind::log_compacting, 0, options_.partition, topic_key(options_.topic), c.range.end, 0});
  c.group_end = segments_.front().base;
  c.transactions = CleanTransactions(aborted_by(c.group_end));
  begin_group(io, out);
}

void Log::begin_group(Io& io, Out& out) {
  Cleaning& c = *cleaning_;
  if (c.abandoned || c.group_end >= c.rewrite_end) return end_cleaning(io, out);
  std::vector<CleanSegment> rest;
  for (const Segment& s : segments_)
    if (s.base >= c.group_end && s.base < c.rewrite_end) rest.push_back({s.base, s.size});
  const size_t n = group_size(rest, {0, c.rewrite_end}, options_.config);
  c.group = rest.front().base;
  c.group_end = n < rest.size() ? rest[n].base : c.rewrite_end;
  c.stage = Stage::rewriting;
  c.target_size = 0;
  c.first_timestamp = kNoTimestamp;
  c.changed = c.txn_file = false;
  c.index = SegmentIndex(c.group);
  c.aborted.clear();
  begin_source(c.group);
  c.target =
      io.open(begin_clean(Step::clean_write), options_.dir, file_path(c.group, ".log.cleaned"), OpenMode::create_empty);
}

// Its last batch has been reached: if so little is left that all of the next segment has room beside it, that joins.
bool Log::extend_group() {
  Cleaning& c = *cleaning_;
  if (c.stage != Stage::rewriting || c.group_end >= c.rewrite_end) return false;
  const auto count = std::count_if(segments_.begin(), segments_.end(),
                                   [&](const Segment& s) { return s.base >= c.group && s.base < c.group_end; });
  const Offset end = segment_end(c.group_end);
  const std::vector<CleanSegment> both = {{c.group, c.target_size}, {c.group_end, find_segment(c.group_end)->size}};
  if (static_cast<size_t>(count) >= kMaxCleanGroup || group_size(both, {0, end}, options_.config) < both.size())
    return false;
  c.group_end = end;
  return true;
}

// The batch that holds its last sequence, or if the log has none of this epoch the marker that tells the epoch.
bool Log::is_last_of_producer(const BatchHeader& h) const {
  const ProducerEntry* e = producers_.find(h.producer_id);
  if (!e) return false;
  return e->newest() ? e->newest()->last_offset == h.last_offset() : h.control() && h.producer_epoch == e->epoch;
}

bool Log::rewrite_one(const BatchHeader& h, const Slice& batch, bool last, std::vector<Slice>* kept) {
  Cleaning& c = *cleaning_;
  CleanRules rules;
  if (h.control()) {
    const auto marker = c.transactions.on_control(h, batch.span());
    rules.use = marker.needless ? BatchUse::needless_marker : BatchUse::marker;
    if (marker.still) c.aborted.push_back(*marker.still);
  } else if (c.transactions.is_aborted(h)) {
    rules.use = BatchUse::aborted;
  }
  rules.now_ms = c.now_ms;
  rules.delete_retention_ms = options_.config.delete_retention_ms;
  // Its end tells, after a crash, which old segments it replaces.
  rules.keep_header = last || (h.has_producer() && is_last_of_producer(h));
  auto cleaned = clean_batch(h, batch, c.keys, rules);
  if (!cleaned) return false;
  c.changed = c.changed || !cleaned->unchanged;
  c.end.bytes_read += static_cast<int64_t>(batch.size());
  c.end.records_read += cleaned->read;
  c.end.records_kept += cleaned->kept;
  if (cleaned->bytes.empty()) return true;
  const auto now = read_sane_header(cleaned->bytes.data());
  KLAMM_ASSERT(now.has_value());
  KLAMM_ASSERT_REL(now->last_offset(), ==, h.last_offset());
  if (c.target_size == 0) c.first_timestamp = now->max_timestamp;
  c.index.add(*now, c.target_size, options_.config.index_interval_bytes);
  c.target_size += static_cast<int64_t>(now->size());
  c.end.bytes_kept += static_cast<int64_t>(now->size());
  add_piece(kept, cleaned->bytes);
  return true;
}

}  // namespace klamm::log
