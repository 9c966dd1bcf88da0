#include "engine/base/trace.h"
#include "engine/client/producer.h"
#include "engine/protocol/batch_builder.h"
#include "engine/protocol/hashes.h"

namespace klamm::client {

namespace {

// The same batch under another sequence: the header is covered by the checksum.
Slice renumbered(const Slice& batch, ProducerId id, ProducerEpoch epoch, int32_t sequence) {
  Slice copy = Slice::copy(batch.span());
  auto* p = const_cast<uint8_t*>(copy.data());  // ours alone
  protocol::BatchHeader h = protocol::read_batch_header(p);
  h.producer_id = id;
  h.producer_epoch = epoch;
  h.base_sequence = sequence;
  protocol::write_batch_header(p, h);
  const Slice records = copy.part(protocol::kBatchHeaderSize, copy.size() - protocol::kBatchHeaderSize);
  h.crc = protocol::batch_crc(p, std::span<const Slice>(&records, 1));
  protocol::write_batch_header(p, h);
  return copy;
}

int64_t trace_key(const TopicView* view) { return view ? topic_key(view->id) : 0; }

}  // namespace

// Moves waiting records to their partitions, once these are known. Who knows fewer of them asks anew: some may have
// been made since. Only records of the same partition wait for each other.
void Producer::route(Turn& turn, const std::string& name, Topic& topic) {
  if (topic.waiting.empty()) return;
  const TopicView* view = turn.cluster.topic(name);
  const auto fail = [&](ErrorCode error) {
    answer_record(turn, topic.waiting.front().token, topic.waiting.front().bytes, {.error = error});
    topic.waiting.pop_front();
  };
  const bool hopeless = view && view->error != ErrorCode::none && !retriable(view->error);
  const Duration patience = milliseconds(options_.delivery_timeout_ms);
  if (!view || view->partitions.empty()) {
    while (!topic.waiting.empty() && (hopeless || turn.now() >= topic.waiting.front().created + patience))
      fail(hopeless ? view->error : ErrorCode::request_timed_out);
    if (!topic.waiting.empty()) wake_at(topic.waiting.front().created + patience);
    return;
  }
  if (topic.queues.size() < view->partitions.size()) {
    const size_t had = topic.queues.size();
    topic.queues.resize(view->partitions.size());
    for (size_t i = had; i < topic.queues.size(); ++i) topic.queues[i].backoff.first = retry_backoff_;
  }
  std::deque<Pending> waiting;
  while (!topic.waiting.empty()) {
    Pending& record = topic.waiting.front();
    const auto partition = static_cast<size_t>(choose(turn, *view, topic, record));
    if (partition >= topic.queues.size() && turn.now() >= record.created + patience) {
      fail(ErrorCode::request_timed_out);
      continue;
    }
    if (partition < topic.queues.size())
      append(topic.queues[partition], std::move(record));
    else
      waiting.push_back(std::move(record));
    topic.waiting.pop_front();
  }
  if (waiting.empty()) return;
  topic.waiting = std::move(waiting);
  turn.cluster.stale();
  wake_at(topic.waiting.front().created + patience);
}

// As Kafka's default: by key; without one, one partition until its batch is full, then another that has a leader.
int32_t Producer::choose(Turn& turn, const TopicView& view, Topic& topic, const Pending& record) {
  if (record.partition >= 0) return record.partition;
  const auto n = static_cast<int32_t>(topic.queues.size());
  if (record.record.key) return protocol::partition_of_key(record.record.key->span(), n);
  if (topic.sticky >= 0) {
    const Queue& q = topic.queues[static_cast<size_t>(topic.sticky)];
    const bool filling = !q.batches.empty() && !q.batches.back().closed;
    if (filling && q.batches.back().bytes + record.bytes <= options_.batch_bytes) return topic.sticky;
  }
  std::vector<int32_t> with_leader;
  for (int32_t i = 0; i < n && static_cast<size_t>(i) < view.partitions.size(); ++i)
    if (view.partitions[static_cast<size_t>(i)].leader != kNoNode) with_leader.push_back(i);
  const uint64_t pick =
      dice_.below(turn.ctx().chance, with_leader.empty() ? static_cast<uint64_t>(n) : with_leader.size());
  topic.sticky = with_leader.empty() ? static_cast<int32_t>(pick) : with_leader[pick];
  return topic.sticky;
}

void Producer::append(Queue& queue, Pending&& record) {
  const auto full = [&](const Batch& b) { return b.bytes + record.bytes > options_.batch_bytes; };
  if (queue.batches.empty() || queue.batches.back().closed || full(queue.batches.back())) {
    if (!queue.batches.empty()) queue.batches.back().closed = true;
    queue.batches.emplace_back();
    queue.batches.back().number = ++last_batch_;
    queue.batches.back().created = record.created;
  }
  Batch& b = queue.batches.back();
  b.bytes += record.bytes;
  b.tokens.push_back(record.token);
  b.records.push_back(std::move(record));
  if (b.bytes >= options_.batch_bytes) b.closed = true;
}

void Producer::encode(const Queue& queue, Batch& batch) {
  if (!batch.encoded.empty()) {
    batch.encoded = renumbered(batch.encoded, queue.producer_id, queue.epoch, batch.sequence);
    return;
  }
  protocol::BatchBuilder::Options options;
  options.compression = static_cast<protocol::Compression>(options_.compression);
  options.size_hint = static_cast<size_t>(batch.bytes);
  if (idempotent()) {
    options.producer_id = queue.producer_id;
    options.producer_epoch = queue.epoch;
    options.base_sequence = batch.sequence;
  }
  protocol::BatchBuilder builder(options);
  const auto bytes = [](const std::optional<Slice>& s) {
    return s ? protocol::Bytes::of({s->data() ? s->data() : protocol::kNoBytes, s->size()}) : protocol::Bytes{};
  };
  std::vector<protocol::RecordHeader> headers;
  for (const Pending& p : batch.records) {
    headers.clear();
    for (const Header& h : p.record.headers) headers.push_back({h.key, bytes(h.value)});
    builder.add({p.record.timestamp, bytes(p.record.key), bytes(p.record.value), headers});
  }
  batch.encoded = builder.finish();
  batch.records.clear();
}

// Gives up what has waited too long. What is in flight is waited for: its answer or its time-out decides.
void Producer::expire(Turn& turn, const std::string& name, Topic& topic) {
  const Duration patience = milliseconds(options_.delivery_timeout_ms);
  for (size_t i = 0; i < topic.queues.size(); ++i) {
    Queue& q = topic.queues[i];
    const Sent at{name, static_cast<int32_t>(i), 0};
    while (!q.batches.empty() && !q.batches.front().in_flight && turn.now() >= q.batches.front().created + patience)
      give_up(turn, at, q, 0, ErrorCode::request_timed_out, q.batches.front().uncertain);
    if (!q.batches.empty() && !q.batches.front().in_flight) wake_at(q.batches.front().created + patience);
  }
}

// A batch's request has been answered, or has failed.
void Producer::settle(Turn& turn, const Sent& at, ErrorCode error, int64_t base_offset) {
  const auto topic = topics_.find(at.topic);
  KLAMM_ASSERT(topic != topics_.end());
  Queue& q = topic->second.queues.at(static_cast<size_t>(at.partition));
  size_t i = 0;
  bool earlier_open = false;
  while (i < q.batches.size() && q.batches[i].number != at.batch) earlier_open |= q.batches[i++].sequence >= 0;
  KLAMM_ASSERT_REL(i, <, q.batches.size());
  Batch& b = q.batches[i];
  KLAMM_ASSERT(b.in_flight && q.in_flight > 0);
  b.in_flight = false;
  --q.in_flight;
  const bool sequenced = b.sequence >= 0;
  switch (produce_verdict({error, sequenced, earlier_open, q.gap})) {
    case ProduceVerdict::duplicate: base_offset = -1; [[fallthrough]];
    case ProduceVerdict::acknowledged:
      q.backoff.succeeded();
      q.taken = true;
      answer_batch(turn, at, b, {.offset = base_offset});
      q.batches.erase(q.batches.begin() + static_cast<ptrdiff_t>(i));
      return;
    case ProduceVerdict::retry: break;
    case ProduceVerdict::renumber:
      b.sequence = -1;
      if (q.gap == Gap::none) q.gap = Gap::rejected;
      break;
    case ProduceVerdict::rejected:
      return give_up(turn, at, q, i, error, b.uncertain || error == ErrorCode::unknown_server_error);
  }
  b.tried = true;
  b.uncertain = b.uncertain || maybe_done(error);
  q.backoff.failed(turn.now());
  turn.cluster.stale();  // a leader that is cut off times out, and does not know that there is another
}

void Producer::give_up(Turn& turn, const Sent& at, Queue& queue, size_t index, ErrorCode error, bool maybe) {
  const Batch& b = queue.batches[index];
  if (b.sequence >= 0) queue.gap = maybe || queue.gap == Gap::unknown ? Gap::unknown : Gap::rejected;
  answer_batch(turn, at, b, {.error = error, .maybe_written = maybe});
  queue.batches.erase(queue.batches.begin() + static_cast<ptrdiff_t>(index));
}

void Producer::answer_batch(Turn& turn, const Sent& at, const Batch& batch, const Produced& result) {
  const TopicView* view = turn.cluster.topic(at.topic);
  const bool good = result.error == ErrorCode::none;
  turn.ctx().trace.event({good ? TraceKind::client_acknowledged : TraceKind::client_failed, 0, at.partition,
                          trace_key(view), good ? result.offset : static_cast<int64_t>(result.error),
                          static_cast<int64_t>(batch.tokens.size())});
  Produced one = result;
  one.partition = at.partition;
  if (view) one.topic_id = view->id;
  for (size_t i = 0; i < batch.tokens.size(); ++i) {
    answer_record(turn, batch.tokens[i], 0, one);
    if (one.offset >= 0) ++one.offset;
  }
  buffered_ -= batch.bytes;
}

void Producer::answer_record(Turn& turn, uint64_t token, int64_t bytes, const Produced& result) {
  KLAMM_ASSERT_REL(unanswered_, >, 0u);
  --unanswered_;
  buffered_ -= bytes;
  turn.answer(token, result);
}

void Producer::answer_flushes(Turn& turn) {
  if (unanswered_ > 0) return;
  for (const uint64_t token : std::exchange(flushes_, {})) turn.answer(token, Done{});
}

void Producer::close(Turn& turn) {
  const auto open = std::exchange(open_token_, 0);
  if (open) turn.answer(open, Done{ErrorCode::network_exception, "closed"});
  for (auto& [name, topic] : topics_) {
    for (const Pending& p : topic.waiting)
      answer_record(turn, p.token, p.bytes, {.error = ErrorCode::request_timed_out});
    topic.waiting.clear();
    for (size_t i = 0; i < topic.queues.size(); ++i) {
      Queue& q = topic.queues[i];
      while (!q.batches.empty()) {
        const bool maybe = q.batches.front().uncertain || q.batches.front().in_flight;
        give_up(turn, {name, static_cast<int32_t>(i), 0}, q, 0, ErrorCode::request_timed_out, maybe);
      }
    }
  }
  requests_.clear();
  KLAMM_ASSERT_REL(buffered_, ==, 0);
  answer_flushes(turn);
}

}  // namespace klamm::client
