#include "engine/base/sip_hash.h"

#include <bit>

namespace klamm {
namespace {

struct State {
  uint64_t v0, v1, v2, v3;
  void rounds(int n) {
    for (; n > 0; --n) {
      v0 += v1, v1 = std::rotl(v1, 13) ^ v0, v0 = std::rotl(v0, 32);
      v2 += v3, v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3, v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1, v1 = std::rotl(v1, 17) ^ v2, v2 = std::rotl(v2, 32);
    }
  }
  void take(uint64_t word) {
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  uint64_t give(uint64_t& mark, uint64_t by) {
    mark ^= by;
    rounds(4);
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

uint64_t little_endian(const uint8_t* p, size_t n) {
  uint64_t word = 0;
  for (size_t i = 0; i < n; ++i) word |= uint64_t{p[i]} << (8 * i);
  return word;
}

}  // namespace

Hash128 sip_hash128(const SipKey& key, ByteSpan bytes) {
  State s{key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d ^ 0xee, key[0] ^ 0x6c7967656e657261,
          key[1] ^ 0x7465646279746573};
  size_t at = 0;
  for (; bytes.size() - at >= 8; at += 8) s.take(little_endian(bytes.data() + at, 8));
  s.take(little_endian(bytes.data() + at, bytes.size() - at) | uint64_t{bytes.size()} << 56);
  Hash128 h;
  h.low = s.give(s.v2, 0xee);
  h.high = s.give(s.v1, 0xdd);
  return h;
}

}  // namespace klamm
