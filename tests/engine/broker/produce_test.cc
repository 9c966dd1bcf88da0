// A Produce whose batches take much unpacking, in a node with a network and a disk.
#include "engine/protocol/messages/produce.h"

#include "engine/protocol/batch_builder.h"
#include "engine/protocol/messages/fetch.h"
#include "engine/protocol/messages/list_offsets.h"
#include "tests/engine/broker/wired_node.h"

namespace klamm::broker {
namespace {

using protocol::ProduceRequest;
using protocol::ProduceResponse;

constexpr int16_t kProduceVersion = 9;
constexpr int32_t kPartitions = 24;
constexpr size_t kPlain = 2 << 20;

Slice zipped(size_t plain) {
  protocol::BatchBuilder b(protocol::BatchBuilder::Options{.compression = protocol::Compression::zstd});
  const std::string zeros(plain, '\0');
  b.add_value(1'700'000'000'000, as_bytes(zeros));
  return b.finish();
}

class Produce : public testing::Test {
 protected:
  explicit Produce(const WiredNode::Properties& properties = {}) : x(properties) {
    x.boot();
    client = x.connect();
    x.create_topic(client, "t", kPartitions);
  }
  void produce(ConnId conn, int32_t first, int32_t end, const Slice& batch) {
    x.send(conn, frame(conn, first, end, batch));
  }
  Slice frame(ConnId conn, int32_t first, int32_t end, const Slice& batch) {
    ProduceRequest m;
    m.acks = -1;
    m.timeout_ms = 1'000;
    auto& t = m.topic_data.add(x.arena());
    t.name = topic;
    for (int32_t i = first; i < end; ++i) {
      auto& p = t.partition_data.add(x.arena());
      p.index = i;
      p.records = protocol::Records::of(batch.span());
    }
    return x.frame(conn, kProduceVersion, m);
  }
  Offset offset_of_one_more(int32_t partition) {
    const ConnId conn = x.connect();
    produce(conn, partition, partition + 1, zipped(1));
    x.run_for(milliseconds(100));
    return x.take<ProduceResponse>(conn, kProduceVersion).responses[0].partition_responses[0].base_offset;
  }

  WiredNode x;
  ConnId client;
  std::string topic = "t";
};

TEST_F(Produce, much_unpacking_is_spread_over_turns_and_nothing_overtakes_it) {
  const uint64_t before = x.node.turns;
  produce(client, 0, kPartitions, zipped(kPlain));
  const ConnId other = x.connect();
  produce(other, kPartitions - 1, kPartitions, zipped(1));
  EXPECT_FALSE(x.answered(client));
  x.run_for(milliseconds(100), [&] { return x.answered(client); });
  EXPECT_GE(x.node.turns - before, kPartitions * kPlain / kUnpackedPerTurn);
  const auto m = x.take<ProduceResponse>(client, kProduceVersion);
  ASSERT_EQ(m.responses[0].partition_responses.size(), size_t{kPartitions});
  for (const auto& p : m.responses[0].partition_responses) {
    EXPECT_EQ(p.error_code, 0);
    EXPECT_EQ(p.base_offset, 0);
  }
  x.run_for(milliseconds(100), [&] { return x.answered(other); });
  EXPECT_EQ(x.take<ProduceResponse>(other, kProduceVersion).responses[0].partition_responses[0].base_offset, 1);
}

// A topic whose logs the disk has not made yet.
class ProduceEarly : public Produce {
 protected:
  ProduceEarly() {
    topic = "new";
    const ConnId admin = x.connect();
    protocol::CreateTopicsRequest create;
    auto& t = create.topics.add(x.arena());
    t.name = topic, t.num_partitions = kPartitions, t.replication_factor = 1;
    x.ask(admin, 7, create);
    x.run_for(seconds(1), [&] { return x.answered(admin); });
    EXPECT_EQ(x.take<protocol::CreateTopicsResponse>(admin, 7).topics[0].error_code, 0);
  }
  uint64_t waiting() const { return x.node.world.trace.probes[static_cast<size_t>(Probe::waits_to_lead)]; }
  void expect_offset(ConnId conn, Offset at) {
    x.run_for(seconds(1), [&] { return x.answered(conn); });
    const auto m = x.take<ProduceResponse>(conn, kProduceVersion);
    for (const auto& p : m.responses[0].partition_responses) {
      EXPECT_EQ(p.error_code, 0);
      EXPECT_EQ(p.base_offset, at);
    }
  }
};

TEST_F(ProduceEarly, waits_for_the_log_and_nothing_of_its_connection_overtakes_it) {
  produce(client, 0, 1, zipped(1));
  produce(client, 0, 1, zipped(1));
  EXPECT_EQ(waiting(), 1u);
  const ConnId reader = x.connect();
  protocol::ListOffsetsRequest list;
  auto& asked = list.topics.add(x.arena());
  asked.name = topic;
  asked.partitions.add(x.arena()).timestamp = -1;
  x.ask(reader, 7, list);
  EXPECT_EQ(waiting(), 2u);
  expect_offset(client, 0);
  expect_offset(client, 1);
  x.run_for(seconds(1), [&] { return x.answered(reader); });
  EXPECT_EQ(x.take<protocol::ListOffsetsResponse>(reader, 7).topics[0].partitions[0].error_code, 0);
}

TEST_F(ProduceEarly, requests_of_many_turns_that_have_waited_follow_one_another) {
  const ConnId other = x.connect();
  produce(client, 0, kPartitions, zipped(kPlain));
  produce(other, 0, kPartitions, zipped(kPlain));
  EXPECT_EQ(waiting(), 2u);
  expect_offset(client, 0);
  expect_offset(other, 1);
}

TEST_F(ProduceEarly, is_appended_though_its_peer_has_left) {
  produce(client, 0, 1, zipped(1));
  produce(client, 0, 1, zipped(1));
  x.node.turn({Closed{client, IoError::failed}});
  x.run_for(milliseconds(100));
  EXPECT_EQ(offset_of_one_more(0), 2);
}

TEST_F(Produce, goes_on_when_its_peer_has_left) {
  produce(client, 0, kPartitions, zipped(kPlain));
  x.node.turn({Closed{client, IoError::failed}});
  EXPECT_EQ(offset_of_one_more(0), 1);
  EXPECT_EQ(offset_of_one_more(kPartitions - 1), 1);
}

// As a client that sends with acks=0 and goes: what it sent lies behind requests that wait, or comes with its end.
TEST_F(Produce, what_came_whole_is_appended_though_its_peer_has_left) {
  protocol::FetchRequest wait;
  wait.replica_id = -1;
  wait.max_wait_ms = 3'600'000;
  wait.min_bytes = 1;
  wait.max_bytes = 1 << 20;
  wait.session_epoch = -1;
  auto& asked = wait.topics.add(x.arena());
  asked.topic = topic;
  auto& p = asked.partitions.add(x.arena());
  p.current_leader_epoch = p.last_fetched_epoch = -1;
  p.partition = 1;
  p.partition_max_bytes = 1 << 20;
  x.ask(client, 12, wait);
  produce(client, 0, 1, zipped(1));
  x.ask(client, 12, wait);
  produce(client, 0, 1, zipped(1));
  x.node.turn({Closed{client, IoError::failed}});
  x.run_for(milliseconds(100));
  const ConnId other = x.connect();
  x.node.turn({Received{other, frame(other, 0, 1, zipped(1))}, Closed{other}});
  x.run_for(milliseconds(100));
  EXPECT_EQ(offset_of_one_more(0), 3);
}

class ProduceInLittleRoom : public Produce {
 protected:
  static constexpr int64_t kMost = 1'000'000 + replication::kUnwrittenMost;
  ProduceInLittleRoom() : Produce({{"klamm.fetch.cache.bytes", "1000000"}}) {}
};

// The disk takes nothing for a while: what comes meanwhile waits in its connections.
TEST_F(ProduceInLittleRoom, no_more_starts_while_the_disk_is_far_behind) {
  constexpr size_t kBatch = 1'000'000;
  protocol::BatchBuilder b(protocol::BatchBuilder::Options{});
  const std::string value(kBatch, 'x');
  b.add_value(1'700'000'000'000, as_bytes(value));
  const Slice batch = b.finish();
  const auto kept = [&] { return static_cast<const Node&>(*x.node.node).parts().replicas.cached_bytes(); };
  std::vector<ConnId> conns;
  for (int64_t i = 0; i < kMost / int64_t{kBatch} + 100; ++i) {
    conns.push_back(x.connect());
    produce(conns.back(), 0, 1, batch);
    EXPECT_LE(kept(), kMost + 2 * int64_t{kBatch});
  }
  EXPECT_GT(kept(), kMost);
  EXPECT_FALSE(x.answered(conns.front()));
  for (size_t i = 0; i < conns.size(); ++i) {
    x.run_for(seconds(1), [&] { return x.answered(conns[i]); });
    const auto m = x.take<ProduceResponse>(conns[i], kProduceVersion);
    EXPECT_EQ(m.responses[0].partition_responses[0].error_code, 0);
    EXPECT_EQ(m.responses[0].partition_responses[0].base_offset, static_cast<Offset>(i));
  }
}

TEST_F(Produce, a_bomb_is_refused_with_the_reason) {
  produce(client, 0, 1, zipped((64 << 20) + 1));
  x.run_for(milliseconds(100));
  const auto m = x.take<ProduceResponse>(client, kProduceVersion);
  const auto& p = m.responses[0].partition_responses[0];
  EXPECT_EQ(p.error_code, code(ErrorCode::message_too_large));
  EXPECT_EQ(std::string(p.error_message), "The batch unpacks to more than 67108864 bytes.");
}

}  // namespace
}  // namespace klamm::broker
