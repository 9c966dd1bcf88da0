// Retention against Kafka's own way of saying it: three rounds over the segments that the disk shows.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "engine/log/rules.h"
#include "tests/engine/log/log_world.h"

namespace klamm::log {
namespace {

TEST(LogRules, expiry_of) {
  LogConfig config;
  config.retention_bytes = 1'000;
  config.retention_ms = 100;
  RetentionView log{.log_start = 20, .high_watermark = 50, .log_bytes = 1'500, .now_ms = 500, .policy = true};
  const auto expiry = [&](SegmentAge s) { return expiry_of(s, log, config); };
  EXPECT_EQ(expiry({.end = 20, .bytes = 1'500, .newest = 500}), Expiry::start);
  EXPECT_EQ(expiry({.end = 21, .bytes = 501, .newest = 500}), Expiry::no);
  EXPECT_EQ(expiry({.end = 21, .bytes = 500, .newest = 500}), Expiry::size);
  EXPECT_EQ(expiry({.end = 21, .bytes = 501, .newest = 400}), Expiry::no);
  EXPECT_EQ(expiry({.end = 21, .bytes = 501, .newest = 399}), Expiry::age);
  EXPECT_EQ(expiry({.end = 50, .bytes = 501, .newest = 399, .active = true}), Expiry::age);
  EXPECT_EQ(expiry({.end = 51, .bytes = 500, .newest = 399}), Expiry::no);
  EXPECT_EQ(expiry({.end = 50, .bytes = 0, .newest = 399, .active = true}), Expiry::no);
  EXPECT_EQ(expiry({.end = 21, .bytes = 501, .newest = 900}), Expiry::no);  // from the future
  log.policy = false;
  EXPECT_EQ(expiry({.end = 21, .bytes = 500, .newest = 399}), Expiry::no);
  EXPECT_EQ(expiry({.end = 20, .bytes = 500, .newest = 399}), Expiry::start);
  log.policy = true;
  config.deletes = false;
  EXPECT_EQ(expiry({.end = 21, .bytes = 500, .newest = 399}), Expiry::no);
}

struct OnDisk {
  Offset base = 0;
  int64_t size = 0, newest = -1;
};

// The segments that `w` shows, all written.
std::vector<OnDisk> segments_on(const LogWorld& w) {
  std::vector<OnDisk> all;
  for (const std::string& name : w.disk.names("orders-5")) {
    OnDisk s;
    if (!parse_segment_file(name, ".log", &s.base)) continue;
    const auto& bytes = *w.disk.content("orders-5/" + name);
    s.size = static_cast<int64_t>(bytes.size());
    for (protocol::BatchCursor cursor(bytes); cursor.next();)
      s.newest = std::max(s.newest, protocol::read_batch_header(cursor.batch().data()).max_timestamp);
    all.push_back(s);
  }
  return all;
}

// As Kafka does it: by log start, then by size, then by age; each takes segments from the front until one stays.
Offset kafkas_start(std::vector<OnDisk> all, const LogWorld& w, Offset high_watermark) {
  const LogConfig& c = w.options.config;
  const Offset end = w.log.ends().submitted;
  const auto next = [&] { return all.size() > 1 ? all[1].base : end; };
  const auto round = [&](auto&& expired) {
    while (!all.empty() && high_watermark >= next() && !(all.size() == 1 && all[0].size == 0) && expired())
      all.erase(all.begin());
  };
  round([&] { return all.size() > 1 && all[1].base <= w.log.ends().log_start; });
  int64_t over = -c.retention_bytes;
  for (const OnDisk& s : all) over += s.size;
  if (c.retention_bytes >= 0)
    round([&] {
      if (over < all[0].size) return false;
      over -= all[0].size;
      return true;
    });
  if (c.retention_ms >= 0) round([&] { return w.world.wall.ms - all[0].newest > c.retention_ms; });
  return std::max(w.log.ends().log_start, all.empty() ? end : all[0].base);
}

RC_GTEST_PROP(LogRetention, lets_go_what_kafka_would, ()) {
  LogWorld w;
  w.options.config.file_delete_delay_ms = 1'000;
  w.restart();
  w.settle();
  const auto steps = *rc::gen::container<std::vector<uint32_t>>(60, rc::gen::inRange<uint32_t>(0, 1 << 24));
  for (const uint32_t c : steps) {
    const uint32_t what = c % 10, more = c / 10;
    if (what < 7) {
      for (uint32_t i = 0; i <= more % 8; ++i)
        w.append({.records = 1 + static_cast<int32_t>(i % 3),
                  .value_bytes = 100 + more % 1'400,
                  .timestamp = w.world.wall.ms - static_cast<int64_t>(more % 700)},
                 1);
      w.flush();
      w.world.wall.ms += more % 300;
    } else if (what == 7) {
      const Offset to =
          w.log.ends().log_start + static_cast<Offset>(more) % (w.log.ends().submitted - w.log.ends().log_start + 1);
      w.turn([&](Io& io) { w.log.advance_log_start(io.ctx, to); });
      w.model.start = to;
    } else {
      w.settle();
      w.options.config.retention_bytes = more % 3 == 0 ? -1 : static_cast<int64_t>(more % 50'000);
      w.options.config.retention_ms = more % 4 == 0 ? -1 : static_cast<int64_t>(more % 2'000);
      w.log.set_config(w.options.config);
      const Offset committed = more % 5 == 0 ? w.log.ends().log_start : w.log.ends().written;
      const Offset start = kafkas_start(segments_on(w), w, committed);
      w.retain({committed, true});
      RC_ASSERT(w.log.ends().log_start == start);
      w.settle();
      // Gone from the disk is what lies below, and what is left holds the end.
      const std::vector<OnDisk> left = segments_on(w);
      RC_ASSERT(left.empty() == w.model.batches.empty());
      if (!left.empty()) {
        RC_ASSERT(left[0].base <= start);
        // Apart, for RC_ASSERT evaluates all parts of what it is given.
        const bool expired_stays = left.size() > 1 && left[1].base <= start && left[1].base <= committed;
        RC_ASSERT_FALSE(expired_stays);
      }
    }
  }
  w.settle();
  RC_ASSERT(w.read_all(w.log.ends().log_start).batches == w.model.live());
  w.world.now = w.world.now + seconds(2);
  w.turn([&](Io& io) { w.log.remove_put_away(io); });
  w.settle();
  for (const std::string& name : w.disk.names("orders-5")) RC_ASSERT(!name.ends_with(kDeletedSuffix));
  const Offset end = w.log.ends().submitted, first = w.log.ends().log_start;
  w.restart({0, first});
  w.settle();
  RC_ASSERT(w.log.ends().submitted == end);
  RC_ASSERT(w.log.ends().log_start == first);
}

TEST(LogRetention, files_are_renamed_first_and_removed_later) {
  LogWorld w;
  w.options.config.file_delete_delay_ms = 1'000;
  w.options.config.retention_bytes = 0;
  w.restart();
  w.settle();
  for (int i = 0; i < 40; ++i) w.append({.records = 3, .value_bytes = 400}, i < 20 ? 1 : 4);
  w.flush();
  w.settle();
  const auto before = segments_on(w);
  ASSERT_GT(before.size(), 2u);
  w.retain({w.log.ends().written, true});
  EXPECT_EQ(w.log.ends().log_start, 120);
  w.settle();
  // The last has no indexes; every segment but the first has a snapshot, the new one too.
  EXPECT_EQ(w.disk.names("orders-5").size(), before.size() + 2 * (before.size() - 1) + before.size() + 3);
  EXPECT_NE(w.disk.content("orders-5/" + segment_file(0, ".log.deleted")), nullptr);
  EXPECT_EQ(w.disk.content("orders-5/" + segment_file(120, ".log"))->size(), 0u);
  const auto* epochs = w.disk.content("orders-5/leader-epoch-checkpoint");
  ASSERT_NE(epochs, nullptr);
  EXPECT_EQ(std::string(epochs->begin(), epochs->end()), "0\n1\n4 120\n");
  ASSERT_EQ(w.remove_at, w.world.now + seconds(1));
  w.world.now = *w.remove_at;
  w.turn([&](Io& io) { w.log.remove_put_away(io); });
  w.settle();
  EXPECT_EQ(w.disk.names("orders-5"),
            (std::vector<std::string>{segment_file(120, ".log"), segment_file(120, ".snapshot"),
                                      "leader-epoch-checkpoint", "partition.metadata"}));
  EXPECT_EQ(w.log.end_offset_for(4), (OffsetAndEpoch{120, 4}));
  w.append({}, 5);
  w.sync();
  w.settle();
  EXPECT_EQ(w.log.ends().synced, 121);
  w.restart();
  w.settle();
  EXPECT_EQ(w.log.ends(), (Ends{120, 121, 121, 0}));
}

// The segment that retention has made lest the log's end be lost is closed like others, with all that came since.
TEST(LogRetention, what_comes_after_all_has_expired_survives_an_orderly_end) {
  LogWorld w;
  w.options.config.retention_bytes = 0;
  w.restart();
  w.settle();
  for (int i = 0; i < 40; ++i) w.append({.records = 3, .value_bytes = 400}, 1);
  w.flush();
  w.settle();
  w.retain({w.log.ends().written, true});
  w.settle();
  w.append({.records = 5}, 2);
  w.flush();
  w.settle();
  w.turn([&](Io& io) { w.log.close(io); });
  w.settle();
  ASSERT_TRUE(w.closed);
  EXPECT_GT(w.disk.content("orders-5/" + segment_file(120, ".log"))->size(), 0u);
  w.restart({w.log.recovery_point(), 120});
  w.settle();
  EXPECT_EQ(w.log.ends().submitted, 125);
  EXPECT_EQ(w.read_all(120).batches, w.model.live());
}

// A consumer that reads old records while they expire is told that they are gone.
TEST(LogRetention, a_cold_read_of_what_goes_ends) {
  LogWorld w;
  w.restart();
  w.settle();
  for (int i = 0; i < 40; ++i) w.append({.records = 3, .value_bytes = 400}, 1);
  w.flush();
  w.settle();
  w.turn([&](Io& io) { EXPECT_TRUE(w.log.load_cold(io, {3, 1'000})); });
  w.options.config.retention_bytes = 0;
  w.log.set_config(w.options.config);
  w.retain({w.log.ends().written, true});
  w.settle();
  EXPECT_EQ(w.cold.count(3), 1u);
  EXPECT_EQ(w.log.read({3, 1'000, 120, true}).status, ReadStatus::out_of_range);
}

// The file that holds the end of a log without records has nothing to sync; what is before it may have.
TEST(LogRetention, a_sync_does_not_stop_at_an_empty_segment) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng{seed};
    LogWorld w;
    w.restart();
    w.settle();
    w.append({.records = 5}, 1);
    w.sync();
    w.append({.records = 5}, 1);
    w.flush();
    for (uint64_t n = rng.below(12); n > 0; --n) w.step(rng.next());
    w.options.config.retention_bytes = 0;
    w.log.set_config(w.options.config);
    w.retain({10, true});
    w.sync();
    while (w.log.ends().synced < 10 && w.step(rng.next())) {
    }
    ASSERT_EQ(w.log.ends().synced, 10);
    w.disk.lose_power([](uint64_t) { return 0; });
    w.restart();
    w.settle();
    EXPECT_EQ(w.log.ends().submitted, 10);
  }
}

}  // namespace
}  // namespace klamm::log
