// Thousands of steps of quorums under faults: what must never happen does not, and with a flaw it does.
#include "tests/engine/raft/cluster.h"

#include <gtest/gtest.h>

namespace klamm::raft {
namespace {

// A life of faults: crashes of processes, losses of power (of all at once too), one-way partitions, resignations.
void torment(Cluster& c, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    const size_t i = c.below(c.size());
    switch (c.below(14)) {
      case 0: c.crash(i, Cluster::Crash::process); break;
      case 1: c.crash(i, Cluster::Crash::power); break;
      case 2: c.cut(i, c.below(c.size()), true); break;
      case 3: c.heal(); break;
      case 4: c.resign(i, false); break;
      case 5:
        for (size_t k = 0; k < c.size(); ++k) c.crash(k, Cluster::Crash::power);
        break;
      case 6:
      case 7:
        for (size_t k = 0; k < c.size(); ++k) c.restart(k);
        break;
      default: c.restart(i); break;
    }
    for (int k = 0; k < 4; ++k) {
      c.propose();
      c.run_for(milliseconds(1 + static_cast<int64_t>(c.below(round % 8 == 0 ? 3000 : 40))));
    }
  }
}

TEST(raft_cluster, laws_hold_under_faults) {
  uint64_t steps = 0;
  size_t committed = 0;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    ClusterOptions o;
    o.seed = seed;
    o.voters = seed % 3 == 0 ? 5 : seed % 5 == 0 ? 2 : 3;
    o.observers = static_cast<int>(seed % 2);
    o.dull = seed % 7 == 0;
    Cluster c(o);
    ASSERT_NO_THROW(torment(c, 60)) << "seed " << seed;
    EXPECT_TRUE(c.fatals().empty()) << "seed " << seed << ": " << c.fatals().front();
    c.heal();
    c.calm();
    for (size_t i = 0; i < c.size(); ++i) c.restart(i);
    // EventuallyLeaderElected, ValuesEventuallyAcked, on every node.
    const size_t before = c.committed().size();
    const auto all_have = [&](size_t n) {
      for (size_t i = 0; i < c.size(); ++i)
        if (c.raft(i).committed() < static_cast<Offset>(n)) return false;
      return true;
    };
    ASSERT_TRUE(c.run_until([&] { return c.leader() && c.raft(*c.leader()).leads_safely(); }, seconds(20)))
        << "seed " << seed;
    ASSERT_TRUE(c.propose());
    ASSERT_TRUE(
        c.run_until([&] { return c.committed().size() > before && all_have(c.committed().size()); }, seconds(20)))
        << "seed " << seed << c.text();
    steps += c.steps();
    committed += c.committed().size();
  }
  RecordProperty("steps", static_cast<int>(steps));
  EXPECT_GT(steps, 100'000u);
  EXPECT_GT(committed, 5'000u);
}

// Zero is the dull choice: elections are decided by rank alone.
TEST(raft_cluster, elects_without_luck) {
  for (int voters : {2, 3, 4, 5, 7}) {
    ClusterOptions o;
    o.voters = voters;
    o.lose_percent = o.double_percent = 0;
    o.dull = true;
    Cluster c(o);
    for (int round = 0; round < 5; ++round) {
      ASSERT_TRUE(c.run_until([&] { return c.leader() && c.raft(*c.leader()).leads_safely(); }, seconds(6)))
          << c.text();
      for (size_t k = 0; k < c.size(); ++k) c.crash(k, Cluster::Crash::power);
      for (size_t k = 0; k < c.size(); ++k) c.restart(k);
    }
  }
}

TEST(raft_cluster, without_flush_records_are_lost) {
  int lost = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    ClusterOptions o;
    o.seed = seed;
    o.flaws.raft_no_flush = true;
    Cluster c(o);
    try {
      torment(c, 60);
      lost += c.fatals().empty() ? 0 : 1;
    } catch (const Violation&) {
      ++lost;
    }
  }
  EXPECT_GT(lost, 10);
}

TEST(raft_cluster, fresh_quorum_elects_lowest_id_in_a_few_round_trips) {
  ClusterOptions o;
  o.lose_percent = o.double_percent = 0;
  o.delay_most = microseconds(200);
  o.sync_most = milliseconds(1);
  Cluster c(o);
  const Instant began = c.now();
  ASSERT_TRUE(c.run_until([&] { return c.leader() && c.raft(*c.leader()).leads_safely(); }, seconds(1)));
  EXPECT_EQ(*c.leader(), 0u);
  EXPECT_EQ(c.raft(0).epoch(), 1);
  EXPECT_LT((c.now() - began).ns, milliseconds(8).ns);
}

TEST(raft_cluster, one_voter_leads_at_once_and_again_after_a_restart) {
  ClusterOptions o;
  o.voters = 1;
  Cluster c(o);
  const auto leads = [&] { return c.leader() && c.raft(0).leads_safely(); };
  ASSERT_TRUE(c.run_until(leads, milliseconds(20)));
  EXPECT_EQ(c.raft(0).epoch(), 1);
  c.crash(0, Cluster::Crash::power);
  c.restart(0);
  ASSERT_TRUE(c.run_until(leads, milliseconds(20)));
  EXPECT_EQ(c.raft(0).epoch(), 2);
}

TEST(raft_cluster, refused_leader_is_replaced_fast) {
  ClusterOptions o;
  o.lose_percent = o.double_percent = 0;
  o.delay_most = microseconds(300);
  Cluster c(o);
  c.run_for(milliseconds(100));
  ASSERT_TRUE(c.leader());
  const size_t old = *c.leader();
  c.crash(old, Cluster::Crash::process);
  ASSERT_TRUE(c.run_until([&] { return c.leader() && c.raft(*c.leader()).leads_safely(); }, milliseconds(60)));
  EXPECT_NE(*c.leader(), old);
}

TEST(raft_cluster, stopping_leader_hands_over_at_once) {
  ClusterOptions o;
  o.lose_percent = o.double_percent = 0;
  Cluster c(o);
  c.run_for(milliseconds(200));
  const size_t old = *c.leader();
  const Instant at = c.now();
  c.resign(old, true);
  ASSERT_TRUE(c.run_until([&] { return c.leader() && c.raft(*c.leader()).leads_safely(); }, seconds(1)));
  EXPECT_NE(*c.leader(), old);
  EXPECT_LT((c.now() - at).ms(), 100);
  EXPECT_TRUE(c.raft(old).resigned());
}

// KIP-996: a voter that cannot be heard by the leader does not depose it; museum M17.
TEST(raft_cluster, cut_off_voter_raises_no_epoch) {
  ClusterOptions o;
  o.lose_percent = o.double_percent = 0;
  Cluster c(o);
  c.run_for(milliseconds(200));
  const size_t leader = *c.leader();
  const size_t lone = (leader + 1) % 3;
  for (size_t k = 0; k < 3; ++k)
    if (k != lone) c.cut(lone, k, true), c.cut(k, lone, true);
  c.run_for(seconds(30));
  EXPECT_EQ(c.raft(lone).epoch(), c.raft(leader).epoch());
  c.heal();
  c.run_for(seconds(5));
  EXPECT_EQ(*c.leader(), leader);
  EXPECT_EQ(c.raft(lone).role(), Role::follower);
}

// KAFKA-15489: a leader without a majority gives up; observers then find the other one.
TEST(raft_cluster, cut_off_leader_resigns) {
  ClusterOptions o;
  o.lose_percent = o.double_percent = 0;
  o.observers = 1;
  Cluster c(o);
  c.run_for(milliseconds(200));
  const size_t old = *c.leader();
  for (size_t k = 0; k < 3; ++k)
    if (k != old) c.cut(old, k, true), c.cut(k, old, true);
  c.run_for(seconds(10));
  EXPECT_NE(c.raft(old).role(), Role::leader);
  ASSERT_TRUE(c.leader());
  EXPECT_EQ(c.raft(3).leader(), c.raft(*c.leader()).leader());
}

// Where the old leader's port refuses, an observer must not wait for it: it asks the voters, from its own start on too.
TEST(raft_cluster, observers_find_the_successor_of_a_dead_leader) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    ClusterOptions o;
    o.seed = seed;
    o.lose_percent = o.double_percent = 0;
    o.observers = 2;
    Cluster c(o);
    c.run_for(milliseconds(200));
    ASSERT_TRUE(c.leader() && c.propose()) << "seed " << seed;
    c.run_for(milliseconds(100));
    const size_t old = *c.leader();
    c.crash(old, Cluster::Crash::process);
    c.run_for(milliseconds(500));
    ASSERT_TRUE(c.leader() && *c.leader() != old) << "seed " << seed << c.text();
    EXPECT_EQ(c.raft(3).leader(), c.raft(*c.leader()).leader()) << "seed " << seed << c.text();
    c.crash(4, Cluster::Crash::process);
    c.restart(4);
    ASSERT_TRUE(c.propose());
    const auto all = static_cast<Offset>(c.log(*c.leader()).size());
    c.run_for(milliseconds(500));
    for (size_t observer : {3, 4}) EXPECT_EQ(c.raft(observer).committed(), all) << "seed " << seed << c.text();
  }
}

// It may have been a pause: the leader is asked again like the others, and followed on.
TEST(raft_cluster, an_observer_returns_to_a_leader_that_was_silent) {
  ClusterOptions o;
  o.lose_percent = o.double_percent = 0;
  o.observers = 1;
  Cluster c(o);
  c.run_for(milliseconds(200));
  const size_t leader = *c.leader();
  c.cut(3, leader, true);
  c.run_for(seconds(5));
  c.heal();
  c.run_for(seconds(1));
  ASSERT_TRUE(c.propose());
  c.run_for(milliseconds(700));
  EXPECT_EQ(*c.leader(), leader);
  EXPECT_EQ(c.raft(3).committed(), static_cast<Offset>(c.log(leader).size())) << c.text();
}

}  // namespace
}  // namespace klamm::raft
