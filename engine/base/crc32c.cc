#include "engine/base/crc32c.h"

#include <algorithm>
#include <array>

#if __has_include(<isa-l/crc.h>)
#include <isa-l/crc.h>
#define KLAMM_HAVE_ISAL 1
#elif __has_include(<crc.h>)
#include <crc.h>
#define KLAMM_HAVE_ISAL 1
#endif

namespace klamm {
namespace {

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t n = 0; n < 256; ++n) {
    uint32_t c = n;
    for (int bit = 0; bit < 8; ++bit) c = (c >> 1) ^ ((c & 1) ? 0x82f63b78u : 0u);
    table[n] = c;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = make_table();

}  // namespace

uint32_t crc32c_portable(ByteSpan bytes, uint32_t previous) {
  uint32_t c = ~previous;
  for (const uint8_t b : bytes) c = (c >> 8) ^ kTable[(c ^ b) & 0xff];
  return ~c;
}

uint32_t crc32c(ByteSpan bytes, uint32_t previous) {
#ifdef KLAMM_HAVE_ISAL
  constexpr size_t kPiece = 1u << 30;  // the library counts in int
  uint32_t c = ~previous;
  while (!bytes.empty()) {
    const size_t n = std::min(bytes.size(), kPiece);
    c = crc32_iscsi(const_cast<uint8_t*>(bytes.data()), static_cast<int>(n), c);
    bytes = bytes.subspan(n);
  }
  return ~c;
#else
  return crc32c_portable(bytes, previous);
#endif
}

}  // namespace klamm
