// Cuts a byte stream into frames: int32 size, then that many bytes. The stream may be split anywhere.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/base/bytes.h"

namespace klamm::net {

// Of one connection's one direction. Frames that lie within a chunk share its memory; one that spans chunks is gathered
// in a buffer that grows with the bytes that have come, never by what a peer claims. While much of a frame is missing
// that buffer is offered as Room: chunks that were received into it are there already.
class Frames final {
 public:
  explicit Frames(uint32_t size_max) : size_max_(size_max) {}
  // Appends the frames that are complete now, without their size. False: a size is negative or above the maximum;
  // the stream is lost and must be closed.
  bool feed(const Slice& chunk, std::vector<Slice>& frames);
  // Whether a Room is worth its command, and its buffer.
  bool wants_room() const;
  BufferRef room() const { return partial_; }
  uint32_t pending() const { return end_; }  // bytes held of an unfinished frame, its size included
  template<class V>
  void fields(V& v) const {
    v("size_max", size_max_), v("partial", Slice(partial_, partial_ ? partial_.get()->data() : nullptr, end_));
  }

 private:
  static constexpr uint32_t kFirst = 1024;
  static constexpr uint32_t kRoomLeast = 64 << 10;  // missing bytes
  static constexpr uint32_t kGrowth = 8;  // a large frame is copied about once; what is not filled costs no memory
  bool size_ok(const uint8_t* at, uint32_t* size) const;
  void gather(ByteSpan bytes, uint64_t most);

  uint32_t size_max_;
  BufferRef partial_;  // shared with forks; written only while its fill mark equals our end
  uint32_t end_ = 0;   // bytes of partial_ that are ours; below 4 the size is not yet known
};

}  // namespace klamm::net
