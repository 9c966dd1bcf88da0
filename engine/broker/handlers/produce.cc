// Produce 3-13: appends of clients. acks 0, 1 and all; idempotent producers (KIP-98); topic ids from 13 (KIP-516);
// where the leader is, on refusal, from 10 (KIP-951). Not here yet: transactions (KIP-98, KIP-890).
//
//   append ──> parked on (partition, end that acknowledges it) ──all there──> reply
//                 └── leader changed ──> error     └── timeout_ms ──> REQUEST_TIMED_OUT
//
// A request whose batches take much unpacking goes on in the next turn, before any other request starts. One for a
// partition that this broker is about to lead waits until its log is open: a new topic's first records. All wait while
// the disk is far behind.
#include "engine/protocol/messages/produce.h"

#include <algorithm>
#include <tuple>

#include "engine/broker/handlers.h"
#include "engine/replication/admission.h"

namespace klamm::broker {
namespace {

using protocol::ProduceRequest;
using protocol::ProduceResponse;

constexpr Duration kOwnWriteLook = milliseconds(2);

// Kafka names few reasons: `message` is empty for the others.
void refuse(ProducePartition& x, ErrorCode error, std::string message = {}) {
  x.error = code(error);
  x.base_offset = -1;
  x.log_append_time = -1;
  x.log_start = -1;
  x.wanted = 0;
  x.message = std::move(message);
}

// The leader's own state of the producer: a retry is answered with the offsets of the first time.
bool known_duplicate(Turn& t, const replication::Partition& partition, const protocol::BatchHeader& header,
                     ProducePartition& x) {
  if (!header.has_producer()) return false;
  const log::AdmissionResult r = partition.log().producers().check(header);
  switch (r.admission) {
    case log::Admission::accepted: return false;
    case log::Admission::duplicate:
      PROBE(t.ctx(), produce_duplicate);
      x.base_offset = r.original.first_offset();
      x.wanted = r.original.last_offset + 1;
      x.log_append_time = r.original.timestamp;  // Kafka tells it whatever the topic's type of timestamps
      return true;
    case log::Admission::out_of_order_sequence:
      PROBE(t.ctx(), produce_out_of_order);
      refuse(x, ErrorCode::out_of_order_sequence_number);
      return true;
    case log::Admission::invalid_producer_epoch: refuse(x, ErrorCode::invalid_producer_epoch); return true;
    case log::Admission::invalid_txn_state: refuse(x, ErrorCode::invalid_txn_state); return true;
  }
  return true;
}

void append(Turn& t, const ProduceWork& work, const Located& at, const protocol::Records& records,
            replication::AdmissionBudget& budget, ProducePartition& x) {
  const Request& r = work.request;
  if (internal_topic(at.topic->name) && r.client_id != "__admin_client")
    return refuse(x, ErrorCode::invalid_topic_exception);
  const replication::Partition& partition = *at.replica;
  x.leader_epoch = partition.assignment().leader_epoch;
  const Result<void> leads = partition.leads(kNoEpoch);
  if (!leads) return refuse(x, leads.error().code);
  if (!partition.log().ready()) return refuse(x, ErrorCode::not_leader_or_follower);
  if (work.parked.acks == -1 && partition.enough_replicas() != ErrorCode::none) {
    PROBE(t.ctx(), not_enough_replicas);
    return refuse(x, ErrorCode::not_enough_replicas);
  }
  const Offset log_start = partition.log().ends().log_start;
  const Slice bytes = records.is_null() || records.size == 0 ? Slice{} : r.frame.of(records.span());
  auto admitted = replication::admit(t.ctx(), partition.settings().admission,
                                     {r.ticket.version, at.topic->name, at.id.partition, bytes}, budget);
  if (!admitted) {
    replication::Refusal& refusal = admitted.error();
    refuse(x, refusal.code, std::move(refusal.reason));
    x.record_errors = std::move(refusal.records);
    if (refusal.tells_log_start) x.log_start = log_start;
    return;
  }
  if (admitted->header.transactional()) return refuse(x, ErrorCode::invalid_txn_state);
  const bool known = known_duplicate(t, partition, admitted->header, x);
  x.log_start = log_start;
  if (known) return;
  const auto appended = t.p.replicas.append(t.ctx(), at.id, admitted->head, admitted->records);
  if (!appended) return refuse(x, appended.error().code);
  x.log_start = log_start;
  x.base_offset = appended->base;
  x.wanted = appended->last + 1;
  x.log_append_time = admitted->log_append_time;
}

// A transactional batch needs the request's transactional id: without one all of the request is refused. Until one is
// found each partition's first batch must have a frame, or all of the request is refused too.
void look_at_first_batches(const ProduceRequest& q, ProduceWork& work) {
  for (const auto& topic : q.topic_data)
    for (const auto& data : topic.partition_data) {
      if (data.records.is_null() || data.records.size == 0) continue;
      protocol::BatchCursor cursor(data.records.span());
      const bool found = cursor.next();
      if (cursor.error()) return void(work.broken = protocol::framing_fault(cursor.rest()));
      if (!found || cursor.magic() != protocol::kCurrentMagic) continue;
      if (cursor.batch().size() < protocol::kBatchHeaderSize) continue;
      if (!protocol::read_batch_header(cursor.batch().data()).transactional()) continue;
      work.no_id = is_null(q.transactional_id);
      return;
    }
}

struct Produced {
  const ProduceRequest::TopicProduceData* topic;
  const ProduceRequest::PartitionProduceData* data;
};

// What a request holds: of a partition that it names twice only what it says last counts, in the place of the first.
std::vector<Produced> produced(const ProduceRequest& q) {
  std::vector<Produced> all, out;
  for (const auto& topic : q.topic_data)
    for (const auto& data : topic.partition_data) all.push_back({&topic, &data});
  if (all.size() < 2) return all;
  using Place = std::pair<std::tuple<Str, Uuid, int32_t>, size_t>;
  std::vector<Place> places;
  for (size_t i = 0; i < all.size(); ++i)
    places.push_back({{all[i].topic->name, all[i].topic->topic_id, all[i].data->index}, i});
  std::sort(places.begin(), places.end());
  for (size_t i = 0, first = 0; i < places.size(); ++i) {
    if (places[i].first != places[first].first) first = i;
    if (i == first) continue;
    all[places[first].second].data = std::exchange(all[places[i].second].data, nullptr);
  }
  for (const Produced& x : all)
    if (x.data) out.push_back(x);
  return out;
}

// Whether nothing more is to be waited for. An acks=0 batch waits as an acks=1 one: no answer is due, but the next
// request of the connection finds it there.
bool settled(const Turn& t, int16_t acks, ProducePartition& x) {
  if (x.wanted == 0) return true;
  const replication::Partition* p = t.p.replicas.find(x.id);
  if (!p || p->role() != replication::Role::leader || p->assignment().leader_epoch != x.leader_epoch) {
    refuse(x, p && p->role() == replication::Role::offline ? ErrorCode::kafka_storage_error
                                                           : ErrorCode::not_leader_or_follower);
    return true;
  }
  if ((acks != -1 ? p->acked_end() : p->high_watermark()) < x.wanted) return false;
  if (acks == -1 && p->enough_replicas() != ErrorCode::none) {
    PROBE(t.ctx(), not_enough_replicas_after);
    refuse(x, ErrorCode::not_enough_replicas_after_append);
  }
  x.wanted = 0;
  return true;
}

void add_leader(Turn& t, const ParkedProduce& done, const ProducePartition& x, ProduceResponse& m,
                ProduceResponse::PartitionProduceResponse& y) {
  if (done.ticket.version < 10 || static_cast<ErrorCode>(x.error) != ErrorCode::not_leader_or_follower) return;
  const metadata::PartitionInfo* info = t.p.image.partition(x.id);
  if (!info) return;
  y.current_leader.leader_id = info->leader.value;
  y.current_leader.leader_epoch = info->leader_epoch;
  const metadata::Broker* b = info->leader == kNoNode ? nullptr : t.p.image.broker(info->leader);
  const metadata::BrokerEndpoint* at = b ? endpoint_of(t, {done.ticket, done.listener}, *b) : nullptr;
  if (!at) return;
  for (const auto& known : m.node_endpoints)
    if (known.node_id == info->leader.value) return;
  auto& e = m.node_endpoints.add(t.arena());
  e.node_id = b->id.value, e.host = at->host, e.port = at->port;
  e.rack = b->rack ? Str(*b->rack) : kNullStr;
}

void finish(Turn& t, const ParkedProduce& done) {
  ProduceResponse m;
  for (const ProducePartition& x : done.partitions) {
    const bool same = !m.responses.empty() && (done.ticket.version >= 13 ? m.responses.back().topic_id == x.id.topic
                                                                         : m.responses.back().name == Str(x.topic));
    if (!same) {
      auto& topic = m.responses.add(t.arena());
      if (done.ticket.version >= 13)
        topic.topic_id = x.id.topic;
      else
        topic.name = x.topic;
    }
    auto& y = m.responses.back().partition_responses.add(t.arena());
    y.index = x.id.partition;
    y.error_code = x.error;
    y.base_offset = x.base_offset;
    y.log_append_time_ms = x.log_append_time;
    y.log_start_offset = x.log_start;
    if (done.ticket.version >= 8) {
      for (const auto& e : x.record_errors) y.record_errors.push_back(t.arena(), {e.index, e.reason});
      if (!x.message.empty()) y.error_message = x.message;
    }
    add_leader(t, done, x, m, y);
  }
  if (done.acks == 0) return t.p.server.skip(t.io, done.ticket);
  t.answer(done.ticket, m, 128 + 64 * done.partitions.size());
}

void park(Turn& t, ParkedProduce parked, Instant deadline) {
  if (!t.p.server.has(parked.ticket.conn)) return t.p.server.skip(t.io, parked.ticket);  // nobody waits
  std::vector<parked::Watch<WaitKey>> watches;
  for (const ProducePartition& x : parked.partitions) {
    if (x.wanted == 0) continue;
    watches.push_back({{x.id, parked.acks != -1 ? Wait::written : Wait::committed}, x.wanted});
    watches.push_back({{x.id, Wait::changed}});
  }
  const uint64_t owner = parked.ticket.conn.packed();
  t.p.produces.park(watches, deadline, std::move(parked), owner);
}

void append_one(Turn& t, const ProduceRequest& q, const ProduceRequest::TopicProduceData& topic,
                const ProduceRequest::PartitionProduceData& data, ProduceWork& work,
                replication::AdmissionBudget& budget) {
  const bool by_id = work.request.ticket.version >= 13;
  ProducePartition& x = work.parked.partitions.emplace_back();
  x.id = {topic.topic_id, data.index};
  if (!by_id) x.topic = topic.name;
  const Located at = locate(t, topic.name, topic.topic_id, by_id, data.index);
  if (at.topic) x.id = {at.topic->id, data.index};
  if (!work.broken.empty())
    refuse(x, ErrorCode::corrupt_message, work.broken);
  else if (work.no_id)
    refuse(x, ErrorCode::transactional_id_authorization_failed);
  else if (at.error != ErrorCode::none)
    refuse(x, at.error);
  else if (q.acks < -1 || q.acks > 1)
    refuse(x, ErrorCode::invalid_required_acks);
  else
    append(t, work, at, data.records, budget, x);
}

void end_appends(Turn& t, ProduceWork& work, int32_t timeout_ms) {
  ParkedProduce& parked = work.parked;
  bool failed = false, waits = false;
  for (ProducePartition& x : parked.partitions) {
    failed = failed || x.error != 0;
    waits = !settled(t, parked.acks, x) || waits;
  }
  if (parked.acks == 0 && failed) return t.close(parked.ticket);
  if (!waits) return finish(t, parked);
  // The time-out is for other replicas; our own write is not timed, as Kafka's is done before it looks at the clock.
  const bool timed = parked.acks == -1;
  park(t, std::move(parked), timed ? t.ctx().now + milliseconds(std::max(timeout_ms, 0)) : kNever);
}

std::vector<TopicIdPartition> opening(Turn& t, const ProduceRequest& q, int16_t version) {
  std::vector<TopicIdPartition> ids;
  if (!t.p.replicas.any_opening()) return ids;
  for (const auto& topic : q.topic_data)
    for (const auto& data : topic.partition_data)
      if (const Located at = locate(t, topic.name, topic.topic_id, version >= 13, data.index); opens_to_lead(t, at))
        ids.push_back(at.id);
  return ids;
}

// Appends from the partition on that is next; to be gone on with when the turn has done enough.
void go_on(Turn& t, ProduceWork work) {
  ProduceRequest q;
  if (!decode_body(work.request, t.arena(), q)) return t.close(work.parked.ticket);
  if (work.parked.partitions.empty()) {
    if (const auto ids = opening(t, q, work.request.ticket.version); !ids.empty()) {
      t.p.server.hold(work.request.ticket);  // records stay in their order
      return t.wait_to_lead(work.request, ids);
    }
    work.parked.acks = q.acks;
    look_at_first_batches(q, work);
  }
  replication::AdmissionBudget budget{work.record_errors, 0};
  const std::vector<Produced> all = produced(q);
  for (size_t i = work.parked.partitions.size(); i < all.size(); ++i) {  // what is before was done in an earlier turn
    if (t.unpacked + budget.work >= kUnpackedPerTurn) {
      t.unpacked += budget.work;
      work.record_errors = budget.record_errors;
      t.p.producing = std::move(work);
      return;
    }
    append_one(t, q, *all[i].topic, *all[i].data, work, budget);
  }
  t.unpacked += budget.work;
  end_appends(t, work, q.timeout_ms);
}

}  // namespace

void handle_produce(Turn& t, Request& r) {
  if (!t.p.server.serves(r.ticket.conn)) return;  // its peer has left, too long ago
  if (t.p.producing || t.p.replicas.overfull()) {
    t.p.server.hold(r.ticket);  // records stay in their order
    return t.p.produces_next.push_back(std::move(r));
  }
  ProduceWork work;
  work.parked.ticket = r.ticket;
  work.parked.listener = r.listener;
  work.request = std::move(r);
  go_on(t, std::move(work));
}

void produce_goes_on(Turn& t) {
  if (t.p.producing) go_on(t, *std::exchange(t.p.producing, std::nullopt));
  while (!t.p.producing && !t.p.replicas.overfull() && !t.p.produces_next.empty()) {
    Request r = std::move(t.p.produces_next.front());
    t.p.produces_next.pop_front();
    handle_produce(t, r);
  }
}

void produce_woken(Turn& t, parked::ParkedId id, const WaitKey& key) {
  ParkedProduce* work = t.p.produces.find(id);
  if (!work) return;
  bool waits = false;
  for (ProducePartition& x : work->partitions) waits = !settled(t, work->acks, x) || waits;
  if (!waits) return finish(t, t.p.produces.take(id));
  // A change that left the leader in place spent its watch: set it again.
  if (key.what == Wait::changed) t.p.produces.watch(id, {key});
}

void produce_expired(Turn& t, parked::ParkedId id) {
  if (!t.p.produces.find(id)) return;
  ParkedProduce work = t.p.produces.take(id);
  bool own_write = false;
  for (ProducePartition& x : work.partitions) {
    if (settled(t, work.acks, x)) continue;
    own_write = own_write || t.p.replicas.find(x.id)->acked_end() < x.wanted;
  }
  if (own_write) return park(t, std::move(work), t.ctx().now + kOwnWriteLook);
  for (ProducePartition& x : work.partitions)
    if (!settled(t, work.acks, x)) refuse(x, ErrorCode::request_timed_out);
  finish(t, work);
}

}  // namespace klamm::broker
