// FindCoordinator 0-5: which broker leads the partition of __consumer_offsets that a group hashes to; in batches from 4
// (KIP-699). The topic is created when the first group asks. Not here yet: transactional ids; share groups (6).
#include "engine/protocol/messages/find_coordinator.h"

#include "engine/broker/handlers.h"
#include "engine/protocol/hashes.h"

namespace klamm::broker {
namespace {

constexpr int8_t kGroup = 0;

struct Found {
  ErrorCode error = ErrorCode::none;
  const char* message = nullptr;
  const metadata::BrokerEndpoint* endpoint = nullptr;
  NodeId node = kNoNode;
};

Found find(Turn& t, const Request& r, int8_t type, Str key) {
  if (type != kGroup)
    return {type == 1 ? ErrorCode::coordinator_not_available : ErrorCode::invalid_request,
            "this kind of coordinator is not served", nullptr, kNoNode};
  if (key.empty()) return {ErrorCode::invalid_group_id, "the group id is empty", nullptr, kNoNode};
  const metadata::Topic* topic = t.p.image.topic("__consumer_offsets");
  if (!topic) {
    t.create_topic_for("__consumer_offsets");
    return {ErrorCode::coordinator_not_available, "the coordinator is not available", nullptr, kNoNode};
  }
  const int32_t partition = protocol::coordinator_partition(key, static_cast<int32_t>(topic->partitions.size()));
  const metadata::PartitionInfo* info = topic->partitions.find(partition);
  const metadata::Broker* b = info && info->leader != kNoNode ? t.p.image.broker(info->leader) : nullptr;
  const metadata::BrokerEndpoint* e = b && !b->fenced ? endpoint_of(t, r, *b) : nullptr;
  if (!e) return {ErrorCode::coordinator_not_available, "the coordinator is not available", nullptr, kNoNode};
  return {ErrorCode::none, nullptr, e, b->id};
}

}  // namespace

void handle_find_coordinator(Turn& t, Request& r) {
  protocol::FindCoordinatorRequest q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  protocol::FindCoordinatorResponse m;
  if (r.ticket.version >= 4) {
    for (Str key : q.coordinator_keys) {
      const Found f = find(t, r, q.key_type, key);
      auto& x = m.coordinators.add(t.arena());
      x.key = key;
      x.error_code = code(f.error);
      x.error_message = f.message ? Str(f.message) : f.error == ErrorCode::none ? Str("") : kNullStr;
      x.node_id = f.node.value;
      x.host = f.endpoint ? Str(f.endpoint->host) : Str("");
      x.port = f.endpoint ? f.endpoint->port : -1;
    }
    return t.answer(r.ticket, m);
  }
  const Found f = find(t, r, r.ticket.version == 0 ? kGroup : q.key_type, q.key);
  m.error_code = code(f.error);
  m.error_message = f.message ? Str(f.message) : Str("NONE");
  m.node_id = f.node.value;
  m.host = f.endpoint ? Str(f.endpoint->host) : Str("");
  m.port = f.endpoint ? f.endpoint->port : -1;
  t.answer(r.ticket, m);
}

}  // namespace klamm::broker
