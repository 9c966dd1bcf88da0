// Memory for bytes: a Buffer is a counted block, a Slice a counted view into one.
// Counts are not atomic: a family of machines is touched by one thread at a time, and counts only ever free memory.
#pragma once
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "engine/base/assert.h"

namespace klamm {

using ByteSpan = std::span<const uint8_t>;
inline ByteSpan as_bytes(std::string_view s) { return {reinterpret_cast<const uint8_t*>(s.data()), s.size()}; }
inline std::string_view as_text(ByteSpan s) { return {reinterpret_cast<const char*>(s.data()), s.size()}; }

// One allocation: this header, then `capacity` bytes. `fill` marks how far its writers have come.
struct Buffer {
  uint32_t references;
  uint32_t capacity;
  uint32_t fill;
  uint32_t reserved;
  uint8_t* data() { return reinterpret_cast<uint8_t*>(this + 1); }
  static Buffer* make(uint32_t capacity);  // references = 1, fill = 0; the bytes are not initialised
  static void release(Buffer* b);
};

class BufferRef final {
 public:
  BufferRef() = default;
  static BufferRef make(uint32_t capacity) { return BufferRef(Buffer::make(capacity)); }
  static BufferRef share(Buffer* b) {
    if (b) ++b->references;
    return BufferRef(b);
  }
  BufferRef(const BufferRef& o) : buffer_(o.buffer_) {
    if (buffer_) ++buffer_->references;
  }
  BufferRef(BufferRef&& o) noexcept : buffer_(std::exchange(o.buffer_, nullptr)) {}
  BufferRef& operator=(BufferRef o) noexcept {
    std::swap(buffer_, o.buffer_);
    return *this;
  }
  ~BufferRef() {
    if (buffer_) Buffer::release(buffer_);
  }
  Buffer* get() const { return buffer_; }
  Buffer* operator->() const { return buffer_; }
  explicit operator bool() const { return buffer_ != nullptr; }

 private:
  explicit BufferRef(Buffer* b) : buffer_(b) {}
  Buffer* buffer_ = nullptr;
};

// An immutable run of bytes that keeps its buffer alive. At most 4 GiB - 1.
class Slice final {
 public:
  Slice() = default;
  Slice(BufferRef owner, const uint8_t* data, size_t size)
      : owner_(std::move(owner)), data_(data), size_(static_cast<uint32_t>(size)) {}
  static Slice copy(ByteSpan bytes);
  static Slice copy(std::string_view text) { return copy(as_bytes(text)); }
  // The part [from, from + size) of this slice; it shares the buffer.
  Slice part(size_t from, size_t size) const {
    KLAMM_ASSERT(from <= size_ && size <= size_ - from);
    return Slice(owner_, data_ + from, size);
  }
  // The slice for a view that lies inside this one (a decoded field), without a copy.
  Slice of(ByteSpan view) const {
    KLAMM_ASSERT(view.data() >= data_ && view.data() + view.size() <= data_ + size_);
    return Slice(owner_, view.data(), view.size());
  }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  ByteSpan span() const { return {data_, size_}; }
  std::string_view text() const { return as_text(span()); }
  const BufferRef& owner() const { return owner_; }
  friend bool operator==(const Slice& a, const Slice& b) {
    return a.size_ == b.size_ && (a.size_ == 0 || std::memcmp(a.data_, b.data_, a.size_) == 0);
  }

 private:
  BufferRef owner_;
  const uint8_t* data_ = nullptr;
  uint32_t size_ = 0;
};

}  // namespace klamm
