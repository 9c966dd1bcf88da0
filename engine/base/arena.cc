#include "engine/base/arena.h"

#include <algorithm>

namespace klamm {

namespace {
constexpr size_t kFirstBlock = 16 * 1024;
}

void* Arena::allocate_slow(size_t size, size_t align) {
  KLAMM_ASSERT(align <= alignof(std::max_align_t));
  const size_t wanted =
      std::max(size + align, blocks_.empty() ? kFirstBlock : std::min<size_t>(blocks_.back().size * 2, 1 << 20));
  blocks_.push_back({std::unique_ptr<char[]>(new char[wanted]), wanted});
  total_ += wanted;
  used_ = size;
  return blocks_.back().memory.get();
}

void Arena::reset() {
  if (blocks_.size() > 1) blocks_.resize(1);
  total_ = blocks_.empty() ? 0 : blocks_[0].size;
  used_ = taken_ = 0;
}

}  // namespace klamm
