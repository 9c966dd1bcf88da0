// Rolling 64-bit digest: integers by a multiply-mix, bytes by XXH3.
#pragma once
#include <cstdint>

#include "engine/base/bytes.h"

namespace klamm {

inline uint64_t mix(uint64_t state, uint64_t value) {
  const unsigned __int128 m = static_cast<unsigned __int128>(state ^ 0xa0761d6478bd642f) * (value ^ 0xe7037ed1a0b428db);
  const uint64_t folded = static_cast<uint64_t>(m) ^ static_cast<uint64_t>(m >> 64);
  return folded + (state << 1 | state >> 63) + value;
}
uint64_t hash_bytes(ByteSpan bytes);
// Of the pieces as one run: how bytes lie in memory is nobody's business.
uint64_t hash_bytes(std::span<const Slice> pieces);

class Digest final {
 public:
  void number(uint64_t v) { state_ = mix(state_, v); }
  void bytes(ByteSpan b) { state_ = mix(mix(state_, b.size()), b.empty() ? 0 : hash_bytes(b)); }
  void bytes(std::span<const Slice> pieces) {
    size_t size = 0;
    for (const Slice& s : pieces) size += s.size();
    state_ = mix(mix(state_, size), size == 0 ? 0 : hash_bytes(pieces));
  }
  uint64_t value() const { return state_; }

 private:
  uint64_t state_ = 0x2545f4914f6cdd1d;
};

}  // namespace klamm
