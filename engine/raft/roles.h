// What each role remembers besides the hard state. A deadline of kNever does not fire.
#pragma once
#include <map>
#include <variant>
#include <vector>

#include "engine/base/ticket.h"
#include "engine/base/units.h"
#include "engine/raft/messages.h"

namespace klamm::raft {

enum class Role : uint8_t { unattached, prospective, candidate, leader, resigned, follower };
const char* name(Role role);

inline constexpr size_t kMaxVoters = 63;
inline constexpr size_t kMaxObservers = 1024;      // followed for DescribeQuorum
inline constexpr size_t kMaxParkedFetches = 1024;  // above it a fetch is answered at once
inline constexpr size_t kMaxSuccessors = kMaxVoters;

// A vote or rejection per voter, by rank.
struct Ballot {
  uint64_t granted = 0;
  uint64_t rejected = 0;
  template<class V>
  void fields(V& v) const {
    v("granted", granted), v("rejected", rejected);
  }
};

// Knows no leader; may have voted. Waits for one, looks for one, and stands for election when that takes too long.
struct Unattached {
  Instant election_at = kNever;
  template<class V>
  void fields(V& v) const {
    v("election_at", election_at);
  }
};
// Asks whether an election would be welcome, without beginning an epoch (KIP-996). The leader it lost is still named by
// the hard state.
struct Prospective {
  Ballot ballot;
  Instant election_at = kNever;  // then the attempt is over
  int32_t attempts = 1;
  template<class V>
  void fields(V& v) const {
    v("ballot", ballot), v("election_at", election_at), v("attempts", attempts);
  }
};
struct Candidate {
  Ballot ballot;
  Instant election_at = kNever;
  Instant retry_at = kNever;  // set once the election is lost
  int32_t attempts = 1;
  template<class V>
  void fields(V& v) const {
    v("ballot", ballot), v("election_at", election_at), v("retry_at", retry_at), v("attempts", attempts);
  }
};
// What a leader knows of a replica that fetches.
struct Progress {
  ReplicaKey key;
  Offset end = -1;            // its last fetch offset: everything before it is durable there. -1: has not fetched
  Offset leader_end = -1;     // ours at its last fetch
  Instant fetched_at{-1};     // -1: never
  Instant caught_up_at{-1};   // when it had all that we had
  bool acknowledged = false;  // knows that we lead
  template<class V>
  void fields(V& v) const {
    v("key", key), v("end", end), v("leader_end", leader_end), v("fetched_at", fetched_at);
    v("caught_up_at", caught_up_at), v("acknowledged", acknowledged);
  }
};
struct ParkedFetch {
  Ticket ticket;
  NodeId replica = kNoNode;
  Offset from = 0;
  Offset high_watermark = -1;
  Instant until;
  template<class V>
  void fields(V& v) const {
    v("ticket", ticket), v("replica", replica), v("from", from), v("high_watermark", high_watermark), v("until", until);
  }
};
struct Leader {
  Offset epoch_start = 0;
  Offset high_watermark = -1;       // -1 until a record of this epoch is committed
  std::vector<Progress> voters;     // by rank; our own entry is kept at what we have synced
  std::vector<Progress> observers;  // in the order of their first fetch; at most kMaxObservers
  uint64_t fetched = 0;             // voters, by rank, that fetched in this check-quorum period
  Instant check_quorum_at = kNever;
  Instant begin_again_at;  // when voters that are silent are told once more who leads
  std::vector<ParkedFetch> parked;
  template<class V>
  void fields(V& v) const {
    v("epoch_start", epoch_start), v("high_watermark", high_watermark), v("voters", voters), v("observers", observers);
    v("fetched", fetched), v("check_quorum_at", check_quorum_at), v("begin_again_at", begin_again_at),
        v("parked", parked);
  }
};
// Was leader of this epoch and does not lead any more: tells the others so.
struct Resigned {
  std::vector<ReplicaKey> successors;  // by descending log end
  uint64_t acknowledged = 0;           // by rank
  Instant election_at = kNever;
  template<class V>
  void fields(V& v) const {
    v("successors", successors), v("acknowledged", acknowledged), v("election_at", election_at);
  }
};
struct Follower {
  Instant fetch_at = kNever;   // when the leader counts as lost; kNever: it is (an observer's that looks for another)
  bool fetched = false;        // heard from this leader at least once, and not that it is gone (KAFKA-17641)
  Offset high_watermark = -1;  // the leader's, as far as told; committed is what we have of it
  // A snapshot of the leader's that takes the place of our log: how much of it has come; then it is being stored.
  std::optional<OffsetAndEpoch> snapshot;
  int64_t position = 0;
  int64_t size = 0;  // of the whole, by its first part
  bool storing = false;
  template<class V>
  void fields(V& v) const {
    v("fetch_at", fetch_at), v("fetched", fetched), v("high_watermark", high_watermark);
    v("snapshot", snapshot), v("position", position), v("size", size), v("storing", storing);
  }
};
// In the order of Role.
using State = std::variant<Unattached, Prospective, Candidate, Leader, Resigned, Follower>;

// A voter that we call: one call at a time.
struct Peer {
  NodeId id = kNoNode;
  uint64_t call = 0;  // under way; 0: none
  int32_t failures = 0;
  Instant retry_at;  // not before
  template<class V>
  void fields(V& v) const {
    v("id", id), v("call", call), v("failures", failures), v("retry_at", retry_at);
  }
};
// Who is asked next for the leader.
struct Search {
  uint32_t next = 0;
  int32_t failures = 0;
  Instant not_before;
  template<class V>
  void fields(V& v) const {
    v("next", next), v("failures", failures), v("not_before", not_before);
  }
};

}  // namespace klamm::raft
