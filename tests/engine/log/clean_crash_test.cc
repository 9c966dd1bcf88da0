// Compaction on a disk that forgets: whatever a crash leaves is the log before it, after it, or in between two of its
// groups; and a failed operation loses nothing.
#include <gtest/gtest.h>

#include "tests/engine/log/keyed_world.h"

namespace klamm::log {
namespace {

struct CleanStory {
  explicit CleanStory(uint64_t seed) : rng{seed} {
    k.by.keys_bytes = rng.chance(30) ? 256 * 8 * 24 : 1 << 20;
    k.w.options.config.segment_bytes = rng.chance(50) ? 3'000 : 900;
  }
  void run(int steps) {
    k.open();
    for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) one();
    k.w.settle(&rng);
    k.note_cleaned();
    k.check(k.read(&rng));
    k.check_transactions(&rng);
  }
  void one() {
    const uint64_t what = rng.below(100);
    if (what < 35) return append();
    if (what < 42) return k.w.flush();
    if (what < 46) return k.w.sync();
    if (what < 74) {
      for (uint64_t n = rng.below(12); n > 0; --n) k.w.step(rng.next());
      return;
    }
    if (what < 80) return k.checkpoint();
    if (what < 88) return clean();
    if (what < 90) return truncate();
    if (what < 91) return k.w.turn([&](Io&) { k.w.log.drop_caches(); });
    if (what < 93) return k.check(k.read(&rng)), k.check_transactions(&rng);
    if (what < 95) return restart_in_order();
    if (what < 96) return k.w.turn([&](Io& io) { k.w.log.mark(io); });
    crash();
  }
  void append() {
    for (uint64_t n = 1 + rng.below(5); n > 0; --n) {
      if (rng.chance(5)) ++k.epoch;
      k.producer = rng.chance(50) ? static_cast<ProducerId>(rng.below(3)) : -1;
      k.transactional = transactions && rng.chance(40);
      if (k.transactional) {
        k.producer = static_cast<ProducerId>(10 + rng.below(3));
        if (rng.chance(50)) {
          k.end(k.producer, rng.chance(50));
          continue;
        }
      }
      std::vector<KeyedRecord> records;
      for (uint64_t r = 1 + rng.below(4); r > 0; --r) {
        KeyedRecord x{"k" + std::to_string(rng.below(12)), std::string(rng.below(200), 'v')};
        if (rng.chance(20)) x.value.reset();
        if (rng.chance(5)) x.key.reset();
        records.push_back(x);
      }
      k.append(records, static_cast<protocol::Compression>(rng.below(5)));
    }
    k.w.world.wall.ms += static_cast<int64_t>(rng.below(200));
  }
  void clean() {
    k.note_cleaned();
    const Offset written = k.w.log.ends().written;
    if (rng.chance(70)) k.high_watermark = std::max(k.high_watermark, written);
    k.clean();
  }
  void truncate() {
    const Offset end = k.w.log.ends().submitted;
    const Offset to = std::max(k.high_watermark, end - static_cast<Offset>(rng.below(20)));
    if (to > end) return;
    k.w.turn([&](Io& io) { k.w.log.truncate_to(io, to); });
    k.w.settle(&rng);
    ASSERT_TRUE(k.w.log.ready());
    k.forget_from(k.w.log.ends().submitted);
    k.high_watermark = std::min(k.high_watermark, k.w.log.ends().submitted);
    k.checkpoint();
  }
  void restart_in_order() {
    const auto epochs = k.w.log.epochs().entries();
    k.w.turn([&](Io& io) { k.w.closed = k.w.log.close(io); });
    k.w.settle(&rng);
    ASSERT_TRUE(k.w.closed);
    k.w.closed = false;
    k.note_cleaned();
    k.noted = k.w.log.recovery_point();
    k.w.restart({k.noted, 0, true, k.w.log.cleaned_to()});
    k.w.settle(&rng);
    ASSERT_TRUE(k.w.log.ready());
    EXPECT_EQ(k.w.log.epochs().entries(), epochs);
  }
  void crash() {
    const bool all = rng.chance(20), none = rng.chance(20);
    const auto choose = [&](uint64_t n) { return none ? 0 : all ? n - 1 : rng.below(n); };
    const auto epochs = k.w.log.epochs();
    const Offset point = rng.chance(50) ? k.w.log.recovery_point() : k.noted;
    const Offset cleaned_to = rng.chance(50) ? k.w.log.cleaned_to() : 0;
    k.crash(rng.chance(60), choose, {point, 0, false, cleaned_to}, &rng);
    EpochCache known = epochs;
    known.truncate_from_end(k.w.log.ends().submitted);
    if (k.w.log.ends().submitted > 0) {
      EXPECT_EQ(k.w.log.epochs().entries(), known.entries());
    }
  }
  Rng rng;
  KeyedWorld k;
  bool transactions = false;
};

TEST(LogCleanCrash, any_story_shows_each_keys_last_value) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    CleanStory(seed).run(150);
    if (testing::Test::HasFailure()) break;
  }
}

TEST(LogCleanCrash, any_story_with_transactions_shows_what_was_committed) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    CleanStory story(seed);
    story.transactions = true;
    story.run(150);
    if (testing::Test::HasFailure()) break;
  }
}

// Two cleanings; the second finds what the first has left.
struct TwoCleanings {
  KeyedWorld k;
  void fill(int from) {
    for (int i = from; i < from + 40 && k.w.log.ready(); ++i) {
      k.epoch = 1 + i / 15;
      k.transactional = i % 3 == 0;
      k.producer = k.transactional ? 20 : 7;
      if (i % 6 == 5) k.end(20, i % 12 == 5);
      KeyedRecord r{"key" + std::to_string(i % 6), std::string(400, 'v')};
      if (i % 8 == 5) r.value.reset();
      k.append({r, {"own" + std::to_string(i % 9), "x"}});
    }
    if (k.w.log.ready()) k.checkpoint();
  }
  void begin_clean() {
    if (!k.w.log.ready()) return;
    k.high_watermark = k.w.log.ends().written;
    k.w.world.wall.ms += 2'000;
    k.clean();
  }
  void prepare() {
    k.open();
    fill(0);
    begin_clean();
    k.w.settle();
    k.note_cleaned();
    fill(40);
  }
};

TEST(LogCleanCrash, at_each_moment_of_a_cleaning) {
  for (uint64_t how = 0; how < 4; ++how)
    for (uint64_t steps = 1;; ++steps) {
      SCOPED_TRACE(how);
      SCOPED_TRACE(steps);
      TwoCleanings story;
      KeyedWorld& k = story.k;
      story.prepare();
      story.begin_clean();
      ASSERT_TRUE(k.w.log.cleaning());
      Rng rng{steps * 4 + how};
      for (uint64_t i = 0; i < steps && k.w.log.cleaning(); ++i) k.w.step(how == 3 ? rng.next() : 0);
      const bool over = !k.w.log.cleaning();
      const auto choose = [&](uint64_t n) { return how == 0 ? 0 : how == 1 ? n - 1 : rng.below(n); };
      k.crash(true, choose, {k.noted, 0, false, k.w.log.cleaned_to()});
      EXPECT_TRUE(k.files(".swap").empty());
      const int64_t left = k.w.log.size_bytes();
      story.fill(80);
      k.clean_all();
      EXPECT_GT(left, 0);
      k.check(k.read());
      k.check_transactions();
      EXPECT_TRUE(k.files(".cleaned").empty());
      if (testing::Test::HasFailure()) return;
      if (over) break;
      ASSERT_LT(steps, 10'000u);
    }
}

TEST(LogCleanCrash, any_failed_operation_loses_nothing) {
  for (uint64_t f = 1;; ++f) {
    SCOPED_TRACE(f);
    TwoCleanings story;
    KeyedWorld& k = story.k;
    story.prepare();
    const uint64_t before = k.w.disk.ended();
    k.w.disk.fail_in(f);
    story.begin_clean();
    k.w.settle();
    const bool happened = k.w.disk.ended() >= before + f;
    if (happened && k.w.failed == IoError::none) {  // a read that failed is told, and it can be tried again
      ASSERT_TRUE(k.w.cleaned.has_value());
    }
    k.w.disk.fail_in(0);
    k.crash(true, [](uint64_t) { return 0; }, {k.noted, 0, false, k.cleaned_least});
    story.fill(80);
    k.clean_all();
    k.check(k.read());
    k.check_transactions();
    if (!happened || testing::Test::HasFailure()) break;
    ASSERT_LT(f, 10'000u);
  }
}

// As Kafka leaves it where its renames were cut off: then all old files are there still.
TEST(LogCleanCrash, a_swap_file_beside_a_cleaned_one_is_not_believed) {
  TwoCleanings story;
  KeyedWorld& k = story.k;
  story.prepare();
  const KeyedRecords before = k.read();
  const std::string second = k.files(".log")[1].substr(0, 20);
  k.w.disk.set_content("orders-5/" + second + ".log.swap", {1, 2, 3});
  k.w.disk.set_content("orders-5/" + second + ".index.cleaned", {});
  k.w.disk.kill([](uint64_t) { return 0; });
  k.w.restart({k.noted, 0});
  k.w.settle();
  ASSERT_TRUE(k.w.log.ready());
  EXPECT_EQ(k.read(), before);
  EXPECT_TRUE(k.files(".swap").empty() && k.files(".cleaned").empty());
}

}  // namespace
}  // namespace klamm::log
