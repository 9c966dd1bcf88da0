// The bytes of a simulated file as copy-on-write pages: a snapshot or a fork shares what it does not change.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/cow.h"

namespace klamm::sim {

inline constexpr int64_t kPage = 4096;
inline constexpr int64_t kSector = 512;

// Value. A page without a buffer reads as zeros; bytes past the end of the file are zeros too.
class Content final {
 public:
  int64_t size() const { return size_; }
  size_t pages() const { return chunks_.size() * kChunk; }  // at least so many as hold it
  void write(int64_t offset, ByteSpan bytes);
  void truncate(int64_t size);
  Slice read(int64_t offset, int64_t most) const;  // short at the end

  // Whether a page is the very same memory in both: then it cannot differ.
  bool shares_page(const Content& other, size_t page) const;
  // Takes sectors of a page from another content; `sectors` has a bit for each of the eight.
  void take_sectors(const Content& from, size_t page, uint32_t sectors);
  void set_size(int64_t size) { truncate(size); }

 private:
  const uint8_t* page_bytes(size_t page) const;  // null: zeros
  uint8_t* own_page(size_t page);
  // Pages by chunks, so that a snapshot of a large file followed by an append copies little.
  static constexpr size_t kChunk = 64;
  struct Chunk {
    std::array<BufferRef, kChunk> pages;
  };
  int64_t size_ = 0;
  std::vector<Cow<Chunk>> chunks_;
};

}  // namespace klamm::sim
