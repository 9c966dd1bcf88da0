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
  return batch.first == expected ? Admission::accepted : Admission::out_of_order_sequence;
}

Roll roll_before(const SegmentFill& segment, const BatchFit& batch, const LogConfig& config) {
  if (batch.last - segment.base > std::numeric_limits<int32_t>::max()) return Roll::offset_overflow;
  if (segment.size == 0) return Roll::no;
  if (segment.size + batch.size > config.segment_bytes) return Roll::size;
  const int64_t age =
      segment.first_timestamp >= 0 ? batch.max_timestamp - segment.first_timestamp : batch.now_ms - segment.created_ms;
  if (age > config.segment_ms - segment.jitter_ms) return Roll::age;
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
  return config.retention_ms >= 0 && log.now_ms - s.newest > config.retention_ms ? Expiry::age : Expiry::no;
}

}  // namespace klamm::log
