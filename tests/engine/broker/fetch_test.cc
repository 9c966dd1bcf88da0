// What a consumer's Fetch asks for, and when it is answered.
#include "engine/protocol/messages/fetch.h"

#include "engine/protocol/batch_builder.h"
#include "engine/protocol/messages/produce.h"
#include "tests/engine/broker/wired_node.h"

namespace klamm::broker {
namespace {

using protocol::FetchRequest;
using protocol::FetchResponse;

constexpr int16_t kFetchVersion = 12;

class Fetch : public testing::Test {
 protected:
  Fetch() {
    x.boot();
    client = x.connect();
    x.create_topic(client, "t");
    protocol::BatchBuilder b(protocol::BatchBuilder::Options{});
    const std::string value(200, 'v');
    b.add_value(1'700'000'000'000, as_bytes(value));
    const Slice batch = b.finish();
    protocol::ProduceRequest m;
    m.acks = -1;
    m.timeout_ms = 1'000;
    auto& topic = m.topic_data.add(x.arena());
    topic.name = "t";
    topic.partition_data.add(x.arena()).records = protocol::Records::of(batch.span());
    x.ask(client, 9, m);
    x.run_for(milliseconds(100));
    EXPECT_EQ(x.take<protocol::ProduceResponse>(client, 9).responses[0].partition_responses[0].error_code, 0);
  }
  void want(FetchRequest& q, Str name, Offset from) {
    auto& topic = q.topics.add(x.arena());
    topic.topic = name;
    auto& p = topic.partitions.add(x.arena());
    p.fetch_offset = from;
    p.current_leader_epoch = p.last_fetched_epoch = -1;
    p.partition_max_bytes = 1 << 20;
  }
  FetchRequest request() const {
    FetchRequest q;
    q.replica_id = -1;
    q.max_wait_ms = 10'000;
    q.min_bytes = 1;
    q.max_bytes = 1 << 20;
    q.session_epoch = -1;
    return q;
  }
  WiredNode x;
  ConnId client;
};

TEST_F(Fetch, does_not_wait_for_more_bytes_than_it_takes) {
  FetchRequest q = request();
  want(q, "t", 0);
  q.max_bytes = 100;
  q.min_bytes = 1'000'000;
  x.ask(client, kFetchVersion, q);
  x.run_for(milliseconds(100));
  ASSERT_TRUE(x.answered(client));
  EXPECT_GE(x.take<FetchResponse>(client, kFetchVersion).responses[0].partitions[0].records.size, 100u);
}

// As a map: the place of the first naming, what the last one says.
TEST_F(Fetch, of_a_partition_named_twice_is_answered_once) {
  FetchRequest q = request();
  want(q, "t", 0);
  want(q, "nope", 0);
  want(q, "t", 1);
  q.max_wait_ms = 0;
  x.ask(client, kFetchVersion, q);
  x.run_for(milliseconds(100));
  const auto m = x.take<FetchResponse>(client, kFetchVersion);
  ASSERT_EQ(m.responses.size(), 2u);
  EXPECT_EQ(std::string(m.responses[0].topic), "t");
  EXPECT_EQ(m.responses[0].partitions.size(), 1u);
  EXPECT_EQ(m.responses[0].partitions[0].records.size, 0u);
  EXPECT_EQ(std::string(m.responses[1].topic), "nope");
}

}  // namespace
}  // namespace klamm::broker
