#include "sim/workload.h"

#include <algorithm>

#include "engine/base/trace.h"
#include "engine/client/verbs.h"

namespace klamm::sim {
namespace {
constexpr int64_t kRetry = 200'000'000;
constexpr uint32_t kReader = 0;        // of the history
constexpr uint32_t kReaderClient = 1;  // clients' numbers on their hosts
constexpr uint32_t kFirstConsumer = 1;
constexpr uint32_t kFirstProducer = 1;
constexpr uint32_t kMaxProducers = 256;  // of all lives; a record's token has eight bits for it
constexpr int32_t kRequestTimeoutMs = 5'000;
constexpr int32_t kDeliveryTimeoutMs = 25'000;
}  // namespace

Workload::Workload(WorkloadOptions options) : options_(std::move(options)), partitions_(options_.partitions) {
  const auto policy = options_.topic_config.find("cleanup.policy");
  const bool deletes = policy == options_.topic_config.end() || policy->second != "compact";
  if (deletes && (options_.topic_config.count("retention.ms") || options_.topic_config.count("retention.bytes")))
    starts_.expires();
}

uint64_t Workload::record_token(const Written& w) {
  return token(Verb::produce,
               uint64_t{w.producer} << 52 | static_cast<uint64_t>(w.partition) << 40 | static_cast<uint64_t>(w.number));
}
Written Workload::record_of(uint64_t t) {
  return {static_cast<uint32_t>(t >> 52 & 0xff), static_cast<int32_t>(t >> 40 & 0xfff),
          static_cast<int64_t>(t & 0xff'ffff'ffff)};
}

std::optional<Slice> Workload::key_of(const Written& w) const {
  if (options_.keys == 0) return std::nullopt;
  return Slice::copy("k" + std::to_string(w.key(options_.keys)));
}

LogKey Workload::log(int32_t partition) const { return {topic_key(topic_), partition}; }

void Workload::restarted(HostId host) {
  if (host == options_.producer_host) {
    history_.forgotten();
    if (consumers_open_) ++producer_life_;
    creating_ = false;
    open_producers_ = 0;
    reopen_.clear();
    for (uint32_t i = 0; consumers_open_ && i < options_.producers; ++i) reopen_.push_back(i);
  }
  if (host == options_.consumer_host && consumers_open_) {
    for (uint32_t i = 0; i < options_.consumers; ++i) reassigned(kFirstConsumer + i);
    consumers_again_ = true;
  }
}

template<class T>
void Workload::ask(World& world, HostId host, uint64_t token, const char* verb, const T& what) {
  world.ask(host, Asked{token, verb, client::pack(what)});
}

void Workload::create_topic(World& world) {
  creating_ = true;
  client::CreateTopics c;
  c.topics.push_back({kTopic, options_.partitions, -1, {}, {}});
  for (const auto& [name, value] : options_.topic_config) c.topics.back().configs.push_back({name, value});
  ask(world, options_.producer_host, token(Verb::create, 0), "create_topics", c);
}

void Workload::open_producer(World& world, uint32_t producer) {
  client::ProducerOpen open;
  open.client = kFirstProducer + producer;
  open.request_timeout_ms = kRequestTimeoutMs;
  open.delivery_timeout_ms = kDeliveryTimeoutMs;
  open.compression = options_.compression;
  ask(world, options_.producer_host, token(Verb::open, producer), "producer.open", open);
}

void Workload::open_consumers(World& world) {
  consumers_open_ = true;
  consumers_again_ = false;
  for (uint32_t i = 0; i < options_.consumers; ++i) join(world, options_.consumer_host, {kFirstConsumer + i, {}});
}

void Workload::join(World& world, HostId host, const Member& member) {
  client::ConsumerOpen open;
  open.client = member.consumer;
  open.group = kGroup;
  open.instance = member.instance;
  open.session_timeout_ms = 6'000;
  open.heartbeat_ms = 1'000;
  open.rebalance_timeout_ms = 10'000;
  open.auto_commit_ms = 1'000;
  open.request_timeout_ms = kRequestTimeoutMs;
  ask(world, host, token(Verb::consume, member.consumer), "consumer.open", open);
  client::Subscribe subscribe;
  subscribe.client = open.client;
  subscribe.topics = {kTopic};
  ask(world, host, token(Verb::subscribe, member.consumer), "subscribe", subscribe);
}

void Workload::leave(World& world, HostId host, uint32_t consumer) {
  ask(world, host, token(Verb::subscribe, consumer), "close", client::ClientRef{consumer});
}

void Workload::read_all(World& world) {
  for (int32_t p = 0; p < partitions_; ++p) reader_floor_[p] = starts_.least(log(p));
  client::ConsumerOpen open;
  open.client = kReaderClient;
  open.request_timeout_ms = kRequestTimeoutMs;
  ask(world, options_.reader_host, token(Verb::consume, kReader), "consumer.open", open);
  client::Assign assign;
  assign.client = open.client;
  for (int32_t p = 0; p < partitions_; ++p) assign.partitions.push_back({{kTopic, p}, client::kFromBeginning});
  ask(world, options_.reader_host, token(Verb::assign, kReader), "assign", assign);
}

void Workload::act(World& world) {
  next_at_ = world.now() + options_.batch_ns;
  if (!whole_) return;
  if (!created_) {
    if (creating_) return;
    next_at_ = world.now() + kRetry;
    return create_topic(world);
  }
  if (!consumers_open_) {
    open_consumers(world);
    for (uint32_t i = 0; i < options_.producers; ++i) reopen_.push_back(i);
  }
  if (consumers_again_) open_consumers(world);
  for (const uint32_t producer : reopen_) open_producer(world, producer);
  reopen_.clear();
  if (running() && producing_) produce(world);
}

void Workload::produce(World& world) {
  if (world.state(options_.producer_host) != HostState::up || history_.pending() >= kMaxPending) return;
  owed_ += options_.records_per_second * options_.batch_ns / 1'000'000;  // thousandths
  const int64_t records = owed_ / 1'000;
  owed_ -= records * 1'000;
  std::map<std::pair<uint32_t, int32_t>, int64_t> batches;
  for (int64_t i = 0; i < records; ++i, ++turn_) {
    const int32_t partition = static_cast<int32_t>(turn_ % static_cast<uint32_t>(partitions_));
    const uint32_t producer = turn_ / static_cast<uint32_t>(partitions_) % options_.producers;
    ++batches[{producer, partition}];
  }
  for (const auto& [where, count] : batches) {
    // A producer of a new life is another one: what the dead one had on its way may still arrive, after the new one's.
    const uint32_t name = (where.first + producer_life_ * options_.producers) % kMaxProducers;
    int64_t& number = next_number_[{name, where.second}];
    client::Produce p;
    p.client = kFirstProducer + where.first;
    p.topic = kTopic;
    p.partition = where.second;
    const Written first{name, where.second, number};
    for (int64_t i = 0; i < count; ++i, ++number) {
      const Written w{name, where.second, number};
      history_.sent(w);
      client::NewRecord& r = p.records.emplace_back();
      r.key = key_of(w);
      r.value = Slice::copy(w.value(options_.record_bytes));
    }
    ask(world, options_.producer_host, record_token(first), "produce", p);
  }
}

void Workload::answered(int64_t at, const Answered& a, const Replicas& replicas, Verdicts& out) {
  switch (static_cast<Verb>(a.token >> 60)) {
    case Verb::create: {
      client::TopicResults results;
      if (!client::unpack(a.bytes, results)) break;
      creating_ = false;
      for (const auto& t : results.topics) {
        if (t.error != ErrorCode::none && t.error != ErrorCode::topic_already_exists) continue;
        created_ = true;
        if (t.error == ErrorCode::none) topic_ = t.id;
      }
      return;
    }
    case Verb::open: {
      client::Done done;
      if (!client::unpack(a.bytes, done)) break;
      if (done.error == ErrorCode::none)
        ++open_producers_;
      else
        reopen_.push_back(static_cast<uint32_t>(a.token & 0xff));
      return;
    }
    case Verb::produce: return produced(at, a.token, a.bytes, replicas, out);
    case Verb::consume: return consumed(at, a.token, a.bytes, out);
    case Verb::subscribe:
    case Verb::assign: return;
  }
  out.add(at, "a client's answer", "an answer that cannot be read");
}

void Workload::produced(int64_t at, uint64_t t, const Slice& bytes, const Replicas& replicas, Verdicts& out) {
  client::Produced p;
  if (!client::unpack(bytes, p)) return out.add(at, "a client's answer", "an answer that cannot be read");
  const Written w = record_of(t);
  if (p.error == ErrorCode::none) {
    acked_last_at_ = at;
    if (topic_.zero()) topic_ = p.topic_id;
    if (p.partition != w.partition)
      out.add(at, "J14 misrouted record", w.text() + " was acknowledged in partition " + std::to_string(p.partition));
    if (p.offset >= replicas.committed_end(log(w.partition)))
      out.add(at, "R13 acknowledged before committed", w.text() + " at offset " + std::to_string(p.offset), true);
    if (p.offset >= 0 && replicas.copies(log(w.partition), p.offset) < options_.least_in_sync)
      out.add(at, "R13 acknowledged by too few", w.text() + " at offset " + std::to_string(p.offset));
  }
  const History::Fate fate = p.error == ErrorCode::none ? History::Fate::acked
                             : p.maybe_written          ? History::Fate::unknown
                                                        : History::Fate::failed;
  history_.ended(at, w, fate, p.offset, out);
}

void Workload::consumed(int64_t at, uint64_t t, const Slice& bytes, Verdicts& out) {
  client::ConsumerEvent e;
  if (!client::unpack(bytes, e)) return out.add(at, "a client's answer", "an answer that cannot be read");
  const uint32_t consumer = static_cast<uint32_t>(t & 0xff);
  using Kind = client::ConsumerEvent::Kind;
  if (e.kind == Kind::assigned || e.kind == Kind::revoked) reassigned(consumer);
  if (e.kind != Kind::records) return;
  for (const client::ConsumedRecord& r : e.records) {
    const std::string_view value = r.value ? r.value->text() : std::string_view{};
    history_.polled(at, consumer, e.partition.partition, r.offset, value, out);
    if (consumer == kReader &&
        r.offset < std::min(reader_floor_[e.partition.partition], starts_.least(log(e.partition.partition))))
      out.add(at, "R14 deleted record",
              "offset " + std::to_string(r.offset) + " of partition " + std::to_string(e.partition.partition) +
                  " was read, which no log has any more");
    const auto w = Written::parse(value);
    if (w && value != w->value(options_.record_bytes))
      out.add(at, "J14 foreign record", w->text() + " was read with other content");
    const auto key = w ? key_of(*w) : std::nullopt;
    if (w && (r.key.has_value() != key.has_value() || (key && r.key->text() != key->text())))
      out.add(at, "J14 foreign record", w->text() + " was read with another key");
  }
  history_.polled_to(at, consumer, e.partition.partition, e.next, e.high_watermark, out);
  if (consumer == kReader) return;
  const int64_t first = e.records.empty() ? e.next : e.records[0].offset;
  commits_.delivered(at, {consumer, e.partition.partition, first, e.next}, out);
  int64_t& position = group_positions_[e.partition.partition];
  position = std::max(position, e.next);
}

void Workload::reassigned(uint32_t consumer) {
  history_.reassigned(consumer);
  commits_.reassigned(consumer);
}

void Workload::committed(int64_t at, const TraceEvent& e, const Replicas& replicas, Verdicts& out) {
  if (topic_.zero() || e.b != topic_key(topic_)) return;
  const LogKey key = log(e.a);
  commits_.committed(at, {e.a, e.c, std::max(replicas.deleted_end(key), replicas.compacted_end(key))}, out);
}

void Workload::trace(int64_t at, HostId host, const TraceEvent& e, Verdicts& out) {
  if (topic_.zero() || e.b != topic_key(topic_)) return;
  starts_.trace(at, host, e, out);
  if (e.kind == TraceKind::log_start_moved) history_.deleted(e.a, e.c);
  if (e.kind == TraceKind::log_truncated && e.flags) history_.began_anew(e.a, e.c);
  if (e.kind == TraceKind::log_compacting && options_.keys > 0) history_.compacted(e.a, e.c, options_.keys);
}

int64_t Workload::group_position(int32_t partition) const {
  const auto p = group_positions_.find(partition);
  return std::max(p == group_positions_.end() ? 0 : p->second, history_.deleted_end(partition));
}

}  // namespace klamm::sim
