// Stories of members: who joins, leaves, falls silent, comes back.
#include <algorithm>

#include "engine/protocol/text.h"
#include "tests/engine/group/rig.h"

namespace klamm::group {
namespace {

using E = ErrorCode;
using namespace protocol;

E error(const JoinGroupResponse& r) { return E(r.error_code); }
E error(const SyncGroupResponse& r) { return E(r.error_code); }

TEST(Group, a_new_member_is_told_its_id_and_joins_with_it) {
  Rig rig;
  const auto first = rig.joined(rig.send_join({}));
  EXPECT_EQ(error(first), E::member_id_required);
  EXPECT_TRUE(first.member_id.starts_with("client-a-")) << first.member_id;
  EXPECT_TRUE(is_null(first.protocol_name));
  const std::string id(first.member_id);
  const uint32_t join = rig.send_join({.member = id});
  rig.settle();
  const auto second = rig.joined(join);
  EXPECT_EQ(error(second), E::none);
  EXPECT_EQ(second.generation_id, 1);
  EXPECT_EQ(second.leader, id);
  EXPECT_EQ(second.protocol_name, "range");
  EXPECT_EQ(second.protocol_type, "consumer");
  ASSERT_EQ(second.members.size(), 1u);
  EXPECT_EQ(as_text(second.members[0].metadata.span()), subscription("t"));
  EXPECT_EQ(rig.state(), "CompletingRebalance");
  const auto plan = rig.synced(rig.send_sync(id, 1, {{id, "plan"}}));
  EXPECT_EQ(as_text(plan.assignment.span()), "plan");
  EXPECT_EQ(rig.state(), "Stable");
  EXPECT_EQ(rig.heartbeat(id, 1), E::none);
}

TEST(Group, a_member_that_was_told_its_id_does_not_come_as_a_static_one) {
  Rig rig;
  const std::string id = rig.new_id();
  const auto odd = rig.joined(rig.send_join({.member = id, .instance = "i"}));
  EXPECT_EQ(error(odd), E::unknown_server_error);
  EXPECT_EQ(odd.member_id, "");
  const uint32_t join = rig.send_join({.member = id});
  rig.settle();
  EXPECT_EQ(error(rig.joined(join)), E::none) << "it is still expected";
}

TEST(Group, a_new_group_is_in_the_log_before_its_first_member_is_told_an_id) {
  Rig rig;
  rig.committing = false;
  const uint32_t first = rig.send_join({});
  EXPECT_FALSE(rig.answered(first));
  EXPECT_EQ(rig.state(), "Dead");
  rig.commit_all();
  EXPECT_EQ(error(rig.joined(first)), E::member_id_required);
  EXPECT_EQ(rig.state(), "Empty");
}

TEST(Group, before_version_4_a_member_joins_at_once) {
  Rig rig;
  const uint32_t join = rig.send_join({.version = 0});
  rig.settle();
  const auto answer = rig.joined(join);
  EXPECT_EQ(error(answer), E::none);
  EXPECT_EQ(answer.members.size(), 1u);
}

TEST(Group, the_assignment_is_told_when_it_is_committed) {
  Rig rig;
  const std::string id = rig.new_id();
  rig.send_join({.member = id});
  rig.settle();
  rig.committing = false;
  const uint32_t sync = rig.send_sync(id, 1, {{id, "plan"}});
  EXPECT_FALSE(rig.answered(sync));
  EXPECT_EQ(rig.state(), "CompletingRebalance");
  rig.commit_all();
  EXPECT_EQ(error(rig.synced(sync)), E::none);
}

TEST(Group, two_members_share_a_generation) {
  Rig rig;
  const std::string m = rig.stable_group();
  const std::string n = rig.new_id();
  const uint32_t join_n = rig.send_join({.member = n});
  EXPECT_FALSE(rig.answered(join_n));
  EXPECT_EQ(rig.state(), "PreparingRebalance");
  EXPECT_EQ(rig.heartbeat(m, 1), E::rebalance_in_progress);
  const uint32_t join_m = rig.send_join({.member = m});
  EXPECT_EQ(rig.joined(join_m).generation_id, 2);
  EXPECT_EQ(rig.joined(join_m).leader, m);
  EXPECT_EQ(rig.joined(join_m).members.size(), 2u);
  EXPECT_EQ(rig.joined(join_n).members.size(), 0u) << "only the leader sees the others";
  const uint32_t sync_n = rig.send_sync(n, 2);
  EXPECT_FALSE(rig.answered(sync_n)) << "waits for the leader";
  const uint32_t sync_m = rig.send_sync(m, 2, {{m, "M"}, {n, "N"}});
  EXPECT_EQ(as_text(rig.synced(sync_m).assignment.span()), "M");
  EXPECT_EQ(as_text(rig.synced(sync_n).assignment.span()), "N");
  EXPECT_EQ(rig.heartbeat(n, 1), E::illegal_generation);
}

TEST(Group, a_member_that_leaves_lets_the_other_proceed) {
  Rig rig;
  const std::string m = rig.stable_group();
  const std::string n = rig.new_id();
  const uint32_t join = rig.send_join({.member = n});
  EXPECT_EQ(rig.leave(m), E::none);
  EXPECT_EQ(rig.joined(join).leader, n);
  EXPECT_EQ(rig.leave(m), E::unknown_member_id);
  EXPECT_EQ(rig.leave(n), E::none);
  EXPECT_EQ(rig.state(), "Empty");
}

TEST(Group, a_silent_member_expires_after_its_session) {
  Rig rig;
  const std::string m = rig.stable_group({.session_ms = 10'000});
  rig.pass(9'000);
  EXPECT_EQ(rig.heartbeat(m, 1), E::none);
  rig.pass(9'999);
  EXPECT_EQ(rig.state(), "Stable");
  rig.pass(1);
  EXPECT_EQ(rig.state(), "Empty");
  EXPECT_EQ(rig.heartbeat(m, 1), E::unknown_member_id);
  EXPECT_TRUE(rig.hard().groups.find(std::string("g"))->members.empty());
}

TEST(Group, a_commit_is_a_sign_of_life) {
  Rig rig;
  const std::string m = rig.stable_group({.session_ms = 10'000});
  rig.pass(9'000);
  EXPECT_EQ(rig.commit({.member = m, .generation = 1, .offset = 3}), E::none);
  rig.pass(9'000);
  EXPECT_EQ(rig.state(), "Stable");
}

TEST(Group, a_member_that_was_told_its_id_and_never_came_is_forgotten) {
  Rig rig;
  const std::string m = rig.stable_group({.session_ms = 60'000});
  const std::string pending = rig.new_id({.session_ms = 6'000});
  const std::string n = rig.new_id({.session_ms = 60'000});
  const uint32_t join_n = rig.send_join({.member = n, .session_ms = 60'000});
  const uint32_t join_m = rig.send_join({.member = m, .session_ms = 60'000});
  EXPECT_FALSE(rig.answered(join_m)) << "waits for the pending one";
  rig.pass(6'000);
  EXPECT_EQ(rig.joined(join_m).generation_id, 2);
  EXPECT_TRUE(rig.answered(join_n));
  EXPECT_EQ(error(rig.joined(rig.send_join({.member = pending}))), E::unknown_member_id);
}

TEST(Group, who_does_not_rejoin_in_time_is_removed) {
  Rig rig;
  const std::string m = rig.stable_group({.session_ms = 30'000, .rebalance_ms = 1'500});
  const std::string n = rig.new_id();
  const uint32_t join = rig.send_join({.member = n, .rebalance_ms = 1'500});
  rig.pass(1'000);
  EXPECT_EQ(rig.heartbeat(m, 1), E::rebalance_in_progress);
  EXPECT_FALSE(rig.answered(join));
  rig.pass(500);
  EXPECT_EQ(rig.joined(join).leader, n);
  EXPECT_EQ(rig.joined(join).generation_id, 2);
  EXPECT_EQ(rig.heartbeat(m, 1), E::unknown_member_id);
}

TEST(Group, who_does_not_sync_in_time_is_removed) {
  Rig rig;
  const std::string m = rig.new_id();
  rig.send_join({.member = m, .session_ms = 1'000'000, .rebalance_ms = 2'000});
  rig.settle();
  EXPECT_EQ(rig.state(), "CompletingRebalance");
  rig.pass(2'000);
  EXPECT_EQ(rig.state(), "Empty");
}

TEST(Group, a_first_rebalance_waits_for_more_members) {
  Config config = Rig::quick();
  config.initial_rebalance_delay_ms = 3'000;
  Rig rig(config);
  const uint32_t first = rig.send_join({.version = 3});
  rig.pass(2'000);
  const uint32_t second = rig.send_join({.version = 3});
  rig.pass(2'000);
  EXPECT_FALSE(rig.answered(first)) << "somebody came, it waits again";
  rig.pass(2'000);
  EXPECT_EQ(rig.joined(first).generation_id, 1);
  EXPECT_EQ(rig.joined(second).generation_id, 1);
  EXPECT_EQ(rig.joined(first).members.size(), 2u);
}

TEST(Group, a_follower_that_rejoins_unchanged_keeps_the_generation) {
  Rig rig;
  const std::string m = rig.stable_group();
  const std::string n = rig.new_id();
  const uint32_t waits = rig.send_join({.member = n});
  rig.send_join({.member = m});
  ASSERT_TRUE(rig.answered(waits));
  rig.send_sync(n, 2);
  rig.send_sync(m, 2, {{m, "M"}, {n, "N"}});
  EXPECT_EQ(rig.joined(rig.send_join({.member = n})).generation_id, 2);
  EXPECT_EQ(rig.heartbeat(m, 2), E::none);
  const uint32_t changed = rig.send_join({.member = n, .protocols = {{"range", subscription("u")}}});
  EXPECT_FALSE(rig.answered(changed));
  EXPECT_EQ(rig.heartbeat(m, 2), E::rebalance_in_progress);
}

TEST(Group, a_leader_that_rejoins_makes_the_group_rebalance) {
  Rig rig;
  const std::string m = rig.stable_group();
  EXPECT_EQ(rig.joined(rig.send_join({.member = m})).generation_id, 2);
}

TEST(Group, members_agree_on_a_protocol_or_stay_out) {
  Rig rig;
  rig.stable_group();
  EXPECT_EQ(error(rig.joined(rig.send_join({.protocols = {{"sticky", "x"}}}))), E::inconsistent_group_protocol);
  EXPECT_EQ(error(rig.joined(rig.send_join({.type = "connect"}))), E::inconsistent_group_protocol);
  EXPECT_EQ(error(rig.joined(rig.send_join({.protocols = {}}))), E::inconsistent_group_protocol);
}

TEST(Group, a_full_group_refuses) {
  Config config = Rig::quick();
  config.max_size = 1;
  Rig rig(config);
  rig.stable_group();
  EXPECT_EQ(error(rig.joined(rig.send_join({}))), E::group_max_size_reached);
}

TEST(Group, after_an_election_groups_come_back_some_in_a_turn_and_their_members_end_so) {
  Config config = Rig::quick();
  config.partitions = 1;
  Rig rig(config);
  constexpr size_t kGroups = 6'500;
  for (size_t i = 0; i < kGroups; ++i) rig.stable_group({.group = "g" + std::to_string(i)});
  rig.pass(1'000);
  rig.fail_over();
  const auto& groups = [&]() -> const auto& { return rig.coordinator.runtime().shard(0)->core.groups(); };
  EXPECT_EQ(groups().size(), 2'000u);
  EXPECT_EQ(rig.coordinator.next_deadline(), rig.world.now) << "it goes on at once";
  EXPECT_EQ(rig.state("g999"), "Stable") << "the last of them";
  auto c = rig.ctx();
  rig.coordinator.on_time(c, rig.out);
  EXPECT_EQ(groups().size(), 4'000u);
  rig.settle();
  EXPECT_EQ(groups().size(), kGroups);
  const auto left = [&] {
    return std::count_if(groups().begin(), groups().end(), [](const auto& g) { return !g.second.members.empty(); });
  };
  rig.pass(9'999);
  EXPECT_EQ(left(), static_cast<int64_t>(kGroups));
  rig.world.now = rig.world.now + milliseconds(1);
  auto last = rig.ctx();
  rig.coordinator.on_time(last, rig.out);
  EXPECT_EQ(left(), static_cast<int64_t>(kGroups - 1'000));
  rig.carry();
  rig.settle();
  EXPECT_EQ(left(), 0);
}

TEST(Group, a_static_member_joins_at_once_and_its_successor_fences_it) {
  Rig rig;
  const uint32_t join = rig.send_join({.instance = "i1"});
  rig.settle();
  const std::string m(rig.joined(join).member_id);
  EXPECT_EQ(error(rig.joined(join)), E::none);
  rig.send_sync(m, 1, {{m, "S1"}});
  rig.committing = false;
  const uint32_t again = rig.send_join({.instance = "i1"}, "client-b");
  EXPECT_FALSE(rig.answered(again)) << "until the new id is committed";
  rig.commit_all();
  const auto back = rig.joined(again);
  const std::string n(back.member_id);
  EXPECT_NE(m, n);
  EXPECT_EQ(back.generation_id, 1) << "no rebalance";
  EXPECT_EQ(back.leader, n);
  EXPECT_TRUE(back.skip_assignment);
  EXPECT_EQ(back.members.size(), 1u);
  EXPECT_EQ(rig.heartbeat(m, 1, "i1"), E::fenced_instance_id);
  EXPECT_EQ(rig.leave(m, "i1"), E::fenced_instance_id);
  EXPECT_EQ(as_text(rig.synced(rig.send_sync(n, 1)).assignment.span()), "S1");
  EXPECT_EQ(rig.heartbeat(n, 1, "i1"), E::none);
}

TEST(Group, a_static_leader_of_old_is_named_another_leader) {
  Rig rig;
  const uint32_t join = rig.send_join({.instance = "i1"});
  rig.settle();
  const std::string m(rig.joined(join).member_id);
  rig.send_sync(m, 1, {{m, "S1"}});
  const auto back = rig.joined(rig.send_join({.instance = "i1", .version = 8}));
  EXPECT_EQ(back.leader, m) << "so that it does not assign";
  EXPECT_EQ(back.members.size(), 0u);
}

TEST(Group, a_takeover_that_is_not_stored_is_undone) {
  Rig rig;
  const uint32_t join = rig.send_join({.instance = "i1"});
  rig.settle();
  const std::string m(rig.joined(join).member_id);
  rig.send_sync(m, 1, {{m, "S1"}});
  rig.refusing = E::not_enough_replicas;
  EXPECT_EQ(error(rig.joined(rig.send_join({.instance = "i1"}))), E::coordinator_not_available);
  rig.refusing = E::none;
  EXPECT_EQ(rig.heartbeat(m, 1, "i1"), E::none) << "the old one is still the one";
}

TEST(Group, a_static_member_stays_through_a_rebalance_that_it_misses) {
  Rig rig;
  const uint32_t first = rig.send_join({.instance = "i1", .session_ms = 60'000, .rebalance_ms = 1'000});
  rig.settle();
  const std::string m(rig.joined(first).member_id);
  rig.send_sync(m, 1, {{m, "S1"}});
  const uint32_t second = rig.send_join({.instance = "i2", .session_ms = 60'000, .rebalance_ms = 1'000});
  rig.pass(1'000);
  EXPECT_EQ(rig.joined(second).members.size(), 2u);
  EXPECT_EQ(rig.joined(second).leader, rig.joined(second).member_id);
}

TEST(Group, an_administrator_removes_a_static_member_by_its_instance) {
  Rig rig;
  const uint32_t join = rig.send_join({.instance = "i1"});
  rig.settle();
  EXPECT_EQ(rig.leave("", "nobody"), E::unknown_member_id);
  EXPECT_EQ(rig.leave("wrong", "i1"), E::fenced_instance_id);
  EXPECT_EQ(rig.leave("", "i1"), E::none);
  EXPECT_EQ(rig.state(), "Empty");
  (void)join;
}

TEST(Group, an_assignment_that_is_not_stored_makes_the_members_join_again) {
  Rig rig;
  const std::string m = rig.new_id();
  rig.send_join({.member = m});
  rig.settle();
  rig.refusing = E::not_enough_replicas;
  EXPECT_EQ(error(rig.synced(rig.send_sync(m, 1, {{m, "plan"}}))), E::coordinator_not_available);
  EXPECT_EQ(rig.state(), "PreparingRebalance");
  rig.refusing = E::none;
  EXPECT_EQ(rig.joined(rig.send_join({.member = m})).generation_id, 2);
}

TEST(Group, a_group_whose_first_record_fails_never_was) {
  Config config = Rig::quick();
  config.initial_rebalance_delay_ms = 1'000;
  Rig rig(config);
  rig.refusing = E::not_leader_or_follower;
  const uint32_t join = rig.send_join({.version = 3});
  EXPECT_EQ(error(rig.joined(join)), E::not_coordinator);
  rig.refusing = E::none;
  EXPECT_EQ(rig.state(), "Dead");
  rig.pass(5'000);
}

TEST(Group, a_new_coordinator_knows_the_members_and_waits_for_their_heartbeats) {
  Rig rig;
  const std::string m = rig.stable_group({.session_ms = 10'000});
  rig.pass(8'000);
  rig.fail_over();
  EXPECT_EQ(rig.state(), "Stable");
  rig.pass(8'000);
  EXPECT_EQ(rig.heartbeat(m, 1), E::none);
  EXPECT_EQ(as_text(rig.synced(rig.send_sync(m, 1)).assignment.span()), "plan");
  rig.pass(10'000);
  EXPECT_EQ(rig.state(), "Empty");
}

TEST(Group, a_coordinator_that_resigns_sends_the_waiting_away) {
  Rig rig;
  const std::string m = rig.stable_group();
  const std::string n = rig.new_id();
  const uint32_t join = rig.send_join({.member = n});
  rig.fail_over();
  EXPECT_EQ(error(rig.joined(join)), E::not_coordinator);
  EXPECT_EQ(rig.heartbeat(m, 1), E::none);
}

TEST(Group, requests_are_checked_before_a_group_is_asked) {
  Rig rig;
  EXPECT_EQ(error(rig.joined(rig.send_join({.group = ""}))), E::invalid_group_id);
  EXPECT_EQ(error(rig.joined(rig.send_join({.session_ms = 5'999}))), E::invalid_session_timeout);
  EXPECT_EQ(error(rig.joined(rig.send_join({.session_ms = 1'800'001}))), E::invalid_session_timeout);
  EXPECT_EQ(error(rig.joined(rig.send_join({.member = "nobody"}))), E::unknown_member_id);
  EXPECT_EQ(rig.state(), "Dead") << "none of them made a group";
}

TEST(Group, the_longest_names_leave_room_for_what_is_put_around_them) {
  Rig rig;
  const std::string longest(protocol::wire::kStringMax, 'y');
  const auto told = rig.joined(rig.send_join({}, longest));
  EXPECT_EQ(error(told), E::member_id_required);
  EXPECT_EQ(told.member_id.size(), protocol::wire::kStringMax);
  protocol::DescribeGroupsRequest describe;
  describe.groups.push_back(rig.world.scratch.arena, rig.keep(longest));
  const auto described = rig.ask<protocol::DescribeGroupsResponse>(6, describe);
  EXPECT_EQ(E(described.groups[0].error_code), E::group_id_not_found);
}

// A static member that stays away, of a group that waits next to no time for anyone.
TEST(Group, a_rebalance_that_nobody_joins_looks_again_after_a_pause) {
  Rig rig;
  const uint32_t join = rig.send_join({.instance = "one", .rebalance_ms = 1});
  rig.settle();
  const std::string id(rig.joined(join).member_id);
  ASSERT_EQ(error(rig.synced(rig.send_sync(id, 1, {{id, "plan"}}))), E::none);
  const std::string other = rig.new_id();
  ASSERT_EQ(rig.leave(other), E::none);
  ASSERT_EQ(rig.state(), "PreparingRebalance");
  rig.pass(5);
  ASSERT_EQ(rig.state(), "PreparingRebalance");
  EXPECT_GT(rig.coordinator.next_deadline(), rig.world.now + milliseconds(50));
}

TEST(Group, a_deletion_of_many_groups_takes_time_in_proportion) {
  Rig rig;
  protocol::DeleteGroupsRequest r;
  for (int i = 0; i < 200'000; ++i)
    r.groups_names.push_back(rig.world.scratch.arena, rig.keep("g" + std::to_string(i)));
  const auto answer = rig.ask<protocol::DeleteGroupsResponse>(2, r);
  EXPECT_EQ(answer.results.size(), 200'000u);
}

// That all had left was not taken by the log either: its last record is of a stable group.
TEST(Group, a_deletion_that_fails_brings_back_nobody) {
  Rig rig;
  const std::string id = rig.stable_group();
  rig.refusing = E::not_enough_replicas;
  rig.send_leave(id);
  EXPECT_EQ(rig.state(), "Empty");
  const std::string pending = rig.new_id();
  protocol::DeleteGroupsRequest r;
  r.groups_names.push_back(rig.world.scratch.arena, "g");
  const auto deleted = [&] { return E(rig.ask<protocol::DeleteGroupsResponse>(2, r).results[0].error_code); };
  EXPECT_EQ(deleted(), E::coordinator_not_available);
  EXPECT_EQ(rig.state(), "Empty");
  rig.refusing = E::none;
  const uint32_t join = rig.send_join({.member = pending});
  rig.settle();
  EXPECT_EQ(error(rig.joined(join)), E::none) << "it was told this id";
  rig.send_leave(pending);
  EXPECT_EQ(deleted(), E::none);
  EXPECT_EQ(rig.state(), "Dead");
}

TEST(Group, a_pending_member_expires_after_a_deletion_that_failed) {
  Rig rig;
  rig.new_id();
  rig.refusing = E::not_enough_replicas;
  protocol::DeleteGroupsRequest r;
  r.groups_names.push_back(rig.world.scratch.arena, "g");
  rig.ask<protocol::DeleteGroupsResponse>(2, r);
  const auto& core = rig.coordinator.runtime().shard(rig.coordinator.partition_of("g"))->core;
  ASSERT_EQ(core.groups().at("g").pending_members.size(), 1u);
  rig.pass(11'000);
  EXPECT_TRUE(core.groups().at("g").pending_members.empty());
}

TEST(Group, a_request_cut_short_closes_the_connection) {
  Rig rig;
  auto c = rig.ctx();
  rig.coordinator.on_request(c, {{.slot = 77, .api = 11, .version = 9}, Slice::copy("\x07g"), "c", "h"}, rig.topics,
                             rig.out);
  ASSERT_EQ(rig.out.replies.size(), 1u);
  EXPECT_TRUE(rig.out.replies[0].close);
}

}  // namespace
}  // namespace klamm::group
