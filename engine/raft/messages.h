// The quorum's conversation as values: what Vote, BeginQuorumEpoch, EndQuorumEpoch, Fetch and FetchSnapshot say about
// the one metadata partition. Bytes stay in the shell.
#pragma once
#include <optional>
#include <variant>
#include <vector>

#include "engine/base/error_code.h"
#include "engine/base/ids.h"
#include "engine/base/units.h"

namespace klamm::raft {

// A replica is known by id and, where the voters know it, by the directory that it lives in (KIP-853). A zero directory
// means: not known.
struct ReplicaKey {
  NodeId id = kNoNode;
  Uuid directory;
  friend constexpr bool operator==(const ReplicaKey&, const ReplicaKey&) = default;
  template<class V>
  void fields(V& v) const {
    v("id", id), v("directory", directory);
  }
};

struct VoteRequest {
  LeaderEpoch epoch = 0;  // the candidate's; a pre-vote asks in the epoch as it is, a vote in the one it has begun
  ReplicaKey candidate;
  ReplicaKey voter;     // whom it is meant for; id -1 if the sender does not say
  OffsetAndEpoch last;  // the candidate's log end and the epoch of its last record
  bool pre_vote = false;
};
struct BeginRequest {
  LeaderEpoch epoch = 0;
  NodeId leader = kNoNode;
  ReplicaKey voter;
};
struct EndRequest {
  LeaderEpoch epoch = 0;
  NodeId leader = kNoNode;
  std::vector<ReplicaKey> successors;  // best first
};
struct FetchRequest {
  LeaderEpoch epoch = 0;
  ReplicaKey replica;          // id -1: a reader that is no replica
  OffsetAndEpoch from;         // the next offset wanted, and the epoch of the record before it (0: none)
  Offset high_watermark = -1;  // what the replica knows; Fetch 18 (KIP-1166). Larger than any: do not wake it for this
  Duration max_wait;
};
// Asks for the next bytes of a snapshot (KIP-630).
struct SnapshotRequest {
  LeaderEpoch epoch = 0;
  ReplicaKey replica;
  OffsetAndEpoch id;     // the offset after the last record it contains, and the epoch of that record
  int64_t position = 0;  // in its file
  int32_t max_bytes = 0;
};
using RequestBody = std::variant<VoteRequest, BeginRequest, EndRequest, FetchRequest, SnapshotRequest>;

// What every answer tells: the error, and the leader that the answering node knows of.
struct Verdict {
  ErrorCode error = ErrorCode::none;
  LeaderEpoch epoch = 0;
  NodeId leader = kNoNode;
};
struct VoteAnswer {
  Verdict verdict;
  bool granted = false;
};
struct BeginAnswer {
  Verdict verdict;
};
struct EndAnswer {
  Verdict verdict;
};
// One run of records of one epoch in an answer.
struct Run {
  Offset base = 0;
  Offset end = 0;
  LeaderEpoch epoch = 0;
};
struct FetchAnswer {
  Verdict verdict;
  Offset high_watermark = -1;  // -1: the leader does not know it yet
  Offset log_start = 0;
  std::optional<OffsetAndEpoch> diverging;  // the largest epoch not above the asked one, and where it ends
  std::optional<OffsetAndEpoch> snapshot;   // what was asked for is gone: this is to be fetched in its place
  std::vector<Run> runs;                    // what it carries, checked by the shell: one batch after the other
};
struct SnapshotAnswer {
  Verdict verdict;
  OffsetAndEpoch id{-1, -1};
  int64_t size = 0;      // of the whole file
  int64_t position = 0;  // of the bytes that it carries
  int64_t bytes = 0;     // how many they are
};
// The call has ended without an answer.
struct NoAnswer {
  bool refused = false;  // nobody listens at the peer's address: its process is gone
};
using AnswerBody = std::variant<NoAnswer, VoteAnswer, BeginAnswer, EndAnswer, FetchAnswer, SnapshotAnswer>;

// What a reply to a Fetch carries besides the verdict.
struct FetchReply {
  Verdict verdict;
  Offset high_watermark = -1;
  Offset log_start = 0;
  std::optional<OffsetAndEpoch> diverging;
  std::optional<OffsetAndEpoch> snapshot;
  Offset read_from = -1;  // records from here up to the log's end go with it; -1: none
};
// Without an error in the verdict the shell looks for the file, and may find that it must be one.
struct SnapshotReply {
  Verdict verdict;
  OffsetAndEpoch id;
  int64_t position = 0;
  int32_t max_bytes = 0;
};
using ReplyBody = std::variant<VoteAnswer, BeginAnswer, EndAnswer, FetchReply, SnapshotReply>;

}  // namespace klamm::raft
