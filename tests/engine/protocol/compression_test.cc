// What Java's readers of compressed streams, and so Kafka, make of what follows a stream.
#include "engine/protocol/compression.h"

#include <gtest/gtest.h>

#include <string>

namespace klamm::protocol {
namespace {

const std::string kPlain(300, 'k');

std::string packed(Compression c, std::string_view plain) {
  Writer w;
  compress(c, as_bytes(plain), w);
  const Slice s = w.finish_contiguous();
  return std::string(s.text());
}

// The plain bytes, or what is wrong.
std::string unpacked(Compression c, std::string_view bytes) {
  const Result<Slice> r = decompress(c, as_bytes(bytes), {.output_max = 1 << 20});
  return r ? std::string(r->text()) : "refused";
}

TEST(Compression, gzip_reads_on_only_in_what_begins_like_a_member) {
  const std::string one = packed(Compression::gzip, kPlain);
  EXPECT_EQ(unpacked(Compression::gzip, one + one), kPlain + kPlain);
  EXPECT_EQ(unpacked(Compression::gzip, one + "no member, and long enough to be one"), kPlain);
  EXPECT_EQ(unpacked(Compression::gzip, one + one.substr(0, 18)), kPlain);
  EXPECT_EQ(unpacked(Compression::gzip, one + one.substr(0, 20)), "refused");
  EXPECT_EQ(unpacked(Compression::gzip, "no member, and long enough to be one"), "refused");
  EXPECT_EQ(unpacked(Compression::gzip, one.substr(0, one.size() - 1)), "refused");
}

TEST(Compression, snappy_takes_streams_that_follow_each_other_and_leaves_off_what_is_no_length) {
  const std::string one = packed(Compression::snappy, kPlain);
  EXPECT_EQ(unpacked(Compression::snappy, one + one), kPlain + kPlain);
  EXPECT_EQ(unpacked(Compression::snappy, one + "abc"), kPlain);
  EXPECT_EQ(unpacked(Compression::snappy, one + "abcd"), "refused");
  EXPECT_EQ(unpacked(Compression::snappy, one + one.substr(0, 15)), "refused");
}

TEST(Compression, lz4_is_one_frame_of_independent_blocks) {
  const std::string one = packed(Compression::lz4, kPlain);
  EXPECT_EQ(unpacked(Compression::lz4, one + one), kPlain);
  EXPECT_EQ(unpacked(Compression::lz4, one + "abc"), kPlain);
  std::string dependent = one;
  dependent[4] &= ~0x20;
  EXPECT_EQ(unpacked(Compression::lz4, dependent), "refused");
  std::string checked = one;
  checked[4] |= 0x04;  // a checksum of the content, and a header whose checksum is wrong
  EXPECT_EQ(unpacked(Compression::lz4, checked), "refused");
}

}  // namespace
}  // namespace klamm::protocol
