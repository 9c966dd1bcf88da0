#include "engine/base/trace.h"
#include "engine/client/consumer.h"
#include "engine/protocol/messages/list_offsets.h"
#include "engine/protocol/messages/offset_commit.h"
#include "engine/protocol/messages/offset_fetch.h"

namespace klamm::client {

namespace {
constexpr protocol::Versions kListVersions{1, 10};
constexpr protocol::Versions kCommitVersions{2, 9};  // by name
constexpr protocol::Versions kOffsetVersions{1, 9};  // likewise
}  // namespace

CallTo Consumer::to(uint64_t peer, uint16_t channel, int16_t version, Step step) {
  const Owner owner{static_cast<uint16_t>(Part::consumer), step, owner_key(options_.client, ++last_call_)};
  return {peer, channel, version, milliseconds(options_.request_timeout_ms), owner};
}

// ---- where a log begins or ends

void Consumer::list_offsets(Turn& turn) {
  std::map<NodeId, std::vector<Asked>> wanted;
  for (auto& [tp, p] : positions_) {
    if (p.state != Position::State::listed || !due(turn, p.backoff)) continue;
    const NodeId leader = turn.cluster.leader(tp.topic, tp.partition).leader;
    if (leader == kNoNode)
      turn.cluster.stale();
    else if (!listing_.count(leader))
      wanted[leader].push_back({tp, p.offset});
  }
  Arena& arena = turn.ctx().arena();
  for (const auto& [node, asked] : wanted) {
    const auto peer = static_cast<uint64_t>(node.value);
    const int16_t v = turn.cluster.version(turn, peer, protocol::ListOffsetsRequest::kApiKey, kListVersions);
    if (v < 0) continue;
    protocol::ListOffsetsRequest request;
    request.replica_id = -1;
    if (v >= 10) request.timeout_ms = options_.request_timeout_ms;
    for (const Asked& a : asked) {
      if (request.topics.empty() || request.topics.back().name != a.partition.topic)
        request.topics.add(arena).name = a.partition.topic;
      auto& p = request.topics.back().partitions.add(arena);
      p.partition_index = a.partition.partition;
      p.timestamp = positions_.at(a.partition).list_at;
      if (v >= 4) p.current_leader_epoch = turn.cluster.leader(a.partition.topic, a.partition.partition).epoch;
    }
    const CallTo call = to(peer, group_channel(options_.client), v, kListOffsets);
    listing_[node] = {own_of(call.owner.key), asked};
    turn.call(call, request);
  }
}

void Consumer::offsets_listed(Turn& turn, const net::Answer& answer) {
  const auto found = listing_.find(NodeId{static_cast<int32_t>(answer.peer)});
  if (found == listing_.end() || found->second.call != own_of(answer.owner.key)) return;
  const Query query = std::move(found->second);
  listing_.erase(found);
  const auto* response = response_of<protocol::ListOffsetsResponse>(turn, answer);
  for (const Asked& a : query.asked) {
    Position* position = waiting_position(a, Position::State::listed);
    if (!position) continue;
    auto error = response ? ErrorCode::unknown_topic_or_partition : ErrorCode::network_exception;
    int64_t offset = -1;
    if (response)
      for (const auto& t : response->topics)
        for (const auto& p : t.partitions)
          if (t.name == a.partition.topic && p.partition_index == a.partition.partition)
            error = static_cast<ErrorCode>(p.error_code), offset = p.offset;
    if (error == ErrorCode::none && offset >= 0) {
      position->state = Position::State::ready;
      position->offset = offset;
      position->backoff.succeeded();
      continue;
    }
    position->backoff.failed(turn.now());
    if (refreshes_metadata(error)) turn.cluster.stale();
    if (!retriable(error) && error != ErrorCode::none)
      emit(turn, {.kind = ConsumerEvent::Kind::error, .error = error, .partition = a.partition});
  }
}

// ---- what the group has committed

bool Consumer::may_ask_group() const {
  return membership_->has_coordinator() && !failed_ && (membership_->generation() < 0 || membership_->assigned());
}

void Consumer::fetch_offsets(Turn& turn) {
  if (offset_fetch_ || !may_ask_group() || revoking_) return;
  std::vector<Asked> asked;
  for (auto& [tp, p] : positions_)
    if (p.state == Position::State::committed && due(turn, p.backoff)) asked.push_back({tp, p.offset});
  if (asked.empty()) return;
  const int16_t v = turn.cluster.version(turn, coordinator(), protocol::OffsetFetchRequest::kApiKey, kOffsetVersions);
  if (v < 0) return;
  Arena& arena = turn.ctx().arena();
  protocol::OffsetFetchRequest request;
  const auto fill = [&](auto& topics) {
    for (const Asked& a : asked) {
      if (topics.empty() || topics.back().name != a.partition.topic) topics.add(arena).name = a.partition.topic;
      topics.back().partition_indexes.add(arena) = a.partition.partition;
    }
  };
  if (v >= 8) {
    auto& group = request.groups.add(arena);
    group.group_id = options_.group;
    if (v >= 9 && membership_->assigned()) group.member_id = kNullStr;
    fill(group.topics);
  } else {
    request.group_id = options_.group;
    fill(request.topics);
  }
  if (v >= 7) request.require_stable = true;
  const CallTo call = to(coordinator(), group_channel(options_.client), v, kOffsetFetch);
  offset_fetch_ = Query{own_of(call.owner.key), std::move(asked)};
  turn.call(call, request);
}

void Consumer::offsets_fetched(Turn& turn, const net::Answer& answer) {
  if (!offset_fetch_ || offset_fetch_->call != own_of(answer.owner.key)) return;
  const Query query = std::move(*offset_fetch_);
  offset_fetch_.reset();
  const auto* response = response_of<protocol::OffsetFetchResponse>(turn, answer);
  auto group_error = response ? static_cast<ErrorCode>(response->error_code) : ErrorCode::network_exception;
  const bool grouped = answer.version >= 8;
  if (response && grouped)
    group_error = response->groups.empty() ? ErrorCode::unknown_server_error
                                           : static_cast<ErrorCode>(response->groups[0].error_code);
  if (group_error != ErrorCode::none) membership_->failed(turn, group_error);
  for (const Asked& a : query.asked) {
    Position* position = waiting_position(a, Position::State::committed);
    if (!position) continue;
    ErrorCode error = group_error;
    int64_t offset = -1;
    const auto look = [&](const auto& topics) {
      for (const auto& t : topics)
        for (const auto& p : t.partitions)
          if (t.name == a.partition.topic && p.partition_index == a.partition.partition)
            error = static_cast<ErrorCode>(p.error_code), offset = p.committed_offset;
    };
    if (error == ErrorCode::none && grouped) look(response->groups[0].topics);
    if (error == ErrorCode::none && !grouped) look(response->topics);
    if (error != ErrorCode::none) {
      position->backoff.failed(turn.now());
      continue;
    }
    position->backoff.succeeded();
    position->committed = offset;
    if (offset < 0) {
      reset(*position);
      if (position->state == Position::State::stuck)
        emit(turn,
             {.kind = ConsumerEvent::Kind::error, .error = ErrorCode::offset_out_of_range, .partition = a.partition});
      continue;
    }
    position->state = Position::State::ready;
    position->offset = offset;
  }
}

// ---- committing

bool Consumer::anything_to_commit() const {
  for (const auto& [tp, p] : positions_)
    if (p.state == Position::State::ready && p.offset != p.committed) return true;
  return false;
}

void Consumer::pump_commits(Turn& turn) {
  if (committing_) return;
  const bool timely = turn.now() >= next_commit_;
  if (!timely && (commits_.empty() || revoking_)) return wake_at(next_commit_);  // a revocation waits for one try
  if (timely) next_commit_ = options_.auto_commit_ms > 0 ? turn.now() + milliseconds(options_.auto_commit_ms) : kNever;
  wake_at(next_commit_);
  if (!anything_to_commit()) return answer_commits(turn, ErrorCode::none);
  if (!revoking_ && !closing_ && !due(turn, commit_backoff_)) return;
  if (may_ask_group()) send_commit(turn);
}

bool Consumer::send_commit(Turn& turn) {
  const int16_t v = turn.cluster.version(turn, coordinator(), protocol::OffsetCommitRequest::kApiKey, kCommitVersions);
  if (v < 0) return false;
  Arena& arena = turn.ctx().arena();
  protocol::OffsetCommitRequest request;
  request.group_id = options_.group;
  request.generation_id_or_member_epoch = membership_->generation();
  request.member_id = membership_->member_id();
  if (v >= 7 && !options_.instance.empty() && membership_->generation() >= 0)
    request.group_instance_id = options_.instance;
  Query query;
  for (const auto& [tp, p] : positions_) {
    if (p.state != Position::State::ready || p.offset == p.committed) continue;
    if (request.topics.empty() || request.topics.back().name != tp.topic) request.topics.add(arena).name = tp.topic;
    auto& out = request.topics.back().partitions.add(arena);
    out.partition_index = tp.partition;
    out.committed_offset = p.offset;
    query.asked.push_back({tp, p.offset});
  }
  const CallTo call = to(coordinator(), group_channel(options_.client), v, kOffsetCommit);
  query.call = own_of(call.owner.key);
  committing_ = std::move(query);
  commits_sent_ = std::exchange(commits_, {});
  turn.call(call, request);
  return true;
}

void Consumer::offsets_committed(Turn& turn, const net::Answer& answer) {
  if (!committing_ || committing_->call != own_of(answer.owner.key)) return;
  const Query query = std::move(*committing_);
  committing_.reset();
  const auto* response = response_of<protocol::OffsetCommitResponse>(turn, answer);
  ErrorCode worst = response ? ErrorCode::none : ErrorCode::network_exception;
  for (const Asked& a : query.asked) {
    if (!response) break;
    auto error = ErrorCode::unknown_server_error;
    for (const auto& t : response->topics)
      for (const auto& p : t.partitions)
        if (t.name == a.partition.topic && p.partition_index == a.partition.partition)
          error = static_cast<ErrorCode>(p.error_code);
    if (worst == ErrorCode::none) worst = error;
    if (error != ErrorCode::none) continue;
    const auto it = positions_.find(a.partition);
    if (it != positions_.end()) it->second.committed = a.offset;
    const TopicView* view = turn.cluster.topic(a.partition.topic);
    turn.ctx().trace.event(
        {TraceKind::client_committed, 0, a.partition.partition, view ? topic_key(view->id) : 0, a.offset});
  }
  if (worst == ErrorCode::none) {
    commit_backoff_.succeeded();
    for (const uint64_t token : std::exchange(commits_sent_, {})) turn.answer(token, Done{});
    return;
  }
  commit_backoff_.failed(turn.now());
  commits_.insert(commits_.begin(), commits_sent_.begin(), commits_sent_.end());
  commits_sent_.clear();
  membership_->failed(turn, worst);
  const GroupVerdict verdict = group_verdict(worst);
  if (verdict != GroupVerdict::retry && verdict != GroupVerdict::find_coordinator) answer_commits(turn, worst);
}

void Consumer::answer_commits(Turn& turn, ErrorCode error) {
  std::vector<uint64_t> tokens = std::exchange(commits_sent_, {});
  tokens.insert(tokens.end(), commits_.begin(), commits_.end());
  commits_.clear();
  for (const uint64_t token : tokens) turn.answer(token, Done{error, error == ErrorCode::none ? "" : "not committed"});
}

}  // namespace klamm::client
