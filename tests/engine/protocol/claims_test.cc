// A list that claims more elements than its bytes can hold, at the least that an element takes in the version at hand.
#include <gtest/gtest.h>

#include "engine/base/reader.h"
#include "engine/base/writer.h"
#include "engine/protocol/messages/offset_fetch.h"

namespace klamm::protocol {
namespace {

// The body of an OffsetFetch of one group, whose `topics` topics are as many bytes of zeros.
const char* fault(int16_t version, uint8_t topics, size_t bytes) {
  Writer w;
  w.uvarint(1 + 1);  // groups
  w.uvarint(1 + 1), w.raw(as_bytes("g"));
  w.uvarint(0), w.i32(-1);  // no member
  w.uvarint(topics + 1u);
  for (size_t i = 0; i < bytes; ++i) w.i8(0);
  const Slice body = w.finish_contiguous();
  Arena arena;
  Reader r(body.span());
  OffsetFetchRequest m;
  EXPECT_FALSE(decode(r, arena, version, m) && r.ok());
  return r.error();
}

TEST(Claims, a_list_is_held_to_the_least_bytes_of_its_version) {
  constexpr char kTooMany[] = "a list claims more elements than there are bytes";
  EXPECT_STREQ(fault(10, 20, 18 * 20 - 1), kTooMany);  // an id, no partitions, no tags
  EXPECT_STRNE(fault(10, 20, 18 * 20), kTooMany);
  EXPECT_STREQ(fault(9, 20, 3 * 20 - 1), kTooMany);  // an empty name instead
  EXPECT_STRNE(fault(9, 20, 3 * 20), kTooMany);
}

}  // namespace
}  // namespace klamm::protocol
