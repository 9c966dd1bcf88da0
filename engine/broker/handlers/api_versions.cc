// ApiVersions 0-4: what this node serves on the listener that was asked (KIP-35, KIP-511, KIP-584).
// A version above ours is answered in version 0 with our range of this API alone; a client's name and version must be
// plain.
#include "engine/protocol/messages/api_versions.h"

#include "engine/broker/handlers.h"
#include "engine/broker/supported.h"
#include "engine/metadata/features.h"
#include "engine/protocol/api_keys.h"

namespace klamm::broker {
namespace {

bool plain(Str s) {
  const auto alnum = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (s.empty() || !alnum(s.front()) || !alnum(s.back())) return false;
  for (char c : s)
    if (!alnum(c) && c != '-' && c != '.') return false;
  return true;
}

// They have nobody who receives what they bring, so they are not advertised unless one wants to see them at work.
bool telemetry(int16_t api) {
  return api == protocol::api::kGetTelemetrySubscriptions || api == protocol::api::kPushTelemetry;
}

}  // namespace

void handle_api_versions(Turn& t, Request& r) {
  Ticket ticket = r.ticket;
  protocol::ApiVersionsResponse m;
  const Served* own = find_served(r.kind, ticket.api);
  if (!own->versions.contains(ticket.version)) {
    ticket.version = 0;
    m.error_code = code(ErrorCode::unsupported_version);
    m.api_keys.push_back(t.arena(), {ticket.api, own->versions.low, own->versions.high});
    return t.answer(ticket, m);
  }
  protocol::ApiVersionsRequest q;
  if (!decode_body(r, t.arena(), q)) return t.close(ticket);
  if (ticket.version >= 3 && (!plain(q.client_software_name) || !plain(q.client_software_version))) {
    m.error_code = code(ErrorCode::invalid_request);
    return t.answer(ticket, m);
  }
  if (r.kind == ListenerKind::broker)
    t.p.telemetry.note_software(ticket.conn, q.client_software_name, q.client_software_version);
  for (const Served& s : served(r.kind)) {
    const protocol::Versions& v = telemetry(s.api) && t.p.config.telemetry_advertise ? s.versions : s.advertised;
    if (!v.empty()) m.api_keys.push_back(t.arena(), {s.api, v.low, v.high});
  }
  for (const auto& f : metadata::supported_features()) {
    if (f.min == 0 && ticket.version < 4) continue;  // older clients take a 0 for a mistake (KAFKA-17011)
    auto& x = m.supported_features.add(t.arena());
    x.name = t.arena().copy(f.name), x.min_version = f.min, x.max_version = f.max;
  }
  m.finalized_features_epoch = t.p.image.end() - 1;
  for (const auto& [name, level] : t.p.image.features()) {
    auto& x = m.finalized_features.add(t.arena());
    x.name = name, x.max_version_level = level, x.min_version_level = level;
  }
  t.answer(ticket, m, 1024);
}

}  // namespace klamm::broker
