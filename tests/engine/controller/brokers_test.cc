#include <gtest/gtest.h>

#include "tests/engine/controller/lab.h"

namespace klamm::controller {
namespace {

std::vector<NodeId> nodes(std::initializer_list<int32_t> ids) {
  std::vector<NodeId> out;
  for (int32_t id : ids) out.push_back(NodeId{id});
  return out;
}

TEST(Bootstrap, a_fresh_cluster_has_all_features_of_4_3) {
  Lab lab;
  const metadata::Image& image = lab.controller.latest();
  EXPECT_EQ(image.feature("metadata.version"), 30);
  EXPECT_EQ(image.feature("transaction.version"), 2);
  for (const char* name : {"group.version", "share.version", "streams.version", "eligible.leader.replicas.version"})
    EXPECT_EQ(image.feature(name), 1) << name;
  EXPECT_EQ(*image.config({metadata::ResourceType::broker, ""}, "min.insync.replicas"), "1");
  lab.commit();
  const size_t before = lab.log.size();
  lab.deactivate();
  lab.activate(2);
  EXPECT_EQ(lab.log.size(), before);  // once
}

// As a controller leaves it that dies in the middle.
TEST(Bootstrap, a_transaction_that_nobody_ended_is_aborted) {
  Lab lab(lab_options(), false);
  lab.log.push_back({lab.next++, metadata::encode_record(0, protocol::BeginTransactionRecord{})});
  const Slice topic = metadata::encode_record(0, protocol::TopicRecord{.name = "half", .topic_id = test_uuid(1)});
  lab.log.push_back({lab.next++, topic});
  lab.committed_records = lab.log.size();
  lab.activate(1);
  lab.commit();
  EXPECT_FALSE(lab.fold().in_transaction());
  EXPECT_EQ(lab.fold().topic("half"), nullptr);
  EXPECT_EQ(lab.controller.latest().feature("metadata.version"), 30);
  EXPECT_EQ(lab.register_broker(1, 1), ErrorCode::none);
}

TEST(Heartbeat, a_broker_whose_directories_are_all_cordoned_gets_no_new_partitions) {
  Lab lab;
  lab.start_broker(1);
  EXPECT_EQ(lab.register_broker(2, 1), ErrorCode::none);
  EXPECT_FALSE(lab.beat(2, {.cordoned = {{test_uuid(1002)}}}).is_fenced) << "and it is known from then on";
  EXPECT_EQ(lab.create_one({.name = "t", .partitions = 4}), ErrorCode::none);
  for (int32_t p = 0; p < 4; ++p)
    EXPECT_EQ(lab.controller.latest().topic("t")->partitions.find(p)->replicas, nodes({1}));
  EXPECT_EQ(lab.create_one({.name = "u", .factor = 2}), ErrorCode::invalid_replication_factor);
  EXPECT_EQ(lab.create_one({.name = "u", .partitions = -1, .factor = -1, .assignments = {{0, {2, 1}}}}),
            ErrorCode::none);
  const size_t before = lab.log.size();
  lab.beat(2, {.cordoned = {{test_uuid(1002)}}});
  lab.beat(2);
  EXPECT_EQ(lab.log.size(), before) << "nothing new";
  lab.beat(2, {.cordoned = {{}}});
  EXPECT_EQ(lab.create_one({.name = "v", .factor = 2}), ErrorCode::none);
}

TEST(Registration, errors) {
  Lab lab;
  auto q = lab.registration(1, 1);
  const auto error = [&](int16_t version = 4) {
    return static_cast<ErrorCode>(lab.ask<protocol::BrokerRegistrationResponse>(q, version)->error_code);
  };
  q.cluster_id = "other";
  EXPECT_EQ(error(), ErrorCode::inconsistent_cluster_id);
  q = lab.registration(1, 1);
  q.features = {};
  EXPECT_EQ(error(), ErrorCode::invalid_registration);
  q = lab.registration(1, 1);
  q.log_dirs = {};
  EXPECT_EQ(error(), ErrorCode::invalid_registration);
  EXPECT_EQ(error(0), ErrorCode::invalid_registration);  // version 0 has no directories
  q = lab.registration(1, 1);
  q.features[0].max_supported_version = 8;
  EXPECT_EQ(error(), ErrorCode::unsupported_version);
  lab.start_broker(2);
  q = lab.registration(1, 1);
  q.log_dirs[0] = test_uuid(1002);
  EXPECT_EQ(error(), ErrorCode::invalid_registration);  // another's directory
}

TEST(Registration, directories_are_unlike_all_others_and_of_a_number) {
  Lab lab;
  lab.start_broker(2);
  const auto error = [&](size_t count, size_t twice = SIZE_MAX, uint64_t another = 0) {
    auto q = lab.registration(1, 1);
    q.log_dirs = {};
    for (size_t i = 0; i < count; ++i) q.log_dirs.push_back(lab.scratch.arena, test_uuid(5'000 + i % twice));
    if (another != 0) q.log_dirs.push_back(lab.scratch.arena, test_uuid(another));
    return static_cast<ErrorCode>(lab.ask<protocol::BrokerRegistrationResponse>(q, 4)->error_code);
  };
  EXPECT_EQ(error(80'000), ErrorCode::invalid_registration);
  EXPECT_EQ(error(kLogDirsMax + 1), ErrorCode::invalid_registration);
  EXPECT_EQ(error(kLogDirsMax, kLogDirsMax - 1), ErrorCode::invalid_registration);
  EXPECT_EQ(error(kLogDirsMax - 1, SIZE_MAX, 1002), ErrorCode::invalid_registration);
  EXPECT_EQ(error(kLogDirsMax), ErrorCode::none);
}

TEST(Registration, a_broker_is_fenced_until_it_has_seen_its_registration) {
  Lab lab;
  ASSERT_EQ(lab.register_broker(1, 1), ErrorCode::none);
  const BrokerEpoch epoch = lab.epoch_of(1);
  EXPECT_EQ(epoch, lab.next - 1);
  auto a = lab.beat(1, {.reached = epoch - 1});
  EXPECT_TRUE(a.is_fenced);
  EXPECT_FALSE(a.is_caught_up);
  EXPECT_TRUE(lab.beat(1, {.fence = true}).is_fenced);
  a = lab.beat(1, {.reached = epoch});
  EXPECT_FALSE(a.is_fenced);
  EXPECT_TRUE(a.is_caught_up);
  EXPECT_TRUE(lab.controller.latest().active(NodeId{1}));
}

TEST(Registration, a_second_incarnation_waits_for_the_session_of_the_first) {
  Lab lab;
  lab.start_broker(1);
  EXPECT_EQ(lab.register_broker(1, 2), ErrorCode::duplicate_broker_registration);
  EXPECT_EQ(lab.register_broker(1, 1), ErrorCode::none);  // the same one may amend, and stays as it is
  EXPECT_TRUE(lab.controller.latest().active(NodeId{1}));
  lab.wait(seconds(9));
  EXPECT_TRUE(lab.controller.latest().broker(NodeId{1})->fenced);
  EXPECT_EQ(lab.register_broker(1, 2), ErrorCode::none);
}

TEST(Registration, a_broken_connection_lets_the_next_incarnation_in) {
  Lab lab;
  lab.start_broker(1);
  lab.controller.broker_disconnected(NodeId{1});
  EXPECT_EQ(lab.register_broker(1, 2), ErrorCode::none);
  EXPECT_TRUE(lab.controller.latest().broker(NodeId{1})->fenced);
}

TEST(Heartbeat, of_a_stranger_or_a_former_life_is_stale) {
  Lab lab;
  lab.start_broker(1);
  protocol::BrokerHeartbeatRequest q;
  q.broker_id = 1;
  q.broker_epoch = -7;
  auto a = *lab.ask<protocol::BrokerHeartbeatResponse>(q, 0);
  EXPECT_EQ(a.error_code, static_cast<int16_t>(ErrorCode::stale_broker_epoch));
  EXPECT_TRUE(a.is_fenced);
  q.broker_id = 903;
  EXPECT_EQ(lab.ask<protocol::BrokerHeartbeatResponse>(q, 2)->error_code, 77);
}

TEST(Fencing, a_session_that_ends_moves_leaders_and_shrinks_isrs) {
  Lab lab;
  for (int id : {1, 2, 3}) lab.start_broker(id);
  ASSERT_EQ(
      lab.create_one({.name = "t", .partitions = -1, .factor = -1, .assignments = {{0, {1, 2, 3}}, {1, {2, 3, 1}}}}),
      ErrorCode::none);
  lab.wait(seconds(5));
  lab.beat(2), lab.beat(3);
  EXPECT_EQ(lab.controller.next_deadline(), Instant{1} + seconds(9));
  lab.wait(seconds(4));
  EXPECT_TRUE(lab.controller.latest().broker(NodeId{1})->fenced);
  EXPECT_FALSE(lab.controller.latest().broker(NodeId{2})->fenced);
  EXPECT_EQ(lab.partition("t").leader, NodeId{2});
  EXPECT_EQ(lab.partition("t").leader_epoch, 1);
  EXPECT_EQ(lab.partition("t").isr, nodes({2, 3}));
  EXPECT_EQ(lab.partition("t", 1).leader_epoch, 0);  // its leader stays
  EXPECT_EQ(lab.partition("t", 1).isr, nodes({2, 3}));
}

TEST(Fencing, a_refused_dial_fences_at_once) {
  Lab lab;
  for (int id : {1, 2}) lab.start_broker(id);
  ASSERT_EQ(lab.create_one({.name = "t", .partitions = -1, .factor = -1, .assignments = {{0, {1, 2}}}}),
            ErrorCode::none);
  lab.refused(1);
  EXPECT_EQ(lab.partition("t").leader, NodeId{2});
  EXPECT_EQ(lab.register_broker(1, 2), ErrorCode::none);  // nobody waits for the dead one's session
  lab.refused(77);                                        // a stranger
}

TEST(Fencing, the_last_replica_comes_back_as_leader) {
  Lab lab;
  lab.start_broker(1);
  ASSERT_EQ(lab.create_one({.name = "t"}), ErrorCode::none);
  lab.refused(1);
  EXPECT_EQ(lab.partition("t").leader, kNoNode);
  EXPECT_EQ(lab.partition("t").elr, nodes({1}));
  EXPECT_EQ(lab.partition("t").last_known_elr, nodes({1}));
  // A clean return is a clean election.
  ASSERT_EQ(lab.register_broker(1, 2, lab.epoch_of(1)), ErrorCode::none);
  EXPECT_FALSE(lab.beat(1).is_fenced);
  EXPECT_EQ(lab.partition("t").leader, NodeId{1});
  EXPECT_EQ(lab.partition("t").recovery, LeaderRecovery::recovered);
  EXPECT_TRUE(lab.partition("t").elr.empty());
  // A lossy one is the last known leader's, declared as such.
  lab.refused(1);
  ASSERT_EQ(lab.register_broker(1, 3), ErrorCode::none);
  EXPECT_TRUE(lab.partition("t").elr.empty());
  EXPECT_FALSE(lab.beat(1).is_fenced);
  EXPECT_EQ(lab.partition("t").leader, NodeId{1});
  EXPECT_EQ(lab.partition("t").recovery, LeaderRecovery::recovering);
  EXPECT_TRUE(lab.partition("t").last_known_elr.empty());
}

// KIP-966: with min.insync.replicas 2 the last member of the isr is not the only candidate, and a lossy one is none.
TEST(Fencing, an_unclean_restart_gives_the_lead_to_the_elr) {
  Lab lab;
  for (int id : {1, 2, 3}) lab.start_broker(id);
  ASSERT_EQ(lab.create_one({.name = "t",
                            .partitions = -1,
                            .factor = -1,
                            .configs = {{"min.insync.replicas", "2"}},
                            .assignments = {{0, {1, 2, 3}}}}),
            ErrorCode::none);
  lab.refused(1);
  lab.refused(2);
  EXPECT_EQ(lab.partition("t").isr, nodes({3}));
  EXPECT_EQ(lab.partition("t").elr, nodes({2}));
  lab.refused(3);
  EXPECT_EQ(lab.partition("t").elr, nodes({2, 3}));
  ASSERT_EQ(lab.register_broker(3, 2), ErrorCode::none);  // it lost the end of its log
  EXPECT_FALSE(lab.beat(3).is_fenced);
  EXPECT_EQ(lab.partition("t").leader, kNoNode);
  ASSERT_EQ(lab.register_broker(2, 2, lab.epoch_of(2)), ErrorCode::none);
  EXPECT_FALSE(lab.beat(2).is_fenced);
  EXPECT_EQ(lab.partition("t").leader, NodeId{2});
  EXPECT_EQ(lab.partition("t").isr, nodes({2}));
  EXPECT_EQ(lab.alter_isr({.topic = "t", .isr = {2, 3}}), ErrorCode::none);
  EXPECT_TRUE(lab.partition("t").elr.empty());
}

TEST(Shutdown, leaders_move_first_and_then_the_broker_may_go) {
  Lab lab;
  for (int id : {1, 2, 3}) lab.start_broker(id);
  ASSERT_EQ(lab.create_one({.name = "t", .partitions = -1, .factor = -1, .assignments = {{0, {1, 2, 3}}}}),
            ErrorCode::none);
  const Offset before = lab.next - 1;
  auto a = lab.beat(1, {.shut_down = true});
  EXPECT_FALSE(a.should_shut_down);
  EXPECT_FALSE(a.is_fenced);
  EXPECT_TRUE(lab.controller.latest().broker(NodeId{1})->in_controlled_shutdown);
  EXPECT_EQ(lab.partition("t").leader, NodeId{2});
  EXPECT_EQ(lab.partition("t").isr, nodes({2, 3}));
  lab.beat(2), lab.beat(3, {.reached = before});
  EXPECT_FALSE(lab.beat(1, {.shut_down = true}).should_shut_down);  // 3 does not know yet
  lab.beat(3);
  a = lab.beat(1, {.shut_down = true});
  EXPECT_TRUE(a.should_shut_down);
  EXPECT_TRUE(a.is_fenced);
  EXPECT_EQ(lab.register_broker(1, 2, lab.epoch_of(1)), ErrorCode::none);  // back at once
  EXPECT_FALSE(lab.controller.latest().broker(NodeId{1})->in_controlled_shutdown);
}

TEST(Shutdown, who_leads_nothing_goes_at_once) {
  Lab lab;
  lab.start_broker(1);
  EXPECT_TRUE(lab.beat(1, {.shut_down = true}).should_shut_down);
  EXPECT_TRUE(lab.controller.latest().broker(NodeId{1})->fenced);
}

TEST(Unregistration, takes_the_broker_out_of_everything) {
  Lab lab;
  for (int id : {1, 2}) lab.start_broker(id);
  ASSERT_EQ(lab.create_one({.name = "t", .partitions = -1, .factor = -1, .assignments = {{0, {1, 2}}}}),
            ErrorCode::none);
  protocol::UnregisterBrokerRequest q;
  q.broker_id = 1;
  auto a = *lab.ask<protocol::UnregisterBrokerResponse>(q, 0);
  EXPECT_EQ(a.error_code, 0);
  EXPECT_TRUE(is_null(a.error_message));
  EXPECT_EQ(lab.partition("t").isr, nodes({2}));
  a = *lab.ask<protocol::UnregisterBrokerResponse>(q, 0);
  EXPECT_EQ(a.error_code, static_cast<int16_t>(ErrorCode::broker_id_not_registered));
  EXPECT_FALSE(a.error_message.empty());
}

TEST(Unregistration, of_the_last_in_sync_leaves_it_eligible_until_it_comes_back) {
  Lab lab;
  for (int id : {1, 2}) lab.start_broker(id);
  ASSERT_EQ(lab.create_one({.name = "t", .partitions = -1, .factor = -1, .assignments = {{0, {1}}}}), ErrorCode::none);
  protocol::UnregisterBrokerRequest q;
  q.broker_id = 1;
  EXPECT_EQ(lab.ask<protocol::UnregisterBrokerResponse>(q, 0)->error_code, 0);
  EXPECT_EQ(lab.partition("t").leader, kNoNode);
  EXPECT_TRUE(lab.partition("t").isr.empty());
  EXPECT_EQ(lab.partition("t").elr, nodes({1}));
  EXPECT_EQ(lab.partition("t").last_known_elr, nodes({1}));
  EXPECT_EQ(lab.register_broker(1, 7), ErrorCode::none);  // nobody knows what it lost meanwhile
  EXPECT_TRUE(lab.partition("t").elr.empty());
}

TEST(ProducerIds, blocks_follow_each_other) {
  Lab lab;
  lab.start_broker(1);
  protocol::AllocateProducerIdsRequest q;
  q.broker_id = 1;
  q.broker_epoch = -5;
  EXPECT_EQ(lab.ask<protocol::AllocateProducerIdsResponse>(q, 0)->error_code, 77);
  q.broker_epoch = lab.epoch_of(1);
  for (int64_t start : {0, 1000, 2000}) {
    const auto a = *lab.ask<protocol::AllocateProducerIdsResponse>(q, 0);
    EXPECT_EQ(a.producer_id_start, start);
    EXPECT_EQ(a.producer_id_len, 1000);
  }
}

TEST(Leadership, replies_wait_for_the_commit_and_fail_with_the_leadership) {
  Lab lab;
  lab.commit();
  lab.start_broker(1);
  const metadata::Image committed = lab.controller.latest();
  EXPECT_FALSE(lab.ask<protocol::CreateTopicsResponse>(lab.creation({{.name = "t"}}), 7, false));
  const uint32_t slot = lab.slots;
  protocol::BrokerHeartbeatRequest q;  // answered from what is not committed: waits too
  q.broker_id = 1;
  q.broker_epoch = lab.epoch_of(1);
  EXPECT_FALSE(lab.ask<protocol::BrokerHeartbeatResponse>(q, 1, false));
  EXPECT_NE(lab.controller.latest().topic("t"), nullptr);
  lab.deactivate();
  const auto created = lab.answer<protocol::CreateTopicsResponse>(slot);
  ASSERT_TRUE(created);
  EXPECT_EQ(created->topics[0].name, "t");
  EXPECT_EQ(created->topics[0].error_code, static_cast<int16_t>(ErrorCode::not_controller));
  EXPECT_EQ(lab.answer<protocol::BrokerHeartbeatResponse>(slot + 1)->error_code, 41);
  EXPECT_EQ(lab.ask<protocol::BrokerHeartbeatResponse>(q, 1)->error_code, 41);  // at once while inactive
  lab.activate(2);
  EXPECT_TRUE(lab.controller.latest() == committed);
  EXPECT_EQ(lab.register_broker(1, 2), ErrorCode::none);  // this controller never heard the first one
}

TEST(Leadership, garbage_closes_the_connection) {
  Lab lab;
  Ticket t;
  t.api = protocol::CreateTopicsRequest::kApiKey;
  t.version = 7;
  t.slot = 99;
  Ctx c = lab.ctx();
  Out out;
  lab.controller.on_request(c, t, Slice::copy("\xff\xff\xff"), out);
  ASSERT_EQ(out.replies.size(), 1u);
  EXPECT_TRUE(out.replies[0].close);
}

}  // namespace
}  // namespace klamm::controller
