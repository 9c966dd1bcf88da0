#include <gtest/gtest.h>

#include <set>

#include "engine/controller/placement.h"
#include "tests/engine/controller/lab.h"

namespace klamm::controller {
namespace {

TEST(CreateTopics, answers_what_was_made) {
  Lab lab;
  lab.start_broker(1);
  const auto a = lab.create({{.name = "t", .partitions = -1, .factor = -1, .configs = {{"retention.ms", "5000"}}}});
  ASSERT_EQ(a.topics.size(), 1u);
  const auto& t = a.topics[0];
  EXPECT_EQ(t.error_code, 0);
  EXPECT_TRUE(is_null(t.error_message));
  EXPECT_EQ(t.num_partitions, 4);
  EXPECT_EQ(t.replication_factor, 1);
  EXPECT_FALSE(t.topic_id.zero());
  std::map<std::string, std::pair<std::string, int>> configs;
  for (const auto& c : t.configs) configs[std::string(c.name)] = {std::string(c.value), c.config_source};
  EXPECT_EQ(configs.size(), 33u);
  EXPECT_EQ(configs["retention.ms"], std::pair(std::string("5000"), 1));
  EXPECT_EQ(configs["min.insync.replicas"], std::pair(std::string("1"), 3));
  EXPECT_EQ(configs["segment.ms"], std::pair(std::string("604800000"), 5));
  const metadata::Topic* topic = lab.controller.latest().topic("t");
  ASSERT_NE(topic, nullptr);
  EXPECT_EQ(topic->partitions.size(), 4u);
  EXPECT_EQ(*lab.controller.latest().config({metadata::ResourceType::topic, "t"}, "retention.ms"), "5000");
  EXPECT_EQ(lab.partition("t").directories[0], test_uuid(1001));
}

TEST(CreateTopics, errors) {
  Lab lab;
  lab.start_broker(1);
  ASSERT_EQ(lab.register_broker(2, 1), ErrorCode::none);  // stays fenced
  ASSERT_EQ(lab.create_one({.name = "a.b"}), ErrorCode::none);
  using E = ErrorCode;
  const auto assigned = [](std::vector<std::pair<int32_t, std::vector<int32_t>>> a) {
    return Lab::NewTopic{.name = "t", .partitions = -1, .factor = -1, .assignments = std::move(a)};
  };
  EXPECT_EQ(lab.create_one({.name = "a.b"}), E::topic_already_exists);
  EXPECT_EQ(lab.create_one({.name = "a_b"}), E::invalid_topic_exception);
  EXPECT_EQ(lab.create_one({.name = "a b"}), E::invalid_topic_exception);
  EXPECT_EQ(lab.create_one({.name = "__cluster_metadata"}), E::invalid_request);
  EXPECT_EQ(lab.create_one({.name = "t", .partitions = 0}), E::invalid_partitions);
  EXPECT_EQ(lab.create_one({.name = "t", .partitions = 1, .factor = 0}), E::invalid_replication_factor);
  EXPECT_EQ(lab.create_one({.name = "t", .partitions = 0, .factor = 0}), E::invalid_replication_factor);
  EXPECT_EQ(lab.create_one({.name = "t", .partitions = 1, .factor = 5}), E::invalid_replication_factor);
  EXPECT_EQ(lab.create_one({.name = "t", .partitions = 10001}), E::policy_violation);
  EXPECT_EQ(lab.create_one({.name = "t", .configs = {{"retention.ms", "abc"}}}), E::invalid_config);
  EXPECT_EQ(lab.create_one({.name = "t", .configs = {{"retention.ms", nullptr}}}), E::invalid_config);
  EXPECT_EQ(lab.create_one({.name = "t", .configs = {{"no.such", "1"}}}), E::invalid_config);
  EXPECT_EQ(lab.create_one({.name = "t", .configs = {{"remote.storage.enable", "true"}}}), E::invalid_config);
  EXPECT_EQ(lab.create_one(assigned({{0, {}}})), E::invalid_replica_assignment);
  EXPECT_EQ(lab.create_one(assigned({{0, {77}}})), E::invalid_replica_assignment);
  EXPECT_EQ(lab.create_one(assigned({{0, {2}}})), E::invalid_replica_assignment);  // fenced
  EXPECT_EQ(lab.create_one(assigned({{0, {1, 1}}})), E::invalid_replica_assignment);
  EXPECT_EQ(lab.create_one(assigned({{0, {1}}, {2, {1}}})), E::invalid_replica_assignment);
  EXPECT_EQ(lab.create_one(assigned({{1, {1}}})), E::invalid_replica_assignment);
  EXPECT_EQ(lab.create_one(assigned({{0, {1, 2}}, {1, {1}}})), E::invalid_replica_assignment);
  auto both = assigned({{0, {1}}});
  both.factor = 1;
  EXPECT_EQ(lab.create_one(both), E::invalid_request);
  both.factor = -1, both.partitions = 1;
  EXPECT_EQ(lab.create_one(both), E::invalid_request);
  EXPECT_EQ(lab.controller.latest().topics().size(), 1u);
}

TEST(CreateTopics, a_fenced_broker_may_get_replicas_but_no_isr) {
  Lab lab;
  lab.start_broker(1);
  ASSERT_EQ(lab.register_broker(2, 1), ErrorCode::none);
  ASSERT_EQ(lab.create_one({.name = "t", .partitions = 3, .factor = 2}), ErrorCode::none);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(lab.partition("t", i).leader, NodeId{1});
    EXPECT_EQ(lab.partition("t", i).isr.size(), 1u);
    EXPECT_EQ(lab.partition("t", i).replicas.size(), 2u);
  }
}

TEST(CreateTopics, duplicates_spoil_only_themselves) {
  Lab lab;
  lab.start_broker(1);
  const auto a = lab.create({{.name = "t"}, {.name = "t", .partitions = 2}, {.name = "u"}});
  std::map<std::string, int> errors;
  for (const auto& t : a.topics) errors[std::string(t.name)] = t.error_code;
  EXPECT_EQ(errors, (std::map<std::string, int>{{"t", 42}, {"u", 0}}));
}

TEST(CreateTopics, validate_only_makes_nothing) {
  Lab lab;
  lab.start_broker(1);
  auto q = lab.creation({{.name = "t", .partitions = 3}});
  q.validate_only = true;
  const auto a = *lab.ask<protocol::CreateTopicsResponse>(q, 7);
  EXPECT_EQ(a.topics[0].error_code, 0);
  EXPECT_EQ(a.topics[0].num_partitions, 3);
  EXPECT_EQ(lab.controller.latest().topic("t"), nullptr);
  EXPECT_EQ(lab.create({}).topics.size(), 0u);
}

TEST(DeleteTopics, by_name_and_id) {
  Lab lab;
  lab.start_broker(1);
  for (const char* name : {"a", "b", "c"}) ASSERT_EQ(lab.create_one({.name = name}), ErrorCode::none);
  const Uuid b = lab.controller.latest().topic("b")->id, c = lab.controller.latest().topic("c")->id;
  protocol::DeleteTopicsRequest old;
  old.timeout_ms = 1000;
  old.topic_names.push_back(lab.scratch.arena, "a");
  EXPECT_EQ(lab.ask<protocol::DeleteTopicsResponse>(old, 1)->responses[0].error_code, 0);
  EXPECT_EQ(lab.ask<protocol::DeleteTopicsResponse>(old, 5)->responses[0].error_code, 3);

  const auto ask = [&](std::vector<std::pair<const char*, Uuid>> topics) {
    protocol::DeleteTopicsRequest q;
    q.timeout_ms = 1000;
    for (const auto& [name, id] : topics) {
      auto& t = q.topics.add(lab.scratch.arena);
      t.name = name ? Str(name) : kNullStr;
      t.topic_id = id;
    }
    return *lab.ask<protocol::DeleteTopicsResponse>(q, 6);
  };
  auto a = ask({{"b", {}}, {"b", {}}});
  ASSERT_EQ(a.responses.size(), 1u);
  EXPECT_EQ(a.responses[0].error_code, 42);
  a = ask({{"b", {}}, {nullptr, b}});
  ASSERT_EQ(a.responses.size(), 1u);
  EXPECT_EQ(a.responses[0].error_code, 42);
  EXPECT_EQ(a.responses[0].topic_id, b);
  a = ask({{nullptr, b}});
  EXPECT_EQ(a.responses[0].error_code, 0);
  EXPECT_EQ(a.responses[0].name, "b");
  a = ask({{nullptr, b}});
  EXPECT_EQ(a.responses[0].error_code, 100);
  EXPECT_TRUE(is_null(a.responses[0].name));
  a = ask({{"nope", {}}, {nullptr, {}}, {"c", c}});
  ASSERT_EQ(a.responses.size(), 3u);
  EXPECT_NE(lab.controller.latest().topic("c"), nullptr);
  EXPECT_EQ(lab.create_one({.name = "a"}), ErrorCode::none);  // the name is free again
}

TEST(AlterPartition, the_leader_of_this_very_state_may) {
  Lab lab;
  for (int id : {1, 2, 3}) lab.start_broker(id);
  ASSERT_EQ(lab.create_one({.name = "t", .partitions = -1, .factor = -1, .assignments = {{0, {1, 2, 3}}}}),
            ErrorCode::none);
  using E = ErrorCode;
  EXPECT_EQ(lab.alter_isr({.topic = "t", .isr = {1, 2}, .leader_epoch_off = 1}), E::not_controller);
  EXPECT_EQ(lab.alter_isr({.topic = "t", .isr = {1, 2}, .partition_epoch_off = 1}), E::not_controller);
  EXPECT_EQ(lab.alter_isr({.topic = "t", .isr = {1, 2}, .leader_epoch_off = -1}), E::fenced_leader_epoch);
  EXPECT_EQ(lab.alter_isr({.topic = "t", .isr = {1, 2}, .from = 2}), E::invalid_request);
  EXPECT_EQ(lab.alter_isr({.topic = "t", .isr = {2, 3}}), E::invalid_request);     // without itself
  EXPECT_EQ(lab.alter_isr({.topic = "t", .isr = {1, 2, 2}}), E::invalid_request);  // twice
  EXPECT_EQ(lab.alter_isr({.topic = "t", .isr = {1, 9}}), E::invalid_request);     // no replica
  EXPECT_EQ(lab.alter_isr({.topic = "t", .isr = {1, 2}}), E::none);
  EXPECT_EQ(lab.partition("t").partition_epoch, 1);
  EXPECT_EQ(lab.partition("t").leader_epoch, 0);
  EXPECT_EQ(lab.alter_isr({.topic = "t", .isr = {1, 2, 3}, .partition_epoch_off = -1}), E::invalid_update_version);
  EXPECT_EQ(lab.alter_isr({.topic = "t", .isr = {1, 2, 3}, .member_epoch_off = -1}), E::ineligible_replica);  // KIP-903
  EXPECT_EQ(lab.alter_isr({.topic = "t", .isr = {1, 2, 3}}, 2), E::none);
  lab.refused(3);
  EXPECT_EQ(lab.alter_isr({.topic = "t", .isr = {1, 2, 3}}), E::ineligible_replica);  // KIP-841
}

TEST(Balance, leaders_go_home_after_a_while) {
  Lab lab;
  for (int id : {1, 2}) lab.start_broker(id);
  ASSERT_EQ(lab.create_one({.name = "t", .partitions = -1, .factor = -1, .assignments = {{0, {1, 2}}}}),
            ErrorCode::none);
  lab.refused(1);
  ASSERT_EQ(lab.register_broker(1, 2), ErrorCode::none);
  lab.beat(1);
  EXPECT_EQ(lab.alter_isr({.topic = "t", .isr = {2, 1}}), ErrorCode::none);
  EXPECT_EQ(lab.partition("t").leader, NodeId{2});
  for (int i = 0; i < 40; ++i) lab.wait(seconds(8)), lab.beat(1), lab.beat(2);
  EXPECT_EQ(lab.partition("t").leader, NodeId{1});
}

TEST(Elections, unclean_only_where_it_is_allowed) {
  Lab lab;
  for (int id : {1, 2}) lab.start_broker(id);
  for (const auto& [name, allowed] : {std::pair("t", "true"), std::pair("u", "false")})
    ASSERT_EQ(lab.create_one({.name = name,
                              .partitions = -1,
                              .factor = -1,
                              .configs = {{"unclean.leader.election.enable", allowed}},
                              .assignments = {{0, {1, 2}}}}),
              ErrorCode::none);
  for (const char* name : {"t", "u"}) EXPECT_EQ(lab.alter_isr({.topic = name, .isr = {1}}), ErrorCode::none);
  lab.refused(1);
  EXPECT_EQ(lab.partition("t").leader, NodeId{2});
  EXPECT_EQ(lab.partition("t").recovery, LeaderRecovery::recovering);
  EXPECT_EQ(lab.partition("u").leader, kNoNode);
}

// Texts are as brokers read them, blanks and capitals taken: else they mean other things to both.
TEST(Elections, configs_are_read_as_they_were_checked) {
  Lab lab;
  for (int id : {1, 2, 3}) lab.start_broker(id);
  ASSERT_EQ(lab.create_one({.name = "t",
                            .partitions = -1,
                            .factor = -1,
                            .configs = {{"unclean.leader.election.enable", " TRUE"}},
                            .assignments = {{0, {1, 2}}}}),
            ErrorCode::none);
  ASSERT_EQ(lab.create_one({.name = "u",
                            .partitions = -1,
                            .factor = -1,
                            .configs = {{"min.insync.replicas", " 2 "}},
                            .assignments = {{0, {1, 3}}}}),
            ErrorCode::none);
  ASSERT_EQ(lab.alter_isr({.topic = "t", .isr = {1}}), ErrorCode::none);
  lab.refused(1);
  EXPECT_EQ(lab.partition("t").leader, NodeId{2});
  EXPECT_EQ(lab.partition("t").recovery, LeaderRecovery::recovering);
  EXPECT_EQ(lab.partition("u").isr, std::vector{NodeId{3}});
  EXPECT_EQ(lab.partition("u").elr, std::vector{NodeId{1}});
}

TEST(Placement, spreads_leaders_and_racks) {
  for (uint64_t seed : {0, 1, 2, 3, 4, 5}) {
    TestChance chance;
    chance.seed = seed;
    Dice dice;
    std::vector<UsableBroker> brokers;
    for (int32_t i = 0; i < 6; ++i) brokers.push_back({NodeId{i}, "r" + std::to_string(i % 3), false});
    Placement placement(chance, dice, brokers);
    std::map<int32_t, int> leads;
    for (int p = 0; p < 6; ++p) {
      const std::vector<NodeId> replicas = placement.next(3);
      std::set<int32_t> racks;
      for (NodeId n : replicas) racks.insert(n.value % 3);
      EXPECT_EQ(racks.size(), 3u);
      ++leads[replicas[0].value];
    }
    EXPECT_EQ(leads.size(), 6u) << seed;
    Placement all(chance, dice, brokers);
    for (int p = 0; p < 20; ++p) {
      const std::vector<NodeId> replicas = all.next(6);
      EXPECT_EQ(std::set<NodeId>(replicas.begin(), replicas.end()).size(), 6u);
    }
  }
}

TEST(Placement, a_fenced_broker_never_leads) {
  TestChance chance;
  Dice dice;
  Placement placement(chance, dice, {{NodeId{1}, {}, true}, {NodeId{2}, {}, false}, {NodeId{3}, "r", true}});
  for (int p = 0; p < 10; ++p) EXPECT_EQ(placement.next(3)[0], NodeId{2});
  EXPECT_TRUE(placement.fault(4));
}

}  // namespace
}  // namespace klamm::controller
