// Look-ups by time in a log most of which is on disk only.
#include "engine/protocol/messages/list_offsets.h"

#include "engine/protocol/batch_builder.h"
#include "engine/protocol/messages/produce.h"
#include "tests/engine/broker/wired_node.h"

namespace klamm::broker {
namespace {

constexpr int16_t kListVersion = 7, kWriteVersion = 9;
constexpr int64_t kBegin = 1'700'000'000'000;
constexpr size_t kBatch = 60 << 10;

class ListOffsets : public testing::Test {
 protected:
  explicit ListOffsets(const std::string& segment_bytes = "1048576")
      : x({{"log.segment.bytes", segment_bytes}, {"klamm.fetch.tail.bytes", "65536"}}) {
    x.boot();
    client = x.connect();
    x.create_topic(client, "t");
  }
  void write(int64_t time, size_t bytes = kBatch, protocol::Compression codec = protocol::Compression::none) {
    protocol::BatchBuilder b(protocol::BatchBuilder::Options{.compression = codec});
    const std::string value(bytes, 'v');
    b.add_value(time, as_bytes(value));
    const Slice batch = b.finish();
    protocol::ProduceRequest m;
    m.acks = -1;
    m.timeout_ms = 1'000;
    auto& topic = m.topic_data.add(x.arena());
    topic.name = "t";
    topic.partition_data.add(x.arena()).records = protocol::Records::of(batch.span());
    x.ask(client, kWriteVersion, m);
    x.run_for(seconds(1), [&] { return x.answered(client); });
    const auto told = x.take<protocol::ProduceResponse>(client, kWriteVersion);
    EXPECT_EQ(told.responses[0].partition_responses[0].error_code, 0);
  }
  void restart() {
    x.stop();
    x.boot();
    x.run_for(seconds(1));
    client = x.connect();
  }
  Slice frame(ConnId conn, int64_t time) {
    protocol::ListOffsetsRequest m;
    m.replica_id = -1;
    auto& topic = m.topics.add(x.arena());
    topic.name = "t";
    topic.partitions.add(x.arena()).timestamp = time;
    return x.frame(conn, kListVersion, m);
  }
  void ask(ConnId conn, int64_t time) { x.send(conn, frame(conn, time)); }
  protocol::ListOffsetsResponse::ListOffsetsPartitionResponse answer(ConnId conn) {
    x.run_for(seconds(20), [&] { return x.answered(conn); });
    const auto m = x.take<protocol::ListOffsetsResponse>(conn, kListVersion);
    return m.topics.empty() ? protocol::ListOffsetsResponse::ListOffsetsPartitionResponse{} : m.topics[0].partitions[0];
  }
  Offset at(int64_t time) {
    ask(client, time);
    const auto y = answer(client);
    EXPECT_EQ(y.error_code, 0);
    return y.offset;
  }
  uint64_t cold_reads() const { return x.node.world.trace.probes[static_cast<size_t>(Probe::cold_read)]; }

  WiredNode x;
  ConnId client;
};

struct ListOffsetsOfOneSegment : ListOffsets {
  ListOffsetsOfOneSegment() : ListOffsets("1073741824") {}
};
TEST_F(ListOffsetsOfOneSegment, by_time_go_on_where_they_were_however_much_is_on_disk) {
  write(kBegin + 1'000);  // all that follows is older
  for (int i = 0; i < 150; ++i) write(kBegin + i);
  write(kBegin + 2'000);
  EXPECT_EQ(at(kBegin + 1'001), 151);
  EXPECT_GE(cold_reads(), 9u);
  EXPECT_EQ(at(kBegin + 2'001), -1);
  EXPECT_EQ(at(-3), 151);
}

TEST_F(ListOffsets, by_time_of_an_empty_log_find_nothing) {
  for (const int64_t time : {kBegin, int64_t{0}, int64_t{-3}}) EXPECT_EQ(at(time), -1);
  restart();
  for (const int64_t time : {kBegin, int64_t{0}, int64_t{-3}}) EXPECT_EQ(at(time), -1);
}

TEST_F(ListOffsets, by_time_find_their_segment_after_a_restart) {
  for (int i = 0; i < 150; ++i) write(kBegin + 10 * i);
  restart();
  for (const int i : {149, 77, 40, 1, 0}) {
    const uint64_t before = cold_reads();
    EXPECT_EQ(at(kBegin + 10 * i - 5), i);
    EXPECT_LE(cold_reads() - before, 3u);  // the times of its segment, and what lies around it
  }
  EXPECT_EQ(at(-3), 149);
}

TEST_F(ListOffsets, by_time_unpack_so_much_a_turn_and_others_are_served_between) {
  constexpr size_t kPlain = 6 << 20;
  constexpr int kClients = 8;
  write(kBegin, kPlain, protocol::Compression::zstd);
  std::vector<ConnId> crowd;
  for (int i = 0; i < kClients; ++i) crowd.push_back(x.connect());
  std::vector<Event> all;
  for (ConnId c : crowd) all.push_back(Received{c, frame(c, kBegin)});
  x.node.turn(all);
  EXPECT_FALSE(x.answered(crowd.back()));
  const ConnId other = x.connect();
  ask(other, -1);
  EXPECT_EQ(answer(other).offset, 1);
  EXPECT_FALSE(x.answered(crowd.back()));
  for (ConnId c : crowd) EXPECT_EQ(answer(c).offset, 0);
}

TEST_F(ListOffsets, tell_damage_and_look_at_the_disk_anew) {
  for (int i = 0; i < 5; ++i) write(kBegin + i);
  x.run_for(seconds(1));
  const std::string log = "t-0/00000000000000000000.log";
  const FakeStorage::Content good = *x.node.disk.content(log);
  FakeStorage::Content bad = good;
  bad[1'000] ^= 1;
  x.node.disk.set_content(log, bad);
  ask(client, kBegin);
  EXPECT_EQ(answer(client).error_code, code(ErrorCode::corrupt_message));
  x.node.disk.set_content(log, good);
  EXPECT_EQ(at(kBegin), 0);
}

}  // namespace
}  // namespace klamm::broker
