#include "engine/base/chance.h"

namespace klamm {

Uuid Chance::uuid(Stream stream, uint64_t entity, uint64_t ordinal) {
  const uint64_t high = name({stream, entity, 2 * ordinal});
  const uint64_t low = name({stream, entity, 2 * ordinal + 1});
  Uuid u;
  for (int i = 0; i < 8; ++i) {
    u.bytes[i] = static_cast<uint8_t>(high >> (56 - 8 * i));
    u.bytes[8 + i] = static_cast<uint8_t>(low >> (56 - 8 * i));
  }
  u.bytes[6] = static_cast<uint8_t>((u.bytes[6] & 0x0f) | 0x40);
  u.bytes[8] = static_cast<uint8_t>((u.bytes[8] & 0x3f) | 0x80);
  if ((u.bytes[0] & 0xfc) == 0xf8) u.bytes[0] ^= 0x80;  // Kafka avoids ids whose text starts with a dash
  return u;
}

}  // namespace klamm
