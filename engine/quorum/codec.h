// Between the quorum's values and Kafka's messages about the one partition __cluster_metadata-0.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/arena.h"
#include "engine/base/bytes.h"
#include "engine/raft/raft.h"

namespace klamm::quorum {

inline constexpr Uuid kMetadataTopicId{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
inline constexpr const char* kMetadataTopic = "__cluster_metadata";

// The API keys, and the versions in which we ask (the highest that Kafka 4.3 serves).
enum Api : int16_t {
  kFetch = 1,
  kVote = 52,
  kBeginQuorumEpoch = 53,
  kEndQuorumEpoch = 54,
  kDescribeQuorum = 55,
  kFetchSnapshot = 59
};
struct ApiVersion {
  int16_t api;
  int16_t version;
};
ApiVersion asked_as(const raft::RequestBody& body);

// What every message tells of the sender.
struct Identity {
  std::string cluster_id;
  std::string listener;
  std::string host;  // of the leader of a BeginQuorumEpoch or EndQuorumEpoch: ourselves
  uint16_t port = 0;
};
std::vector<Slice> encode_request(Arena& arena, const Identity& us, const raft::RequestBody& body,
                                  uint32_t fetch_bytes);

struct Asked {
  std::optional<raft::RequestBody> body;
  ErrorCode error = ErrorCode::none;  // to be answered at the top of the response, if there is no body
  bool elsewhere = false;             // a FetchSnapshot of another partition
  bool malformed = false;             // not even that
};
Asked decode_request(Arena& arena, ApiVersion as, ByteSpan bytes, std::string_view cluster_id);

struct Endpoint {
  NodeId id = kNoNode;
  std::string_view host;
  uint16_t port = 0;
};
// `leader`: where the verdict's leader is; null if it names none. `records`: what goes with a fetch reply.
std::vector<Slice> encode_reply(Arena& arena, ApiVersion as, const raft::ReplyBody& body, const Endpoint* leader,
                                std::span<const Slice> records);
std::vector<Slice> encode_error(ApiVersion as, ErrorCode error);
// To a FetchSnapshot that passed decode_request: of a part of it, or why there is none.
struct SnapshotPartReply {
  raft::Verdict verdict;
  OffsetAndEpoch id;
  int64_t size = 0;
  int64_t position = 0;
};
std::vector<Slice> encode_snapshot_part(Arena& arena, ApiVersion as, const SnapshotPartReply& part,
                                        const Endpoint* leader, const Slice& bytes);
// To one that asks for something else than the metadata log.
std::vector<Slice> encode_unknown_snapshot(Arena& arena, ApiVersion as, ByteSpan request, const Endpoint* leader);

struct Answered {
  std::optional<raft::AnswerBody> body;  // nothing: an error at the top, or malformed. A FetchAnswer has no runs yet
  ByteSpan records;                      // within the bytes given
  bool foreign = false;                  // it says that we are of another cluster
};
Answered decode_answer(Arena& arena, ApiVersion as, ByteSpan bytes);

// The batch with which a leader begins its epoch.
struct LeaderChange {
  raft::Append append;
  NodeId leader;
  std::vector<NodeId> voters;
  int64_t timestamp_ms = 0;
};
Slice encode_leader_change(Arena& arena, const LeaderChange& change);

}  // namespace klamm::quorum
