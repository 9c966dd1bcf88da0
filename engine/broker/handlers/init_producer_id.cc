// InitProducerId 0-5: an id for an idempotent producer (KIP-98), from a block that the controller allots (KIP-730). A
// producer that names its id gets a new one: without a transactional id there is no epoch to bump on the broker.
// Not here yet: transactional ids.
#include "engine/protocol/messages/init_producer_id.h"

#include "engine/broker/handlers.h"
#include "engine/protocol/messages/allocate_producer_ids.h"

namespace klamm::broker {
namespace {

constexpr Duration kRetry = milliseconds(50);

void refuse(Turn& t, const Ticket& ticket, ErrorCode error) {
  protocol::InitProducerIdResponse m;
  m.error_code = code(error);
  m.producer_epoch = -1;
  t.answer(ticket, m);
}

void give(Turn& t, const Ticket& ticket) {
  protocol::InitProducerIdResponse m;
  m.producer_id = t.p.producer_ids.next++;
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

}  // namespace

void handle_init_producer_id(Turn& t, Request& r) {
  protocol::InitProducerIdRequest q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  if (!is_null(q.transactional_id)) {
    if (q.transactional_id.empty()) return refuse(t, r.ticket, ErrorCode::invalid_request);
    return refuse(t, r.ticket, ErrorCode::not_coordinator);
  }
  if ((q.producer_id == -1) != (q.producer_epoch == -1)) return refuse(t, r.ticket, ErrorCode::invalid_request);
  ProducerIds& ids = t.p.producer_ids;
  if (ids.next < ids.end) return give(t, r.ticket);
  if (ids.waiting.size() >= ProducerIds::kWaitingMost)
    return refuse(t, r.ticket, ErrorCode::coordinator_load_in_progress);
  ids.waiting.push_back(r.ticket);
  ask(t);
}

void producer_ids_answered(Turn& t, const net::Answer& a) {
  ProducerIds& ids = t.p.producer_ids;
  ids.asked = false;
  protocol::AllocateProducerIdsResponse m;
  Reader reader(a.body.span());
  if (a.error == IoError::none && decode(reader, t.arena(), 0, m) && m.error_code == 0 && m.producer_id_len > 0) {
    ids.next = m.producer_id_start;
    ids.end = m.producer_id_start + m.producer_id_len;
    ids.retry = kNever;
  } else {
    ids.retry = t.ctx().now + kRetry;
  }
  while (!ids.waiting.empty() && ids.next < ids.end) {
    give(t, ids.waiting.front());
    ids.waiting.pop_front();
  }
  if (!ids.waiting.empty() && ids.retry == kNever) ask(t);
}

void producer_ids_on_time(Turn& t) {
  ProducerIds& ids = t.p.producer_ids;
  if (ids.retry > t.ctx().now) return;
  ids.retry = kNever;
  if (!ids.waiting.empty() && !ids.asked) ask(t);
}

}  // namespace klamm::broker
