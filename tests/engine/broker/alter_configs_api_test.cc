// Changes of configs, as far as the broker that is asked judges them by itself.
#include "engine/protocol/messages/alter_configs.h"
#include "engine/protocol/messages/incremental_alter_configs.h"
#include "tests/engine/broker/wired_node.h"
#include "tests/support/heard.h"

namespace klamm::broker {
namespace {

using Incremental = protocol::IncrementalAlterConfigsRequest;
using metadata::ResourceType;

struct Wanted {
  ResourceType type;
  const char* resource;
  const char* name;
  const char* value;
  int8_t how = 0;
};

class AlterConfigsApi : public testing::Test {
 protected:
  AlterConfigsApi() {
    x.boot();
    client = x.connect();
    x.create_topic(client, "t");
  }
  Incremental request(const std::vector<Wanted>& all) {
    Incremental q;
    for (const Wanted& w : all) {
      auto& r = q.resources.add(x.arena());
      r.resource_type = static_cast<int8_t>(w.type);
      r.resource_name = w.resource;
      auto& c = r.configs.add(x.arena());
      c.name = w.name, c.value = w.value, c.config_operation = w.how;
    }
    return q;
  }
  // What is said to each resource: its error and the text beside it.
  std::vector<std::pair<ErrorCode, std::string>> told(const std::vector<Wanted>& all) {
    x.ask(client, 1, request(all));
    x.run_for(milliseconds(100));
    std::vector<std::pair<ErrorCode, std::string>> out;
    const auto m = x.take<protocol::IncrementalAlterConfigsResponse>(client, 1);
    for (size_t i = 0; i < m.responses.size(); ++i) {
      EXPECT_EQ(std::string(m.responses[i].resource_name), all[i].resource);
      const Str text = m.responses[i].error_message;
      out.push_back({static_cast<ErrorCode>(m.responses[i].error_code), is_null(text) ? "" : std::string(text)});
    }
    return out;
  }
  static constexpr auto kRefused = ErrorCode::invalid_request;
  WiredNode x{WiredNode::Properties{{"num.io.threads", "4"}}};
  ConnId client;
};

TEST_F(AlterConfigsApi, what_is_taken_and_has_no_effect_is_told_once) {
  Heard<TraceKind::config_unused> heard;
  x.node.trace = &heard;
  for (const char* rate : {"100", "200"})
    EXPECT_EQ(told({{ResourceType::broker, "", "max.connection.creation.rate", rate},
                    {ResourceType::broker, "1", "log.retention.ms", rate}}),
              decltype(told({}))(2, {ErrorCode::none, ""}));
  ASSERT_EQ(heard.seen.size(), 1u);
  const auto all = metadata::config_defs(metadata::ConfigScope::broker);
  EXPECT_STREQ(all[static_cast<size_t>(heard.seen[0].a)].name, "max.connection.creation.rate");
  x.node.trace = nullptr;
}

TEST_F(AlterConfigsApi, a_broker_takes_changes_for_itself_and_for_all) {
  const std::vector<std::pair<ErrorCode, std::string>> expected = {
      {kRefused, "Unexpected broker id, expected 1, but received 2"},
      {ErrorCode::none, ""},
      {kRefused, "Node id must be an integer, but it is: one"},
      {ErrorCode::none, ""},
      {ErrorCode::invalid_config, "Invalid value soon for configuration retention.ms: Not a number of type LONG"},
  };
  EXPECT_EQ(told({{ResourceType::broker, "2", "log.retention.ms", "5"},
                  {ResourceType::broker, "1", "log.retention.ms", "5"},
                  {ResourceType::broker, "one", "log.retention.ms", "5"},
                  {ResourceType::broker, "", "log.retention.ms", "5"},
                  {ResourceType::topic, "t", "retention.ms", "soon"}}),
            expected);
  protocol::AlterConfigsRequest legacy;
  auto& r = legacy.resources.add(x.arena());
  r.resource_type = static_cast<int8_t>(ResourceType::broker);
  r.resource_name = "2";
  x.ask(client, 2, legacy);
  x.run_for(milliseconds(100));
  EXPECT_EQ(static_cast<ErrorCode>(x.take<protocol::AlterConfigsResponse>(client, 2).responses[0].error_code),
            kRefused);
}

TEST_F(AlterConfigsApi, pools_of_threads_are_doubled_or_halved_at_most_by_what_this_broker_has) {
  const auto resize = [&](const char* value) {
    return told({{ResourceType::broker, "1", "num.io.threads", value}})[0];
  };
  EXPECT_EQ(resize("9").second,
            "Dynamic thread count update validation failed for num.io.threads=9: value should not be more than double "
            "or less than half the current value 4");
  EXPECT_EQ(resize("8").first, ErrorCode::none);
  EXPECT_EQ(resize("16").first, ErrorCode::none) << "it has eight now";
  EXPECT_EQ(resize("7").first, kRefused);
}

TEST_F(AlterConfigsApi, what_would_not_go_together_is_refused) {
  const std::pair<const char*, const char*> bad[] = {
      {"log.roll.ms", "0"},
      {"log.roll.jitter.ms", "-1"},
      {"log.retention.ms", "0"},
      {"log.cleaner.threads", "0"},
      {"log.cleaner.dedupe.buffer.size", "1000"},
      {"log.local.retention.ms", "-1"},
      {"log.local.retention.ms", "2147483647"},
      {"max.connections", "0"},
      {"max.connection.creation.rate", "0"},
      {"max.connections.per.ip", "0"},
      {"max.connections.per.ip.overrides", "x"},
      {"remote.log.reader.threads", "1000"},
      {"remote.log.manager.follower.thread.pool.size", "5"},
      {"group.consumer.assignment.interval.ms", "100000"},
  };
  for (const auto& [name, value] : bad)
    for (const char* resource : {"1", ""})
      EXPECT_EQ(told({{ResourceType::broker, resource, name, value}})[0].first, kRefused) << name << "=" << value;
  const std::pair<const char*, const char*> of_one[] = {
      {"cordoned.log.dirs", "elsewhere"}, {"listeners", "x"}, {"listener.security.protocol.map", "x"}};
  for (const auto& [name, value] : of_one)
    EXPECT_EQ(told({{ResourceType::broker, "1", name, value}})[0].first, kRefused) << name << "=" << value;
  EXPECT_EQ(told({{ResourceType::broker, "1", "cordoned.log.dirs", "*"}})[0].first, ErrorCode::none);
  EXPECT_EQ(told({{ResourceType::broker, "1", "log.retention.ms", "5", 2}})[0].first, ErrorCode::invalid_config)
      << "that it is no list comes first";
}

TEST_F(AlterConfigsApi, a_running_broker_keeps_its_listeners) {
  const std::pair<const char*, const char*> all[] = {
      {"listeners", "PLAINTEXT://here:9092,CONTROLLER://here:9093"},
      {"listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,EXT:PLAINTEXT"},
      {"advertised.listeners", "PLAINTEXT://there:9092"}};
  for (const auto& [name, value] : all)
    EXPECT_EQ(told({{ResourceType::broker, "1", name, value}})[0].first, kRefused) << name;
  for (const char* name : {"listeners", "listener.security.protocol.map"})
    EXPECT_EQ(told({{ResourceType::broker, "1", name, "", 1}})[0].first, ErrorCode::none)
        << name << " may have been set by Kafka";
}

TEST_F(AlterConfigsApi, there_are_no_loggers_to_change) {
  constexpr auto kLogger = ResourceType::broker_logger;
  EXPECT_EQ(told({{kLogger, "1", "kafka", "DEBUG"}})[0],
            std::make_pair(ErrorCode::invalid_config, std::string("Logger kafka does not exist!")));
  EXPECT_EQ(told({{kLogger, "2", "kafka", "DEBUG"}})[0].second, "Unexpected node id. Expected 1, but received 2");
  EXPECT_EQ(told({{kLogger, "1", "kafka", "DEBUG", 2}})[0].second,
            "APPEND operation is not allowed for the BROKER_LOGGER resource");
  EXPECT_EQ(told({{kLogger, "1", "kafka", "DEBUG", 4}})[0].first, ErrorCode::unknown_server_error);
}

TEST_F(AlterConfigsApi, a_resource_named_twice_spoils_only_itself) {
  const auto all = told({{ResourceType::broker, "1", "log.retention.ms", "5"},
                         {ResourceType::topic, "t", "retention.ms", "5"},
                         {ResourceType::broker, "1", "log.retention.ms", "6"}});
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].second, "Each resource must appear at most once.");
  EXPECT_EQ(all[1].first, ErrorCode::none);
  EXPECT_EQ(all[2].second, "Each resource must appear at most once.");
}

}  // namespace
}  // namespace klamm::broker
