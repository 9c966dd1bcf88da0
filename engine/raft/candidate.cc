// Candidate: has begun an epoch and voted for itself in it.
//   -> Leader: a majority votes for it; its own vote counts once it is durable
//   -> Prospective: the election is lost or timed out, and a backoff is over
//   -> Follower: somebody else won; -> Unattached: a later epoch is heard of
#include "engine/raft/raft.h"
#include "engine/raft/rules.h"

namespace klamm::raft {

void Raft::become_candidate(Step& s, int32_t attempts) {
  KLAMM_ASSERT(is_voter() && !stopping_);
  if (rules::last_epoch(hard_.epoch)) return void(s.ready.fatal = rules::kEpochsUsedUp);
  Candidate c;
  c.election_at = s.ctx.now + election_timeout(s.ctx);
  c.attempts = attempts;
  become(s, c, {.epoch = hard_.epoch + 1, .voted = options_.self});
  count_votes(s);
  if (role() == Role::candidate) tick_candidate(s);
}

void Raft::tick_candidate(Step& s) {
  auto& c = std::get<Candidate>(state_);
  if (s.ctx.now >= c.retry_at) return become_prospective(s, c.attempts + 1);
  if (c.retry_at != kNever) return;
  if (s.ctx.now >= c.election_at) return lose_election(s, c);
  ask_for_votes(s, c.ballot, false);
}

void Raft::count_votes(Step& s) {
  auto& c = std::get<Candidate>(state_);
  if (hard_synced_ >= term_version_ || !rules::flush_policy(s.ctx.flaws).flush)
    c.ballot.granted |= bit_of(options_.self.id);
  if (won(c.ballot)) return become_leader(s);
  if (lost(c.ballot) && c.retry_at == kNever) lose_election(s, c);
}

void Raft::lose_election(Step& s, Candidate& c) {
  PROBE(s.ctx, raft_election_lost);
  const rules::Spread wait = rules::lost_election_backoff(options_, rank_, c.attempts);
  const uint64_t draw = backoff_dice_.below(s.ctx.chance, static_cast<uint64_t>(wait.draw.ns) + 1);
  c.retry_at = s.ctx.now + wait.at_least + nanoseconds(static_cast<int64_t>(draw));
  c.election_at = kNever;
}

}  // namespace klamm::raft
