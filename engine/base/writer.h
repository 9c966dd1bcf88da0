// Writes the primitive types of Kafka's protocol. Small content gathers in runs of contiguous memory; large slices are
// attached between the runs without a copy. A value that the format cannot carry makes the writer fail, stickily.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/file_region.h"
#include "engine/base/ids.h"

namespace klamm {

class Writer final {
 public:
  static constexpr size_t kAttachMin = 512;  // smaller slices are copied: an extra piece costs more than the bytes

  // `hint`: bytes expected beside the attached slices; more is fine.
  explicit Writer(size_t hint = 256) : hint_(hint) {}
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  bool ok() const { return error_ == nullptr; }
  const char* error() const { return error_; }  // a literal; null while all went well
  void fail(const char* why) {
    if (error_ == nullptr) error_ = why;
  }
  size_t size() const { return done_size_ + run_size(); }

  void boolean(bool v) { *need(1) = v ? 1 : 0; }
  void u8(uint8_t v) { *need(1) = v; }
  void i8(int8_t v) { *need(1) = static_cast<uint8_t>(v); }
  void i16(int16_t v) { number(static_cast<uint16_t>(v)); }
  void i32(int32_t v) { number(static_cast<uint32_t>(v)); }
  void i64(int64_t v) { number(static_cast<uint64_t>(v)); }
  void u16(uint16_t v) { number(v); }
  void u32(uint32_t v) { number(v); }
  void f64(double v) { number(std::bit_cast<uint64_t>(v)); }
  void uuid(const Uuid& v) { std::memcpy(need(16), v.bytes.data(), 16); }
  void uvarint(uint32_t v) { uvarlong(v); }
  void uvarlong(uint64_t v) {
    uint8_t* p = need(10);
    const uint8_t* from = p;
    for (; v >= 0x80; v >>= 7) *p++ = static_cast<uint8_t>(v) | 0x80;
    *p++ = static_cast<uint8_t>(v);
    at_ -= 10 - (p - from);
  }
  void varint(int32_t v) { uvarint((static_cast<uint32_t>(v) << 1) ^ static_cast<uint32_t>(v >> 31)); }
  void varlong(int64_t v) { uvarlong((static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63)); }
  void raw(ByteSpan bytes) {
    if (!bytes.empty()) std::memcpy(need(bytes.size()), bytes.data(), bytes.size());
  }
  // The slice's bytes; from kAttachMin up it is shared instead of copied.
  void attach(const Slice& slice);
  // Bytes that a file has. They are not in what `finish` gives: `take_regions` tells where they belong.
  void region(const FileRegion& region);
  // Makes room for n bytes and returns them, for the caller to fill at once.
  uint8_t* need(size_t n) {
    if (static_cast<size_t>(end_ - at_) < n) [[unlikely]]
      grow(n);
    uint8_t* p = at_;
    at_ += n;
    return p;
  }

  // Overwrites what was written at `position` (of the whole output, within one run, before any region); for a frame's
  // length.
  void patch_i32(size_t position, int32_t v);

  // A value between the two calls gets its size in front, as a uvarint. No slice is attached in between.
  struct Sized {
    size_t run_offset;
    size_t slices;
  };
  Sized begin_sized();
  void end_sized(Sized mark);

  // Where the regions lie among the pieces of the output. Before `finish`.
  std::vector<PlacedRegion> take_regions();

  // The output, in order; the writer is empty afterwards.
  std::vector<Slice> finish();
  // The output as one slice, without regions; copies only when slices were attached.
  Slice finish_contiguous();

 private:
  template<class T>
  void number(T v) {
    if constexpr (sizeof(T) == 2) v = __builtin_bswap16(v);
    if constexpr (sizeof(T) == 4) v = __builtin_bswap32(v);
    if constexpr (sizeof(T) == 8) v = __builtin_bswap64(v);
    std::memcpy(need(sizeof(T)), &v, sizeof(T));
  }
  size_t run_size() const { return static_cast<size_t>(at_ - run_); }
  void grow(size_t n);
  void close_run();

  BufferRef buffer_;        // holds the open run
  uint8_t* run_ = nullptr;  // where the open run begins; run_ <= at_ <= end_
  uint8_t* at_ = nullptr;
  uint8_t* end_ = nullptr;
  size_t hint_;
  size_t done_size_ = 0;     // the sum of the sizes in done_
  std::vector<Slice> done_;  // closed runs and attached slices
  std::vector<PlacedRegion> regions_;
  const char* error_ = nullptr;
};

}  // namespace klamm
