#include "engine/base/digest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace klamm {

uint64_t hash_bytes(ByteSpan bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

}  // namespace klamm
