#include "server/network.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <map>
#include <set>

#include "server/dialer.h"
#include "server/send_queue.h"

namespace klamm::server {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

class Network::Impl final {
 public:
  Impl(Loop& loop, Pool& senders, Options options, std::vector<Event>& events)
      : loop_(loop),
        context_(loop.context()),
        senders_(senders),
        events_(events),
        most_connections_(options.most_connections) {
    for (BoundSocket& s : options.sockets) listeners_.push_back(std::make_unique<Listener>(context_, std::move(s)));
  }

  bool listen(ListenerId id);
  void adopt(const Adopt& c);
  void refuse(PendingId id) { pending_.erase(id.value); }
  void dial(const Dial& c);
  void send(Send& c);
  void send(const SendRegion& c, Lease file);
  void cut(const Lease& file, int64_t size);
  void close(const Close& c);
  void pause(ConnId id, bool paused);
  void room(Room& r);
  void block(uint16_t port, bool on);
  void flush();
  bool sending() const;
  uint64_t turned_away() const { return turned_away_; }

 private:
  struct Conn {
    Conn(ConnId i, tcp::socket s) : id(i), socket(std::move(s)) {}
    ConnId id;
    tcp::socket socket;
    SendQueue sends;
    BufferRef room;                  // for what comes next, until it is full
    std::unique_ptr<Dialer> dialer;  // while it dials and is not parked
    std::string dialed_host;
    uint64_t sent_turn = 0;  // when and where in the events its Sent lies
    size_t sent_index = 0;
    uint16_t dialed_port = 0;  // 0: adopted
    bool dialing = false;
    bool parked = false;  // a dial to a blocked port
    bool paused = false;
    bool reading = false;  // waits for bytes
    bool writing = false;  // waits for room
    bool working = false;  // a worker uses the socket
    bool dirty = false;    // in dirty_
    bool last = false;     // closes once all is sent
    bool mute = false;     // its peer sends no more
  };
  struct Listener {
    Listener(asio::io_context& c, BoundSocket s) : bound(std::move(s)), acceptor(c), retry(c) {}
    BoundSocket bound;
    tcp::acceptor acceptor;
    asio::steady_timer retry;
  };

  Conn* find(ConnId id) {
    return id.slot < conns_.size() && conns_[id.slot] && conns_[id.slot]->id == id ? conns_[id.slot].get() : nullptr;
  }
  static void prepare(tcp::socket& socket);
  Conn& add(ConnId id, tcp::socket socket);
  void mark(Conn& c);
  void accept(ListenerId id);
  void accepted(ListenerId id);
  void begin_dial(Conn& c);
  void dialed(Conn& c, IoError error, Dialer::Connected connected);
  void dial_failed(Conn& c, IoError error);
  void wait_for_bytes(Conn& c);
  void receive(Conn& c);
  void receive_in_room(Conn& c);
  size_t receive(Conn& c, uint8_t* into, size_t most);
  void transmit(Conn& c);
  void wait_for_room(Conn& c);
  void send_region(Conn& c);
  void region_sent(Conn& c, const SentBytes& sent);
  void let_go(Lease lease);
  void drop_regions(Conn& c);
  void tell(Conn& c);
  void ended(Conn& c, IoError error);  // its Closed; `c` is gone afterwards
  bool silent(const Conn& c) const { return c.dialed_port != 0 && blocked_.count(c.dialed_port) > 0; }
  void forget(Conn& c) {
    conns_[c.id.slot].reset();
    --there_;
  }
  size_t connections() const { return there_ + pending_.size() + ended_.size(); }

  Loop& loop_;
  asio::io_context& context_;
  Pool& senders_;
  std::vector<Event>& events_;
  const size_t most_connections_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<std::unique_ptr<Conn>> conns_;       // by slot
  size_t there_ = 0;                               // of them
  std::vector<ConnId> dirty_;                      // have something to send, or want to read again
  std::map<ConnId, std::unique_ptr<Conn>> ended_;  // whose socket a worker still uses
  std::map<uint64_t, tcp::socket> pending_;        // accepted, not yet adopted
  std::set<uint16_t> blocked_;                     // ports
  uint64_t next_pending_ = 1;
  uint64_t turned_away_ = 0;
  uint64_t turn_ = 1;
  BufferRef scratch_;
};

asio::ip::address plain(const asio::ip::address& a) {
  return a.is_v6() && a.to_v6().is_v4_mapped() ? asio::ip::make_address_v4(asio::ip::v4_mapped, a.to_v6()) : a;
}

// ---- inbound

bool Network::Impl::listen(ListenerId id) {
  Listener& l = *listeners_.at(id.value);
  if (::listen(l.bound.descriptor.get(), kBacklog) != 0) return false;
  const bool v6 = l.bound.family == AF_INET6;
  l.acceptor.assign(v6 ? tcp::v6() : tcp::v4(), l.bound.descriptor.release());
  l.acceptor.non_blocking(true);
  accept(id);
  return true;
}

void Network::Impl::accept(ListenerId id) {
  listeners_[id.value]->acceptor.async_wait(tcp::acceptor::wait_read, [this, id](ErrorCode e) {
    if (!e) accepted(id);
  });
}

// Takes what has come; where descriptors have run out it tries again later, for the kernel keeps the callers. But
// connections leave some for files: a node that cannot open those stops.
void Network::Impl::accepted(ListenerId id) {
  constexpr int kMostAtOnce = 64;
  const int64_t limit = descriptor_limit();  // may have been lowered since the start
  const size_t most = std::min(most_connections_, static_cast<size_t>(limit - descriptors_for_files(limit)));
  size_t there = connections();
  Listener& l = *listeners_[id.value];
  ErrorCode error;
  for (int i = 0; i < kMostAtOnce; ++i) {
    tcp::endpoint peer;
    tcp::socket socket = l.acceptor.accept(peer, error);
    if (error) break;
    if (there >= most) {
      ++turned_away_;
      continue;  // and closed
    }
    ++there;
    const uint64_t pending = next_pending_++;
    events_.push_back(Accepted{id, PendingId{pending}, plain(peer.address()).to_string(), peer.port(), {}});
    pending_.emplace(pending, std::move(socket));
  }
  if (error && (error.value() == EMFILE || error.value() == ENFILE || error.value() == ENOBUFS)) {
    l.retry.expires_after(std::chrono::milliseconds(100));
    l.retry.async_wait([this, id](ErrorCode e) {
      if (!e) accepted(id);
    });
  } else {
    accept(id);
  }
}

void Network::Impl::adopt(const Adopt& c) {
  const auto at = pending_.find(c.pending.value);
  KLAMM_ASSERT(at != pending_.end());
  add(c.conn, std::move(at->second));
  pending_.erase(at);
}

// No waiting for more to send; keep-alive, which alone ends a connection whose peer vanished without a word (as Kafka).
void Network::Impl::prepare(tcp::socket& socket) {
  ErrorCode ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  socket.set_option(tcp::socket::keep_alive(true), ignored);
  socket.native_non_blocking(true, ignored);
}

// A connection that can talk: it reads from the end of this turn on.
Network::Impl::Conn& Network::Impl::add(ConnId id, tcp::socket socket) {
  if (id.slot >= conns_.size()) conns_.resize(id.slot + 1);
  KLAMM_ASSERT(!conns_[id.slot]);
  conns_[id.slot] = std::make_unique<Conn>(id, std::move(socket));
  ++there_;
  Conn& c = *conns_[id.slot];
  if (c.socket.is_open()) {
    prepare(c.socket);
    mark(c);
  }
  return c;
}

// ---- outbound

void Network::Impl::dial(const Dial& d) {
  Conn& c = add(d.conn, tcp::socket(context_));
  c.dialing = true;
  c.dialed_host = d.host;
  c.dialed_port = d.port;
  begin_dial(c);
}

void Network::Impl::begin_dial(Conn& c) {
  c.parked = silent(c);
  if (c.parked) return;
  c.dialer = std::make_unique<Dialer>(loop_, [this, id = c.id](IoError error, Dialer::Connected connected) {
    if (Conn* c = find(id)) dialed(*c, error, std::move(connected));
  });
  c.dialer->dial(c.dialed_host, c.dialed_port);
}

void Network::Impl::dialed(Conn& c, IoError error, Dialer::Connected connected) {
  c.dialer.reset();
  if (error != IoError::none) {
    c.parked = silent(c);
    return c.parked ? void() : dial_failed(c, error);
  }
  events_.push_back(Dialed{c.id, IoError::none});
  c.dialing = false;
  c.socket.assign(connected.v6 ? tcp::v6() : tcp::v4(), connected.socket.release());
  prepare(c.socket);
  mark(c);
}

void Network::Impl::dial_failed(Conn& c, IoError error) {
  events_.push_back(Dialed{c.id, error});
  forget(c);
}

// ---- reading

void Network::Impl::wait_for_bytes(Conn& c) {
  c.reading = true;
  c.socket.async_wait(tcp::socket::wait_read, [this, id = c.id](ErrorCode e) {
    Conn* c = find(id);
    if (!c || e) return;
    c->reading = false;
    if (!c->paused && !silent(*c)) receive(*c);
  });
}

void Network::Impl::receive(Conn& c) {
  if (c.room) return receive_in_room(c);
  if (!scratch_) scratch_ = BufferRef::make(kReadBytes);
  const size_t size = receive(c, scratch_->data(), kReadBytes);
  if (size > kReadBytes - kReadBytes / 4) {
    events_.push_back(Received{c.id, Slice(scratch_, scratch_->data(), size)});
    scratch_ = BufferRef();
  } else if (size > 0) {
    events_.push_back(Received{c.id, Slice::copy(ByteSpan(scratch_->data(), size))});
  }
}

void Network::Impl::receive_in_room(Conn& c) {
  BufferRef room = c.room;
  uint8_t* at = room->data() + room->fill;
  const size_t size = receive(c, at, std::min(room->capacity - room->fill, kRoomBytes));
  if (size == 0) return;
  room->fill += static_cast<uint32_t>(size);
  if (room->fill == room->capacity) c.room = BufferRef();
  events_.push_back(Received{c.id, Slice(std::move(room), at, size)});
}

// How much came; 0: nothing, or the stream's end, after which `c` is gone if it was dialed.
size_t Network::Impl::receive(Conn& c, uint8_t* into, size_t most) {
  const ssize_t n = ::recv(c.socket.native_handle(), into, most, 0);
  const bool none_yet = n < 0 && (errno == EAGAIN || errno == EINTR);
  if (n > 0 || none_yet) {
    mark(c);
    return none_yet ? 0 : static_cast<size_t>(n);
  }
  if (n == 0 && c.dialed_port == 0) {
    c.mute = true;
    events_.push_back(Received{c.id, {}});
  } else {
    ended(c, n == 0 ? IoError::none : io_error(errno));
  }
  return 0;
}

void Network::Impl::room(Room& r) {
  Conn* c = find(r.conn);
  if (!c) return;
  const bool left = r.buffer && r.buffer->fill < r.buffer->capacity;
  c->room = left ? std::move(r.buffer) : BufferRef();
}

void Network::Impl::pause(ConnId id, bool paused) {
  Conn* c = find(id);
  if (!c) return;
  c->paused = paused;
  if (!paused) mark(*c);
}

// ---- sending

void Network::Impl::send(Send& s) {
  Conn* c = find(s.conn);
  if (!c || c->last) return;
  c->sends.push(std::move(s.bytes), s.tell);
  mark(*c);
}

void Network::Impl::send(const SendRegion& s, Lease file) {
  Conn* c = find(s.conn);
  if (!c || c->last) return;
  if (!file) return ended(*c, IoError::failed);
  c->sends.push(SendQueue::Region{std::move(file), s.region.offset, s.region.size}, s.tell);
  mark(*c);
}

void Network::Impl::cut(const Lease& file, int64_t size) {
  for (size_t i = 0; file && i < conns_.size(); ++i)
    if (conns_[i] && conns_[i]->sends.has_region(file.get(), size)) ended(*conns_[i], IoError::aborted);
}

void Network::Impl::mark(Conn& c) {
  if (!c.dirty) dirty_.push_back(c.id);
  c.dirty = true;
}

void Network::Impl::block(uint16_t port, bool on) {
  if (on) {
    blocked_.insert(port);
    return;
  }
  blocked_.erase(port);
  for (size_t i = 0; i < conns_.size(); ++i) {
    Conn* c = conns_[i].get();
    if (!c || c->dialed_port != port) continue;
    if (c->parked)
      begin_dial(*c);
    else
      mark(*c);
  }
}

void Network::Impl::flush() {
  ++turn_;
  for (size_t i = 0; i < dirty_.size(); ++i) {
    Conn* c = find(dirty_[i]);
    if (!c || !c->dirty) continue;
    c->dirty = false;
    if (c->dialing) continue;
    if (!c->reading && !c->paused && !c->last && !c->mute && !silent(*c)) wait_for_bytes(*c);
    if (!c->writing) transmit(*c);
  }
  dirty_.clear();
}

void Network::Impl::transmit(Conn& c) {
  if (silent(c) || c.working) return;
  const SendQueue::Outcome o = c.sends.send_some(c.socket.native_handle());
  if (o.tell || (o.full && o.moved && (c.last || c.sends.tells()))) tell(c);
  if (o.error != 0) return ended(c, io_error(o.error));
  if (c.sends.empty()) {
    if (c.last) {
      ErrorCode ignored;
      c.socket.shutdown(tcp::socket::shutdown_send, ignored);
      if (scratch_)
        (void)::recv(c.socket.native_handle(), scratch_->data(), kReadBytes, 0);  // unread bytes would reset it
      ended(c, IoError::none);
    }
    return;
  }
  o.full ? wait_for_room(c) : send_region(c);
}

void Network::Impl::wait_for_room(Conn& c) {
  c.writing = true;
  c.socket.async_wait(tcp::socket::wait_write, [this, id = c.id](ErrorCode e) {
    Conn* c = find(id);
    if (!c || e) return;
    c->writing = false;
    transmit(*c);
  });
}

void Network::Impl::send_region(Conn& c) {
  const SendQueue::Region& r = *c.sends.region();
  c.working = true;
  senders_.submit([socket = c.socket.native_handle(), file = r.file->get(), offset = r.offset,
                   size = std::min(r.size, kRegionBytes)] { return send_file(socket, file, offset, size); },
                  [this, id = c.id](const SentBytes& sent) {
                    if (Conn* c = find(id)) return region_sent(*c, sent);
                    drop_regions(*ended_.at(id));
                    ended_.erase(id);
                  });
}

void Network::Impl::region_sent(Conn& c, const SentBytes& sent) {
  c.working = false;
  Lease done;
  const bool moved = sent.full && sent.size > 0;
  if (c.sends.region_sent(sent.size, &done) || (moved && (c.last || c.sends.tells()))) tell(c);
  let_go(std::move(done));
  if (sent.error != 0 || sent.ends_early) return ended(c, sent.error != 0 ? io_error(sent.error) : IoError::failed);
  sent.full ? wait_for_room(c) : transmit(c);
}

// The last holder of a removed file frees its blocks, which takes time: a worker closes it.
void Network::Impl::let_go(Lease lease) {
  if (lease.use_count() != 1) return;
  const auto close = [file = lease.get()] {
    *file = Descriptor();
    return true;
  };
  senders_.submit(close, [lease = std::move(lease)](bool) {});
}

// One Sent a turn: the later total replaces the earlier.
void Network::Impl::tell(Conn& c) {
  if (c.sent_turn == turn_) {
    std::get<Sent>(events_[c.sent_index]).total = c.sends.total();
    return;
  }
  c.sent_turn = turn_;
  c.sent_index = events_.size();
  events_.push_back(Sent{c.id, c.sends.total()});
}

bool Network::Impl::sending() const {
  return std::any_of(conns_.begin(), conns_.end(), [](const auto& c) { return c && !c->sends.empty(); });
}

// ---- ends

void Network::Impl::close(const Close& k) {
  Conn* c = find(k.conn);
  if (!c) return;
  if (c->dialing) return dial_failed(*c, IoError::aborted);
  if (!k.after_sends) return ended(*c, IoError::none);
  c->last = true;
  mark(*c);
}

void Network::Impl::ended(Conn& c, IoError error) {
  events_.push_back(Closed{c.id, error});
  if (!c.working) {
    drop_regions(c);
    return forget(c);
  }
  ErrorCode ignored;
  c.socket.shutdown(tcp::socket::shutdown_both, ignored);
  ended_[c.id] = std::move(conns_[c.id.slot]);
  --there_;
}

void Network::Impl::drop_regions(Conn& c) {
  for (Lease& lease : c.sends.take_leases()) let_go(std::move(lease));
}

// ---- the public face

Network::Network(Loop& loop, Pool& senders, Options options, std::vector<Event>& events)
    : impl_(std::make_unique<Impl>(loop, senders, std::move(options), events)) {}
Network::~Network() = default;
bool Network::execute(const Listen& c) { return impl_->listen(c.listener); }
void Network::execute(const Adopt& c) { impl_->adopt(c); }
void Network::execute(const Refuse& c) { impl_->refuse(c.pending); }
void Network::execute(const Dial& c) { impl_->dial(c); }
void Network::execute(Send& c) { impl_->send(c); }
void Network::execute(const SendRegion& c, Lease file) { impl_->send(c, std::move(file)); }
void Network::cut(const Lease& file, int64_t size) { impl_->cut(file, size); }
void Network::execute(const Close& c) { impl_->close(c); }
void Network::execute(const Pause& c) { impl_->pause(c.conn, true); }
void Network::execute(const Resume& c) { impl_->pause(c.conn, false); }
void Network::execute(Room& c) { impl_->room(c); }
void Network::block(uint16_t port, bool on) { impl_->block(port, on); }
void Network::flush() { impl_->flush(); }
uint64_t Network::turned_away() const { return impl_->turned_away(); }
bool Network::sending() const { return impl_->sending(); }

}  // namespace klamm::server
