// Outgoing connections: requests to peers and their answers. Used by clients, and by nodes among each other.
//
// A peer is a number of the caller's choice (a node id, a place in the list of bootstrap servers) with an address that
// may change. Each (peer, channel) has its own connection, dialed when there is something to say, so that a request
// that waits at its peer (a long-polled Fetch) delays none on another channel. On a connection requests are pipelined
// in order, `in_flight_max` at a time.
//
//            call                 Dialed               Closed, bad bytes, a call timed out
//   idle ----------> dialing ---------------> open ------------------------------------> waiting
//    ^                  |  error                                                          | | backoff is over
//    |                  +-----------> waiting (backoff doubles)                           | +----> dialing, if a call
//    +------------------------------------------------------------------------------------+        waits; else idle
//
// When a connection ends, every call on it, sent or not, is answered with an error: whether a sent one was carried out
// is unknown. Calls made during a backoff wait for its end. An answer is given exactly once for every call but a
// one-way one.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/chance.h"
#include "engine/base/timers.h"
#include "engine/net/conn_table.h"
#include "engine/net/frames.h"

namespace klamm::net {

struct CallRequest {
  uint64_t peer = 0;
  uint16_t channel = 0;
  int16_t api = 0;
  int16_t version = 0;
  std::string client_id;
  std::vector<Slice> body;  // encoded, without header
  Duration timeout;         // from now; on expiry the connection is closed, if the request was sent
  Owner owner;              // comes back in the answer
  bool one_way = false;     // the peer sends no response (Produce with acks 0): answered only if it cannot be sent
  template<class V>
  void fields(V& v) const {
    v("peer", peer), v("channel", channel), v("api", api), v("version", version), v("client_id", client_id),
        v("body", body), v("timeout", timeout), v("owner", owner), v("one_way", one_way);
  }
};

struct Answer {
  Owner owner;
  uint64_t peer = 0;
  uint16_t channel = 0;
  int16_t api = 0;
  int16_t version = 0;
  IoError error = IoError::none;  // else: no answer came (refused, timed out, connection lost) and body is empty
  Slice body;                     // what follows the response header
};

struct CallsOptions {
  uint32_t frame_max = 100 << 20;  // of a response; a larger one costs the connection
  uint32_t in_flight_max = 5;
  Duration connect_timeout = seconds(10);
  Duration reconnect_first = milliseconds(1);
  Duration reconnect_max = milliseconds(1000);
  uint64_t entity = 0;  // whose draws: unlike for the hosts of one world
};

class Calls final {
 public:
  static constexpr size_t kWaitingMax = 4096;  // unsent calls of a connection; more is the caller's error
  static constexpr int kProbeDials = 8;

  explicit Calls(CallsOptions options) : options_(options), dice_{Stream::client_backoff, options.entity, 0} {}

  // The address of a peer, known or changed. Connections to a former address are closed and their calls answered.
  struct Address {
    std::string host;
    uint16_t port = 0;
    friend bool operator==(const Address&, const Address&) = default;
    template<class V>
    void fields(V& v) const {
      v("host", host), v("port", port);
    }
  };
  void set_address(NetIo net, uint64_t peer, const Address& address, std::vector<Answer>& out);
  const Address* address(uint64_t peer) const;
  // Closes and forgets; its calls are answered with `aborted`.
  void forget(NetIo net, uint64_t peer, std::vector<Answer>& out);

  // The same for one channel of all peers.
  void forget_channel(NetIo net, uint16_t channel, std::vector<Answer>& out);

  // A call to a peer without address waits for one.
  void call(NetIo net, CallRequest request);
  size_t under_way(uint64_t peer, uint16_t channel) const;  // sent and unsent calls
  bool connected(uint64_t peer, uint16_t channel) const;
  // When last a connection to the peer broke, or it was suspected; none if one has been opened since.
  std::optional<Instant> broke_at(uint64_t peer) const;
  // A connection that is not of these, to the same process, broke.
  void suspect(Instant now, uint64_t peer) { broke_at_[peer] = now; }

  // Dials the peer on a connection of its own, to learn whether its listener still lives: `take_refused` tells if not.
  void probe(NetIo net, uint64_t peer);
  // Peers that refused a dial, of a probe or after an open connection had been lost; since last asked.
  std::vector<uint64_t> take_refused() { return std::exchange(refused_, {}); }
  // Peers of whose open connections one broke, or to whom one was opened; since last asked.
  std::vector<uint64_t> take_broken() { return std::exchange(broken_, {}); }
  std::vector<uint64_t> take_reached() { return std::exchange(reached_, {}); }

  // True if the event belonged to one of these connections.
  bool on_event(NetIo net, const Event& event, std::vector<Answer>& out);
  void on_time(NetIo net, std::vector<Answer>& out);  // spurious calls are harmless
  Instant next_deadline() const { return timers_.next(); }

  template<class V>
  void fields(V& v) const {
    v("peers", peers_), v("links", links_), v("refused", refused_), v("broken", broken_), v("reached", reached_);
    v("broke_at", broke_at_), v("timers", timers_), v("dice", dice_), v("last_call", last_call_);
  }

 private:
  static constexpr uint16_t kProbeChannel = 0xffff;
  static constexpr Duration kProbeHold = milliseconds(50);  // a dying process may still accept for a moment

  struct Key {
    uint64_t peer = 0;
    uint16_t channel = 0;
    friend constexpr auto operator<=>(const Key&, const Key&) = default;
    template<class V>
    void fields(V& v) const {
      v("peer", peer), v("channel", channel);
    }
  };
  struct Waiting {  // a call, until its answer
    uint64_t number = 0;
    int32_t correlation = 0;  // once sent
    CallRequest request;      // its body is dropped once sent
    TimerId timer;
    template<class V>
    void fields(V& v) const {
      v("number", number), v("correlation", correlation), v("request", request), v("timer", timer);
    }
  };
  enum class State : uint8_t { idle, dialing, open, waiting };
  struct Link {
    explicit Link(uint32_t frame_max) : frames(frame_max) {}
    State state = State::idle;
    ConnId conn;  // while dialing or open
    Frames frames;
    std::deque<Waiting> sent;    // at most in_flight_max, by correlation
    std::deque<Waiting> unsent;  // at most kWaitingMax
    int32_t next_correlation = 0;
    Duration backoff;       // the last one; zero after an answer
    TimerId timer;          // the end of the backoff, the latest end of a dial, or that of a probe's hold
    bool had_open = false;  // an open connection was lost and no dial has ended since
    int probes_left = 0;
    template<class V>
    void fields(V& v) const {
      v("state", state), v("conn", conn), v("frames", frames), v("sent", sent), v("unsent", unsent),
          v("next_correlation", next_correlation), v("backoff", backoff), v("timer", timer), v("had_open", had_open),
          v("probes_left", probes_left);
    }
  };
  struct Due {  // number 0: the link's own timer
    Key key;
    uint64_t number = 0;
    template<class V>
    void fields(V& v) const {
      v("key", key), v("number", number);
    }
  };

  Link& link(Key key);
  void pump(NetIo net, Key key, Link& link);
  void dial(NetIo net, Key key, Link& link);
  void send(NetIo net, Link& link, Waiting call);
  void dialed(NetIo net, Key key, Link& link, IoError error, std::vector<Answer>& out);
  void received(NetIo net, Key key, Link& link, const Slice& bytes, std::vector<Answer>& out);
  bool answered(NetIo net, Link& link, const Slice& frame, std::vector<Answer>& out);
  void broke(Instant now, Key key, Link& link);
  // The connection is over (or was never there): answers all calls, then backs off.
  void ended(NetIo net, Key key, Link& link, IoError error, std::vector<Answer>& out);
  void drop(NetIo net, Link& link);  // closes without waiting for its end
  void fail_all(Link& link, IoError error, std::vector<Answer>& out);
  void call_timed_out(NetIo net, Key key, Link& link, uint64_t number, std::vector<Answer>& out);

  CallsOptions options_;
  Dice dice_;
  std::map<uint64_t, Address> peers_;
  std::map<Key, Link> links_;
  Timers<Due> timers_;
  std::vector<uint64_t> refused_, broken_, reached_;  // sets, in the order of the events
  std::map<uint64_t, Instant> broke_at_;              // until another connection is open
  uint64_t last_call_ = 0;
};

}  // namespace klamm::net
