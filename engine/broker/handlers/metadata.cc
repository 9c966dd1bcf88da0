// Metadata 0-13: brokers and topics as this broker's image has them. By name, by id (KIP-516, from 10), all; creates
// topics that are asked for by name where the broker allows it; authorized operations on request (KIP-430, from 8).
#include "engine/protocol/messages/metadata.h"

#include <algorithm>
#include <set>

#include "engine/broker/handlers.h"
#include "engine/controller/rules.h"

namespace klamm::broker {
namespace {

using protocol::MetadataRequest;
using protocol::MetadataResponse;

struct Answering {
  Turn& t;
  const Request& r;
  MetadataRequest q;
  MetadataResponse m;
  Instant doubt_ends{};  // the last of a leader named
};

void add_topic(Answering& a, const metadata::Topic& topic) {
  Turn& t = a.t;
  auto& x = a.m.topics.add(t.arena());
  x.name = topic.name;
  x.topic_id = topic.id;
  x.is_internal = internal_topic(topic.name);
  if (a.q.include_topic_authorized_operations) x.topic_authorized_operations = topic_operations();
  for (const auto& [index, info] : topic.partitions) {
    auto& y = x.partitions.add(t.arena());
    y.partition_index = index;
    y.leader_epoch = info.leader_epoch;
    y.leader_id = info.leader.value;
    const metadata::Broker* leader = info.leader == kNoNode ? nullptr : t.p.image.broker(info.leader);
    a.doubt_ends = std::max(a.doubt_ends, t.doubt_ends(info.leader));
    if (!leader || leader->fenced) {
      y.error_code = code(ErrorCode::leader_not_available);
      y.leader_id = -1;
    } else if (!endpoint_of(t, a.r, *leader)) {
      y.error_code = code(a.r.ticket.version >= 6 ? ErrorCode::listener_not_found : ErrorCode::leader_not_available);
      y.leader_id = -1;
    }
    for (NodeId n : info.replicas) {
      y.replica_nodes.push_back(t.arena(), n.value);
      if (offline(t, a.r, n)) y.offline_replicas.push_back(t.arena(), n.value);
    }
    for (NodeId n : info.isr) y.isr_nodes.push_back(t.arena(), n.value);
  }
}

void add_error(Answering& a, Str name, const Uuid& id, ErrorCode error) {
  auto& x = a.m.topics.add(a.t.arena());
  x.error_code = code(error);
  x.name = name;
  x.topic_id = id;
  x.is_internal = !is_null(name) && internal_topic(name);
  if (!is_null(name) && id.zero() && a.q.include_topic_authorized_operations)
    x.topic_authorized_operations = topic_operations();
}

// False: the answer would take too much.
bool add_asked(Answering& a) {
  Turn& t = a.t;
  const AnswerRoom room(t.arena());
  bool ids = false;  // then names are not looked at
  for (const auto& asked : a.q.topics) ids = ids || !asked.topic_id.zero();
  std::set<std::pair<Str, Uuid>> seen;  // what is asked for twice is answered once
  for (const auto& asked : a.q.topics) {
    if (!room.left()) return false;
    if (!seen.insert(ids ? std::pair{Str(""), asked.topic_id} : std::pair{asked.name, Uuid{}}).second) continue;
    if (ids) {
      if (asked.topic_id.zero()) continue;
      const metadata::Topic* topic = t.p.image.topic(asked.topic_id);
      if (topic)
        add_topic(a, *topic);
      else
        add_error(a, kNullStr, asked.topic_id, ErrorCode::unknown_topic_id);
      continue;
    }
    if (const metadata::Topic* topic = t.p.image.topic(asked.name)) {
      add_topic(a, *topic);
    } else if (controller::topic_name_fault(asked.name)) {
      add_error(a, asked.name, Uuid{}, ErrorCode::invalid_topic_exception);
    } else {
      if (a.q.allow_auto_topic_creation && t.p.config.auto_create_topics) t.create_topic_for(std::string(asked.name));
      add_error(a, asked.name, Uuid{}, ErrorCode::unknown_topic_or_partition);
    }
  }
  return true;
}

// Ids came with version 10, but names may be null only from 12 on; one of the two must be there.
ErrorCode request_error(int16_t version, const MetadataRequest& q) {
  bool ids = false, nothing = false;
  for (const auto& x : q.topics) {
    ids = ids || !x.topic_id.zero();
    nothing = nothing || (is_null(x.name) && x.topic_id.zero());
    if (version < 12 && (is_null(x.name) || !x.topic_id.zero())) return ErrorCode::invalid_request;
  }
  return nothing && !ids ? ErrorCode::unknown_server_error : ErrorCode::none;
}

}  // namespace

void handle_metadata(Turn& t, Request& r, std::optional<Instant> until) {
  Answering a{t, r, {}, {}};
  MetadataRequest& q = a.q;
  MetadataResponse& m = a.m;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  if (const ErrorCode error = request_error(r.ticket.version, q); error != ErrorCode::none) {
    for (const auto& x : q.topics) add_error(a, is_null(x.name) ? Str("") : x.name, x.topic_id, error);
    m.error_code = r.ticket.version >= 13 ? code(error) : 0;
    return t.answer(r.ticket, m);
  }
  NodeId controller = t.active_controller();
  for (const auto& [id, b] : t.p.image.brokers()) {
    const metadata::BrokerEndpoint* e = b.fenced ? nullptr : endpoint_of(t, r, b);
    if (!e) continue;
    auto& x = m.brokers.add(t.arena());
    x.node_id = id.value, x.host = e->host, x.port = e->port;
    x.rack = b.rack ? Str(*b.rack) : kNullStr;
  }
  // Clients look for the controller among the brokers; where it is none of them any broker forwards to it.
  const metadata::Broker* active = controller == kNoNode ? nullptr : t.p.image.broker(controller);
  m.controller_id = active && !active->fenced ? controller.value : m.brokers.empty() ? -1 : m.brokers[0].node_id;
  m.cluster_id = t.p.startup.cluster_id;
  if (q.include_cluster_authorized_operations) m.cluster_authorized_operations = cluster_operations();
  const bool all = q.topics.is_null() || (r.ticket.version == 0 && q.topics.empty());
  if (all) {
    for (const auto& [name, id] : t.p.image.topics_by_name()) add_topic(a, *t.p.image.topic(id));
  } else if (!add_asked(a)) {
    return t.close(r.ticket);
  }
  if (t.waits_in_doubt(r, until, a.doubt_ends)) return;
  t.answer(r.ticket, m, 1024);
}

}  // namespace klamm::broker
