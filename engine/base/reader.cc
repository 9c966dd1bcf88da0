#include "engine/base/reader.h"

namespace klamm {

uint64_t Reader::uvarint_slow(int bytes_max) {
  uint64_t value = 0;
  for (int i = 0; i < bytes_max; ++i) {
    const uint8_t b = u8();
    if (!ok()) return 0;
    value |= uint64_t{b & 0x7fu} << (7 * i);
    if (b < 0x80) return value;
  }
  fail("a varint is too long");
  return 0;
}

}  // namespace klamm
