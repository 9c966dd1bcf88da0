#include "engine/net/server.h"

#include "engine/protocol/frame.h"

namespace klamm::net {
namespace {

constexpr int16_t kProduce = 0;

int16_t api_key(const Slice& frame) {
  return frame.size() < 2 ? int16_t{-1} : static_cast<int16_t>(frame.data()[0] << 8 | frame.data()[1]);
}

}  // namespace

ListenerRole Server::role_of(ListenerId listener) const {
  return listener.value < limits_.listeners.size() ? limits_.listeners[listener.value] : ListenerRole{};
}

size_t Server::of_role(bool controller) const {
  const auto count = by_role_.find(controller);
  return count == by_role_.end() ? 0 : count->second;
}

bool Server::has_room_for(const ListenerRole& role, const std::string& peer) const {
  if (!connection_fits(role, of_role(role.controller), limits_.connections_max)) return false;
  const auto count = by_peer_.find({role.controller, peer});
  const auto own = limits_.peer_overrides.find(peer);
  const uint32_t most = own == limits_.peer_overrides.end() ? limits_.peer_connections_max : own->second;
  return (count == by_peer_.end() ? 0 : count->second) < most;
}

void Server::accepted(NetIo net, const Accepted& e) {
  const ListenerRole role = role_of(e.listener);
  if (!has_room_for(role, e.peer_host)) {
    net.io.out.push_back(Refuse{e.pending});
    return;
  }
  const ConnId id = net.conns.add({ConnKind::inbound, 0, e.listener.value});
  Connection& c = by_conn_.try_emplace(id, limits_.request_bytes_max).first->second;
  c.listener = e.listener;
  c.peer = e.peer_host;
  c.peer_port = e.peer_port;
  ++by_peer_[{role.controller, c.peer}];
  ++by_role_[role.controller];
  c.active = net.io.ctx.now;
  if (limits_.idle_max > Duration{}) look_at(c.active + limits_.idle_max, id, c);
  net.io.out.push_back(Adopt{e.pending, id});
  net.io.ctx.trace.event({TraceKind::connection_opened, 0, 0, static_cast<int64_t>(id.packed()), e.peer_port, 0});
  shed(net.io, role.controller);
}

bool Server::on_event(NetIo net, const Event& event) {
  if (const auto* e = std::get_if<Accepted>(&event)) {
    accepted(net, *e);
    return true;
  }
  const auto it = by_conn_.find(conn_of(event));
  if (it == by_conn_.end()) return false;
  if (const auto* e = std::get_if<Received>(&event)) {
    received(net.io, it, e->bytes);
  } else if (const auto* e = std::get_if<Sent>(&event)) {
    KLAMM_ASSERT_REL(e->total, <=, it->second.sent);
    it->second.left = e->total;
    it->second.active = net.io.ctx.now;
    queue_if_runnable(it->first, it->second);
  } else if (const auto* e = std::get_if<Closed>(&event)) {
    closed(net, it, e->error);
  }
  return true;
}

void Server::received(Io& io, ByConn::iterator it, const Slice& bytes) {
  auto& [id, c] = *it;
  if (c.stage != Stage::open) return;
  if (bytes.empty()) return fell_mute(io, it);
  std::vector<Slice> frames;
  const bool sound = c.frames.feed(bytes, frames);
  c.active = io.ctx.now;
  for (Slice& frame : frames) {
    c.waiting_bytes += frame.size();
    c.waiting.push_back(std::move(frame));
  }
  if (!sound) return finish(io, it);
  if (c.frames.wants_room()) io.out.push_back(Room{id, c.frames.room()});
  if ((c.waiting.size() >= kWaitingMax || c.waiting_bytes >= kWaitingBytesMax) && !c.paused) {
    c.paused = true;
    io.out.push_back(Pause{id});
  }
  queue_if_runnable(id, c);
}

bool Server::may_start(const Connection& c) const {
  if (c.waiting.empty() || c.stage == Stage::draining || c.sent - c.left > limits_.unsent_bytes_max) return false;
  if (c.slots.empty()) return true;
  return c.slots.back().produce && c.slots.size() < kProduceOverlapMax &&
         c.started_bytes + c.waiting.front().size() <= kStartedBytesMax && api_key(c.waiting.front()) == kProduce;
}

void Server::queue_if_runnable(ConnId id, Connection& c) {
  if (c.queued || !may_start(c)) return;
  c.queued = true;
  runnable_.push_back(id);
}

Slice Server::take_waiting(Io& io, ConnId id, Connection& c) {
  Slice frame = std::move(c.waiting.front());
  c.waiting.pop_front();
  KLAMM_ASSERT_REL(frame.size(), <=, c.waiting_bytes);
  c.waiting_bytes -= frame.size();
  if (c.stage == Stage::open && c.paused && c.waiting.size() <= kWaitingMax / 2 &&
      c.waiting_bytes <= kWaitingBytesMax / 2) {
    c.paused = false;
    io.out.push_back(Resume{id});
  }
  return frame;
}

bool Server::next(Io& io, Incoming* out) {
  while (!runnable_.empty()) {
    const ConnId id = runnable_.front();
    runnable_.pop_front();
    const auto it = by_conn_.find(id);
    if (it == by_conn_.end()) continue;
    Connection& c = it->second;
    c.queued = false;
    if (!may_start(c)) continue;
    *out = Incoming{};
    out->frame = take_waiting(io, id, c);
    Reader reader(out->frame.span());
    protocol::RequestHeader header;
    if (!protocol::decode_request_header(reader, io.ctx.arena(), header)) {
      finish_before(io, it, c.slots.size());
      continue;
    }
    out->ticket =
        Ticket{id, c.next_slot++, header.correlation_id, header.request_api_key, header.request_api_version, false};
    out->listener = c.listener;
    out->body = out->frame.span().subspan(reader.position());
    out->client_id = header.client_id;
    c.slots.push_back({out->ticket, false, header.request_api_key == kProduce, out->frame.size(), {}, {}});
    c.started_bytes += out->frame.size();
    io.ctx.trace.event({TraceKind::request, 0, header.request_api_key, static_cast<int64_t>(id.packed()),
                        header.request_api_version, header.correlation_id});
    queue_if_runnable(id, c);
    return true;
  }
  return false;
}

Server::Slot* Server::find_slot(Connection& c, const Ticket& ticket) {
  if (c.slots.empty()) return nullptr;
  const uint32_t index = ticket.slot - c.slots.front().ticket.slot;
  if (index >= c.slots.size()) return nullptr;
  Slot& slot = c.slots[index];
  KLAMM_ASSERT(!slot.done);  // one reply per slot
  return &slot;
}

void Server::hold(const Ticket& ticket) {
  const auto it = by_conn_.find(ticket.conn);
  if (Slot* slot = it == by_conn_.end() ? nullptr : find_slot(it->second, ticket)) slot->produce = false;
}

void Server::reply(Io& io, Reply reply) {
  const auto it = by_conn_.find(reply.ticket.conn);
  if (it == by_conn_.end() || it->second.stage == Stage::draining) return;
  Slot* slot = find_slot(it->second, reply.ticket);
  if (!slot) return;
  size_t size = 0;
  for (const Slice& s : reply.body) size += s.size();
  for (const PlacedRegion& r : reply.regions) size += r.region.size;
  if (reply.close || size > kReplyMax)  // whose frame could not say how large it is
    return finish_before(io, it, reply.ticket.slot - it->second.slots.front().ticket.slot);
  slot->done = true;
  if (it->second.stage != Stage::left) frame_reply(reply, size, *slot);
  flush(io, it);
}

void Server::frame_reply(const Reply& reply, size_t size, Slot& slot) const {
  // An ApiVersions of a version that we do not know is answered in version 0; its header is version 0 in any case.
  const protocol::ApiInfo* api = protocol::find_api(reply.ticket.api);
  KLAMM_ASSERT(api != nullptr);
  const bool tagged = api->response_header(reply.ticket.version) == 1;
  Writer w(16 + (reply.body.size() == 1 && size < Writer::kAttachMin ? size : 0));
  w.i32(static_cast<int32_t>(4 + (tagged ? 1 : 0) + size));
  w.i32(reply.ticket.correlation);
  if (tagged) w.uvarint(0);
  auto region = reply.regions.begin();
  for (size_t i = 0; i <= reply.body.size(); ++i) {
    for (; region != reply.regions.end() && region->before == i; ++region) w.region(region->region);
    if (i < reply.body.size()) w.attach(reply.body[i]);
  }
  KLAMM_ASSERT(region == reply.regions.end());
  slot.regions = w.take_regions();
  slot.bytes = w.finish();
}

void Server::skip(Io& io, const Ticket& ticket) {
  const auto it = by_conn_.find(ticket.conn);
  if (it == by_conn_.end() || it->second.stage == Stage::draining) return;
  if (Slot* slot = find_slot(it->second, ticket)) {
    slot->done = true;
    flush(io, it);
  }
}

// True: the end of these bytes is to be told of.
bool Server::note_send(Connection& c, size_t size) {
  c.sent += size;
  if (c.sent - c.told < kTellEvery) return false;
  c.told = c.sent;
  return true;
}

void Server::send(Io& io, ConnId id, Connection& c, const Slot& slot) {
  auto region = slot.regions.begin();
  for (size_t i = 0; i <= slot.bytes.size(); ++i) {
    for (; region != slot.regions.end() && region->before == i; ++region)
      io.out.push_back(SendRegion{id, region->region, note_send(c, region->region.size)});
    if (i < slot.bytes.size() && !slot.bytes[i].empty())
      io.out.push_back(Send{id, slot.bytes[i], note_send(c, slot.bytes[i].size())});
  }
}

// Sends the replies that are done and have none before them that is not.
void Server::flush(Io& io, ByConn::iterator it) {
  auto& [id, c] = *it;
  while (!c.slots.empty() && c.slots.front().done) {
    if (c.stage != Stage::left) send(io, id, c, c.slots.front());
    c.started_bytes -= c.slots.front().size;
    c.slots.pop_front();
  }
  // What is not told of is less than kTellEvery, so the limit on unsent bytes always ends with a Sent.
  if (!end_if_done(io, it)) queue_if_runnable(id, c);
}

bool Server::has(ConnId conn) const {
  const auto it = by_conn_.find(conn);
  return it != by_conn_.end() && it->second.stage != Stage::left;
}

const std::string* Server::peer_host(ConnId conn) const {
  const auto it = by_conn_.find(conn);
  return it == by_conn_.end() ? nullptr : &it->second.peer;
}

uint16_t Server::peer_port(ConnId conn) const {
  const auto it = by_conn_.find(conn);
  return it == by_conn_.end() ? uint16_t{0} : it->second.peer_port;
}

}  // namespace klamm::net
