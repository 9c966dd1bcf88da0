#include "engine/client/verbs.h"

#include <gtest/gtest.h>

namespace klamm::client {
namespace {

Produce example() {
  Produce p{7, "topic", 3, {}};
  p.records.push_back({Slice::copy("key"), Slice::copy("value"), 1234, {{"h", std::nullopt}, {"i", Slice()}}});
  p.records.push_back({std::nullopt, Slice::copy(std::string(2000, 'x')), -1, {}});
  return p;
}

TEST(Verbs, what_is_packed_comes_back) {
  Produce back;
  ASSERT_TRUE(unpack(pack(example()), back));
  EXPECT_EQ(back.client, 7u);
  EXPECT_EQ(back.topic, "topic");
  ASSERT_EQ(back.records.size(), 2u);
  EXPECT_EQ(back.records[0].key, Slice::copy("key"));
  EXPECT_FALSE(back.records[0].headers[0].value);
  EXPECT_TRUE(back.records[0].headers[1].value);
  EXPECT_EQ(back.records[1].value->size(), 2000u);
  EXPECT_EQ(pack(back), pack(example()));
}

TEST(Verbs, cut_or_bent_bytes_are_refused_and_never_read_beyond) {
  const Slice bytes = pack(example());
  for (size_t n = 0; n < bytes.size(); ++n) {
    Produce p;
    EXPECT_FALSE(unpack(bytes.part(0, n), p)) << n;
  }
  for (size_t i = 0; i < 200; ++i) {
    Slice bent = Slice::copy(bytes.span());
    const_cast<uint8_t*>(bent.data())[i % bent.size()] ^= static_cast<uint8_t>(0x80 >> (i % 8));
    Produce p;
    (void)unpack(bent, p);
  }
}

}  // namespace
}  // namespace klamm::client
