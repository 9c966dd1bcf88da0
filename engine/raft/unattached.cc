// Unattached: knows an epoch, but no leader of it; has voted in it or may.
//   -> Prospective (voters): nobody won for an election timeout
//   -> Candidate (voters): at the start of an untouched quorum, or alone
//   -> Follower: a leader of this epoch or a later one is heard of
//   -> Unattached: a later epoch is heard of
#include "engine/raft/raft.h"
#include "engine/raft/rules.h"

namespace klamm::raft {

void Raft::become_unattached(Step& s, const HardState& hard) {
  KLAMM_ASSERT_REL(hard.epoch, >=, hard_.epoch);
  // Who stood, or waited to stand, and hears only of a later epoch goes on waiting: else replicas that cannot win could
  // keep the others from standing, by beginning epochs.
  Instant election_at = is_voter() ? s.ctx.now + election_timeout(s.ctx) : kNever;
  if (const auto* u = std::get_if<Unattached>(&state_)) election_at = earlier(u->election_at, election_at);
  if (const auto* p = std::get_if<Prospective>(&state_)) election_at = earlier(p->election_at, election_at);
  become(s, Unattached{.election_at = election_at}, hard);
}

void Raft::tick_unattached(Step& s) {
  if (s.ctx.now >= std::get<Unattached>(state_).election_at) return become_prospective(s, 1);
  search_leader(s);
}

}  // namespace klamm::raft
