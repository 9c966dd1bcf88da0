#include "engine/base/writer.h"

#include <algorithm>
#include <limits>

namespace klamm {

void Writer::grow(size_t n) {
  const size_t used = run_size();
  const size_t capacity = std::max(hint_, 2 * (used + n));
  KLAMM_ASSERT_REL(capacity, <=, std::numeric_limits<uint32_t>::max());
  BufferRef larger = BufferRef::make(static_cast<uint32_t>(capacity));
  if (used != 0) std::memcpy(larger->data(), run_, used);
  if (buffer_) buffer_->fill = static_cast<uint32_t>(run_ - buffer_->data());
  buffer_ = std::move(larger);
  run_ = buffer_->data();
  at_ = run_ + used;
  end_ = run_ + buffer_->capacity;
}

void Writer::close_run() {
  if (at_ == run_) return;
  buffer_->fill = static_cast<uint32_t>(at_ - buffer_->data());
  done_.emplace_back(buffer_, run_, run_size());
  done_size_ += run_size();
  run_ = at_;
}

void Writer::attach(const Slice& slice) {
  if (slice.size() < kAttachMin) return raw(slice.span());
  close_run();
  done_.push_back(slice);
  done_size_ += slice.size();
}

void Writer::region(const FileRegion& region) {
  close_run();
  regions_.push_back({done_.size(), region});
  done_size_ += region.size;
}

std::vector<PlacedRegion> Writer::take_regions() { return std::exchange(regions_, {}); }

void Writer::patch_i32(size_t position, int32_t v) {
  const uint32_t bytes = __builtin_bswap32(static_cast<uint32_t>(v));
  for (const Slice& s : done_) {
    if (position < s.size()) {
      KLAMM_ASSERT_REL(position + 4, <=, s.size());
      std::memcpy(const_cast<uint8_t*>(s.data()) + position, &bytes, 4);  // one of our own runs, not yet handed out
      return;
    }
    position -= s.size();
  }
  KLAMM_ASSERT_REL(position + 4, <=, run_size());
  std::memcpy(run_ + position, &bytes, 4);
}

Writer::Sized Writer::begin_sized() {
  const Sized mark{run_size(), done_.size()};
  need(1);
  return mark;
}

void Writer::end_sized(Sized mark) {
  KLAMM_ASSERT_REL(mark.slices, ==, done_.size());
  const size_t size = run_size() - mark.run_offset - 1;
  if (size < 0x80) {
    run_[mark.run_offset] = static_cast<uint8_t>(size);
    return;
  }
  size_t extra = 0;
  for (size_t v = size >> 7; v != 0; v >>= 7) ++extra;
  need(extra);
  uint8_t* p = run_ + mark.run_offset;
  std::memmove(p + 1 + extra, p + 1, size);
  for (size_t v = size; p != nullptr; v >>= 7) {
    *p = static_cast<uint8_t>(v & 0x7f) | (v >= 0x80 ? 0x80 : 0);
    if (v < 0x80) break;
    ++p;
  }
}

std::vector<Slice> Writer::finish() {
  KLAMM_ASSERT(regions_.empty());
  close_run();
  done_size_ = 0;
  return std::exchange(done_, {});
}

Slice Writer::finish_contiguous() {
  KLAMM_ASSERT(regions_.empty());
  close_run();
  const size_t total = std::exchange(done_size_, 0);
  const std::vector<Slice> parts = std::exchange(done_, {});
  if (parts.empty()) return Slice::copy(ByteSpan{});
  if (parts.size() == 1) return parts.front();
  KLAMM_ASSERT_REL(total, <=, std::numeric_limits<uint32_t>::max());
  BufferRef whole = BufferRef::make(static_cast<uint32_t>(total));
  uint8_t* p = whole->data();
  for (const Slice& s : parts) {
    std::memcpy(p, s.data(), s.size());
    p += s.size();
  }
  whole->fill = static_cast<uint32_t>(total);
  uint8_t* data = whole->data();
  return Slice(std::move(whole), data, total);
}

}  // namespace klamm
