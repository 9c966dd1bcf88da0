// The law of the quorum: total, pure functions. The museum's switches of this module are read here and nowhere else.
#pragma once
#include <limits>
#include <vector>

#include "engine/base/flaws.h"
#include "engine/raft/epochs.h"
#include "engine/raft/raft.h"

namespace klamm::raft::rules {

// The roles that may follow each other. An observer is Unattached or Follower.
bool legal(Role from, Role to, bool voter);

// None comes after it, so nobody can be elected any more: the replica ends, and says so.
// Why: any peer's message may name it, and an epoch is taken up from whoever names it. No KIP.
inline bool last_epoch(LeaderEpoch epoch) { return epoch == std::numeric_limits<LeaderEpoch>::max(); }
inline constexpr const char* kEpochsUsedUp = "the metadata quorum's epochs are used up: a peer named the last one";

// Is `candidate` (log end and last epoch) at least as complete as `own`?
// Why: who has every committed record must win; of two logs the later epoch, then the longer one. Raft 5.4.1, KIP-595.
bool up_to_date(OffsetAndEpoch candidate, OffsetAndEpoch own);

struct VoteView {
  Role role = Role::unattached;
  ReplicaKey voted;               // in this epoch
  bool leader_known = false;      // in this epoch
  bool fetched = false;           // a follower that heard from its leader
  bool leads_committing = false;  // a leader that has committed in its epoch
  bool up_to_date = false;        // the candidate's log
};
enum class VoteReason : uint8_t { granted, log_behind, voted_other, has_leader, leads };
// One vote an epoch, to a candidate that is up to date, while no leader of the epoch is known; asked again, the same.
// Why: two majorities share a voter, so one leader an epoch, who has all that was committed. Raft 5.2, 5.4, KIP-595.
VoteReason vote_granted(const VoteView& view, const ReplicaKey& candidate);
// A pre-vote binds nobody. Refused by a leader that commits, and by a follower that hears from its leader.
// Why: a replica that cannot hear the leader must not depose it; but NotStuckInProspective. KIP-996, KAFKA-17641.
VoteReason pre_vote_granted(const VoteView& view);

// The offset before which all is committed: the largest that a majority of voters has, once it lies past the record
// with which this epoch began (strictly). Never falls. `ends` is of all voters, the leader's own included; -1 not
// known. Why: an older record that a majority has may still be overwritten. Raft figure 8, KIP-595, KAFKA-12619.
Offset commit_index(std::vector<Offset> ends, Offset epoch_start, Offset current);

struct FlushPolicy {
  bool flush = true;  // votes and acknowledgements wait for it, and the leader counts itself by it
};
// A vote, an epoch or a record counts when it is durable, not when it is written.
// Why: a power loss must not take back a promise, and a majority may lose power together. KIP-595, KAFKA-10533.
// M15 (a): nothing is flushed.
FlushPolicy flush_policy(const Flaws& flaws);

struct Restart {
  Role role = Role::unattached;
  HardState hard_state;
};
// What a replica wakes up as. One that led does not lead on, nor stand on in an epoch that it may have led.
// Why: it may have lost records that others have: (epoch, offset) must never name two records. KIP-595, 05f9803d72b.
Restart on_restart(const Options& options, const HardState& stored, LeaderEpoch last_epoch);

// An untouched static quorum: the lowest id stands at once, the others wait as always.
// Why: nobody can have a leader to be disturbed, and a cluster of milliseconds must not wait a second for its first.
bool campaigns_at_once(int32_t rank, const HardState& hard, const LogState& log);

enum class FetchCheck : uint8_t { valid, diverging, snapshot };
struct FetchPoint {
  FetchCheck check = FetchCheck::valid;
  OffsetAndEpoch diverging;
};
// Does a log that ends at `from` (next offset, epoch of the record before it) agree with ours up to there?
// Why: same epoch at same offset means same records before it; else it must learn where we part. KIP-595, KIP-320.
// What lies before our log or our oldest snapshot, only the newest snapshot tells; an empty log is best begun with it.
// KIP-630.
FetchPoint check_fetch(const LogState& log, OffsetAndEpoch from);
// Does a snapshot tell more than a log that ends at `end`, so that it takes that log's place?
// Why: it holds committed records only; a log of a later epoch, or as long in the same one, has them all. KIP-630.
bool supersedes(OffsetAndEpoch snapshot, OffsetAndEpoch end);
// Where a follower cuts its log when the leader says that `diverging` is the end of the epoch that both may share.
// Why: only what both have of the largest common epoch is known to be equal. KIP-101, KIP-595.
Offset truncation_point(const LogState& log, OffsetAndEpoch diverging);

// ---- timing. Ranks are set apart before the draw, so that elections are decided even when all draws are zero.
struct Spread {
  Duration at_least;
  Duration draw;  // below this is drawn and added
};
Spread election_timeout(const Options& options, int32_t rank);
Spread lost_election_backoff(const Options& options, int32_t rank, int32_t attempts);
// Apart by a round trip and a sync: added wherever all voters see the same thing at the same moment.
Duration stagger(int32_t rank);
// After EndQuorumEpoch: the first successor at once, each later one after twice the time of the one before it. KIP-595.
// One that has restarted names none: then by rank.
Duration successor_wait(const Options& options, int32_t rank, const std::vector<ReplicaKey>& successors);
Duration retry_backoff(int32_t failures);

}  // namespace klamm::raft::rules
