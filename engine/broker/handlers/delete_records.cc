// DeleteRecords 0-2: moves the start of logs forward (KIP-107). Answered when every live replica's log starts there, or
// when the time is over.
#include "engine/protocol/messages/delete_records.h"

#include <map>

#include "engine/broker/handlers.h"

namespace klamm::broker {
namespace {

constexpr Duration kLook = milliseconds(10);

DeletedPartition remove(Turn& t, Str topic, int32_t partition, Offset offset, replication::Out& moved) {
  DeletedPartition d{{Uuid{}, partition}, std::string(topic), 0, -1};
  const auto refuse = [&](ErrorCode error) {
    d.error = code(error);
    return d;
  };
  const Located at = locate(t, topic, Uuid{}, false, partition);
  if (at.error != ErrorCode::unknown_topic_or_partition && internal_topic(topic))
    return refuse(ErrorCode::invalid_topic_exception);
  if (at.error != ErrorCode::none) return refuse(at.error);
  d.id = at.id;
  const Result<void> leads = at.replica->leads(kNoEpoch);
  if (!leads) return refuse(leads.error().code);
  if (!at.replica->log().ready()) return refuse(ErrorCode::not_leader_or_follower);
  if (!t.topic_config(at.topic->name).deleted_by_age()) return refuse(ErrorCode::policy_violation);
  if (offset == -1) offset = at.replica->high_watermark();
  if (offset < 0 || offset > at.replica->high_watermark()) return refuse(ErrorCode::offset_out_of_range);
  if (offset > at.replica->log().ends().log_start && !t.p.replicas.delete_before(t.ctx(), at.id, offset, moved))
    return refuse(ErrorCode::offset_out_of_range);
  d.wanted = offset;
  return d;
}

// The lowest start of the logs of live replicas: below it nothing can be read any more, whoever leads.
Offset low_watermark(const Turn& t, const replication::Partition& p) {
  Offset low = p.log().ends().log_start;
  for (NodeId n : p.assignment().replicas) {
    const metadata::Broker* b = t.p.image.broker(n);
    if (n == NodeId{t.p.config.node_id} || !b || !b->active()) continue;
    const replication::Remote* r = p.remote(n);
    low = std::min(low, r ? r->start : Offset{-1});
  }
  return low;
}

// Whether it is not to be waited for any more; fills in how it went.
bool settled(const Turn& t, DeletedPartition& d) {
  if (d.error != 0) return true;
  const replication::Partition* p = t.p.replicas.find(d.id);
  if (!p || !p->leads(kNoEpoch)) {
    d.error = code(ErrorCode::not_leader_or_follower);
    return true;
  }
  d.low = low_watermark(t, *p);
  return d.low >= d.wanted;
}

void finish(Turn& t, const ParkedDelete& done) {
  protocol::DeleteRecordsResponse m;
  for (const DeletedPartition& d : done.partitions) {
    if (m.topics.empty() || m.topics.back().name != Str(d.topic)) m.topics.add(t.arena()).name = d.topic;
    auto& y = m.topics.back().partitions.add(t.arena());
    y.partition_index = d.id.partition;
    y.error_code = d.error;
    y.low_watermark = d.error == 0 ? d.low : -1;
  }
  t.answer(done.ticket, m);
}

void look(Turn& t, ParkedDelete work) {
  bool waits = false;
  for (DeletedPartition& d : work.partitions) waits = !settled(t, d) || waits;
  if (!waits) return finish(t, work);
  if (t.ctx().now < work.until) {
    const Instant at = earlier(work.until, t.ctx().now + kLook);
    const uint64_t owner = work.ticket.conn.packed();
    t.p.deletes.park({}, at, std::move(work), owner);
    return;
  }
  for (DeletedPartition& d : work.partitions)
    if (!settled(t, d)) d.error = code(ErrorCode::request_timed_out);
  finish(t, work);
}

}  // namespace

void handle_delete_records(Turn& t, Request& r) {
  protocol::DeleteRecordsRequest q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  ParkedDelete work;
  work.ticket = r.ticket;
  work.until = t.ctx().now + milliseconds(std::max(q.timeout_ms, 0));
  replication::Out moved;
  std::map<std::pair<Str, int32_t>, Offset> wanted;  // of a partition that is named twice the last offset counts
  for (const auto& topic : q.topics)
    for (const auto& x : topic.partitions) wanted[{topic.name, x.partition_index}] = x.offset;
  for (const auto& topic : q.topics)
    for (const auto& x : topic.partitions)
      if (const auto once = wanted.extract({topic.name, x.partition_index}))
        work.partitions.push_back(remove(t, topic.name, x.partition_index, once.mapped(), moved));
  t.drain(moved);
  look(t, std::move(work));
}

void deletes_on_time(Turn& t) {
  std::vector<parked::ParkedId> due;
  t.p.deletes.expire(t.ctx().now, due);
  for (parked::ParkedId id : due) look(t, t.p.deletes.take(id));
}

}  // namespace klamm::broker
