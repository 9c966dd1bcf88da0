// DescribeTopicPartitions 0 (KIP-966): topics in the order of their names, in pages of partitions; a cursor says where
// the next page begins.
#include "engine/protocol/messages/describe_topic_partitions.h"

#include <set>

#include "engine/broker/handlers.h"
#include "engine/controller/rules.h"

namespace klamm::broker {
namespace {

using protocol::DescribeTopicPartitionsRequest;
using protocol::DescribeTopicPartitionsResponse;

void add_nodes(Arena& arena, const std::vector<NodeId>& nodes, List<int32_t>& out) {
  out = {};
  for (NodeId n : nodes) out.push_back(arena, n.value);
}

void add_partition(Turn& t, const Request& r, int32_t index, const metadata::PartitionInfo& info,
                   DescribeTopicPartitionsResponse::DescribeTopicPartitionsResponsePartition& y) {
  y.partition_index = index;
  y.leader_id = offline(t, r, info.leader) ? -1 : info.leader.value;  // and no error, unlike Metadata
  y.leader_epoch = info.leader_epoch;
  add_nodes(t.arena(), info.replicas, y.replica_nodes);
  add_nodes(t.arena(), info.isr, y.isr_nodes);
  add_nodes(t.arena(), info.elr, y.eligible_leader_replicas);
  add_nodes(t.arena(), info.last_known_elr, y.last_known_elr);
  for (NodeId n : info.replicas)
    if (offline(t, r, n)) y.offline_replicas.push_back(t.arena(), n.value);
}

void refuse_all(Turn& t, const Request& r, const DescribeTopicPartitionsRequest& q) {
  DescribeTopicPartitionsResponse m;
  for (const auto& topic : q.topics) {
    auto& x = m.topics.add(t.arena());
    x.error_code = code(ErrorCode::invalid_request);
    x.name = topic.name;
  }
  t.answer(r.ticket, m);
}

// Adds the topic from partition `first` on. The partition that found no room; -1: all did.
int32_t add_topic(Turn& t, const Request& r, Str name, int32_t first, int32_t& room,
                  DescribeTopicPartitionsResponse& m) {
  auto& x = m.topics.add(t.arena());
  x.name = name;
  x.is_internal = internal_topic(name);
  x.topic_authorized_operations = topic_operations();
  const metadata::Topic* topic = t.p.image.topic(name);
  if (!topic) {
    x.error_code = code(controller::topic_name_fault(name) ? ErrorCode::invalid_topic_exception
                                                           : ErrorCode::unknown_topic_or_partition);
    return -1;
  }
  x.topic_id = topic->id;
  for (const auto& [index, info] : topic->partitions) {
    if (index < first) continue;
    if (room == 0) return index;
    --room;
    add_partition(t, r, index, info, x.partitions.add(t.arena()));
  }
  return -1;
}

}  // namespace

void handle_describe_topic_partitions(Turn& t, Request& r) {
  DescribeTopicPartitionsRequest q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  const bool all = q.topics.empty();
  std::set<Str> names;
  if (all)
    for (const auto& [name, id] : t.p.image.topics_by_name()) names.insert(name);
  for (const auto& topic : q.topics) names.insert(topic.name);
  if (q.cursor.has_value()) {
    if (q.cursor->partition_index < 0 || (!all && !names.count(q.cursor->topic_name))) return refuse_all(t, r, q);
    names.erase(names.begin(), names.lower_bound(q.cursor->topic_name));
  }
  int32_t room = std::max(std::min(q.response_partition_limit, t.p.config.request_partition_limit), 1);
  DescribeTopicPartitionsResponse m;
  for (Str name : names) {
    const bool here = q.cursor.has_value() && name == q.cursor->topic_name;
    int32_t next = 0;
    if (room > 0) next = add_topic(t, r, name, here ? q.cursor->partition_index : 0, room, m);
    if (next < 0) continue;
    auto& cursor = m.next_cursor.emplace();
    cursor.topic_name = name;
    cursor.partition_index = next;
    break;
  }
  t.answer(r.ticket, m, 1024);
}

}  // namespace klamm::broker
