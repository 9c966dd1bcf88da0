// What several handlers need to know.
#include "engine/broker/handlers.h"

namespace klamm::broker {

Located locate(Turn& t, Str topic, const Uuid& id, bool by_id, int32_t partition) {
  Located l;
  l.topic = by_id ? t.p.image.topic(id) : t.p.image.topic(topic);
  if (!l.topic) {
    l.error = by_id ? ErrorCode::unknown_topic_id : ErrorCode::unknown_topic_or_partition;
    return l;
  }
  l.id = {l.topic->id, partition};
  l.replica = t.p.replicas.find(l.id);
  if (!l.replica)
    l.error =
        l.topic->partitions.find(partition) ? ErrorCode::not_leader_or_follower : ErrorCode::unknown_topic_or_partition;
  return l;
}

bool opens_to_lead(const Turn& t, const Located& at) {
  return at.replica && at.replica->opens_to_lead(NodeId{t.p.config.node_id});
}

const metadata::BrokerEndpoint* endpoint_of(Turn& t, const Asker& asker, const metadata::Broker& broker) {
  const size_t i = asker.listener.value;
  if (!asker.ticket.conn || i >= t.p.boot.listeners.size())
    return broker.endpoints.empty() ? nullptr : &broker.endpoints[0];
  return broker.endpoint(t.p.boot.listeners[i].name);
}

bool offline(Turn& t, const Asker& asker, NodeId replica) {
  const metadata::Broker* b = t.p.image.broker(replica);
  return !b || b->fenced || !endpoint_of(t, asker, *b);
}

bool internal_topic(Str name) {
  return name == "__consumer_offsets" || name == "__transaction_state" || name == "__share_group_state";
}

namespace {
constexpr int32_t bits(std::initializer_list<int> operations) {
  int32_t all = 0;
  for (int o : operations) all |= 1 << o;
  return all;
}
}  // namespace

// Numbers of org.apache.kafka.common.acl.AclOperation: read 3, write 4, create 5, delete 6, alter 7, describe 8,
// cluster_action 9, describe_configs 10, alter_configs 11, idempotent_write 12.
int32_t topic_operations() { return bits({3, 4, 5, 6, 7, 8, 10, 11}); }
int32_t cluster_operations() { return bits({5, 7, 8, 9, 10, 11, 12}); }

}  // namespace klamm::broker
