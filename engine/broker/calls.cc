#include "engine/broker/turn.h"
#include "engine/protocol/api_table.h"
#include "engine/protocol/messages/envelope.h"

namespace klamm::broker {

NodeId Turn::active_controller() const { return p.quorum ? p.quorum->leadership().leader : kNoNode; }

void Turn::call(uint64_t peer, Channel channel, NodeId to, int16_t api, int16_t version, std::vector<Slice> body,
                Owner owner, Duration timeout) {
  if (to == NodeId{p.config.node_id}) {
    const uint32_t id = ++p.local.last;
    p.local.under_way[id] = {owner, api, version};
    Writer w;
    for (const Slice& s : body) w.attach(s);
    Request r;
    r.ticket = Ticket{ConnId{}, id, 0, api, version, false};
    r.kind = peer >= kControllerPeers ? ListenerKind::controller : ListenerKind::broker;
    r.frame = w.finish_contiguous();
    p.mailbox.push_back(std::move(r));
    return;
  }
  p.calls.call(net(), {peer, static_cast<uint16_t>(channel), api, version, std::to_string(p.config.node_id),
                       std::move(body), timeout, owner});
}

bool Turn::call_controller(int16_t api, int16_t version, std::vector<Slice> body, Owner owner, Duration timeout) {
  const NodeId leader = active_controller();
  if (leader == kNoNode) return false;
  call(controller_peer(leader), api == protocol::api::kEnvelope ? kForwardChannel : kQuick, leader, api, version,
       std::move(body), owner, timeout);
  return true;
}

void Turn::reply(Reply reply) {
  const Ticket ticket = reply.ticket;
  // A controller that is not active has only NOT_CONTROLLER to say: who forwarded the request asks again elsewhere.
  const bool moved =
      controller::Controller::serves(ticket.api) && !reply.close && !(p.controller && p.controller->active());
  if (ticket.enveloped) {
    // The inner response, with its header, is the content of the outer one (KIP-590).
    const auto it = p.envelopes.outer.find(ticket);
    if (it == p.envelopes.outer.end()) return;
    const Ticket outer = it->second;
    p.envelopes.outer.erase(it);
    const protocol::ApiInfo* api = protocol::find_api(ticket.api);
    KLAMM_ASSERT(api != nullptr);
    KLAMM_ASSERT(reply.regions.empty());
    Writer inner;
    inner.i32(ticket.correlation);
    if (api->response_header(ticket.version) == 1) inner.uvarint(0);
    for (const Slice& s : reply.body) inner.attach(s);
    const Slice bytes = inner.finish_contiguous();
    protocol::EnvelopeResponse m;
    if (reply.close)
      m.error_code = code(ErrorCode::unsupported_version);  // as Kafka says of content that it cannot parse
    else if (moved)
      m.error_code = code(ErrorCode::not_controller);
    else
      m.response_data = protocol::Bytes::of(bytes.span());
    return answer(outer, m, bytes.size() + 32);
  }
  if (!ticket.conn && ticket.slot == 0) return;  // nobody waits: an automatic creation
  if (ticket.conn) return p.server.reply(io, std::move(reply));
  KLAMM_ASSERT(reply.regions.empty());  // only a connection can carry them
  const auto it = p.local.under_way.find(ticket.slot);
  KLAMM_ASSERT(it != p.local.under_way.end());
  net::Answer a;
  a.owner = it->second.owner;
  a.api = it->second.api;
  a.version = it->second.version;
  if (reply.close || (moved && a.owner.module == kForward)) a.error = IoError::aborted;
  Writer w;
  for (const Slice& s : reply.body) w.attach(s);
  a.body = w.finish_contiguous();
  p.local.under_way.erase(it);
  p.mailbox.push_back(std::move(a));
}

}  // namespace klamm::broker
