#include "engine/net/server.h"

#include "engine/protocol/frame.h"

namespace klamm::net {
namespace {

constexpr int16_t kProduce = 0;
constexpr Duration kDrainMost = seconds(10);  // for a peer to take what it was answered before the close

int16_t api_key(const Slice& frame) {
  return frame.size() < 2 ? int16_t{-1} : static_cast<int16_t>(frame.data()[0] << 8 | frame.data()[1]);
}

}  // namespace

bool Server::has_room_for(const std::string& peer) const {
  if (by_conn_.size() >= limits_.connections_max) return false;
  const auto count = by_peer_.find(peer);
  const auto own = limits_.peer_overrides.find(peer);
  const uint32_t most = own == limits_.peer_overrides.end() ? limits_.peer_connections_max : own->second;
  return (count == by_peer_.end() ? 0 : count->second) < most;
}

void Server::accepted(NetIo net, const Accepted& e) {
  if (!has_room_for(e.peer_host)) {
    net.io.out.push_back(Refuse{e.pending});
    return;
  }
  const ConnId id = net.conns.add({ConnKind::inbound, 0, e.listener.value});
  Connection& c = by_conn_.try_emplace(id, limits_.request_bytes_max).first->second;
  c.listener = e.listener;
  c.peer = e.peer_host;
  c.peer_port = e.peer_port;
  ++by_peer_[c.peer];
  c.active = net.io.ctx.now;
  if (limits_.idle_max > Duration{}) look_at(c.active + limits_.idle_max, id, c);
  net.io.out.push_back(Adopt{e.pending, id});
  net.io.ctx.trace.event({TraceKind::connection_opened, 0, 0, static_cast<int64_t>(id.packed()), e.peer_port, 0});
}

bool Server::on_event(NetIo net, const Event& event) {
  if (const auto* e = std::get_if<Accepted>(&event)) {
    accepted(net, *e);
    return true;
  }
  const auto it = by_conn_.find(conn_of(event));
  if (it == by_conn_.end()) return false;
  if (const auto* e = std::get_if<Received>(&event)) {
    received(net.io, e->conn, e->bytes);
  } else if (const auto* e = std::get_if<Sent>(&event)) {
    KLAMM_ASSERT_REL(e->total, <=, it->second.sent);
    it->second.left = e->total;
    queue_if_runnable(it->first, it->second);
  } else if (const auto* e = std::get_if<Closed>(&event)) {
    idle_looks_.erase({it->second.look, it->first});
    if (const auto peer = by_peer_.find(it->second.peer); --peer->second == 0) by_peer_.erase(peer);
    by_conn_.erase(it);
    net.conns.remove(e->conn);
    net.io.ctx.trace.event({TraceKind::connection_closed, 0, static_cast<int32_t>(e->error),
                            static_cast<int64_t>(e->conn.packed()), 0, 0});
  }
  return true;
}

void Server::received(Io& io, ConnId id, const Slice& bytes) {
  Connection& c = by_conn_.at(id);
  if (c.draining) return;
  std::vector<Slice> frames;
  const bool sound = c.frames.feed(bytes, frames);
  c.active = io.ctx.now;
  for (Slice& frame : frames) {
    c.waiting_bytes += frame.size();
    c.waiting.push_back(std::move(frame));
  }
  if (!sound) return close(io, id);
  if (c.frames.wants_room()) io.out.push_back(Room{id, c.frames.room()});
  if ((c.waiting.size() >= kWaitingMax || c.waiting_bytes >= kWaitingBytesMax) && !c.paused) {
    c.paused = true;
    io.out.push_back(Pause{id});
  }
  queue_if_runnable(id, c);
}

bool Server::may_start(const Connection& c) const {
  if (c.waiting.empty() || c.draining || c.sent - c.left > limits_.unsent_bytes_max) return false;
  if (c.slots.empty()) return true;
  return c.slots.back().produce && c.slots.size() < kProduceOverlapMax && api_key(c.waiting.front()) == kProduce;
}

void Server::queue_if_runnable(ConnId id, Connection& c) {
  if (c.queued || !may_start(c)) return;
  c.queued = true;
  runnable_.push_back(id);
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
    out->frame = std::move(c.waiting.front());
    c.waiting.pop_front();
    KLAMM_ASSERT_REL(out->frame.size(), <=, c.waiting_bytes);
    c.waiting_bytes -= out->frame.size();
    if (c.paused && c.waiting.size() <= kWaitingMax / 2 && c.waiting_bytes <= kWaitingBytesMax / 2) {
      c.paused = false;
      io.out.push_back(Resume{id});
    }
    Reader reader(out->frame.span());
    protocol::RequestHeader header;
    if (!protocol::decode_request_header(reader, io.ctx.arena(), header)) {
      close(io, id);
      continue;
    }
    out->ticket =
        Ticket{id, c.next_slot++, header.correlation_id, header.request_api_key, header.request_api_version, false};
    out->listener = c.listener;
    out->body = out->frame.span().subspan(reader.position());
    out->client_id = header.client_id;
    c.slots.push_back(Slot{out->ticket, false, header.request_api_key == kProduce, {}});
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
  if (it == by_conn_.end() || it->second.draining) return;
  Slot* slot = find_slot(it->second, reply.ticket);
  if (!slot) return;
  if (reply.close) return close(io, reply.ticket.conn);
  slot->done = true;
  size_t size = 0;
  for (const Slice& s : reply.body) size += s.size();
  for (const PlacedRegion& r : reply.regions) size += r.region.size;
  if (size > kReplyMax) return close(io, reply.ticket.conn);  // its frame could not say how large it is
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
  slot->regions = w.take_regions();
  slot->bytes = w.finish();
  flush(io, it->first, it->second);
}

void Server::skip(Io& io, const Ticket& ticket) {
  const auto it = by_conn_.find(ticket.conn);
  if (it == by_conn_.end() || it->second.draining) return;
  if (Slot* slot = find_slot(it->second, ticket)) {
    slot->done = true;
    flush(io, it->first, it->second);
  }
}

// True: the end of these bytes is to be told of.
bool Server::note_send(Connection& c, size_t size) {
  c.sent += size;
  if (c.sent - c.told < kTellEvery) return false;
  c.told = c.sent;
  return true;
}

// Sends the replies that are done and have none before them that is not.
void Server::flush(Io& io, ConnId id, Connection& c) {
  while (!c.slots.empty() && c.slots.front().done) {
    Slot& slot = c.slots.front();
    auto region = slot.regions.begin();
    for (size_t i = 0; i <= slot.bytes.size(); ++i) {
      for (; region != slot.regions.end() && region->before == i; ++region)
        io.out.push_back(SendRegion{id, region->region, note_send(c, region->region.size)});
      if (i < slot.bytes.size() && !slot.bytes[i].empty())
        io.out.push_back(Send{id, slot.bytes[i], note_send(c, slot.bytes[i].size())});
    }
    c.slots.pop_front();
  }
  // What is not told of is less than kTellEvery, so the limit on unsent bytes always ends with a Sent.
  queue_if_runnable(id, c);
}

void Server::close(Io& io, ConnId id) {
  const auto it = by_conn_.find(id);
  if (it == by_conn_.end() || it->second.draining) return;
  Connection& c = it->second;
  c.draining = true;
  c.waiting.clear();
  c.waiting_bytes = 0;
  io.out.push_back(Close{id, true});
  idle_looks_.erase({c.look, id});
  look_at(io.ctx.now + kDrainMost, id, c);
}

void Server::close_all(Io& io) {
  for (auto& [id, c] : by_conn_) close(io, id);
}

void Server::look_at(Instant when, ConnId id, Connection& c) {
  c.look = when;
  idle_looks_.insert({when, id});
}

// A look costs a connection nothing while it is in use: it is only moved on when it is due.
void Server::on_time(Io& io) {
  while (!idle_looks_.empty() && idle_looks_.begin()->first <= io.ctx.now) {
    const ConnId id = idle_looks_.begin()->second;
    idle_looks_.erase(idle_looks_.begin());
    Connection& c = by_conn_.at(id);
    if (c.draining) {  // a peer that reads nothing would keep it for ever
      io.out.push_back(Close{id});
      continue;
    }
    const bool asks = !c.slots.empty() || !c.waiting.empty();
    const Instant until = (asks ? io.ctx.now : c.active) + limits_.idle_max;
    if (until <= io.ctx.now)
      close(io, id);
    else
      look_at(until, id, c);
  }
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
