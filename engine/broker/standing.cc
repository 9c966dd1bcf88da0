#include "engine/broker/turn.h"
#include "engine/protocol/messages/broker_heartbeat.h"
#include "engine/protocol/messages/broker_registration.h"

namespace klamm::broker {

void Turn::poll_lifecycle() {
  if (!p.config.broker || p.startup.phase < Phase::running || p.startup.phase >= Phase::closing) return;
  p.lifecycle.on_time(ctx().now);
  // Fenced we stay until every log that the metadata places here is open.
  if (p.lifecycle.standing() == Standing::fenced && (!p.joined || !p.replicas.all_open())) return;
  if (active_controller() == kNoNode) return;  // the next leadership asks at once
  ToController request;
  if (!p.lifecycle.poll(ctx(), std::max<Offset>(p.image.end() - 1, 0), &request)) return;
  const bool sent = call_controller(request.api, request.version, std::move(request.body), Owner{kLifecycle, 0, 0},
                                    p.config.session_timeout / 2);
  KLAMM_ASSERT(sent);
}

void Turn::lifecycle_answered(const net::Answer& a) {
  Reader reader(a.body.span());
  const bool was_unfenced = p.lifecycle.standing() == Standing::running;
  if (a.api == protocol::BrokerRegistrationRequest::kApiKey) {
    protocol::BrokerRegistrationResponse m;
    const bool ok = a.error == IoError::none && decode(reader, arena(), a.version, m);
    p.lifecycle.on_registered(ctx(), ok, static_cast<ErrorCode>(m.error_code), m.broker_epoch);
    if (ok && m.error_code == 0) {
      carry_if_joined();
      update_brokers();
    }
    if (ok && static_cast<ErrorCode>(m.error_code) == ErrorCode::inconsistent_cluster_id)
      return fatal(2, "the controllers belong to another cluster than this node's directories");
  } else {
    protocol::BrokerHeartbeatResponse m;
    const bool ok = a.error == IoError::none && decode(reader, arena(), a.version, m);
    p.lifecycle.on_heartbeat(ctx(), ok, {static_cast<ErrorCode>(m.error_code), m.is_fenced, m.should_shut_down});
  }
  if (!was_unfenced && p.lifecycle.standing() == Standing::running) maybe_ready();
}

// The controller's side. A connection that breaks is no proof of death, so the broker's listener is asked: one that
// refuses has no process behind it, and its broker is fenced at once; silence is left to the session timeout.
void Turn::broker_connection_closed(ConnId conn) {
  const auto it = p.broker_conns.find(conn);
  if (it == p.broker_conns.end()) return;
  const NodeId broker = it->second;
  p.broker_conns.erase(it);
  if (!p.controller || !p.controller->active() || p.startup.phase >= Phase::leaving) return;
  p.controller->broker_disconnected(broker);
  const metadata::Broker* known = p.controller->latest().broker(broker);
  const metadata::BrokerEndpoint* e = known ? known->endpoint(p.config.inter_broker_listener_name) : nullptr;
  if (!e) return;
  std::vector<net::Answer> lost;
  p.calls.set_address(net(), broker_peer(broker), {e->host, e->port}, lost);
  for (net::Answer& a : lost) p.mailbox.push_back(std::move(a));
  p.calls.probe(net(), broker_peer(broker));
}

void Turn::note_broker_connection(const Request& r) {
  if (!r.ticket.conn) return;
  Reader reader(r.body());
  const NodeId broker{reader.i32()};  // the first field of both requests, in every version
  if (reader.ok()) p.broker_conns[r.ticket.conn] = broker;
}

}  // namespace klamm::broker
