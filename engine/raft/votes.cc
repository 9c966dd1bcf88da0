// Asking for votes and granting them (KIP-595; pre-votes KIP-996).
#include <bit>

#include "engine/raft/raft.h"
#include "engine/raft/rules.h"

namespace klamm::raft {

VoteAnswer Raft::on_vote_request(Step& s, const VoteRequest& r) {
  const bool log_possible =
      r.last.offset >= 0 && r.last.epoch >= 0 && (r.pre_vote ? r.last.epoch <= r.epoch : r.last.epoch < r.epoch);
  if (!log_possible) return {verdict(ErrorCode::invalid_request)};
  if (r.epoch < hard_.epoch) return {verdict(ErrorCode::fenced_leader_epoch)};
  if (r.candidate.id.value < 0) return {verdict(ErrorCode::invalid_request)};
  // No voter of ours: not an error (its voters may be newer than ours, KIP-853), but it gets no vote and moves no
  // epoch.
  if (rank_of(r.candidate.id) < 0) return {verdict(ErrorCode::none)};
  if (r.epoch > hard_.epoch) become_unattached(s, {.epoch = r.epoch});
  if (!meant_for_us(r.voter)) return {verdict(ErrorCode::invalid_voter_key)};
  if (!is_voter() || r.candidate.id == options_.self.id) return {verdict(ErrorCode::none)};

  rules::VoteView view;
  view.role = role();
  view.voted = hard_.voted;
  view.leader_known = hard_.leader != kNoNode;
  if (const auto* f = std::get_if<Follower>(&state_)) view.fetched = f->fetched;
  if (const auto* l = std::get_if<Leader>(&state_)) view.leads_committing = l->high_watermark >= 0;
  view.up_to_date = rules::up_to_date(r.last, {log_.end, log_.epochs.latest()});
  const rules::VoteReason reason = r.pre_vote ? rules::pre_vote_granted(view) : rules::vote_granted(view, r.candidate);
  if (reason != rules::VoteReason::granted) return {verdict(ErrorCode::none)};

  s.ctx.trace.event(
      {.kind = TraceKind::raft_vote_granted, .a = r.epoch, .b = r.candidate.id.value, .c = r.pre_vote ? 1 : 0});
  if (!r.pre_vote && hard_.voted.id == kNoNode) {
    persist(s, {.epoch = hard_.epoch, .leader = hard_.leader, .voted = r.candidate});
    if (auto* u = std::get_if<Unattached>(&state_)) u->election_at = s.ctx.now + election_timeout(s.ctx);
  }
  return {verdict(ErrorCode::none), true};
}

void Raft::ask_for_votes(Step& s, const Ballot& ballot, bool pre_vote) {
  VoteRequest r;
  r.epoch = hard_.epoch;
  r.candidate = options_.self;
  r.last = {log_.end, log_.epochs.latest()};
  r.pre_vote = pre_vote;
  for (Peer& p : peers_) {
    if (((ballot.granted | ballot.rejected) & bit_of(p.id)) != 0 || !may_call(s, p)) continue;
    r.voter = {.id = p.id};
    call(s, p, r, 0);
  }
}

void Raft::on_vote_answer(Step& s, NodeId from, const VoteAnswer& a) {
  // An answer of an earlier role was dropped with its call: this one is about the ballot that we hold.
  const auto mark = [&](Ballot& b) { (a.granted ? b.granted : b.rejected) |= bit_of(from); };
  if (auto* p = std::get_if<Prospective>(&state_))
    mark(p->ballot), count_pre_votes(s);
  else if (auto* c = std::get_if<Candidate>(&state_))
    mark(c->ballot), count_votes(s);
}

bool Raft::won(const Ballot& ballot) const {
  KLAMM_ASSERT((ballot.granted & ballot.rejected) == 0);
  return std::popcount(ballot.granted) >= static_cast<int>(majority());
}
bool Raft::lost(const Ballot& ballot) const {
  return static_cast<int>(options_.voters.size()) - std::popcount(ballot.rejected) < static_cast<int>(majority());
}

Duration Raft::election_timeout(Ctx& ctx) {
  KLAMM_ASSERT(is_voter());
  if (stopping_) return kNever - ctx.now;
  const rules::Spread spread = rules::election_timeout(options_, rank_);
  const uint64_t draw = timeout_dice_.below(ctx.chance, static_cast<uint64_t>(spread.draw.ns) + 1);
  return spread.at_least + nanoseconds(static_cast<int64_t>(draw));
}

}  // namespace klamm::raft
