#include "engine/raft/rules.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace klamm::raft::rules {
namespace {

const ReplicaKey kTwo{NodeId{2}, {}};
const ReplicaKey kThree{NodeId{3}, {}};

Options options(int32_t self) {
  Options o;
  o.self = {NodeId{self}, {}};
  o.voters = {NodeId{1}, NodeId{2}, NodeId{3}};
  return o;
}

TEST(raft_rules, up_to_date_compares_epoch_before_offset) {
  struct {
    OffsetAndEpoch candidate, own;
    bool expected;
  } const rows[] = {
      {{10, 3}, {10, 3}, true}, {{11, 3}, {10, 3}, true},  {{9, 3}, {10, 3}, false},
      {{1, 4}, {10, 3}, true},  {{99, 2}, {10, 3}, false}, {{0, 0}, {0, 0}, true},
  };
  for (const auto& row : rows) EXPECT_EQ(up_to_date(row.candidate, row.own), row.expected) << row.candidate.offset;
}

TEST(raft_rules, vote_granted) {
  struct {
    const char* when;
    VoteView view;
    VoteReason expected;
  } const rows[] = {
      {"free", {.role = Role::unattached, .up_to_date = true}, VoteReason::granted},
      {"behind", {.role = Role::unattached, .up_to_date = false}, VoteReason::log_behind},
      {"asked again", {.role = Role::unattached, .voted = kTwo, .up_to_date = true}, VoteReason::granted},
      {"voted for another", {.role = Role::unattached, .voted = kThree, .up_to_date = true}, VoteReason::voted_other},
      {"candidate itself", {.role = Role::candidate, .voted = kThree, .up_to_date = true}, VoteReason::voted_other},
      {"has a leader", {.role = Role::follower, .leader_known = true, .up_to_date = true}, VoteReason::has_leader},
      {"prospective, leader lost",
       {.role = Role::prospective, .leader_known = true, .up_to_date = true},
       VoteReason::has_leader},
      {"prospective, none known", {.role = Role::prospective, .up_to_date = true}, VoteReason::granted},
      {"leads", {.role = Role::leader, .leader_known = true, .up_to_date = true}, VoteReason::leads},
      {"led", {.role = Role::resigned, .leader_known = true, .up_to_date = true}, VoteReason::leads},
  };
  for (const auto& row : rows) EXPECT_EQ(vote_granted(row.view, kTwo), row.expected) << row.when;
}

TEST(raft_rules, pre_vote_granted) {
  struct {
    const char* when;
    VoteView view;
    VoteReason expected;
  } const rows[] = {
      {"free", {.role = Role::unattached, .up_to_date = true}, VoteReason::granted},
      {"behind", {.role = Role::candidate}, VoteReason::log_behind},
      {"voted for another", {.role = Role::candidate, .voted = kThree, .up_to_date = true}, VoteReason::granted},
      {"hears its leader",
       {.role = Role::follower, .leader_known = true, .fetched = true, .up_to_date = true},
       VoteReason::has_leader},
      {"never heard its leader",
       {.role = Role::follower, .leader_known = true, .up_to_date = true},
       VoteReason::granted},
      {"leads and commits", {.role = Role::leader, .leads_committing = true, .up_to_date = true}, VoteReason::leads},
      {"leads but cannot commit", {.role = Role::leader, .up_to_date = true}, VoteReason::granted},
      {"led", {.role = Role::resigned, .up_to_date = true}, VoteReason::granted},
  };
  for (const auto& row : rows) EXPECT_EQ(pre_vote_granted(row.view), row.expected) << row.when;
}

TEST(raft_rules, commit_index) {
  struct {
    const char* when;
    std::vector<Offset> ends;
    Offset epoch_start, current, expected;
  } const rows[] = {
      {"nobody has fetched", {10, -1, -1}, 9, -1, -1},
      {"majority has our first record", {10, 10, -1}, 9, -1, 10},
      {"majority only has what was before it (M16)", {10, 9, 9}, 9, -1, -1},
      {"the leader itself may be behind", {4, 8, 7}, 3, -1, 7},
      {"never falls", {5, 5, 5}, 3, 7, 7},
      {"two voters need both", {10, 8}, 3, -1, 8},
      {"four voters need three", {10, 9, 8, 7}, 3, -1, 8},
      {"one voter", {10}, 3, -1, 10},
  };
  for (const auto& row : rows)
    EXPECT_EQ(commit_index(row.ends, row.epoch_start, row.current), row.expected) << row.when;
}

RC_GTEST_PROP(raft_rules, what_is_committed_a_majority_has, ()) {
  const auto ends = *rc::gen::nonEmpty(rc::gen::container<std::vector<Offset>>(rc::gen::inRange<Offset>(-1, 50)));
  const Offset start = *rc::gen::inRange<Offset>(0, 50);
  const Offset to = commit_index(ends, start, -1);
  if (to < 0) return;
  RC_ASSERT(to > start);
  const auto have = std::count_if(ends.begin(), ends.end(), [&](Offset e) { return e >= to; });
  RC_ASSERT(static_cast<size_t>(have) * 2 > ends.size());
}

TEST(raft_rules, on_restart) {
  struct {
    const char* when;
    HardState stored;
    LeaderEpoch last_epoch;
    Role role;
    HardState hard_state;
  } const rows[] = {
      {"fresh", {}, 0, Role::unattached, {}},
      {"followed", {.epoch = 5, .leader = NodeId{2}}, 5, Role::follower, {.epoch = 5, .leader = NodeId{2}}},
      {"led (M15 b)", {.epoch = 5, .leader = NodeId{1}}, 5, Role::resigned, {.epoch = 5, .leader = NodeId{1}}},
      {"voted", {.epoch = 5, .voted = kTwo}, 4, Role::unattached, {.epoch = 5, .voted = kTwo}},
      {"stood", {.epoch = 5, .voted = {NodeId{1}, {}}}, 4, Role::unattached, {.epoch = 5, .voted = {NodeId{1}, {}}}},
      {"log ahead of the file", {.epoch = 3, .leader = NodeId{2}}, 4, Role::unattached, {.epoch = 4}},
      {"led by a stranger", {.epoch = 5, .leader = NodeId{9}}, 5, Role::unattached, {.epoch = 5}},
  };
  for (const auto& row : rows) {
    const Restart r = on_restart(options(1), row.stored, row.last_epoch);
    EXPECT_EQ(r.role, row.role) << row.when;
    EXPECT_EQ(r.hard_state, row.hard_state) << row.when;
  }
}

TEST(raft_rules, campaigns_at_once_only_where_nothing_was) {
  EXPECT_TRUE(campaigns_at_once(0, {}, {}));
  EXPECT_FALSE(campaigns_at_once(1, {}, {}));
  EXPECT_FALSE(campaigns_at_once(-1, {}, {}));
  EXPECT_FALSE(campaigns_at_once(0, {.epoch = 1}, {}));
  EXPECT_FALSE(campaigns_at_once(0, {}, {.end = 1}));
}

// Epoch 1: 0-4, epoch 3: 5-9, epoch 4: 10-11.
LogState three_epochs() {
  LogState log;
  log.end = log.synced = 12;
  log.epochs = Epochs({{0, 1}, {5, 3}, {10, 4}});
  return log;
}

TEST(raft_rules, check_fetch_finds_where_logs_part) {
  struct {
    const char* when;
    OffsetAndEpoch from;
    FetchCheck check;
    OffsetAndEpoch diverging;
  } const rows[] = {
      {"from the beginning", {0, 0}, FetchCheck::valid, {}},
      {"from the end", {12, 4}, FetchCheck::valid, {}},
      {"within an epoch", {7, 3}, FetchCheck::valid, {}},
      {"at the end of an epoch", {5, 1}, FetchCheck::valid, {}},
      {"longer than we are", {14, 4}, FetchCheck::diverging, {12, 4}},
      {"longer than the epoch was here", {8, 1}, FetchCheck::diverging, {5, 1}},
      {"an epoch that never was here", {8, 2}, FetchCheck::diverging, {5, 1}},
      {"records where we have none of that time", {3, 0}, FetchCheck::diverging, {0, 0}},
  };
  for (const auto& row : rows) {
    const FetchPoint p = check_fetch(three_epochs(), row.from);
    EXPECT_EQ(p.check, row.check) << row.when;
    EXPECT_EQ(p.diverging, row.diverging) << row.when;
  }
}

// ReplicatedLog.validateOffsetAndEpoch, and what KafkaRaftClient says of an empty log.
TEST(raft_rules, check_fetch_sends_a_snapshot_of_what_is_gone) {
  LogState whole = three_epochs();
  whole.snapshots = SnapshotIds{{6, 3}, {11, 4}};
  LogState cut = whole;
  cut.start = 6;
  cut.epochs.cut_front(6);
  struct {
    const char* when;
    OffsetAndEpoch from;
    FetchCheck whole, cut;
  } const rows[] = {
      {"from the beginning", {0, 0}, FetchCheck::snapshot, FetchCheck::snapshot},
      {"before the log", {5, 3}, FetchCheck::diverging, FetchCheck::snapshot},
      {"of an epoch before the oldest snapshot's", {5, 1}, FetchCheck::snapshot, FetchCheck::snapshot},
      {"of such an epoch, far on", {11, 1}, FetchCheck::snapshot, FetchCheck::snapshot},
      {"from the log's start", {6, 3}, FetchCheck::valid, FetchCheck::valid},
      {"from there, of a later epoch that is here", {6, 4}, FetchCheck::valid, FetchCheck::valid},
      {"later", {10, 3}, FetchCheck::valid, FetchCheck::valid},
      {"longer than the epoch was here", {11, 3}, FetchCheck::diverging, FetchCheck::diverging},
  };
  for (const auto& row : rows) {
    if (row.from != OffsetAndEpoch{5, 3}) {
      EXPECT_EQ(check_fetch(whole, row.from).check, row.whole) << row.when;
    }
    EXPECT_EQ(check_fetch(cut, row.from).check, row.cut) << row.when;
  }
}

// Kafka offers the snapshot here, which tells no more than that replica's log, and then refuses its own offer.
TEST(raft_rules, a_replica_at_the_logs_start_in_a_later_epoch_has_records_to_drop) {
  LogState cut;
  cut.start = 100;
  cut.end = 110;
  cut.epochs = Epochs({{99, 5}, {100, 7}});
  cut.snapshots = SnapshotIds{{100, 5}, {100, 5}};
  EXPECT_EQ(check_fetch(cut, {100, 5}).check, FetchCheck::valid);
  const FetchPoint point = check_fetch(cut, {100, 6});
  EXPECT_EQ(point.check, FetchCheck::diverging);
  EXPECT_EQ(point.diverging, (OffsetAndEpoch{100, 5}));
  LogState other;
  other.end = 100;
  other.epochs = Epochs({{0, 5}, {99, 6}});
  EXPECT_EQ(truncation_point(other, point.diverging), 99);
}

TEST(raft_rules, a_snapshot_supersedes_a_log_that_may_lack_what_it_holds) {
  EXPECT_TRUE(supersedes({10, 3}, {9, 3}));
  EXPECT_FALSE(supersedes({10, 3}, {10, 3}));
  EXPECT_FALSE(supersedes({10, 3}, {11, 3}));
  EXPECT_TRUE(supersedes({10, 3}, {50, 2}));
  EXPECT_FALSE(supersedes({10, 3}, {5, 4}));
  EXPECT_TRUE(supersedes({1, 1}, {0, 0}));
}

TEST(raft_rules, truncation_point_keeps_what_both_have) {
  struct {
    const char* when;
    OffsetAndEpoch diverging;
    Offset expected;
  } const rows[] = {
      {"same epoch, the leader's ends earlier", {8, 3}, 8},
      {"same epoch, ours ends earlier", {20, 3}, 10},
      {"an epoch that we do not have", {7, 2}, 5},
      {"older than all of ours", {0, 0}, 0},
  };
  for (const auto& row : rows) EXPECT_EQ(truncation_point(three_epochs(), row.diverging), row.expected) << row.when;
}

// Two logs that agree up to some point, as all logs of a quorum do: they meet there in a few rounds.
RC_GTEST_PROP(raft_rules, divergence_ends_at_the_common_prefix, ()) {
  using Entries = std::vector<LeaderEpoch>;
  const auto grow = [](Entries log) {
    const int n = *rc::gen::inRange(0, 12);
    LeaderEpoch epoch = log.empty() ? 1 : log.back();
    for (int i = 0; i < n; ++i) log.push_back(epoch += *rc::gen::inRange(0, 3));
    return log;
  };
  const Entries common = grow({});
  Entries leader = grow(common);
  Entries follower = grow(common);
  // An epoch has one leader: the same epoch at the same offset is the same record. Different epochs after the prefix.
  for (size_t i = common.size(); i < follower.size(); ++i) follower[i] = follower[i] * 2 + 100;
  for (size_t i = common.size(); i < leader.size(); ++i) leader[i] = leader[i] * 2 + 101;
  const auto state = [](const Entries& entries) {
    LogState log;
    for (size_t i = 0; i < entries.size(); ++i)
      if (i == 0 || entries[i] != entries[i - 1]) log.epochs.assign({static_cast<Offset>(i), entries[i]});
    log.end = log.synced = static_cast<Offset>(entries.size());
    return log;
  };
  const LogState lead = state(leader);
  for (int round = 0;; ++round) {
    RC_ASSERT(round <= 13);
    LogState own = state(follower);
    const FetchPoint p = check_fetch(lead, {own.end, own.epochs.latest()});
    if (p.check == FetchCheck::valid) break;
    const Offset to = truncation_point(own, p.diverging);
    RC_ASSERT(to < own.end);
    follower.resize(to);
  }
  RC_ASSERT(follower.size() == common.size());
}

TEST(raft_rules, timing_sets_ranks_apart) {
  const Options o = options(2);
  for (int32_t rank = 0; rank < 2; ++rank) {
    const Spread a = election_timeout(o, rank), b = election_timeout(o, rank + 1);
    EXPECT_LE(a.at_least + a.draw, b.at_least);
    const Spread c = lost_election_backoff(o, rank, 3), d = lost_election_backoff(o, rank + 1, 3);
    EXPECT_LE(c.at_least + c.draw, d.at_least);
  }
  EXPECT_EQ(successor_wait(o, 1, {kTwo, kThree}), Duration{});
  EXPECT_EQ(successor_wait(o, 1, {kThree, kTwo}), o.election_backoff_max / 2);
  EXPECT_EQ(successor_wait(o, 1, {kThree}), o.election_backoff_max);
  EXPECT_EQ(successor_wait(o, 1, {}), stagger(1));
  EXPECT_EQ(retry_backoff(1), milliseconds(1));
  EXPECT_EQ(retry_backoff(1000), milliseconds(100));
}

TEST(raft_rules, observers_never_stand) {
  for (Role from : {Role::unattached, Role::follower})
    for (Role to : {Role::prospective, Role::candidate, Role::leader, Role::resigned})
      EXPECT_FALSE(legal(from, to, false));
  EXPECT_TRUE(legal(Role::candidate, Role::leader, true));
  EXPECT_FALSE(legal(Role::follower, Role::leader, true));
  EXPECT_FALSE(legal(Role::leader, Role::candidate, true));
}

}  // namespace
}  // namespace klamm::raft::rules
