// Finds the good batches in the bytes of a segment, given in runs of any size: recovery in bounded memory.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/base/crc32c.h"
#include "engine/log/batch.h"
#include "engine/log/transactions.h"

namespace klamm::log {

struct ScanOptions {
  int64_t position = 0;          // of the first batch
  int64_t file_size = 0;         // no batch can end behind it
  Offset base = 0;               // of the segment: its indexes count from here, in 31 bits
  Offset expect = 0;             // the next batch begins here or, where compaction has been, later
  LeaderEpoch epoch = kNoEpoch;  // no batch is of an older one
  Offset limit = 0;              // exclusive: stop before a batch that reaches it
};

// A value. A batch is good if its header is sane, it continues the log, lies in the file, and its checksum holds.
class BatchScanner final {
 public:
  BatchScanner() = default;
  explicit BatchScanner(const ScanOptions& options)
      : position_(options.position),
        file_size_(options.file_size),
        base_(options.base),
        expect_(options.expect),
        epoch_(options.epoch),
        limit_(options.limit) {}

  enum class Verdict : uint8_t { more, bad, limit };
  // Takes the bytes that follow those given before; calls found(header, position, batch) for each good batch. `batch`
  // are all its bytes if it has control records and is not larger than kMaxControlBytes; else it is empty.
  template<class F>
  Verdict feed(ByteSpan bytes, F&& found) {
    while (!bytes.empty()) {
      if (have_ < kBatchHeaderSize) {
        take(&bytes);
        if (have_ < kBatchHeaderSize) break;
        const Verdict v = begin_batch();
        if (v != Verdict::more) return v;
      }
      const size_t n = std::min<size_t>(header_.size() - have_, bytes.size());
      crc_ = crc32c(bytes.first(n), crc_);
      if (kept()) std::copy_n(bytes.data(), n, bytes_.data() + have_);
      have_ += static_cast<uint32_t>(n);
      bytes = bytes.subspan(n);
      if (have_ < header_.size()) break;
      if (crc_ != header_.crc) return Verdict::bad;
      found(header_, position_, kept() ? ByteSpan(bytes_).first(have_) : ByteSpan());
      position_ += have_;
      have_ = 0;
      expect_ = header_.last_offset() + 1;
      epoch_ = header_.partition_leader_epoch;
    }
    return Verdict::more;
  }
  int64_t position() const { return position_; }  // the end of the last good batch
  Offset expect() const { return expect_; }
  LeaderEpoch epoch() const { return epoch_; }
  bool between_batches() const { return have_ == 0; }
  template<class V>
  void fields(V& v) const {
    v("position", position_), v("file_size", file_size_), v("base", base_), v("expect", expect_), v("epoch", epoch_),
        v("limit", limit_), v("have", have_), v("crc", crc_), v("bytes", bytes_);
  }

 private:
  bool kept() const { return header_.control() && header_.size() <= kMaxControlBytes; }
  void take(ByteSpan* bytes);  // completes the header's bytes
  Verdict begin_batch();       // the header's bytes are complete

  int64_t position_ = 0;  // of the batch under way
  int64_t file_size_ = 0;
  Offset base_ = 0;
  Offset expect_ = 0;
  LeaderEpoch epoch_ = kNoEpoch;
  Offset limit_ = 0;
  uint32_t have_ = 0;           // bytes of the batch under way
  uint32_t crc_ = 0;            // of those that the checksum covers
  std::vector<uint8_t> bytes_;  // of the header; of all of a batch that is kept, at most kMaxControlBytes
  BatchHeader header_;          // read from bytes_ once they are complete
};

}  // namespace klamm::log
