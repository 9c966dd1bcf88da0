// One segment: a file of batches named by its first offset, and what finds a place in it by offset and by time.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/log/batch.h"
#include "engine/log/transactions.h"
#include "engine/log/types.h"

namespace klamm::log {

inline constexpr size_t kSealedIndexEntries = 512;  // that a segment keeps in memory once it is full

// Kafka's entries of .index: the last offset of a batch and the position where that batch begins.
struct IndexEntry {
  uint32_t relative = 0;
  uint32_t position = 0;
  friend bool operator==(const IndexEntry&, const IndexEntry&) = default;
  template<class V>
  void fields(V& v) const {
    v("relative", relative), v("position", position);
  }
};
// Kafka's entries of .timeindex: no batch up to this offset is newer.
struct TimeEntry {
  int64_t timestamp = kNoTimestamp;
  uint32_t relative = 0;
  friend bool operator==(const TimeEntry&, const TimeEntry&) = default;
  template<class V>
  void fields(V& v) const {
    v("timestamp", timestamp), v("relative", relative);
  }
};

// Between which entries an offset lies: from a batch that begins at or before it to one that ends behind it.
struct IndexGap {
  int64_t from = 0;
  int64_t to = 0;  // kNoGapEnd: no entry is so late
};
inline constexpr int64_t kNoGapEnd = INT64_MAX;
IndexGap find_gap(const std::vector<IndexEntry>& entries, Offset relative);

// Nothing if `bytes` are not one entry of .timeindex.
std::optional<TimeEntry> read_time_entry(ByteSpan bytes);

// The contents of both index files of a segment.
struct IndexFiles {
  ByteSpan offsets;
  ByteSpan times;
};
// What is known of a segment that a scan is to resume.
struct ResumeBound {
  int64_t size = 0;  // bytes of the segment
  Offset below = 0;  // entries of later offsets are not believed
};
// Where: at a batch that begins at `position` and not before `from`.
struct ResumePoint {
  int64_t position = 0;
  Offset from = 0;
};

// Both indexes of a segment. They are hints: what is read by them is checked against the batches found there.
class SegmentIndex final {
 public:
  explicit SegmentIndex(Offset base = 0) : base_(base) {}
  // A batch of the segment, in order.
  void add(const BatchHeader& batch, int64_t position, int32_t interval_bytes);
  void seal();                                  // the segment is full: completes the time index
  void thin();                                  // keeps only every so-manieth entry
  void truncate(Offset end, int64_t position);  // forgets entries at or behind
  void forget_offsets() { offsets_.clear(); }
  void note(Offset last, int64_t position);  // learned from a scan: helps the next one, unless it knows many
  // Of a batch that begins at or before `offset`.
  int64_t position_for(Offset offset) const { return find_gap(offsets_, offset - base_).from; }
  Offset offset_before(int64_t timestamp) const;  // all batches below it are older than `timestamp`
  int64_t last_position() const { return offsets_.empty() ? 0 : offsets_.back().position; }
  const TimestampAndOffset& newest() const { return newest_; }
  void set_newest(const TimestampAndOffset& t) { newest_ = t; }

  std::vector<Slice> encode_offsets() const;
  std::vector<Slice> encode_times() const;
  // Replaces the offset entries by those of a file; ignores it if they cannot be right for a segment of `size` bytes.
  void load_offsets(ByteSpan file, int64_t size);
  // The same of the times, of which none may lie at or behind `end`.
  void load_times(ByteSpan file, Offset end);
  // Takes the entries that a scan would have found up to the batch of the last one below the bound, which is where the
  // scan is to go on with `add`. Nothing, and no entries, if the files do not tell enough.
  std::optional<ResumePoint> resume(const IndexFiles& files, const ResumeBound& bound);

  const std::vector<IndexEntry>& offsets() const { return offsets_; }
  const std::vector<TimeEntry>& times() const { return times_; }
  template<class V>
  void fields(V& v) const {
    v("base", base_), v("offsets", offsets_), v("times", times_), v("since", since_), v("newest", newest_);
  }

 private:
  Offset base_ = 0;
  std::vector<IndexEntry> offsets_;  // both rise strictly
  std::vector<TimeEntry> times_;     // both rise strictly
  int64_t since_ = 0;                // bytes appended since the last entry
  TimestampAndOffset newest_;        // largest max timestamp and the last offset of its batch
};

struct Segment {
  explicit Segment(Offset first = 0) : base(first), index(first) {}
  Offset base = 0;
  int64_t size = 0;    // bytes, pending ones included
  FileId file;         // none: not open
  bool named = false;  // its file exists for sure
  bool name_durable = false;
  bool unsynced = false;            // has bytes, or a length, that no sync under way covers
  bool index_loaded = true;         // `index` is not waiting to be read from disk
  bool times_loaded = true;         // nor are its times, but for the newest
  bool forced = false;              // its file is made even before it has bytes: it holds the log's end
  bool index_durable = true;        // .index and .timeindex are on disk, or not due before the segment is full
  uint8_t index_writes = 0;         // under way
  int64_t index_holds = -1;         // the active segment's size when its index files were right
  int64_t marked = 0;               // its first bytes, which the newest snapshot vouches for
  std::vector<Slice> pending;       // appended, not submitted; they end at `size`
  std::optional<Slice> snapshot;    // of the producers where it begins; not yet written
  std::vector<AbortedTxn> aborted;  // by markers that lie in it, in their order: what .txnindex holds
  bool txn_file = false;            // .txnindex may exist: it is written even if there is nothing to tell
  bool txn_named = false;           // and its name is durable: without it nothing would tell that there is something
  int64_t pending_bytes = 0;
  int64_t first_timestamp = kNoTimestamp;
  int64_t created_ms = 0;
  int64_t jitter_ms = 0;  // drawn when it was begun
  SegmentIndex index;
  bool lacks_file() const { return forced && !named && !file; }  // closed is not lacking
  template<class V>
  void fields(V& v) const {
    v("base", base), v("size", size), v("file", file), v("named", named), v("name_durable", name_durable),
        v("unsynced", unsynced), v("forced", forced), v("index_loaded", index_loaded), v("times_loaded", times_loaded),
        v("index_durable", index_durable), v("index_writes", index_writes), v("pending", pending),
        v("pending_bytes", pending_bytes), v("first_timestamp", first_timestamp), v("created_ms", created_ms),
        v("jitter_ms", jitter_ms), v("index", index), v("snapshot", snapshot), v("index_holds", index_holds),
        v("marked", marked), v("aborted", aborted), v("txn_file", txn_file), v("txn_named", txn_named);
  }
};

// Adds a piece to a gathered run; joins it to the last one where they lie side by side in one buffer.
void add_piece(std::vector<Slice>* pieces, const Slice& piece);

// "00000000000000000042.log" and its kin.
std::string segment_file(Offset base, const char* suffix);
bool parse_segment_file(const std::string& name, const char* suffix, Offset* base);

}  // namespace klamm::log
