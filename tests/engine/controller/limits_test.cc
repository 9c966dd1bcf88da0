// Requests at the limits of what a message, a value or an append can hold: refused, and the controller goes on.
#include <gtest/gtest.h>

#include "engine/protocol/messages/incremental_alter_configs.h"
#include "engine/protocol/messages/update_features.h"
#include "tests/engine/controller/lab.h"

namespace klamm::controller {
namespace {

using E = ErrorCode;
using metadata::ResourceType;
constexpr int8_t kSetValue = 0, kAppendValue = 2;

struct Value {
  std::string name;
  std::string value;
  int8_t how = kSetValue;
};

E alter(Lab& lab, ResourceType type, const std::string& resource, const std::vector<Value>& values) {
  Arena& arena = lab.scratch.arena;
  protocol::IncrementalAlterConfigsRequest q;
  auto& r = q.resources.add(arena);
  r.resource_type = static_cast<int8_t>(type);
  r.resource_name = arena.copy(resource);
  for (const Value& v : values) {
    auto& c = r.configs.add(arena);
    c.name = arena.copy(v.name), c.value = arena.copy(v.value), c.config_operation = v.how;
  }
  return static_cast<E>(lab.ask<protocol::IncrementalAlterConfigsResponse>(q, 1)->responses[0].error_code);
}

TEST(Limits, messages_that_quote_the_longest_names_are_cut) {
  Lab lab;
  lab.start_broker(1);
  const std::string longest(protocol::wire::kStringMax, 'x');
  for (const int16_t version : {2, 7}) {
    const auto a = lab.ask<protocol::CreateTopicsResponse>(lab.creation({{.name = longest}}), version);
    EXPECT_EQ(static_cast<E>(a->topics[0].error_code), E::invalid_topic_exception);
    EXPECT_EQ(a->topics[0].error_message.size(), protocol::wire::kStringMax);
  }
  protocol::UpdateFeaturesRequest q;
  auto& f = q.feature_updates.add(lab.scratch.arena);
  f.feature = longest, f.max_version_level = 1, f.upgrade_type = 1;
  EXPECT_EQ(static_cast<E>(lab.ask<protocol::UpdateFeaturesResponse>(q, 1)->error_code), E::invalid_update_version);
}

TEST(Limits, a_text_is_not_cut_inside_a_character) {
  const std::string umlauts = "\xc3\xa4\xc3\xb6\xc3\xbc";
  EXPECT_EQ(protocol::fitting(umlauts, 6), umlauts);
  EXPECT_EQ(protocol::fitting(umlauts, 5), umlauts.substr(0, 4));
  EXPECT_EQ(protocol::fitting(umlauts, 1), "");
}

TEST(Limits, a_list_grows_no_longer_than_a_value_may_be) {
  Lab lab;
  lab.start_broker(1);
  const auto list = [](char c) {
    std::string s = "m0";
    for (int i = 0; i < 500; ++i) s += "," + std::string(1, c) + std::string(40, 'z') + std::to_string(i);
    return s;
  };
  EXPECT_EQ(alter(lab, ResourceType::broker, "", {{"metric.reporters", list('a')}}), E::none);
  EXPECT_EQ(alter(lab, ResourceType::broker, "", {{"metric.reporters", list('b'), kAppendValue}}), E::invalid_config);
  EXPECT_EQ(*lab.controller.latest().config({ResourceType::broker, ""}, "metric.reporters"), list('a'));
}

TEST(Limits, what_does_not_fit_into_an_append_is_refused_whole) {
  Lab lab;
  lab.start_broker(1);
  std::vector<Value> many;
  for (int i = 0; i < 300; ++i) many.push_back({"unknown." + std::to_string(i), std::string(32'000, 'v')});
  const size_t before = lab.log.size();
  EXPECT_EQ(alter(lab, ResourceType::broker, "", many), E::policy_violation);
  EXPECT_EQ(lab.log.size(), before);
  many.resize(100);
  EXPECT_EQ(alter(lab, ResourceType::broker, "", many), E::none);
}

TEST(Limits, a_broker_of_many_partitions_goes_in_several_appends) {
  Lab lab;
  for (const int id : {1, 2}) lab.start_broker(id);
  for (const std::string topic : {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"})
    ASSERT_EQ(lab.create_one({.name = topic, .partitions = 10'000, .factor = 2}), E::none);
  const size_t before = lab.appends;
  lab.refused(2);
  EXPECT_GT(lab.appends, before + 1);
  EXPECT_TRUE(lab.controller.latest().broker(NodeId{2})->fenced);
  for (const std::string topic : {"a", "j"}) EXPECT_EQ(lab.partition(topic, 9'999).leader, NodeId{1});
}

TEST(Limits, minus_one_is_no_broker) {
  Lab lab;
  EXPECT_EQ(lab.register_broker(-1, 1), E::invalid_registration);
}

}  // namespace
}  // namespace klamm::controller
