// Whole runs of the simulated cluster: promises kept, flaws found, seeds that reproduce, forks that go on alike.
#include "sim/run.h"

#include <gtest/gtest.h>

#include "engine/base/visit.h"

namespace klamm::sim {
namespace {

RunOptions small(uint64_t seed) {
  RunOptions o;
  o.seed = seed;
  o.faults_ns = 5'000'000'000;
  o.records_per_second = 300;
  return o;
}

TEST(Run, seeds_keep_the_promise) {
  int kept = 0;  // runs that delete and compact nothing: all that was acknowledged is read
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    const RunResult r = run_seed(small(seed));
    EXPECT_TRUE(r.ok) << "seed " << seed << ": " << r.violation();
    EXPECT_GT(r.acked, 100u) << "seed " << seed;
    const auto probed = [&](Probe p) { return r.probes[static_cast<size_t>(p)]; };
    const bool keeps_all =
        probed(Probe::log_retained) + probed(Probe::log_cleaned) + probed(Probe::records_deleted) == 0;
    if (keeps_all) {
      EXPECT_GE(r.polled, r.acked - r.lost) << "seed " << seed;
    }
    kept += keeps_all;
  }
  EXPECT_GT(kept, 5);
}

TEST(Run, same_seed_same_digest) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const RunResult first = run_seed(small(seed)), second = run_seed(small(seed));
    EXPECT_EQ(first.digest, second.digest) << "seed " << seed;
    EXPECT_EQ(first.events, second.events) << "seed " << seed;
    EXPECT_NE(first.digest, run_seed(small(seed + 100)).digest);
  }
}

TEST(Run, consumers_who_read_from_files_miss_nothing) {
  uint64_t regions = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    RunOptions o = small(seed);
    o.config = {{"klamm.fetch.tail.bytes", "0"}, {"klamm.fetch.region.bytes", "1"}};
    const RunResult r = run_seed(o);
    EXPECT_TRUE(r.ok) << "seed " << seed << ": " << r.violation();
    regions += r.probes[static_cast<size_t>(Probe::cold_region)];
    if (seed <= 3) {
      EXPECT_EQ(r.digest, run_seed(o).digest) << "seed " << seed;
    }
  }
  EXPECT_GT(regions, 50u);
}

TEST(Run, nodes_that_may_keep_little_in_memory_miss_nothing) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    RunOptions o = small(seed);
    o.config = {{"klamm.fetch.cache.bytes", seed % 2 == 0 ? "0" : "20000"}};
    const RunResult r = run_seed(o);
    EXPECT_TRUE(r.ok) << "seed " << seed << ": " << r.violation();
    if (seed <= 3) {
      EXPECT_EQ(r.digest, run_seed(o).digest) << "seed " << seed;
    }
  }
}

TEST(Run, without_faults_none_is_struck_and_nothing_is_lost) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    RunOptions o = small(seed);
    o.faults = o.rough = false;
    o.faults_ns = 100'000'000;
    const RunResult r = run_seed(o);
    EXPECT_TRUE(r.ok) << "seed " << seed << ": " << r.violation();
    EXPECT_EQ(r.lost, 0u);
    for (const uint64_t fired : r.fired) EXPECT_EQ(fired, 0u) << "seed " << seed;
  }
}

TEST(Run, telling_the_story_changes_nothing) {
  Observer listener;
  EXPECT_EQ(run_seed(small(3)).digest, run_seed(small(3), &listener).digest);
}

TEST(Run, zeros_are_a_dull_run_that_makes_progress) {
  RunOptions o = small(0);
  o.tape_mode = TapeMode::zeros;
  const RunResult r = run_seed(o);
  EXPECT_TRUE(r.ok) << r.violation();
  EXPECT_GT(r.acked, 1'000u);
  for (const uint64_t fired : r.fired) EXPECT_EQ(fired, 0u);
}

// The choices of a run are all that there is to it: replayed as edits they give the same run.
TEST(Run, logged_choices_are_logged_in_order_and_change_nothing) {
  RunOptions o = small(4);
  const RunResult plain = run_seed(o);
  o.log_choices = true;
  const RunResult logged = run_seed(o);
  EXPECT_EQ(plain.digest, logged.digest);
  EXPECT_GT(logged.choices.size(), 1'000u);
}

TEST(Run, fork_in_the_middle_of_faults_goes_on_alike) {
  Simulation s(small(2));
  while (s.step() && s.world().now() < 3'000'000'000) {
  }
  ASSERT_EQ(s.phase(), Simulation::Phase::faults);
  Simulation fork = s;
  for (HostId h = 0; h < s.world().hosts(); ++h)
    if (s.world().machine(h)) {
      EXPECT_EQ(state_hash(*s.world().machine(h)), state_hash(*fork.world().machine(h)));
    }
  s.run();
  fork.run();
  EXPECT_EQ(s.world().digest(), fork.world().digest());
  EXPECT_EQ(s.workload().history().acked(), fork.workload().history().acked());
}

// A failed write or sync is final: the node stops, comes back with what it had, and no acknowledged record is lost.
TEST(Run, any_operation_of_a_disk_may_fail) {
  struct Exits final : Observer {
    uint64_t of_disks = 0;
    void exited(int64_t, HostId, const Exit& e) override { of_disks += e.code != 0; }
  } exits;
  for (uint64_t seed = 7; seed < 4'500; seed += 450) {
    RunOptions o = small(seed);
    o.faults = o.rough = false;
    o.faults_ns = 3'000'000'000;
    o.fail_disk = true;
    const RunResult r = run_seed(o, &exits);
    EXPECT_TRUE(r.ok) << "seed " << seed << ": " << r.violation();
    EXPECT_TRUE(r.disk_failed) << seed;
  }
  EXPECT_GT(exits.of_disks, 0u);
}

// The museum's first two exhibits: seeds find the damage, and the same seeds are well without the flaw.
uint64_t seeds_until_found(bool Flaws::*flaw, uint64_t most) {
  for (uint64_t seed = 1; seed <= most; ++seed) {
    RunOptions o;
    o.seed = seed;
    o.flaws.*flaw = true;
    if (run_seed(o).ok) continue;
    o.flaws = {};
    const RunResult without = run_seed(o);
    EXPECT_TRUE(without.ok) << "seed " << seed << ": " << without.violation();
    return seed;
  }
  return 0;
}
TEST(Run, finds_truncation_to_the_high_watermark) {
  EXPECT_NE(seeds_until_found(&Flaws::replica_truncate_to_high_watermark, 50), 0u);
}
TEST(Run, finds_a_quorum_that_does_not_flush) { EXPECT_NE(seeds_until_found(&Flaws::raft_no_flush, 200), 0u); }

// The same faults, but with klamm.flush=commit.
TEST(Run, nothing_is_lost_that_was_synced_before_it_was_acknowledged) {
  uint64_t power_losses = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    RunOptions o = small(seed);
    o.promise = Promise::synced;
    const RunResult r = run_seed(o);
    EXPECT_TRUE(r.ok) << "seed " << seed << ": " << r.violation();
    EXPECT_FALSE(r.beyond_promise);
    EXPECT_EQ(r.lost, 0u) << "seed " << seed;
    power_losses += r.fired[static_cast<size_t>(Fault::power_loss_all)];
  }
  EXPECT_GT(power_losses, 0u);
}

TEST(Run, losses_beyond_the_promise_are_reported) {
  uint64_t lost = 0;
  for (uint64_t seed = 1; seed <= 20 && lost == 0; ++seed) {
    RunOptions o = small(seed);
    o.promise = Promise::beyond;
    const RunResult r = run_seed(o);
    EXPECT_TRUE(r.ok) << "seed " << seed << ": " << r.violation();
    lost += r.lost;
  }
  EXPECT_GT(lost, 0u);
}

}  // namespace
}  // namespace klamm::sim
