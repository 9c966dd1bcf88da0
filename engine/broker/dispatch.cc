// From a request to its handler. What is not advertised is not served.
#include "engine/broker/handlers.h"
#include "engine/broker/supported.h"
#include "engine/protocol/api_table.h"

namespace klamm::broker {
namespace {

bool security_api(int16_t api) {
  return api == 17 || api == 36 || (api >= 29 && api <= 31) || (api >= 38 && api <= 41);
}
bool voter_api(int16_t api) { return api == 80 || api == 81; }
bool quorum_api(int16_t api) { return api == 52 || api == 53 || api == 54 || api == 55; }

}  // namespace

void Turn::dispatch(Request& r) {
  const Served* served = find_served(r.kind, r.ticket.api);
  const bool versions = r.ticket.api == 18;
  // An unknown version of ApiVersions is answered (in version 0); anything else that is not served ends the connection.
  if (!served || (!versions && !served->versions.contains(r.ticket.version))) return close(r.ticket);
  serve(r);
}

void Turn::serve(Request& r) {
  if (security_api(r.ticket.api)) return handle_security_off(*this, r);
  if (voter_api(r.ticket.api)) return handle_raft_voters(*this, r);
  if (r.kind == ListenerKind::controller) {
    if (r.ticket.api == 18) return handle_api_versions(*this, r);
    if (r.ticket.api == 58) return on_envelope(r);
    if (r.ticket.api == 60) return handle_describe_cluster(*this, r);
    if (quorum_api(r.ticket.api) || r.ticket.api == 1) {
      if (!p.quorum) return close(r.ticket);
      quorum::Out out;
      p.quorum->on_request(io, r.ticket, r.body(), out);
      return drain(out);
    }
    if (!p.controller || !controller::Controller::serves(r.ticket.api)) return close(r.ticket);
    if (r.ticket.api == 62 || r.ticket.api == 63) note_broker_connection(r);
    controller::Out out;
    p.controller->on_request(ctx(), r.ticket, r.frame.of(r.body()), out);
    return drain(out);
  }
  switch (r.ticket.api) {
    case 0: return handle_produce(*this, r);
    case 1: return handle_fetch(*this, r);
    case 2: return handle_list_offsets(*this, r);
    case 3: return handle_metadata(*this, r);
    case 10: return handle_find_coordinator(*this, r);
    case 18: return handle_api_versions(*this, r);
    case 21: return handle_delete_records(*this, r);
    case 22: return handle_init_producer_id(*this, r);
    case 23: return handle_offset_for_leader_epoch(*this, r);
    case 32: return handle_describe_configs(*this, r);
    case 35: return handle_describe_log_dirs(*this, r);
    case 60: return handle_describe_cluster(*this, r);
    case 61: return handle_describe_producers(*this, r);
    case 74: return handle_list_config_resources(*this, r);
    case 75: return handle_describe_topic_partitions(*this, r);
    default: break;
  }
  if (group::Coordinator::serves(r.ticket.api)) return on_group_request(r);
  const protocol::ApiInfo* api = protocol::find_api(r.ticket.api);
  if (api && api->forwardable) return forward(r);
  close(r.ticket);
}

}  // namespace klamm::broker
