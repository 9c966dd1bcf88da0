#include "engine/broker/node.h"

#include "engine/broker/handlers.h"
#include "engine/broker/turn.h"
#include "engine/protocol/messages/controller_registration.h"

namespace klamm::broker {
namespace {

// Then other events have their turn.
constexpr int kRequestsPerTurn = 2000;
constexpr size_t kScratchPerTurn = 16 << 20;  // bytes of decoded requests and of answers being made

// Whoever comes back from a standstill (a stopped process, a moved virtual machine, a disk that held a write) hears
// first what others have said meanwhile: until then nobody counts as silent. Fetches of a session's, heartbeats of
// brokers and of members have come; only they were not read yet.
constexpr Duration kStandstill = milliseconds(500);  // later than that after a deadline
constexpr uint8_t kCatchUpTurns = 16;
constexpr int kLettersPerTurn = 100'000;
constexpr Duration kControllerRegistrationRetry = milliseconds(100);

net::CallsOptions calls(const metadata::BrokerConfig& c) {
  net::CallsOptions o;
  o.reconnect_max = milliseconds(100);
  o.entity = static_cast<uint64_t>(c.node_id);
  return o;
}

metadata::BrokerConfig parsed(const Boot& boot) {
  metadata::ConfigReport report;
  metadata::BrokerConfig c = metadata::parse_broker_config(boot.properties, report);
  KLAMM_ASSERT(report.errors.empty());
  return c;
}

}  // namespace

net::ServerLimits server_limits(const Boot& boot, const metadata::BrokerConfig& c, const PeerNames& names) {
  net::ServerLimits l;
  l.request_bytes_max = static_cast<uint32_t>(std::max(c.request_max_bytes, 1));
  l.connections_max = static_cast<uint32_t>(std::max(c.max_connections, 0));
  l.peer_connections_max = static_cast<uint32_t>(std::max(c.max_connections_per_ip, 0));
  for (const auto& [host, most] : c.max_connections_overrides) {
    const auto known = names.known.find(host);
    l.peer_overrides[known == names.known.end() || known->second.empty() ? host : known->second] = most;
  }
  l.idle_max = c.connections_max_idle;
  const auto is_controllers = [&](const BoundListener& x) { return c.controller_listener(x.name); };
  const auto controllers =
      static_cast<size_t>(std::count_if(boot.listeners.begin(), boot.listeners.end(), is_controllers));
  for (const BoundListener& x : boot.listeners) {
    const bool controller = is_controllers(x);
    const size_t alike = controller ? controllers : boot.listeners.size() - controllers;
    l.listeners.push_back(net::listener_role(controller, x.name == c.inter_broker_listener_name, alike));
  }
  return l;
}

metadata::ConfigReport check_boot(const Boot& boot) {
  metadata::ConfigReport report;
  metadata::parse_broker_config(boot.properties, report);
  return report;
}

std::unique_ptr<Machine> make_node(const Boot& boot) { return std::make_unique<Node>(boot); }

Parts::Parts(Boot b)
    : boot(std::move(b)),
      config(parsed(boot)),
      properties(boot.properties),
      server(server_limits(boot, config, peer_names)),
      calls(broker::calls(config)),
      groups(group_config(config)),
      sessions(config.fetch_session_slots),
      telemetry(config.telemetry_max_bytes) {}

std::string Parts::property(const char* name) const {
  if (const auto it = boot.properties.find(name); it != boot.properties.end()) return it->second;
  const metadata::ConfigDef* def = metadata::find_config(metadata::ConfigScope::broker, name);
  return def && def->default_value && !def->required() ? def->default_value : "";
}

void Node::turn(Ctx& ctx, std::span<const Event> events, Commands& out) {
  if (ctx.now - parts_.due > kStandstill) parts_.catching_up = kCatchUpTurns;
  Turn t{parts_, Io{ctx, out, parts_.ops}};
  t.run(events);
  parts_.due = std::max(t.deadline(), ctx.now);
}

Instant Node::next_deadline() const { return parts_.startup.phase == Phase::fresh ? Instant{0} : parts_.due; }

Instant Turn::deadline() const {
  if (p.startup.phase == Phase::ended) return kNever;
  if (p.again || p.startup.closes_on) return Instant{0};
  Instant at = earlier(p.calls.next_deadline(), earlier(p.startup.give_up, p.startup.close_by));
  at = earlier(at, p.startup.ask_at);
  at = earlier(at, p.server.next_deadline());
  at = earlier(at, earlier(p.produces.next_deadline(), p.fetches.next_deadline()));
  at = earlier(at, earlier(p.deletes.next_deadline(), p.telemetry.next_deadline()));
  at = earlier(at, earlier(p.replicas.next_deadline(), p.forwards.retries.next()));
  at = earlier(at, p.producer_ids.next_deadline());
  if (p.startup.phase == Phase::running) at = earlier(at, p.checkpoint_at);
  at = earlier(at, p.groups.coordinator.next_deadline());
  if (p.quorum) at = earlier(at, p.quorum->next_deadline());
  if (p.controller) at = earlier(at, p.controller->next_deadline());
  const bool known = p.quorum && p.quorum->leadership().leader != kNoNode;
  const bool opened = p.lifecycle.standing() != Standing::fenced || (p.joined && p.replicas.all_open());
  if (p.config.broker && p.startup.phase >= Phase::running && p.startup.phase < Phase::closing && known && opened)
    at = earlier(at, p.lifecycle.next_deadline());
  if (p.config.controller && !p.controller_registered && !p.controller_registering && known &&
      p.startup.phase == Phase::running)
    at = earlier(at, p.controller_registration_at);
  return at;
}

void Turn::fatal(int code, std::string reason) {
  if (p.startup.phase == Phase::ended) return;
  p.startup.phase = Phase::ended;
  io.out.push_back(Exit{code, std::move(reason)});
}

void Turn::run(std::span<const Event> events) {
  if (p.startup.phase == Phase::ended) return;
  p.again = false;
  if (p.startup.phase == Phase::fresh) start();
  wait_for_logs();
  if (std::exchange(p.reads_on, false)) publish();
  for (const Event& e : events) on_event(e);
  drain();
  if (p.catching_up > 0)
    --p.catching_up, p.again = true;
  else
    on_time();
  drain();
  int served = 0;
  produce_goes_on(*this);
  drain();
  const auto room = [&] {
    return served < kRequestsPerTurn && unpacked < kUnpackedPerTurn && !p.producing &&
           (served == 0 || arena().taken() < kScratchPerTurn);
  };
  for (net::Incoming in; room() && p.server.next(io, &in); ++served) {
    Request r;
    r.ticket = in.ticket;
    r.listener = in.listener;
    const BoundListener& listener = p.boot.listeners[in.listener.value];
    r.kind = p.config.controller_listener(listener.name) ? ListenerKind::controller : ListenerKind::broker;
    r.body_at = static_cast<uint32_t>(in.body.data() - in.frame.data());
    r.frame = std::move(in.frame);
    r.name_client(in.client_id);
    dispatch(r);
    drain();
    if (!p.server.has(in.ticket.conn)) peer_left(in.ticket.conn);
  }
  if (!room()) p.again = true;
  poll_lifecycle();  // a controller in this node may append: before the logs flush
  register_controller();
  drain();
  if (!p.replicas.all().empty() || p.quorum) {
    wake_fetches();
    drain();
    replication::Out out;
    p.replicas.flush(io, out);
    drain(out);
    drain();
    if (!p.produces_next.empty() && !p.replicas.overfull()) p.again = true;
  }
  if (p.quorum) {
    write_snapshot();
    quorum::Out out;
    p.quorum->end_turn(io, out);
    drain(out);
    drain();
  }
  tell_search();
  if (!p.stirred.empty()) p.again = true;
  if (p.startup.phase >= Phase::leaving) poll_shutdown();
}

void Turn::drain() {
  for (int i = 0; !p.mailbox.empty(); ++i) {
    KLAMM_ASSERT_REL(i, <, kLettersPerTurn);
    Letter letter = std::move(p.mailbox.front());
    p.mailbox.pop_front();
    if (auto* r = std::get_if<Request>(&letter))
      serve(*r);
    else
      on_answer(std::get<net::Answer>(letter));
  }
}

void Turn::on_event(const Event& event) {
  std::vector<net::Answer> answers;
  const auto* closed = std::get_if<Closed>(&event);
  if (p.server.on_event(net(), event)) {
    if (closed) peer_left(closed->conn);
    if (const auto* e = std::get_if<Received>(&event); e && e->bytes.empty()) peer_mute(e->conn);
    return;
  }
  if (p.calls.on_event(net(), event, answers)) {
    for (const net::Answer& a : answers) on_answer(a);
    look_at_peers();
    return;
  }
  if (const auto* e = std::get_if<Ended>(&event)) return on_ended(e->token, {e->error, e->value, {}, nullptr});
  if (const auto* e = std::get_if<ReadEnded>(&event)) return on_ended(e->token, {e->error, 0, e->bytes, nullptr});
  if (const auto* e = std::get_if<Listed>(&event)) return on_ended(e->token, {e->error, 0, {}, &e->entries});
  if (const auto* e = std::get_if<Space>(&event)) {
    p.disks[e->dir] = {e->total, e->free};
    return p.replicas.set_full(io, e->dir, e->free < p.config.disk_reserve_bytes);
  }
  if (const auto* e = std::get_if<Asked>(&event); e && e->verb == "stop") return stop();
  if (const auto* e = std::get_if<Asked>(&event); e && e->verb == "resolved") return peer_resolved(e->bytes.text());
}

// A process that has died says no more than one that only asks no more.
void Turn::peer_mute(ConnId conn) {
  broker_connection_closed(conn);
  follower_closed(conn);
}

// After its Closed, and after each request of its that is served later.
void Turn::peer_left(ConnId conn) {
  broker_connection_closed(conn);
  follower_closed(conn);
  forget_parked(conn);
  p.telemetry.closed(conn);
}

void Turn::on_ended(Token token, const StorageEnd& end) {
  const auto owner = p.ops.end(token);
  if (!owner) return;
  if (p.startup.phase == Phase::closing && owner->module != kQuorum) p.startup.closes_on = true;
  if (owner->module == kStartup) return startup_ended(*owner, end);
  if (owner->module == kQuorum) {
    quorum::Out out;
    p.quorum->on_storage(io, *owner, end, out);
    return drain(out);
  }
  if (owner->module == kReplicas) {
    replication::Out out;
    p.replicas.on_storage(io, *owner, end, out);
    return drain(out);
  }
  KLAMM_ASSERT(false);
}

void Turn::on_answer(const net::Answer& a) {
  switch (a.owner.module) {
    case kQuorum: {
      quorum::Out out;
      p.quorum->on_answer(io, a, out);
      return drain(out);
    }
    case kReplicas: {
      replication::Out out;
      p.replicas.on_answer(io, a.owner, a.error, a.body, a.version, out);
      return drain(out);
    }
    case kAlter: {
      replication::Out out;
      p.replicas.on_alter_answer(io, a.error, a.body, out);
      return drain(out);
    }
    case kStartup: return cluster_id_answered(a);
    case kLifecycle: return lifecycle_answered(a);
    case kForward: return forward_answered(a);
    case kProducerIds: return producer_ids_answered(*this, a);
    case kControllerRegistration: {
      protocol::ControllerRegistrationResponse m;
      Reader reader(a.body.span());
      p.controller_registering = false;
      p.controller_registered = a.error == IoError::none && decode(reader, arena(), 0, m) && m.error_code == 0;
      p.controller_registration_at = ctx().now + kControllerRegistrationRetry;
      return;
    }
    default: KLAMM_ASSERT(false);
  }
}

void Turn::on_time() {
  const Instant now = ctx().now;
  if (p.calls.next_deadline() <= now) {
    std::vector<net::Answer> answers;
    p.calls.on_time(net(), answers);
    for (const net::Answer& a : answers) on_answer(a);
    look_at_peers();
  }
  p.server.on_time(io);
  if (p.quorum && p.quorum->next_deadline() <= now) {
    quorum::Out out;
    p.quorum->on_time(io, out);
    drain(out);
  }
  if (p.controller && p.controller->next_deadline() <= now) {
    controller::Out out;
    p.controller->on_time(ctx(), out);
    drain(out);
  }
  if (p.startup.ask_at <= now) ask_cluster_id();
  if (p.checkpoint_at <= now && p.startup.phase == Phase::running) {
    p.replicas.want_checkpoint();
    p.checkpoint_at = now + p.config.checkpoint_interval();
  }
  if (p.replicas.next_deadline() <= now) {
    replication::Out out;
    p.replicas.on_time(io, out);
    drain(out);
  }
  std::vector<parked::ParkedId> due;
  p.produces.expire(now, due);
  for (parked::ParkedId id : due) produce_expired(*this, id);
  due.clear();
  p.fetches.expire(now, due);
  for (parked::ParkedId id : due)
    if (p.fetches.find(id)) {
      ParkedFetch f = p.fetches.take(id);
      serve_parked(*this, f);
    }
  deletes_on_time(*this);
  groups_on_time();
  forward_on_time();
  producer_ids_on_time(*this);
  p.telemetry.on_time(now);
  if (p.startup.phase >= Phase::leaving) poll_shutdown();
}

}  // namespace klamm::broker
