// What changes a cluster that runs: partitions of a topic, levels of features.
#include <gtest/gtest.h>

#include "engine/protocol/messages/create_partitions.h"
#include "engine/protocol/messages/update_features.h"
#include "tests/engine/controller/lab.h"

namespace klamm::controller {
namespace {

using E = ErrorCode;

using Replicas = std::vector<std::vector<int32_t>>;  // of each new partition
struct Growth {
  const char* topic = "t";
  int32_t count = 3;
  std::optional<Replicas> assignments = std::nullopt;
};

protocol::CreatePartitionsRequest growth(Lab& lab, const std::vector<Growth>& all) {
  protocol::CreatePartitionsRequest q;
  q.timeout_ms = 1000;
  for (const Growth& g : all) {
    auto& t = q.topics.add(lab.scratch.arena);
    t.name = g.topic;
    t.count = g.count;
    t.assignments = {};
    if (!g.assignments) {
      t.assignments = decltype(t.assignments)::null();
      continue;
    }
    for (const auto& replicas : *g.assignments) {
      auto& a = t.assignments.add(lab.scratch.arena);
      for (const int32_t id : replicas) a.broker_ids.push_back(lab.scratch.arena, id);
    }
  }
  return q;
}

std::vector<ErrorCode> grow(Lab& lab, const std::vector<Growth>& all) {
  std::vector<ErrorCode> errors;
  const auto response = lab.ask<protocol::CreatePartitionsResponse>(growth(lab, all), 3);
  for (const auto& r : response->results) errors.push_back(static_cast<E>(r.error_code));
  return errors;
}

// Brokers 1 and 2, broker 3 fenced; topic t of two partitions with two replicas.
void start_cluster(Lab& lab) {
  for (const int id : {1, 2}) lab.start_broker(id);
  ASSERT_EQ(lab.register_broker(3, 1), E::none);
  ASSERT_EQ(lab.create_one({.name = "t", .partitions = 2, .factor = 2}), E::none);
}

TEST(CreatePartitions, what_is_refused_and_why) {
  const struct {
    Growth wanted;
    ErrorCode error;
  } cases[] = {
      {{"t", 3}, E::none},
      {{"t", 2}, E::invalid_partitions},  // as many as there are
      {{"t", 1}, E::invalid_partitions},
      {{"t", -1}, E::invalid_partitions},
      {{"nope", 3}, E::unknown_topic_or_partition},
      {{"t", 100'000}, E::policy_violation},
      {{"t", INT32_MAX}, E::policy_violation},
      {{"t", 3, Replicas{{2, 1}}}, E::none},
      {{"t", 4, Replicas{{2, 1}}}, E::invalid_replica_assignment},          // for one of two
      {{"t", 3, Replicas{{2, 1}, {1, 2}}}, E::invalid_replica_assignment},  // for one too many
      {{"t", 3, Replicas{{1}}}, E::invalid_replica_assignment},             // other than the topic's two replicas
      {{"t", 3, Replicas{{1, 1}}}, E::invalid_replica_assignment},
      {{"t", 3, Replicas{{1, 9}}}, E::invalid_replica_assignment},
      {{"t", 3, Replicas{{}}}, E::invalid_replica_assignment},
  };
  for (const auto& c : cases) {
    Lab lab;
    start_cluster(lab);
    EXPECT_EQ(grow(lab, {c.wanted}), std::vector{c.error}) << c.wanted.topic << " " << c.wanted.count;
    EXPECT_EQ(lab.controller.latest().topic("t")->partitions.size(), c.error == E::none ? 3u : 2u);
  }
}

TEST(CreatePartitions, new_ones_lead_where_they_were_put) {
  Lab lab;
  start_cluster(lab);
  ASSERT_EQ(grow(lab, {{"t", 4, Replicas{{2, 1}, {3, 1}}}}), std::vector{E::none});
  EXPECT_EQ(lab.partition("t", 2).leader, NodeId{2});
  EXPECT_EQ(lab.partition("t", 2).isr.size(), 2u);
  EXPECT_EQ(lab.partition("t", 3).leader, NodeId{1}) << "a fenced broker leads nothing";
  EXPECT_EQ(lab.partition("t", 3).isr, std::vector{NodeId{1}});
}

TEST(CreatePartitions, a_topic_twice_spoils_only_itself_and_validation_makes_nothing) {
  Lab lab;
  start_cluster(lab);
  ASSERT_EQ(lab.create_one({.name = "u", .partitions = 1}), E::none);
  EXPECT_EQ(grow(lab, {{"t", 3}, {"u", 2}, {"t", 4}}), (std::vector{E::invalid_request, E::none}));
  EXPECT_EQ(lab.controller.latest().topic("t")->partitions.size(), 2u);
  EXPECT_EQ(lab.controller.latest().topic("u")->partitions.size(), 2u);
  auto q = growth(lab, {{"t", 3}});
  q.validate_only = true;
  EXPECT_EQ(lab.ask<protocol::CreatePartitionsResponse>(q, 3)->results[0].error_code, 0);
  EXPECT_EQ(lab.controller.latest().topic("t")->partitions.size(), 2u);
}

TEST(CreatePartitions, without_a_live_replica_are_refused_in_the_words_of_new_topics) {
  Lab lab;
  start_cluster(lab);
  const auto told = [&](const Growth& g) {
    const auto response = lab.ask<protocol::CreatePartitionsResponse>(growth(lab, {g}), 3);
    const auto& r = response->results[0];
    return std::make_pair(static_cast<E>(r.error_code), std::string(r.error_message));
  };
  for (const int id : {1, 2}) lab.beat(id, {.fence = true});
  EXPECT_EQ(
      told({"t", 3}),
      (std::make_pair(E::invalid_replication_factor,
                      std::string("Unable to replicate the partition 2 time(s): All brokers are currently fenced, or "
                                  "have all their log directories cordoned."))));
  EXPECT_EQ(told({"t", 4, Replicas{{1, 2}, {2, 1}}}),
            (std::make_pair(E::invalid_replica_assignment,
                            std::string("All brokers specified in the manual partition assignment for partition 2 are "
                                        "fenced or in controlled shutdown."))));
}

// ---- features

struct Level {
  const char* feature;
  int16_t level;
  int8_t type = 1;  // upgrade; 2: safe downgrade, 3: unsafe
};

protocol::UpdateFeaturesRequest update(Lab& lab, const std::vector<Level>& all) {
  protocol::UpdateFeaturesRequest q;
  for (const Level& l : all) {
    auto& u = q.feature_updates.add(lab.scratch.arena);
    u.feature = l.feature, u.max_version_level = l.level, u.upgrade_type = l.type;
  }
  return q;
}

TEST(UpdateFeatures, what_is_refused_and_why) {
  const struct {
    Level wanted;
    ErrorCode error;
  } cases[] = {
      {{"group.version", 1}, E::none},  // as it is
      {{"group.version", 0, 2}, E::none},
      {{"group.version", 0, 3}, E::none},
      {{"group.version", 0, 1}, E::invalid_update_version},  // a downgrade that does not say so
      {{"group.version", 2}, E::invalid_update_version},
      {{"group.version", -1, 2}, E::invalid_update_version},
      {{"group.version", 0, 9}, E::invalid_update_version},
      {{"group.version", 1, 0}, E::invalid_update_version},  // a kind of change that nobody knows
      {{"no.such.feature", 1}, E::invalid_update_version},
      {{"metadata.version", 30}, E::none},
      {{"metadata.version", 29, 2}, E::invalid_update_version},
      {{"kraft.version", 1}, E::invalid_update_version},
      {{"transaction.version", 1, 2}, E::none},
  };
  for (const auto& c : cases) {
    Lab lab;
    lab.start_broker(1);
    const int16_t before = lab.controller.latest().feature(c.wanted.feature);
    const auto a = lab.ask<protocol::UpdateFeaturesResponse>(update(lab, {c.wanted}), 2);
    EXPECT_EQ(static_cast<E>(a->error_code), c.error) << c.wanted.feature << " " << c.wanted.level;
    EXPECT_EQ(a->error_code == 0, is_null(a->error_message));
    EXPECT_EQ(lab.controller.latest().feature(c.wanted.feature), c.error == E::none ? c.wanted.level : before);
  }
}

// Of a cluster that was formatted with an older release, or that Apache Kafka wrote.
TEST(UpdateFeatures, an_older_metadata_version_goes_up_and_not_down) {
  Options options = lab_options();
  options.bootstrap_elr = false;
  options.bootstrap_records = {
      metadata::encode_record(0, protocol::FeatureLevelRecord{.name = "metadata.version", .feature_level = 27})};
  Lab lab(options);
  lab.start_broker(1);
  EXPECT_EQ(lab.controller.latest().features().size(), 1u);
  const auto ask = [&](const Level& level) {
    return static_cast<E>(lab.ask<protocol::UpdateFeaturesResponse>(update(lab, {level}), 2)->error_code);
  };
  EXPECT_EQ(ask({"metadata.version", 26, 2}), E::invalid_update_version);
  EXPECT_EQ(ask({"metadata.version", 31}), E::invalid_update_version);
  EXPECT_EQ(ask({"metadata.version", 30}), E::none);
  EXPECT_EQ(lab.controller.latest().feature("metadata.version"), 30);
  EXPECT_EQ(ask({"metadata.version", 29, 2}), E::invalid_update_version);
}

TEST(UpdateFeatures, all_or_none) {
  Lab lab;
  lab.start_broker(1);
  const auto a =
      lab.ask<protocol::UpdateFeaturesResponse>(update(lab, {{"group.version", 0, 2}, {"share.version", 9}}), 1);
  EXPECT_EQ(static_cast<E>(a->error_code), E::invalid_update_version);
  EXPECT_EQ(lab.controller.latest().feature("group.version"), 1);
  auto only = update(lab, {{"group.version", 0, 2}});
  only.validate_only = true;
  const auto valid = lab.ask<protocol::UpdateFeaturesResponse>(only, 1);
  EXPECT_EQ(valid->error_code, 0);
  ASSERT_EQ(valid->results.size(), 1u);  // up to version 1 each feature has an answer
  EXPECT_EQ(valid->results[0].error_message, "NONE");
  EXPECT_EQ(lab.controller.latest().feature("group.version"), 1);
}

TEST(UpdateFeatures, of_two_for_one_feature_the_later_one_counts) {
  Lab lab;
  lab.start_broker(1);
  const auto a =
      lab.ask<protocol::UpdateFeaturesResponse>(update(lab, {{"group.version", 9}, {"group.version", 0, 2}}), 1);
  EXPECT_EQ(a->error_code, 0);
  EXPECT_EQ(a->results.size(), 2u);
  EXPECT_EQ(lab.controller.latest().feature("group.version"), 0);
}

TEST(UpdateFeatures, every_broker_must_be_able) {
  Lab lab;
  auto old = lab.registration(1, 1);
  for (auto& f : old.features)
    if (f.name == "share.version") f.max_supported_version = 0;
  ASSERT_EQ(
      static_cast<E>(lab.ask<protocol::UpdateFeaturesResponse>(update(lab, {{"share.version", 0, 2}}), 2)->error_code),
      E::none);
  ASSERT_EQ(lab.ask<protocol::BrokerRegistrationResponse>(old, 4)->error_code, 0);
  EXPECT_EQ(
      static_cast<E>(lab.ask<protocol::UpdateFeaturesResponse>(update(lab, {{"share.version", 1}}), 2)->error_code),
      E::invalid_update_version);
}

// Without the feature there are no eligible leader replicas left to elect from (KIP-966).
TEST(UpdateFeatures, a_cluster_without_elr_has_none) {
  Lab lab;
  for (const int id : {1, 2}) lab.start_broker(id);
  ASSERT_EQ(lab.create_one({.name = "t",
                            .partitions = -1,
                            .factor = -1,
                            .configs = {{"min.insync.replicas", "2"}},
                            .assignments = {{0, {1, 2}}}}),
            E::none);
  lab.refused(2);
  ASSERT_EQ(lab.partition("t").elr, std::vector{NodeId{2}});
  const auto a =
      lab.ask<protocol::UpdateFeaturesResponse>(update(lab, {{"eligible.leader.replicas.version", 0, 2}}), 2);
  EXPECT_EQ(a->error_code, 0);
  EXPECT_TRUE(lab.partition("t").elr.empty());
}

// With it all brokers must mean the same by min.insync.replicas, and it must be set.
TEST(UpdateFeatures, a_cluster_that_begins_with_elr_has_one_min_isr) {
  Options options = lab_options();
  options.bootstrap_elr = false;
  options.min_insync_replicas = 2;
  Lab lab(options);
  lab.start_broker(1);
  const metadata::ConfigResource own{metadata::ResourceType::broker, "1"}, all{metadata::ResourceType::broker, ""};
  protocol::IncrementalAlterConfigsRequest q;
  auto& r = q.resources.add(lab.scratch.arena);
  r.resource_type = static_cast<int8_t>(own.type), r.resource_name = "1";
  auto& c = r.configs.add(lab.scratch.arena);
  c.name = "min.insync.replicas", c.value = "3";
  ASSERT_EQ(lab.ask<protocol::IncrementalAlterConfigsResponse>(q, 1)->responses[0].error_code, 0);
  ASSERT_NE(lab.controller.latest().config(own, "min.insync.replicas"), nullptr);
  const auto enable = update(lab, {{"eligible.leader.replicas.version", 1}});
  ASSERT_EQ(lab.ask<protocol::UpdateFeaturesResponse>(enable, 2)->error_code, 0);
  EXPECT_EQ(lab.controller.latest().config(own, "min.insync.replicas"), nullptr);
  ASSERT_NE(lab.controller.latest().config(all, "min.insync.replicas"), nullptr);
  EXPECT_EQ(*lab.controller.latest().config(all, "min.insync.replicas"), "2");
}

}  // namespace
}  // namespace klamm::controller
