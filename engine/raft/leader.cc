// Leader: won this epoch. Appends, answers fetches, and knows from them what a majority has.
//   -> Resigned: asked to, or no majority has fetched for one and a half fetch timeouts (check quorum, KAFKA-15489)
//   -> Unattached, Follower: a later epoch is heard of
#include <algorithm>
#include <bit>

#include "engine/raft/raft.h"
#include "engine/raft/rules.h"

namespace klamm::raft {

void Raft::become_leader(Step& s) {
  const uint64_t granted = std::get<Candidate>(state_).ballot.granted;
  Leader l;
  l.epoch_start = log_.end;
  for (NodeId id : options_.voters) l.voters.push_back({.key = {.id = id}, .acknowledged = id == options_.self.id});
  if (options_.voters.size() > 1) {
    l.check_quorum_at = s.ctx.now + options_.fetch_timeout * 3 / 2;
    l.begin_again_at = s.ctx.now + options_.fetch_timeout / 2;
  } else {
    l.begin_again_at = kNever;
  }
  become(s, std::move(l), {.epoch = hard_.epoch, .leader = options_.self.id, .voted = hard_.voted});
  // A record of its own: once a majority has it, all before it is committed too.
  Append change{.leader_change = true, .records = 1};
  for (NodeId id : options_.voters)
    if ((granted & bit_of(id)) != 0) change.granting.push_back(id);
  append(s, std::move(change));
  begin_epoch(s);
}

void Raft::append(Step& s, Append a) {
  KLAMM_ASSERT(role() == Role::leader);
  KLAMM_ASSERT_REL(a.records, >, 0);
  a.base = log_.end;
  a.epoch = hard_.epoch;
  log_.epochs.assign({log_.end, hard_.epoch});
  log_.end += a.records;
  s.ready.append.push_back(std::move(a));
  commit(s);
  wake_fetches(s);
}

void Raft::propose(Step& s, int32_t records) {
  if (role() == Role::leader) append(s, {.records = records});
}

bool Raft::leads_safely() const {
  const auto* l = std::get_if<Leader>(&state_);
  return l && l->high_watermark >= 0;
}
Offset Raft::epoch_start() const {
  const auto* l = std::get_if<Leader>(&state_);
  return l ? l->epoch_start : -1;
}

void Raft::tick_leader(Step& s) {
  auto& l = std::get<Leader>(state_);
  if (s.ctx.now >= l.check_quorum_at) return become_resigned(s);
  if (s.ctx.now >= l.begin_again_at) {
    l.begin_again_at = s.ctx.now + options_.fetch_timeout / 2;
    for (Progress& p : l.voters)
      if (p.key.id != options_.self.id && s.ctx.now - p.fetched_at >= options_.fetch_timeout / 2)
        p.acknowledged = false;
  }
  begin_epoch(s);
  wake_fetches(s);
}

// Tells voters that do not know it yet who leads.
void Raft::begin_epoch(Step& s) {
  const auto& l = std::get<Leader>(state_);
  for (Peer& p : peers_)
    if (!l.voters[rank_of(p.id)].acknowledged && may_call(s, p))
      call(s, p, BeginRequest{hard_.epoch, options_.self.id, {.id = p.id}}, 0);
}

// ---- fetches

ErrorCode Raft::check_fetch_request(const FetchRequest& r) const {
  const bool possible = r.max_wait >= Duration{} && r.from.offset >= 0 && r.from.epoch >= 0 &&
                        r.from.epoch <= r.epoch && r.replica.id != options_.self.id;
  return possible ? check_leader_only(r.epoch) : ErrorCode::invalid_request;
}

ErrorCode Raft::check_leader_only(LeaderEpoch epoch) const {
  if (epoch < hard_.epoch) return ErrorCode::fenced_leader_epoch;
  if (epoch > hard_.epoch) return ErrorCode::unknown_leader_epoch;
  return role() == Role::leader ? ErrorCode::none : ErrorCode::not_leader_or_follower;
}

// Whoever loads a snapshot follows us no less than who fetches.
void Raft::on_snapshot_request(Step& s, const Ticket& ticket, const SnapshotRequest& r) {
  const ErrorCode error = check_leader_only(r.epoch);
  if (error == ErrorCode::none) hear_voter(s, r.replica.id);
  reply(s, ticket, SnapshotReply{verdict(error), r.id, r.position, r.max_bytes});
}

void Raft::hear_voter(Step& s, NodeId id) {
  if (rank_of(id) < 0 || id == options_.self.id) return;
  auto& l = std::get<Leader>(state_);
  l.fetched |= bit_of(id);
  if (static_cast<size_t>(std::popcount(l.fetched)) + 1 < majority()) return;
  l.fetched = 0;
  l.check_quorum_at = s.ctx.now + options_.fetch_timeout * 3 / 2;
}

void Raft::on_fetch_request(Step& s, const Ticket& ticket, const FetchRequest& r) {
  FetchReply answer;
  if (const ErrorCode e = check_fetch_request(r); e != ErrorCode::none) {
    answer.verdict = verdict(e);
    return reply(s, ticket, answer);
  }
  const rules::FetchPoint point = rules::check_fetch(log_, r.from);
  if (point.check == rules::FetchCheck::valid) note_fetch(s, r);
  answer = fetch_reply(r.from.offset);
  if (point.check != rules::FetchCheck::valid) {
    answer.read_from = -1;
    if (point.check == rules::FetchCheck::diverging)
      answer.diverging = point.diverging;
    else
      answer.snapshot = log_.snapshots->newest;
    return reply(s, ticket, answer);
  }
  const auto& l = std::get<Leader>(state_);
  const bool news = answer.read_from >= 0 || r.high_watermark < l.high_watermark;
  if (news || r.max_wait == Duration{} || l.parked.size() >= kMaxParkedFetches) return reply(s, ticket, answer);
  park(s, ticket, r);
}

void Raft::park(Step& s, const Ticket& ticket, const FetchRequest& r) {
  auto& parked = std::get<Leader>(state_).parked;
  // A replica asks one thing at a time: what it asked before, it has given up.
  const auto before = std::find_if(parked.begin(), parked.end(), [&](const ParkedFetch& f) {
    return f.replica == r.replica.id && r.replica.id != kNoNode;
  });
  if (before != parked.end()) {
    reply(s, before->ticket, fetch_reply(before->from));
    parked.erase(before);
  }
  const Duration wait = r.max_wait < options_.fetch_wait_max ? r.max_wait : options_.fetch_wait_max;
  parked.push_back({ticket, r.replica.id, r.from.offset, r.high_watermark, s.ctx.now + wait});
}

// Parked fetches leave when there is something to tell: records, a higher high watermark (KIP-1166), or the time is up.
void Raft::wake_fetches(Step& s) {
  auto& l = std::get<Leader>(state_);
  const auto leaves = [&](const ParkedFetch& f) {
    return f.from < log_.end || f.high_watermark < l.high_watermark || s.ctx.now >= f.until;
  };
  for (const ParkedFetch& f : l.parked)
    if (leaves(f)) reply(s, f.ticket, fetch_reply(f.from));
  std::erase_if(l.parked, leaves);
}

FetchReply Raft::fetch_reply(Offset from) const {
  FetchReply r;
  r.verdict = verdict(ErrorCode::none);
  r.high_watermark = std::get<Leader>(state_).high_watermark;
  r.log_start = log_.start;
  if (from < log_.end) r.read_from = from;
  return r;
}

Progress* Raft::progress(Leader& l, const ReplicaKey& key) {
  if (key.id.value < 0) return nullptr;
  if (const int32_t rank = rank_of(key.id); rank >= 0) return &l.voters[rank];
  const auto at = std::find_if(l.observers.begin(), l.observers.end(), [&](const Progress& p) { return p.key == key; });
  if (at != l.observers.end()) return &*at;
  if (l.observers.size() >= kMaxObservers) l.observers.erase(l.observers.begin());
  return &l.observers.emplace_back(Progress{.key = key});
}

void Raft::note_fetch(Step& s, const FetchRequest& r) {
  auto& l = std::get<Leader>(state_);
  Progress* p = progress(l, r.replica);
  if (!p) return;
  if (r.from.offset >= log_.end)
    p->caught_up_at = s.ctx.now;
  else if (p->leader_end >= 0 && r.from.offset >= p->leader_end)
    p->caught_up_at = p->fetched_at;
  KLAMM_ASSERT_REL(r.from.offset, <=, log_.end);  // it agrees with our log up to there
  p->key.directory = r.replica.directory;
  p->end = r.from.offset;
  p->leader_end = log_.end;
  p->fetched_at = s.ctx.now;
  p->acknowledged = true;
  if (rank_of(r.replica.id) < 0) return;
  hear_voter(s, r.replica.id);
  commit(s);
}

void Raft::commit(Step& s) {
  auto& l = std::get<Leader>(state_);
  l.voters[rank_].end = acked_end(s.ctx);
  std::vector<Offset> ends;
  for (const Progress& p : l.voters) ends.push_back(p.end);
  const Offset to = rules::commit_index(std::move(ends), l.epoch_start, l.high_watermark);
  if (to <= l.high_watermark) return;
  KLAMM_ASSERT_REL(to, >=, committed_);  // a leader has all that it ever knew to be committed
  KLAMM_ASSERT_REL(to, >, l.epoch_start);
  KLAMM_ASSERT_REL(to, <=, log_.end);
  l.high_watermark = to;
  raise_committed(s, to);
  wake_fetches(s);
}

}  // namespace klamm::raft
