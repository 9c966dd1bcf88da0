// GetTelemetrySubscriptions 0 and PushTelemetry 0 (KIP-714): what clients tell about themselves is asked for as the
// client metrics configs say, counted and dropped. Advertised only if klamm.telemetry.advertise says so: Kafka does
// only where a plugin receives what comes, and serves them all the same.
#include "engine/broker/handlers.h"

namespace klamm::broker {
namespace {

Telemetry::Asker asker(const Turn& t, const Request& r) {
  return {r.ticket.conn, r.client_id, t.p.server.peer_host(r.ticket.conn), t.p.server.peer_port(r.ticket.conn)};
}

}  // namespace

void handle_get_telemetry_subscriptions(Turn& t, Request& r) {
  protocol::GetTelemetrySubscriptionsRequest q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  t.answer(r.ticket, t.p.telemetry.asked(t.ctx(), asker(t, r), q.client_instance_id));
}

void handle_push_telemetry(Turn& t, Request& r) {
  protocol::PushTelemetryRequest q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  protocol::PushTelemetryResponse m;
  m.error_code = code(t.p.telemetry.pushed(t.ctx(), asker(t, r), q));
  t.answer(r.ticket, m);
}

}  // namespace klamm::broker
