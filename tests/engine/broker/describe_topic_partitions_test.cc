// DescribeTopicPartitions of a whole node.
#include "engine/protocol/messages/describe_topic_partitions.h"

#include "engine/protocol/messages/unregister_broker.h"
#include "tests/engine/broker/wired_node.h"

namespace klamm::broker {
namespace {

TEST(DescribeTopicPartitions, of_a_partition_without_a_leader_tell_no_error_but_who_may_lead) {
  WiredNode x;
  x.boot();
  const ConnId conn = x.connect();
  x.create_topic(conn, "t");
  protocol::UnregisterBrokerRequest unregister;
  unregister.broker_id = 1;
  x.ask(conn, 0, unregister);
  x.run_for(milliseconds(20), [&] { return x.answered(conn); });
  ASSERT_EQ(x.take<protocol::UnregisterBrokerResponse>(conn, 0).error_code, 0);
  protocol::DescribeTopicPartitionsRequest q;
  q.topics.add(x.arena()).name = "t";
  x.ask(conn, 0, q);
  const auto m = x.take<protocol::DescribeTopicPartitionsResponse>(conn, 0);
  const auto& p = m.topics[0].partitions[0];
  EXPECT_EQ(p.error_code, 0);
  EXPECT_EQ(p.leader_id, -1);
  EXPECT_TRUE(p.isr_nodes.empty());
  const std::vector<int32_t> alone = {1};
  EXPECT_EQ(std::vector<int32_t>(p.eligible_leader_replicas.begin(), p.eligible_leader_replicas.end()), alone);
  EXPECT_EQ(std::vector<int32_t>(p.offline_replicas.begin(), p.offline_replicas.end()), alone);
}

}  // namespace
}  // namespace klamm::broker
