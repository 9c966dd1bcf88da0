// Resigned: led this epoch, and has stepped down, or has restarted. Tells the others, so that they need not time out.
//   -> Unattached: a later epoch is heard of, or begun after an election timeout
//   -> Follower: a leader of a later epoch is heard of
#include <algorithm>

#include "engine/raft/raft.h"
#include "engine/raft/rules.h"

namespace klamm::raft {
namespace {
constexpr Duration kStopPatience = milliseconds(500);  // of a leader that stops, with voters that do not answer
}  // namespace

void Raft::become_resigned(Step& s) {
  PROBE(s.ctx, raft_resigned);
  std::vector<Progress> voters = std::get<Leader>(state_).voters;
  std::stable_sort(voters.begin(), voters.end(), [](const Progress& a, const Progress& b) { return a.end > b.end; });
  Resigned r;
  for (const Progress& p : voters)
    if (p.key.id != options_.self.id) r.successors.push_back(p.key);
  r.acknowledged = bit_of(options_.self.id);
  r.election_at = s.ctx.now + (stopping_ ? kStopPatience : election_timeout(s.ctx));
  become(s, std::move(r), hard_);
  tick_resigned(s);
}

void Raft::tick_resigned(Step& s) {
  const auto& r = std::get<Resigned>(state_);
  KLAMM_ASSERT((r.acknowledged & bit_of(options_.self.id)) != 0);
  if (s.ctx.now >= r.election_at) {
    if (rules::last_epoch(hard_.epoch)) return void(s.ready.fatal = rules::kEpochsUsedUp);
    return become_unattached(s, {.epoch = hard_.epoch + 1});
  }
  for (Peer& p : peers_)
    if ((r.acknowledged & bit_of(p.id)) == 0 && may_call(s, p))
      call(s, p, EndRequest{hard_.epoch, options_.self.id, r.successors}, 0);
}

}  // namespace klamm::raft
