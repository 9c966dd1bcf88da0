// What standing tasks cost a turn, whatever the number of partitions.
#include "tests/engine/replication/replicas_world.h"

namespace klamm::replication {
namespace {

constexpr int32_t kMany = 10'000;
constexpr uint64_t kBudget = 200;  // looks a turn (walk.cc)

struct Many : ReplicasWorld {
  Many() : ReplicasWorld(config(), {{n(1), {10, true}}, {n(2), {20, true}}}) {
    for (int32_t i = 0; i < kMany; ++i) {
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
