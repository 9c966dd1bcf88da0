// What a log keeps to spare reads from disk, and when it lets that go.
#include "tests/engine/log/log_world.h"

namespace klamm::log {
namespace {

struct LogCaches : testing::Test {
  LogCaches() {
    w.options.tail_bytes = 1 << 20;
    w.restart();
    w.settle();
  }
  void write(int batches) {
    for (int i = 0; i < batches; ++i) w.append({.value_bytes = 1'000}, 1);
    w.flush();
    w.settle();
  }
  uint64_t reads() const { return w.world.trace.probes[static_cast<size_t>(Probe::cold_read)]; }
  LogWorld w;
};

TEST_F(LogCaches, give_back_half_of_a_tail_in_use_and_all_of_one_that_rests) {
  EXPECT_EQ(w.log.cached_bytes(), 0);
  write(60);
  const int64_t all = w.log.cached_bytes();
  EXPECT_GT(all, 60'000);
  EXPECT_TRUE(w.log.used());
  w.log.give_back();
  EXPECT_FALSE(w.log.used());
  EXPECT_LE(w.log.cached_bytes(), all / 2);
  EXPECT_GT(w.log.cached_bytes(), all / 3);
  EXPECT_EQ(w.log.read({59, 5'000, 60, true}).status, ReadStatus::ok) << "the newest stay";
  EXPECT_EQ(w.log.read({0, 5'000, 60, true}).status, ReadStatus::cold);
  w.log.give_back();
  EXPECT_EQ(w.log.cached_bytes(), 0);
  EXPECT_EQ(w.read_all(0).batches, w.model.batches);
}

TEST_F(LogCaches, what_is_not_written_is_never_given_back) {
  for (int i = 0; i < 5; ++i) w.append({.value_bytes = 1'000}, 1);
  const int64_t all = w.log.cached_bytes();
  w.log.give_back();
  w.log.give_back();
  EXPECT_EQ(w.log.cached_bytes(), all);
  w.flush();
  w.settle();
  w.log.give_back();
  EXPECT_EQ(w.log.cached_bytes(), 0);
  EXPECT_EQ(w.read_all(0).batches, w.model.batches);
}

TEST_F(LogCaches, what_cold_reads_left_is_forgotten_once_nobody_uses_it) {
  write(60);
  w.log.drop_caches();
  EXPECT_EQ(w.read_all(0).batches, w.model.batches);
  const int64_t kept = w.log.cached_bytes();
  EXPECT_GT(kept, 60'000);
  const uint64_t before = reads();
  EXPECT_TRUE(w.log.used());
  w.log.forget_unused();
  EXPECT_EQ(w.log.cached_bytes(), kept);
  EXPECT_EQ(w.read_at(0).status, ReadStatus::ok);
  EXPECT_EQ(reads(), before) << "it was still in memory";
  w.log.note_use();
  w.log.forget_unused();
  EXPECT_EQ(w.log.cached_bytes(), kept);
  EXPECT_TRUE(w.log.forgets());
  w.log.forget_unused();
  EXPECT_EQ(w.log.cached_bytes(), 0);
  EXPECT_FALSE(w.log.forgets());
  EXPECT_EQ(w.read_at(0).status, ReadStatus::ok);
  EXPECT_GT(reads(), before);
}

TEST_F(LogCaches, a_tail_outlives_rest) {
  write(60);
  const int64_t all = w.log.cached_bytes();
  w.log.forget_unused();
  w.log.forget_unused();
  EXPECT_EQ(w.log.cached_bytes(), all);
}

TEST_F(LogCaches, what_producers_displaced_below_the_high_watermark_is_forgotten) {
  for (int i = 0; i < 100; ++i) w.append({.producer_id = i % 7, .producer_epoch = 0, .base_sequence = i / 7}, 1);
  w.flush();
  w.settle();
  EXPECT_EQ(w.log.producers().undoable(), 100u);
  w.log.note_high_watermark(90);
  EXPECT_EQ(w.log.producers().undoable(), 10u);
  w.turn([&](Io& io) { w.log.truncate_to(io, 90); });  // as far as a truncation goes
  w.model.truncate(90);
  EXPECT_TRUE(w.log.ready()) << "from memory";
  EXPECT_EQ(w.log.producers().undoable(), 0u);
  w.settle();
  w.check_derived(w.model);
  w.turn([&](Io& io) { w.log.truncate_to(io, 50); });  // after an unclean election deeper: the states are read again
  w.model.truncate(50);
  w.settle();
  EXPECT_TRUE(w.log.ready());
  w.check_derived(w.model);
}

}  // namespace
}  // namespace klamm::log
