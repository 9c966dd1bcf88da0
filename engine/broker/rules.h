// What a broker decides by itself, as pure functions: rule, why, KIP.
#pragma once
#include <optional>

#include "engine/base/units.h"

namespace klamm::broker {

// Rule: an answer that would name a leader waits while that leader is in doubt: a connection to its process has broken
// and none could be opened since, yet the metadata has it alive; no longer than this after the break. Then it tells
// what the metadata says.
// Why: clients ask at once when a leader dies, before the cluster can know of it, and then not again before a backoff
// (librdkafka: up to a second). A dead process is found out and replaced in a few round trips and syncs, an election of
// the metadata quorum included; one that lives takes our dial, and that ends the doubt in a round trip.
// No KIP: nothing is promised about when metadata is answered. See docs/decisions/0014.
inline constexpr Duration kDoubtMost = milliseconds(200);

struct LeaderSeen {
  bool alive_in_metadata = true;
  std::optional<Instant> broke_at;  // the last connection that did, if none has been opened since
};
inline Instant doubt_ends(const LeaderSeen& leader) {
  return leader.alive_in_metadata && leader.broke_at ? *leader.broke_at + kDoubtMost : Instant{};
}

}  // namespace klamm::broker
