// Stories of committed offsets, and of administrators.
#include "tests/engine/group/rig.h"

namespace klamm::group {
namespace {

using E = ErrorCode;
using namespace protocol;

TEST(Offsets, a_commit_is_read_back_when_it_is_committed) {
  Rig rig;
  EXPECT_EQ(rig.fetch(), -1);
  EXPECT_EQ(rig.commit({.offset = 5}), E::none);
  EXPECT_EQ(rig.fetch(), 5);
  rig.committing = false;
  const uint32_t commit = rig.send_commit({.offset = 9});
  EXPECT_FALSE(rig.answered(commit));
  EXPECT_EQ(rig.fetch(), 5);
  const uint32_t stable = rig.send_fetch("t", 0, true);
  EXPECT_FALSE(rig.answered(stable)) << "waits for what is on its way";
  rig.commit_all();
  EXPECT_TRUE(rig.answered(commit));
  EXPECT_EQ(rig.fetched(stable), 9);
  EXPECT_EQ(rig.fetch(), 9);
}

TEST(Offsets, a_member_commits_in_its_generation_alone) {
  Rig rig;
  const std::string m = rig.stable_group();
  EXPECT_EQ(rig.commit({.member = m, .generation = 1, .offset = 3}), E::none);
  EXPECT_EQ(rig.commit({.member = m, .generation = 0, .offset = 4}), E::illegal_generation);
  EXPECT_EQ(rig.commit({.member = "nobody", .generation = 1, .offset = 4}), E::unknown_member_id);
  EXPECT_EQ(rig.commit({.offset = 4}), E::unknown_member_id) << "the group is not empty";
  EXPECT_EQ(rig.fetch(), 3);
  EXPECT_EQ(rig.leave(m), E::none);
  EXPECT_EQ(rig.commit({.offset = 8}), E::none);
  EXPECT_EQ(rig.commit({.member = m, .generation = 1, .offset = 9}), E::unknown_member_id);
  EXPECT_EQ(rig.fetch(), 8);
}

TEST(Offsets, a_commit_of_a_generation_to_come_is_told_so) {
  Rig rig;
  const std::string m = rig.new_id();
  rig.send_join({.member = m});
  rig.settle();
  EXPECT_EQ(rig.commit({.member = m, .generation = 1, .offset = 3}), E::rebalance_in_progress);
}

TEST(Offsets, what_does_not_exist_is_refused_one_by_one) {
  Rig rig;
  EXPECT_EQ(rig.commit({.offset = 1, .topic = "nope"}), E::unknown_topic_or_partition);
  EXPECT_EQ(rig.commit({.offset = 1, .topic = "nope", .version = 10}), E::unknown_topic_id);
  EXPECT_EQ(rig.commit({.offset = 1, .partition = 9}), E::unknown_topic_or_partition);
  EXPECT_EQ(rig.commit({.offset = 1, .metadata = std::string(4097, 'x')}), E::offset_metadata_too_large);
  EXPECT_EQ(rig.commit({.offset = 1, .metadata = std::string(4096, 'x')}), E::none);
  EXPECT_EQ(rig.commit({.member = "x", .generation = 1, .group = "other"}), E::group_id_not_found);
  EXPECT_EQ(rig.commit({.member = "x", .generation = 1, .group = "other", .version = 8}), E::illegal_generation);
}

// One line a topic as it was answered: "t 9:3 0:0".
template<class Response>
std::vector<std::string> told(const Response& response) {
  std::vector<std::string> out;
  for (const auto& t : response.topics) {
    std::string& line = out.emplace_back(t.name);
    for (const auto& p : t.partitions)
      line += " " + std::to_string(p.partition_index) + ":" + std::to_string(p.error_code);
  }
  return out;
}

TEST(Offsets, topics_named_twice_are_told_as_asked_unless_something_was_refused_before) {
  Rig rig;
  Arena& arena = rig.world.scratch.arena;
  using Asked = std::vector<std::pair<const char*, std::vector<int32_t>>>;
  const auto fill = [&](auto& request, const Asked& asked) {
    request.group_id = "g";
    for (const auto& [name, partitions] : asked) {
      auto& t = request.topics.add(arena);
      t.name = name;
      for (const int32_t p : partitions) t.partitions.add(arena).partition_index = p;
    }
  };
  const auto commit = [&](const Asked& asked) {
    OffsetCommitRequest r;
    fill(r, asked);
    return told(rig.ask<OffsetCommitResponse>(8, r));
  };
  const auto remove = [&](const Asked& asked) {
    OffsetDeleteRequest r;
    fill(r, asked);
    return told(rig.ask<OffsetDeleteResponse>(0, r));
  };
  using Lines = std::vector<std::string>;
  const Asked clean = {{"t", {0}}, {"u", {}}, {"t", {1}}};
  const Asked mixed = {{"t", {0}}, {"no", {}}, {"t", {1, 9}}, {"u", {0}}, {"no", {5}}};
  EXPECT_EQ(commit(clean), (Lines{"t 0:0", "t 1:0"}));
  EXPECT_EQ(commit(mixed), (Lines{"no 5:3", "t 9:3 0:0 1:0", "u 0:0"}));
  EXPECT_EQ(commit({{"no", {}}}), (Lines{"no"}));
  EXPECT_EQ(remove(clean), (Lines{"t 0:0", "t 1:0"}));
  EXPECT_EQ(remove(mixed), (Lines{"no 5:3", "t 9:3 0:0 1:0", "u 0:0"}));
}

TEST(Offsets, a_failed_append_changes_nothing) {
  Rig rig;
  rig.commit({.offset = 5});
  rig.refusing = E::not_enough_replicas;
  EXPECT_EQ(rig.commit({.offset = 6}), E::coordinator_not_available);
  EXPECT_EQ(rig.fetch(), 5);
  rig.refusing = E::none;
  EXPECT_EQ(rig.commit({.offset = 7}), E::none);
  EXPECT_EQ(rig.fetch(), 7);
}

TEST(Offsets, survive_a_failover) {
  Rig rig;
  rig.commit({.offset = 5, .metadata = "m"});
  rig.commit({.offset = 6, .partition = 1});
  rig.fail_over();
  EXPECT_EQ(rig.fetch(), 5);
  EXPECT_EQ(rig.fetch("t", 1), 6);
}

TEST(Offsets, all_of_a_group_in_every_version) {
  Rig rig;
  rig.commit({.offset = 5, .partition = 1});
  rig.commit({.offset = 6, .topic = "u"});
  for (const int16_t version : {2, 7, 8, 9, 10}) {
    OffsetFetchRequest r;
    r.group_id = version < 8 ? "g" : "";
    if (version < 8) r.topics = decltype(r.topics)::null();
    if (version >= 8) {
      auto& g = r.groups.add(rig.world.scratch.arena);
      g.group_id = "g";
      g.topics = decltype(g.topics)::null();
    }
    const auto answer = rig.ask<OffsetFetchResponse>(version, r);
    if (version < 8) {
      ASSERT_EQ(answer.topics.size(), 2u);
      EXPECT_EQ(answer.topics[0].partitions[0].committed_offset, 5);
      continue;
    }
    ASSERT_EQ(answer.groups[0].topics.size(), 2u);
    EXPECT_EQ(answer.groups[0].topics[1].partitions[0].committed_offset, 6);
    if (version == 10) EXPECT_EQ(answer.groups[0].topics[1].topic_id, TwoTopics::uuid('u'));
  }
}

TEST(Offsets, several_groups_at_once_wait_for_each_of_their_partitions) {
  Rig rig;
  rig.commit({.offset = 5, .group = "g"});
  rig.commit({.offset = 6, .group = "h"});
  ASSERT_NE(rig.coordinator.partition_of("g"), rig.coordinator.partition_of("h"));
  rig.committing = false;
  rig.send_commit({.offset = 7, .group = "h"});
  OffsetFetchRequest r;
  r.require_stable = true;
  for (const char* id : {"g", "h"}) {
    auto& g = r.groups.add(rig.world.scratch.arena);
    g.group_id = id;
    g.topics = decltype(g.topics)::null();
  }
  const uint32_t fetch = rig.send(8, r);
  EXPECT_FALSE(rig.answered(fetch));
  rig.commit_all();
  const auto answer = rig.answer<OffsetFetchResponse>(fetch);
  EXPECT_EQ(answer.groups[0].topics[0].partitions[0].committed_offset, 5);
  EXPECT_EQ(answer.groups[1].topics[0].partitions[0].committed_offset, 7);
}

TEST(Offsets, a_group_that_cannot_be_read_spoils_only_its_own_part) {
  Rig rig;
  rig.commit({.offset = 5, .group = "g"});
  rig.committing = false;
  rig.send_commit({.offset = 7, .group = "h"});
  OffsetFetchRequest r;
  r.require_stable = true;
  for (const char* id : {"g", "h"}) {
    auto& g = r.groups.add(rig.world.scratch.arena);
    g.group_id = id;
    g.topics = decltype(g.topics)::null();
  }
  const uint32_t fetch = rig.send(8, r);
  auto c = rig.ctx();
  rig.coordinator.resigned(c, rig.coordinator.partition_of("h"), rig.out);
  rig.carry();
  const auto answer = rig.answer<OffsetFetchResponse>(fetch);
  EXPECT_EQ(answer.groups[0].error_code, 0);
  EXPECT_EQ(answer.groups[0].topics.size(), 1u);
  EXPECT_EQ(E(answer.groups[1].error_code), E::not_coordinator);
  EXPECT_EQ(answer.groups[1].topics.size(), 0u);
}

TEST(Offsets, of_a_topic_made_anew_are_not_the_old_ones) {
  Rig rig;
  rig.commit({.offset = 5});
  auto c = rig.ctx();
  rig.coordinator.topics_deleted(c, {{"t", {TwoTopics::uuid('x')}}}, rig.out);
  rig.carry();
  EXPECT_EQ(rig.fetch(), 5) << "another topic of that name";
  rig.coordinator.topics_deleted(c, {{"t", {TwoTopics::uuid('t')}}}, rig.out);
  rig.carry();
  EXPECT_EQ(rig.fetch(), -1);
}

OffsetDeleteRequest deletion(Rig& rig, const char* topic, int32_t partition) {
  OffsetDeleteRequest r;
  r.group_id = "g";
  auto& t = r.topics.add(rig.world.scratch.arena);
  t.name = topic;
  t.partitions.add(rig.world.scratch.arena).partition_index = partition;
  return r;
}

TEST(Offsets, are_deleted_unless_subscribed) {
  Rig rig;
  EXPECT_EQ(E(rig.ask<OffsetDeleteResponse>(0, deletion(rig, "t", 0)).error_code), E::group_id_not_found);
  const std::string m = rig.stable_group();
  rig.commit({.member = m, .generation = 1, .offset = 5});
  rig.commit({.member = m, .generation = 1, .offset = 6, .topic = "u"});
  const auto error = [&](const char* topic, int32_t partition) {
    return E(rig.ask<OffsetDeleteResponse>(0, deletion(rig, topic, partition)).topics[0].partitions[0].error_code);
  };
  EXPECT_EQ(error("t", 0), E::group_subscribed_to_topic);
  EXPECT_EQ(error("u", 0), E::none);
  EXPECT_EQ(error("u", 7), E::unknown_topic_or_partition);
  EXPECT_EQ(rig.fetch(), 5);
  EXPECT_EQ(rig.fetch("u"), -1);
}

TEST(Offsets, expire_when_the_group_has_been_empty_for_long) {
  Config config = Rig::quick();
  config.offsets_retention_ms = 60'000;
  config.retention_check_ms = 10'000;
  Rig rig(config);
  const std::string m = rig.stable_group({.session_ms = 1'800'000});
  rig.commit({.member = m, .generation = 1, .offset = 5});
  rig.commit({.member = m, .generation = 1, .offset = 6, .topic = "u"});
  rig.pass(200'000);
  EXPECT_EQ(rig.fetch(), 5) << "subscribed";
  EXPECT_EQ(rig.fetch("u"), -1) << "not subscribed any more";
  rig.leave(m);
  rig.pass(55'000);
  EXPECT_EQ(rig.fetch(), 5);
  rig.pass(20'000);
  EXPECT_EQ(rig.fetch(), -1);
  EXPECT_EQ(rig.state(), "Dead") << "a group with neither members nor offsets goes";
  EXPECT_TRUE(rig.hard().groups.empty());
}

TEST(Groups, are_listed_by_state_and_type) {
  Rig rig;
  rig.stable_group();
  rig.commit({.offset = 1, .group = "simple"});
  const auto list = [&](std::vector<const char*> states, std::vector<const char*> types) {
    ListGroupsRequest r;
    for (const char* s : states) r.states_filter.push_back(rig.world.scratch.arena, s);
    for (const char* t : types) r.types_filter.push_back(rig.world.scratch.arena, t);
    std::string names;
    for (const auto& g : rig.ask<ListGroupsResponse>(5, r).groups) names += std::string(g.group_id) + " ";
    return names;
  };
  EXPECT_EQ(list({"sTaBle"}, {}), "g ");
  EXPECT_EQ(list({"Empty"}, {"CLASSIC"}), "simple ");
  EXPECT_EQ(list({"\tEmpty "}, {}), "simple ");
  EXPECT_EQ(list({}, {" classic"}), "");
  EXPECT_EQ(list({"nope"}, {}), "");
  EXPECT_EQ(list({}, {"consumer"}), "");
  EXPECT_EQ(list({}, {}).size(), std::string("g simple ").size());
}

TEST(Groups, are_described_with_their_members) {
  Rig rig;
  const std::string m = rig.stable_group();
  for (const int16_t version : {0, 5, 6}) {
    DescribeGroupsRequest r;
    for (const char* id : {"g", "none"}) r.groups.push_back(rig.world.scratch.arena, id);
    r.include_authorized_operations = version >= 3;
    const auto answer = rig.ask<DescribeGroupsResponse>(version, r);
    EXPECT_EQ(answer.groups[0].protocol_data, "range");
    EXPECT_EQ(answer.groups[0].members[0].client_host, "/127.0.0.1");
    EXPECT_EQ(as_text(answer.groups[0].members[0].member_assignment.span()), "plan");
    EXPECT_EQ(answer.groups[1].group_state, "Dead");
    EXPECT_EQ(E(answer.groups[1].error_code), version >= 6 ? E::group_id_not_found : E::none);
    if (version >= 3) EXPECT_EQ(answer.groups[0].authorized_operations, 3400);
  }
}

TEST(Groups, are_deleted_when_empty) {
  Rig rig;
  const std::string m = rig.stable_group();
  rig.commit({.member = m, .generation = 1, .offset = 5});
  const auto remove = [&] {
    DeleteGroupsRequest r;
    for (const char* id : {"g", "none", "g"}) r.groups_names.push_back(rig.world.scratch.arena, id);
    const auto answer = rig.ask<DeleteGroupsResponse>(2, r);
    EXPECT_EQ(E(answer.results[1].error_code), E::group_id_not_found);
    EXPECT_EQ(answer.results.size(), 2u);  // "g" is told of once
    return E(answer.results[0].error_code);
  };
  EXPECT_EQ(remove(), E::non_empty_group);
  rig.leave(m);
  EXPECT_EQ(remove(), E::none);
  EXPECT_EQ(remove(), E::group_id_not_found);
  EXPECT_EQ(rig.fetch(), -1);
  EXPECT_TRUE(rig.hard().offsets.empty());
}

}  // namespace
}  // namespace klamm::group
