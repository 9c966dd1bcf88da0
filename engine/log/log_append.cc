// Appends, reads from memory, and the small questions.
#include <algorithm>
#include <cstring>
#include <limits>

#include "engine/log/checkpoints.h"
#include "engine/log/log.h"
#include "engine/log/producer_snapshot.h"
#include "engine/log/rules.h"

namespace klamm::log {

Log::Log(LogOptions options)
    : options_(std::move(options)), path_(partition_dir(options_.topic_name, options_.partition)) {}

Segment* Log::find_segment(Offset base) {
  const auto it = std::lower_bound(segments_.begin(), segments_.end(), base,
                                   [](const Segment& s, Offset asked) { return s.base < asked; });
  return it != segments_.end() && it->base == base ? &*it : nullptr;
}

Segment& Log::segment_of(Offset offset) {
  const auto after = std::upper_bound(segments_.begin(), segments_.end(), offset,
                                      [](Offset asked, const Segment& s) { return asked < s.base; });
  KLAMM_ASSERT(after != segments_.begin());
  return *std::prev(after);
}

// ---- appends

// A slice keeps all of its buffer in memory: of that it must be the better part, or it is copied.
static bool worth_sharing(const Slice& s) {
  if (s.size() < kShareBytes) return false;
  const Buffer* b = s.owner().get();
  return b && size_t{2} * s.size() >= (b->fill > 0 ? b->fill : b->capacity);
}

Appended Log::append_as_leader(Ctx& ctx, LeaderEpoch epoch, const Slice& batch) {
  return append_as_leader(ctx, epoch, batch.part(0, kBatchHeaderSize),
                          batch.part(kBatchHeaderSize, batch.size() - kBatchHeaderSize));
}

Appended Log::append_as_leader(Ctx& ctx, LeaderEpoch epoch, const Slice& header, const Slice& records) {
  KLAMM_ASSERT_REL(header.size(), ==, kBatchHeaderSize);
  const bool shares = worth_sharing(records);
  uint8_t* fill;
  TailBatch b;
  b.head = tail_.claim(static_cast<uint32_t>(kBatchHeaderSize + (shares ? 0 : records.size())), &fill);
  protocol::place_batch(fill, header.data(), {ends_.submitted, epoch});
  if (shares)
    b.rest = records;
  else if (!records.empty())
    std::memcpy(fill + kBatchHeaderSize, records.data(), records.size());
  const auto h = read_sane_header(fill);
  KLAMM_ASSERT(h.has_value());
  KLAMM_ASSERT_REL(h->size(), ==, b.size());
  append_batch(ctx, *h, std::move(b));
  tail_.evict(options_.tail_bytes, ends_.written);
  return {h->base_offset, h->last_offset()};
}

Result<Slice> Log::check_follower_batches(const Slice& records) const {
  Offset expect = ends_.submitted;
  LeaderEpoch epoch = epochs_.latest();
  size_t at = 0;
  while (records.size() - at >= kBatchHeaderSize) {
    const auto h = read_sane_header(records.data() + at);
    if (!h) return klamm::fail(ErrorCode::corrupt_message, "not a record batch of format 2");
    if (h->size() > records.size() - at) break;
    if (h->base_offset < expect) return klamm::fail(ErrorCode::corrupt_message, "offsets do not rise");
    if (h->partition_leader_epoch < epoch) return klamm::fail(ErrorCode::corrupt_message, "leader epochs fall");
    const auto checked = protocol::check_batch(records.part(at, h->size()).span());
    if (!checked) return tl::unexpected(checked.error());
    expect = h->last_offset() + 1;
    epoch = h->partition_leader_epoch;
    at += h->size();
  }
  return records.part(0, at);
}

std::optional<Offset> Log::starts_inside(const Slice& records) const {
  if (ends_.submitted != ends_.log_start || records.size() < kBatchHeaderSize) return std::nullopt;
  const auto h = read_sane_header(records.data());
  if (!h || h->size() > records.size() || !protocol::check_batch(records.part(0, h->size()).span()))
    return std::nullopt;
  const bool inside = h->base_offset >= 0 && h->base_offset < ends_.submitted && ends_.submitted <= h->last_offset();
  return inside ? std::optional(h->base_offset) : std::nullopt;
}

Appended Log::append_as_follower(Ctx& ctx, const Slice& batches) {
  KLAMM_ASSERT(!batches.empty());
  const Slice all = worth_sharing(batches) ? batches : tail_.copy(batches.span());
  Appended appended{-1, -1};
  for (size_t at = 0; at < all.size();) {
    KLAMM_ASSERT_REL(all.size() - at, >=, kBatchHeaderSize);
    const auto h = read_sane_header(all.data() + at);
    KLAMM_ASSERT(h.has_value());
    if (appended.base < 0) appended.base = h->base_offset;
    appended.last = h->last_offset();
    TailBatch b;
    b.head = all.part(at, h->size());
    at += h->size();
    append_batch(ctx, *h, std::move(b));
  }
  tail_.evict(options_.tail_bytes, ends_.written);
  return appended;
}

static std::optional<EndMarker> marker_in(const TailBatch& b) {
  if (b.rest.empty()) return read_end_marker(protocol::read_batch_header(b.head.data()), b.head.span());
  if (b.size() > kMaxMarkerBytes) return std::nullopt;
  Writer whole(b.size());
  whole.raw(b.head.span()), whole.raw(b.rest.span());
  const Slice bytes = whole.finish_contiguous();
  return read_end_marker(protocol::read_batch_header(bytes.data()), bytes.span());
}

void Log::apply_batch(Segment& s, const AppliedBatch& batch) {
  if (const auto aborted = producers_.apply(batch)) s.aborted.push_back(*aborted);
}

void Log::append_batch(Ctx& ctx, const BatchHeader& h, TailBatch b) {
  KLAMM_ASSERT(ready());
  KLAMM_ASSERT_REL(h.base_offset, >=, ends_.submitted);
  KLAMM_ASSERT_REL(h.partition_leader_epoch, >=, epochs_.latest());
  roll_if_needed(ctx, h);
  Segment& s = segments_.back();
  if (s.size == 0) s.first_timestamp = h.max_timestamp;
  s.index.add(h, s.size, options_.config.index_interval_bytes);
  b.base = h.base_offset;
  b.last = h.last_offset();
  b.segment = s.base;
  b.position = s.size;
  b.max_timestamp = h.record_count > 0 ? h.max_timestamp : kNoTimestamp;
  add_piece(&s.pending, b.head);
  add_piece(&s.pending, b.rest);
  s.pending_bytes += b.size();
  s.size += b.size();
  s.unsynced = true;
  tail_.add(std::move(b));
  note_use();
  if (h.partition_leader_epoch > epochs_.latest()) epochs_.assign({h.partition_leader_epoch, h.base_offset});
  if (options_.track_producers) apply_batch(s, {h, h.control() ? marker_in(tail_.batches().back()) : std::nullopt});
  ends_.submitted = h.last_offset() + 1;
  const auto offsets = static_cast<uint16_t>(std::clamp<Offset>(h.last_offset() - h.base_offset + 1, 0, UINT16_MAX));
  ctx.trace.event({TraceKind::batch_appended, offsets, options_.partition, topic_key(options_.topic), h.base_offset,
                   static_cast<int64_t>(h.partition_leader_epoch) << 32 | h.crc});
}

void Log::roll_if_needed(Ctx& ctx, const BatchHeader& next) {
  if (!segments_.empty()) {
    Segment& s = segments_.back();
    const SegmentFill fill{s.size,       s.base,      s.first_timestamp,
                           s.created_ms, s.jitter_ms, {s.index.offsets().size(), s.index.times().size()}};
    const BatchFit fit{static_cast<uint32_t>(next.size()), next.last_offset(), next.max_timestamp, ctx.wall.ms};
    if (roll_before(fill, fit, options_.config) == Roll::no) return;
    PROBE(ctx, log_rolled);
    s.index_durable = false;  // flush writes both indexes
  }
  // It begins where the log ends even if its first batch begins later (a follower of a compacted log): recovery takes a
  // gap between segments for a loss.
  const bool far = next.last_offset() - ends_.submitted > std::numeric_limits<int32_t>::max();
  begin_segment(ctx, far ? next.base_offset : ends_.submitted);
}

void Log::begin_segment(Ctx& ctx, Offset base) {
  segments_.emplace_back(base);
  Segment& s = segments_.back();
  s.created_ms = ctx.wall.ms;
  s.txn_file = lost_aborted_.count(base) > 0;
  draw_jitter(ctx, s);
  if (options_.track_producers && base > 0) s.snapshot = encode_producer_snapshot(producers_.entries());
}

// Logs that were begun together need not end their segments together.
void Log::draw_jitter(Ctx& ctx, Segment& s) const {
  const int64_t most = std::min(options_.config.segment_jitter_ms, options_.config.segment_ms);
  if (most <= 0) return;
  const uint64_t entity = static_cast<uint64_t>(topic_key(options_.topic)) + static_cast<uint64_t>(options_.partition);
  const ChoiceKey key{Stream::segment_jitter, entity, static_cast<uint64_t>(s.base)};
  s.jitter_ms = static_cast<int64_t>(ctx.chance.below(key, static_cast<uint64_t>(most)));
}

// ---- reads

ReadResult Log::read(const ReadFrom& from) const {
  ReadResult r;
  r.next = from.offset;
  if (!ready() || from.offset < ends_.log_start || from.offset > ends_.submitted) {
    r.status = ReadStatus::out_of_range;
    return r;
  }
  if (from.offset >= std::min(from.limit, ends_.submitted)) return r;
  if (from.offset < tail_.from()) return read_cold_part(from);
  for (auto b = tail_.find(from.offset); b != tail_.batches().end() && b->last < from.limit; ++b) {
    if (r.size + b->size() > from.max_bytes && !(from.at_least_one && r.size == 0)) {
      r.capped = true;
      if (from.fill && r.size != 0 && r.size < from.max_bytes) {
        const uint32_t room = from.max_bytes - r.size;
        const auto head = std::min<size_t>(room, b->head.size());
        add_piece(&r.pieces, b->head.part(0, head));
        add_piece(&r.pieces, b->rest.part(0, room - head));
        r.size += room;
      }
      break;
    }
    add_piece(&r.pieces, b->head);
    add_piece(&r.pieces, b->rest);
    r.size += b->size();
    r.next = b->last + 1;
  }
  if (r.size == 0 && !r.capped) r.next = from.limit;
  return r;
}

std::optional<Offset> Log::find_time(int64_t timestamp) const {
  for (const Segment& s : segments_) {
    const bool unknown = !s.times_loaded && s.index.newest().timestamp < 0;
    if (!unknown && s.index.newest().timestamp < timestamp) continue;
    return std::max(ends_.log_start, s.index.offset_before(timestamp));
  }
  return std::nullopt;
}

bool Log::lacks_times(Offset offset) const {
  if (segments_.empty()) return false;
  const Segment& s = segment_of(offset);
  return !s.times_loaded && offset <= std::max(ends_.log_start, s.base);
}

TimestampAndOffset Log::max_timestamp() const {
  TimestampAndOffset most;
  for (const Segment& s : segments_)
    if (s.index.newest().timestamp > most.timestamp) most = s.index.newest();
  return most;
}

int64_t Log::size_bytes(Offset from) const {
  int64_t bytes = 0;
  for (size_t i = segments_.size(); i > 0; --i) {
    bytes += segments_[i - 1].size;
    if (segments_[i - 1].base <= from) break;
  }
  return bytes;
}

void Log::advance_log_start(Ctx& ctx, Offset start) {
  KLAMM_ASSERT_REL(start, <=, ends_.submitted);
  if (start <= ends_.log_start) return;
  ends_.log_start = start;
  epochs_.truncate_from_start(start);
  ctx.trace.event({TraceKind::log_start_moved, 0, options_.partition, topic_key(options_.topic), start});
}

}  // namespace klamm::log
