// The connections of one machine, both ways: hands out their ids and remembers whose they are.
// An entry lives from Adopt or Dial to the connection's one end (Closed, or Dialed with an error), whoever has lost
// interest before.
#pragma once
#include <cstdint>

#include "engine/base/slab.h"
#include "engine/env/event.h"
#include "engine/env/io.h"

namespace klamm::net {

enum class ConnKind : uint8_t {
  inbound,   // adopted: net::Server's
  outbound,  // dialed: net::Calls'
};

struct ConnEntry {
  ConnKind kind = ConnKind::inbound;
  uint16_t channel = 0;  // outbound: which connection to that peer
  uint64_t peer = 0;     // outbound: as Calls numbers them; inbound: the listener
  template<class V>
  void fields(V& v) const {
    v("kind", kind), v("channel", channel), v("peer", peer);
  }
};

using ConnTable = Slab<ConnEntry, ConnId>;

// For one turn, passed down, never stored.
struct NetIo {
  Io& io;
  ConnTable& conns;
};

// The connection that an event is about; nobody's for every other event.
inline ConnId conn_of(const Event& e) {
  if (const auto* x = std::get_if<Received>(&e)) return x->conn;
  if (const auto* x = std::get_if<Dialed>(&e)) return x->conn;
  if (const auto* x = std::get_if<Closed>(&e)) return x->conn;
  if (const auto* x = std::get_if<Sent>(&e)) return x->conn;
  return {};
}

}  // namespace klamm::net
