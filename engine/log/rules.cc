#include "engine/log/rules.h"

#include <algorithm>
#include <limits>

#include "engine/protocol/record_batch.h"

namespace klamm::log {

Admission sequence_admission(const ProducerView& known, const BatchSequence& batch) {
  if (!known.known) return Admission::accepted;
  if (batch.epoch < known.epoch) return Admission::invalid_producer_epoch;
  const int32_t expected =
      batch.epoch == known.epoch && known.last_sequence ? protocol::add_sequence(*known.last_sequence, 1) : 0;
  if (batch.first != expected) return Admission::out_of_order_sequence;
  return known.in_transaction && !batch.transactional ? Admission::invalid_txn_state : Admission::accepted;
}

Roll roll_before(const SegmentFill& segment, const BatchFit& batch, const LogConfig& config) {
  if (batch.last - segment.base > std::numeric_limits<int32_t>::max()) return Roll::offset_overflow;
  if (segment.size == 0) return Roll::no;
  if (segment.size + batch.size > config.segment_bytes) return Roll::size;
  const int64_t age = segment.first_timestamp >= 0 ? saturating_subtract(batch.max_timestamp, segment.first_timestamp)
                                                   : batch.now_ms - segment.created_ms;
  if (age > config.segment_age_most() - segment.jitter_ms) return Roll::age;
  const auto room = static_cast<size_t>(config.segment_index_bytes);
  const bool full =
      segment.index.offsets >= room / kIndexEntryBytes || segment.index.times + 1 >= room / kTimeEntryBytes;
  return full ? Roll::index_full : Roll::no;
}

Expiry expiry_of(const SegmentAge& s, const RetentionView& log, const LogConfig& config) {
  if (s.end > log.high_watermark || (s.active && s.bytes == 0)) return Expiry::no;
  if (!s.active && s.end <= log.log_start) return Expiry::start;
  if (!log.policy || !config.deletes) return Expiry::no;
  if (config.retention_bytes >= 0 && log.log_bytes - s.bytes >= config.retention_bytes) return Expiry::size;
  return config.retention_ms >= 0 && saturating_subtract(log.now_ms, s.newest) > config.retention_ms ? Expiry::age
                                                                                                     : Expiry::no;
}

// ---- compaction

bool record_stays(const RecordFate& r, const CleaningState& state) {
  if (state.use == BatchUse::aborted) return false;
  if (state.use == BatchUse::marker) return true;
  if (state.use == BatchUse::needless_marker) return !state.horizon_passed;
  if (r.offset >= state.mapped_end) return true;
  if (!r.has_key || r.newest_of_key > r.offset) return false;
  return !(r.tombstone && state.horizon_passed);
}

CleanRange clean_range(const CleanView& log, const LogConfig& config) {
  CleanRange range;
  if (log.segments.empty()) return range;
  const std::vector<CleanSegment>& all = log.segments;
  const auto end_of = [&](size_t i) { return all[i + 1].base; };
  range.dirty = std::max(log.cleaned_to, log.log_start);
  range.end = all.front().base;
  size_t i = 0;
  for (; i + 1 < all.size() && end_of(i) <= log.most; ++i) {
    const bool dirty = end_of(i) > range.dirty;
    if (dirty && config.min_compaction_lag_ms > 0 && all[i].newest > log.now_ms - config.min_compaction_lag_ms) break;
    range.end = end_of(i);
    (dirty ? range.dirty_bytes : range.clean_bytes) += all[i].bytes;
  }
  if (range.end <= range.dirty) range.dirty_bytes = 0;
  const int64_t lag = config.max_compaction_lag_ms;
  for (size_t k = 0; k < i && range.dirty_bytes > 0; ++k)
    if (end_of(k) > range.dirty && all[k].first_timestamp > 0 &&
        all[k].first_timestamp < saturating_add(log.now_ms, -lag))
      range.overdue = true;
  return range;
}

bool wants_cleaning(const CleanRange& r, const LogConfig& config) {
  if (r.dirty_bytes == 0) return false;
  const int64_t all = r.clean_bytes + r.dirty_bytes;
  constexpr int64_t kMillion = 1'000'000;
  const int64_t part = all / kMillion * config.min_dirty_ppm + all % kMillion * config.min_dirty_ppm / kMillion;
  return r.overdue || r.dirty_bytes > part;
}

int64_t dirtiness(const CleanRange& r) {
  int64_t all = r.clean_bytes + r.dirty_bytes, dirty = r.dirty_bytes;
  for (; all > int64_t{1} << 40; all /= 2) dirty /= 2;
  return all == 0 ? 0 : dirty * 1'000'000 / all;
}

size_t group_size(const std::vector<CleanSegment>& segments, const CleanGroup& group, const LogConfig& config) {
  KLAMM_ASSERT_REL(group.from, <, segments.size());
  const int64_t interval = std::max(1, config.index_interval_bytes);
  const int64_t entries = config.segment_index_bytes / static_cast<int64_t>(kTimeEntryBytes);
  const Offset base = segments[group.from].base;
  int64_t bytes = segments[group.from].bytes;
  size_t n = 1;
  for (; n < kMaxCleanGroup && group.from + n < segments.size(); ++n) {
    const size_t next = group.from + n;
    const Offset end = next + 1 < segments.size() ? segments[next + 1].base : group.end;
    bytes += segments[next].bytes;
    if (bytes > config.segment_bytes || bytes / interval + 1 > entries) break;
    if (end - 1 - base > std::numeric_limits<int32_t>::max()) break;
  }
  return n;
}

}  // namespace klamm::log
