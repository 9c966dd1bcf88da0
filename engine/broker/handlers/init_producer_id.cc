// InitProducerId 0-5: an id for an idempotent producer (KIP-98), from a block that the controller allots (KIP-730). A
// producer that names its id gets a new one: without a transactional id there is no epoch to bump on the broker.
// Not here yet: transactional ids.
#include "engine/protocol/messages/init_producer_id.h"

#include <limits>
#include <optional>
#include <utility>

#include "engine/broker/handlers.h"
#include "engine/protocol/messages/allocate_producer_ids.h"

namespace klamm::broker {
namespace {

constexpr Duration kRetry = milliseconds(50);
constexpr Duration kWait = seconds(1);  // for a block; Kafka does not wait at all, its clients ask again
constexpr int64_t kLowPercent = 90;     // of a block given: then the next one is asked for, as by Kafka

void refuse(Turn& t, const Ticket& ticket, ErrorCode error) {
  protocol::InitProducerIdResponse m;
  m.error_code = code(error);
  m.producer_epoch = -1;
  t.answer(ticket, m);
}

void ask(Turn& t) {
  ProducerIds& ids = t.p.producer_ids;
  if (ids.asked || (ids.retry != kNever && t.ctx().now < ids.retry)) return;
  protocol::AllocateProducerIdsRequest m;
  m.broker_id = t.p.config.node_id;
  m.broker_epoch = t.p.lifecycle.epoch();
  Writer w;
  encode(w, 0, m);
  ids.retry = kNever;
  ids.asked = t.call_controller(m.kApiKey, 0, w.finish(), Owner{kProducerIds, 0, 0}, t.p.config.request_timeout);
  if (!ids.asked) ids.retry = t.ctx().now + kRetry;
}

// False: there is none.
bool give(Turn& t, const Ticket& ticket) {
  ProducerIds& ids = t.p.producer_ids;
  if (ids.block.next == ids.block.end) ids.block = std::exchange(ids.following, {});
  if (ids.block.next == ids.block.end) return false;
  protocol::InitProducerIdResponse m;
  m.producer_id = ids.block.next++;
  t.answer(ticket, m);
  if (ids.block.next > ids.block.low && ids.following.next == ids.following.end) ask(t);
  return true;
}

std::optional<ProducerIdBlock> read_block(Turn& t, const net::Answer& a) {
  protocol::AllocateProducerIdsResponse m;
  Reader reader(a.body.span());
  if (a.error != IoError::none || !decode(reader, t.arena(), 0, m) || m.error_code != 0) return std::nullopt;
  const ProducerId first = m.producer_id_start;
  const int64_t count = m.producer_id_len;
  if (first < 0 || count <= 0 || first > std::numeric_limits<ProducerId>::max() - count) return std::nullopt;
  return ProducerIdBlock{first, first + count, first + count * kLowPercent / 100};
}

}  // namespace

void handle_init_producer_id(Turn& t, Request& r) {
  protocol::InitProducerIdRequest q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  if (!is_null(q.transactional_id)) {
    if (q.transactional_id.empty()) return refuse(t, r.ticket, ErrorCode::invalid_request);
    return refuse(t, r.ticket, ErrorCode::not_coordinator);
  }
  if ((q.producer_id == -1) != (q.producer_epoch == -1)) return refuse(t, r.ticket, ErrorCode::invalid_request);
  if (give(t, r.ticket)) return;
  ProducerIds& ids = t.p.producer_ids;
  if (ids.waiting.size() >= ProducerIds::kWaitingMost)
    return refuse(t, r.ticket, ErrorCode::coordinator_load_in_progress);
  ids.waiting.push_back({r.ticket, t.ctx().now + kWait});
  ask(t);
}

void producer_ids_answered(Turn& t, const net::Answer& a) {
  ProducerIds& ids = t.p.producer_ids;
  ids.asked = false;
  const auto block = read_block(t, a);
  ids.retry = block ? kNever : t.ctx().now + kRetry;
  if (block) ids.following = *block;
  while (!ids.waiting.empty() && give(t, ids.waiting.front().ticket)) ids.waiting.pop_front();
  if (!ids.waiting.empty()) ask(t);
}

// Those who have waited long enough ask again: what holds up the block may be this broker's way to the controller.
void producer_ids_on_time(Turn& t) {
  ProducerIds& ids = t.p.producer_ids;
  for (; !ids.waiting.empty() && ids.waiting.front().until <= t.ctx().now; ids.waiting.pop_front())
    refuse(t, ids.waiting.front().ticket, ErrorCode::coordinator_load_in_progress);
  if (ids.retry > t.ctx().now) return;
  ids.retry = kNever;
  if (!ids.waiting.empty()) ask(t);
}

}  // namespace klamm::broker
