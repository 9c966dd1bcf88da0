// DescribeProducers 0 (KIP-664): the producers that a partition's leader remembers.
#include "engine/protocol/messages/describe_producers.h"

#include "engine/broker/handlers.h"
#include "engine/controller/rules.h"
#include "engine/protocol/text.h"

namespace klamm::broker {
namespace {

ErrorCode look(Turn& t, Str topic, int32_t partition,
               List<protocol::DescribeProducersResponse::ProducerState>& producers) {
  const Located at = locate(t, topic, Uuid{}, false, partition);
  if (at.error != ErrorCode::none) return at.error;
  const Result<void> leads = at.replica->leads(kNoEpoch);
  if (!leads || !at.replica->log().ready()) return ErrorCode::not_leader_or_follower;
  for (const auto& [id, entry] : at.replica->log().producers().entries()) {
    auto& x = producers.add(t.arena());
    x.producer_id = id;
    x.producer_epoch = entry.epoch;
    x.last_sequence = entry.newest() ? entry.newest()->last_sequence : -1;
    x.last_timestamp = entry.last_timestamp;
    x.coordinator_epoch = entry.coordinator_epoch;
    x.current_txn_start_offset = entry.transaction_first;
  }
  return ErrorCode::none;
}

}  // namespace

void handle_describe_producers(Turn& t, Request& r) {
  protocol::DescribeProducersRequest q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  protocol::DescribeProducersResponse m;
  const AnswerRoom room(t.arena());
  for (const auto& topic : q.topics) {
    auto& out = m.topics.add(t.arena());
    out.name = topic.name;
    const std::optional<std::string> fault = controller::topic_name_fault(topic.name);
    const bool known = t.p.image.topic(topic.name) != nullptr;
    for (int32_t partition : topic.partition_indexes) {
      if (!room.left()) return t.close(r.ticket);
      auto& y = out.partitions.add(t.arena());
      y.partition_index = partition;
      y.error_code =
          code(fault ? ErrorCode::invalid_topic_exception : look(t, topic.name, partition, y.active_producers));
      if (fault)  // only what is wrong with the topic is told
        y.error_message = t.arena().copy(protocol::fitting(*fault));
      else if (!known)
        y.error_message = "This server does not host this topic-partition.";
    }
  }
  t.answer(r.ticket, m);
}

}  // namespace klamm::broker
