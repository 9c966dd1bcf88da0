#include "engine/log/scanner.h"

#include <cstring>
#include <limits>

namespace klamm::log {

std::optional<BatchHeader> read_sane_header(const uint8_t* p) {
  const BatchHeader h = protocol::read_batch_header(p);
  constexpr int32_t kLeastLength = protocol::kBatchHeaderSize - protocol::kBatchLogOverhead;
  if (h.magic != protocol::kCurrentMagic || h.length < kLeastLength) return std::nullopt;
  if (h.base_offset < 0 || h.last_offset_delta < 0 || h.base_offset > INT64_MAX - 1 - h.last_offset_delta)
    return std::nullopt;
  return h;
}

void BatchScanner::take(ByteSpan* bytes) {
  if (bytes_.empty()) bytes_.resize(kBatchHeaderSize);
  const size_t n = std::min<size_t>(kBatchHeaderSize - have_, bytes->size());
  std::memcpy(bytes_.data() + have_, bytes->data(), n);
  have_ += static_cast<uint32_t>(n);
  *bytes = bytes->subspan(n);
}

BatchScanner::Verdict BatchScanner::begin_batch() {
  const auto h = read_sane_header(bytes_.data());
  if (!h || static_cast<int64_t>(h->size()) > file_size_ - position_) return Verdict::bad;
  if (h->base_offset < expect_ || h->last_offset() - base_ > std::numeric_limits<int32_t>::max()) return Verdict::bad;
  if (h->partition_leader_epoch < epoch_) return Verdict::bad;
  if (h->last_offset() >= limit_) return Verdict::limit;
  header_ = *h;
  if (kept() && bytes_.size() < h->size()) bytes_.resize(h->size());
  crc_ = crc32c(ByteSpan(bytes_).first(kBatchHeaderSize).subspan(protocol::kBatchCrcFrom));
  return Verdict::more;
}

}  // namespace klamm::log
