#include "engine/net/calls.h"

#include <algorithm>

#include "engine/protocol/frame.h"

namespace klamm::net {
namespace {

void add_once(std::vector<uint64_t>& peers, uint64_t peer) {
  if (std::find(peers.begin(), peers.end(), peer) == peers.end()) peers.push_back(peer);
}

}  // namespace

void Calls::set_address(NetIo net, uint64_t peer, const Address& address, std::vector<Answer>& out) {
  Address& known = peers_[peer];
  if (known == address) return;
  const bool moved = known.port != 0;
  known = address;
  for (auto it = links_.lower_bound({peer, 0}); it != links_.end() && it->first.peer == peer; ++it) {
    if (moved && it->second.conn) {
      drop(net, it->second);
      ended(net, it->first, it->second, IoError::aborted, out);
    }
    pump(net, it->first, it->second);
  }
}

const Calls::Address* Calls::address(uint64_t peer) const {
  const auto it = peers_.find(peer);
  return it == peers_.end() ? nullptr : &it->second;
}

void Calls::forget(NetIo net, uint64_t peer, std::vector<Answer>& out) {
  peers_.erase(peer);
  broke_at_.erase(peer);
  for (auto it = links_.lower_bound({peer, 0}); it != links_.end() && it->first.peer == peer;) {
    drop(net, it->second);
    fail_all(it->second, IoError::aborted, out);
    timers_.cancel(it->second.timer);
    it = links_.erase(it);
  }
}

void Calls::forget_channel(NetIo net, uint16_t channel, std::vector<Answer>& out) {
  for (auto it = links_.begin(); it != links_.end();) {
    if (it->first.channel != channel) {
      ++it;
      continue;
    }
    drop(net, it->second);
    fail_all(it->second, IoError::aborted, out);
    timers_.cancel(it->second.timer);
    it = links_.erase(it);
  }
}

Calls::Link& Calls::link(Key key) { return links_.try_emplace(key, options_.frame_max).first->second; }

size_t Calls::under_way(uint64_t peer, uint16_t channel) const {
  const auto it = links_.find({peer, channel});
  return it == links_.end() ? 0 : it->second.sent.size() + it->second.unsent.size();
}

bool Calls::connected(uint64_t peer, uint16_t channel) const {
  const auto it = links_.find({peer, channel});
  return it != links_.end() && it->second.state == State::open;
}

std::optional<Instant> Calls::broke_at(uint64_t peer) const {
  const auto it = broke_at_.find(peer);
  return it == broke_at_.end() ? std::nullopt : std::optional(it->second);
}

void Calls::broke(Instant now, Key key, Link& l) {
  l.had_open = true;
  suspect(now, key.peer);
  add_once(broken_, key.peer);
}

void Calls::call(NetIo net, CallRequest request) {
  KLAMM_ASSERT_REL(request.channel, !=, kProbeChannel);
  const Key key{request.peer, request.channel};
  Link& l = link(key);
  KLAMM_ASSERT_REL(l.unsent.size(), <, kWaitingMax);
  Waiting w;
  w.number = ++last_call_;
  w.timer = timers_.set(net.io.ctx.now + request.timeout, {key, w.number});
  w.request = std::move(request);
  l.unsent.push_back(std::move(w));
  pump(net, key, l);
}

void Calls::probe(NetIo net, uint64_t peer) {
  Link& l = link({peer, kProbeChannel});
  if (l.probes_left > 0) return;
  l.probes_left = kProbeDials;
  l.backoff = {};
  pump(net, {peer, kProbeChannel}, l);
}

// Does what the link's state allows: dials, or sends up to the limit.
void Calls::pump(NetIo net, Key key, Link& l) {
  if (l.state == State::idle && (!l.unsent.empty() || l.probes_left > 0)) dial(net, key, l);
  if (l.state != State::open) return;
  while (!l.unsent.empty() && l.sent.size() < options_.in_flight_max) {
    Waiting w = std::move(l.unsent.front());
    l.unsent.pop_front();
    send(net, l, std::move(w));
  }
}

void Calls::dial(NetIo net, Key key, Link& l) {
  const auto peer = peers_.find(key.peer);
  if (peer == peers_.end()) return;
  KLAMM_ASSERT(!l.conn);
  l.state = State::dialing;
  l.conn = net.conns.add({ConnKind::outbound, key.channel, key.peer});
  l.timer = timers_.set(net.io.ctx.now + options_.connect_timeout, {key, 0});
  net.io.out.push_back(Dial{l.conn, peer->second.host, peer->second.port});
}

void Calls::send(NetIo net, Link& l, Waiting call) {
  CallRequest& r = call.request;
  call.correlation = l.next_correlation;
  l.next_correlation = l.next_correlation == INT32_MAX ? 0 : l.next_correlation + 1;
  Writer w(64);
  protocol::begin_request(w, {r.api, r.version, call.correlation, r.client_id});
  for (const Slice& s : r.body) w.attach(s);
  protocol::end_frame(w);
  KLAMM_ASSERT(w.ok());
  for (Slice& s : w.finish()) net.io.out.push_back(Send{l.conn, std::move(s)});
  r.body.clear();
  if (r.one_way) return timers_.cancel(call.timer);
  l.sent.push_back(std::move(call));
}

bool Calls::on_event(NetIo net, const Event& event, std::vector<Answer>& out) {
  const ConnId conn = conn_of(event);
  const ConnEntry* entry = conn ? net.conns.find(conn) : nullptr;
  if (!entry || entry->kind != ConnKind::outbound) return false;
  const Key key{entry->peer, entry->channel};
  const auto found = links_.find(key);
  Link* const l = found != links_.end() && found->second.conn == conn ? &found->second : nullptr;  // null: dropped
  if (const auto* x = std::get_if<Dialed>(&event)) {
    if (x->error != IoError::none) net.conns.remove(conn);
    if (l) dialed(net, key, *l, x->error, out);
    if (!l && x->error == IoError::none) net.io.out.push_back(Close{conn});
  } else if (const auto* y = std::get_if<Received>(&event)) {
    if (l) received(net, key, *l, y->bytes, out);
  } else if (const auto* z = std::get_if<Closed>(&event)) {
    net.conns.remove(conn);
    if (l) {
      l->conn = {};
      broke(net.io.ctx.now, key, *l);
      ended(net, key, *l, z->error, out);
    }
  }
  return true;
}

void Calls::dialed(NetIo net, Key key, Link& l, IoError error, std::vector<Answer>& out) {
  KLAMM_ASSERT(l.state == State::dialing);
  const bool telling = l.had_open || key.channel == kProbeChannel;
  l.had_open = false;
  if (error != IoError::none) {
    l.conn = {};
    l.probes_left = 0;
    if (error == IoError::refused && telling) add_once(refused_, key.peer);
    return ended(net, key, l, error, out);
  }
  timers_.cancel(l.timer);
  l.state = State::open;
  broke_at_.erase(key.peer);
  add_once(reached_, key.peer);
  l.frames = Frames(options_.frame_max);
  net.io.ctx.trace.event({TraceKind::connection_opened, 0, 1, static_cast<int64_t>(l.conn.packed()),
                          static_cast<int64_t>(key.peer), key.channel});
  if (key.channel == kProbeChannel) l.timer = timers_.set(net.io.ctx.now + kProbeHold, {key, 0});
  pump(net, key, l);
}

void Calls::received(NetIo net, Key key, Link& l, const Slice& bytes, std::vector<Answer>& out) {
  std::vector<Slice> frames;
  bool good = l.frames.feed(bytes, frames);
  for (const Slice& f : frames)
    if (good) good = answered(net, l, f, out);
  if (good) {
    if (l.frames.wants_room()) net.io.out.push_back(Room{l.conn, l.frames.room()});
    return pump(net, key, l);
  }
  drop(net, l);
  ended(net, key, l, IoError::failed, out);
}

// Answers come in the order of their requests; anything else is not a Kafka peer.
bool Calls::answered(NetIo net, Link& l, const Slice& frame, std::vector<Answer>& out) {
  if (l.sent.empty()) return false;
  Waiting& w = l.sent.front();
  Reader r(frame.span());
  protocol::ResponseHeader header;
  const bool good = protocol::decode_response_header(r, net.io.ctx.arena(), {w.request.api, w.request.version}, header);
  if (!good || header.correlation_id != w.correlation) return false;
  timers_.cancel(w.timer);
  const CallRequest& q = w.request;
  out.push_back({q.owner, q.peer, q.channel, q.api, q.version, IoError::none,
                 frame.part(r.position(), frame.size() - r.position())});
  l.sent.pop_front();
  l.backoff = {};
  return true;
}

void Calls::drop(NetIo net, Link& l) {
  if (l.conn) net.io.out.push_back(Close{l.conn});  // a dial ends so, too
  l.conn = {};
}

void Calls::fail_all(Link& l, IoError error, std::vector<Answer>& out) {
  const auto fail = [&](std::deque<Waiting>& calls) {
    for (Waiting& w : calls) {
      timers_.cancel(w.timer);
      const CallRequest& q = w.request;
      out.push_back({q.owner, q.peer, q.channel, q.api, q.version, error, {}});
    }
    calls.clear();
  };
  fail(l.sent);
  fail(l.unsent);
}

void Calls::ended(NetIo net, Key key, Link& l, IoError error, std::vector<Answer>& out) {
  KLAMM_ASSERT(!l.conn);
  timers_.cancel(l.timer);
  fail_all(l, error == IoError::none ? IoError::aborted : error, out);
  if (l.probes_left > 0) --l.probes_left;
  l.backoff = l.backoff.ns == 0 ? options_.reconnect_first : std::min(l.backoff * 2, options_.reconnect_max);
  const int64_t jitter = static_cast<int64_t>(dice_.below(net.io.ctx.chance, l.backoff.ns / 4 + 1));
  l.state = State::waiting;
  l.timer = timers_.set(net.io.ctx.now + l.backoff + Duration{jitter}, {key, 0});
}

void Calls::on_time(NetIo net, std::vector<Answer>& out) {
  Due due;
  while (timers_.pop(net.io.ctx.now, &due)) {
    Link& l = links_.at(due.key);  // a forgotten link has no timers
    if (due.number) {
      call_timed_out(net, due.key, l, due.number, out);
      continue;
    }
    l.timer = {};
    if (l.state == State::dialing) {
      drop(net, l);
      ended(net, due.key, l, IoError::timed_out, out);
      continue;
    }
    if (l.state == State::open) {  // a probe has been accepted and held: the peer lives
      KLAMM_ASSERT_REL(due.key.channel, ==, kProbeChannel);
      drop(net, l);
      l.probes_left = 0;
    }
    l.state = State::idle;
    pump(net, due.key, l);
  }
}

void Calls::call_timed_out(NetIo net, Key key, Link& l, uint64_t number, std::vector<Answer>& out) {
  const auto is_it = [&](const Waiting& w) { return w.number == number; };
  const auto take = [&](std::deque<Waiting>& calls) {
    const auto it = std::find_if(calls.begin(), calls.end(), is_it);
    if (it == calls.end()) return false;
    const CallRequest& q = it->request;
    out.push_back({q.owner, q.peer, q.channel, q.api, q.version, IoError::timed_out, {}});
    calls.erase(it);
    return true;
  };
  if (take(l.unsent)) return;
  const bool was_sent = take(l.sent);
  KLAMM_ASSERT(was_sent);
  drop(net, l);
  broke(net.io.ctx.now, key, l);
  ended(net, key, l, IoError::aborted, out);
}

}  // namespace klamm::net
