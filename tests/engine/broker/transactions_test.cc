// A broker whose log holds transactions that another one has written: what it shows of them, and to whom.
#include "engine/protocol/batch_builder.h"
#include "engine/protocol/messages/delete_records.h"
#include "engine/protocol/messages/describe_producers.h"
#include "engine/protocol/messages/fetch.h"
#include "engine/protocol/messages/list_offsets.h"
#include "engine/protocol/messages/produce.h"
#include "tests/engine/broker/wired_node.h"

namespace klamm::broker {
namespace {

constexpr int16_t kFetchAt = 12, kListAt = 7;
constexpr int64_t kTime = 1'700'000'000'000;

// Offsets 0 before; 1 of producer 5, aborted by 3; 2 of producer 6, open; 4 of producer 5, committed by 5.
class Transactions : public testing::Test {
 protected:
  Transactions() {
    x.boot();
    client = x.connect();
    x.create_topic(client, "t");
    produce_one();
    x.stop();
    const std::string log = "t-0/00000000000000000000.log";
    FakeStorage::Content content = *x.node.disk.content(log);
    const auto append = [&](const Slice& b) { content.insert(content.end(), b.data(), b.data() + b.size()); };
    append(data(1, 5, 0)), append(data(2, 6, 0)), append(marker(3, 5, false));
    append(data(4, 5, 1)), append(marker(5, 5, true));
    x.node.disk.set_content(log, content);
    x.boot();
    x.run_for(seconds(1));
    client = x.connect();
  }
  static protocol::BatchBuilder::Options of(Offset at, ProducerId id) {
    protocol::BatchBuilder::Options o;
    o.base_offset = at, o.leader_epoch = 0, o.producer_id = id, o.producer_epoch = 2, o.transactional = true;
    return o;
  }
  static Slice data(Offset at, ProducerId id, int32_t sequence) {
    auto o = of(at, id);
    o.base_sequence = sequence;
    protocol::BatchBuilder b(o);
    b.add_value(kTime + at, as_bytes("value"));
    return b.finish();
  }
  static Slice marker(Offset at, ProducerId id, bool commit) {
    auto o = of(at, id);
    o.control = true;
    protocol::BatchBuilder b(o);
    constexpr uint8_t kValue[] = {0, 0, 0, 0, 0, 9};
    b.add_control(commit ? protocol::ControlType::commit : protocol::ControlType::abort, kTime + at, kValue);
    return b.finish();
  }
  void produce_one() {
    const ConnId other = x.connect();
    protocol::BatchBuilder b;
    b.add_value(kTime, as_bytes("plain"));
    protocol::ProduceRequest m;
    m.acks = -1, m.timeout_ms = 1'000;
    auto& topic = m.topic_data.add(x.arena());
    topic.name = "t";
    const Slice batch = b.finish();
    auto& p = topic.partition_data.add(x.arena());
    p.records = protocol::Records::of(batch.span());
    x.ask(other, 9, m);
    x.run_for(milliseconds(100));
    EXPECT_EQ(x.take<protocol::ProduceResponse>(other, 9).responses[0].partition_responses[0].error_code, 0);
  }
  void ask_fetch(int8_t isolation, Offset from) {
    protocol::FetchRequest m;
    m.max_wait_ms = 500, m.min_bytes = 1, m.max_bytes = 1 << 20, m.isolation_level = isolation, m.session_epoch = -1;
    m.replica_id = -1;
    auto& topic = m.topics.add(x.arena());
    topic.topic = "t";
    auto& p = topic.partitions.add(x.arena());
    p.fetch_offset = from, p.partition_max_bytes = 1 << 20, p.current_leader_epoch = -1;
    x.ask(client, kFetchAt, m);
  }
  protocol::FetchResponse::PartitionData fetched() {
    x.run_for(seconds(1), [&] { return x.answered(client); });
    return x.take<protocol::FetchResponse>(client, kFetchAt).responses[0].partitions[0];
  }
  Offset list(int8_t isolation, int64_t timestamp) {
    protocol::ListOffsetsRequest m;
    m.replica_id = -1, m.isolation_level = isolation;
    auto& topic = m.topics.add(x.arena());
    topic.name = "t";
    auto& p = topic.partitions.add(x.arena());
    p.timestamp = timestamp, p.current_leader_epoch = -1;
    x.ask(client, kListAt, m);
    x.run_for(milliseconds(100), [&] { return x.answered(client); });
    return x.take<protocol::ListOffsetsResponse>(client, kListAt).topics[0].partitions[0].offset;
  }
  static Offset last_of(const protocol::FetchResponse::PartitionData& p) {
    Offset last = -1;
    for (protocol::BatchCursor c(p.records.span()); c.next();)
      last = protocol::read_batch_header(c.batch().data()).last_offset();
    return last;
  }

  WiredNode x;
  ConnId client;
};

TEST_F(Transactions, who_reads_what_is_committed_gets_what_is_decided_and_what_of_it_was_aborted) {
  ask_fetch(0, 0);
  const auto all = fetched();
  EXPECT_EQ(all.high_watermark, 6);
  EXPECT_EQ(all.last_stable_offset, 2);
  EXPECT_TRUE(all.aborted_transactions.is_null());
  EXPECT_EQ(last_of(all), 5);
  ask_fetch(1, 0);
  const auto decided = fetched();
  EXPECT_EQ(decided.high_watermark, 6);
  EXPECT_EQ(decided.last_stable_offset, 2);
  EXPECT_EQ(last_of(decided), 1);
  ASSERT_EQ(decided.aborted_transactions.size(), 1u);
  EXPECT_EQ(decided.aborted_transactions[0].producer_id, 5);
  EXPECT_EQ(decided.aborted_transactions[0].first_offset, 1);
}

TEST_F(Transactions, offsets_end_where_an_open_one_begins) {
  EXPECT_EQ(list(0, -1), 6);
  EXPECT_EQ(list(1, -1), 2);
  EXPECT_EQ(list(1, -2), 0);
  EXPECT_EQ(list(0, kTime + 4), 4);
  EXPECT_EQ(list(1, kTime + 4), -1);
  EXPECT_EQ(list(1, kTime + 1), 1);
  EXPECT_EQ(list(0, kTime + 5), 5);  // a marker counts, as with Kafka
  EXPECT_EQ(list(0, -3), 5);
  EXPECT_EQ(list(1, -3), -1);
}

TEST_F(Transactions, a_fetch_that_waits_for_what_is_decided_is_not_woken_by_what_is_not) {
  ask_fetch(1, 2);
  x.run_for(milliseconds(50));
  produce_one();  // the high watermark moves
  EXPECT_FALSE(x.answered(client));
  const auto nothing = fetched();
  EXPECT_EQ(nothing.high_watermark, 7);
  EXPECT_EQ(nothing.last_stable_offset, 2);
  EXPECT_EQ(nothing.records.size, 0u);
  EXPECT_EQ(nothing.aborted_transactions.size(), 0u);
  EXPECT_FALSE(nothing.aborted_transactions.is_null());
}

// As Kafka, whose DeleteRecords stops at the high watermark only.
TEST_F(Transactions, deleted_records_take_an_open_one_along) {
  ask_fetch(1, 2);
  x.run_for(milliseconds(50));
  const ConnId other = x.connect();
  protocol::DeleteRecordsRequest m;
  m.timeout_ms = 1'000;
  auto& topic = m.topics.add(x.arena());
  topic.name = "t";
  topic.partitions.add(x.arena()).offset = 4;
  x.ask(other, 2, m);
  x.run_for(milliseconds(50));
  EXPECT_EQ(x.take<protocol::DeleteRecordsResponse>(other, 2).topics[0].partitions[0].low_watermark, 4);
  ASSERT_TRUE(x.answered(client));
  EXPECT_EQ(fetched().error_code, code(ErrorCode::offset_out_of_range));
  EXPECT_EQ(list(1, -1), 4);
}

TEST_F(Transactions, producers_are_described_with_their_transaction) {
  protocol::DescribeProducersRequest m;
  auto& topic = m.topics.add(x.arena());
  topic.name = "t";
  topic.partition_indexes.add(x.arena()) = 0;
  x.ask(client, 0, m);
  x.run_for(milliseconds(50));
  const auto told = x.take<protocol::DescribeProducersResponse>(client, 0);
  const auto& producers = told.topics[0].partitions[0].active_producers;
  ASSERT_EQ(producers.size(), 2u);
  EXPECT_EQ(producers[0].producer_id, 5);
  EXPECT_EQ(producers[0].coordinator_epoch, 9);
  EXPECT_EQ(producers[0].current_txn_start_offset, -1);
  EXPECT_EQ(producers[0].last_sequence, 1);
  EXPECT_EQ(producers[1].producer_id, 6);
  EXPECT_EQ(producers[1].coordinator_epoch, -1);
  EXPECT_EQ(producers[1].current_txn_start_offset, 2);
}

}  // namespace
}  // namespace klamm::broker
