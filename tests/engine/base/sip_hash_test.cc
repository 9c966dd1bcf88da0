#include "engine/base/sip_hash.h"

#include <gtest/gtest.h>

#include <vector>

namespace klamm {
namespace {

// The first of the reference's vectors: the key is 00 01 .. 0f, the input 00 01 .. of the given length.
TEST(SipHash, gives_what_the_reference_gives) {
  const SipKey key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
  std::vector<uint8_t> input;
  const auto bytes_of = [](const Hash128& h) {
    std::vector<uint8_t> all;
    for (const uint64_t half : {h.low, h.high})
      for (int i = 0; i < 8; ++i) all.push_back(static_cast<uint8_t>(half >> (8 * i)));
    return all;
  };
  const std::vector<uint8_t> none = {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6,
                                     0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93};
  EXPECT_EQ(bytes_of(sip_hash128(key, input)), none);
  input.push_back(0);
  const std::vector<uint8_t> one = {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44,
                                    0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45};
  EXPECT_EQ(bytes_of(sip_hash128(key, input)), one);
}

}  // namespace
}  // namespace klamm
