#include "engine/metadata/image.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "engine/metadata/difference.h"
#include "engine/metadata/records.h"

namespace klamm::metadata {
namespace {

Uuid id(uint8_t n) {
  Uuid u;
  u.bytes[0] = n;
  return u;
}

class Images : public ::testing::Test {
 protected:
  template<class Record>
  Result<void> apply(Image& image, const Record& r, int16_t version = 0, Delta* delta = nullptr) {
    return image.apply(arena, image.end(), encode_record(version, r).span(), delta);
  }
  void topic(Image& image, const char* name, uint8_t n, int partitions, Delta* delta = nullptr) {
    protocol::TopicRecord t;
    t.name = name;
    t.topic_id = id(n);
    ASSERT_TRUE(apply(image, t, 0, delta));
    for (int i = 0; i < partitions; ++i) {
      protocol::PartitionRecord p;
      p.topic_id = id(n);
      p.partition_id = i;
      for (int b : {1, 2}) p.replicas.push_back(arena, b), p.isr.push_back(arena, b);
      p.directories.push_back(arena, id(100)), p.directories.push_back(arena, id(101));
      p.leader = 1;
      p.leader_epoch = p.partition_epoch = 0;
      ASSERT_TRUE(apply(image, p, 2, delta));
    }
  }
  Arena arena;
};

TEST_F(Images, a_feature_has_no_level_below_zero) {
  Image image;
  protocol::FeatureLevelRecord r;
  r.name = "metadata.version";
  r.feature_level = -738;
  EXPECT_FALSE(apply(image, r));
  EXPECT_TRUE(image == Image()) << "a snapshot would not hold it";
}

// What lies between two images may have come and gone, or have been changed back.
TEST_F(Images, a_difference_tells_what_replacing_one_by_the_other_changes) {
  Image before;
  topic(before, "stays", 1, 2);
  topic(before, "changes", 2, 3);
  topic(before, "goes", 3, 2);
  EXPECT_TRUE(difference(before, before).empty());
  Image after = before;
  protocol::PartitionChangeRecord change;
  change.topic_id = id(2);
  change.partition_id = 1;
  change.leader = 2;
  ASSERT_TRUE(apply(after, change, 2));
  protocol::RemoveTopicRecord remove;
  remove.topic_id = id(3);
  ASSERT_TRUE(apply(after, remove));
  topic(after, "goes", 4, 1);  // by the same name, and another topic
  topic(after, "came and went", 5, 1);
  remove.topic_id = id(5);
  ASSERT_TRUE(apply(after, remove));
  protocol::ConfigRecord config;
  config.resource_type = 2;
  config.resource_name = "stays";
  config.name = "retention.ms";
  config.value = "1";
  ASSERT_TRUE(apply(after, config));
  protocol::ProducerIdsRecord producers;
  producers.next_producer_id = 1000;
  ASSERT_TRUE(apply(after, producers));
  Delta expected;
  expected.topics = {id(4)};
  expected.deleted = {id(3)};
  expected.partitions = {{id(2), 1}, {id(4), 0}};
  expected.configs = {{ResourceType::topic, "stays"}};
  expected.producer_ids = true;
  EXPECT_EQ(difference(before, after), expected);
  // And back again.
  const Delta back = difference(after, before);
  EXPECT_EQ(back.topics, (std::set<Uuid>{id(3)}));
  EXPECT_EQ(back.deleted, (std::set<Uuid>{id(4)}));
  EXPECT_EQ(back.partitions, (std::set<TopicIdPartition>{{id(2), 1}, {id(3), 0}, {id(3), 1}}));
  EXPECT_EQ(back.configs, expected.configs);
}

TEST_F(Images, versions_do_not_touch_each_other) {
  Image a;
  topic(a, "t", 1, 2);
  const Image b = a;
  protocol::PartitionChangeRecord c;
  c.topic_id = id(1);
  c.partition_id = 0;
  c.leader = 2;
  c.isr = List<int32_t>();
  c.isr.push_back(arena, 2);
  Delta delta;
  ASSERT_TRUE(apply(a, c, 2, &delta));
  EXPECT_EQ(a.partition({id(1), 0})->leader, NodeId{2});
  EXPECT_EQ(a.partition({id(1), 0})->leader_epoch, 1);
  EXPECT_EQ(a.partition({id(1), 0})->partition_epoch, 1);
  EXPECT_EQ(b.partition({id(1), 0})->leader, NodeId{1});
  EXPECT_FALSE(a == b);
  EXPECT_EQ(delta.partitions, (std::set<TopicIdPartition>{{id(1), 0}}));
  EXPECT_EQ(a.memberships(NodeId{1}), (std::vector<TopicIdPartition>{{id(1), 1}}));
  EXPECT_EQ(a.memberships(kNotPreferred), (std::vector<TopicIdPartition>{{id(1), 0}}));
  EXPECT_EQ(b.memberships(NodeId{1}).size(), 2u);
}

TEST_F(Images, a_removed_topic_leaves_nothing_behind) {
  Image a;
  const uint64_t empty = state_hash(a);
  Delta delta;
  topic(a, "a.b", 1, 2, &delta);
  EXPECT_EQ(*a.colliding_topic("a_b"), "a.b");
  EXPECT_EQ(a.colliding_topic("a-b"), nullptr);
  protocol::ConfigRecord c;
  c.resource_type = 2, c.resource_name = "a.b", c.name = "retention.ms", c.value = "1";
  ASSERT_TRUE(apply(a, c, 0, &delta));
  protocol::RemoveTopicRecord r;
  r.topic_id = id(1);
  ASSERT_TRUE(apply(a, r, 0, &delta));
  EXPECT_EQ(a.topic("a.b"), nullptr);
  EXPECT_EQ(a.colliding_topic("a_b"), nullptr);
  EXPECT_FALSE(a.has_membership(NodeId{1}));
  EXPECT_TRUE(a.configs().empty());
  EXPECT_TRUE(delta.topics.empty() && delta.partitions.empty() && delta.deleted.empty());  // it came and went
  EXPECT_NE(state_hash(a), empty);                                                         // but for the end
}

TEST_F(Images, a_transaction_can_be_taken_back) {
  Image a;
  topic(a, "t", 1, 1);
  const Image before = a;
  ASSERT_TRUE(apply(a, protocol::BeginTransactionRecord{}));
  EXPECT_TRUE(a.in_transaction());
  topic(a, "u", 2, 1);
  ASSERT_TRUE(apply(a, protocol::AbortTransactionRecord{}));
  EXPECT_FALSE(a.in_transaction());
  EXPECT_EQ(a.topics(), before.topics());
  ASSERT_TRUE(apply(a, protocol::BeginTransactionRecord{}));
  ASSERT_TRUE(apply(a, protocol::EndTransactionRecord{}));
  EXPECT_FALSE(apply(a, protocol::EndTransactionRecord{}));
}

// What it had made is not there to be looked up, and what it had changed is as before.
TEST_F(Images, an_aborted_transaction_leaves_no_changes_to_be_carried) {
  Image a;
  topic(a, "t", 1, 1);
  topic(a, "v", 3, 1);
  const Image carried = a;
  Delta delta;
  topic(a, "before", 4, 1, &delta);
  ASSERT_TRUE(apply(a, protocol::BeginTransactionRecord{}, 0, &delta));
  topic(a, "u", 2, 1, &delta);
  protocol::RemoveTopicRecord gone;
  gone.topic_id = id(3);
  ASSERT_TRUE(apply(a, gone, 0, &delta));
  ASSERT_TRUE(apply(a, protocol::AbortTransactionRecord{}, 0, &delta));
  topic(a, "after", 5, 1, &delta);
  settle(delta, carried, a);
  EXPECT_EQ(delta, difference(carried, a));
  EXPECT_EQ(delta.topics, (std::set<Uuid>{id(4), id(5)}));
  EXPECT_TRUE(delta.deleted.empty());
  for (const TopicIdPartition& p : delta.partitions) EXPECT_NE(a.partition(p), nullptr);
}

TEST_F(Images, what_no_controller_wrote_is_refused_and_changes_nothing) {
  Image a;
  topic(a, "t", 1, 1);
  const Image before = a;
  protocol::TopicRecord t;
  t.name = "t", t.topic_id = id(2);
  EXPECT_FALSE(apply(a, t));
  protocol::PartitionChangeRecord c;
  c.topic_id = id(1), c.partition_id = 7;
  EXPECT_FALSE(apply(a, c, 2));
  protocol::FenceBrokerRecord f;
  EXPECT_FALSE(apply(a, f));
  EXPECT_FALSE(a.apply(arena, a.end(), as_bytes("\x01\x63\x00")));  // a type that does not exist
  EXPECT_FALSE(a.apply(arena, a.end(), as_bytes("")));
  EXPECT_TRUE(a == before);
}

// Bytes of the outside world may be anything.
RC_GTEST_FIXTURE_PROP(Images, survives_damaged_records, (const std::vector<std::pair<uint8_t, uint8_t>>& flips)) {
  Image a;
  topic(a, "t", 1, 1);
  protocol::PartitionChangeRecord c;
  c.topic_id = id(1), c.partition_id = 0, c.leader = -1;
  const Slice good = encode_record(2, c);
  std::vector<uint8_t> bytes(good.data(), good.data() + good.size());
  for (const auto& [at, with] : flips) bytes[at % bytes.size()] ^= with;
  const Image before = a;
  if (!a.apply(arena, a.end(), bytes)) RC_ASSERT(a == before);
}

}  // namespace
}  // namespace klamm::metadata
