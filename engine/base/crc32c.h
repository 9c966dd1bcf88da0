// CRC-32C (Castagnoli), as in record batches and producer snapshots.
#pragma once
#include <cstdint>

#include "engine/base/bytes.h"

namespace klamm {

// The checksum of `bytes` after data whose checksum is `previous`: crc32c(a + b) == crc32c(b, crc32c(a)).
uint32_t crc32c(ByteSpan bytes, uint32_t previous = 0);

// The same by table: for machines without the library's fast paths, and to check those.
uint32_t crc32c_portable(ByteSpan bytes, uint32_t previous = 0);

}  // namespace klamm
