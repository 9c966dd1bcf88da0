#include <gtest/gtest.h>

#include "tests/engine/client/fake_cluster.h"

namespace klamm::client {
namespace {

using Values = std::vector<std::string>;
constexpr uint64_t kFirst = 1000;  // token of the first record

class ProducerTest : public testing::Test {
 protected:
  void open(ProducerOpen options = {}) {
    options.client = 1;
    if (options.delivery_timeout_ms == ProducerOpen().delivery_timeout_ms) options.delivery_timeout_ms = 10'000;
    options.request_timeout_ms = 1'000;
    cluster.ask(1, "producer.open", options);
    cluster.pass(milliseconds(200));
  }
  // Each value in a batch of its own unless it lingers; tokens go on from kFirst.
  void produce(const Values& values, int32_t partition = 0) {
    for (const std::string& v : values) {
      Produce p{1, "t", partition, {}};
      p.records.push_back({std::nullopt, Slice::copy(v), 1, {}});
      cluster.ask(next_token++, "produce", p);
    }
  }
  // In one request: the records share batches.
  void produce_together(const Values& values, int32_t partition = 0) {
    Produce p{1, "t", partition, {}};
    for (const std::string& v : values) p.records.push_back({std::nullopt, Slice::copy(v), 1, {}});
    const uint64_t token = next_token;
    next_token += values.size();
    cluster.ask(token, "produce", p);
  }
  void expect_all_acknowledged() {
    for (uint64_t t = kFirst; t < next_token; ++t) EXPECT_EQ(cluster.produced(t).error, ErrorCode::none) << t - kFirst;
  }
  FakeCluster cluster;
  uint64_t next_token = kFirst;
};

TEST_F(ProducerTest, a_batch_is_answered_record_by_record) {
  open();
  produce_together({"a", "b", "c"}, 1);
  cluster.pass(milliseconds(200));
  for (uint64_t i = 0; i < 3; ++i) {
    const Produced p = cluster.produced(kFirst + i);
    EXPECT_EQ(p.error, ErrorCode::none);
    EXPECT_EQ(p.partition, 1);
    EXPECT_EQ(p.offset, static_cast<int64_t>(i));
    EXPECT_EQ(p.topic_id, cluster.topic_id);
  }
  EXPECT_EQ(cluster.appends.size(), 1u);
  EXPECT_EQ(cluster.appends[0].node, 2);
}

TEST_F(ProducerTest, lingering_gathers_records_and_flush_ends_it) {
  ProducerOpen options;
  options.linger_ms = 5'000;
  open(options);
  produce({"a", "b"});
  cluster.pass(milliseconds(1'000));
  EXPECT_TRUE(cluster.appends.empty());
  cluster.ask(2, "flush", ClientRef{1});
  cluster.pass(milliseconds(100));
  ASSERT_EQ(cluster.appends.size(), 1u);
  EXPECT_EQ(cluster.appends[0].values, (Values{"a", "b"}));
  EXPECT_EQ(cluster.answers[2].size(), 1u);
}

TEST_F(ProducerTest, a_lost_answer_is_asked_for_again_and_nothing_is_written_twice) {
  open();
  cluster.fates = {{ErrorCode::none, true, false}};
  produce({"a", "b"});
  cluster.pass(seconds(2));
  expect_all_acknowledged();
  EXPECT_EQ(cluster.logs[0], (Values{"a", "b"}));
}

TEST_F(ProducerTest, batches_follow_a_moved_leader_in_order) {
  open();
  produce({"warm up"});
  cluster.pass(milliseconds(200));
  cluster.move_leader(0, 2);
  produce({"a", "b", "c"});
  cluster.pass(seconds(2));
  expect_all_acknowledged();
  EXPECT_EQ(cluster.logs[0], (Values{"warm up", "a", "b", "c"}));
  EXPECT_EQ(cluster.appends.back().node, 2);
}

TEST_F(ProducerTest, errors_in_the_middle_do_not_change_the_order) {
  open();
  const ErrorCode n = ErrorCode::none;
  cluster.fates = {{n, false, false},
                   {ErrorCode::not_enough_replicas, false, false},
                   {n, false, false},
                   {n, true, false},
                   {ErrorCode::request_timed_out, false, false}};
  produce({"a", "b", "c", "d", "e", "f"});
  cluster.pass(seconds(5));
  expect_all_acknowledged();
  EXPECT_EQ(cluster.logs[0], (Values{"a", "b", "c", "d", "e", "f"}));
}

// Its first batch is refused for the moment; a broker that has never heard of the producer would take the second.
TEST_F(ProducerTest, the_first_batches_keep_their_order_where_nobody_knows_the_producer) {
  ProducerOpen options;
  options.batch_bytes = 1;
  open(options);
  cluster.fates = {{ErrorCode::not_enough_replicas, false, false}};
  produce_together({"a", "b", "c"});
  cluster.pass(seconds(5));
  expect_all_acknowledged();
  EXPECT_EQ(cluster.logs[0], (Values{"a", "b", "c"}));
}

TEST_F(ProducerTest, behind_a_rejected_batch_the_next_begin_a_new_epoch) {
  open();
  produce({"a"});
  cluster.pass(milliseconds(200));
  cluster.fates = {{ErrorCode::message_too_large, false, false}};
  produce({"too large", "b", "c"});
  cluster.pass(seconds(2));
  EXPECT_EQ(cluster.produced(kFirst + 1).error, ErrorCode::message_too_large);
  EXPECT_FALSE(cluster.produced(kFirst + 1).maybe_written);
  EXPECT_EQ(cluster.produced(kFirst + 3).error, ErrorCode::none);
  EXPECT_EQ(cluster.logs[0], (Values{"a", "b", "c"}));
  EXPECT_EQ(cluster.appends.back().epoch, 1);
}

TEST_F(ProducerTest, what_no_answer_came_for_in_time_may_have_been_written) {
  ProducerOpen options;
  options.delivery_timeout_ms = 1'500;
  open(options);
  for (int i = 0; i < 4; ++i) cluster.fates.push_back({ErrorCode::none, false, true});
  produce({"a"});
  cluster.pass(seconds(3));
  EXPECT_EQ(cluster.produced(kFirst).error, ErrorCode::request_timed_out);
  EXPECT_TRUE(cluster.produced(kFirst).maybe_written);
  cluster.fates.clear();
  produce({"b"});
  cluster.pass(seconds(1));
  EXPECT_EQ(cluster.produced(kFirst + 1).error, ErrorCode::none);
  EXPECT_EQ(cluster.logs[0], (Values{"b"}));
}

TEST_F(ProducerTest, refusals_alone_are_certain) {
  ProducerOpen options;
  options.delivery_timeout_ms = 1'500;
  open(options);
  for (int i = 0; i < 20; ++i) cluster.fates.push_back({ErrorCode::not_enough_replicas, false, false});
  produce({"a"});
  cluster.pass(seconds(3));
  EXPECT_EQ(cluster.produced(kFirst).error, ErrorCode::request_timed_out);
  EXPECT_FALSE(cluster.produced(kFirst).maybe_written);
}

TEST_F(ProducerTest, acks_0_waits_for_nobody) {
  ProducerOpen options;
  options.acks = 0;
  options.idempotent = false;
  open(options);
  produce({"a", "b", "c", "d", "e", "f", "g"});
  cluster.pass(milliseconds(300));
  expect_all_acknowledged();
  EXPECT_EQ(cluster.produced(kFirst).offset, -1);
  EXPECT_EQ(cluster.logs[0].size(), 7u);
}

TEST_F(ProducerTest, a_full_buffer_is_answered_at_once) {
  ProducerOpen options;
  options.buffer_bytes = 300;
  options.linger_ms = 5'000;
  open(options);
  produce_together({std::string(100, 'x'), std::string(200, 'y')});
  cluster.pass(milliseconds(200));
  EXPECT_EQ(cluster.produced(kFirst + 1).error, ErrorCode::request_timed_out);
  cluster.ask(2, "close", ClientRef{1});
  EXPECT_EQ(cluster.produced(kFirst).error, ErrorCode::request_timed_out);
  EXPECT_EQ(cluster.answers[2].size(), 1u);
}

TEST_F(ProducerTest, records_wait_for_a_partition_that_is_made) {
  ProducerOpen options;
  options.delivery_timeout_ms = 5'000;
  open(options);
  produce({"a", "b"}, 2);
  produce({"c"}, 0);
  cluster.pass(milliseconds(500));
  EXPECT_TRUE(cluster.answers[kFirst].empty());
  EXPECT_EQ(cluster.produced(kFirst + 2).error, ErrorCode::none);  // who goes elsewhere does not wait
  cluster.leaders[2] = 1;
  cluster.pass(milliseconds(500));
  expect_all_acknowledged();
  EXPECT_EQ(cluster.logs[2], (std::vector<std::string>{"a", "b"}));
}

TEST_F(ProducerTest, records_of_a_partition_that_nobody_makes_fail_in_time) {
  ProducerOpen options;
  options.delivery_timeout_ms = 1'500;
  open(options);
  produce({"a"}, 9);
  cluster.pass(seconds(1));
  EXPECT_TRUE(cluster.answers[kFirst].empty());
  cluster.pass(seconds(1));
  EXPECT_EQ(cluster.produced(kFirst).error, ErrorCode::request_timed_out);
  EXPECT_FALSE(cluster.produced(kFirst).maybe_written);
}

TEST_F(ProducerTest, nonsense_is_refused) {
  cluster.ask(5, "produce", ClientRef{1});
  cluster.ask(6, "sing", ClientRef{1});
  cluster.ask(7, "producer.open", ProducerOpen{.client = 0});
  for (uint64_t token : {5, 6, 7}) {
    Done done;
    ASSERT_EQ(cluster.answers[token].size(), 1u);
    ASSERT_TRUE(unpack(cluster.answers[token][0], done));
    EXPECT_EQ(done.error, ErrorCode::invalid_request);
  }
}

}  // namespace
}  // namespace klamm::client
