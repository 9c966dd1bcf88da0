// The newest batches of a log in memory: what reads of the tail are served from, and all that is not yet written.
#pragma once
#include <vector>

#include "engine/base/fifo.h"
#include "engine/log/segment.h"

namespace klamm::log {

inline constexpr uint32_t kShareBytes = 4'096;  // a larger run may share its caller's buffer; a smaller one is copied
inline constexpr uint32_t kTailBlockLeast = 4'096;
inline constexpr uint32_t kTailBlockMost = 65'536;

struct TailBatch {
  Offset base = 0;
  Offset last = 0;
  Offset segment = 0;    // base of the segment that it is in
  int64_t position = 0;  // there
  int64_t max_timestamp = kNoTimestamp;
  Slice head;  // the whole batch, or its header when the records are shared
  Slice rest;
  uint32_t size() const { return static_cast<uint32_t>(head.size() + rest.size()); }
  template<class V>
  void fields(V& v) const {
    v("base", base), v("last", last), v("segment", segment), v("position", position), v("max_timestamp", max_timestamp),
        v("head", head), v("rest", rest);
  }
};

// A value. Invariant: it holds every batch that ends at `from()` or beyond; so a read from there needs no disk.
class Tail final {
 public:
  // Memory for a run of `size` bytes behind what was copied last, if that block has room and nobody else (a fork that
  // shares it) has filled it further; else in a new block. The caller fills it at once.
  Slice claim(uint32_t size, uint8_t** fill);
  Slice copy(ByteSpan bytes);
  void add(TailBatch batch);
  // Lets the oldest go until at most `most` bytes are left; none that reaches `written` or beyond.
  void evict(uint32_t most, Offset written);
  void forget_before(Offset end);  // those that end before, all of which are written
  // Forgets batches that reach `end` or beyond. `end` must not lie before from().
  void truncate(Offset end);
  void reset(Offset from);
  Offset from() const { return from_; }
  // The first batch that ends at `offset` or beyond; `offset` must not lie before from().
  Fifo<TailBatch>::const_iterator find(Offset offset) const;
  const Fifo<TailBatch>& batches() const { return batches_; }
  int64_t bytes() const { return bytes_; }
  // With a block's worth: of the last one some is free, of the oldest some has been let go.
  int64_t memory() const { return batches_.empty() ? 0 : bytes_ + block_size(); }
  template<class V>
  void fields(V& v) const {
    v("batches", batches_), v("from", from_), v("bytes", bytes_);  // where they lie in memory is not state
  }

 private:
  uint32_t block_size() const;

  Fifo<TailBatch> batches_;
  Offset from_ = 0;
  int64_t bytes_ = 0;  // charged: content and entries, by a fixed rule
  BufferRef block_;    // where small runs are copied to
  uint32_t block_end_ =
      0;  // this log's part of it; the block may be written beyond only while its fill mark says so too
};

}  // namespace klamm::log
