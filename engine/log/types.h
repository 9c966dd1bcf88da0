// The words in which a log is asked and answers.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/file_region.h"
#include "engine/base/ids.h"
#include "engine/env/event.h"

namespace klamm::log {

inline constexpr int64_t kNoTimestamp = -1;
inline constexpr size_t kIndexEntryBytes = 8;  // in .index
inline constexpr size_t kTimeEntryBytes = 12;  // in .timeindex

// A topic's settings that a log obeys. Kafka's defaults.
struct LogConfig {
  int32_t segment_bytes = 1 << 30;              // segment.bytes
  int64_t segment_ms = 604'800'000;             // segment.ms
  int64_t segment_jitter_ms = 0;                // segment.jitter.ms
  int32_t segment_index_bytes = 10'485'760;     // segment.index.bytes
  int32_t index_interval_bytes = 4'096;         // index.interval.bytes
  bool compacted = false;                       // cleanup.policy contains compact: offsets may have gaps
  bool deletes = true;                          // cleanup.policy contains delete: the next two hold
  int64_t retention_bytes = -1;                 // retention.bytes; negative: any size
  int64_t retention_ms = 604'800'000;           // retention.ms; negative: for ever
  int64_t file_delete_delay_ms = 60'000;        // file.delete.delay.ms
  int64_t producer_expiration_ms = 86'400'000;  // producer.id.expiration.ms
  int64_t min_dirty_ppm = 500'000;              // min.cleanable.dirty.ratio, in millionths
  int64_t min_compaction_lag_ms = 0;            // min.compaction.lag.ms
  int64_t max_compaction_lag_ms = INT64_MAX;    // max.compaction.lag.ms
  int64_t delete_retention_ms = 86'400'000;     // delete.retention.ms
  // A segment of a compacted log ends early enough to be compacted in time.
  int64_t segment_age_most() const {
    return compacted && max_compaction_lag_ms > 0 ? std::min(segment_ms, max_compaction_lag_ms) : segment_ms;
  }
  template<class V>
  void fields(V& v) const {
    v("segment_bytes", segment_bytes), v("segment_ms", segment_ms), v("segment_jitter_ms", segment_jitter_ms),
        v("segment_index_bytes", segment_index_bytes), v("index_interval_bytes", index_interval_bytes),
        v("compacted", compacted);
    v("deletes", deletes), v("retention_bytes", retention_bytes), v("retention_ms", retention_ms),
        v("file_delete_delay_ms", file_delete_delay_ms), v("producer_expiration_ms", producer_expiration_ms);
    v("min_dirty_ppm", min_dirty_ppm), v("min_compaction_lag_ms", min_compaction_lag_ms),
        v("max_compaction_lag_ms", max_compaction_lag_ms), v("delete_retention_ms", delete_retention_ms);
  }
};

inline constexpr uint32_t kTailBytes = 1 << 20;  // recent batches that a log keeps in memory
inline constexpr uint32_t kRegionLeast = 64 << 10;

struct LogOptions {
  uint16_t module = 0;  // Owner.module and Owner.key of everything that this log asks of the world
  uint64_t key = 0;
  DirId dir;
  Uuid topic;
  std::string topic_name;
  int32_t partition = 0;
  LogConfig config;
  uint32_t tail_bytes = kTailBytes;
  uint32_t region_least = kRegionLeast;  // smaller cold reads go through memory
  int64_t resume_least = 64 << 10;       // recovery reads a smaller segment whole, without its index files
  // Keep producer states (idempotence). The metadata log needs none, and then opens without reading everything.
  bool track_producers = true;
  // Take a directory without a readable partition.metadata for one's own: right only for a name that is never reused
  // (the metadata log). Otherwise such a directory is moved aside as stray.
  bool adopt_unnamed = false;
  bool tell_control = false;  // Out.control
  template<class V>
  void fields(V& v) const {
    v("module", module), v("key", key), v("dir", dir), v("topic", topic), v("topic_name", topic_name),
        v("partition", partition), v("config", config), v("tail_bytes", tail_bytes), v("region_least", region_least),
        v("resume_least", resume_least), v("track_producers", track_producers), v("adopt_unnamed", adopt_unnamed),
        v("tell_control", tell_control);
  }
};

// What the node's checkpoint files say of this log. `recovery_point`: everything below it was durable once; 0 if
// unsure. That nothing below it has been truncated since is certain after an orderly end, and for a log without
// producers; otherwise a producer snapshot below it tells (log_snapshot.cc).
struct OpenFrom {
  Offset recovery_point = 0;
  Offset log_start = 0;
  bool clean = false;     // an orderly end: the log ends at recovery_point
  Offset cleaned_to = 0;  // where the last compaction ended
  // Of the last record below recovery_point, if that is known: an epoch file that has not come so far is not believed.
  LeaderEpoch epoch = kNoEpoch;
  template<class V>
  void fields(V& v) const {
    v("recovery_point", recovery_point), v("log_start", log_start), v("clean", clean), v("cleaned_to", cleaned_to);
    v("epoch", epoch);
  }
};

// Each names the offset after the last record of its kind: log_start <= synced <= written <= submitted, but a log start
// may have been moved past the first two.
struct Ends {
  Offset log_start = 0;
  Offset submitted = 0;  // appended: the log end offset
  Offset written = 0;    // visible to a process that starts after a kill of this one
  Offset synced = 0;     // survives a loss of power
  friend bool operator==(const Ends&, const Ends&) = default;
  template<class V>
  void fields(V& v) const {
    v("log_start", log_start), v("submitted", submitted), v("written", written), v("synced", synced);
  }
};

// Who asks a log to let expired segments go.
struct RetainBy {
  Offset high_watermark = 0;
  bool policy = false;  // size and age count; else only what lies below the log start goes
};

// Who asks a log to compact itself, and with what means.
struct CleanBy {
  Offset high_watermark = 0;
  int64_t keys_bytes = 128 << 20;  // memory for the offsets of keys
  uint32_t keys_percent = 90;      // how full that may be
  int64_t bytes_per_second = 0;    // read and written; 0: as many as there come
  template<class V>
  void fields(V& v) const {
    v("high_watermark", high_watermark), v("keys_bytes", keys_bytes), v("keys_percent", keys_percent),
        v("bytes_per_second", bytes_per_second);
  }
};
// The end of a cleaning, for people.
struct CleanEnd {
  bool corrupt = false;           // what is there cannot be compacted, now or later
  IoError error = IoError::none;  // what could not be read: it is not tried again in this life
  Offset cleaned_to = 0;
  int64_t bytes_read = 0, bytes_kept = 0;
  int64_t records_read = 0, records_kept = 0;
  template<class V>
  void fields(V& v) const {
    v("corrupt", corrupt), v("error", error), v("cleaned_to", cleaned_to);
    v("bytes_read", bytes_read), v("bytes_kept", bytes_kept), v("records_read", records_read),
        v("records_kept", records_kept);
  }
};

struct Appended {
  Offset base = 0;  // of the first record
  Offset last = 0;  // of the last record
};

struct ReadFrom {
  Offset offset = 0;
  uint32_t max_bytes = 0;
  Offset limit = 0;           // exclusive: no batch that reaches it or beyond
  bool at_least_one = false;  // the first batch even if it is larger than max_bytes
  bool fill = false;          // after whole batches, what max_bytes leaves room for of the next one below `limit`
  bool region = false;        // the answer may be a region of a file; needs `fill`
};
enum class ReadStatus : uint8_t {
  ok,
  cold,
  out_of_range,
  damaged,    // the bytes on disk are not a batch (CORRUPT_MESSAGE): told until forget_fault
  unreadable  // nor could they be read
};

// After a read said cold: bring the batches from `offset` into memory, or only find the place of the first, or learn at
// what times its segment was written.
struct ColdWant {
  Offset offset = 0;
  uint32_t max_bytes = 0;
  bool place = false;
  bool times = false;
  friend bool operator==(const ColdWant&, const ColdWant&) = default;
  template<class V>
  void fields(V& v) const {
    v("offset", offset), v("max_bytes", max_bytes), v("place", place), v("times", times);
  }
};

// Whole batches from the one that holds `offset`; the first may begin before it; then perhaps a part of one. Pieces
// follow each other; a batch may be cut over two of them. Instead of pieces it may be a region, whose first batch has
// records; nobody has looked at the others.
struct ReadResult {
  ReadStatus status = ReadStatus::ok;
  std::vector<Slice> pieces;
  FileRegion region;
  uint32_t size = 0;    // bytes of all pieces, or of the region
  Offset next = 0;      // where to go on; if nothing was read `offset`, or `limit` if the first batch reaches it
  Offset below = 0;     // of a region: all its offsets are
  bool capped = false;  // there is more below `limit`, but max_bytes was reached (or the cached block ended)
  ColdWant want;        // of a cold read: for load_cold
};

// The end of a load_cold. Without an error: read again, in this turn.
struct ColdEnd {
  Offset offset = 0;
  IoError error = IoError::none;
  bool corrupt = false;  // the bytes on disk are damaged there (CORRUPT_MESSAGE)
};

struct TimestampAndOffset {
  int64_t timestamp = kNoTimestamp;
  Offset offset = -1;
  template<class V>
  void fields(V& v) const {
    v("timestamp", timestamp), v("offset", offset);
  }
};

// What a log has to say after an end of its storage commands.
struct Out {
  bool ready = false;         // open, or open again after a deep truncation
  bool strayed = false;       // the directory was another topic's and has been moved aside: to be opened anew
  bool written = false;       // ends().written moved
  bool synced = false;        // ends().synced moved
  bool removed = false;       // the directory is gone
  bool closed = false;        // close() is done: everything is durable and every file closed
  bool checkpointed = false;  // recovery_point() moved as far as it was asked to
  std::vector<ColdEnd> cold;
  // With LogOptions.tell_control: batches of control records that recovery has read, in order, but from further back
  // again where it begins anew; not those larger than kMaxControlBytes.
  std::vector<Slice> control;
  std::optional<Instant> remove_at;  // files were put away: call remove_put_away then
  std::optional<CleanEnd> cleaned;   // a cleaning has ended, as far as it came
  std::optional<Instant> clean_at;   // it is as fast as it may be: call go_on_cleaning then
  IoError failed = IoError::none;    // final: this log does nothing more; said once
};

}  // namespace klamm::log
