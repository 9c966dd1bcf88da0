// From a request to its handler. What is not advertised is not served.
#include "engine/broker/supported.h"
#include "engine/broker/turn.h"

namespace klamm::broker {

void Turn::dispatch(Request& r) {
  const Served* served = find_served(r.kind, r.ticket.api);
  // An unknown version of ApiVersions is answered (in version 0); anything else that is not served ends the connection.
  const bool any_version = r.ticket.api == protocol::api::kApiVersions;
  if (!served || (!any_version && !served->versions.contains(r.ticket.version))) return close(r.ticket);
  served->handler(*this, r);
}

void Turn::serve(Request& r) { find_served(r.kind, r.ticket.api)->handler(*this, r); }

}  // namespace klamm::broker
