// What a recovery reads: what was written since the last mark, and no more.
#include "engine/log/producer_snapshot.h"
#include "tests/engine/log/log_world.h"

namespace klamm::log {
namespace {

constexpr int64_t kBatchBytes = 1'080;  // at most

BatchSpec numbered(int n) {
  return {.records = 2,
          .value_bytes = 500,
          .timestamp = 1'700'000'000'000 + n,
          .producer_id = 7,
          .producer_epoch = 3,
          .base_sequence = 2 * n};
}

LogOptions one_segment() {
  LogOptions o = LogWorld::default_options();
  o.config.segment_bytes = 8 << 20;
  o.config.index_interval_bytes = 4'096;
  return o;
}

struct Resumed : testing::Test {
  Resumed() : w(one_segment()) {
    w.restart();
    w.settle();
  }
  void append(int count) {
    for (int i = 0; i < count; ++i, ++batches) {
      w.append(numbered(batches), 1 + batches / 200);
      w.flush();
      w.settle();
    }
  }
  void mark() {
    w.turn([&](Io& io) { w.log.mark(io); });
    w.settle();
  }
  void close() {
    w.turn([&](Io& io) { w.log.close(io); });
    w.settle();
    ASSERT_TRUE(w.closed);
  }
  std::string file(const char* suffix, Offset base = 0) const { return "orders-5/" + segment_file(base, suffix); }
  int64_t bytes_of(const char* suffix) const {
    const auto* content = w.disk.content(file(suffix));
    return content ? static_cast<int64_t>(content->size()) : 0;
  }
  // Restarts; how many bytes were read.
  int64_t read_by_restart(const OpenFrom& from) {
    const uint64_t before = w.disk.bytes_read();
    w.restart(from);
    w.settle();
    EXPECT_TRUE(w.log.ready());
    return static_cast<int64_t>(w.disk.bytes_read() - before);
  }
  void expect_all() {
    EXPECT_EQ(w.log.ends().submitted, 2 * batches);
    w.check_derived(w.model);
    EXPECT_EQ(w.log.producers().check(protocol::read_batch_header(make_batch(numbered(batches - 5)).data())).admission,
              Admission::duplicate);
    EXPECT_TRUE(w.read_all(0).batches == w.model.batches);
    const auto at = w.log.find_time(1'700'000'000'000 + batches / 2);
    ASSERT_TRUE(at.has_value());
    EXPECT_LE(*at, 2 * (batches / 2));
    EXPECT_GT(*at, 2 * (batches / 2) - 20);
  }
  // What a restart reads but of batches: two index files, the snapshot, the small files, one header.
  int64_t small_files() const { return bytes_of(".index") + bytes_of(".timeindex") + 2'000; }
  LogWorld w;
  int batches = 0;
};

TEST_F(Resumed, a_crash_costs_what_was_written_since_the_mark) {
  for (const int since : {0, 10, 100, 300}) {
    append(300);
    mark();
    const Offset recovery_point = w.log.recovery_point();
    ASSERT_EQ(recovery_point, 2 * batches);
    append(since);
    w.disk.kill([](uint64_t) { return 0; });
    const int64_t read = read_by_restart({recovery_point, 0});
    EXPECT_LE(read, since * kBatchBytes + 4'096 + 2 * kBatchBytes + small_files()) << since;
    EXPECT_GE(read, since * (kBatchBytes - 80));
    expect_all();
  }
}

TEST_F(Resumed, an_orderly_end_costs_its_indexes) {
  append(600);
  close();
  EXPECT_LE(read_by_restart({w.log.recovery_point(), 0, true}), 4'096 + 2 * kBatchBytes + small_files());
  expect_all();
  const auto index = *w.disk.content(file(".index")), times = *w.disk.content(file(".timeindex"));
  close();  // again: nothing has changed
  EXPECT_EQ(*w.disk.content(file(".index")), index);
  EXPECT_EQ(*w.disk.content(file(".timeindex")), times);
}

// What the two lives wrote of their indexes is what one life would have written.
TEST_F(Resumed, index_files_go_on_where_they_were) {
  append(301);
  close();
  read_by_restart({w.log.recovery_point(), 0, true});
  append(299);
  close();
  const auto index = *w.disk.content(file(".index"));
  for (const char* suffix : {".index", ".timeindex"}) w.disk.set_content(file(suffix), {});
  EXPECT_GT(read_by_restart({w.log.recovery_point(), 0, true}), 600 * (kBatchBytes - 80));  // without them: all of it
  expect_all();
  close();
  EXPECT_EQ(*w.disk.content(file(".index")), index);
}

TEST_F(Resumed, what_index_files_say_is_tried_not_believed) {
  append(300);
  close();
  const Offset end = w.log.recovery_point();
  const auto index = *w.disk.content(file(".index")), times = *w.disk.content(file(".timeindex"));
  Rng rng{5};
  for (int round = 0; round < 200; ++round) {
    SCOPED_TRACE(round);
    for (const auto& [suffix, good] : {std::pair(".index", index), std::pair(".timeindex", times)}) {
      std::vector<uint8_t> bytes = good;
      const uint64_t what = rng.below(5), at = rng.below(bytes.size());
      if (what == 0) bytes[bytes.size() - 1 - at % 16] ^= static_cast<uint8_t>(1 + rng.below(255));  // the last entry
      if (what == 1) bytes.resize(at);
      if (what == 2) std::fill(bytes.begin() + static_cast<int64_t>(at), bytes.end(), uint8_t{0});
      if (what == 3) bytes.assign(10 << 10, 0);
      if (what == 4) bytes.resize(bytes.size() + 1'000);                  // made larger ahead of its use, by Kafka
      if (std::string(suffix) == ".timeindex" && what < 3) bytes = good;  // its newest time is believed
      w.disk.set_content(file(suffix), bytes);
    }
    read_by_restart({end, 0, rng.chance(50)});
    expect_all();
    if (HasFailure()) return;
  }
}

// A mark belongs to what was there: after a truncation below it and other batches it vouches for nothing.
TEST_F(Resumed, a_truncation_takes_the_mark) {
  append(300);
  mark();
  ASSERT_NE(w.disk.content(file(".snapshot", 600)), nullptr);
  w.turn([&](Io& io) { w.log.truncate_to(io, 400); });
  w.model.truncate(400);
  w.settle();
  EXPECT_EQ(w.disk.content(file(".snapshot", 600)), nullptr);
  batches = 200;
  for (int i = 0; i < 150; ++i) {
    BatchSpec other = numbered(batches++);
    other.value_bytes = 300, other.fill = 'o';
    w.append(other, 9);
  }
  w.flush();
  w.settle();
  read_by_restart({600, 0});
  expect_all();
}

// The bytes since the mark are counted, also when a truncation has taken it.
TEST_F(Resumed, what_is_unmarked_is_known) {
  append(100);
  const int64_t all = w.log.unmarked_bytes();
  EXPECT_EQ(all, w.log.size_bytes());
  mark();
  EXPECT_EQ(w.log.unmarked_bytes(), 0);
  append(10);
  EXPECT_EQ(w.log.unmarked_bytes(), w.log.size_bytes() - all);
  w.turn([&](Io& io) { w.log.truncate_to(io, 218); });
  w.settle();
  EXPECT_EQ(w.log.unmarked_bytes(), w.log.size_bytes() - all);
  w.turn([&](Io& io) { w.log.truncate_to(io, 100); });
  w.settle();
  EXPECT_EQ(w.log.unmarked_bytes(), w.log.size_bytes());
}

// Marks follow one another; the directory does not fill with them. The node's recovery point is the last but one's, or
// the newest is torn: then that one serves.
TEST_F(Resumed, the_newest_two_marks_are_kept) {
  for (const bool torn : {false, true}) {
    for (int i = 0; i < 6; ++i) append(20), mark();
    const Offset newest = 2 * batches, recovery_point = torn ? newest : newest - 40;
    std::vector<std::string> snapshots;
    for (const std::string& name : w.disk.names("orders-5"))
      if (name.ends_with(".snapshot")) snapshots.push_back(name);
    EXPECT_EQ(snapshots, (std::vector{segment_file(newest - 40, ".snapshot"), segment_file(newest, ".snapshot")}));
    if (torn) w.disk.set_content(file(".snapshot", newest), {1, 2, 3});
    for (int life = 0; life < 2; ++life) {
      w.disk.kill([](uint64_t) { return 0; });
      EXPECT_LE(read_by_restart({recovery_point, 0}), 22 * kBatchBytes + 4'096 + small_files());
      expect_all();
      EXPECT_EQ(w.disk.content(file(".snapshot", newest)), nullptr);  // it was not believed
    }
    mark();
    EXPECT_NE(w.disk.content(file(".snapshot", newest)), nullptr);
  }
}

// Epochs that began below the log start are forgotten; the mark still serves.
TEST_F(Resumed, a_log_start_beyond_the_mark_does_not_matter) {
  append(300);
  mark();
  append(20);
  w.turn([&](Io& io) { w.log.advance_log_start(io.ctx, 610); });
  w.turn([&](Io& io) { w.log.checkpoint(io); });
  w.settle();
  w.model.start = 610;
  const Offset recovery_point = w.log.recovery_point();
  w.disk.kill([](uint64_t) { return 0; });
  EXPECT_LE(read_by_restart({recovery_point, 610}), 22 * kBatchBytes + 4'096 + small_files());
  EXPECT_EQ(w.log.epochs().entries(), (std::vector<EpochEntry>{{2, 610}}));
  EXPECT_TRUE(w.producers_follow(w.model));
  EXPECT_TRUE(w.read_all(610).batches == w.model.live());
}

}  // namespace
}  // namespace klamm::log
