// Brokers that are reached on other listeners than the one that a client came by.
#include "engine/protocol/messages/broker_heartbeat.h"
#include "engine/protocol/messages/broker_registration.h"
#include "engine/protocol/messages/create_partitions.h"
#include "engine/protocol/messages/describe_topic_partitions.h"
#include "engine/protocol/messages/find_coordinator.h"
#include "engine/protocol/messages/metadata.h"
#include "engine/protocol/messages/produce.h"
#include "tests/engine/broker/wired_node.h"

namespace klamm::broker {
namespace {

struct Listens {
  const char* name;
  const char* host;
};

// The node that the test talks to, and broker 2, which only the controller knows: it leads topic "t".
class Listeners : public testing::Test {
 protected:
  void start(const std::vector<Listens>& listeners) {
    x.boot();
    controller = x.connect(1), client = x.connect(0);
    protocol::BrokerRegistrationRequest q;
    q.broker_id = 2;
    const std::string cluster = x.cluster_id();
    q.cluster_id = x.arena().copy(cluster);
    q.incarnation_id.bytes[0] = 2;
    for (const Listens& l : listeners) {
      auto& out = q.listeners.add(x.arena());
      out.name = l.name, out.host = l.host, out.port = 9092;
    }
    for (const char* name : {"metadata.version", "group.version", "transaction.version", "share.version",
                             "streams.version", "eligible.leader.replicas.version"}) {
      auto& feature = q.features.add(x.arena());
      feature.name = name;
      feature.min_supported_version = name == std::string_view("metadata.version") ? 7 : 0;
      feature.max_supported_version = 30;
    }
    q.rack = kNullStr;
    Uuid dir;
    dir.bytes[0] = 3;
    q.log_dirs.push_back(x.arena(), dir);
    x.ask(controller, 4, q);
    x.run_for(milliseconds(100));
    const auto registered = x.take<protocol::BrokerRegistrationResponse>(controller, 4);
    ASSERT_EQ(registered.error_code, 0);
    protocol::BrokerHeartbeatRequest beat;
    beat.broker_id = 2;
    beat.broker_epoch = registered.broker_epoch;
    beat.current_metadata_offset = 1'000'000;
    x.ask(controller, 1, beat);
    x.run_for(milliseconds(100));
    ASSERT_FALSE(x.take<protocol::BrokerHeartbeatResponse>(controller, 1).is_fenced);
    protocol::CreateTopicsRequest m;
    auto& topic = m.topics.add(x.arena());
    topic.name = "t";
    topic.num_partitions = topic.replication_factor = -1;
    topic.assignments.add(x.arena()).broker_ids.push_back(x.arena(), 2);
    x.ask(client, 7, m);
    x.run_for(milliseconds(100));
    ASSERT_EQ(x.take<protocol::CreateTopicsResponse>(client, 7).topics[0].error_code, 0);
  }
  WiredNode x;
  ConnId controller, client;
};

// Not by the partitions that the topic has now: by those that coordinators go by until they begin anew.
TEST_F(Listeners, a_group_keeps_its_coordinator_when_the_offsets_topic_grows) {
  start({{"PLAINTEXT", "two"}});
  protocol::CreateTopicsRequest m;
  auto& topic = m.topics.add(x.arena());
  topic.name = "__consumer_offsets";
  topic.num_partitions = topic.replication_factor = -1;
  topic.assignments.add(x.arena()).broker_ids.push_back(x.arena(), 1);
  x.ask(client, 7, m);
  x.run_for(milliseconds(100));
  ASSERT_EQ(x.take<protocol::CreateTopicsResponse>(client, 7).topics[0].error_code, 0);
  protocol::CreatePartitionsRequest more;
  auto& grown = more.topics.add(x.arena());
  grown.name = "__consumer_offsets";
  grown.count = 8;
  more.timeout_ms = 1000;
  for (int i = 1; i < 8; ++i) grown.assignments.add(x.arena()).broker_ids.push_back(x.arena(), 2);
  x.ask(client, 3, more);
  x.run_for(milliseconds(100));
  ASSERT_EQ(x.take<protocol::CreatePartitionsResponse>(client, 3).results[0].error_code, 0);
  protocol::FindCoordinatorRequest find;
  for (const char* group : {"a", "b", "c", "d", "e", "f", "g", "h"}) find.coordinator_keys.push_back(x.arena(), group);
  x.ask(client, 4, find);
  x.run_for(milliseconds(100));
  const auto found = x.take<protocol::FindCoordinatorResponse>(client, 4);
  ASSERT_EQ(found.coordinators.size(), 8u);
  for (const auto& c : found.coordinators) EXPECT_EQ(c.node_id, 1) << c.key;
}

TEST_F(Listeners, a_refused_produce_tells_where_the_leader_is_on_the_clients_own) {
  start({{"INTERNAL", "inside"}, {"PLAINTEXT", "two"}});
  protocol::ProduceRequest q;
  q.acks = -1;
  auto& topic = q.topic_data.add(x.arena());
  topic.name = "t";
  topic.partition_data.add(x.arena()).records = protocol::Records::empty();
  x.ask(client, 10, q);
  x.run_for(milliseconds(10));
  const auto m = x.take<protocol::ProduceResponse>(client, 10);
  EXPECT_EQ(static_cast<ErrorCode>(m.responses[0].partition_responses[0].error_code),
            ErrorCode::not_leader_or_follower);
  ASSERT_EQ(m.node_endpoints.size(), 1u);
  EXPECT_EQ(std::string(m.node_endpoints[0].host), "two");
}

TEST_F(Listeners, a_leader_without_the_clients_own_is_none) {
  start({{"INTERNAL", "inside"}});
  protocol::MetadataRequest q;
  q.topics.add(x.arena()).name = "t";
  const std::vector<int32_t> two = {2};
  for (const int16_t version : {5, 9}) {
    x.ask(client, version, q);
    const auto m = x.take<protocol::MetadataResponse>(client, version);
    const auto& p = m.topics[0].partitions[0];
    EXPECT_EQ(static_cast<ErrorCode>(p.error_code),
              version < 6 ? ErrorCode::leader_not_available : ErrorCode::listener_not_found);
    EXPECT_EQ(p.leader_id, -1);
    EXPECT_EQ(std::vector<int32_t>(p.offline_replicas.begin(), p.offline_replicas.end()), two);
  }
  protocol::DescribeTopicPartitionsRequest d;
  d.topics.add(x.arena()).name = "t";
  x.ask(client, 0, d);
  const auto m = x.take<protocol::DescribeTopicPartitionsResponse>(client, 0);
  const auto& p = m.topics[0].partitions[0];
  EXPECT_EQ(p.leader_id, -1);
  EXPECT_EQ(std::vector<int32_t>(p.offline_replicas.begin(), p.offline_replicas.end()), two);
}

}  // namespace
}  // namespace klamm::broker
