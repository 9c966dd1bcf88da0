// The law of a log, as total and pure functions.
#pragma once
#include <cstdint>
#include <optional>

#include "engine/base/ids.h"
#include "engine/log/types.h"

namespace klamm::log {

// What is known of a producer when one of its batches asks for admission.
struct ProducerView {
  bool known = false;  // false: nothing of it in the log, or all of it was deleted
  ProducerEpoch epoch = -1;
  std::optional<int32_t> last_sequence;  // of its newest batch in `epoch`; nothing after a marker or a new epoch
};
struct BatchSequence {
  ProducerEpoch epoch = -1;
  int32_t first = 0;
};
enum class Admission : uint8_t { accepted, duplicate, out_of_order_sequence, invalid_producer_epoch };

// Rule: an older epoch is fenced; a new epoch starts at sequence 0; within an epoch a batch follows the one before.
// Why: retries must neither reorder nor leave holes; a producer that the log has forgotten may go on anywhere.
// KIP-98, KIP-360. (A duplicate is recognised before, by its exact range.)
Admission sequence_admission(const ProducerView& known, const BatchSequence& batch);

struct IndexFill {
  size_t offsets = 0;  // entries
  size_t times = 0;
};
struct SegmentFill {
  int64_t size = 0;  // bytes
  Offset base = 0;
  int64_t first_timestamp = kNoTimestamp;  // of its first batch
  int64_t created_ms = 0;
  int64_t jitter_ms = 0;  // how much earlier than segment.ms this one ends
  IndexFill index;
};
struct BatchFit {
  uint32_t size = 0;
  Offset last = 0;
  int64_t max_timestamp = kNoTimestamp;
  int64_t now_ms = 0;
};
enum class Roll : uint8_t { no, size, age, index_full, offset_overflow };

// Rule: a segment ends before a batch that would overfill it, is older than segment.ms less its jitter by record time
// (wall time if it has none), or cannot be named relative to its base in 31 bits; or once an index is full, the time
// index with an entry to spare for its end. An empty segment takes any batch that can be named.
Roll roll_before(const SegmentFill& segment, const BatchFit& batch, const LogConfig& config);

// One segment before retention, and its log.
struct SegmentAge {
  Offset end = 0;  // where the next segment begins; the log's end for the last
  int64_t bytes = 0;
  int64_t newest = 0;   // its largest timestamp; of a segment without any: when it was begun
  bool active = false;  // the last
};
struct RetentionView {
  Offset log_start = 0;
  Offset high_watermark = 0;
  int64_t log_bytes = 0;  // of this segment and all behind it
  int64_t now_ms = 0;
  bool policy = false;  // size and age count
};
enum class Expiry : uint8_t { no, start, size, age };

// Rule: the oldest segment goes if it lies below the log start, if the log without it still has retention.bytes, or if
// all of it is older than retention.ms; but nothing at or above the high watermark, and no empty active segment.
// Why: uncommitted records may yet be truncated; a log start beyond them could not be taken back. KAFKA-5634, KIP-107.
Expiry expiry_of(const SegmentAge& segment, const RetentionView& log, const LogConfig& config);

}  // namespace klamm::log
