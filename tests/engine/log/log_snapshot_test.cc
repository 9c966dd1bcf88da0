// Producer snapshots: Kafka's bytes, and what a restart need not read any more.
#include <gtest/gtest.h>

#include "engine/log/producer_snapshot.h"
#include "tests/engine/log/log_world.h"

namespace klamm::log {
namespace {

BatchSpec idempotent(int n, ProducerId id = 7) {
  return {.records = 2, .value_bytes = 500, .producer_id = id, .producer_epoch = 3, .base_sequence = 2 * n};
}

TEST(ProducerSnapshot, holds_what_kafka_reads) {
  std::map<ProducerId, ProducerEntry> one;
  ProducerEntry& e = one[7];
  e.epoch = 3, e.count = 1, e.last_timestamp = 0x0102, e.batches[0] = {9, 1, 41, 0x0102};
  const Slice file = encode_producer_snapshot(one);
  const std::vector<uint8_t> body = {
      0,    0,    0,    1,                                                          // entries
      0,    0,    0,    0,    0,    0,    0,    7,   0,    3,    0,    0,    0, 9,  // id, epoch, last sequence
      0,    0,    0,    0,    0,    0,    0,    41,  0,    0,    0,    1,           // last offset, offset delta
      0,    0,    0,    0,    0,    0,    1,    2,   0xff, 0xff, 0xff, 0xff,        // timestamp, coordinator epoch
      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};                              // no open transaction
  ASSERT_EQ(file.size(), 6 + body.size());
  EXPECT_TRUE(std::equal(body.begin(), body.end(), file.data() + 6));
  EXPECT_EQ(file.data()[1], 1);
  EXPECT_EQ(parse_producer_snapshot(file.span()).value(), one);
  for (size_t i = 0; i < file.size(); ++i) {
    std::vector<uint8_t> bytes(file.data(), file.data() + file.size());
    bytes[i] ^= 4;
    EXPECT_FALSE(parse_producer_snapshot(bytes)) << i;
    bytes.resize(i);
    EXPECT_FALSE(parse_producer_snapshot(bytes)) << i;
  }
}

TEST(ProducerSnapshot, remembers_five_batches_of_each_and_fences) {
  ProducerStates states;
  for (int i = 0; i < 9; ++i)
    for (const ProducerId id : {5, 8}) {
      const Slice b = make_batch(idempotent(i, id), {4 * i + (id == 8 ? 2 : 0), 1});
      states.apply({protocol::read_batch_header(b.data())});
    }
  EXPECT_EQ(parse_producer_snapshot(encode_producer_snapshot(states.entries()).span()).value(), states.entries());
}

TEST(ProducerSnapshot, a_silent_producer_is_forgotten_unless_its_transaction_is_open) {
  ProducerStates states;
  std::map<ProducerId, ProducerEntry> all;
  all[1].last_timestamp = 1'000, all[2].last_timestamp = 1'001, all[3].last_timestamp = 0;
  all[3].transaction_first = 12;
  states.restore(all, 50);
  EXPECT_FALSE(states.has_expired({1'999, 1'000}));
  EXPECT_TRUE(states.has_expired({2'000, 1'000}));
  states.expire({2'000, 1'000});
  EXPECT_EQ(states.find(1), nullptr);
  EXPECT_NE(states.find(2), nullptr);
  EXPECT_NE(states.find(3), nullptr);
}

// A log of several segments whose producer is known; damage in its first segment tells whether that was read.
struct Restarted : testing::Test {
  Restarted() {
    w.restart();
    w.settle();
    for (int i = 0; i < 60; ++i) {
      w.append(idempotent(i), 1 + i / 20);
      w.flush();
      w.settle();
    }
  }
  void damage_first_segment() {
    const std::string path = "orders-5/" + segment_file(0, ".log");
    std::vector<uint8_t> bytes = *w.disk.content(path);
    bytes[bytes.size() / 2] ^= 1;
    w.disk.set_content(path, bytes);
  }
  void again(const OpenFrom& from) {
    w.restart(from);
    w.settle();
    ASSERT_TRUE(w.log.ready());
  }
  AdmissionResult resend(int n) const {
    return w.log.producers().check(protocol::read_batch_header(make_batch(idempotent(n)).data()));
  }
  void expect_all() {
    EXPECT_EQ(w.log.ends().submitted, 120);
    w.check_derived(w.model);
    EXPECT_EQ(resend(55).admission, Admission::duplicate);
    EXPECT_EQ(resend(55).original.first_offset(), 110);
    EXPECT_EQ(resend(60).admission, Admission::accepted);
    EXPECT_EQ(resend(61).admission, Admission::out_of_order_sequence);
  }
  LogWorld w;
};

TEST_F(Restarted, an_orderly_end_leaves_its_producers) {
  w.turn([&](Io& io) { w.log.close(io); });
  w.settle();
  ASSERT_TRUE(w.closed);
  EXPECT_NE(w.disk.content("orders-5/" + segment_file(120, ".snapshot")), nullptr);
  damage_first_segment();
  again({w.log.recovery_point(), 0, true});
  expect_all();
  EXPECT_EQ(w.log.ends().synced, 120);
}

// The end of a small last segment is not synced together with what only spares reading it.
TEST_F(Restarted, after_an_orderly_end_a_loss_of_power_takes_nothing) {
  w.turn([&](Io& io) { w.log.close(io); });
  w.settle();
  ASSERT_TRUE(w.closed);
  const OpenFrom from{w.log.recovery_point(), 0, true};
  const FakeStorage closed = w.disk;
  Rng rng{11};
  for (int i = 0; i < 100 && !HasFailure(); ++i) {
    w.disk = closed;
    w.disk.lose_power([&](uint64_t n) { return i == 0 ? 0 : rng.below(n); });
    again(from);
    expect_all();
    EXPECT_EQ(w.log.ends().synced, 120);
    EXPECT_EQ(w.log.dropped_bytes(), 0);
  }
}

// The close wants a checkpoint of its own; when the one before it has ended nothing else is under way.
TEST_F(Restarted, a_close_behind_a_checkpoint_ends) {
  w.append(idempotent(60), 9);
  w.turn([&](Io& io) { w.log.checkpoint(io); });
  w.append(idempotent(61), 9);
  w.sync();
  while (w.log.ends().synced < w.log.ends().submitted && w.step(0)) {
  }
  w.turn([&](Io& io) { w.log.close(io); });
  w.settle();
  EXPECT_TRUE(w.closed);
}

TEST_F(Restarted, after_a_crash_only_what_is_behind_the_newest_snapshot_is_read) {
  const Offset recovery_point = w.log.recovery_point();
  ASSERT_GT(recovery_point, 60);
  damage_first_segment();
  w.disk.lose_power([](uint64_t n) { return n - 1; });
  again({recovery_point, 0});
  expect_all();
  w.disk.kill([](uint64_t) { return 0; });
  again({0, 0});  // unless nobody knows up to where it was durable
  EXPECT_LT(w.log.ends().submitted, 40);
}

// Its records are gone, so that only the snapshot knows what was written; no checkpoint tells how far it is durable.
TEST_F(Restarted, producers_outlive_all_their_records) {
  w.options.config.retention_bytes = 0;
  w.log.set_config(w.options.config);
  w.turn([&](Io& io) { w.log.retain(io, {120, true}); });
  w.sync();
  w.settle();
  ASSERT_EQ(w.log.ends().log_start, 120);
  w.disk.lose_power([](uint64_t n) { return n - 1; });
  again({0, 0});
  EXPECT_EQ(w.log.ends().submitted, 120);
  EXPECT_EQ(resend(59).admission, Admission::duplicate);
  EXPECT_EQ(resend(60).admission, Admission::accepted);
  EXPECT_EQ(resend(61).admission, Admission::out_of_order_sequence);
}

// Kafka removes and writes these files as it likes: any that cannot be read is done without.
TEST_F(Restarted, a_damaged_snapshot_is_done_without) {
  w.turn([&](Io& io) { w.log.close(io); });
  w.settle();
  for (const std::string& name : w.disk.names("orders-5"))
    if (name.ends_with(".snapshot")) w.disk.set_content("orders-5/" + name, {0, 1, 2});
  again({w.log.recovery_point(), 0, true});
  expect_all();
}

TEST_F(Restarted, a_truncation_takes_the_snapshots_above_it_first) {
  std::vector<Offset> above;
  Offset base = 0;
  for (const std::string& name : w.disk.names("orders-5"))
    if (parse_segment_file(name, ".snapshot", &base) && base > 40) above.push_back(base);
  ASSERT_GT(above.size(), 1u);
  w.turn([&](Io& io) { w.log.truncate_to(io, 40); });
  w.model.truncate(40);
  w.settle();
  for (const Offset at : above) EXPECT_EQ(w.disk.content("orders-5/" + segment_file(at, ".snapshot")), nullptr);
  for (int i = 20; i < 70; ++i) w.append(idempotent(i, 9), 9);  // another producer, other batches of other sizes
  w.flush();
  w.settle();
  again({120, 0});
  w.check_derived(w.model);
}

}  // namespace
}  // namespace klamm::log
