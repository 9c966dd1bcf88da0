#include "engine/quorum/codec.h"

#include "engine/protocol/batch_builder.h"
#include "engine/protocol/messages/begin_quorum_epoch.h"
#include "engine/protocol/messages/describe_quorum.h"
#include "engine/protocol/messages/end_quorum_epoch.h"
#include "engine/protocol/messages/fetch.h"
#include "engine/protocol/messages/fetch_snapshot.h"
#include "engine/protocol/messages/vote.h"
#include "engine/protocol/records/control_records.h"

namespace klamm::quorum {
namespace {

namespace p = klamm::protocol;

constexpr int16_t kFetchNamesLeaders = 17;  // from this version on a fetch answer says where the leader is
constexpr int16_t kFetchReplicaState = 15;

template<class M>
std::vector<Slice> encoded(int16_t version, const M& message) {
  Writer w;
  p::encode(w, version, message);
  KLAMM_ASSERT(w.ok());
  return w.finish();
}

// The one partition of a message: {topics: [{partitions: [it]}]}.
template<class Topics>
auto& add_partition(Arena& a, Topics& topics) {
  auto& topic = topics.add(a);
  topic.topic_name = kMetadataTopic;
  return topic.partitions.add(a);
}
template<class Topics>
auto* only_partition(Topics& topics) {
  using Partition = std::remove_reference_t<decltype(topics[0].partitions[0])>;
  const bool valid = topics.size() == 1 && topics[0].topic_name == kMetadataTopic && topics[0].partitions.size() == 1 &&
                     topics[0].partitions[0].partition_index == 0;
  return valid ? &topics[0].partitions[0] : static_cast<Partition*>(nullptr);
}

raft::Verdict verdict(int16_t error, int32_t epoch, int32_t leader) {
  return {static_cast<ErrorCode>(error), epoch, NodeId{leader < 0 ? -1 : leader}};
}
template<class Partition>
void put_verdict(Partition& to, const raft::Verdict& v) {
  to.error_code = static_cast<int16_t>(v.error);
  to.leader_epoch = v.epoch;
  to.leader_id = v.leader.value;
}
template<class Endpoints>
void put_endpoint(Arena& a, Endpoints& to, const Endpoint* leader) {
  if (!leader) return;
  auto& e = to.add(a);
  e.node_id = leader->id.value;
  e.host = leader->host;
  e.port = leader->port;
}
template<class Endpoints>
void put_ourselves(Arena& a, Endpoints& to, const Identity& us) {
  auto& e = to.add(a);
  e.name = us.listener;
  e.host = us.host;
  e.port = us.port;
}

// ---- requests out

std::vector<Slice> encode(Arena& a, const Identity& us, const raft::VoteRequest& r, uint32_t) {
  p::VoteRequest m;
  m.cluster_id = us.cluster_id;
  m.voter_id = r.voter.id.value;
  auto& t = add_partition(a, m.topics);
  t.replica_epoch = r.epoch;
  t.replica_id = r.candidate.id.value;
  t.replica_directory_id = r.candidate.directory;
  t.voter_directory_id = r.voter.directory;
  t.last_offset_epoch = r.last.epoch;
  t.last_offset = r.last.offset;
  t.pre_vote = r.pre_vote;
  return encoded(asked_as(r).version, m);
}

std::vector<Slice> encode(Arena& a, const Identity& us, const raft::BeginRequest& r, uint32_t) {
  p::BeginQuorumEpochRequest m;
  m.cluster_id = us.cluster_id;
  m.voter_id = r.voter.id.value;
  auto& t = add_partition(a, m.topics);
  t.voter_directory_id = r.voter.directory;
  t.leader_id = r.leader.value;
  t.leader_epoch = r.epoch;
  put_ourselves(a, m.leader_endpoints, us);
  return encoded(asked_as(r).version, m);
}

std::vector<Slice> encode(Arena& a, const Identity& us, const raft::EndRequest& r, uint32_t) {
  p::EndQuorumEpochRequest m;
  m.cluster_id = us.cluster_id;
  auto& t = add_partition(a, m.topics);
  t.leader_id = r.leader.value;
  t.leader_epoch = r.epoch;
  for (const raft::ReplicaKey& key : r.successors) {
    auto& c = t.preferred_candidates.add(a);
    c.candidate_id = key.id.value;
    c.candidate_directory_id = key.directory;
  }
  put_ourselves(a, m.leader_endpoints, us);
  return encoded(asked_as(r).version, m);
}

std::vector<Slice> encode(Arena& a, const Identity& us, const raft::FetchRequest& r, uint32_t fetch_bytes) {
  p::FetchRequest m;
  m.cluster_id = us.cluster_id;
  m.replica_state.replica_id = r.replica.id.value;
  m.max_wait_ms = static_cast<int32_t>(r.max_wait.ms());
  m.max_bytes = static_cast<int32_t>(fetch_bytes);
  auto& topic = m.topics.add(a);
  topic.topic = kMetadataTopic;
  topic.topic_id = kMetadataTopicId;
  auto& t = topic.partitions.add(a);
  t.current_leader_epoch = r.epoch;
  t.fetch_offset = r.from.offset;
  t.last_fetched_epoch = r.from.epoch;
  t.replica_directory_id = r.replica.directory;
  t.high_watermark = r.high_watermark;
  return encoded(asked_as(r).version, m);
}

std::vector<Slice> encode(Arena& a, const Identity& us, const raft::SnapshotRequest& r, uint32_t fetch_bytes) {
  p::FetchSnapshotRequest m;
  m.cluster_id = us.cluster_id;
  m.replica_id = r.replica.id.value;
  m.max_bytes = static_cast<int32_t>(fetch_bytes);
  auto& topic = m.topics.add(a);
  topic.name = kMetadataTopic;
  auto& t = topic.partitions.add(a);
  t.current_leader_epoch = r.epoch;
  t.snapshot_id.end_offset = r.id.offset;
  t.snapshot_id.epoch = r.id.epoch;
  t.position = r.position;
  t.replica_directory_id = r.replica.directory;
  return encoded(asked_as(r).version, m);
}

// ---- requests in. Each takes the message apart; an error says what is wrong with it.

template<class M, class Take>
Asked take_request(Arena& a, ApiVersion as, ByteSpan bytes, std::string_view cluster_id, Take take) {
  M m;
  Reader reader(bytes);
  if (!p::decode(reader, a, as.version, m) || !reader.ok()) return {.malformed = true};
  if (!is_null(m.cluster_id) && m.cluster_id != cluster_id) return {.error = ErrorCode::inconsistent_cluster_id};
  Asked asked;
  asked.body = take(m);
  if (!asked.body) asked.error = ErrorCode::invalid_request;
  return asked;
}

std::optional<raft::RequestBody> take(p::VoteRequest& m) {
  const auto* t = only_partition(m.topics);
  if (!t) return std::nullopt;
  raft::VoteRequest r;
  r.epoch = t->replica_epoch;
  r.candidate = {NodeId{t->replica_id}, t->replica_directory_id};
  r.voter = {NodeId{m.voter_id}, t->voter_directory_id};
  r.last = {t->last_offset, t->last_offset_epoch};
  r.pre_vote = t->pre_vote;
  return r;
}

std::optional<raft::RequestBody> take(p::BeginQuorumEpochRequest& m) {
  const auto* t = only_partition(m.topics);
  if (!t) return std::nullopt;
  return raft::BeginRequest{t->leader_epoch, NodeId{t->leader_id}, {NodeId{m.voter_id}, t->voter_directory_id}};
}

std::optional<raft::RequestBody> take(p::EndQuorumEpochRequest& m) {
  const auto* t = only_partition(m.topics);
  if (!t || t->preferred_successors.size() > raft::kMaxSuccessors ||
      t->preferred_candidates.size() > raft::kMaxSuccessors)
    return std::nullopt;
  raft::EndRequest r{t->leader_epoch, NodeId{t->leader_id}, {}};
  for (int32_t id : t->preferred_successors) r.successors.push_back({NodeId{id}, {}});
  for (const auto& c : t->preferred_candidates)
    r.successors.push_back({NodeId{c.candidate_id}, c.candidate_directory_id});
  return r;
}

std::optional<raft::RequestBody> take(p::FetchRequest& m, int16_t version) {
  if (m.topics.size() != 1 || m.topics[0].partitions.size() != 1) return std::nullopt;
  const auto& topic = m.topics[0];
  const auto& t = topic.partitions[0];
  // The metadata log is known by its id alone: a fetch by name, version 12, is refused (as by Kafka's quorum).
  if (topic.topic_id != kMetadataTopicId || t.partition != 0) return std::nullopt;
  raft::FetchRequest r;
  r.epoch = t.current_leader_epoch;
  r.replica.id = NodeId{version >= kFetchReplicaState ? m.replica_state.replica_id : m.replica_id};
  r.replica.directory = t.replica_directory_id;
  r.from = {t.fetch_offset, t.last_fetched_epoch};
  r.high_watermark = t.high_watermark;
  r.max_wait = milliseconds(m.max_wait_ms);
  return r;
}

std::optional<raft::RequestBody> take(p::FetchSnapshotRequest& m) {
  if (m.topics.size() != 1 || m.topics[0].partitions.size() != 1) return std::nullopt;
  const auto& t = m.topics[0].partitions[0];
  raft::SnapshotRequest r;
  r.epoch = t.current_leader_epoch;
  r.replica = {NodeId{m.replica_id}, t.replica_directory_id};
  r.id = {t.snapshot_id.end_offset, t.snapshot_id.epoch};
  r.position = t.position;
  r.max_bytes = m.max_bytes;
  return r;
}

// ---- replies

template<class Response, class Answer>
Response response_to(Arena& a, int16_t version, const Answer& answer, const Endpoint* leader) {
  Response m;
  put_verdict(add_partition(a, m.topics), answer.verdict);
  if (version >= 1) put_endpoint(a, m.node_endpoints, leader);
  return m;
}

p::FetchResponse response_to(Arena& a, ApiVersion as, const raft::FetchReply& f, const Endpoint* leader,
                             std::span<const Slice> records) {
  p::FetchResponse m;
  auto& topic = m.responses.add(a);
  topic.topic_id = kMetadataTopicId;
  auto& t = topic.partitions.add(a);
  t.error_code = static_cast<int16_t>(f.verdict.error);
  t.high_watermark = f.high_watermark;
  t.log_start_offset = f.log_start;
  t.records = p::Records::of(records);
  if (as.version >= p::FetchRequest::kFirstFlexible) {
    t.current_leader.leader_id = f.verdict.leader.value;
    t.current_leader.leader_epoch = f.verdict.epoch;
    if (f.diverging) {
      t.diverging_epoch.epoch = f.diverging->epoch;
      t.diverging_epoch.end_offset = f.diverging->offset;
    }
    if (f.snapshot) {
      t.snapshot_id.epoch = f.snapshot->epoch;
      t.snapshot_id.end_offset = f.snapshot->offset;
    }
  }
  if (as.version >= kFetchNamesLeaders) put_endpoint(a, m.node_endpoints, leader);
  return m;
}

template<class Response>
std::vector<Slice> top_error(int16_t version, ErrorCode error) {
  Response m;
  m.error_code = static_cast<int16_t>(error);
  return encoded(version, m);
}

// ---- answers in

Answered refused(int16_t error) {
  Answered a;
  a.foreign = static_cast<ErrorCode>(error) == ErrorCode::inconsistent_cluster_id;
  return a;
}

template<class M>
const auto* take_answer(Arena& a, ApiVersion as, ByteSpan bytes, M& m) {
  Reader reader(bytes);
  const bool good = p::decode(reader, a, as.version, m) && reader.ok() && m.error_code == 0;
  auto* partition = only_partition(m.topics);
  return good ? partition : nullptr;
}

Answered take_fetch_answer(Arena& a, ApiVersion as, ByteSpan bytes) {
  p::FetchResponse m;
  Reader reader(bytes);
  if (!p::decode(reader, a, as.version, m) || !reader.ok() || m.error_code != 0) return refused(m.error_code);
  if (m.responses.size() != 1 || m.responses[0].partitions.size() != 1) return {};
  const auto& t = m.responses[0].partitions[0];
  if (m.responses[0].topic_id != kMetadataTopicId || t.partition_index != 0) return {};
  raft::FetchAnswer f;
  f.verdict = verdict(t.error_code, t.current_leader.leader_epoch, t.current_leader.leader_id);
  f.high_watermark = t.high_watermark;
  f.log_start = t.log_start_offset;
  if (t.diverging_epoch.epoch >= 0 && t.diverging_epoch.end_offset >= 0)
    f.diverging = OffsetAndEpoch{t.diverging_epoch.end_offset, t.diverging_epoch.epoch};
  if (t.snapshot_id.epoch >= 0 && t.snapshot_id.end_offset >= 0)
    f.snapshot = OffsetAndEpoch{t.snapshot_id.end_offset, t.snapshot_id.epoch};
  return {f, t.records.span(), false};
}

Answered take_snapshot_answer(Arena& a, ApiVersion as, ByteSpan bytes) {
  p::FetchSnapshotResponse m;
  Reader reader(bytes);
  if (!p::decode(reader, a, as.version, m) || !reader.ok() || m.error_code != 0) return refused(m.error_code);
  if (m.topics.size() != 1 || m.topics[0].name != kMetadataTopic || m.topics[0].partitions.size() != 1) return {};
  const auto& t = m.topics[0].partitions[0];
  if (t.index != 0 || t.size < 0 || t.position < 0) return {};
  raft::SnapshotAnswer s;
  s.verdict = verdict(t.error_code, t.current_leader.leader_epoch, t.current_leader.leader_id);
  s.id = {t.snapshot_id.end_offset, t.snapshot_id.epoch};
  s.size = t.size;
  s.position = t.position;
  s.bytes = static_cast<int64_t>(t.unaligned_records.span().size());
  return {s, t.unaligned_records.span(), false};
}

}  // namespace

ApiVersion asked_as(const raft::RequestBody& body) {
  constexpr ApiVersion kAsked[] = {
      {kVote, 2}, {kBeginQuorumEpoch, 1}, {kEndQuorumEpoch, 1}, {kFetch, 18}, {kFetchSnapshot, 1}};
  return kAsked[body.index()];
}

std::vector<Slice> encode_request(Arena& arena, const Identity& us, const raft::RequestBody& body,
                                  uint32_t fetch_bytes) {
  return std::visit([&](const auto& r) { return encode(arena, us, r, fetch_bytes); }, body);
}

Asked decode_request(Arena& arena, ApiVersion as, ByteSpan bytes, std::string_view cluster_id) {
  const auto plain = [](auto& m) { return take(m); };
  switch (as.api) {
    case kVote: return take_request<p::VoteRequest>(arena, as, bytes, cluster_id, plain);
    case kBeginQuorumEpoch: return take_request<p::BeginQuorumEpochRequest>(arena, as, bytes, cluster_id, plain);
    case kEndQuorumEpoch: return take_request<p::EndQuorumEpochRequest>(arena, as, bytes, cluster_id, plain);
    case kFetch:
      return take_request<p::FetchRequest>(arena, as, bytes, cluster_id,
                                           [&](p::FetchRequest& m) { return take(m, as.version); });
    case kFetchSnapshot: {
      bool elsewhere = false;
      Asked asked = take_request<p::FetchSnapshotRequest>(
          arena, as, bytes, cluster_id, [&](p::FetchSnapshotRequest& m) -> std::optional<raft::RequestBody> {
            auto body = take(m);
            elsewhere = body && (m.topics[0].name != kMetadataTopic || m.topics[0].partitions[0].partition != 0);
            return body;
          });
      asked.elsewhere = elsewhere;
      return asked;
    }
    default: return {.malformed = true};
  }
}

std::vector<Slice> encode_reply(Arena& arena, ApiVersion as, const raft::ReplyBody& body, const Endpoint* leader,
                                std::span<const Slice> records) {
  if (const auto* f = std::get_if<raft::FetchReply>(&body))
    return encoded(as.version, response_to(arena, as, *f, leader, records));
  if (const auto* b = std::get_if<raft::BeginAnswer>(&body))
    return encoded(as.version, response_to<p::BeginQuorumEpochResponse>(arena, as.version, *b, leader));
  if (const auto* e = std::get_if<raft::EndAnswer>(&body))
    return encoded(as.version, response_to<p::EndQuorumEpochResponse>(arena, as.version, *e, leader));
  const auto& v = std::get<raft::VoteAnswer>(body);
  auto m = response_to<p::VoteResponse>(arena, as.version, v, leader);
  m.topics[0].partitions[0].vote_granted = v.granted;
  return encoded(as.version, m);
}

std::vector<Slice> encode_error(ApiVersion as, ErrorCode error) {
  switch (as.api) {
    case kVote: return top_error<p::VoteResponse>(as.version, error);
    case kBeginQuorumEpoch: return top_error<p::BeginQuorumEpochResponse>(as.version, error);
    case kEndQuorumEpoch: return top_error<p::EndQuorumEpochResponse>(as.version, error);
    case kFetch: return top_error<p::FetchResponse>(as.version, error);
    case kFetchSnapshot: return top_error<p::FetchSnapshotResponse>(as.version, error);
    default:
      KLAMM_ASSERT_REL(as.api, ==, kDescribeQuorum);
      return top_error<p::DescribeQuorumResponse>(as.version, error);
  }
}

std::vector<Slice> encode_snapshot_part(Arena& arena, ApiVersion as, const SnapshotPartReply& part,
                                        const Endpoint* leader, const Slice& bytes) {
  p::FetchSnapshotResponse m;
  auto& topic = m.topics.add(arena);
  topic.name = kMetadataTopic;
  auto& t = topic.partitions.add(arena);
  t.error_code = static_cast<int16_t>(part.verdict.error);
  t.snapshot_id.end_offset = part.id.offset;
  t.snapshot_id.epoch = part.id.epoch;
  t.current_leader.leader_id = part.verdict.leader.value;
  t.current_leader.leader_epoch = part.verdict.epoch;
  t.size = part.size;
  t.position = part.position;
  t.unaligned_records = p::Records::of(std::span(&bytes, bytes.empty() ? 0 : 1));
  if (as.version >= 1) put_endpoint(arena, m.node_endpoints, leader);
  return encoded(as.version, m);
}

std::vector<Slice> encode_unknown_snapshot(Arena& arena, ApiVersion as, ByteSpan request, const Endpoint* leader) {
  p::FetchSnapshotRequest asked;
  Reader reader(request);
  KLAMM_ASSERT(p::decode(reader, arena, as.version, asked));
  p::FetchSnapshotResponse m;
  auto& topic = m.topics.add(arena);
  topic.name = asked.topics[0].name;
  auto& t = topic.partitions.add(arena);
  t.index = asked.topics[0].partitions[0].partition;
  t.error_code = static_cast<int16_t>(ErrorCode::unknown_topic_or_partition);
  t.unaligned_records = p::Records::empty();
  if (as.version >= 1) put_endpoint(arena, m.node_endpoints, leader);
  return encoded(as.version, m);
}

Answered decode_answer(Arena& arena, ApiVersion as, ByteSpan bytes) {
  if (as.api == kFetch) return take_fetch_answer(arena, as, bytes);
  if (as.api == kFetchSnapshot) return take_snapshot_answer(arena, as, bytes);
  if (as.api == kVote) {
    p::VoteResponse m;
    const auto* t = take_answer(arena, as, bytes, m);
    if (!t) return refused(m.error_code);
    return {raft::VoteAnswer{verdict(t->error_code, t->leader_epoch, t->leader_id), t->vote_granted}, {}, false};
  }
  if (as.api == kBeginQuorumEpoch) {
    p::BeginQuorumEpochResponse m;
    const auto* t = take_answer(arena, as, bytes, m);
    if (!t) return refused(m.error_code);
    return {raft::BeginAnswer{verdict(t->error_code, t->leader_epoch, t->leader_id)}, {}, false};
  }
  KLAMM_ASSERT_REL(as.api, ==, kEndQuorumEpoch);
  p::EndQuorumEpochResponse m;
  const auto* t = take_answer(arena, as, bytes, m);
  if (!t) return refused(m.error_code);
  return {raft::EndAnswer{verdict(t->error_code, t->leader_epoch, t->leader_id)}, {}, false};
}

Slice encode_leader_change(Arena& arena, const LeaderChange& change) {
  p::LeaderChangeMessage m;
  m.leader_id = change.leader.value;
  for (NodeId id : change.voters) m.voters.add(arena).voter_id = id.value;
  for (NodeId id : change.append.granting) m.granting_voters.add(arena).voter_id = id.value;
  Writer w;
  p::encode(w, 0, m);
  KLAMM_ASSERT(w.ok());
  const Slice value = w.finish_contiguous();
  p::BatchBuilder batch({.base_offset = change.append.base, .leader_epoch = change.append.epoch, .control = true});
  batch.add_control(p::ControlType::leader_change, change.timestamp_ms, value.span());
  return batch.finish();
}

}  // namespace klamm::quorum
