#include "engine/metadata/config.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "engine/base/visit.h"
#include "engine/metadata/config_edit.h"

namespace klamm::metadata {
namespace {

Properties combined() {
  return {{"process.roles", "broker,controller"},
          {"node.id", "1"},
          {"listeners", "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"},
          {"controller.listener.names", "CONTROLLER"},
          {"controller.quorum.voters", "1@127.0.0.1:9093,2@127.0.0.1:9193"},
          {"log.dirs", "/tmp/a, /tmp/b"}};
}

ConfigReport report_of(Properties base, const Properties& changes) {
  for (const auto& [k, v] : changes) base[k] = v;
  ConfigReport report;
  parse_broker_config(base, report);
  return report;
}

TEST(ConfigTable, sorted_and_defaults_are_allowed) {
  const auto all = config_defs();
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end(), [](const ConfigDef& a, const ConfigDef& b) {
    return std::make_pair(a.scope, std::string_view(a.name)) < std::make_pair(b.scope, std::string_view(b.name));
  }));
  for (const ConfigDef& d : all) {
    if (!d.default_value || d.required() || std::string_view(d.valid) == "non-empty list") continue;
    EXPECT_EQ(config_fault(d, d.default_value), std::nullopt) << d.name;
  }
}

TEST(BrokerConfig, combined_node_reads_typed_values) {
  ConfigReport report;
  const BrokerConfig c = parse_broker_config(combined(), report);
  ASSERT_TRUE(report.errors.empty()) << report.errors[0].text();
  EXPECT_TRUE(c.broker && c.controller);
  EXPECT_EQ(c.node_id, 1);
  EXPECT_EQ(c.session_timeout, seconds(9));
  EXPECT_EQ(c.offsets_retention, seconds(10080 * 60));
  EXPECT_EQ(c.log_dirs, (std::vector<std::string>{"/tmp/a", "/tmp/b"}));
  EXPECT_EQ(c.metadata_log_dir, "/tmp/a");
  ASSERT_EQ(c.voters.size(), 2u);
  EXPECT_EQ(c.voters[1].port, 9193);
  ASSERT_EQ(c.advertised_listeners.size(), 1u);
  EXPECT_EQ(c.advertised_listeners[0].port, 9092);
  EXPECT_EQ(c.inter_broker_listener_name, "PLAINTEXT");
  EXPECT_EQ(c.topic_defaults.retention_ms, 604'800'000);
  EXPECT_NE(state_hash(c), state_hash(BrokerConfig{}));
}

TEST(BrokerConfig, unknown_key_warns_with_near_matches) {
  const ConfigReport r = report_of(combined(), {{"num.partition", "3"}});
  EXPECT_TRUE(r.errors.empty());
  ASSERT_EQ(r.warnings.size(), 1u);
  EXPECT_EQ(r.warnings[0], "Unknown configuration 'num.partition' is ignored; did you mean num.partitions");
}

TEST(BrokerConfig, what_has_no_effect_is_told_once) {
  const ConfigReport r = report_of(combined(), {{"num.io.threads", "4"},
                                                {"ssl.keystore.location", "/x"},
                                                {"log.flush.interval.ms", "1000"},
                                                {"log.flush.scheduler.interval.ms", "1000"},
                                                {"log.flush.start.offset.checkpoint.interval.ms", "1000"},
                                                {"log.retention.hours", "1"},
                                                {"log.cleaner.enable", "false"},
                                                {"log.cleaner.dedupe.buffer.size", "10000000"},
                                                {"offsets.topic.segment.bytes", "1000000"},
                                                {"group.consumer.max.session.timeout.ms", "70000"},
                                                {"max.connections", "100"}});
  EXPECT_TRUE(r.errors.empty());
  EXPECT_EQ(r.warnings,
            (std::vector<std::string>{"Without effect in this version: num.io.threads, ssl.keystore.location"}));
}

TEST(BrokerConfig, listeners_may_be_advertised_under_one_address) {
  const Properties several{{"listeners", "A://:1,B://:2,CONTROLLER://:9093"},
                           {"listener.security.protocol.map", "A:PLAINTEXT,B:PLAINTEXT,CONTROLLER:PLAINTEXT"},
                           {"inter.broker.listener.name", "A"}};
  Properties shared = several;
  shared["advertised.listeners"] = "A://lb:9092,B://lb:9092";
  EXPECT_TRUE(report_of(combined(), shared).errors.empty());
  shared["advertised.listeners"] = "A://lb:9092,A://lb:9093";
  EXPECT_FALSE(report_of(combined(), shared).errors.empty());
}

TEST(BrokerConfig, an_authorizer_is_warned_of_unmistakably) {
  Properties p = combined();
  p["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
  ConfigReport report;
  parse_broker_config(p, report);
  ASSERT_EQ(report.warnings.size(), 1u);
  EXPECT_EQ(report.warnings[0].find("NOTHING IS AUTHORIZED: authorizer.class.name has no effect"), 0u);
  p["authorizer.class.name"] = "";  // Kafka's default
  report = {};
  parse_broker_config(p, report);
  ASSERT_EQ(report.warnings.size(), 1u);
  EXPECT_EQ(report.warnings[0], "Without effect in this version: authorizer.class.name");
}

TEST(BrokerConfig, connections_of_an_address) {
  Properties p = combined();
  p["max.connections.per.ip.overrides"] = "127.0.0.1:3, ::1:4";
  ConfigReport report;
  const BrokerConfig c = parse_broker_config(p, report);
  EXPECT_EQ(c.max_connections_overrides, (std::map<std::string, uint32_t>{{"127.0.0.1", 3}, {"::1", 4}}));
  const ConfigReport bad = report_of(combined(), {{"max.connections.per.ip.overrides", "127.0.0.1"}});
  ASSERT_EQ(bad.errors.size(), 1u);
  EXPECT_EQ(bad.errors[0].key, "max.connections.per.ip.overrides");
}

TEST(BrokerConfig, dynamic_values_lie_over_those_of_the_boot_and_go_again) {
  Properties p = combined();
  p["max.connections.per.ip"] = "7";
  ConfigReport report;
  BrokerConfig c = parse_broker_config(p, report);
  Properties layered = p;
  layered["max.connections"] = "9";
  layered["max.connections.per.ip"] = "8";
  layered["max.connections.per.ip.overrides"] = "127.0.0.1:3";
  layered["klamm.disk.reserve.bytes"] = "5";
  layered["producer.id.expiration.ms"] = "1000";
  layered["log.retention.ms"] = "5";
  layer_dynamic_configs(c, layered);
  EXPECT_EQ(c.max_connections, 9);
  EXPECT_EQ(c.max_connections_per_ip, 8);
  EXPECT_EQ(c.max_connections_overrides.size(), 1u);
  EXPECT_EQ(c.disk_reserve_bytes, 5);
  EXPECT_EQ(c.producer_id_expiration, seconds(1));
  EXPECT_EQ(c.topic_defaults.retention_ms, 5);
  layered["max.connections.per.ip.overrides"] = "a b c";
  layer_dynamic_configs(c, layered);
  EXPECT_EQ(c.max_connections_overrides.size(), 1u) << "what makes no sense changes nothing";
  layer_dynamic_configs(c, p);
  EXPECT_EQ(c.max_connections, INT32_MAX);
  EXPECT_EQ(c.max_connections_per_ip, 7);
  EXPECT_TRUE(c.max_connections_overrides.empty());
  EXPECT_EQ(c.topic_defaults.retention_ms, 604'800'000);
}

TEST(BrokerConfig, bad_values_name_key_value_and_what_is_allowed) {
  const auto one = [](const char* key, const char* value) {
    const ConfigReport r = report_of(combined(), {{key, value}});
    return r.errors.empty() ? std::string("none") : r.errors[0].text();
  };
  EXPECT_EQ(one("num.partitions", "0"), "num.partitions=0: Value must be at least 1 (allowed: [1,...])");
  EXPECT_EQ(one("num.partitions", "many"), "num.partitions=many: Not a number of type INT (allowed: [1,...])");
  EXPECT_EQ(one("auto.create.topics.enable", "yes"),
            "auto.create.topics.enable=yes: Expected value to be either true or false");
  EXPECT_EQ(one("log.cleaner.min.cleanable.ratio", "1.01"),
            "log.cleaner.min.cleanable.ratio=1.01: Value must be no more than 1 (allowed: [0,...,1])");
  EXPECT_EQ(one("klamm.flush", "never"), "klamm.flush=never: String must be one of: written, commit");
  EXPECT_EQ(one("process.roles", "boss"), "process.roles=boss: String must be one of: broker, controller");
  EXPECT_NE(one("listeners", "PLAINTEXT://h:70000"), "none");
  EXPECT_NE(one("listeners", "PLAINTEXT://h:9092"), "none");
  EXPECT_NE(one("controller.quorum.voters", "3@h:1"), "none");
  EXPECT_NE(one("advertised.listeners", "OTHER://h:1"), "none");
  EXPECT_EQ(one("compression.gzip.level", "-1"), "none");
  EXPECT_NE(one("compression.gzip.level", "0"), "none");
}

// config/server.properties of Kafka 4.3, as it comes.
Properties shipped() {
  return {{"process.roles", "broker,controller"},
          {"node.id", "1"},
          {"controller.quorum.bootstrap.servers", "localhost:9093"},
          {"listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"},
          {"inter.broker.listener.name", "PLAINTEXT"},
          {"advertised.listeners", "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"},
          {"controller.listener.names", "CONTROLLER"},
          {"listener.security.protocol.map",
           "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"},
          {"num.network.threads", "3"},
          {"num.io.threads", "8"},
          {"socket.send.buffer.bytes", "102400"},
          {"socket.receive.buffer.bytes", "102400"},
          {"socket.request.max.bytes", "104857600"},
          {"log.dirs", "/tmp/kraft-combined-logs"},
          {"num.partitions", "1"},
          {"num.recovery.threads.per.data.dir", "1"},
          {"offsets.topic.replication.factor", "1"},
          {"share.coordinator.state.topic.replication.factor", "1"},
          {"share.coordinator.state.topic.min.isr", "1"},
          {"transaction.state.log.replication.factor", "1"},
          {"transaction.state.log.min.isr", "1"},
          {"log.retention.hours", "168"},
          {"log.segment.bytes", "1073741824"},
          {"log.retention.check.interval.ms", "300000"}};
}

TEST(BrokerConfig, the_only_bootstrap_server_may_be_the_node_itself) {
  const auto voters = [](const Properties& changes) {
    Properties p = shipped();
    for (const auto& [k, v] : changes) p[k] = v;
    ConfigReport report;
    const BrokerConfig c = parse_broker_config(p, report);
    std::string out;
    for (const Voter& v : c.voters) out += std::to_string(v.id.value) + "@" + v.host + ":" + std::to_string(v.port);
    return report.errors.empty() ? out : report.errors[0].text();
  };
  const std::string refused =
      ": controllers are not discovered by this version: name all of them in controller.quorum.voters, "
      "ID@HOST:PORT,...";
  const auto server = [](const char* value) { return Properties{{"controller.quorum.bootstrap.servers", value}}; };
  EXPECT_EQ(voters({}), "1@localhost:9093");
  EXPECT_EQ(voters(server("127.0.0.1:9093")), "1@127.0.0.1:9093");
  EXPECT_EQ(voters({{"process.roles", "controller"},
                    {"listeners", "CONTROLLER://:9093"},
                    {"advertised.listeners", "CONTROLLER://localhost:9093"}}),
            "1@localhost:9093");
  EXPECT_EQ(voters({{"listeners", "PLAINTEXT://kafka:9092,CONTROLLER://kafka:9093"},
                    {"advertised.listeners", "PLAINTEXT://localhost:9092"},
                    {"controller.quorum.bootstrap.servers", "kafka:9093"}}),
            "1@kafka:9093");
  EXPECT_EQ(voters({{"advertised.listeners", "PLAINTEXT://kafka:9092"},
                    {"controller.quorum.bootstrap.servers", "kafka:9093"}}),
            "1@kafka:9093");
  // Another's, or perhaps another's.
  for (const char* other : {"localhost:9094", "kafka:9093", "localhost:9093,localhost:9094"})
    EXPECT_EQ(voters(server(other)), "controller.quorum.bootstrap.servers=" + std::string(other) + refused);
  EXPECT_EQ(voters({{"process.roles", "broker"},
                    {"node.id", "2"},
                    {"listeners", "PLAINTEXT://localhost:9092"},
                    {"advertised.listeners", "PLAINTEXT://localhost:9092"}}),
            "controller.quorum.bootstrap.servers=localhost:9093" + refused);
  EXPECT_EQ(voters({{"controller.quorum.voters", "1@a:1"}}), "1@a:1");
}

TEST(BrokerConfig, voters_are_of_a_number) {
  const auto errors = [](int count) {
    std::string voters;
    for (int i = 1; i <= count; ++i) voters += (i == 1 ? "" : ",") + std::to_string(i) + "@h:" + std::to_string(i);
    const ConfigReport r = report_of(combined(), {{"controller.quorum.voters", voters}});
    return r.errors.size();
  };
  EXPECT_EQ(errors(63), 0u);
  EXPECT_EQ(errors(64), 1u);
}

// As Kafka's ListenerName: but for the names that controller.listener.names says, which are taken as they are.
TEST(BrokerConfig, capitals_and_small_letters_name_the_same_listener) {
  Properties p = combined();
  p["listeners"] = "internal://127.0.0.1:9092,Controller://127.0.0.1:9093";
  p["listener.security.protocol.map"] = "internal:plaintext, controller : Plaintext";
  p["inter.broker.listener.name"] = "Internal";
  ConfigReport report;
  const BrokerConfig c = parse_broker_config(p, report);
  EXPECT_TRUE(report.errors.empty()) << report.errors[0].text();
  EXPECT_EQ(c.inter_broker_listener_name, "INTERNAL");
  ASSERT_EQ(c.listeners.size(), 2u);
  EXPECT_EQ(c.listeners[1].listener, "CONTROLLER");
  p["security.inter.broker.protocol"] = "PLAINTEXT";
  EXPECT_FALSE(report_of(p, {}).errors.empty()) << "both of them";
  p.erase("inter.broker.listener.name");
  EXPECT_TRUE(report_of(p, {}).errors.empty());
  EXPECT_FALSE(report_of(p, {{"controller.listener.names", "controller"}}).errors.empty());
  EXPECT_EQ(report_of(p, {{"listener.security.protocol.map", "INTERNAL:tsl,CONTROLLER:PLAINTEXT"}}).errors[0].wanted,
            "Invalid security protocol `tsl` defined in listener.security.protocol.map");
}

TEST(BrokerConfig, properties_that_do_not_go_together_are_refused_as_kafka_refuses_them) {
  const struct {
    Properties given;
    const char* wanted;
  } cases[] = {
      {{{"broker.id", "2"}}, "You must set `node.id` to the same value as `broker.id`."},
      {{{"log.roll.ms", "0"}}, "log.roll.ms must be greater than or equal to 1"},
      {{{"log.roll.jitter.ms", "-1"}}, "log.roll.jitter.ms must be greater than or equal to 0"},
      {{{"log.retention.ms", "0"}}, "log.retention.ms must be unlimited (-1) or, greater than or equal to 1"},
      {{{"log.retention.hours", "0"}}, "log.retention.ms must be unlimited (-1) or, greater than or equal to 1"},
      {{{"log.cleaner.dedupe.buffer.size", "4000000"}, {"log.cleaner.threads", "4"}},
       "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread."},
      {{{"replica.socket.timeout.ms", "400"}},
       "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary socket "
       "timeouts"},
      {{{"replica.lag.time.max.ms", "400"}},
       "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to prevent frequent "
       "changes in ISR"},
      {{{"queued.max.request.bytes", "1000"}},
       "queued.max.request.bytes must be larger or equal to socket.request.max.bytes"},
      {{{"max.connections.per.ip", "0"}},
       "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set."},
      {{{"max.connections.per.ip.overrides", "a b:1"}},
       "max.connections.per.ip.overrides contains invalid addresses : a b"},
      {{{"connections.max.idle.ms", "100"}},
       "connection.failed.authentication.delay.ms=100 should always be less than connections.max.idle.ms=100 to "
       "prevent failed authentication responses from timing out"},
      {{{"advertised.listeners", "PLAINTEXT://0.0.0.0:9092"}},
       "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address."},
      {{{"group.consumer.max.session.timeout.ms", "44000"}, {"group.consumer.session.timeout.ms", "44000"}},
       "group.consumer.max.session.timeout.ms must be greater than or equal to "
       "group.consumer.min.session.timeout.ms"},
      {{{"group.share.session.timeout.ms", "70000"}},
       "group.share.session.timeout.ms must be less than or equal to group.share.max.session.timeout.ms"},
  };
  for (const auto& c : cases) {
    const ConfigReport r = report_of(combined(), c.given);
    ASSERT_FALSE(r.errors.empty()) << c.wanted;
    EXPECT_EQ(r.errors[0].wanted, c.wanted);
  }
  for (const Properties& good : {Properties{{"log.retention.ms", "-5"}},
                                 {{"queued.max.request.bytes", "-1"}},
                                 {{"connections.max.idle.ms", "-1"}},
                                 {{"broker.id", "1"}},
                                 {{"max.connections.per.ip", "0"}, {"max.connections.per.ip.overrides", "::1:4"}}})
    EXPECT_TRUE(report_of(combined(), good).errors.empty()) << good.begin()->first;
}

TEST(BrokerConfig, times_without_end_end_in_no_past) {
  Properties p = combined();
  p["offsets.retention.minutes"] = "2147483647";
  p["leader.imbalance.check.interval.seconds"] = "9223372036854775807";
  p["unclean.leader.election.interval.ms"] = "9223372036854775807";
  ConfigReport report;
  const BrokerConfig c = parse_broker_config(p, report);
  EXPECT_TRUE(report.errors.empty());
  for (const Duration d : {c.offsets_retention, c.leader_imbalance_check_interval, c.unclean_election_interval,
                           seconds(INT64_MAX), minutes(INT64_MAX), minutes(INT64_MAX / 60 + 1)}) {
    EXPECT_GT(d, seconds(50LL * 365 * 86'400));
    EXPECT_GT(Instant{} + d + d, Instant{} + d) << "and may be added to a time";
  }
  EXPECT_EQ(minutes(7), seconds(420));
  EXPECT_LT(minutes(INT64_MIN), seconds(-1));
}

// As the words say it, in quadratic time.
std::string edited_slowly(std::string_view now, std::string_view with, bool append) {
  const auto split = [](std::string_view text) {
    std::vector<std::string> out(1);
    for (const char c : text)
      if (c == ',')
        out.emplace_back();
      else
        out.back() += c;
    while (!text.empty() && !out.empty() && out.back().empty()) out.pop_back();
    return out;
  };
  std::vector<std::string> parts = split(now);
  std::erase(parts, std::string());
  for (const std::string& part : split(with)) {
    const auto at = std::find(parts.begin(), parts.end(), part);
    if (append && at == parts.end()) parts.push_back(part);
    if (!append && at != parts.end()) parts.erase(at);
  }
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i) out += (i ? "," : "") + parts[i];
  return out;
}

RC_GTEST_PROP(EditedList, adds_what_is_not_there_and_takes_the_first_away, ()) {
  const auto text = rc::gen::container<std::string>(rc::gen::elementOf(std::string("ab,")));
  const std::string now = *text, with = *text;
  const bool append = *rc::gen::arbitrary<bool>();
  RC_ASSERT(edited_list(now, with, append) == edited_slowly(now, with, append));
}

TEST(TopicConfig, a_retention_below_zero_is_for_ever_however_it_is_said) {
  for (const char* name : {"log.retention.ms", "log.retention.minutes", "log.retention.hours"})
    EXPECT_EQ(make_topic_config({}, {{name, "-7"}}).retention_ms, -1) << name;
}

TEST(TopicConfig, overrides_then_broker_synonyms_then_defaults) {
  const Properties broker{{"log.retention.hours", "2"}, {"message.max.bytes", "99"}, {"log.roll.ms", "7000"}};
  const TopicConfig c =
      make_topic_config({{"max.message.bytes", "1000"}, {"cleanup.policy", "compact,delete"}}, broker);
  EXPECT_EQ(c.retention_ms, 7'200'000);
  EXPECT_EQ(c.max_message_bytes, 1000);
  EXPECT_EQ(c.segment_age, seconds(7));
  EXPECT_EQ(c.segment_bytes, 1 << 30);
  EXPECT_TRUE(c.compacted() && c.deleted_by_age());
  EXPECT_EQ(make_topic_config({{"internal.segment.bytes", "512"}}, broker).segment_bytes, 512);
}

TEST(TopicConfig, faults_speak_as_kafka_does) {
  EXPECT_EQ(topic_config_fault({{"retention.ms", "1"}}, {}), std::nullopt);
  EXPECT_EQ(topic_config_fault({{"no.such", "1"}}, {}), "Unknown topic config name: no.such");
  EXPECT_EQ(topic_config_fault({{"min.insync.replicas", "0"}}, {}),
            "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1");
}

TEST(TopicConfig, values_that_are_taken_and_how_they_are_shown) {
  const auto fault = [](const char* name, const char* value) { return topic_config_fault({{name, value}}, {}); };
  EXPECT_EQ(fault("cleanup.policy", "compact,compact"), std::nullopt);
  EXPECT_EQ(fault("cleanup.policy", "delete,"), "Configuration 'cleanup.policy' values must not be empty.");
  EXPECT_EQ(fault("cleanup.policy", "delete,x"),
            "Invalid value x for configuration cleanup.policy: String must be one of: compact, delete");
  EXPECT_EQ(fault("compression.gzip.level", "-1"), std::nullopt);
  EXPECT_EQ(fault("compression.gzip.level", "0"),
            "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1");
  for (const char* good : {"*", "", "0:1", "0:1,12:34", "0:1,"})
    EXPECT_EQ(fault("leader.replication.throttled.replicas", good), std::nullopt) << good;
  for (const char* bad : {"x", "0:", ":1", "0:1,*", "*,0:1", "-1:2"})
    EXPECT_NE(fault("leader.replication.throttled.replicas", bad), std::nullopt) << bad;
  EXPECT_EQ(topic_config_fault({{"min.compaction.lag.ms", "10"}}, {{"log.cleaner.max.compaction.lag.ms", "5"}}),
            "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)");
  const auto shown = [](const char* name, const char* value) {
    return config_shown(*find_config(ConfigScope::topic, name), value);
  };
  EXPECT_EQ(shown("retention.ms", " +5 "), "5");
  EXPECT_EQ(shown("unclean.leader.election.enable", "TRUE"), "true");
  EXPECT_EQ(shown("cleanup.policy", " compact ,delete,compact"), "compact,delete");
  const std::pair<const char*, const char*> decimals[] = {
      {"0.5", "0.5"},           {"1", "1.0"},          {"0", "0.0"},      {".5", "0.5"},
      {"1e-1", "0.1"},          {"1.", "1.0"},         {"0.10", "0.1"},   {"+0.2", "0.2"},
      {"0.0000001", "1.0E-7"},  {"0.00012", "1.2E-4"}, {"0.5f", "0.5"},   {"-0", "-0.0"},
      {"00.5", "0.5"},          {"0.001", "0.001"},    {"1e-400", "0.0"}, {"12e6", "1.2E7"},
      {"9999999", "9999999.0"}, {"12.25", "12.25"}};
  for (const auto& [value, plain] : decimals) EXPECT_EQ(shown("min.cleanable.dirty.ratio", value), plain);
}

TEST(ConfigNumbers, decimals_become_millionths) {
  EXPECT_EQ(parse_millionths("0.5f"), 500'000);
  EXPECT_EQ(parse_millionths("f"), std::nullopt);
  EXPECT_EQ(parse_millionths("0.5"), 500'000);
  EXPECT_EQ(parse_millionths("-2"), -2'000'000);
  EXPECT_EQ(parse_millionths("2.147483647E9"), 2'147'483'647'000'000);
  EXPECT_GT(*parse_millionths("1.7976931348623157E308"), INT64_MAX / 32);
  EXPECT_EQ(parse_millionths("1e-3"), 1'000);
  EXPECT_EQ(parse_millionths("."), std::nullopt);
  EXPECT_EQ(parse_millionths("1x"), std::nullopt);
}

}  // namespace
}  // namespace klamm::metadata
