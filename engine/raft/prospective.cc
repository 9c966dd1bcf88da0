// Prospective: would stand for election if a majority agrees that one is due; begins no epoch before (KIP-996).
//   -> Candidate: a majority grants its pre-vote
//   -> Follower: the attempt failed and the leader of this epoch is known; or a leader is heard of
//   -> Unattached: the attempt failed and none is known; or a later epoch is heard of
#include "engine/raft/raft.h"
#include "engine/raft/rules.h"

namespace klamm::raft {

void Raft::become_prospective(Step& s, int32_t attempts) {
  KLAMM_ASSERT(is_voter() && !stopping_);
  PROBE(s.ctx, raft_prospective);
  Prospective p;
  p.ballot.granted = bit_of(options_.self.id);
  p.election_at = s.ctx.now + election_timeout(s.ctx);
  p.attempts = attempts;
  become(s, p, hard_);
  count_pre_votes(s);
  if (role() == Role::prospective) tick_prospective(s);
}

void Raft::tick_prospective(Step& s) {
  const auto& p = std::get<Prospective>(state_);
  if (s.ctx.now >= p.election_at) return lose_pre_vote(s);
  ask_for_votes(s, p.ballot, true);
}

void Raft::count_pre_votes(Step& s) {
  const auto& p = std::get<Prospective>(state_);
  if (won(p.ballot)) return become_candidate(s, p.attempts);
  if (lost(p.ballot)) lose_pre_vote(s);
}

void Raft::lose_pre_vote(Step& s) {
  if (hard_.leader != kNoNode) return become_follower(s, hard_.epoch, hard_.leader);
  // A whole timeout from now, whatever is left of the one that has failed.
  become(s, Unattached{.election_at = s.ctx.now + election_timeout(s.ctx)}, hard_);
}

}  // namespace klamm::raft
