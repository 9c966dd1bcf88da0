#include "sim/network.h"

#include <algorithm>

#include "engine/base/assert.h"

namespace klamm::sim {
namespace {
constexpr int64_t kMostBackoff = 1'000'000'000;
constexpr int64_t kDialBackoff = 500'000'000;
}  // namespace

Network::Network(std::vector<std::string> host_names)
    : host_count_(static_cast<uint32_t>(host_names.size())), hosts_(host_names.size()) {
  KLAMM_ASSERT_REL(host_names.size(), <=, kMaxHosts);
  for (uint32_t i = 0; i < host_count_; ++i) hosts_[i].name = std::move(host_names[i]);
  links_.resize(size_t{host_count_} * host_count_);
  for (uint32_t i = 0; i < links_.size(); ++i) {
    links_[i].delay = {stream(kNetDelay), i, 0};
    links_[i].shape = {stream(kNetShape), i, 0};
  }
}

void Network::bind(HostId host, ListenerId listener, const std::string& address, uint16_t port) {
  const bool fresh = addresses_.emplace(std::pair{address, port}, std::pair{host, listener}).second;
  KLAMM_ASSERT(fresh);
}

// ---- pipes

uint32_t Network::add_pipe() {
  KLAMM_ASSERT_REL(pipes_in_use_, <, kMaxPipes);
  uint32_t index;
  if (free_pipes_.empty()) {
    index = static_cast<uint32_t>(pipes_.size());
    pipes_.emplace_back();
  } else {
    index = free_pipes_.back();
    free_pipes_.pop_back();
  }
  pipes_[index].used = true;
  ++pipes_in_use_;
  return index;
}

void Network::free_pipe(uint32_t index) {
  Pipe& p = pipes_[index];
  KLAMM_ASSERT(p.used);
  const uint32_t generation = p.generation + 1;
  p = Pipe{};
  p.generation = generation;
  free_pipes_.push_back(index);
  --pipes_in_use_;
}

void Network::free_if_done(Direction d) {
  if (pipe(d).used && !end(d).alive() && !peer(d).alive()) free_pipe(d / 2);
}

void Network::set_conn(HostId host, ConnId conn, Direction d) {
  auto& slots = hosts_[host].by_slot;
  if (conn.slot >= slots.size()) slots.resize(conn.slot + 1);
  KLAMM_ASSERT(slots[conn.slot].second == 0);  // a slot is reused only after its end
  slots[conn.slot] = {conn.generation, d + 1};
}

Network::End* Network::find(HostId host, ConnId conn, Direction* d) {
  const auto& slots = hosts_[host].by_slot;
  if (conn.slot >= slots.size() || slots[conn.slot].second == 0 || slots[conn.slot].first != conn.generation)
    return nullptr;
  *d = slots[conn.slot].second - 1;
  return &end(*d);
}

int64_t Network::travel(HostId from, HostId to, size_t bytes, NetIo io) {
  Link& l = link(from, to);
  int64_t at = io.now + model_.delay.draw(l.delay, io.tape);
  if (io.now < l.extra_until) at += l.extra_ns;
  if (model_.bytes_per_second > 0) {
    const int64_t takes = static_cast<int64_t>(bytes) * 1'000'000'000 / model_.bytes_per_second;
    l.busy_until = std::max(l.busy_until, io.now) + takes;
    at = std::max(at, l.busy_until);
  }
  return at;
}

void Network::put(Direction d, Slice bytes, IoError error, NetIo io) {
  End& e = end(d);
  if (e.fin || e.state == State::closed) return;
  e.last_at = std::max(e.last_at, travel(peer(d).host, e.host, bytes.size(), io));
  e.fin = bytes.empty();
  e.coming.push_back({e.last_at, std::move(bytes), error});
  arm(d, io);
}

void Network::arm(Direction d, NetIo io) {
  End& e = end(d);
  const bool waits = e.paused || e.state == State::pending || e.state == State::dialing;
  if (e.armed || e.empty() || waits) return;
  e.armed = true;
  io.queue.push(std::max(e.coming[e.first].at, io.now), e.host, Due::arrival, d, pipe(d).generation);
}

// ---- dials

void Network::dial(HostId host, const Dial& c, NetIo io) {
  const uint32_t index = add_pipe();
  Pipe& p = pipes_[index];
  p.dial_since = io.now;
  p.ends[0].host = host;
  p.ends[0].state = State::dialing;
  p.ends[0].conn = c.conn;
  set_conn(host, c.conn, index * 2);
  const auto address = addresses_.find({c.host, c.port});
  if (address == addresses_.end()) {
    p.ends[1].host = host;
    p.dial_error = IoError::unreachable;
    io.queue.push(io.now + 1'000, host, Due::syn_ack, index, p.generation);
    return;
  }
  p.ends[1].host = address->second.first;
  p.listener = address->second.second;
  io.queue.push(travel(host, p.ends[1].host, 0, io), p.ends[1].host, Due::syn, index, p.generation);
}

void Network::retry_syn(uint32_t index, NetIo io) {
  Pipe& p = pipes_[index];
  if (io.now - p.dial_since >= model_.dial_limit_ns) return end_dial(index, IoError::timed_out, io);
  p.backoff = std::min(std::max(p.backoff * 2, kDialBackoff), kMostBackoff);
  io.queue.push(io.now + p.backoff, p.ends[1].host, Due::syn, index, p.generation);
}

void Network::end_dial(uint32_t index, IoError error, NetIo io) {
  Pipe& p = pipes_[index];
  End& e = p.ends[0];
  KLAMM_ASSERT(e.state == State::dialing && error != IoError::none);
  e.state = State::closed;
  hosts_[e.host].by_slot[e.conn.slot].second = 0;
  io.inboxes.deliver(e.host, Dialed{e.conn, error});
  free_if_done(index * 2);
}

void Network::syn(const Item& item, NetIo io) {
  Pipe& p = pipes_[item.index];
  if (!p.used || p.generation != item.generation) return;
  const HostId from = p.ends[0].host, to = p.ends[1].host;
  const Host& target = hosts_[to];
  if (blocked(from, to) || blocked(to, from) || target.state == HostNet::off) return retry_syn(item.index, io);
  if (target.state == HostNet::no_one || !(target.listening >> p.listener.value & 1)) {
    p.dial_error = IoError::refused;
  } else {
    p.ends[1].state = State::pending;
    const PendingId pending{uint64_t{p.generation} << 32 | item.index};
    const uint16_t port = static_cast<uint16_t>(0x8000 | (item.index & 0x7fff));
    io.inboxes.deliver(to, Accepted{p.listener, pending, hosts_[from].name, port, {}});
  }
  io.queue.push(travel(to, from, 0, io), from, Due::syn_ack, item.index, p.generation);
}

void Network::syn_ack(const Item& item, NetIo io) {
  Pipe& p = pipes_[item.index];
  if (!p.used || p.generation != item.generation || p.ends[0].state != State::dialing) return;
  if (p.dial_error != IoError::none) return end_dial(item.index, p.dial_error, io);
  p.ends[0].state = State::open;
  io.inboxes.deliver(p.ends[0].host, Dialed{p.ends[0].conn, IoError::none});
  arm(item.index * 2, io);
}

void Network::adopt(HostId host, const Adopt& c, NetIo io) {
  const uint32_t index = static_cast<uint32_t>(c.pending.value);
  KLAMM_ASSERT(index < pipes_.size());
  Pipe& p = pipes_[index];
  KLAMM_ASSERT(p.used && p.generation == c.pending.value >> 32 && p.ends[1].state == State::pending);
  KLAMM_ASSERT_REL(p.ends[1].host, ==, host);
  p.ends[1].state = State::open;
  p.ends[1].conn = c.conn;
  set_conn(host, c.conn, index * 2 + 1);
  arm(index * 2 + 1, io);
}

void Network::refuse(HostId host, const Refuse& c, NetIo io) {
  const uint32_t index = static_cast<uint32_t>(c.pending.value);
  KLAMM_ASSERT(index < pipes_.size());
  Pipe& p = pipes_[index];
  KLAMM_ASSERT(p.used && p.generation == c.pending.value >> 32 && p.ends[1].state == State::pending);
  KLAMM_ASSERT_REL(p.ends[1].host, ==, host);
  p.ends[1].state = State::closed;
  p.ends[1].clear();
  put(index * 2, {}, IoError::aborted, io);
  free_if_done(index * 2);
}

// ---- streams

void Network::send(HostId host, Send&& c) {
  if (!c.bytes.empty()) gather(host, c.conn, {std::move(c.bytes), c.tell});
}

void Network::send(HostId host, const SendRegion& c, uint64_t inode) {
  gather(host, c.conn, {{}, c.tell, true, inode, c.region.offset, c.region.size});
}

void Network::gather(HostId host, ConnId conn, Outgoing piece) {
  Direction d = 0;
  const End* e = find(host, conn, &d);
  if (!e || e->state == State::closing) return;  // closed, and its machine may not know yet
  KLAMM_ASSERT(e->state != State::dialing);
  End& to = peer(d);
  if (to.gathered.empty()) touched_.push_back(other(d));
  to.gathered.push_back(std::move(piece));
}

void Network::flush(HostId, NetIo io) {
  for (const Direction d : touched_) flush_end(d, io);
  touched_.clear();
}

void Network::flush_end(Direction d, NetIo io) {
  End& e = end(d);
  if (e.gathered.empty()) return;
  const bool regions = std::any_of(e.gathered.begin(), e.gathered.end(), [](const Outgoing& o) { return o.region; });
  if (regions || !e.waits.empty()) {
    std::move(e.gathered.begin(), e.gathered.end(), std::back_inserter(e.waits));
    e.gathered.clear();
    return send_waiting(d, io);
  }
  Slice all;
  bool tell = false;
  if (e.gathered.size() == 1) {
    all = std::move(e.gathered[0].bytes);
    tell = e.gathered[0].tell;
  } else {
    size_t size = 0;
    for (const Outgoing& o : e.gathered) size += o.bytes.size();
    BufferRef joined = BufferRef::make(static_cast<uint32_t>(size));
    for (const Outgoing& o : e.gathered) {
      std::memcpy(joined->data() + joined->fill, o.bytes.data(), o.bytes.size());
      joined->fill += static_cast<uint32_t>(o.bytes.size());
      tell = tell || o.tell;
    }
    const uint8_t* data = joined->data();
    all = Slice(std::move(joined), data, size);
  }
  e.gathered.clear();
  if (tell) e.tells.push_back(e.sent + all.size());
  hand_over(d, std::move(all), io);
  report_sent(d, io);
}

void Network::hand_over(Direction d, Slice all, NetIo io) {
  End& e = end(d);
  e.sent += all.size();
  Link& l = link(peer(d).host, e.host);
  if (all.size() > 1 && l.shape.hits(io.tape, model_.cut_per_mille)) {
    const size_t cut = 1 + l.shape.below(io.tape, all.size() - 1);
    put(d, all.part(0, cut), IoError::none, io);
    put(d, all.part(cut, all.size() - cut), IoError::none, io);
  } else {
    put(d, std::move(all), IoError::none, io);
  }
}

// While there is room, up to the next region that the disk has still to give.
void Network::send_waiting(Direction d, NetIo io) {
  End& e = end(d);
  size_t done = 0;
  for (; done < e.waits.size() && e.sent <= e.taken + kWindow && !e.reading; ++done) {
    Outgoing& o = e.waits[done];
    if (o.region) {
      const HostId from = peer(d).host;
      e.reading = true;
      io.queue.push(io.inboxes.region_due(from), from, Due::region, d, pipe(d).generation);
      break;
    }
    if (o.tell) e.tells.push_back(e.sent + o.bytes.size());
    hand_over(d, std::move(o.bytes), io);
  }
  e.waits.erase(e.waits.begin(), e.waits.begin() + static_cast<ptrdiff_t>(done));
  const bool last = peer(d).state == State::closing && e.waits.empty();
  if (last) put(d, {}, IoError::none, io);
  report_sent(d, io);
}

void Network::region(const Item& item, NetIo io) {
  const Direction d = item.index;
  if (!pipe(d).used || pipe(d).generation != item.generation) return;
  End& e = end(d);
  e.reading = false;
  if (e.waits.empty()) return;
  Outgoing& o = e.waits.front();
  const uint32_t size = std::min(o.size, kRegionRead);
  Slice bytes = o.inode ? io.inboxes.region(peer(d).host, o.inode, o.offset, size) : Slice();
  if (bytes.size() < size) return cut_off(d, IoError::failed, io);
  o.offset += size;
  o.size -= size;
  if (o.size == 0) {
    if (o.tell) e.tells.push_back(e.sent + size);
    e.waits.erase(e.waits.begin());
  }
  hand_over(d, std::move(bytes), io);
  send_waiting(d, io);
}

void Network::cut_off(Direction d, IoError error, NetIo io) {
  end(d).waits.clear();
  end(d).gathered.clear();
  put(d, {}, IoError::aborted, io);
  finish(other(d), error, io);
}

void Network::cut(HostId host, uint64_t inode, int64_t size, NetIo io) {
  const auto is_cut = [&](const Outgoing& o) { return o.region && o.inode == inode && o.offset + o.size > size; };
  for (Direction d = 0; d < 2 * pipes_.size(); ++d) {
    if (!pipe(d).used || peer(d).host != host) continue;
    const End& e = end(d);
    if (std::any_of(e.waits.begin(), e.waits.end(), is_cut) ||
        std::any_of(e.gathered.begin(), e.gathered.end(), is_cut))
      cut_off(d, IoError::aborted, io);
  }
}

void Network::report_sent(Direction d, NetIo io) {
  End& e = end(d);
  End& sender = peer(d);
  const uint64_t handed = std::min(e.sent, e.taken + kWindow);
  size_t reached = 0;
  while (reached < e.tells.size() && e.tells[reached] <= handed) ++reached;
  e.tells.erase(e.tells.begin(), e.tells.begin() + static_cast<ptrdiff_t>(reached));
  const auto tells = [](const Outgoing& o) { return o.tell; };
  const bool asked =
      !e.tells.empty() || sender.state == State::closing || std::any_of(e.waits.begin(), e.waits.end(), tells);
  const bool moved = asked && handed > e.reported && (handed < e.sent || !e.waits.empty());
  if ((reached > 0 || moved) && (sender.state == State::open || sender.state == State::closing)) {
    e.reported = handed;
    io.inboxes.deliver(sender.host, Sent{sender.conn, handed});
  }
  if (sender.state == State::closing && e.waits.empty() && handed == e.sent) finish(other(d), IoError::none, io);
}

bool Network::stuck(Direction d, NetIo io) {
  End& e = end(d);
  if (!blocked(peer(d).host, e.host) && hosts_[e.host].state != HostNet::off) {
    e.stuck_since = -1;
    e.backoff = 0;
    return false;
  }
  if (e.stuck_since < 0) e.stuck_since = io.now;
  if (io.now - e.stuck_since >= model_.give_up_ns) {
    e.clear();
    if (peer(d).alive()) finish(other(d), IoError::timed_out, io);
    return true;
  }
  const int64_t first = model_.retransmit.draw(link(peer(d).host, e.host).shape, io.tape);
  e.backoff = std::min(std::max(e.backoff * 2, first), kMostBackoff);
  e.armed = true;
  io.queue.push(io.now + e.backoff, e.host, Due::arrival, d, pipe(d).generation);
  return true;
}

void Network::arrival(const Item& item, NetIo io) {
  const Direction d = item.index;
  if (!pipe(d).used || pipe(d).generation != item.generation) return;
  End& e = end(d);
  e.armed = false;
  if (e.state == State::closed) return e.clear();
  if (e.paused || e.empty() || e.state == State::pending || e.state == State::dialing) return;
  if (stuck(d, io)) return;
  if (e.state == State::none) {  // a stranger to the host that answers now: it resets the stream
    e.state = State::closed;
    e.clear();
    put(other(d), {}, IoError::aborted, io);
    return;
  }
  take_arrived(d, io);
}

void Network::take_arrived(Direction d, NetIo io) {
  End& e = end(d);
  while (!e.empty() && e.coming[e.first].at <= io.now) {
    Segment s = std::move(e.coming[e.first++]);
    if (s.bytes.empty()) return finish(d, s.error, io);
    e.taken += s.bytes.size();
    if (e.state == State::open) io.inboxes.deliver(e.host, Received{e.conn, std::move(s.bytes)});
  }
  if (e.empty()) e.clear();
  e.waits.empty() ? report_sent(d, io) : send_waiting(d, io);
  arm(d, io);
}

void Network::finish(Direction d, IoError error, NetIo io) {
  End& e = end(d);
  KLAMM_ASSERT(e.alive());
  if (e.state == State::dialing) return end_dial(d / 2, error == IoError::none ? IoError::aborted : error, io);
  if (e.state != State::pending) {
    hosts_[e.host].by_slot[e.conn.slot].second = 0;
    io.inboxes.deliver(e.host, Closed{e.conn, error});
  }
  e.state = State::closed;
  e.clear();
  e.waits.clear();
  peer(d).waits.clear();
  free_if_done(d);
}

void Network::close(HostId host, const Close& c, NetIo io) {
  Direction d = 0;
  End* e = find(host, c.conn, &d);
  if (!e || (e->state == State::closing && c.after_sends)) return;
  flush_end(other(d), io);
  if (e->state == State::dialing) {
    put(other(d), {}, IoError::aborted, io);
    return end_dial(d / 2, IoError::aborted, io);
  }
  End& to = peer(d);
  if (c.after_sends && !to.waits.empty()) {
    e->state = State::closing;
    return;
  }
  if (c.after_sends) {
    put(other(d), {}, IoError::none, io);
    if (to.sent > to.taken + kWindow) {
      e->state = State::closing;
      return;
    }
    return finish(d, IoError::none, io);
  }
  to.waits.clear();
  if (to.fin && !to.empty()) {  // it has waited for its sends
    to.coming.pop_back();
    to.fin = false;
  }
  while (!to.empty() && to.sent > to.taken + kWindow) {  // what no kernel has yet is dropped
    to.sent -= to.coming.back().bytes.size();
    to.coming.pop_back();
  }
  const bool unread = !e->empty();
  put(other(d), {}, unread ? IoError::aborted : IoError::none, io);
  finish(d, IoError::none, io);
}

void Network::pause(HostId host, const Pause& c, bool on, NetIo io) {
  Direction d = 0;
  End* e = find(host, c.conn, &d);
  if (!e) return;
  e->paused = on;
  if (!on) arm(d, io);
}

// ---- hosts and faults

// Of what was on its way when the sender died, the end may be lost.
void Network::lose_tail(Direction d, NetIo io) {
  End& e = end(d);
  uint64_t drop = link(peer(d).host, e.host).shape.below(io.tape, e.coming.size() - e.first + 1);
  for (; drop > 0; --drop) e.coming.pop_back();
}

void Network::process_ended(HostId host, NetIo io) {
  hosts_[host].listening = 0;
  hosts_[host].by_slot.clear();
  hosts_[host].state = HostNet::no_one;
  for (uint32_t i = 0; i < pipes_.size(); ++i) {
    for (uint32_t side = 0; side < 2 && pipes_[i].used; ++side) {
      const Direction d = i * 2 + side;
      End& e = end(d);
      if (e.host != host || !e.alive()) continue;
      lose_tail(other(d), io);
      e.state = State::closed;
      e.clear();
      e.waits.clear();
      peer(d).waits.clear();
      peer(d).fin = false;
      if (peer(d).alive()) put(other(d), {}, IoError::aborted, io);
      free_if_done(d);
    }
  }
}

void Network::power_lost(HostId host) {
  hosts_[host].listening = 0;
  hosts_[host].by_slot.clear();
  hosts_[host].state = HostNet::off;
  for (uint32_t i = 0; i < pipes_.size(); ++i) {
    for (uint32_t side = 0; side < 2 && pipes_[i].used; ++side) {
      End& e = end(i * 2 + side);
      if (e.host != host || !e.alive()) continue;
      e.state = State::none;
      e.paused = false;
      peer(i * 2 + side).waits.clear();
      free_if_done(i * 2 + side);
    }
  }
}

void Network::block(HostId from, HostId to, bool on) {
  Link& l = link(from, to);
  KLAMM_ASSERT(on || l.blocks > 0);
  l.blocks += on ? 1 : -1;
}

void Network::slow_link(HostId from, HostId to, int64_t extra_ns, int64_t until) {
  Link& l = link(from, to);
  l.extra_ns = extra_ns;
  l.extra_until = until;
}

uint32_t Network::reset(HostId a, HostId b, uint32_t most, NetIo io) {
  uint32_t done = 0;
  for (uint32_t i = 0; i < pipes_.size() && done < most; ++i) {
    Pipe& p = pipes_[i];
    const bool between = (p.ends[0].host == a && p.ends[1].host == b) || (p.ends[0].host == b && p.ends[1].host == a);
    if (!p.used || !between || p.ends[0].state != State::open || p.ends[1].state != State::open) continue;
    finish(i * 2, IoError::aborted, io);
    finish(i * 2 + 1, IoError::aborted, io);
    ++done;
  }
  return done;
}

}  // namespace klamm::sim
