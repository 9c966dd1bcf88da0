// Partitions in several log directories: which directory of a name counts, and whose checkpoint files.
#include <algorithm>

#include "engine/broker/rules.h"
#include "engine/metadata/records.h"
#include "engine/protocol/batch_builder.h"
#include "engine/protocol/records/metadata_log.h"
#include "tests/engine/broker/lone_node.h"

namespace klamm::broker {
namespace {

Uuid topic_id(uint8_t n) {
  Uuid id;
  id.bytes[15] = n;
  return id;
}

class Homes : public ::testing::Test {
 protected:
  // A node whose metadata has t-0, topic 9, which it replicates; it has stopped.
  Homes() : x(std::map<std::string, std::string>{{"log.dirs", "/a,/b"}}) {
    x.start();
    x.stop();
    const std::string file = "__cluster_metadata-0/00000000000000000000.log";
    const std::string log = x.file(file);
    protocol::BatchBuilder::Options o;
    for (protocol::BatchCursor c(as_bytes(log)); c.next();) {
      const auto h = protocol::read_batch_header(c.batch().data());
      o.base_offset = h.last_offset() + 1, o.leader_epoch = h.partition_leader_epoch;
    }
    Arena arena;
    protocol::TopicRecord topic;
    topic.name = "t", topic.topic_id = topic_id(9);
    protocol::PartitionRecord partition;
    partition.topic_id = topic.topic_id, partition.partition_id = 0, partition.leader = 1;
    partition.replicas.push_back(arena, 1), partition.isr.push_back(arena, 1);
    protocol::BatchBuilder b(o);
    b.add_value(1, metadata::encode_record(0, topic).span());
    b.add_value(1, metadata::encode_record(0, partition).span());
    x.set_file(file, log + std::string(b.finish().text()));
  }
  static std::string in(int dir) { return dir == 0 ? "" : "@1/"; }
  // A hundred records; topic 0: without partition.metadata.
  void put_partition(int dir, uint8_t topic) {
    protocol::BatchBuilder b;
    for (int i = 0; i < 100; ++i) b.add_value(1, as_bytes("x"));
    x.set_file(in(dir) + "t-0/00000000000000000000.log", std::string(b.finish().text()));
    if (topic > 0)
      x.set_file(in(dir) + "t-0/" + log::kPartitionMetadataFile, log::encode_partition_metadata(topic_id(topic)));
  }
  void put_log_start(int dir, Offset start) {
    x.set_file(in(dir) + log::kLogStartFile, log::encode_offset_checkpoint({{{"t", 0}, start}}));
  }
  // What a life writes down.
  log::OffsetCheckpoint log_starts(int dir) {
    const auto lines = log::parse_offset_checkpoint(x.file(in(dir) + log::kLogStartFile));
    EXPECT_TRUE(lines.has_value());
    return lines.value_or(log::OffsetCheckpoint{});
  }
  void live() {
    x.start();
    ASSERT_TRUE(x.ready) << (x.exit ? x.exit->reason : "not ready");
    x.stop();
    ASSERT_TRUE(x.exit.has_value());
    ASSERT_EQ(x.exit->code, 0) << x.exit->reason;
  }
  size_t strays(int dir) {
    const auto names = x.disk.names(dir == 0 ? "" : "@1");
    return static_cast<size_t>(std::count_if(names.begin(), names.end(), [](const std::string& name) {
      const auto d = log::parse_partition_dir(name);
      return d && d->kind == log::PartitionDirKind::stray;
    }));
  }

  LoneNode x;
  const log::OffsetCheckpoint nothing, from_40{{{"t", 0}, 40}};
};

TEST_F(Homes, checkpoint_files_tell_of_the_partitions_beside_them) {
  put_partition(1, 9);
  put_log_start(0, 70);
  live();
  EXPECT_EQ(log_starts(0), nothing);
  EXPECT_EQ(log_starts(1), nothing);
  put_log_start(0, 70);
  put_log_start(1, 40);
  live();
  EXPECT_EQ(log_starts(0), nothing);
  EXPECT_EQ(log_starts(1), from_40);
}

// A million partitions have files of some hundred MiB; those of 16 MiB were once taken for missing.
TEST_F(Homes, checkpoint_files_of_many_partitions_are_read) {
  log::OffsetLines lines;
  const std::string topic(249, 'x');
  for (int32_t i = 0; i < 70'000; ++i) lines.add(topic, i, 1);
  lines.add("t", 0, 40);
  ASSERT_GT(lines.file().size(), size_t{17} << 20);
  put_partition(1, 9);
  x.set_file(in(1) + log::kLogStartFile, lines.file());
  live();
  EXPECT_EQ(log_starts(1), from_40);
}

TEST_F(Homes, one_partition_twice_ends_with_code_2) {
  const FakeStorage before = x.disk;
  for (const uint8_t topic : {uint8_t{9}, uint8_t{8}, uint8_t{0}}) {
    x.disk = before;
    put_partition(0, topic);
    put_partition(1, topic);
    x.start();
    ASSERT_TRUE(x.exit.has_value());
    EXPECT_EQ(x.exit->code, 2);
    EXPECT_EQ(x.exit->reason.find("Duplicate log directories for t-0 found in both /a/t-0 and /b/t-0"), 0u)
        << x.exit->reason;
    EXPECT_EQ(strays(0) + strays(1), 0u);
  }
}

TEST_F(Homes, of_two_topics_the_one_in_the_metadata_is_the_partition) {
  const FakeStorage before = x.disk;
  for (const int own : {0, 1})
    for (const uint8_t other : {uint8_t{8}, uint8_t{0}}) {
      SCOPED_TRACE(own);
      x.disk = before;
      put_partition(own, 9), put_log_start(own, 40);
      put_partition(1 - own, other), put_log_start(1 - own, 70);
      live();
      EXPECT_EQ(log_starts(own), from_40);
      EXPECT_EQ(log_starts(1 - own), nothing);
      EXPECT_EQ(strays(own), 0u);
      EXPECT_EQ(strays(1 - own), 1u);
      live();  // no longer in doubt
      EXPECT_EQ(log_starts(own), from_40);
    }
}

TEST_F(Homes, two_of_other_topics_are_both_strays) {
  put_partition(0, 7), put_log_start(0, 40);
  put_partition(1, 8), put_log_start(1, 70);
  live();
  EXPECT_EQ(strays(0), 1u);
  EXPECT_EQ(strays(1), 1u);
  EXPECT_EQ(log_starts(0), nothing);
  EXPECT_EQ(log_starts(1), nothing);
}

TEST_F(Homes, a_name_that_only_reads_like_a_partitions_is_not_one) {
  put_partition(0, 9), put_log_start(0, 40);
  x.set_file("t-00/00000000000000000000.log", "");
  x.set_file(in(1) + "t-000/00000000000000000000.log", "");
  live();
  EXPECT_EQ(log_starts(0), from_40);
  EXPECT_EQ(strays(0) + strays(1), 0u);
}

// Wherever a start is stopped in good order, what is known of the partition is handed on.
TEST_F(Homes, a_start_that_is_stopped_forgets_nothing) {
  put_partition(0, 8), put_log_start(0, 70);
  put_partition(1, 9), put_log_start(1, 40);
  const FakeStorage before = x.disk;
  for (uint64_t turns = 1; turns < 150; ++turns) {
    x.disk = before;
    const uint64_t from = x.turns;
    x.start([&] { return x.turns - from >= turns; });
    x.stop();
    ASSERT_TRUE(x.exit.has_value()) << turns;
    EXPECT_EQ(x.exit->code, 0) << turns << x.exit->reason;
    EXPECT_EQ(log_starts(1), from_40) << turns;
  }
}

// Wherever a life ends by a loss of power, the next one finds its own.
TEST_F(Homes, the_partition_is_found_again_after_a_crash_at_any_point) {
  put_partition(0, 8), put_log_start(0, 70);
  put_partition(1, 9), put_log_start(1, 40);
  const FakeStorage before = x.disk;
  for (uint64_t steps = 1; steps < 200; steps += 3)
    for (const uint64_t pick : {0, 1}) {
      x.disk = before;
      const uint64_t from = x.disk.ended();
      x.start([&] { return x.disk.ended() - from >= steps; });
      x.disk.lose_power([&](uint64_t n) { return std::min(pick, n - 1); });
      live();
      EXPECT_EQ(log_starts(1), from_40) << steps;
      EXPECT_EQ(strays(0), 1u) << steps;
      EXPECT_EQ(strays(1), 0u) << steps;
    }
}

TEST(HomesRules, directories_of_one_name) {
  const Uuid none, a = topic_id(1), b = topic_id(2), c = topic_id(3);
  const auto alike = [](std::vector<Uuid> topics) { return alike_copies(topics); };
  EXPECT_EQ(alike({a}), std::nullopt);
  EXPECT_EQ(alike({a, b}), std::nullopt);
  EXPECT_EQ(alike({a, none}), std::nullopt);
  EXPECT_EQ(alike({a, b, a}), (std::pair<size_t, size_t>(0, 2)));
  EXPECT_EQ(alike({none, a, none}), (std::pair<size_t, size_t>(0, 2)));
  const std::vector<Uuid> topics = {a, b, none};
  EXPECT_EQ(own_copy(topics, a), 0u);
  EXPECT_EQ(own_copy(topics, b), 1u);
  EXPECT_EQ(own_copy(topics, c), 0u);
}

}  // namespace
}  // namespace klamm::broker
