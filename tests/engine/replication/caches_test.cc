// What all logs of a node keep in memory stays within one budget.
#include "tests/engine/replication/replicas_world.h"

namespace klamm::replication {
namespace {

constexpr int32_t kLogs = 40;
constexpr int64_t kCachesMost = 300'000;

struct Caches : ReplicasWorld, testing::Test {
  Caches() : ReplicasWorld(config(), {{n(1), {10, true}}}) {
    for (int32_t i = 0; i < kLogs; ++i) assign(i);
  }
  static ReplicasConfig config() {
    ReplicasConfig c;
    c.common.self = n(1);
    c.module = 3;
    c.cache_bytes = kCachesMost;
    return c;
  }
  void assign(int32_t partition) {
    Replicas::Wanted w;
    w.id = tp(partition);
    w.topic = "t";
    w.assignment = {1, 1, n(1), ns({1}), ns({1})};
    turn([&](Io& io) { replicas.assign(io, w, out); });
    settle();
  }
  void write(int32_t partition, size_t bytes = 20'000) {
    turn([&](Io& io) {
      ASSERT_TRUE(replicas.append(io.ctx, tp(partition), make_batch(1, std::string(bytes, 'v'))).has_value());
    });
  }
  int64_t kept(int32_t partition) const { return replicas.find(tp(partition))->log().cached_bytes(); }
  int64_t sum() const {
    int64_t bytes = 0;
    for (const auto& [id, p] : replicas.all()) bytes += p->log().cached_bytes();
    return bytes;
  }
  // From disk or memory.
  log::ReadStatus read(int32_t partition) {
    const log::Log& log = replicas.find(tp(partition))->log();
    const auto got = log.read({0, 1'000'000, log.ends().written, true});
    if (got.status != log::ReadStatus::cold) return got.status;
    turn([&](Io& io) { replicas.load_cold(io, tp(partition), got.want); });
    settle();
    return got.status;
  }
};

TEST_F(Caches, are_counted_and_stay_within_the_budget) {
  for (int round = 0; round < 5; ++round)
    for (int32_t i = 0; i < kLogs; ++i) {
      write(i);
      settle();
      EXPECT_EQ(replicas.cached_bytes(), sum());
      ASSERT_LE(sum(), kCachesMost) << "after the write to " << i << " in round " << round;
      EXPECT_GT(sum(), std::min<int64_t>(kCachesMost / 2, 20'000 * (round * kLogs + i))) << "no more than need be";
    }
  for (int32_t i = 0; i < kLogs; ++i) {
    read(i);
    EXPECT_EQ(replicas.cached_bytes(), sum());
    ASSERT_LE(sum(), kCachesMost) << "after the read of " << i;
  }
}

TEST_F(Caches, are_given_back_first_where_nobody_was_lately) {
  for (int32_t i = 0; i < 10; ++i) write(i), settle();
  for (int round = 0; round < 3; ++round)
    for (int32_t i = 10; i < 20; ++i) {
      replicas.note_read(tp(3));
      write(i);
      settle();
    }
  for (int32_t i = 0; i < 10; ++i) EXPECT_EQ(kept(i) > 0, false) << i;  // one batch: half of it is nothing
  for (int i = 0; i < 20; ++i) write(0, 2'000), settle();
  for (int32_t i = 20; i < kLogs; ++i) {
    replicas.note_read(tp(0));
    write(i);
    settle();
  }
  EXPECT_GT(kept(0), 10'000) << "in use";
  EXPECT_EQ(kept(12), 0) << "idle";
}

TEST_F(Caches, hold_what_is_not_written_however_much_that_is) {
  for (int32_t i = 0; i < kLogs; ++i) write(i);
  EXPECT_GT(sum(), 2 * kCachesMost);
  EXPECT_EQ(replicas.cached_bytes(), sum());
  settle();
  EXPECT_LE(sum(), kCachesMost);
  EXPECT_EQ(replicas.cached_bytes(), sum());
}

TEST_F(Caches, go_with_their_log) {
  for (int32_t i = 0; i < kLogs; ++i) write(i), settle();
  for (int32_t i = 0; i < kLogs; ++i) {
    turn([&](Io& io) { replicas.remove(io, tp(i)); });
    settle();
    EXPECT_EQ(replicas.cached_bytes(), sum());
  }
  EXPECT_EQ(replicas.cached_bytes(), 0);
}

TEST_F(Caches, of_cold_reads_are_forgotten_after_a_minute_or_two) {
  write(0);
  write(1);
  settle();
  // Another node's logs would push these out of memory.
  for (int32_t i = 2; i < kLogs; ++i) write(i), settle();
  ASSERT_EQ(kept(0), 0);
  EXPECT_EQ(read(0), log::ReadStatus::cold);
  EXPECT_EQ(read(0), log::ReadStatus::ok);
  EXPECT_GT(kept(0), 0);
  for (int i = 0; i < 13; ++i) pass(seconds(10)), settle();
  EXPECT_EQ(kept(0), 0);
  EXPECT_EQ(replicas.cached_bytes(), sum());
  EXPECT_GT(kept(kLogs - 1), 0) << "tails stay";
  EXPECT_EQ(read(0), log::ReadStatus::cold);
}

// Each reads up to a MiB at a time.
struct Opening : ReplicasWorld, testing::Test {
  Opening() : ReplicasWorld(Caches::config(), {{n(1), {10, true}}}) {
    for (int32_t i = 0; i < kMany; ++i) {
      Replicas::Wanted w;
      w.id = tp(i);
      w.topic = "t";
      w.assignment = {1, 1, n(1), ns({1}), ns({1})};
      turn([&](Io& io) { replicas.assign(io, w, out); });
    }
  }
  static constexpr int32_t kMany = 500;
  static constexpr size_t kAtOnce = 128;
};

TEST_F(Opening, takes_a_bounded_number_of_logs_at_a_time) {
  EXPECT_LE(disk.ready(), kAtOnce);
  turn([&](Io& io) {
    replicas.remove(io, tp(0));          // it opens
    replicas.remove(io, tp(kMany - 1));  // it waits
  });
  while (step()) ASSERT_LE(disk.ready(), 2 * kAtOnce);
  EXPECT_TRUE(replicas.all_open());
  EXPECT_EQ(replicas.all().size(), static_cast<size_t>(kMany) - 2);
  for (const auto& [id, p] : replicas.all()) EXPECT_TRUE(p->log().ready());
}

TEST_F(Opening, an_end_does_not_wait_for_those_that_have_not_begun) {
  turn([&](Io& io) { replicas.close_all(io); });
  for (int i = 0; i < 10; ++i) pass(Duration{}), settle();
  EXPECT_TRUE(replicas.all_closed());
  EXPECT_FALSE(replicas.all_open());
}

}  // namespace
}  // namespace klamm::replication
