#include "engine/log/tail.h"

#include <algorithm>
#include <cstring>

namespace klamm::log {
namespace {

int64_t charge(const TailBatch& b) { return static_cast<int64_t>(b.size()) + static_cast<int64_t>(sizeof(TailBatch)); }

}  // namespace

uint32_t Tail::block_size() const {
  return static_cast<uint32_t>(std::clamp<int64_t>(bytes_ / 4, kTailBlockLeast, kTailBlockMost));
}

Slice Tail::claim(uint32_t size, uint8_t** fill) {
  if (!block_ || block_->fill != block_end_ || block_->capacity - block_end_ < size) {
    block_ = BufferRef::make(std::max(size, block_size()));
    block_end_ = 0;
  }
  *fill = block_->data() + block_end_;
  block_end_ += size;
  block_->fill = block_end_;
  return Slice(block_, *fill, size);
}

Slice Tail::copy(ByteSpan bytes) {
  uint8_t* fill;
  Slice s = claim(static_cast<uint32_t>(bytes.size()), &fill);
  std::memcpy(fill, bytes.data(), bytes.size());
  return s;
}

void Tail::add(TailBatch batch) {
  KLAMM_ASSERT_REL(batch.base, >=, batches_.empty() ? from_ : batches_.back().last + 1);
  bytes_ += charge(batch);
  batches_.push_back(std::move(batch));
}

void Tail::evict(uint32_t most, Offset written) {
  while (bytes_ > most && !batches_.empty() && batches_.front().last < written) {
    bytes_ -= charge(batches_.front());
    from_ = batches_.front().last + 1;
    batches_.pop_front();
  }
  if (batches_.empty()) block_ = {}, block_end_ = 0;
  KLAMM_ASSERT_REL(bytes_, >=, 0);
}

void Tail::forget_before(Offset end) {
  while (!batches_.empty() && batches_.front().last < end) {
    bytes_ -= charge(batches_.front());
    batches_.pop_front();
  }
  from_ = std::max(from_, end);
  if (batches_.empty()) block_ = {}, block_end_ = 0;
}

void Tail::truncate(Offset end) {
  KLAMM_ASSERT_REL(end, >=, from_);
  while (!batches_.empty() && batches_.back().last >= end) {
    bytes_ -= charge(batches_.back());
    batches_.pop_back();
  }
}

void Tail::reset(Offset from) {
  batches_.clear();
  from_ = from;
  bytes_ = 0;
  block_ = {};
  block_end_ = 0;
}

Fifo<TailBatch>::const_iterator Tail::find(Offset offset) const {
  KLAMM_ASSERT_REL(offset, >=, from_);
  return std::partition_point(batches_.begin(), batches_.end(), [&](const TailBatch& b) { return b.last < offset; });
}

}  // namespace klamm::log
