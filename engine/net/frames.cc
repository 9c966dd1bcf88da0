#include "engine/net/frames.h"

#include <algorithm>
#include <cstring>

namespace klamm::net {

bool Frames::size_ok(const uint8_t* at, uint32_t* size) const {
  *size = uint32_t{at[0]} << 24 | uint32_t{at[1]} << 16 | uint32_t{at[2]} << 8 | at[3];
  return *size <= size_max_;
}

bool Frames::feed(const Slice& chunk, std::vector<Slice>& frames) {
  size_t at = 0;
  uint32_t size = 0;
  while (at < chunk.size()) {
    const size_t left = chunk.size() - at;
    if (end_ == 0 && left >= 4) {
      if (!size_ok(chunk.data() + at, &size)) return false;
      if (left - 4 >= size) {
        frames.push_back(chunk.part(at + 4, size));
        at += 4 + size_t{size};
        continue;
      }
    }
    const uint32_t known = end_ < 4 ? 4 - end_ : 0;
    if (known) {
      const size_t n = std::min<size_t>(known, left);
      gather({chunk.data() + at, n}, 4);
      at += n;
      if (end_ < 4) break;
    }
    if (!size_ok(partial_->data(), &size)) return false;
    const size_t n = std::min<size_t>(size_t{size} + 4 - end_, chunk.size() - at);
    gather({chunk.data() + at, n}, uint64_t{size} + 4);
    at += n;
    if (end_ == uint64_t{size} + 4) {
      frames.push_back(Slice(partial_, partial_->data() + 4, size));
      partial_ = {};
      end_ = 0;
    }
  }
  return true;
}

bool Frames::wants_room() const {
  uint32_t size = 0;
  return end_ >= 4 && size_ok(partial_->data(), &size) && uint64_t{size} + 4 - end_ >= kRoomLeast;
}

void Frames::gather(ByteSpan bytes, uint64_t most) {
  const uint64_t need = uint64_t{end_} + bytes.size();
  KLAMM_ASSERT_REL(need, <=, most);
  if (partial_ && bytes.data() == partial_->data() + end_) {  // received in place
    end_ = static_cast<uint32_t>(need);
    return;
  }
  if (!partial_ || partial_->fill != end_ || partial_->capacity < need) {
    const uint64_t capacity = std::max<uint64_t>({need, std::min(most, need * kGrowth), kFirst});
    BufferRef grown = BufferRef::make(static_cast<uint32_t>(capacity));
    if (end_) std::memcpy(grown->data(), partial_->data(), end_);
    grown->fill = end_;
    partial_ = std::move(grown);
  }
  if (!bytes.empty()) std::memcpy(partial_->data() + end_, bytes.data(), bytes.size());
  end_ = partial_->fill = static_cast<uint32_t>(need);
}

}  // namespace klamm::net
