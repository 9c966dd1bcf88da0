// Which APIs and versions this node serves and advertises, per listener, and which function serves each.
#pragma once
#include <span>

#include "engine/broker/request.h"
#include "engine/protocol/api_table.h"

namespace klamm::broker {

struct Turn;
using Handler = void (*)(Turn&, Request&);

struct Served {
  int16_t api;
  protocol::Versions versions;    // that we answer
  protocol::Versions advertised;  // that ApiVersions names; Produce from 0 although served from 3, telemetry not at all
  Handler handler;
};
// Ascending by api.
std::span<const Served> served(ListenerKind kind);
// Null if that API is not served on such a listener.
const Served* find_served(ListenerKind kind, int16_t api);

}  // namespace klamm::broker
