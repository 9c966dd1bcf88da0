// How connections end, and which have to.
#include <algorithm>

#include "engine/net/server.h"
#include "engine/protocol/api_keys.h"

namespace klamm::net {

void Server::set_limits(Io& io, ServerLimits limits) {
  limits_ = std::move(limits);
  shed(io, false);
  shed(io, true);
}

// Whole requests are served although nobody takes the answers: an acks=0 Produce wants none.
void Server::closed(NetIo net, ByConn::iterator it, IoError error) {
  auto& [id, c] = *it;
  const bool controller = role_of(c.listener).controller;
  const auto peer = by_peer_.find({controller, c.peer});
  if (--peer->second == 0) by_peer_.erase(peer);
  --by_role_.at(controller);
  idle_looks_.erase({c.look, id});
  net.conns.remove(id);
  net.io.ctx.trace.event(
      {TraceKind::connection_closed, 0, static_cast<int32_t>(error), static_cast<int64_t>(id.packed()), 0, 0});
  const auto produces = [](const Slot& slot) { return !slot.done && slot.ticket.api == protocol::api::kProduce; };
  const bool wanted = !c.waiting.empty() || std::any_of(c.slots.begin(), c.slots.end(), produces);
  const size_t bytes = c.waiting_bytes + c.started_bytes;
  const bool fits = left_ < kLeftMax && left_bytes_ + bytes <= kLeftBytesMax;
  if (!wanted || !fits || c.stage == Stage::draining) return void(by_conn_.erase(it));
  c.stage = Stage::left;
  c.frames = Frames(limits_.request_bytes_max);
  c.left = c.sent;
  for (Slot& slot : c.slots) slot.bytes.clear(), slot.regions.clear();
  c.left_bytes = bytes;
  left_bytes_ += bytes;
  ++left_;
  look_at(net.io.ctx.now + kLeftMost, id, c);
  queue_if_runnable(id, c);
}

// As Kafka, which reads no further while a request is served, and so learns of it last.
void Server::fell_mute(Io& io, ByConn::iterator it) {
  auto& [id, c] = *it;
  c.mute = c.paused = true;
  idle_looks_.erase({c.look, id});
  look_at(io.ctx.now + kLeftMost, id, c);
  finish(io, it);
}

// Nothing more is read; what came whole is served and answered.
void Server::finish(Io& io, ByConn::iterator it) {
  auto& [id, c] = *it;
  if (c.stage == Stage::open) c.stage = Stage::ending;
  if (end_if_done(io, it)) return;
  if (c.stage == Stage::ending && !c.paused) {
    c.paused = true;
    io.out.push_back(Pause{id});
  }
  queue_if_runnable(id, c);
}

// The same, where only what lies before one of the slots is to be answered.
void Server::finish_before(Io& io, ByConn::iterator it, size_t slot) {
  Connection& c = it->second;
  for (; c.slots.size() > slot; c.slots.pop_back()) c.started_bytes -= c.slots.back().size;
  drop_waiting(c);
  finish(io, it);
}

// True: the connection may be no more.
bool Server::end_if_done(Io& io, ByConn::iterator it) {
  Connection& c = it->second;
  if (!c.slots.empty() || !c.waiting.empty()) return false;
  if (c.stage == Stage::ending) drain(io, it->first, c);
  if (c.stage == Stage::left) forget(it);
  return true;
}

void Server::drop_waiting(Connection& c) {
  c.waiting.clear();
  c.waiting_bytes = 0;
}

void Server::forget(ByConn::iterator it) {
  idle_looks_.erase({it->second.look, it->first});
  left_bytes_ -= it->second.left_bytes;
  --left_;
  by_conn_.erase(it);
}

void Server::close(Io& io, ConnId id) {
  const auto it = by_conn_.find(id);
  if (it == by_conn_.end() || !has(id) || it->second.stage == Stage::draining) return;
  drop_waiting(it->second);
  drain(io, id, it->second);
}

void Server::drain(Io& io, ConnId id, Connection& c) {
  c.stage = Stage::draining;
  c.active = io.ctx.now;
  io.out.push_back(Close{id, true});
  idle_looks_.erase({c.look, id});
  look_at(io.ctx.now + kDrainMost, id, c);
}

// Closes at once those that max.connections has no room for.
void Server::shed(Io& io, bool controller) {
  if (connections_too_many(of_role(controller), limits_.connections_max) == 0) return;
  size_t there = 0;
  std::vector<std::pair<Instant, ConnId>> open;  // that may have to go
  for (const auto& [id, c] : by_conn_) {
    const ListenerRole role = role_of(c.listener);
    if (role.controller != controller || c.stage == Stage::draining || c.stage == Stage::left) continue;
    ++there;
    if (!role.guarded) open.emplace_back(c.active, id);
  }
  std::sort(open.begin(), open.end());
  open.resize(std::min(open.size(), connections_too_many(there, limits_.connections_max)));
  for (const auto& [active, id] : open) {
    Connection& c = by_conn_.at(id);
    drop_waiting(c);
    c.stage = Stage::draining;
    idle_looks_.erase({c.look, id});
    io.out.push_back(Close{id});
  }
}

void Server::look_at(Instant when, ConnId id, Connection& c) {
  c.look = when;
  idle_looks_.insert({when, id});
}

// A look costs a connection nothing while it is in use: it is only moved on when it is due.
void Server::on_time(Io& io) {
  while (!idle_looks_.empty() && idle_looks_.begin()->first <= io.ctx.now) {
    const auto it = by_conn_.find(idle_looks_.begin()->second);
    idle_looks_.erase(idle_looks_.begin());
    auto& [id, c] = *it;
    if (c.stage == Stage::left) {
      forget(it);
      continue;
    }
    // One whose answers nobody takes is idle, though its next request waits for them to leave.
    if (c.mute && c.stage != Stage::draining) {
      close(io, id);
      continue;
    }
    const bool asks = c.stage != Stage::draining && (!c.slots.empty() || may_start(c));
    const Duration patience = c.stage == Stage::draining ? kDrainMost : limits_.idle_max;
    const Instant until = (asks ? io.ctx.now : c.active) + patience;
    if (until > io.ctx.now)
      look_at(until, id, c);
    else if (c.stage == Stage::draining)
      io.out.push_back(Close{id});
    else
      close(io, id);
  }
}

}  // namespace klamm::net
