// Calls to the other voters: one at a time each, repeated after a growing wait.
#include <algorithm>

#include "engine/raft/raft.h"
#include "engine/raft/rules.h"

namespace klamm::raft {

Peer* Raft::peer(NodeId id) {
  const auto at = std::find_if(peers_.begin(), peers_.end(), [&](const Peer& p) { return p.id == id; });
  return at == peers_.end() ? nullptr : &*at;
}

bool Raft::calling() const {
  return std::any_of(peers_.begin(), peers_.end(), [](const Peer& p) { return p.call != 0; });
}

void Raft::call(Step& s, Peer& p, RequestBody body, Offset needs_log) {
  KLAMM_ASSERT(p.call == 0);
  p.call = next_call_++;
  Needs needs;
  if (rules::flush_policy(s.ctx.flaws).flush) needs = {.hard_state = term_version_, .log = needs_log};
  s.ready.sends.push_back({p.id, p.call, options_.request_timeout, std::move(body), needs});
}

void Raft::note_failure(Step& s, Peer& p) {
  p.retry_at = s.ctx.now + rules::retry_backoff(++p.failures);
  search_.not_before = s.ctx.now + rules::retry_backoff(++search_.failures);
}

// Asks for what follows our log. The offset acknowledges what is before it, so all of it has to be durable.
void Raft::fetch_from(Step& s, Peer& p) {
  const auto* f = std::get_if<Follower>(&state_);
  if (f && f->snapshot && !f->storing && p.id == hard_.leader)
    return call(s, p, SnapshotRequest{hard_.epoch, options_.self, *f->snapshot, f->position}, 0);
  FetchRequest r;
  r.epoch = hard_.epoch;
  r.replica = options_.self;
  r.from = {log_.end, log_.epochs.latest()};
  r.high_watermark = f ? std::max(f->high_watermark, committed_) : committed_;
  r.max_wait = options_.fetch_wait_max;
  call(s, p, r, log_.end);
}

// Any voter can say who leads: asks one after the other, with a fetch.
void Raft::search_leader(Step& s) {
  if (peers_.empty() || calling() || s.ctx.now < search_.not_before) return;
  fetch_from(s, peers_[search_.next++ % peers_.size()]);
}

}  // namespace klamm::raft
