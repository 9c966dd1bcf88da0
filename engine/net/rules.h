// The law of inbound connections, as pure functions.
#pragma once
#include <cstddef>

namespace klamm::net {

struct ListenerRole {
  bool controller = false;  // else a broker's
  bool guarded = false;
  template<class V>
  void fields(V& v) const {
    v("controller", controller), v("guarded", guarded);
  }
};

// Brokers reach each other over one listener, which clients cannot fill where they have another: it is guarded
// (KIP-402). Listeners of a broker and of a controller are counted apart, also in one node, as Kafka's two socket
// servers do.
constexpr ListenerRole listener_role(bool controller, bool inter_broker, size_t listeners_of_its_role) {
  return {controller, !controller && inter_broker && listeners_of_its_role > 1};
}

// max.connections: whether one more may come beside those `there` are of its role. On a guarded listener always, for
// else clients could part a cluster by connecting (KIP-402).
constexpr bool connection_fits(const ListenerRole& role, size_t there, size_t most) {
  return role.guarded || there < most;
}

// How many have to go because brokers came or the limit was lowered: of those on listeners that are not guarded the
// ones that were active the longest ago (KIP-402).
constexpr size_t connections_too_many(size_t there, size_t most) { return there > most ? there - most : 0; }

}  // namespace klamm::net
