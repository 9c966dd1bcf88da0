#include "engine/raft/raft.h"

#include <algorithm>

#include "engine/raft/rules.h"

namespace klamm::raft {
namespace {

template<class... Fs>
struct Overload : Fs... {
  using Fs::operator()...;
};
template<class... Fs>
Overload(Fs...) -> Overload<Fs...>;

}  // namespace

const char* name(Role role) {
  switch (role) {
    case Role::unattached: return "unattached";
    case Role::prospective: return "prospective";
    case Role::candidate: return "candidate";
    case Role::leader: return "leader";
    case Role::resigned: return "resigned";
    case Role::follower: return "follower";
  }
  return "unknown";
}

Raft::Raft(Options options, HardState hard_state, LogState log)
    : options_(std::move(options)),
      hard_(hard_state),
      log_(std::move(log)),
      timeout_dice_{Stream::raft_election, static_cast<uint64_t>(options_.self.id.value), 0},
      backoff_dice_{Stream::raft_backoff, static_cast<uint64_t>(options_.self.id.value), 0} {
  KLAMM_ASSERT(std::is_sorted(options_.voters.begin(), options_.voters.end()));
  KLAMM_ASSERT(!options_.voters.empty());
  KLAMM_ASSERT_REL(options_.voters.size(), <=, kMaxVoters);
  KLAMM_ASSERT_REL(log_.start, <=, log_.synced);
  KLAMM_ASSERT_REL(log_.synced, <=, log_.end);
  rank_ = rank_of(options_.self.id);
  for (NodeId id : options_.voters)
    if (id != options_.self.id) peers_.push_back({.id = id});
}

Ready Raft::step(Ctx& ctx, const Input& input) {
  Step s{ctx, {}};
  std::visit(Overload{
                 [&](const Start&) { start(s); },
                 [&](const Tick&) {},
                 [&](const Request& x) { on_request(s, x); },
                 [&](const Answer& x) { on_answer(s, x); },
                 [&](const LogSynced& x) { on_log_synced(s, x.offset); },
                 [&](const LogCut& x) { on_log_cut(x); },
                 [&](const SnapshotEnded& x) { on_snapshot_ended(s, x); },
                 [&](const HardStateSynced& x) { on_hard_state_synced(s, x.version); },
                 [&](const Propose& x) { propose(s, x.records); },
                 [&](const Resign& x) { resign(s, x.stopping); },
             },
             input);
  tick(s);
  KLAMM_ASSERT_REL(log_.synced, <=, log_.end);
  KLAMM_ASSERT_REL(committed_, <=, log_.end);
  KLAMM_ASSERT(is_voter() || role() == Role::unattached || role() == Role::follower);
  KLAMM_ASSERT(role() != Role::unattached || hard_.leader == kNoNode);
  KLAMM_ASSERT((role() == Role::leader || role() == Role::resigned) == (hard_.leader == options_.self.id));
  return std::move(s.ready);
}

void Raft::start(Step& s) {
  const rules::Restart restart = rules::on_restart(options_, hard_, log_.epochs.latest());
  const bool fresh = rules::campaigns_at_once(rank_, hard_, log_);
  if (!(restart.hard_state == hard_)) persist(s, restart.hard_state);
  s.ready.role_changed = true;
  switch (restart.role) {
    case Role::resigned:
      state_ = Resigned{.acknowledged = bit_of(options_.self.id), .election_at = s.ctx.now + election_timeout(s.ctx)};
      break;
    case Role::follower:
      state_ = Follower{.fetch_at = s.ctx.now + options_.fetch_timeout + rules::stagger(rank_)};
      break;
    default: state_ = Unattached{.election_at = is_voter() ? s.ctx.now + election_timeout(s.ctx) : kNever};
  }
  trace_role(s);
  if (fresh || (is_voter() && options_.voters.size() == 1)) become_candidate(s, 1);
}

void Raft::tick(Step& s) {
  switch (role()) {
    case Role::unattached: return tick_unattached(s);
    case Role::prospective: return tick_prospective(s);
    case Role::candidate: return tick_candidate(s);
    case Role::leader: return tick_leader(s);
    case Role::resigned: return tick_resigned(s);
    case Role::follower: return tick_follower(s);
  }
}

void Raft::on_request(Step& s, const Request& r) {
  std::visit(Overload{
                 [&](const VoteRequest& x) { reply(s, r.ticket, on_vote_request(s, x)); },
                 [&](const BeginRequest& x) { reply(s, r.ticket, on_begin_request(s, x)); },
                 [&](const EndRequest& x) { reply(s, r.ticket, on_end_request(s, x)); },
                 [&](const FetchRequest& x) { on_fetch_request(s, r.ticket, x); },
                 [&](const SnapshotRequest& x) { on_snapshot_request(s, r.ticket, x); },
             },
             r.body);
}

void Raft::on_answer(Step& s, const Answer& a) {
  Peer* p = peer(a.from);
  if (!p || p->call != a.call) return;  // of a role that is over
  p->call = 0;
  const uint64_t calls_before = next_call_;
  const LeaderEpoch epoch_before = hard_.epoch;
  const Role role_before = role();
  bool good = std::visit(Overload{
                             [&](const NoAnswer& x) {
                               if (x.refused) leader_refused(s, a.from);
                               return false;
                             },
                             [&](const SnapshotAnswer& x) {
                               const bool useful_to_us = useful(s, x.verdict);
                               if (!useful_to_us) give_up_snapshot(a.from);
                               return useful_to_us;
                             },
                             [&](const auto& x) { return useful(s, x.verdict); },
                         },
                         a.body);
  const bool same_role = epoch_before == hard_.epoch && role_before == role();
  if (!good && same_role) note_failure(s, *p);
  if (good && same_role) p->failures = 0, p->retry_at = s.ctx.now;
  if (!good) return;
  KLAMM_ASSERT_REL(next_call_, ==, calls_before);  // nothing was sent yet: `p` and the role are as they were
  std::visit(Overload{
                 [&](const NoAnswer&) {},
                 [&](const VoteAnswer& x) { on_vote_answer(s, a.from, x); },
                 [&](const BeginAnswer&) {
                   if (auto* l = std::get_if<Leader>(&state_)) l->voters[rank_of(a.from)].acknowledged = true;
                 },
                 [&](const EndAnswer&) {
                   if (auto* r = std::get_if<Resigned>(&state_)) r->acknowledged |= bit_of(a.from);
                 },
                 [&](const FetchAnswer& x) { on_fetch_answer(s, a.from, x); },
                 [&](const SnapshotAnswer& x) { on_snapshot_answer(s, a.from, x); },
             },
             a.body);
}

bool Raft::useful(Step& s, const Verdict& v) {
  if (v.epoch < hard_.epoch || v.error == ErrorCode::unknown_leader_epoch) return false;  // we are ahead of it
  if (v.epoch > hard_.epoch || v.error == ErrorCode::fenced_leader_epoch ||
      v.error == ErrorCode::not_leader_or_follower) {
    learn(s, v.epoch, v.leader);
    return false;
  }
  // A leader that answers us names itself: an observer may find it and take its records in one answer.
  if (v.leader != kNoNode && hard_.leader == kNoNode) learn(s, v.epoch, v.leader);
  return v.error == ErrorCode::none;
}

ErrorCode Raft::learn(Step& s, LeaderEpoch epoch, NodeId leader) {
  if (epoch < hard_.epoch) return ErrorCode::none;
  const bool newer = epoch > hard_.epoch;
  if (leader == options_.self.id) {
    if (!newer) return role() == Role::leader ? ErrorCode::none : ErrorCode::invalid_request;
    // We are told that we lead an epoch that we do not remember. Whatever we promised in it, we promise nothing more.
    become_unattached(s, {.epoch = epoch, .voted = options_.self});
    return ErrorCode::invalid_request;
  }
  const bool unknown = leader != kNoNode && rank_of(leader) < 0;
  if (newer && (leader == kNoNode || unknown)) {
    become_unattached(s, {.epoch = epoch});
  } else if (newer) {
    become_follower(s, epoch, leader);
  } else if (leader != kNoNode && !unknown) {
    if (hard_.leader == kNoNode) become_follower(s, epoch, leader);
    if (hard_.leader != leader) return ErrorCode::invalid_request;  // two leaders of one epoch: not of this quorum
  }
  return unknown ? ErrorCode::inconsistent_voter_set : ErrorCode::none;
}

bool Raft::seeks_leader() const {
  if (const auto* f = std::get_if<Follower>(&state_)) return searching(*f);
  return role() != Role::leader && role() != Role::resigned;
}

ErrorCode Raft::check_sender(LeaderEpoch epoch, NodeId sender) const {
  if (epoch < hard_.epoch) return ErrorCode::fenced_leader_epoch;
  if (sender.value < 0) return ErrorCode::invalid_request;
  return rank_of(sender) < 0 ? ErrorCode::inconsistent_voter_set : ErrorCode::none;
}

bool Raft::meant_for_us(const ReplicaKey& voter) const {
  if (voter.id == kNoNode) return true;
  return voter.id == options_.self.id && (voter.directory.zero() || voter.directory == options_.self.directory);
}

BeginAnswer Raft::on_begin_request(Step& s, const BeginRequest& r) {
  if (const ErrorCode e = check_sender(r.epoch, r.leader); e != ErrorCode::none) return {verdict(e)};
  if (const ErrorCode e = learn(s, r.epoch, r.leader); e != ErrorCode::none) return {verdict(e)};
  // The leader that we had given up is there.
  if (role() == Role::prospective && hard_.leader == r.leader) become_follower(s, r.epoch, r.leader);
  return {verdict(meant_for_us(r.voter) ? ErrorCode::none : ErrorCode::invalid_voter_key)};
}

void Raft::on_log_synced(Step& s, Offset offset) {
  KLAMM_ASSERT_REL(offset, <=, log_.end);
  log_.synced = offset;
  if (role() == Role::leader) commit(s);
  if (const auto* f = std::get_if<Follower>(&state_)) raise_committed(s, std::min(f->high_watermark, acked_end(s.ctx)));
}

void Raft::on_log_cut(const LogCut& cut) {
  KLAMM_ASSERT_REL(cut.start, >=, log_.start);
  KLAMM_ASSERT(cut.start == log_.start || cut.start <= committed_);
  log_.start = cut.start;
  log_.epochs.cut_front(cut.start);
  log_.snapshots = cut.snapshots;
}

void Raft::on_snapshot_ended(Step& s, const SnapshotEnded& e) {
  auto* f = std::get_if<Follower>(&state_);
  const bool followed = f && f->snapshot == e.id;
  if (followed) f->snapshot.reset(), f->storing = false;
  // The leader would send the same again: not before it may have another.
  if (Peer* p = e.unsound && followed ? peer(hard_.leader) : nullptr)
    p->retry_at = s.ctx.now + options_.fetch_timeout / 2;
  if (!e.installed) return;
  KLAMM_ASSERT(role() != Role::leader);  // whoever lacks committed records is not elected
  KLAMM_ASSERT(rules::supersedes(e.id, log_.last()));
  log_ = {e.id.offset, e.id.offset, e.id.offset, {}, SnapshotIds{e.id, e.id}};
  log_.epochs.assign({e.id.offset - 1, e.id.epoch});
  raise_committed(s, e.id.offset);
  log_replaced(s);
  if (followed) hear_leader(s);
}

void Raft::on_hard_state_synced(Step& s, uint64_t version) {
  KLAMM_ASSERT_REL(version, <=, hard_version_);
  hard_synced_ = std::max(hard_synced_, version);
  if (role() == Role::candidate) count_votes(s);
}

void Raft::resign(Step& s, bool stopping) {
  stopping_ = stopping_ || stopping;
  if (role() == Role::leader) become_resigned(s);
  if (!stopping_) return;
  if (auto* u = std::get_if<Unattached>(&state_)) u->election_at = kNever;
  if (auto* f = std::get_if<Follower>(&state_)) f->fetch_at = kNever;
}

bool Raft::resigned() const {
  if (!stopping_) return false;
  const auto* r = std::get_if<Resigned>(&state_);
  if (!r) return true;
  return std::all_of(peers_.begin(), peers_.end(),
                     [&](const Peer& p) { return (r->acknowledged & bit_of(p.id)) != 0 || p.failures > 0; });
}

// Every change of role goes through here: calls and fetches that belong to the old one end.
void Raft::become(Step& s, State next, const HardState& hard) {
  const Role from = role();
  const Role to = static_cast<Role>(next.index());
  KLAMM_ASSERT(rules::legal(from, to, is_voter()));
  KLAMM_ASSERT_REL(hard.epoch, >=, hard_.epoch);
  KLAMM_ASSERT(hard.epoch > hard_.epoch || hard_.leader == kNoNode || hard.leader == hard_.leader);
  std::vector<ParkedFetch> parked;
  if (auto* l = std::get_if<Leader>(&state_)) parked = std::move(l->parked);
  if (!(hard == hard_)) persist(s, hard);
  state_ = std::move(next);
  for (Peer& p : peers_) p = {.id = p.id};
  search_ = {.next = search_.next};
  s.ready.sends.clear();
  s.ready.forget_held = true;
  s.ready.role_changed = true;
  for (const ParkedFetch& f : parked) {
    FetchReply r;
    r.verdict = verdict(ErrorCode::not_leader_or_follower);
    reply(s, f.ticket, r);
  }
  trace_role(s);
}

void Raft::trace_role(Step& s) const {
  s.ctx.trace.event({.kind = TraceKind::raft_role,
                     .a = hard_.epoch,
                     .b = static_cast<int64_t>(role()),
                     .c = hard_.leader.value,
                     .d = log_.end});
}

void Raft::persist(Step& s, const HardState& hard) {
  const bool term = hard.epoch != hard_.epoch || !(hard.voted == hard_.voted);
  hard_ = hard;
  ++hard_version_;
  if (term) term_version_ = hard_version_;
  s.ready.persist = true;
}

void Raft::reply(Step& s, const Ticket& ticket, ReplyBody body) {
  const bool flush = rules::flush_policy(s.ctx.flaws).flush;
  s.ready.replies.push_back({ticket, std::move(body), {.hard_state = flush ? term_version_ : 0}});
}

Verdict Raft::verdict(ErrorCode error) const {
  // One that has resigned is still written down as the epoch's leader, but nobody shall follow it.
  return {error, hard_.epoch, role() == Role::resigned ? kNoNode : hard_.leader};
}

Offset Raft::acked_end(const Ctx& ctx) const { return rules::flush_policy(ctx.flaws).flush ? log_.synced : log_.end; }

void Raft::raise_committed(Step& s, Offset to) {
  KLAMM_ASSERT_REL(to, <=, log_.end);
  if (to <= committed_) return;
  committed_ = to;
  s.ready.committed = true;
}

int32_t Raft::rank_of(NodeId id) const {
  const auto at = std::lower_bound(options_.voters.begin(), options_.voters.end(), id);
  return at != options_.voters.end() && *at == id ? static_cast<int32_t>(at - options_.voters.begin()) : -1;
}

Instant Raft::next_deadline() const {
  Instant at = kNever;
  const auto retry = [&](const Peer& p) {
    if (p.call == 0) at = earlier(at, p.retry_at);
  };
  const auto retry_unless = [&](uint64_t ranks) {
    for (const Peer& p : peers_)
      if ((ranks & bit_of(p.id)) == 0) retry(p);
  };
  const auto search = [&] {
    if (!calling() && !peers_.empty()) at = earlier(at, search_.not_before);
  };
  std::visit(Overload{
                 [&](const Unattached& x) { at = x.election_at, search(); },
                 [&](const Prospective& x) { at = x.election_at, retry_unless(x.ballot.granted | x.ballot.rejected); },
                 [&](const Candidate& x) {
                   at = earlier(x.election_at, x.retry_at);
                   if (x.retry_at == kNever) retry_unless(x.ballot.granted | x.ballot.rejected);
                 },
                 [&](const Leader& x) {
                   at = earlier(x.check_quorum_at, x.begin_again_at);
                   for (const ParkedFetch& f : x.parked) at = earlier(at, f.until);
                   for (const Peer& p : peers_)
                     if (!x.voters[rank_of(p.id)].acknowledged) retry(p);
                 },
                 [&](const Resigned& x) { at = x.election_at, retry_unless(x.acknowledged); },
                 [&](const Follower& x) {
                   at = x.fetch_at;
                   if (searching(x)) return search();
                   for (const Peer& p : peers_)
                     if (p.id == hard_.leader) retry(p);
                 },
             },
             state_);
  return at;
}

}  // namespace klamm::raft
