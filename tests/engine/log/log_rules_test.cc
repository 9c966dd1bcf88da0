#include <gtest/gtest.h>

#include "engine/log/epoch_cache.h"
#include "engine/log/producers.h"
#include "engine/log/rules.h"
#include "engine/log/segment.h"

namespace klamm::log {
namespace {

TEST(LogRules, sequence_admission) {
  constexpr int32_t kMost = 2147483647;
  const ProducerView unknown;
  const ProducerView fresh{true, 3, std::nullopt};  // in epoch 3 by a marker only
  const ProducerView known{true, 3, 9};
  const ProducerView at_end{true, 3, kMost};
  EXPECT_EQ(sequence_admission(unknown, {0, 77}), Admission::accepted);
  EXPECT_EQ(sequence_admission(known, {2, 10}), Admission::invalid_producer_epoch);
  EXPECT_EQ(sequence_admission(known, {3, 10}), Admission::accepted);
  EXPECT_EQ(sequence_admission(known, {3, 9}), Admission::out_of_order_sequence);
  EXPECT_EQ(sequence_admission(known, {3, 11}), Admission::out_of_order_sequence);
  EXPECT_EQ(sequence_admission(known, {4, 0}), Admission::accepted);
  EXPECT_EQ(sequence_admission(known, {4, 10}), Admission::out_of_order_sequence);
  EXPECT_EQ(sequence_admission(fresh, {3, 0}), Admission::accepted);
  EXPECT_EQ(sequence_admission(at_end, {3, 0}), Admission::accepted);
}

TEST(LogRules, roll_before) {
  LogConfig config;
  config.segment_bytes = 1000;
  config.segment_ms = 100;
  config.segment_index_bytes = 80;
  const auto roll = [&](SegmentFill s, BatchFit b) { return roll_before(s, b, config); };
  EXPECT_EQ(roll({.size = 0, .base = 5}, {.size = 5000, .last = 9, .max_timestamp = 10}), Roll::no);
  EXPECT_EQ(roll({.size = 900, .base = 5}, {.size = 100, .last = 9}), Roll::no);
  EXPECT_EQ(roll({.size = 901, .base = 5}, {.size = 100, .last = 9}), Roll::size);
  EXPECT_EQ(roll({.size = 1, .first_timestamp = 50}, {.max_timestamp = 150}), Roll::no);
  EXPECT_EQ(roll({.size = 1, .first_timestamp = 50}, {.max_timestamp = 151}), Roll::age);
  EXPECT_EQ(roll({.size = 1, .created_ms = 7}, {.max_timestamp = 9'999, .now_ms = 107}), Roll::no);
  EXPECT_EQ(roll({.size = 1, .created_ms = 7}, {.max_timestamp = 9'999, .now_ms = 108}), Roll::age);
  EXPECT_EQ(roll({.size = 1, .first_timestamp = 50, .jitter_ms = 30}, {.max_timestamp = 120}), Roll::no);
  EXPECT_EQ(roll({.size = 1, .first_timestamp = 50, .jitter_ms = 30}, {.max_timestamp = 121}), Roll::age);
  config.segment_index_bytes = 83;  // room for ten offsets, six times
  EXPECT_EQ(roll({.size = 1, .index = {9, 4}}, {}), Roll::no);
  EXPECT_EQ(roll({.size = 1, .index = {10, 4}}, {}), Roll::index_full);
  EXPECT_EQ(roll({.size = 1, .index = {9, 5}}, {}), Roll::index_full);
  EXPECT_EQ(roll({.index = {10, 10}}, {}), Roll::no);
  EXPECT_EQ(roll({.size = 0, .base = 5}, {.size = 1, .last = 5 + 2147483647LL}), Roll::no);
  EXPECT_EQ(roll({.size = 0, .base = 5}, {.size = 1, .last = 6 + 2147483647LL}), Roll::offset_overflow);
}

// A producer may write any number as a time.
TEST(LogRules, times_from_outside_do_not_wrap) {
  constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
  LogConfig config;
  EXPECT_EQ(roll_before({.size = 1, .first_timestamp = 50}, {.max_timestamp = kLeast}, config), Roll::no);
  ProducerStates producers;
  producers.restore({{7, {.last_timestamp = kLeast + 1004}}}, 0);
  EXPECT_TRUE(producers.has_expired({.now_ms = 1'700'000'000'000, .after_ms = 86'400'000}));
}

TEST(EpochCache, answers_where_an_epoch_ends) {
  EpochCache c;
  EXPECT_EQ(c.end_offset_for(0, 10), (OffsetAndEpoch{-1, kNoEpoch}));
  EXPECT_TRUE(c.assign({2, 5}));
  EXPECT_TRUE(c.assign({4, 20}));
  EXPECT_FALSE(c.assign({4, 25}));
  EXPECT_EQ(c.end_offset_for(1, 30), (OffsetAndEpoch{5, 1}));  // below all: ends where the first begins
  EXPECT_EQ(c.end_offset_for(2, 30), (OffsetAndEpoch{20, 2}));
  EXPECT_EQ(c.end_offset_for(3, 30), (OffsetAndEpoch{20, 2}));  // the largest epoch not above
  EXPECT_EQ(c.end_offset_for(4, 30), (OffsetAndEpoch{30, 4}));
  EXPECT_EQ(c.end_offset_for(5, 30), (OffsetAndEpoch{-1, kNoEpoch}));
  EXPECT_EQ(c.end_offset_for(-1, 30), (OffsetAndEpoch{-1, kNoEpoch}));
  EXPECT_EQ(c.end_offset_for(-2, 30), (OffsetAndEpoch{5, -2}));  // only -1 stands for none
  EXPECT_EQ(c.epoch_at(4), kNoEpoch);
  EXPECT_EQ(c.epoch_at(5), 2);
  EXPECT_EQ(c.epoch_at(19), 2);
  EXPECT_EQ(c.epoch_at(20), 4);
}

TEST(EpochCache, an_epoch_that_wrote_nothing_gives_way) {
  EpochCache c;
  c.assign({1, 0});
  c.assign({2, 10});
  c.assign({3, 10});
  EXPECT_EQ(c.entries(), (std::vector<EpochEntry>{{1, 0}, {3, 10}}));
}

TEST(EpochCache, truncates_on_both_sides) {
  EpochCache c;
  c.assign({1, 0});
  c.assign({2, 10});
  c.assign({3, 20});
  EXPECT_FALSE(c.truncate_from_end(21));
  EXPECT_TRUE(c.truncate_from_end(20));
  EXPECT_EQ(c.latest(), 2);
  EXPECT_TRUE(c.truncate_from_start(15));
  EXPECT_EQ(c.entries(), (std::vector<EpochEntry>{{2, 15}}));
  EXPECT_FALSE(c.truncate_from_start(15));
  EXPECT_TRUE(c.truncate_from_start(16));
}

BatchHeader from_producer(Offset base, int32_t sequence, ProducerEpoch epoch = 0, int32_t records = 2) {
  BatchHeader h;
  h.base_offset = base;
  h.last_offset_delta = records - 1;
  h.producer_id = 7;
  h.producer_epoch = epoch;
  h.base_sequence = sequence;
  return h;
}

TEST(ProducerStates, know_the_last_five_batches) {
  ProducerStates p;
  for (int32_t i = 0; i < 7; ++i) p.apply({from_producer(10 * i, 2 * i)});
  EXPECT_EQ(p.check(from_producer(0, 14)).admission, Admission::accepted);
  for (int32_t i = 2; i < 7; ++i) {
    const AdmissionResult r = p.check(from_producer(0, 2 * i));
    EXPECT_EQ(r.admission, Admission::duplicate);
    EXPECT_EQ(r.original.first_offset(), 10 * i);
  }
  EXPECT_EQ(p.check(from_producer(0, 2)).admission, Admission::out_of_order_sequence);
  EXPECT_EQ(p.check(from_producer(0, 12, 0, 1)).admission, Admission::out_of_order_sequence);  // not the same range
  EXPECT_EQ(p.check(from_producer(0, 12, 1)).admission, Admission::out_of_order_sequence);
  EXPECT_EQ(p.check(from_producer(0, 0, 1)).admission, Admission::accepted);
}

TEST(ProducerStates, sequences_wrap) {
  constexpr int32_t kMost = 2147483647;
  ProducerStates p;
  p.apply({from_producer(0, kMost)});  // kMost and 0
  EXPECT_EQ(p.find(7)->newest()->last_sequence, 0);
  EXPECT_EQ(p.find(7)->newest()->first_sequence(), kMost);
  EXPECT_EQ(p.check(from_producer(9, kMost)).admission, Admission::duplicate);
  EXPECT_EQ(p.check(from_producer(9, 1)).admission, Admission::accepted);
}

TEST(ProducerStates, a_truncation_takes_back_what_it_can) {
  ProducerStates p;
  p.apply({from_producer(0, 0)});
  const ProducerStates one = p;
  p.apply({from_producer(10, 2)});
  p.apply({from_producer(20, 0, 1)});
  EXPECT_TRUE(p.truncate_to(11));  // inside the second batch: it goes whole
  EXPECT_TRUE(p == one);
  EXPECT_TRUE(p.truncate_to(0));
  EXPECT_EQ(p.find(7), nullptr);
  for (int32_t i = 0; i < 300; ++i) p.apply({from_producer(10 * i, 2 * i)});
  EXPECT_FALSE(p.truncate_to(10));
  EXPECT_TRUE(p.truncate_to(2500));
}

TEST(SegmentIndex, finds_the_batch_before) {
  SegmentIndex index(100);
  BatchHeader h;
  h.length = 200 - 12;
  h.last_offset_delta = 9;
  h.record_count = 10;
  for (int i = 0; i < 20; ++i) {
    h.base_offset = 100 + 10 * i;
    h.max_timestamp = 1000 + i;
    index.add(h, 200 * i, 500);
  }
  ASSERT_EQ(index.offsets().size(), 6u);  // one after each 600 bytes
  EXPECT_EQ(index.offsets()[0], (IndexEntry{39, 600}));
  EXPECT_EQ(index.position_for(100), 0);
  EXPECT_EQ(index.position_for(138), 0);
  EXPECT_EQ(index.position_for(139), 600);
  EXPECT_EQ(index.position_for(1000), 3600);
  EXPECT_EQ(index.offset_before(1003), 100);
  EXPECT_EQ(index.offset_before(1004), 140);
  index.truncate(170, 1400);
  EXPECT_EQ(index.last_position(), 1200);
}

TEST(SegmentFile, names) {
  EXPECT_EQ(segment_file(42, ".log"), "00000000000000000042.log");
  Offset base = 0;
  EXPECT_TRUE(parse_segment_file("00000000000000000042.log", ".log", &base));
  EXPECT_EQ(base, 42);
  EXPECT_TRUE(parse_segment_file("09223372036854775807.log", ".log", &base));
  EXPECT_FALSE(parse_segment_file("09223372036854775808.log", ".log", &base));
  EXPECT_FALSE(parse_segment_file("00000000000000000042.index", ".log", &base));
  EXPECT_FALSE(parse_segment_file("0000000000000000004x.log", ".log", &base));
  EXPECT_FALSE(parse_segment_file("42.log", ".log", &base));
}

}  // namespace
}  // namespace klamm::log
