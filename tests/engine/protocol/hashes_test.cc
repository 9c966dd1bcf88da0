#include "engine/protocol/hashes.h"

#include <gtest/gtest.h>

#include "tests/engine/protocol/vectors.h"

namespace klamm::protocol {
namespace {

constexpr int32_t kCounts[] = {1, 2, 3, 7, 12, 50, 100, 1000};  // the columns of both tables, from the third on

TEST(Hashes, partitioner_vectors) {
  KLAMM_VECTORS(folder);
  for (const auto& row : test::table_rows(folder / "partitioner.tsv")) {
    const std::vector<uint8_t> key = row[0] == "-" ? std::vector<uint8_t>{} : test::from_hex(row[0]);
    EXPECT_EQ(static_cast<int32_t>(murmur2(key)), std::stoi(row[1])) << row[0];
    for (size_t i = 0; i < std::size(kCounts); ++i) EXPECT_EQ(partition_of_key(key, kCounts[i]), std::stoi(row[2 + i]));
  }
}

TEST(Hashes, coordinator_vectors) {
  KLAMM_VECTORS(folder);
  for (const auto& row : test::table_rows(folder / "coordinator-partition.tsv")) {
    EXPECT_EQ(java_hash(row[0]), std::stoi(row[1])) << row[0];
    for (size_t i = 0; i < std::size(kCounts); ++i)
      EXPECT_EQ(coordinator_partition(row[0], kCounts[i]), std::stoi(row[2 + i]));
  }
}

TEST(Hashes, text_that_is_not_utf8_ends) {
  EXPECT_EQ(java_hash("\xff"), 0xfffd);
  EXPECT_EQ(java_hash("\xe2\x82"), 0xfffd);
  EXPECT_EQ(java_hash("\xed\x9f\xbf"), 0xd7ff);
}

}  // namespace
}  // namespace klamm::protocol
