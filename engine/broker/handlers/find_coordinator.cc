// FindCoordinator 0-6: which broker leads the partition that a key hashes to: of __consumer_offsets for groups, of
// __transaction_state for transactional ids, of __share_group_state for share groups (from 6, KIP-932). In batches from
// 4 (KIP-699). The topic is created when somebody asks first. An answer that would name a broker in doubt waits
// (rules.h).
#include "engine/protocol/messages/find_coordinator.h"

#include <algorithm>

#include "engine/broker/handlers.h"
#include "engine/protocol/hashes.h"
#include "engine/protocol/text.h"

namespace klamm::broker {
namespace {

constexpr int8_t kGroup = 0, kTransaction = 1, kShare = 2;

struct Found {
  ErrorCode error = ErrorCode::none;
  const char* message = nullptr;
  const metadata::BrokerEndpoint* endpoint = nullptr;
  NodeId node = kNoNode;
};

Found refuse(ErrorCode error, const char* message) { return {error, message, nullptr, kNoNode}; }

// "group:topic-id:partition", where the group may hold colons.
bool share_key(Str key) {
  const size_t last = key.rfind(':');
  if (last == Str::npos || last == 0) return false;
  const size_t before = key.rfind(':', last - 1);
  if (before == Str::npos || before == 0) return false;
  const auto partition = metadata::parse_integer(key.substr(last + 1));
  const Str id = key.substr(before + 1, last - before - 1);
  Uuid parsed;
  return partition && *partition >= 0 && *partition <= INT32_MAX && Uuid::parse(id.data(), id.size(), &parsed);
}

Found find(Turn& t, const Request& r, int8_t type, Str key) {
  const bool share = type == kShare && r.ticket.version >= 6;
  if (type != kGroup && type != kTransaction && !share)
    return refuse(ErrorCode::invalid_request, protocol::kInvalidRequestText);
  if (share && !share_key(key)) return refuse(ErrorCode::invalid_request, protocol::kInvalidRequestText);
  const char* name = type == kGroup ? "__consumer_offsets" : share ? "__share_group_state" : "__transaction_state";
  static constexpr char kNone[] = "The coordinator is not available.";
  const metadata::Topic* topic = t.p.image.topic(name);
  if (!topic) {
    t.create_topic_for(name);
    return refuse(ErrorCode::coordinator_not_available, kNone);
  }
  // A topic that has grown since moves no group: coordinators go by the partitions that they began with, as Kafka's.
  const int32_t partition = type == kGroup && t.p.groups.topic == topic->id
                                ? t.p.groups.coordinator.partition_of(key)
                                : protocol::coordinator_partition(key, static_cast<int32_t>(topic->partitions.size()));
  const metadata::PartitionInfo* info = topic->partitions.find(partition);
  const metadata::Broker* b = info && info->leader != kNoNode ? t.p.image.broker(info->leader) : nullptr;
  const metadata::BrokerEndpoint* e = b && !b->fenced ? endpoint_of(t, r, *b) : nullptr;
  if (!e) return refuse(ErrorCode::coordinator_not_available, kNone);
  return {ErrorCode::none, nullptr, e, b->id};
}

}  // namespace

void handle_find_coordinator(Turn& t, Request& r, std::optional<Instant> until) {
  protocol::FindCoordinatorRequest q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  protocol::FindCoordinatorResponse m;
  Instant doubt_ends{};
  const auto look = [&](int8_t type, Str key) {
    const Found f = find(t, r, type, key);
    doubt_ends = std::max(doubt_ends, t.doubt_ends(f.node));
    return f;
  };
  const AnswerRoom room(t.arena());
  if (r.ticket.version >= 4) {
    for (Str key : q.coordinator_keys) {
      if (!room.left()) return t.close(r.ticket);
      const Found f = look(q.key_type, key);
      auto& x = m.coordinators.add(t.arena());
      x.key = key;
      x.error_code = code(f.error);
      x.error_message = q.key_type < kGroup || q.key_type > kShare ? protocol::kInvalidRequestText : "";  // as Kafka
      x.node_id = f.node.value;
      x.host = f.endpoint ? Str(f.endpoint->host) : Str("");
      x.port = f.endpoint ? f.endpoint->port : -1;
    }
  } else {
    const Found f = look(r.ticket.version == 0 ? kGroup : q.key_type, q.key);
    m.error_code = code(f.error);
    m.error_message = f.message ? Str(f.message) : Str("NONE");
    m.node_id = f.node.value;
    m.host = f.endpoint ? Str(f.endpoint->host) : Str("");
    m.port = f.endpoint ? f.endpoint->port : -1;
  }
  if (t.waits_in_doubt(r, until, doubt_ends)) return;
  t.answer(r.ticket, m);
}

}  // namespace klamm::broker
