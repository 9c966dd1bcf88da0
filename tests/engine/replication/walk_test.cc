// What standing tasks cost a turn, whatever the number of partitions.
#include "tests/engine/replication/replicas_world.h"

namespace klamm::replication {
namespace {

constexpr int32_t kMany = 10'000;
constexpr uint64_t kBudget = 200;  // looks a turn (walk.cc)

struct Many : ReplicasWorld {
  explicit Many(int32_t count = kMany) : ReplicasWorld(config(), {{n(1), {10, true}}, {n(2), {20, true}}}) {
    for (int32_t i = 0; i < count; ++i) {
      Replicas::Wanted w;
      w.id = tp(i);
      w.topic = "t";
      w.assignment = {1, 1, n(1), ns({1, 2}), ns({1, 2})};
      w.settings.log.compacted = i % 2 == 0;
      turn([&](Io& io) { replicas.assign(io, w, out); });
      settle();
    }
  }
  static ReplicasConfig config() {
    ReplicasConfig c;
    c.common.self = n(1);
    c.module = 3;
    return c;
  }
  // Turns until nothing is due at once; the looks of all, and of the turn with the most.
  struct Looks {
    uint64_t all = 0, most = 0;
    int turns = 0;
  };
  Looks run() {
    Looks looks;
    do {
      world.trace.probes = {};
      pass(Duration{});
      const uint64_t these = world.trace.probes[static_cast<size_t>(Probe::partition_looked_at)];
      looks.all += these;
      looks.most = std::max(looks.most, these);
      ++looks.turns;
    } while (replicas.next_deadline() <= world.now);
    return looks;
  }
};

TEST(Walk, no_turn_looks_at_all_partitions) {
  Many m;
  EXPECT_EQ(m.run().all, 0u);
  for (int i = 0; i < 100; ++i) {  // ten minutes: every task has its time
    m.world.now = m.world.now + seconds(6);
    m.world.wall.ms += 6'000;
    m.replicas.want_checkpoint();
    const Many::Looks looks = m.run();
    EXPECT_EQ(looks.all, kMany) << "one round is enough for all that is due";
    EXPECT_LE(looks.most, kBudget);
    ASSERT_TRUE(m.out.checkpoints.has_value());
    const std::string file = m.out.checkpoints->at(DirId{}).recovery_points.file();
    const auto points = log::parse_offset_checkpoint(file);
    ASSERT_TRUE(points.has_value());
    EXPECT_EQ(points->size(), static_cast<size_t>(kMany));
    m.out = {};
  }
}

TEST(Walk, the_end_is_no_exception) {
  Many m;
  for (int32_t i = 0; i < kMany; i += 100)
    m.turn([&](Io& io) { ASSERT_TRUE(m.replicas.append(io.ctx, m.tp(i), make_batch(1, "v")).has_value()); });
  m.settle();
  m.world.trace.probes = {};
  m.turn([&](Io& io) { m.replicas.close_all(io); });
  EXPECT_LE(m.world.trace.probes[static_cast<size_t>(Probe::partition_looked_at)], kBudget);
  EXPECT_FALSE(m.replicas.all_closed());
  EXPECT_LE(m.run().most, kBudget);
  m.settle();
  EXPECT_TRUE(m.replicas.all_closed());
  m.replicas.want_checkpoint();
  EXPECT_LE(m.run().most, kBudget);
  const auto points = log::parse_offset_checkpoint(m.out.checkpoints->at(DirId{}).recovery_points.file());
  ASSERT_TRUE(points.has_value());
  EXPECT_EQ(points->at({"t", 0}), 1);
  EXPECT_EQ(points->at({"t", 1}), 0);
}

// Each mark syncs and writes files: were they all begun at once, nobody else would come to the disk meanwhile.
TEST(Walk, logs_that_have_grown_are_marked_few_at_a_time) {
  constexpr int32_t kLogs = 5;
  constexpr int kMiB = 16;  // of a log: it is to be marked
  Many m(kLogs);
  const Slice batch = make_batch(1, std::string(1 << 20, 'x'));
  for (int i = 0; i < kLogs * kMiB; ++i) {
    m.turn([&](Io& io) { ASSERT_TRUE(m.replicas.append(io.ctx, m.tp(i % kLogs), batch).has_value()); });
    m.settle();
  }
  const auto count = [&](auto&& what) {
    return std::count_if(m.replicas.all().begin(), m.replicas.all().end(),
                         [&](const auto& entry) { return what(entry.second->log()); });
  };
  const auto unmarked = [](const log::Log& l) { return l.unmarked_bytes() > 0; };
  ASSERT_EQ(m.disk.ready(), 0u);
  ASSERT_EQ(count(unmarked), kLogs);
  m.pass(seconds(60));
  m.run();
  EXPECT_EQ(m.disk.ready(), 2u) << "their syncs";
  do EXPECT_LE(count([](const log::Log& l) { return l.marking(); }), 2);
  while (m.step());
  EXPECT_EQ(count(unmarked), 0);
}

// A log that goes while it is being marked leaves its place to the next.
TEST(Walk, a_removed_log_is_marked_no_more) {
  constexpr int32_t kLogs = 4;
  Many m(kLogs);
  const Slice batch = make_batch(1, std::string(17 << 20, 'x'));
  for (int32_t i = 0; i < kLogs; ++i)
    m.turn([&](Io& io) { ASSERT_TRUE(m.replicas.append(io.ctx, m.tp(i), batch).has_value()); });
  m.settle();
  m.pass(seconds(60));
  m.run();
  for (const int32_t i : {0, 1, 2}) m.turn([&](Io& io) { m.replicas.remove(io, m.tp(i)); });
  m.settle();
  EXPECT_EQ(m.replicas.find(m.tp(3))->log().unmarked_bytes(), 0);
}

// What a former life knew of a log that is only just being opened is written down again.
TEST(Walk, a_checkpoint_keeps_what_was_known_of_a_log_that_opens) {
  Many m;
  Replicas::Wanted w;
  w.id = m.tp(kMany);
  w.topic = "t";
  w.assignment = {1, 1, n(1), ns({1, 2}), ns({1, 2})};
  w.place = {DirId{}, {70, 30, false, 50}, 60};
  m.turn([&](Io& io) { m.replicas.assign(io, w, m.out); });
  m.replicas.want_checkpoint();
  m.run();
  const Checkpoint& c = m.out.checkpoints->at(DirId{});
  const std::pair<std::string, int32_t> name{"t", kMany};
  EXPECT_EQ(log::parse_offset_checkpoint(c.recovery_points.file())->at(name), 70);
  EXPECT_EQ(log::parse_offset_checkpoint(c.high_watermarks.file())->at(name), 60);
  EXPECT_EQ(log::parse_offset_checkpoint(c.log_starts.file())->at(name), 30);
  EXPECT_EQ(log::parse_offset_checkpoint(c.cleaned_to.file())->at(name), 50);
}

}  // namespace
}  // namespace klamm::replication
