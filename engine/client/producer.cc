#include "engine/client/producer.h"

#include "engine/protocol/record_batch.h"

namespace klamm::client {

namespace {
constexpr protocol::Versions kProduceVersions{3, 13};
constexpr protocol::Versions kProduceByName{3, 12};
constexpr protocol::Versions kInitVersions{0, 5};
}  // namespace

Producer::Producer(const ProducerOpen& options, uint64_t token, Duration retry_backoff)
    : options_(options), open_token_(token), retry_backoff_(retry_backoff) {
  id_backoff_.first = retry_backoff;
  dice_ = {Stream::client_partition, options.client, 0};
}

void Producer::produce(Turn& turn, uint64_t token, Produce&& ask) {
  turn.cluster.want(ask.topic);
  Topic& topic = topics_[ask.topic];
  for (NewRecord& r : ask.records) {
    Pending p{token++, kRecordOverhead, ask.partition, turn.now(), std::move(r)};
    if (p.record.key) p.bytes += static_cast<int64_t>(p.record.key->size());
    if (p.record.value) p.bytes += static_cast<int64_t>(p.record.value->size());
    for (const Header& h : p.record.headers)
      p.bytes += static_cast<int64_t>(h.key.size() + (h.value ? h.value->size() : 0));
    if (p.record.timestamp < 0) p.record.timestamp = turn.ctx().wall.ms;
    ++unanswered_;
    buffered_ += p.bytes;
    if (buffered_ > options_.buffer_bytes)
      answer_record(turn, p.token, p.bytes, {.error = ErrorCode::request_timed_out});
    else
      topic.waiting.push_back(std::move(p));
  }
}

void Producer::flush(Turn& turn, uint64_t token) {
  if (flushes_.size() >= kFlushesMax) return turn.answer(token, Done{ErrorCode::policy_violation, "too many flushes"});
  flushes_.push_back(token);
}

void Producer::on_answer(Turn& turn, const net::Answer& answer) {
  if (answer.owner.step == kProduce) return produce_answered(turn, answer);
  if (!asking_id_) return;
  asking_id_ = false;
  const auto* response = response_of<protocol::InitProducerIdResponse>(turn, answer);
  if (!response || response->error_code != 0) {
    id_backoff_.failed(turn.now());
    turn.cluster.failed(turn, answer.peer);
    return;
  }
  id_backoff_.succeeded();
  producer_id_ = response->producer_id;
  producer_epoch_ = response->producer_epoch;
}

void Producer::ask_id(Turn& turn) {
  if (asking_id_) return;
  if (turn.now() < id_backoff_.until) return wake_at(id_backoff_.until);
  const uint64_t peer = turn.cluster.any();
  const int16_t v = turn.cluster.version(turn, peer, protocol::InitProducerIdRequest::kApiKey, kInitVersions);
  if (v == Cluster::kNotYet) return;
  if (v == Cluster::kUnsupported) {
    id_backoff_.failed(turn.now());
    return wake_at(id_backoff_.until);
  }
  const Owner owner{static_cast<uint16_t>(Part::producer), kProducerId, owner_key(options_.client, 0)};
  turn.call({peer, kQuickChannel, v, milliseconds(options_.request_timeout_ms), owner},
            protocol::InitProducerIdRequest{.transactional_id = kNullStr, .transaction_timeout_ms = INT32_MAX});
  asking_id_ = true;
}

void Producer::pump(Turn& turn) {
  deadline_ = kNever;
  if (idempotent() && producer_id_ < 0) ask_id(turn);
  if (open_token_ && (!idempotent() || producer_id_ >= 0)) turn.answer(std::exchange(open_token_, 0), Done{});
  for (auto& [name, topic] : topics_) {
    route(turn, name, topic);
    expire(turn, name, topic);
  }
  bool sent = true;
  while (sent) {  // a pass sends at most one batch of each partition; at most 5 are in flight
    sent = false;
    std::map<NodeId, std::vector<Candidate>> ready;
    collect(turn, ready);
    for (const auto& [node, candidates] : ready) sent = send_to(turn, node, candidates) || sent;
  }
  answer_flushes(turn);
}

void Producer::collect(Turn& turn, std::map<NodeId, std::vector<Candidate>>& out) {
  for (auto& [name, topic] : topics_) {
    const TopicView* view = turn.cluster.topic(name);
    if (!view) continue;
    for (size_t i = 0; i < topic.queues.size(); ++i) {
      Queue& queue = topic.queues[i];
      if (queue.batches.empty()) continue;
      const auto partition = static_cast<int32_t>(i);
      const NodeId leader = turn.cluster.leader(name, partition).leader;
      if (leader == kNoNode) {
        turn.cluster.stale();
        continue;
      }
      if (Batch* b = next_batch(turn, queue, leader)) out[leader].push_back({&name, view, partition, &queue, b});
    }
  }
}

// The first batch that is not in flight, if it may go to `leader` now.
Producer::Batch* Producer::next_batch(Turn& turn, Queue& queue, NodeId leader) {
  size_t i = 0;
  while (i < queue.batches.size() && queue.batches[i].in_flight) ++i;
  if (i == queue.batches.size()) return nullptr;
  Batch& b = queue.batches[i];
  if (queue.in_flight > 0) {
    const bool retrying = b.tried || queue.batches.front().tried;
    if (retrying || queue.at != leader || queue.in_flight >= options_.in_flight) return nullptr;
    if (!may_pipeline(idempotent(), queue.taken)) return nullptr;
  }
  // What failed at one leader has not failed at the next (KAFKA-15415).
  if (turn.now() < queue.backoff.until && queue.at == leader) {
    wake_at(queue.backoff.until);
    return nullptr;
  }
  const Instant lingered = b.created + milliseconds(options_.linger_ms);
  if (!b.closed && flushes_.empty() && turn.now() < lingered) {
    wake_at(lingered);
    return nullptr;
  }
  return has_sequence(queue, b) ? &b : nullptr;
}

// Gives the queue a producer id, or a new epoch after a gap, once none of its batches depends on the former.
bool Producer::has_sequence(Queue& queue, const Batch& batch) {
  if (!idempotent() || batch.sequence >= 0) return true;
  if (queue.producer_id >= 0 && queue.gap == Gap::none) return true;
  for (const Batch& b : queue.batches)
    if (b.sequence >= 0) return false;
  if (queue.producer_id >= 0 && queue.epoch < INT16_MAX) {
    ++queue.epoch;
  } else {
    if (queue.producer_id >= 0 && queue.producer_id == producer_id_) producer_id_ = -1;  // used up: ask for another
    queue.producer_id = producer_id_;
    queue.epoch = producer_epoch_;
    if (producer_id_ < 0) return false;
  }
  queue.next_sequence = 0;
  queue.taken = false;
  queue.gap = Gap::none;
  return true;
}

bool Producer::send_to(Turn& turn, NodeId node, const std::vector<Candidate>& ready) {
  const auto peer = static_cast<uint64_t>(node.value);
  int32_t& in_flight = in_flight_[node];
  if (in_flight >= options_.in_flight) return false;
  if (turn.calls.under_way(peer, data_channel(options_.client)) >= static_cast<size_t>(options_.in_flight))
    return false;
  bool ids = true;
  for (const Candidate& c : ready) ids = ids && !c.view->id.zero();
  const int16_t v =
      turn.cluster.version(turn, peer, protocol::ProduceRequest::kApiKey, ids ? kProduceVersions : kProduceByName);
  if (v < 0) return false;
  Arena& arena = turn.ctx().arena();
  protocol::ProduceRequest request;
  request.acks = options_.acks;
  request.timeout_ms = options_.request_timeout_ms;
  const uint32_t number = ++last_request_;
  Request& record = requests_[number];
  record.node = node;
  size_t bytes = 0;
  const std::string* topic = nullptr;
  for (const Candidate& c : ready) {
    launch(node, c);
    bytes += c.batch->encoded.size();
    if (!record.batches.empty() && bytes > kRequestBytesMax) {
      c.batch->in_flight = false;  // goes with the next pass
      --c.queue->in_flight;
      continue;
    }
    if (topic != c.topic) {
      auto& t = request.topic_data.add(arena);
      if (v >= 13)
        t.topic_id = c.view->id;
      else
        t.name = *c.topic;
      topic = c.topic;
    }
    auto& p = request.topic_data.back().partition_data.add(arena);
    p.index = c.partition;
    p.records = protocol::Records::of(std::span<const Slice>(&c.batch->encoded, 1));
    record.batches.push_back({*c.topic, c.partition, c.batch->number});
  }
  const Owner owner{static_cast<uint16_t>(Part::producer), kProduce, owner_key(options_.client, number)};
  turn.call(
      {peer, data_channel(options_.client), v, milliseconds(options_.request_timeout_ms), owner, options_.acks == 0},
      request);
  ++in_flight;
  if (options_.acks != 0) return true;
  const Request gone = std::move(record);  // nothing will be answered: it counts as done once handed over
  requests_.erase(number);
  --in_flight;
  for (const Sent& s : gone.batches) settle(turn, s, ErrorCode::none, -1);
  return true;
}

void Producer::launch(NodeId node, const Candidate& c) {
  Queue& q = *c.queue;
  Batch& b = *c.batch;
  b.closed = true;
  if (idempotent() && b.sequence < 0) {
    b.sequence = q.next_sequence;
    q.next_sequence = protocol::add_sequence(q.next_sequence, static_cast<int32_t>(b.tokens.size()));
    encode(q, b);
  } else if (b.encoded.empty()) {
    encode(q, b);
  }
  b.in_flight = true;
  q.at = node;
  ++q.in_flight;
  KLAMM_ASSERT_REL(q.in_flight, <=, 5);
}

void Producer::produce_answered(Turn& turn, const net::Answer& answer) {
  const auto found = requests_.find(own_of(answer.owner.key));
  if (found == requests_.end()) return;
  const Request request = std::move(found->second);
  requests_.erase(found);
  --in_flight_[request.node];
  const auto* response = response_of<protocol::ProduceResponse>(turn, answer);
  if (!response) turn.cluster.stale();
  for (const Sent& s : request.batches) {
    ErrorCode error = ErrorCode::network_exception;
    int64_t offset = -1;
    const TopicView* view = turn.cluster.topic(s.topic);
    if (response) error = ErrorCode::unknown_server_error;  // unless it tells of this partition
    if (response)
      for (const auto& t : response->responses) {
        if (answer.version >= 13 ? !view || t.topic_id != view->id : t.name != s.topic) continue;
        for (const auto& p : t.partition_responses)
          if (p.index == s.partition) error = static_cast<ErrorCode>(p.error_code), offset = p.base_offset;
      }
    settle(turn, s, error, offset);
  }
}

}  // namespace klamm::client
