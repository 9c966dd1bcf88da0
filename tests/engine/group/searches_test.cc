// The searches for offsets that have to go: of deleted topics, and expired ones.
#include "engine/group/records.h"
#include "engine/protocol/batch_builder.h"
#include "tests/engine/group/rig.h"

namespace klamm::group {
namespace {

using E = ErrorCode;

class Searches : public testing::Test {
 protected:
  static Config config() {
    Config c = Rig::quick();
    c.partitions = 1;
    c.offsets_retention_ms = 60'000;
    c.retention_check_ms = 10'000;
    c.max_batch_bytes = kBatch;
    return c;
  }
  static std::string name(int i, size_t size = 100) { return std::string(size, 'g') + std::to_string(10'000 + i); }
  void commit(int groups, const std::string& topic = "t") {
    for (int i = 0; i < groups; ++i) ASSERT_EQ(rig.commit({.topic = topic, .group = name(i)}), E::none);
  }
  void remove(const TopicIds& topics) {
    auto c = rig.ctx();
    rig.coordinator.topics_deleted(c, topics, rig.out);
    rig.carry();
  }
  size_t offsets() { return rig.hard().offsets.size(); }
  // A batch of somebody else's, which the next election finds.
  void found_in_log(const Slice& batch) {
    auto& log = rig.logs[0];
    Slice placed = Slice::copy(batch.span());
    protocol::place_batch(const_cast<uint8_t*>(placed.data()), batch.data(), {log.end, log.epoch});
    log.batches.push_back(placed);
    log.end += protocol::check_batch(batch.span())->record_count;
  }

  static constexpr int32_t kBatch = 10'000;
  const TopicIds t{{"t", {TwoTopics::uuid('t')}}}, u{{"u", {TwoTopics::uuid('u')}}};
  Rig rig{config()};
};

TEST_F(Searches, a_deletion_takes_as_many_batches_as_its_tombstones_need) {
  commit(1'200);
  remove(t);
  rig.settle();
  EXPECT_EQ(offsets(), 0u);
  for (const Slice& batch : rig.logs[0].batches) EXPECT_LE(batch.size(), static_cast<size_t>(kBatch));
  rig.fail_over();
  EXPECT_EQ(offsets(), 0u);
}

TEST_F(Searches, a_deletion_looks_at_so_many_in_a_turn_and_goes_on_in_the_next) {
  commit(2'500);
  commit(20, "u");
  remove({{"gone", {TwoTopics::uuid('x')}}, {"t", t.at("t")}});
  EXPECT_GE(offsets(), 1'520u);
  EXPECT_EQ(rig.coordinator.next_deadline(), rig.world.now);
  remove(u);  // meanwhile
  rig.settle();
  EXPECT_EQ(offsets(), 0u);
  EXPECT_GT(rig.coordinator.next_deadline(), rig.world.now);
}

TEST_F(Searches, offsets_of_a_topic_made_anew_meanwhile_stay) {
  commit(2'500);
  remove({{"t", {TwoTopics::uuid('x'), TwoTopics::uuid('y')}}});
  EXPECT_EQ(rig.coordinator.next_deadline(), rig.world.now) << "not all has been looked at";
  rig.settle();
  EXPECT_EQ(offsets(), 2'500u);
}

TEST_F(Searches, a_deletion_waits_for_a_shard_that_loads) {
  commit(3);
  auto c = rig.ctx();
  rig.coordinator.resigned(c, 0, rig.out);
  auto& log = rig.logs[0];
  ASSERT_TRUE(rig.coordinator.elected(0, ++log.epoch));
  remove(t);
  for (const Slice& b : log.batches) ASSERT_TRUE(rig.coordinator.load(c, 0, b.span()));
  rig.coordinator.loaded(c, 0, log.end, log.end, rig.out);
  rig.carry();
  rig.settle();
  EXPECT_EQ(offsets(), 0u);
}

TEST_F(Searches, a_deletion_finds_offsets_of_open_transactions) {
  for (const ProducerId producer : {std::numeric_limits<ProducerId>::max(), ProducerId{7}, ProducerId{8}}) {
    protocol::BatchBuilder builder({.producer_id = producer, .producer_epoch = 0, .transactional = true});
    for (int i = 0; i < 900; ++i)
      for (const char* topic : {"t", "u"}) {
        const auto r = offset_record({name(i), topic, 0}, {.offset = 5, .topic_id = TwoTopics::uuid(topic[0])});
        builder.add({.key = protocol::Bytes::of(r.key.span()), .value = protocol::Bytes::of(r.value.span())});
      }
    found_in_log(builder.finish());
  }
  rig.fail_over();
  remove(t);
  rig.settle();
  for (const auto& open : rig.hard().open_transactions) EXPECT_EQ(open.value.size(), 900u) << open.key;
  remove(u);
  rig.settle();
  for (const auto& open : rig.hard().open_transactions) EXPECT_EQ(open.value.size(), 0u) << open.key;
}

TEST_F(Searches, what_expires_takes_as_many_batches_as_its_tombstones_need) {
  commit(1'200);
  rig.pass(80'000);
  EXPECT_EQ(offsets(), 0u);
  EXPECT_TRUE(rig.hard().groups.empty());
}

TEST_F(Searches, a_search_pauses_when_the_log_takes_nothing) {
  commit(1'200);
  rig.refusing = E::not_enough_replicas;
  rig.pass(80'000);
  EXPECT_EQ(offsets(), 1'200u);
  EXPECT_GT(rig.coordinator.next_deadline(), rig.world.now);
  rig.refusing = E::none;
  rig.pass(20'000);
  EXPECT_EQ(offsets(), 0u);
}

// The offsets topic's max.message.bytes was lowered below the size of a tombstone.
TEST_F(Searches, what_no_batch_can_hold_stays_until_one_can) {
  commit(1'200);
  rig.coordinator.set_max_batch_bytes(120);
  remove(t);
  rig.settle();
  EXPECT_EQ(offsets(), 1'200u);
  EXPECT_GT(rig.coordinator.next_deadline(), rig.world.now);
  rig.pass(80'000);
  EXPECT_EQ(offsets(), 1'200u);
  EXPECT_GT(rig.coordinator.next_deadline(), rig.world.now);
  rig.coordinator.set_max_batch_bytes(kBatch);
  rig.pass(20'000);
  EXPECT_EQ(offsets(), 0u);
}

TEST_F(Searches, those_who_left_do_not_come_back_when_their_group_cannot_go) {
  const std::string id = rig.stable_group();
  rig.refusing = E::not_enough_replicas;
  rig.send_leave(id);
  rig.pass(25'000);
  EXPECT_EQ(rig.state(), "Empty");
  rig.refusing = E::none;
  rig.pass(25'000);
  EXPECT_EQ(rig.state(), "Dead");
}

TEST_F(Searches, groups_that_become_empty_together_take_as_many_batches_as_they_need) {
  for (int i = 0; i < 100; ++i) rig.stable_group({.group = name(i)});
  rig.coordinator.set_max_batch_bytes(1'000);
  rig.pass(10'000);
  rig.fail_over();
  for (int i = 0; i < 100; ++i) EXPECT_NE(rig.state(name(i)), "Stable") << i;
}

// None of them has expired; then all have.
TEST_F(Searches, a_sweep_looks_at_so_many_in_a_turn_and_goes_on_later) {
  constexpr int kMany = 10 * kOffsetsPerSweep;
  protocol::BatchBuilder builder(protocol::BatchBuilder::Options{});
  for (int i = 0; i < kMany; ++i) {
    const auto r = offset_record({"g", name(i, 1), 0}, {.offset = 5, .commit_ms = rig.world.wall.ms});
    builder.add({.key = protocol::Bytes::of(r.key.span()), .value = protocol::Bytes::of(r.value.span())});
  }
  found_in_log(builder.finish());
  rig.fail_over();
  rig.pass(10'000);
  for (int step = 1; step < 10; ++step) {
    EXPECT_EQ(rig.coordinator.next_deadline(), rig.world.now + kSweepPause) << step;
    rig.pass(kSweepPause.ms());
  }
  EXPECT_GT(rig.coordinator.next_deadline(), rig.world.now + kSweepPause);
  EXPECT_EQ(offsets(), static_cast<size_t>(kMany));
  rig.pass(80'000);
  EXPECT_EQ(offsets(), 0u);
  EXPECT_TRUE(rig.hard().groups.empty());
}

// Kafka takes such a record for a stable group as well; to describe it, it fails.
TEST_F(Searches, a_group_whose_members_have_no_protocol_is_described) {
  Group g;
  g.id = "g";
  g.protocol_type = "consumer";
  Member m;
  m.id = "m";
  m.protocols.push_back({"", Slice::copy("what it said")});
  g.add(m);
  const auto r = group_record(rig.world.scratch.arena, g);
  protocol::BatchBuilder builder(protocol::BatchBuilder::Options{});
  builder.add({.key = protocol::Bytes::of(r.key.span()), .value = protocol::Bytes::of(r.value.span())});
  found_in_log(builder.finish());
  rig.fail_over();
  protocol::DescribeGroupsRequest ask;
  ask.groups.push_back(rig.world.scratch.arena, "g");
  const auto answer = rig.ask<protocol::DescribeGroupsResponse>(6, ask);
  EXPECT_EQ(answer.groups[0].group_state, "Stable");
  EXPECT_EQ(answer.groups[0].protocol_data, "");
  EXPECT_EQ(as_text(answer.groups[0].members[0].member_metadata.span()), "what it said");
}

}  // namespace
}  // namespace klamm::group
