// How an input holds several things: a length in two bytes (little endian), then so many bytes; the last one is the
// rest. And checksums made to fit, so that what lies behind them is reached.
#pragma once
#include <algorithm>
#include <string_view>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/crc32c.h"
#include "engine/log/batch.h"

namespace klamm::fuzz {

class Parts final {
 public:
  explicit Parts(ByteSpan input) : rest_(input) {}
  bool empty() const { return rest_.empty(); }
  uint8_t byte() {
    if (rest_.empty()) return 0;
    const uint8_t b = rest_[0];
    rest_ = rest_.subspan(1);
    return b;
  }
  ByteSpan next() {
    const size_t low = byte(), high = byte();
    const ByteSpan part = rest_.first(std::min(rest_.size(), low | high << 8));
    rest_ = rest_.subspan(part.size());
    return part;
  }
  ByteSpan rest() { return std::exchange(rest_, {}); }

 private:
  ByteSpan rest_;
};

inline void add_part(std::vector<uint8_t>* input, ByteSpan part) {
  input->push_back(static_cast<uint8_t>(part.size()));
  input->push_back(static_cast<uint8_t>(part.size() >> 8));
  input->insert(input->end(), part.begin(), part.end());
}

inline void put_u32(uint8_t* p, uint32_t v) {
  for (int i = 0; i < 4; ++i) p[i] = static_cast<uint8_t>(v >> (24 - 8 * i));
}

// Of each whole batch, as far as the lengths lead.
inline void fit_batches(std::vector<uint8_t>* file) {
  for (size_t at = 0; file->size() - at >= log::kBatchHeaderSize;) {
    const auto h = log::read_sane_header(file->data() + at);
    if (!h || h->size() > file->size() - at) return;
    const ByteSpan covered = ByteSpan(*file).subspan(at, h->size()).subspan(protocol::kBatchCrcFrom);
    put_u32(file->data() + at + protocol::kBatchCrcFrom - 4, crc32c(covered));
    at += h->size();
  }
}

inline void fit_producer_snapshot(std::vector<uint8_t>* file) {
  constexpr size_t kCrcAt = 2, kCrcFrom = 6;
  if (file->size() >= kCrcFrom) put_u32(file->data() + kCrcAt, crc32c(ByteSpan(*file).subspan(kCrcFrom)));
}

}  // namespace klamm::fuzz
