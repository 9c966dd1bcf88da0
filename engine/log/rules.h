// The law of a log, as total and pure functions.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/base/ids.h"
#include "engine/base/units.h"
#include "engine/log/types.h"

namespace klamm::log {

// What is known of a producer when one of its batches asks for admission.
struct ProducerView {
  bool known = false;  // false: nothing of it in the log, or all of it was deleted
  ProducerEpoch epoch = -1;
  std::optional<int32_t> last_sequence;  // of its newest batch in `epoch`; nothing after a marker or a new epoch
  bool in_transaction = false;
};
struct BatchSequence {
  ProducerEpoch epoch = -1;
  int32_t first = 0;
  bool transactional = false;
};
enum class Admission : uint8_t {
  accepted,
  duplicate,
  out_of_order_sequence,
  invalid_producer_epoch,
  invalid_txn_state
};

// Rule: an older epoch is fenced; a new epoch starts at sequence 0; within an epoch a batch follows the one before;
// while a transaction is open all belongs to it. Why: retries must neither reorder nor leave holes; a producer that the
// log has forgotten may go on anywhere.
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
// (wall time if it has none; of a compacted log also max.compaction.lag.ms), or cannot be named relative to its base in
// 31 bits; or once an index is full, the time index with an entry to spare for its end. An empty segment takes any
// batch that can be named.
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

// ---- compaction

// One record with what is known of its key.
struct RecordFate {
  Offset offset = 0;
  bool has_key = false;
  bool tombstone = false;     // no value
  Offset newest_of_key = -1;  // -1: no newer record than this was seen
};
enum class BatchUse : uint8_t {
  data,
  aborted,          // its transaction was
  marker,           // ends a transaction of which something is left
  needless_marker,  // or nothing
};
struct CleaningState {
  Offset mapped_end = 0;        // newest offsets are known for the keys of all records below
  bool horizon_passed = false;  // of the batch: its tombstones, or the marker, were there for delete.retention.ms
  BatchUse use = BatchUse::data;
};
// Rule: what lies past the mapped records stays; below, the newest record of each key stays, but a tombstone only until
// its batch's delete horizon; a record without a key goes. What was aborted goes; a transaction's marker once nothing
// of the transaction is left, and then only after its own delete horizon. Why: who reads from the start sees for each
// key its last value, who is at most delete.retention.ms behind each deletion, and nobody a record without its end.
// KIP-534.
bool record_stays(const RecordFate& record, const CleaningState& state);

// One segment before compaction.
struct CleanSegment {
  Offset base = 0;
  int64_t bytes = 0;
  int64_t first_timestamp = kNoTimestamp;  // of its first batch
  int64_t newest = kNoTimestamp;           // its largest timestamp; of a segment without any: when it was begun
};
struct CleanView {
  std::vector<CleanSegment> segments;  // by base; the last is active
  Offset log_start = 0;
  Offset cleaned_to = 0;  // where the last cleaning ended
  Offset most = 0;        // nothing at or above is touched: the last stable offset, what is not durable, or in use
  int64_t now_ms = 0;
};
// What a cleaning would do: map the keys of [dirty, end), and rewrite all below `end`.
struct CleanRange {
  Offset dirty = 0;
  Offset end = 0;  // where a segment begins
  int64_t clean_bytes = 0;
  int64_t dirty_bytes = 0;
  bool overdue = false;  // something dirty is older than max.compaction.lag.ms
  template<class V>
  void fields(V& v) const {
    v("dirty", dirty), v("end", end), v("clean_bytes", clean_bytes), v("dirty_bytes", dirty_bytes),
        v("overdue", overdue);
  }
};
// Rule: whole segments, none that is active, not committed, not durable, of a transaction that is not decided, or that
// has a record younger than min.compaction.lag.ms, nor any behind such a one. Why: what may be truncated or aborted
// must not have displaced anything; a reader that is so far behind at most sees every record. KIP-58, KIP-98, KIP-354.
CleanRange clean_range(const CleanView& log, const LogConfig& config);
// Rule: cleaned is a log with more dirty bytes than min.cleanable.dirty.ratio of all, or with something overdue.
bool wants_cleaning(const CleanRange& range, const LogConfig& config);
// In millionths: which log to clean first.
int64_t dirtiness(const CleanRange& range);

// Rule: neighbours become one segment as long as the sizes of their files and the 31 bits of an offset in a segment
// allow, and not more of them at once than kMaxCleanGroup. How many of the segments from `from` on, all of which end at
// `end` or before.
inline constexpr size_t kMaxCleanGroup = 256;
struct CleanGroup {
  size_t from = 0;
  Offset end = 0;
};
size_t group_size(const std::vector<CleanSegment>& segments, const CleanGroup& group, const LogConfig& config);

}  // namespace klamm::log
