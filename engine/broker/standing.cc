#include "engine/broker/rules.h"
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
    if (ok) tell_refusal(m.error_code);
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
  if (const metadata::Broker* known = p.controller->latest().broker(broker)) suspect(*known);
}

// A connection with its process has broken: a dial tells the living from the dead.
void Turn::suspect(const metadata::Broker& broker) {
  const metadata::BrokerEndpoint* e = broker.endpoint(p.config.inter_broker_listener_name);
  if (!e || broker.id == NodeId{p.config.node_id} || p.startup.phase >= Phase::leaving) return;
  std::vector<net::Answer> lost;
  p.calls.set_address(net(), broker_peer(broker.id), {e->host, e->port}, lost);
  for (net::Answer& a : lost) p.mailbox.push_back(std::move(a));
  p.calls.suspect(ctx().now, broker_peer(broker.id));
  p.calls.probe(net(), broker_peer(broker.id));
}

// The same for a connection that the broker's follower had opened.
void Turn::follower_closed(ConnId conn) {
  for (auto it = p.standing.begin(); it != p.standing.end(); ++it) {
    const ParkedFetch* f = p.fetches.find(it->second);
    if (!f || f->request.ticket.conn != conn) continue;
    const metadata::Broker* b = p.image.broker(it->first);
    p.standing.erase(it);
    if (b && !b->fenced) suspect(*b);
    return;
  }
}

// What became of connections to others, brokers' and controllers': they may be one process.
void Turn::look_at_peers() {
  for (uint64_t peer : p.calls.take_refused())
    if (peer < kControllerPeers && p.controller && p.controller->active()) {
      PROBE(ctx(), fenced_by_refused_dial);
      controller::Out out;
      p.controller->broker_refused(ctx(), NodeId{static_cast<int32_t>(peer)}, out);
      drain(out);
    }
  for (uint64_t peer : p.calls.take_broken())
    if (const metadata::Broker* b = p.image.broker(NodeId{static_cast<int32_t>(peer & (kControllerPeers - 1))});
        b && !b->fenced)
      suspect(*b);
  for (uint64_t peer : p.calls.take_reached())
    if (peer < kControllerPeers) p.stirred.insert({{}, Wait::doubt});
}

// For who waits in front of a node that finds none. It needs no deadline: each attempt is a turn.
// It is asked again; for a moment that is as it should be.
void Turn::tell_refusal(int16_t error) {
  constexpr Duration kFirst = seconds(1), kAgain = seconds(30);
  Instant& at = p.startup.refused_at;
  if (error == 0) return void(at = kNever);
  if (at == kNever) at = ctx().now + kFirst;
  if (ctx().now < at) return;
  at = ctx().now + kAgain;
  ctx().trace.event({TraceKind::broker_refused, 0, p.config.node_id, error});
}

void Turn::tell_search() {
  constexpr Duration kFirst = seconds(1), kAgain = seconds(30);
  Startup& s = p.startup;
  const bool seeks = s.phase == Phase::asking || (s.phase == Phase::running && p.quorum && p.quorum->seeks_leader());
  if (!seeks) return void(s.sought_at = kNever);
  if (s.sought_at == kNever) s.sought_at = ctx().now + kFirst;
  if (ctx().now < s.sought_at) return;
  s.sought_at = ctx().now + kAgain;
  ctx().trace.event({TraceKind::controller_sought, 0, p.config.node_id});
}

Instant Turn::doubt_ends(NodeId leader) const {
  const metadata::Broker* b = leader == kNoNode ? nullptr : p.image.broker(leader);
  return broker::doubt_ends({b && !b->fenced, p.calls.broke_at(broker_peer(leader))});
}

// An answer that names a leader in doubt until `doubt_ends`: parked until the metadata moves or the leader is reached
// again; `until` it has waited once it is given.
bool Turn::waits_in_doubt(Request& request, std::optional<Instant> until, Instant doubt_ends) {
  const Instant end = until.value_or(doubt_ends);
  if (ctx().now >= std::min(end, doubt_ends)) return false;
  PROBE(ctx(), answer_in_doubt);
  const parked::Watch<WaitKey> watch{{{}, Wait::doubt}};
  const uint64_t owner = request.ticket.conn.packed();
  p.fetches.park({&watch, 1}, end, ParkedFetch{std::move(request), end}, owner);
  return true;
}

// Parked until one of them leads, and then served as if it came.
void Turn::wait_to_lead(Request& request, const std::vector<TopicIdPartition>& opening) {
  constexpr Duration kLookEach = seconds(1);
  PROBE(ctx(), waits_to_lead);
  std::vector<parked::Watch<WaitKey>> watches;
  for (const TopicIdPartition& id : opening) watches.push_back({{id, Wait::changed}});
  const Instant look = ctx().now + kLookEach;
  const uint64_t owner = owner_of(request.ticket);
  p.fetches.park(watches, look, ParkedFetch{std::move(request), look}, owner);
}

void Turn::note_broker_connection(const Request& r) {
  if (!r.ticket.conn) return;
  Reader reader(r.body());
  const NodeId broker{reader.i32()};  // the first field of both requests, in every version
  if (reader.ok()) p.broker_conns[r.ticket.conn] = broker;
}

}  // namespace klamm::broker
