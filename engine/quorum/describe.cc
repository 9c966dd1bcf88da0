// DescribeQuorum (KIP-595, KIP-836, KIP-853): what the leader knows of its voters and observers.
#include "engine/base/reader.h"
#include "engine/base/writer.h"
#include "engine/protocol/messages/describe_quorum.h"
#include "engine/quorum/quorum.h"

namespace klamm::quorum {
namespace {

using Response = protocol::DescribeQuorumResponse;

constexpr Duration kObserverSession = seconds(300);  // an observer that has not fetched for so long is not listed
constexpr const char* kNotLeader =
    "For requests intended only for the leader, this error indicates that the broker is not the current leader. For "
    "requests intended for any replica, this error indicates that the broker is not a replica of the topic partition.";
constexpr const char* kUnknownPartition = "This server does not host this topic-partition.";

// Fetches are remembered on the monotonic clock, and told on the wall's.
int64_t wall_ms(const Ctx& ctx, Instant at) { return at.ns < 0 ? -1 : ctx.wall.ms - (ctx.now - at).ms(); }

void list(Ctx& ctx, int16_t version, List<Response::ReplicaState>& to, const raft::Progress& p) {
  auto& r = to.add(ctx.arena());
  r.replica_id = p.key.id.value;
  if (version >= 2) r.replica_directory_id = p.key.directory;
  r.log_end_offset = p.end;
  r.last_fetch_timestamp = wall_ms(ctx, p.fetched_at);
  r.last_caught_up_timestamp = wall_ms(ctx, p.caught_up_at);
}

void list_nodes(Arena& arena, List<Response::Node>& to, const Options& options) {
  for (const VoterAddress& v : options.voters) {
    auto& node = to.add(arena);
    node.node_id = v.id.value;
    auto& listener = node.listeners.add(arena);
    listener.name = options.listener;
    listener.host = v.host;
    listener.port = v.port;
  }
}

bool asks_for_ours(const protocol::DescribeQuorumRequest& m) {
  return m.topics.size() == 1 && m.topics[0].topic_name == kMetadataTopic && m.topics[0].partitions.size() == 1 &&
         m.topics[0].partitions[0].partition_index == 0;
}

// All that was asked for, with one error.
Response refusal(Arena& arena, const protocol::DescribeQuorumRequest& m, int16_t version, ErrorCode error) {
  Response response;
  for (const auto& asked : m.topics) {
    auto& topic = response.topics.add(arena);
    topic.topic_name = asked.topic_name;
    for (const auto& p : asked.partitions) {
      auto& partition = topic.partitions.add(arena);
      partition.partition_index = p.partition_index;
      partition.error_code = static_cast<int16_t>(error);
      if (version >= 2)
        partition.error_message = error == ErrorCode::not_leader_or_follower ? kNotLeader : kUnknownPartition;
    }
  }
  return response;
}

}  // namespace

void Quorum::describe(Io& io, const Ticket& ticket, ByteSpan body, Out& out) const {
  Arena& arena = io.ctx.arena();
  protocol::DescribeQuorumRequest m;
  Reader reader(body);
  if (!protocol::decode(reader, arena, ticket.version, m) || !reader.ok())
    return out.replies.push_back(Reply{ticket, {}, true});
  Response response;
  if (!asks_for_ours(m)) {
    response = refusal(arena, m, ticket.version, ErrorCode::unknown_topic_or_partition);
  } else if (const raft::Leader* leader = raft_->leading(); !leader) {
    response = refusal(arena, m, ticket.version, ErrorCode::not_leader_or_follower);
  } else {
    auto& topic = response.topics.add(arena);
    topic.topic_name = kMetadataTopic;
    auto& partition = topic.partitions.add(arena);
    partition.leader_id = options_.self.value;
    partition.leader_epoch = raft_->epoch();
    partition.high_watermark = leader->high_watermark;
    for (raft::Progress p : leader->voters) {
      if (p.key.id == options_.self) p.end = raft_->log().end, p.fetched_at = p.caught_up_at = io.ctx.now;
      list(io.ctx, ticket.version, partition.current_voters, p);
    }
    for (const raft::Progress& p : leader->observers)
      if (io.ctx.now - p.fetched_at < kObserverSession) list(io.ctx, ticket.version, partition.observers, p);
    if (ticket.version >= 2) list_nodes(arena, response.nodes, options_);
  }
  Writer w;
  protocol::encode(w, ticket.version, response);
  KLAMM_ASSERT(w.ok());
  out.replies.push_back(Reply{ticket, w.finish(), false});
}

}  // namespace klamm::quorum
