#include "engine/protocol/hashes.h"

#include <limits>

namespace klamm::protocol {
namespace {

constexpr uint32_t kReplacement = 0xfffd;

// Takes one code point off the front of `text`, which is not empty.
uint32_t next_code_point(std::string_view& text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  const size_t size = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  uint32_t c = size == 1 ? lead : lead & (0x7fu >> size);
  size_t taken = 1;
  while (taken < size && taken < text.size() && (byte(taken) & 0xc0) == 0x80) c = (c << 6) | (byte(taken++) & 0x3f);
  text.remove_prefix(taken);
  const bool overlong = (size == 3 && c < 0x800) || (size == 4 && (c < 0x10000 || c > 0x10ffff));
  return size == 0 || taken < size || overlong ? kReplacement : c;
}

}  // namespace

uint32_t murmur2(ByteSpan key) {
  constexpr uint32_t kMultiplier = 0x5bd1e995;
  constexpr uint32_t kSeed = 0x9747b28c;
  uint32_t h = kSeed ^ static_cast<uint32_t>(key.size());
  size_t i = 0;
  for (; i + 4 <= key.size(); i += 4) {
    uint32_t k = key[i] | (uint32_t{key[i + 1]} << 8) | (uint32_t{key[i + 2]} << 16) | (uint32_t{key[i + 3]} << 24);
    k *= kMultiplier;
    k ^= k >> 24;
    k *= kMultiplier;
    h = (h * kMultiplier) ^ k;
  }
  if (i < key.size()) {
    for (size_t j = key.size(); j-- > i;) h ^= uint32_t{key[j]} << (8 * (j - i));
    h *= kMultiplier;
  }
  h ^= h >> 13;
  h *= kMultiplier;
  return h ^ (h >> 15);
}

int32_t java_hash(std::string_view text) {
  uint32_t h = 0;
  while (!text.empty()) {
    const uint32_t c = next_code_point(text);
    if (c >= 0x10000) {
      h = 31 * h + (0xd800 + ((c - 0x10000) >> 10));
      h = 31 * h + (0xdc00 + ((c - 0x10000) & 0x3ff));
    } else {
      h = 31 * h + c;
    }
  }
  return static_cast<int32_t>(h);
}

int32_t coordinator_partition(std::string_view id, int32_t partitions) {
  KLAMM_ASSERT_REL(partitions, >, 0);
  const int32_t h = java_hash(id);
  const int32_t positive = h == std::numeric_limits<int32_t>::min() ? 0 : h < 0 ? -h : h;
  return positive % partitions;
}

}  // namespace klamm::protocol
