#include "engine/base/digest.h"

#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#define XXH_STATIC_LINKING_ONLY  // the state by value
#include <xxh_x86dispatch.h>     // the widest vectors of this processor: the same hash, earlier
#else
#define XXH_INLINE_ALL
#include <xxhash.h>
#endif

namespace klamm {

uint64_t hash_bytes(ByteSpan bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

uint64_t hash_bytes(std::span<const Slice> pieces) {
  if (pieces.size() == 1) return hash_bytes(pieces[0].span());
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (const Slice& s : pieces) XXH3_64bits_update(&state, s.data(), s.size());
  return XXH3_64bits_digest(&state);
}

}  // namespace klamm
