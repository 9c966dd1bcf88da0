// One core, step by step.
#include "engine/raft/raft.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/support/turns.h"

namespace klamm::raft {
namespace {

class RaftCore : public testing::Test {
 protected:
  RaftCore() { boot({}, {}); }
  void boot(const HardState& hard, const LogState& log) {
    Options o;
    o.self = {NodeId{1}, {}};
    o.voters = {NodeId{1}, NodeId{2}, NodeId{3}};
    core.emplace(o, hard, log);
    step(Start{});
  }
  Ready& step(const Input& input) {
    Ctx ctx = world.ctx();
    ready = core->step(ctx, input);
    for (const Send& s : ready.sends) last_call[s.to.value] = s.call;
    return ready;
  }
  Ready& answer(int32_t from, AnswerBody body) { return step(Answer{NodeId{from}, last_call[from], std::move(body)}); }
  Ready& ask(RequestBody body) { return step(Request{{}, std::move(body)}); }
  Ready& durable() { return step(HardStateSynced{core->hard_state_version()}); }
  // A vote from node 2, on a fresh quorum.
  void lead() {
    durable();
    answer(2, VoteAnswer{{.epoch = 1}, true});
    ASSERT_EQ(core->role(), Role::leader);
  }
  FetchRequest fetch(int32_t id, Offset from, LeaderEpoch epoch) {
    FetchRequest r;
    r.epoch = core->epoch();
    r.replica.id = NodeId{id};
    r.from = {from, epoch};
    r.max_wait = milliseconds(500);
    return r;
  }
  template<class T>
  const T& replied(size_t i = 0) {
    return std::get<T>(ready.replies.at(i).body);
  }

  TestWorld world;
  std::optional<Raft> core;
  Ready ready;
  std::map<int32_t, uint64_t> last_call;
};

TEST_F(RaftCore, fresh_first_voter_stands_and_promises_before_it_asks) {
  EXPECT_EQ(core->role(), Role::candidate);
  EXPECT_TRUE(ready.persist);
  ASSERT_EQ(ready.sends.size(), 2u);
  for (const Send& s : ready.sends) {
    EXPECT_EQ(s.needs.hard_state, core->hard_state_version());
    EXPECT_FALSE(std::get<VoteRequest>(s.body).pre_vote);
  }
}

TEST_F(RaftCore, own_vote_counts_once_it_is_durable) {
  answer(2, VoteAnswer{{.epoch = 1}, true});
  EXPECT_EQ(core->role(), Role::candidate);
  durable();
  EXPECT_EQ(core->role(), Role::leader);
  ASSERT_EQ(ready.append.size(), 1u);
  EXPECT_TRUE(ready.append[0].leader_change);
  EXPECT_EQ(ready.append[0].granting, (std::vector<NodeId>{NodeId{1}, NodeId{2}}));
}

TEST_F(RaftCore, leader_counts_itself_by_what_it_has_synced) {
  lead();
  ask(fetch(2, 1, 1));
  EXPECT_FALSE(core->leads_safely());
  step(LogSynced{1});
  EXPECT_TRUE(core->leads_safely());
  EXPECT_EQ(core->committed(), 1);
}

TEST_F(RaftCore, leader_may_be_the_last_to_sync) {
  lead();
  ask(fetch(2, 1, 1));
  ask(fetch(3, 1, 1));
  EXPECT_EQ(core->committed(), 1);
  EXPECT_EQ(core->log().synced, 0);
}

TEST_F(RaftCore, parked_fetch_leaves_with_records_or_a_high_watermark_or_time) {
  lead();
  step(LogSynced{1});
  ask(fetch(2, 1, 1));  // commits offset 0: answered, for it did not know
  EXPECT_EQ(replied<FetchReply>().high_watermark, 1);
  FetchRequest again = fetch(2, 1, 1);
  again.high_watermark = 1;
  EXPECT_TRUE(ask(again).replies.empty());
  step(Propose{3});
  ASSERT_EQ(ready.replies.size(), 1u);
  EXPECT_EQ(replied<FetchReply>().read_from, 1);
  again.from.offset = 4;
  EXPECT_TRUE(ask(again).replies.empty());
  step(LogSynced{4});
  ASSERT_EQ(ready.replies.size(), 1u);
  EXPECT_EQ(replied<FetchReply>().high_watermark, 4);
  EXPECT_EQ(replied<FetchReply>().read_from, -1);
  again.high_watermark = 4;
  EXPECT_TRUE(ask(again).replies.empty());
  world.now = world.now + milliseconds(500);
  EXPECT_EQ(core->next_deadline(), world.now);
  EXPECT_EQ(step(Tick{}).replies.size(), 1u);
}

TEST_F(RaftCore, follower_acknowledges_only_what_is_durable) {
  boot({.epoch = 3, .leader = NodeId{2}}, {});
  ASSERT_EQ(ready.sends.size(), 1u);
  answer(2, FetchAnswer{{.epoch = 3, .leader = NodeId{2}}, 2, 0, {}, {}, {{0, 2, 3}, {2, 5, 3}}});
  EXPECT_TRUE(ready.accept);
  EXPECT_EQ(core->log().end, 5);
  EXPECT_EQ(core->committed(), 0);  // the leader says 2, but nothing is synced
  ASSERT_EQ(ready.sends.size(), 1u);
  EXPECT_EQ(ready.sends[0].needs.log, 5);
  EXPECT_EQ(std::get<FetchRequest>(ready.sends[0].body).from, (OffsetAndEpoch{5, 3}));
  step(LogSynced{5});
  EXPECT_EQ(core->committed(), 2);
}

TEST_F(RaftCore, follower_refuses_records_that_do_not_join) {
  boot({.epoch = 3, .leader = NodeId{2}}, {});
  for (const raft::Run& run : std::vector<raft::Run>{{1, 2, 3}, {0, 0, 3}, {0, 1, 4}}) {
    answer(2, FetchAnswer{{.epoch = 3, .leader = NodeId{2}}, 0, 0, {}, {}, {run}});
    EXPECT_FALSE(ready.accept);
    EXPECT_TRUE(ready.sends.empty());  // not in a hurry
    world.now = core->next_deadline();
    step(Tick{});
  }
  EXPECT_EQ(core->log().end, 0);
}

TEST_F(RaftCore, follower_truncates_but_never_what_is_committed) {
  LogState log;
  log.end = log.synced = 10;
  log.epochs = Epochs({{0, 1}, {4, 2}});
  boot({.epoch = 3, .leader = NodeId{2}}, log);
  answer(2, FetchAnswer{{.epoch = 3, .leader = NodeId{2}}, -1, 0, OffsetAndEpoch{6, 2}, {}});
  EXPECT_EQ(ready.truncate, 6);
  answer(2, FetchAnswer{{.epoch = 3, .leader = NodeId{2}}, 6, 0, {}, {}});
  EXPECT_EQ(core->committed(), 6);
  answer(2, FetchAnswer{{.epoch = 3, .leader = NodeId{2}}, 6, 0, OffsetAndEpoch{2, 1}, {}});
  EXPECT_NE(ready.fatal, nullptr);
}

TEST_F(RaftCore, follower_takes_no_snapshot_in_the_place_of_what_is_committed) {
  LogState log;
  log.end = log.synced = 10;
  log.epochs = Epochs({{0, 1}, {4, 2}});
  boot({.epoch = 3, .leader = NodeId{2}}, log);
  answer(2, FetchAnswer{{.epoch = 3, .leader = NodeId{2}}, 6, 0, {}, {}});
  ASSERT_EQ(core->committed(), 6);
  answer(2, FetchAnswer{{.epoch = 3, .leader = NodeId{2}}, -1, 0, {}, OffsetAndEpoch{6, 3}});
  ASSERT_EQ(ready.fatal, nullptr);
  ASSERT_EQ(ready.sends.size(), 1u);
  EXPECT_EQ(std::get<SnapshotRequest>(ready.sends[0].body).id, (OffsetAndEpoch{6, 3}));
  answer(2, SnapshotAnswer{.verdict = {.epoch = 3, .leader = NodeId{2}}, .id = {7, 3}, .size = 1, .bytes = 1});
  EXPECT_FALSE(ready.snapshot) << "another than was asked for";
  while (ready.sends.empty()) world.now = core->next_deadline(), step(Tick{});
  EXPECT_TRUE(std::holds_alternative<FetchRequest>(ready.sends[0].body));
  answer(2, FetchAnswer{{.epoch = 3, .leader = NodeId{2}}, -1, 0, {}, OffsetAndEpoch{5, 3}});
  EXPECT_NE(ready.fatal, nullptr);
}

TEST_F(RaftCore, follower_wants_parts_that_belong_together) {
  boot({.epoch = 3, .leader = NodeId{2}}, {});
  const raft::Verdict good{.epoch = 3, .leader = NodeId{2}};
  const auto begin = [&] {
    while (ready.sends.empty()) world.now = core->next_deadline(), step(Tick{});
    answer(2, FetchAnswer{good, -1, 0, {}, OffsetAndEpoch{6, 3}});
    answer(2, SnapshotAnswer{.verdict = good, .id = {6, 3}, .size = 10, .position = 0, .bytes = 4});
    ASSERT_TRUE(ready.snapshot);
    EXPECT_FALSE(ready.snapshot->last);
  };
  constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
  for (const auto& [size, position, bytes] : std::vector<std::array<int64_t, 3>>{
           {kLeast, 4, 6}, {3, 4, 6}, {20, 4, 6}, {10, 4, 7}, {10, 3, 6}, {10, 4, 0}, {10, 4, -1}}) {
    begin();
    answer(2, SnapshotAnswer{.verdict = good, .id = {6, 3}, .size = size, .position = position, .bytes = bytes});
    EXPECT_FALSE(ready.snapshot) << size << ' ' << position << ' ' << bytes;
    EXPECT_FALSE(core->fetched_snapshot());
  }
  begin();
  answer(2, SnapshotAnswer{.verdict = good, .id = {6, 3}, .size = 10, .position = 4, .bytes = 6});
  ASSERT_TRUE(ready.snapshot);
  EXPECT_TRUE(ready.snapshot->last);
}

// Writing a large one takes longer than a leader waits to hear from a voter, or a voter from its leader.
TEST_F(RaftCore, follower_that_stores_a_snapshot_hears_and_is_heard) {
  boot({.epoch = 3, .leader = NodeId{2}}, {});
  const raft::Verdict good{.epoch = 3, .leader = NodeId{2}};
  answer(2, FetchAnswer{good, -1, 0, {}, OffsetAndEpoch{6, 3}});
  answer(2, SnapshotAnswer{.verdict = good, .id = {6, 3}, .size = 4, .bytes = 4});
  ASSERT_TRUE(ready.snapshot);
  const Instant until = world.now + seconds(20);
  while (world.now < until) {
    while (ready.sends.empty()) {
      ASSERT_LT(world.now, core->next_deadline());
      world.now = core->next_deadline();
      step(Tick{});
    }
    ASSERT_TRUE(std::holds_alternative<FetchRequest>(ready.sends[0].body));
    answer(2, FetchAnswer{good, -1, 0, {}, OffsetAndEpoch{7, 3}});
    ASSERT_EQ(core->role(), Role::follower);
    ASSERT_EQ(core->fetched_snapshot(), (OffsetAndEpoch{6, 3}));
  }
  const Instant ended = world.now;
  step(SnapshotEnded{.id = {6, 3}, .unsound = true});
  EXPECT_FALSE(core->fetched_snapshot());
  while (ready.sends.empty()) world.now = core->next_deadline(), step(Tick{});
  EXPECT_GE(world.now - ended, milliseconds(500)) << "the same damaged one would come again";
}

// A fetch from the end of the log that was replaced asks for what this replica now has.
TEST_F(RaftCore, calls_for_a_log_that_was_replaced_are_forgotten_in_every_role) {
  boot({.epoch = 3, .leader = NodeId{2}}, {});
  const raft::Verdict good{.epoch = 3, .leader = NodeId{2}};
  answer(2, FetchAnswer{good, -1, 0, {}, OffsetAndEpoch{100, 3}});
  answer(2, SnapshotAnswer{.verdict = good, .id = {100, 3}, .size = 4, .bytes = 4});
  VoteRequest vote;
  vote.epoch = 4;
  vote.candidate.id = NodeId{3};
  vote.last = {200, 3};
  ask(vote);
  ASSERT_NE(core->role(), Role::follower);
  step(SnapshotEnded{.id = {100, 3}, .installed = true});
  EXPECT_TRUE(ready.forget_held);
  EXPECT_EQ(core->committed(), 100);
  answer(2, FetchAnswer{{.epoch = 4, .leader = NodeId{2}}, -1, 0, {}, OffsetAndEpoch{90, 3}});
  EXPECT_EQ(ready.fatal, nullptr);
}

TEST_F(RaftCore, former_leader_wakes_up_resigned_and_says_so) {
  boot({.epoch = 3, .leader = NodeId{1}}, {});
  EXPECT_EQ(core->role(), Role::resigned);
  ASSERT_EQ(ready.sends.size(), 2u);
  EXPECT_TRUE(std::holds_alternative<EndRequest>(ready.sends[0].body));
  VoteRequest vote{.epoch = 3, .candidate = {NodeId{2}, {}}, .last = {5, 2}};
  EXPECT_FALSE((ask(vote), replied<VoteAnswer>().granted));
  vote.epoch = 4;
  EXPECT_TRUE((ask(vote), replied<VoteAnswer>().granted));
  EXPECT_EQ(ready.replies[0].needs.hard_state, core->hard_state_version());
}

TEST_F(RaftCore, refused_leader_is_gone_but_a_lost_answer_is_not) {
  boot({.epoch = 3, .leader = NodeId{2}}, {});
  answer(2, NoAnswer{});
  EXPECT_EQ(core->role(), Role::follower);
  world.now = core->next_deadline();
  step(Tick{});
  answer(2, NoAnswer{.refused = true});
  EXPECT_EQ(core->role(), Role::prospective);  // first in rank: at once
  EXPECT_EQ(core->epoch(), 3);
  for (const Send& s : ready.sends) EXPECT_TRUE(std::get<VoteRequest>(s.body).pre_vote);
}

TEST_F(RaftCore, stranger_gets_no_vote_and_moves_no_epoch) {
  boot({.epoch = 3}, {});
  ask(VoteRequest{.epoch = 7, .candidate = {NodeId{9}, {}}, .last = {5, 2}});
  EXPECT_EQ(replied<VoteAnswer>().verdict.error, ErrorCode::none);
  EXPECT_FALSE(replied<VoteAnswer>().granted);
  EXPECT_EQ(core->epoch(), 3);
}

TEST_F(RaftCore, contradictions_are_answered_and_not_believed) {
  boot({.epoch = 3, .leader = NodeId{2}}, {});
  ask(BeginRequest{3, NodeId{3}, {}});
  EXPECT_EQ(replied<BeginAnswer>().verdict.error, ErrorCode::invalid_request);
  EXPECT_EQ(core->leader(), NodeId{2});
  ask(BeginRequest{2, NodeId{3}, {}});
  EXPECT_EQ(replied<BeginAnswer>().verdict.error, ErrorCode::fenced_leader_epoch);
  ask(BeginRequest{4, NodeId{9}, {}});
  EXPECT_EQ(replied<BeginAnswer>().verdict.error, ErrorCode::inconsistent_voter_set);
  ask(BeginRequest{4, NodeId{3}, {NodeId{2}, {}}});
  EXPECT_EQ(replied<BeginAnswer>().verdict.error, ErrorCode::invalid_voter_key);
  EXPECT_EQ(core->leader(), NodeId{3});  // as Kafka does: the epoch is learned before the address is checked
}

TEST_F(RaftCore, a_peer_that_names_the_last_epoch_ends_the_replica_in_good_order) {
  VoteRequest vote;
  vote.epoch = std::numeric_limits<LeaderEpoch>::max();
  vote.candidate.id = NodeId{2};
  ask(vote);
  ASSERT_EQ(core->epoch(), vote.epoch);
  while (core->role() != Role::prospective) world.now = core->next_deadline(), step(Tick{});
  EXPECT_EQ(ready.fatal, nullptr);
  answer(2, VoteAnswer{{.epoch = vote.epoch}, true});
  EXPECT_NE(ready.fatal, nullptr);
}

}  // namespace
}  // namespace klamm::raft
