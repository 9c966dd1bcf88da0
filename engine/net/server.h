// Inbound connections: bytes to requests and replies to bytes, in order.
//
//   new ──frame──> busy ──reply──> ready ──frame──> busy ...
//
// A connection's next request starts when the reply before it was handed over; only a Produce may overtake the wait of
// a Produce before it (their replies stay in order), as producers pipeline. Everything is bounded per connection:
// requests waiting and started, their bytes, and bytes of replies that have not left; a region of a file counts as its
// bytes do, though it takes no memory.
//
// Whichever side ends a connection, requests that came whole before are served, in order:
//
//      unsound bytes or request, or its peer sends no more      all is answered
//   open ─────────────────────────────────────────> ending ───────────────────> draining ──Closed──> gone
//    │  └────────── idle ───────────────────────────────────────────────────────────^                 ^
//    └── Closed, and whole requests wait ──> left: served, their answers dropped ─────────────────────┘
#pragma once
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/ticket.h"
#include "engine/env/io.h"
#include "engine/net/conn_table.h"
#include "engine/net/frames.h"
#include "engine/net/rules.h"

namespace klamm::net {

struct ServerLimits {
  uint32_t request_bytes_max = 100 * 1024 * 1024;  // socket.request.max.bytes
  uint32_t unsent_bytes_max = 4 * 1024 * 1024;     // replies that have not left: above it no request starts
  uint32_t connections_max = 2'000'000;            // max.connections, of each role
  uint32_t peer_connections_max = INT32_MAX;       // max.connections.per.ip
  std::map<std::string, uint32_t> peer_overrides;  // max.connections.per.ip.overrides, by address
  Duration idle_max = seconds(600);                // connections.max.idle.ms; 0 or less: for ever
  std::vector<ListenerRole> listeners;             // by ListenerId
  template<class V>
  void fields(V& v) const {
    v("request_bytes_max", request_bytes_max), v("unsent_bytes_max", unsent_bytes_max),
        v("connections_max", connections_max), v("peer_connections_max", peer_connections_max),
        v("peer_overrides", peer_overrides), v("idle_max", idle_max), v("listeners", listeners);
  }
};

// One request, whole: valid for the turn, but `frame` may be kept.
struct Incoming {
  Ticket ticket;
  ListenerId listener;
  Slice frame;                 // header and body
  ByteSpan body;               // within frame
  std::string_view client_id;  // in frame, or in memory of the turn; null if the client gave none
};

class Server final {
 public:
  static constexpr size_t kStartedBytesMax = 8 << 20;  // of a connection's requests under way; one may be larger
  static constexpr Duration kDrainMost = seconds(10);  // without a byte leaving, before a close that waits for it
  // Requests of peers that have left are served within these: those that had not started, and Produces that had. One
  // that sends no more, which may mean that it has left, is answered within that time too.
  static constexpr size_t kLeftMax = 1024;  // connections
  static constexpr size_t kLeftBytesMax = 64 << 20;
  static constexpr Duration kLeftMost = seconds(60);

  explicit Server(ServerLimits limits = {}) : limits_(std::move(limits)) {}
  // The number of connections holds at once, what a request may be for connections that come.
  void set_limits(Io& io, ServerLimits limits);

  // Takes an event of an inbound connection; false if it is not one of these.
  bool on_event(NetIo net, const Event& event);
  // The next request that may start, in a fair order over connections; false when there is none.
  bool next(Io& io, Incoming* out);
  // The answer to a request: sent once all before it are. A connection that is gone takes it silently. One that closes
  // does so once those before it have left.
  void reply(Io& io, Reply reply);
  // A Produce that nothing may overlap: what follows on its connection waits for its answer.
  void hold(const Ticket& ticket);
  // No answer is due (acks=0): the slot is done.
  void skip(Io& io, const Ticket& ticket);
  // Close after what was answered has left. What waits is dropped.
  void close(Io& io, ConnId conn);
  // Closes the connections that asked nothing for too long and wait for nothing, or do not take what they asked for.
  void on_time(Io& io);
  Instant next_deadline() const { return idle_looks_.empty() ? kNever : idle_looks_.begin()->first; }
  size_t connections() const { return by_conn_.size() - left_; }
  // Whether the connection has not had its Closed.
  bool has(ConnId conn) const;
  // Whether its requests are to be served: it is there, or they came whole before it was not.
  bool serves(ConnId conn) const { return by_conn_.count(conn) != 0; }
  // Of a connection that is there, or has requests to be served; null or 0: it is not.
  const std::string* peer_host(ConnId conn) const;
  uint16_t peer_port(ConnId conn) const;

  template<class V>
  void fields(V& v) const {
    v("limits", limits_), v("by_conn", by_conn_), v("by_peer", by_peer_), v("by_role", by_role_),
        v("runnable", runnable_), v("idle_looks", idle_looks_), v("left", left_), v("left_bytes", left_bytes_);
  }

 private:
  struct Slot {
    Ticket ticket;
    bool done = false;
    bool produce = false;
    size_t size = 0;           // of the request
    std::vector<Slice> bytes;  // the whole frame of the reply, but for
    std::vector<PlacedRegion> regions;
    template<class V>
    void fields(V& v) const {
      v("ticket", ticket), v("done", done), v("produce", produce), v("size", size), v("bytes", bytes),
          v("regions", regions);
    }
  };
  enum class Stage : uint8_t { open, ending, draining, left };
  struct Connection {
    explicit Connection(uint32_t request_bytes_max) : frames(request_bytes_max) {}
    ListenerId listener;
    std::string peer;
    uint16_t peer_port = 0;
    Frames frames;
    // Whole requests that have not started. Reading pauses at kWaitingMax of them, or kWaitingBytesMax.
    std::deque<Slice> waiting;
    size_t waiting_bytes = 0;
    Instant active;          // when bytes came last, or are known to have left
    Instant look = kNever;   // of its entry in idle_looks_
    std::deque<Slot> slots;  // started and not yet sent, in order
    size_t started_bytes = 0;
    size_t left_bytes = 0;  // counted of it in left_bytes_
    uint32_t next_slot = 0;
    uint64_t sent = 0;  // bytes given to Send since the connection began
    uint64_t left = 0;  // bytes that are known to have left
    uint64_t told = 0;  // up to where a Sent was asked for
    Stage stage = Stage::open;
    bool mute = false;  // it sends no more
    bool paused = false;
    bool queued = false;  // in runnable_
    template<class V>
    void fields(V& v) const {
      v("listener", listener), v("peer", peer), v("peer_port", peer_port), v("frames", frames), v("waiting", waiting),
          v("slots", slots), v("next_slot", next_slot);
      v("waiting_bytes", waiting_bytes), v("started_bytes", started_bytes), v("left_bytes", left_bytes),
          v("active", active), v("look", look), v("sent", sent), v("left", left), v("told", told), v("stage", stage),
          v("mute", mute), v("paused", paused), v("queued", queued);
    }
  };
  static constexpr size_t kReplyMax = (size_t{1} << 31) - 64;
  static constexpr size_t kWaitingMax = 16;
  static constexpr size_t kWaitingBytesMax = 4 << 20;
  static constexpr size_t kProduceOverlapMax = 64;
  static constexpr uint64_t kTellEvery = 256 * 1024;

  using ByConn = std::map<ConnId, Connection>;
  using PeerKey = std::pair<bool, std::string>;

  ListenerRole role_of(ListenerId listener) const;
  size_t of_role(bool controller) const;
  bool has_room_for(const ListenerRole& role, const std::string& peer) const;
  void accepted(NetIo net, const Accepted& e);
  void received(Io& io, ByConn::iterator it, const Slice& bytes);
  void fell_mute(Io& io, ByConn::iterator it);
  void closed(NetIo net, ByConn::iterator it, IoError error);
  void queue_if_runnable(ConnId id, Connection& c);
  bool may_start(const Connection& c) const;
  Slice take_waiting(Io& io, ConnId id, Connection& c);
  void frame_reply(const Reply& reply, size_t size, Slot& slot) const;
  void flush(Io& io, ByConn::iterator it);
  void send(Io& io, ConnId id, Connection& c, const Slot& slot);
  bool note_send(Connection& c, size_t size);
  Slot* find_slot(Connection& c, const Ticket& ticket);

  // ---- server_ends.cc
  void finish(Io& io, ByConn::iterator it);
  void finish_before(Io& io, ByConn::iterator it, size_t slot);
  bool end_if_done(Io& io, ByConn::iterator it);
  void drop_waiting(Connection& c);
  void drain(Io& io, ConnId id, Connection& c);
  void forget(ByConn::iterator it);
  void shed(Io& io, bool controller);
  void look_at(Instant when, ConnId id, Connection& c);

  ServerLimits limits_;
  ByConn by_conn_;
  std::map<PeerKey, uint32_t> by_peer_;  // how many connections each address has to listeners of a role
  std::map<bool, uint32_t> by_role_;     // the same of all addresses
  std::deque<ConnId> runnable_;
  std::set<std::pair<Instant, ConnId>> idle_looks_;  // at most one a connection: when to see whether it is in use
  size_t left_ = 0;  // connections of that stage, and the bytes of the requests that they left
  size_t left_bytes_ = 0;
};

}  // namespace klamm::net
