#include "engine/protocol/messages/alter_configs.h"

#include <gtest/gtest.h>

#include <ctime>
#include <limits>

#include "engine/protocol/messages/incremental_alter_configs.h"
#include "tests/engine/controller/lab.h"

namespace klamm::controller {
namespace {

using E = ErrorCode;
using metadata::ConfigResource;
using metadata::ResourceType;
constexpr auto kTopic = ResourceType::topic, kBroker = ResourceType::broker, kGroup = ResourceType::group,
               kMetrics = ResourceType::client_metrics;
enum Do : int8_t { kSet, kRemove, kAppend, kSubtract };

struct Change {
  const char* name;
  const char* value = nullptr;
  int8_t how = kSet;
};
struct Resource {
  ResourceType type = kTopic;
  std::string name = "t";
};

// A cluster of one broker with topic t.
class ConfigLab : public Lab {
 public:
  ConfigLab() {
    start_broker(1);
    EXPECT_EQ(create_one({.name = "t"}), E::none);
    protocol::ControllerRegistrationRequest controller_3;
    controller_3.controller_id = 3;
    EXPECT_EQ(ask<protocol::ControllerRegistrationResponse>(controller_3, 0)->error_code, 0);
  }
  protocol::IncrementalAlterConfigsRequest request(const std::vector<std::pair<Resource, std::vector<Change>>>& all) {
    protocol::IncrementalAlterConfigsRequest q;
    for (const auto& [resource, changes] : all) {
      auto& r = q.resources.add(scratch.arena);
      r.resource_type = static_cast<int8_t>(resource.type);
      r.resource_name = scratch.arena.copy(resource.name);
      for (const Change& c : changes) {
        auto& out = r.configs.add(scratch.arena);
        out.name = c.name, out.value = c.value ? Str(c.value) : kNullStr, out.config_operation = c.how;
      }
    }
    return q;
  }
  ErrorCode change(const Resource& resource, const std::vector<Change>& changes) {
    const auto a = ask<protocol::IncrementalAlterConfigsResponse>(request({{resource, changes}}), 1);
    EXPECT_TRUE(a->responses[0].error_code != 0 || is_null(a->responses[0].error_message));
    return static_cast<E>(a->responses[0].error_code);
  }
  ErrorCode replace(const Resource& resource, const std::vector<Change>& configs) {
    protocol::AlterConfigsRequest q;
    auto& r = q.resources.add(scratch.arena);
    r.resource_type = static_cast<int8_t>(resource.type);
    r.resource_name = scratch.arena.copy(resource.name);
    for (const Change& c : configs) {
      auto& out = r.configs.add(scratch.arena);
      out.name = c.name, out.value = c.value ? Str(c.value) : kNullStr;
    }
    return static_cast<E>(ask<protocol::AlterConfigsResponse>(q, 2)->responses[0].error_code);
  }
  std::string value(const Resource& r, const std::string& name) {
    const std::string* v = controller.latest().config({r.type, r.name}, name);
    return v ? *v : "(none)";
  }
};

TEST(AlterConfigs, what_is_refused_and_why) {
  const struct {
    Resource resource;
    Change change;
    ErrorCode error;
  } cases[] = {
      {{kTopic, "t"}, {"retention.ms", "5000"}, E::none},
      {{kTopic, "nope"}, {"retention.ms", "5000"}, E::unknown_topic_or_partition},
      {{kTopic, "t"}, {"retention.ms", "soon"}, E::invalid_config},
      {{kTopic, "t"}, {"no.such.config", "1"}, E::invalid_config},
      {{kTopic, "t"}, {"retention.ms"}, E::invalid_request},  // set to nothing
      {{kTopic, "t"}, {"retention.ms", nullptr, kRemove}, E::none},
      {{kTopic, "t"}, {"retention.ms", "1", kAppend}, E::invalid_config},  // no list
      {{kTopic, "t"}, {"retention.ms", "1", 9}, E::unknown_server_error},  // no such operation
      {{kBroker, "1"}, {"log.retention.ms", "1", 9}, E::invalid_request},
      // What is wrong with a change is told before whose it is.
      {{kTopic, "nope"}, {"retention.ms", "soon"}, E::invalid_config},
      {{kTopic, "nope"}, {"retention.ms", "1", kAppend}, E::invalid_config},
      {{kTopic, ""}, {"retention.ms", "1", kAppend}, E::invalid_config},
      {{kTopic, "a b"}, {"retention.ms", "1", kSubtract}, E::invalid_config},
      {{kTopic, "a b"}, {"retention.ms", "soon"}, E::invalid_topic_exception},
      {{kTopic, "a b"}, {"", nullptr}, E::invalid_request},
      {{kGroup, ""}, {"consumer.session.timeout.ms", "1", kAppend}, E::invalid_config},
      {{kMetrics, ""}, {"metrics", "a", kAppend}, E::invalid_config},
      {{static_cast<ResourceType>(77), "x"}, {"a", "1", kAppend}, E::invalid_request},
      {{kTopic, "t"}, {"remote.storage.enable", "true"}, E::invalid_config},
      {{kTopic, "t"}, {"remote.storage.enable", " TRUE"}, E::invalid_config},
      {{kBroker, "1"}, {"num.io.threads", "17"}, E::none},  // the broker judges how far it may go
      {{kBroker, "1"}, {"num.io.threads", "0"}, E::invalid_request},
      {{kBroker, "1"}, {"process.roles", "broker"}, E::invalid_request},  // read-only
      {{kBroker, "9"}, {"num.io.threads", "16"}, E::broker_id_not_registered},
      {{kBroker, "3"}, {"num.io.threads", "16"}, E::none},  // a controller, and no broker
      {{kBroker, "one"}, {"num.io.threads", "16"}, E::invalid_request},
      {{kBroker, "-1"}, {"num.io.threads", "16"}, E::invalid_request},
      {{kBroker, ""}, {"num.io.threads", "16"}, E::none},  // of every broker
      {{kBroker, ""}, {"listeners", "PLAINTEXT://:1"}, E::invalid_request},
      {{kBroker, "1"}, {"own.plugin.option", "x"}, E::none},  // not ours to know
      {{kMetrics, "m"}, {"interval.ms", "1000"}, E::none},
      {{kMetrics, ""}, {"interval.ms", "1000"}, E::invalid_request},
      {{kMetrics, "m"}, {"interval.ms", "99"}, E::invalid_request},
      {{kMetrics, "m"}, {"no.such", "1"}, E::invalid_request},
      {{kMetrics, "m"}, {"match", "client_id=a.*,client_software_name=x"}, E::none},
      {{kMetrics, "m"}, {"match", "client_id=(a"}, E::invalid_config},
      {{kMetrics, "m"}, {"match", "shoe_size=44"}, E::invalid_config},
      {{kMetrics, "m"}, {"match", "client_id=a=b"}, E::invalid_config},
      {{kMetrics, "m"}, {"match", "client_id=a=="}, E::none},               // '=' at the end is nothing to Kafka
      {{kMetrics, "m"}, {"match", "client_id=(?!a)b"}, E::invalid_config},  // not known here (base/pattern.h)
      {{kMetrics, "m"}, {"metrics", "a,,b"}, E::invalid_config},
      {{kMetrics, "m"}, {"metrics", "a,a"}, E::none},
      {{kMetrics, "m"}, {"interval.ms", "soon"}, E::invalid_config},
      {{kGroup, "g"}, {"consumer.session.timeout.ms", "50000"}, E::none},
      {{kGroup, "g"}, {"consumer.session.timeout.ms", "1"}, E::invalid_config},  // below the broker's least
      {{kGroup, "g"}, {"consumer.session.timeout.ms", " 7 "}, E::invalid_config},
      {{kGroup, "g"}, {"consumer.session.timeout.ms", "9999999"}, E::invalid_config},  // above its most
      {{kGroup, "g"}, {"share.auto.offset.reset", "sometimes"}, E::invalid_config},
      {{kGroup, "g"}, {"no.such", "1"}, E::invalid_config},
      {{kGroup, ""}, {"consumer.session.timeout.ms", "50000"}, E::invalid_request},
      {{static_cast<ResourceType>(77), "x"}, {"a", "1"}, E::invalid_request},
  };
  for (const auto& c : cases) {
    ConfigLab lab;
    const size_t before = lab.log.size();
    EXPECT_EQ(lab.change(c.resource, {c.change}), c.error) << c.resource.name << " " << c.change.name;
    if (c.error != E::none) {
      EXPECT_EQ(lab.log.size(), before) << "refused and written: " << c.change.name;
    } else if (c.change.how == kSet) {
      EXPECT_EQ(lab.value(c.resource, c.change.name), c.change.value);
    }
  }
}

TEST(AlterConfigs, increments_leave_the_rest_and_replacements_do_not) {
  ConfigLab lab;
  const Resource t;
  EXPECT_EQ(lab.change(t, {{"retention.ms", "5000"}, {"segment.ms", "7000"}}), E::none);
  EXPECT_EQ(lab.change(t, {{"retention.ms", nullptr, kRemove}, {"min.insync.replicas", "1"}}), E::none);
  EXPECT_EQ(lab.value(t, "retention.ms"), "(none)");
  EXPECT_EQ(lab.value(t, "segment.ms"), "7000");
  EXPECT_EQ(lab.value(t, "min.insync.replicas"), "1");
  EXPECT_EQ(lab.replace(t, {{"retention.ms", "9000"}}), E::none);
  EXPECT_EQ(lab.value(t, "retention.ms"), "9000");
  EXPECT_EQ(lab.value(t, "segment.ms"), "(none)");
  const size_t before = lab.log.size();
  EXPECT_EQ(lab.replace(t, {{"retention.ms", "9000"}}), E::none);
  EXPECT_EQ(lab.log.size(), before) << "what is so already is not written";
}

TEST(AlterConfigs, lists_grow_and_shrink_from_what_they_are) {
  ConfigLab lab;
  const Resource t;
  EXPECT_EQ(lab.change(t, {{"cleanup.policy", "compact", kAppend}}), E::none);
  EXPECT_EQ(lab.value(t, "cleanup.policy"), "delete,compact");  // the default was delete
  EXPECT_EQ(lab.change(t, {{"cleanup.policy", "compact", kAppend}}), E::none);
  EXPECT_EQ(lab.value(t, "cleanup.policy"), "delete,compact");
  EXPECT_EQ(lab.change(t, {{"cleanup.policy", "delete", kSubtract}}), E::none);
  EXPECT_EQ(lab.value(t, "cleanup.policy"), "compact");
  EXPECT_EQ(lab.change(t, {{"cleanup.policy", "shred", kAppend}}), E::invalid_config);
  EXPECT_EQ(lab.value(t, "cleanup.policy"), "compact");
}

TEST(AlterConfigs, lists_begin_with_kafkas_default_whatever_brokers_have) {
  ConfigLab lab;
  EXPECT_EQ(lab.change({kBroker, ""}, {{"log.cleanup.policy", "compact"}}), E::none);
  EXPECT_EQ(lab.change({kTopic, "t"}, {{"cleanup.policy", "delete", kAppend}}), E::none);
  EXPECT_EQ(lab.value({kTopic, "t"}, "cleanup.policy"), "delete");
  EXPECT_EQ(lab.change({kBroker, "1"}, {{"log.cleanup.policy", "compact", kSubtract}}), E::none);
  EXPECT_EQ(lab.value({kBroker, "1"}, "log.cleanup.policy"), "delete");
}

TEST(AlterConfigs, of_several_faults_of_client_metrics_the_unknown_name_comes_first) {
  ConfigLab lab;
  const Resource m{kMetrics, "m"};
  EXPECT_EQ(lab.change(m, {{"metrics", "a,,b"}, {"interval.ms", "1"}, {"no.such", "1"}}), E::invalid_request);
  EXPECT_EQ(lab.change(m, {{"match", "x"}, {"interval.ms", "1"}}), E::invalid_request);
  EXPECT_EQ(lab.change(m, {{"metrics", "a,,b"}, {"interval.ms", "1"}}), E::invalid_config);
}

TEST(AlterConfigs, an_operation_that_nobody_knows_spoils_the_request) {
  ConfigLab lab;
  const auto a =
      lab.ask<protocol::IncrementalAlterConfigsResponse>(lab.request({{{kTopic, "t"}, {{"retention.ms", "5000"}}},
                                                                      {{kTopic, "a b"}, {{"retention.ms", "1", 4}}},
                                                                      {{kGroup, "g"}, {{"no.such", nullptr}}},
                                                                      {{kBroker, "1"}, {{"process.roles", "broker"}}},
                                                                      {{static_cast<ResourceType>(77), "x"}, {}}}),
                                                         1);
  const ErrorCode expected[] = {E::unknown_server_error, E::unknown_server_error, E::invalid_request,
                                E::invalid_request, E::invalid_request};
  for (size_t i = 0; i < std::size(expected); ++i)
    EXPECT_EQ(static_cast<ErrorCode>(a->responses[i].error_code), expected[i]) << i;
  EXPECT_EQ(lab.value({kTopic, "t"}, "retention.ms"), "(none)");
}

TEST(AlterConfigs, a_resource_changes_whole_or_not_at_all) {
  ConfigLab lab;
  ASSERT_EQ(lab.create_one({.name = "u"}), E::none);
  const auto a = lab.ask<protocol::IncrementalAlterConfigsResponse>(
      lab.request({{{kTopic, "t"}, {{"retention.ms", "5000"}, {"segment.ms", "no"}}},
                   {{kTopic, "u"}, {{"retention.ms", "6000"}}}}),
      1);
  EXPECT_EQ(a->responses[0].error_code, static_cast<int16_t>(E::invalid_config));
  EXPECT_EQ(a->responses[1].error_code, 0);
  EXPECT_EQ(lab.value({kTopic, "t"}, "retention.ms"), "(none)");
  EXPECT_EQ(lab.value({kTopic, "u"}, "retention.ms"), "6000");
  EXPECT_EQ(lab.change({}, {{"retention.ms", "1"}, {"retention.ms", "2"}}), E::invalid_request) << "a key twice";
  const auto twice = lab.ask<protocol::IncrementalAlterConfigsResponse>(
      lab.request({{{}, {{"retention.ms", "1"}}}, {{}, {{"segment.ms", "1"}}}}), 1);
  for (const auto& r : twice->responses) EXPECT_EQ(r.error_code, static_cast<int16_t>(E::invalid_request));
}

TEST(AlterConfigs, validate_only_changes_nothing) {
  ConfigLab lab;
  auto q = lab.request({{{}, {{"retention.ms", "5000"}}}});
  q.validate_only = true;
  const size_t before = lab.log.size();
  EXPECT_EQ(lab.ask<protocol::IncrementalAlterConfigsResponse>(q, 1)->responses[0].error_code, 0);
  EXPECT_EQ(lab.log.size(), before);
}

// Two replicas were needed, one of them left in good order: eligible (KIP-966). Once one is enough, what is
// acknowledged from then on it lacks.
class EligibleLab : public ConfigLab {
 public:
  EligibleLab() {
    for (int id : {2, 3}) start_broker(id);
    EXPECT_EQ(change({kBroker, ""}, {{"min.insync.replicas", "2"}}), E::none);
    make("u", {{"min.insync.replicas", "2"}});
    make("v", {});
    refused(2), refused(3);
    EXPECT_EQ(eligible("u"), std::vector{NodeId{3}});
    EXPECT_EQ(eligible("v"), std::vector{NodeId{3}});
  }
  std::vector<NodeId> eligible(const char* topic) { return partition(topic).elr; }

 private:
  void make(const char* name, const std::vector<std::pair<std::string, const char*>>& configs) {
    EXPECT_EQ(create_one({name, -1, -1, configs, {{0, {1, 2, 3}}}}), E::none);
  }
};

TEST(AlterConfigs, another_min_isr_ends_eligibility) {
  const Resource u{kTopic, "u"}, all{kBroker, ""};
  EligibleLab lowered;
  EXPECT_EQ(lowered.change(u, {{"min.insync.replicas", "1"}}), E::none);
  EXPECT_TRUE(lowered.eligible("u").empty());
  EXPECT_FALSE(lowered.eligible("v").empty());
  // The only one in sync dies: who is not up to date must not lead.
  lowered.refused(1);
  ASSERT_EQ(lowered.register_broker(3, 2, lowered.epoch_of(3)), E::none);
  EXPECT_FALSE(lowered.beat(3).is_fenced);
  EXPECT_EQ(lowered.partition("u").leader, kNoNode);
  EXPECT_EQ(lowered.partition("v").leader, NodeId{3});

  EligibleLab replaced;
  EXPECT_EQ(replaced.replace(u, {}), E::none);
  EXPECT_TRUE(replaced.eligible("u").empty());

  EligibleLab cluster;
  EXPECT_EQ(cluster.change(all, {{"min.insync.replicas", "1"}}), E::none);
  EXPECT_TRUE(cluster.eligible("u").empty() && cluster.eligible("v").empty());

  EligibleLab other;
  EXPECT_EQ(other.change(u, {{"retention.ms", "1"}}), E::none);
  EXPECT_EQ(other.change(u, {{"min.insync.replicas", "2"}}), E::none);  // as it is
  EXPECT_FALSE(other.eligible("u").empty());
}

// Nothing is acknowledged without a leader. (Kafka ends eligibility there too: then nobody can lead it again but
// uncleanly.)
TEST(AlterConfigs, another_min_isr_leaves_who_can_lead_what_nobody_leads) {
  for (const auto& [r, topic] : {std::pair{Resource{kTopic, "u"}, "u"}, std::pair{Resource{kBroker, ""}, "v"}}) {
    EligibleLab lab;
    lab.refused(1);
    ASSERT_EQ(lab.partition(topic).leader, kNoNode);
    const auto before = lab.partition(topic);
    EXPECT_EQ(lab.change(r, {{"min.insync.replicas", "1"}}), E::none);
    EXPECT_EQ(lab.partition(topic).elr, before.elr);
    EXPECT_EQ(lab.partition(topic).last_known_elr, before.last_known_elr);
    ASSERT_EQ(lab.register_broker(3, 2, lab.epoch_of(3)), E::none);
    EXPECT_FALSE(lab.beat(3).is_fenced);
    EXPECT_EQ(lab.partition(topic).leader, NodeId{3});
    EXPECT_TRUE(lab.eligible(topic).empty());
  }
}

// What a request costs follows its size, not its size times what is set already.
class Costs : public testing::Test {
 protected:
  static constexpr int kSetAlready = 2'000, kAsked = 2'000, kTopics = 300;
  Costs() {
    std::vector<Change> many;
    for (int i = 0; i < kSetAlready; ++i) names.push_back("own.plugin.option." + std::to_string(i));
    for (const std::string& name : names) many.push_back({name.c_str(), "x"});
    EXPECT_EQ(full.change({kBroker, "1"}, many), E::none);
  }
  // The least of a few runs, in ticks of this process' own time.
  template<class Work>
  static std::clock_t ticks(Work work) {
    std::clock_t least = std::numeric_limits<std::clock_t>::max();
    for (int i = 0; i < 3; ++i) {
      const std::clock_t begun = std::clock();
      work(i);
      least = std::min(least, std::clock() - begun);
    }
    return std::max<std::clock_t>(least, 1);
  }
  std::vector<std::string> names;
  ConfigLab full, bare;
};

TEST_F(Costs, of_a_resource_that_is_named_again_and_again) {
  const std::vector<std::pair<Resource, std::vector<Change>>> all(kAsked, {{kBroker, "1"}, {{"a", "1"}}});
  const auto ask = [&](ConfigLab& lab) {
    return ticks([&](int) {
      const auto a = lab.ask<protocol::IncrementalAlterConfigsResponse>(lab.request(all), 1);
      EXPECT_EQ(a->responses.size(), size_t{kAsked});
      EXPECT_EQ(std::string(a->responses[0].error_message), "Each resource must appear at most once.");
    });
  };
  const std::clock_t without = ask(bare);
  EXPECT_LT(ask(full), 10 * without);  // it was 200 times as much
}

TEST_F(Costs, of_many_topics_beside_what_brokers_have_set) {
  const auto create = [&](ConfigLab& lab) {
    return ticks([&](int run) {
      std::vector<Lab::NewTopic> topics;
      for (int i = 0; i < kTopics; ++i) topics.push_back({.name = std::to_string(run) + "-" + std::to_string(i)});
      EXPECT_EQ(lab.create(topics).topics[kTopics - 1].error_code, 0);
    });
  };
  const std::clock_t without = create(bare);
  EXPECT_LT(create(full), 3 * without);
}

}  // namespace
}  // namespace klamm::controller
