// DescribeCluster 0-2: brokers, or controllers (KIP-919, from 1); fenced brokers on request (KIP-1073, from 2).
#include "engine/protocol/messages/describe_cluster.h"

#include "engine/broker/handlers.h"

namespace klamm::broker {
namespace {

constexpr int8_t kBrokers = 1, kControllers = 2;

// A listener describes endpoints of its own type. Version 0 cannot name a type, so a controller has no answer to it.
ErrorCode refusal(int16_t version, int8_t here, int8_t asked) {
  if (asked == here) return ErrorCode::none;
  if (version == 0) return ErrorCode::invalid_request;
  const bool known = asked == kBrokers || asked == kControllers;
  return known ? ErrorCode::mismatched_endpoint_type : ErrorCode::unsupported_endpoint_type;
}

std::string refusal_text(ErrorCode error, int8_t here, int8_t asked) {
  if (error == ErrorCode::unsupported_endpoint_type) return "Unsupported endpoint type " + std::to_string(asked);
  const bool broker = here == kBrokers;
  return std::string("The request was sent to an endpoint of type ") + (broker ? "BROKER" : "CONTROLLER") +
         ", but we wanted an endpoint of type " + (broker ? "CONTROLLER" : "BROKER");
}

}  // namespace

void handle_describe_cluster(Turn& t, Request& r) {
  protocol::DescribeClusterRequest q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  protocol::DescribeClusterResponse m;
  const int8_t here = r.kind == ListenerKind::broker ? kBrokers : kControllers;
  if (const ErrorCode e = refusal(r.ticket.version, here, q.endpoint_type); e != ErrorCode::none) {
    m.error_code = code(e);
    m.error_message = t.arena().copy(refusal_text(e, here, q.endpoint_type));
    return t.answer(r.ticket, m);
  }
  m.endpoint_type = here;
  m.cluster_id = t.p.startup.cluster_id;
  m.controller_id = t.active_controller().value;
  if (q.include_cluster_authorized_operations) m.cluster_authorized_operations = cluster_operations();
  if (here == kControllers) {
    for (const auto& [id, c] : t.p.image.controllers()) {
      const metadata::BrokerEndpoint* e = nullptr;
      for (const auto& x : c.endpoints)
        if (x.name == t.p.boot.listeners[r.listener.value].name) e = &x;
      if (!e) continue;
      auto& x = m.brokers.add(t.arena());
      x.broker_id = id.value, x.host = e->host, x.port = e->port;
    }
    return t.answer(r.ticket, m);
  }
  const metadata::Broker* active = t.p.image.broker(t.active_controller());
  for (const auto& [id, b] : t.p.image.brokers()) {
    const metadata::BrokerEndpoint* e = endpoint_of(t, r, b);
    if (!e || (b.fenced && !q.include_fenced_brokers)) continue;
    auto& x = m.brokers.add(t.arena());
    x.broker_id = id.value, x.host = e->host, x.port = e->port, x.is_fenced = b.fenced;
    x.rack = b.rack ? Str(*b.rack) : kNullStr;
  }
  if (!active || active->fenced) m.controller_id = m.brokers.empty() ? -1 : m.brokers[0].broker_id;
  t.answer(r.ticket, m);
}

}  // namespace klamm::broker
