// Follower: knows the leader of its epoch and fetches from it.
//   -> Prospective (voters): the leader was not heard of for the fetch timeout, or its process is gone, or it resigned
//   -> Follower, Unattached: a later epoch is heard of, with or without a leader
// An observer that loses its leader stays, and asks the voters in turn, the lost one among them.
#include <algorithm>

#include "engine/raft/raft.h"
#include "engine/raft/rules.h"

namespace klamm::raft {

void Raft::become_follower(Step& s, LeaderEpoch epoch, NodeId leader) {
  KLAMM_ASSERT(leader != options_.self.id && rank_of(leader) >= 0);
  Follower f;
  f.fetch_at = stopping_ ? kNever : s.ctx.now + options_.fetch_timeout + rules::stagger(rank_);
  HardState hard{.epoch = epoch, .leader = leader};
  if (epoch == hard_.epoch) hard.voted = hard_.voted;
  become(s, f, hard);
}

void Raft::tick_follower(Step& s) {
  auto& f = std::get<Follower>(state_);
  if (s.ctx.now >= f.fetch_at) {
    if (is_voter()) return become_prospective(s, 1);
    f.fetch_at = kNever;
  }
  // While an observer searches only the search calls: calls to the lost leader beside it would leave it no turn.
  if (searching(f)) return search_leader(s);
  if (Peer* p = peer(hard_.leader); p && may_call(s, *p)) fetch_from(s, *p);
}

// A dead process is not a slow one: when the leader's address refuses us, an election is due at once. Safe at any time;
// the pre-vote keeps us from disturbing a leader that others hear.
void Raft::leader_refused(Step& s, NodeId id) {
  auto* f = std::get_if<Follower>(&state_);
  if (!f || id != hard_.leader || stopping_) return;
  f->fetch_at = is_voter() ? earlier(f->fetch_at, s.ctx.now + rules::stagger(rank_)) : kNever;
  f->fetched = false;
}

void Raft::on_fetch_answer(Step& s, NodeId from, const FetchAnswer& a) {
  auto* f = std::get_if<Follower>(&state_);
  if (!f || from != hard_.leader) return;
  if (f->storing) {  // what is in the log will go: it was only to hear and be heard
    hear_leader(s);
    return note_failure(s, *peer(from));
  }
  if (a.snapshot) {
    begin_snapshot(s, *a.snapshot);
    if (s.ready.fatal) return;
  } else if (a.diverging) {
    truncate(s, *a.diverging);
    if (s.ready.fatal) return;
  } else if (!accept(s, a.runs)) {
    return note_failure(s, *peer(from));
  } else {
    f->high_watermark = std::max(f->high_watermark, a.high_watermark);
    raise_committed(s, std::min(f->high_watermark, acked_end(s.ctx)));
  }
  hear_leader(s);
}

void Raft::hear_leader(Step& s) {
  auto& f = std::get<Follower>(state_);
  f.fetched = true;
  search_.failures = 0;
  if (!stopping_) f.fetch_at = s.ctx.now + options_.fetch_timeout + rules::stagger(rank_);
}

// ---- snapshots of the leader's

void Raft::begin_snapshot(Step& s, OffsetAndEpoch id) {
  if (id.offset > 0 && id.offset < committed_) {
    s.ready.fatal = "the leader of the metadata quorum offers a snapshot in the place of committed records";
    return;
  }
  if (id.offset <= 0 || id.epoch > hard_.epoch || !rules::supersedes(id, log_.last()))
    return note_failure(s, *peer(hard_.leader));  // of no use: do not ask in a hurry
  auto& f = std::get<Follower>(state_);
  f.snapshot = id;
  f.position = 0;
}

// The parts come one after the other. One that does not fit begins all again, with a fetch.
void Raft::on_snapshot_answer(Step& s, NodeId from, const SnapshotAnswer& a) {
  auto* f = std::get_if<Follower>(&state_);
  if (!f || from != hard_.leader || !f->snapshot || f->storing) return;
  if (f->position == 0) f->size = a.size;
  const bool fits = a.id == *f->snapshot && a.position == f->position && a.size == f->size && a.bytes > 0 &&
                    a.size > a.position && a.bytes <= a.size - a.position;
  if (!fits) {
    give_up_snapshot(from);
    return note_failure(s, *peer(from));
  }
  f->position += a.bytes;
  f->storing = f->position == a.size;
  s.ready.snapshot = SnapshotPart{a.id, a.position, f->storing};
  hear_leader(s);
}

void Raft::give_up_snapshot(NodeId from) {
  auto* f = std::get_if<Follower>(&state_);
  if (f && from == hard_.leader && !f->storing) f->snapshot.reset();
}

std::optional<OffsetAndEpoch> Raft::fetched_snapshot() const {
  const auto* f = std::get_if<Follower>(&state_);
  return f ? f->snapshot : std::nullopt;
}

// What was to be sent once the old end is durable will never leave, and what is answered was asked for another log.
void Raft::log_replaced(Step& s) {
  s.ready.forget_held = true;
  for (Peer& p : peers_) p.call = 0;
}

void Raft::truncate(Step& s, OffsetAndEpoch diverging) {
  PROBE(s.ctx, raft_divergence);
  const Offset to = rules::truncation_point(log_, diverging);
  if (to < committed_) {
    s.ready.fatal = "the leader of the metadata quorum asks to truncate committed records";
    return;
  }
  if (to == log_.end) return note_failure(s, *peer(hard_.leader));  // nothing to cut: do not ask in a hurry
  KLAMM_ASSERT_REL(to, >=, log_.start);
  KLAMM_ASSERT_REL(to, <, log_.end);
  log_.end = to;
  log_.synced = std::min(log_.synced, to);
  log_.epochs.truncate(to);
  log_replaced(s);
  s.ready.truncate = to;
}

// Records must join our log without a gap, in rising epochs that are not beyond the leader's.
bool Raft::accept(Step& s, const std::vector<Run>& runs) {
  Offset end = log_.end;
  LeaderEpoch epoch = log_.epochs.latest();
  for (const Run& run : runs) {
    if (run.base != end || run.end <= run.base || run.epoch < epoch || run.epoch > hard_.epoch) return false;
    end = run.end;
    epoch = run.epoch;
  }
  for (const Run& run : runs) log_.epochs.assign({run.base, run.epoch});
  log_.end = end;
  s.ready.accept = !runs.empty();
  return true;
}

EndAnswer Raft::on_end_request(Step& s, const EndRequest& r) {
  if (const ErrorCode e = check_sender(r.epoch, r.leader); e != ErrorCode::none) return {verdict(e)};
  if (const ErrorCode e = learn(s, r.epoch, r.leader); e != ErrorCode::none) return {verdict(e)};
  if (auto* f = std::get_if<Follower>(&state_); f && is_voter() && !stopping_) {
    f->fetched = false;  // it has said itself that it is gone
    f->fetch_at = earlier(f->fetch_at, s.ctx.now + rules::successor_wait(options_, rank_, r.successors));
  }
  return {verdict(ErrorCode::none)};
}

}  // namespace klamm::raft
