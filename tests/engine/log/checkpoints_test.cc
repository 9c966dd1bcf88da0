#include "engine/log/checkpoints.h"

#include <gtest/gtest.h>

#include "engine/log/replace_file.h"
#include "tests/support/fake_storage.h"
#include "tests/support/turns.h"

namespace klamm::log {
namespace {

TEST(Checkpoints, are_kafkas_bytes) {  // ../shared/protocol/vectors/files.jsonl
  const OffsetCheckpoint offsets{{{"a.topic", 0}, 42}, {{"b-topic", 11}, 8589934592}};
  const char* text = "0\n2\na.topic 0 42\nb-topic 11 8589934592\n";
  EXPECT_EQ(encode_offset_checkpoint(offsets), text);
  EXPECT_EQ(*parse_offset_checkpoint(text), offsets);
  const std::vector<EpochEntry> epochs{{0, 0}, {3, 120}, {7, 1099511627776}};
  const char* lines = "0\n3\n0 0\n3 120\n7 1099511627776\n";
  EXPECT_EQ(encode_epoch_checkpoint(epochs), lines);
  EXPECT_EQ(*parse_epoch_checkpoint(lines), epochs);
  Uuid id;
  id.bytes[7] = 1;
  id.bytes[15] = 2;
  EXPECT_EQ(encode_partition_metadata(id), "version: 0\ntopic_id: AAAAAAAAAAEAAAAAAAAAAg");
  EXPECT_EQ(*parse_partition_metadata("version: 0\ntopic_id: AAAAAAAAAAEAAAAAAAAAAg"), id);
  EXPECT_EQ(*parse_clean_shutdown(encode_clean_shutdown(77)), 77);
}

TEST(Checkpoints, damage_is_refused) {
  for (const char* bad : {"1\n0\n", "0\n", "0\n-1\n", "0\n1\n", "0\n1\na 0\n", "0\n1\na 0 x\n", "0\n2\na 0 1\na 0 2\n",
                          "0\n1\na 0 1\nb 0 1\n", "0\n99999999999999999999\n", "0\n1000000000\na 0 1\n"})
    EXPECT_FALSE(parse_offset_checkpoint(bad)) << bad;
  EXPECT_TRUE(parse_offset_checkpoint("")->empty()) << "Kafka makes the file before it has anything to write";
  for (const char* bad : {"", "0\n1\n", "0\n2\n1 5\n1 6\n", "0\n2\n1 5\n2 5\n", "0\n1\n-1 5\n", "0\n1\n1 5\n2 6\n"})
    EXPECT_FALSE(parse_epoch_checkpoint(bad)) << bad;
  for (const char* bad : {"", "version: 1\ntopic_id: AAAAAAAAAAEAAAAAAAAAAg", "version: 0\ntopic_id: AAAA",
                          "version: 0", "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA"})
    EXPECT_FALSE(parse_partition_metadata(bad)) << bad;
}

TEST(Checkpoints, of_the_most_partitions_are_not_too_large_to_be_read) {
  OffsetLines lines;
  lines.add(std::string(249, 'x'), 999'999, INT64_MAX);
  constexpr uint64_t kPartitionsMost = 1'000'000;  // replication::Replicas::kPartitionsMax
  EXPECT_LE(lines.file().size() * kPartitionsMost, kMaxCheckpointBytes);
}

TEST(PartitionDir, names) {
  EXPECT_EQ(partition_dir("a-b", 3), "a-b-3");
  EXPECT_EQ(parse_partition_dir("a-b-3")->topic, "a-b");
  EXPECT_EQ(parse_partition_dir("a-b-3")->partition, 3);
  for (const auto kind : {PartitionDirKind::deleted, PartitionDirKind::stray, PartitionDirKind::future}) {
    const std::string moved = moved_partition_dir("a.b", 12, Uuid{{1, 2}}, kind);
    const auto parsed = parse_partition_dir(moved);
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(parsed->topic, "a.b");
    EXPECT_EQ(parsed->partition, 12);
    EXPECT_EQ(parsed->kind, kind);
  }
  const std::string longest(249, 'x');
  EXPECT_EQ(moved_partition_dir(longest, 0, Uuid{}, PartitionDirKind::deleted).size(), 255u);
  for (const char* bad : {"meta.properties", "a", "-1", "a-", "a-x"}) EXPECT_FALSE(parse_partition_dir(bad)) << bad;
}

// Old or new, whatever fails and whatever is lost.
TEST(ReplaceFile, is_all_or_nothing) {
  for (uint64_t steps = 0; steps < 12; ++steps)
    for (uint64_t pick = 0; pick < 3; ++pick) {
      TestWorld world;
      Ctx ctx = world.ctx();
      FakeStorage disk;
      disk.set_content("d/f", {'o', 'l', 'd'});
      OpTable ops;
      ReplaceFile replace;
      const auto turn = [&](auto&& f) {
        Commands commands;
        Io io{ctx, commands, ops};
        f(io);
        disk.submit(commands);
      };
      const std::string fresh(200, 'n');
      std::optional<IoError> done;
      turn([&](Io& io) { replace.start(io, {}, DirId{0}, "d/f", Slice::copy(fresh)); });
      for (uint64_t i = 0; i < steps && disk.ready() > 0; ++i)
        if (const auto e = disk.step(0)) {
          const auto& x = std::get<Ended>(*e);
          const auto owner = ops.end(x.token);
          turn([&](Io& io) { done = replace.on_storage(io, *owner, {x.error, x.value, {}, nullptr}); });
        }
      disk.lose_power([&](uint64_t n) { return std::min(pick, n - 1); });
      const auto* c = disk.content("d/f");
      ASSERT_NE(c, nullptr);
      const std::string text(c->begin(), c->end());
      EXPECT_TRUE(text == "old" || text == fresh) << text;
      if (done) {
        EXPECT_EQ(*done, IoError::none);
        EXPECT_EQ(text, fresh);
        EXPECT_FALSE(replace.busy());
      }
    }
}

}  // namespace
}  // namespace klamm::log
