#include "engine/base/trace.h"
#include "engine/client/consumer.h"
#include "engine/protocol/batch_builder.h"

namespace klamm::client {

namespace {
constexpr protocol::Versions kFetchVersions{4, 17};
constexpr protocol::Versions kFetchByName{4, 12};

std::optional<Slice> take(const protocol::Bytes& bytes, const Slice& body, bool unpacked) {
  if (bytes.is_null()) return std::nullopt;
  if (unpacked) return Slice::copy(bytes.span());
  return bytes.size == 0 ? Slice() : body.of(bytes.span());
}

}  // namespace

// Every node that leads something to fetch, and has no fetch under way, is asked for all of it.
void Consumer::fetch(Turn& turn) {
  std::map<NodeId, std::vector<Asked>> wanted;
  for (auto& [tp, p] : positions_) {
    if (p.state != Position::State::ready || !due(turn, p.backoff)) continue;
    const NodeId leader = turn.cluster.leader(tp.topic, tp.partition).leader;
    if (leader == kNoNode) {
      turn.cluster.stale();
      continue;
    }
    if (!fetches_.count(leader)) wanted[leader].push_back({tp, p.offset});
  }
  for (const auto& [node, asked] : wanted) fetch_from(turn, node, asked);
}

void Consumer::fetch_from(Turn& turn, NodeId node, const std::vector<Asked>& wanted) {
  bool ids = true;
  for (const Asked& a : wanted) ids = ids && !turn.cluster.topic(a.partition.topic)->id.zero();
  const auto peer = static_cast<uint64_t>(node.value);
  const int16_t v =
      turn.cluster.version(turn, peer, protocol::FetchRequest::kApiKey, ids ? kFetchVersions : kFetchByName);
  if (v < 0) return;
  Arena& arena = turn.ctx().arena();
  protocol::FetchRequest request;
  request.max_wait_ms = options_.fetch_wait_ms;
  request.min_bytes = options_.fetch_min_bytes;
  request.max_bytes = options_.fetch_max_bytes;
  const std::string* topic = nullptr;
  for (const Asked& a : wanted) {
    if (!topic || *topic != a.partition.topic) {
      topic = &a.partition.topic;
      auto& t = request.topics.add(arena);
      if (v >= 13) {
        t.topic_id = turn.cluster.topic(*topic)->id;
      } else {
        t.topic = *topic;
      }
    }
    auto& p = request.topics.back().partitions.add(arena);
    p.partition = a.partition.partition;
    p.fetch_offset = a.offset;
    p.partition_max_bytes = options_.partition_max_bytes;
    if (v >= 9) p.current_leader_epoch = turn.cluster.leader(*topic, a.partition.partition).epoch;
  }
  CallTo call = to(peer, data_channel(options_.client), v, kFetch);
  call.timeout = call.timeout + milliseconds(options_.fetch_wait_ms);
  fetches_[node] = {own_of(call.owner.key), wanted};
  turn.call(call, request);
}

void Consumer::fetched(Turn& turn, const net::Answer& answer) {
  const auto found = fetches_.find(NodeId{static_cast<int32_t>(answer.peer)});
  if (found == fetches_.end() || found->second.call != own_of(answer.owner.key)) return;
  const Query query = std::move(found->second);
  fetches_.erase(found);
  if (revoking_ || closing_) return;
  const auto* response = response_of<protocol::FetchResponse>(turn, answer);
  if (!response || response->error_code != 0) {
    const auto error = response ? static_cast<ErrorCode>(response->error_code) : ErrorCode::network_exception;
    for (const Asked& a : query.asked) fetch_failed(turn, a, error);
    return;
  }
  for (const auto& t : response->responses) {
    const std::string* name = answer.version >= 13 ? turn.cluster.topic_name(t.topic_id) : nullptr;
    for (const auto& p : t.partitions)
      for (const Asked& a : query.asked) {
        const bool same = answer.version >= 13 ? name && a.partition.topic == *name : a.partition.topic == t.topic;
        if (same && a.partition.partition == p.partition_index) fetched_partition(turn, a, answer.body, p);
      }
  }
}

void Consumer::fetched_partition(Turn& turn, const Asked& asked, const Slice& body,
                                 const protocol::FetchResponse::PartitionData& data) {
  auto error = static_cast<ErrorCode>(data.error_code);
  Position* p = waiting_position(asked, Position::State::ready);
  if (!p) return;
  if (error == ErrorCode::none) {
    p->backoff.succeeded();
    const ByteSpan records = data.records.is_null() ? ByteSpan{} : data.records.span();
    if (!records.empty()) error = hand_over(turn, asked.partition, *p, body.of(records), data.high_watermark);
  }
  if (error != ErrorCode::none) fetch_failed(turn, {asked.partition, p->offset}, error);
}

void Consumer::fetch_failed(Turn& turn, const Asked& asked, ErrorCode error) {
  Position* p = waiting_position(asked, Position::State::ready);
  if (!p) return;
  if (error == ErrorCode::offset_out_of_range) {
    reset(*p);
    if (p->state == Position::State::stuck)
      emit(turn, {.kind = ConsumerEvent::Kind::error, .error = error, .partition = asked.partition});
    return;
  }
  p->backoff.failed(turn.now());
  if (refreshes_metadata(error)) turn.cluster.stale();
  if (!retriable(error) || error == ErrorCode::corrupt_message)
    emit(turn, {.kind = ConsumerEvent::Kind::error, .error = error, .partition = asked.partition});
}

// Emits the records from the position on, and moves it. An unfinished batch at the end is for the next fetch.
ErrorCode Consumer::hand_over(Turn& turn, const TopicPartition& tp, Position& position, const Slice& records,
                              int64_t high_watermark) {
  ConsumerEvent event{.kind = ConsumerEvent::Kind::records, .partition = tp, .high_watermark = high_watermark};
  int64_t next = position.offset;
  ErrorCode error = ErrorCode::none;
  protocol::BatchCursor batches(records.span());
  while (error == ErrorCode::none && batches.next()) {
    const auto header = protocol::check_batch(batches.batch());
    if (!header) {
      error = header.error().code;
      break;
    }
    if (header->last_offset() < next) continue;
    if (!header->control()) {
      const auto open = protocol::OpenBatch::open(*header, batches.batch(), protocol::kPlainMost);
      if (!open) {
        error = open.error().code;
        break;
      }
      const bool unpacked = header->compression() != protocol::Compression::none;
      protocol::RecordCursor cursor = open->records();
      for (protocol::Record r; cursor.next(r);) {
        if (r.offset < next) continue;
        ConsumedRecord out{r.offset, r.timestamp, take(r.key, records, unpacked), take(r.value, records, unpacked), {}};
        protocol::HeaderCursor headers(r);
        for (protocol::RecordHeader h; headers.next(h);)
          out.headers.push_back({std::string(h.key), take(h.value, records, unpacked)});
        event.records.push_back(std::move(out));
      }
      if (cursor.error()) {
        error = ErrorCode::corrupt_message;
        break;
      }
    }
    next = header->last_offset() + 1;
  }
  if (batches.error()) error = ErrorCode::corrupt_message;
  position.offset = next;
  if (event.records.empty()) return error;
  const TopicView* view = turn.cluster.topic(tp.topic);
  if (view) event.topic_id = view->id;
  event.next = next;
  turn.ctx().trace.event({TraceKind::client_consumed, 0, tp.partition, topic_key(event.topic_id),
                          event.records.front().offset, static_cast<int64_t>(event.records.size())});
  emit(turn, std::move(event));
  return error;
}

}  // namespace klamm::client
