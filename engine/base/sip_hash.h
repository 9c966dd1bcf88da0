// SipHash-2-4 with 128 bits: a keyed hash that one who does not know the key cannot make collide.
#pragma once
#include <array>
#include <cstdint>

#include "engine/base/bytes.h"

namespace klamm {

struct Hash128 {
  uint64_t low = 0, high = 0;
  friend bool operator==(const Hash128&, const Hash128&) = default;
  template<class V>
  void fields(V& v) const {
    v("low", low), v("high", high);
  }
};
using SipKey = std::array<uint64_t, 2>;

Hash128 sip_hash128(const SipKey& key, ByteSpan bytes);

}  // namespace klamm
