// Byte streams between hosts: delay, cuts, partitions, resets, half-open peers, and the door's rules for connections.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/env/command.h"
#include "engine/env/event.h"
#include "sim/queue.h"
#include "sim/tape.h"

namespace klamm::sim {

// What links are like in this run. Set by the swarm; faults bend single links.
struct NetModel {
  Delay delay{.least_ns = 50'000, .spread_ns = 100'000};
  Delay retransmit{.least_ns = 200'000'000, .spread_ns = 100'000'000};  // doubles up to a second
  int64_t give_up_ns = 15'000'000'000;    // a peer that acknowledges nothing for so long is gone
  int64_t dial_limit_ns = 5'000'000'000;  // a dial that nobody answers
  uint32_t cut_per_mille = 0;             // a send arrives in two pieces
  int64_t bytes_per_second = 0;           // 0: no limit
};

// Where events for machines go, and where the bytes of regions come from.
class Inboxes {
 public:
  virtual ~Inboxes() = default;
  virtual void deliver(HostId host, Event event) = 0;
  virtual int64_t region_due(HostId host) = 0;  // when the host's disk gives what it is asked for now
  virtual Slice region(HostId host, uint64_t inode, int64_t offset, uint32_t size) = 0;  // short: no more is there
};

// The world as the network needs it, for one call.
struct NetIo {
  int64_t now;
  Queue& queue;
  Tape& tape;
  Inboxes& inboxes;
};

enum class HostNet : uint8_t {
  off,     // no power: nothing answers
  no_one,  // the system runs, the process does not: dials are refused, streams reset
  running,
};

// Value, forkable; owned by the world. A pipe is one connection; its end 0 dialed, its end 1 was dialed.
class Network final {
 public:
  explicit Network(std::vector<std::string> host_names);
  static constexpr uint64_t kWindow = 256 << 10;     // bytes of a stream that kernels and wires hold
  static constexpr uint32_t kRegionRead = 48 << 10;  // of a region, at a time
  static constexpr size_t kMaxPipes = 1 << 14;
  static constexpr size_t kMaxBacklog = 1024;  // of connections not yet adopted, a listener

  // ---- hosts
  void bind(HostId host, ListenerId listener, const std::string& address, uint16_t port);
  void set_host(HostId host, HostNet state) { hosts_[host].state = state; }
  void process_ended(HostId host, NetIo io);  // killed or exited: its kernel tells the peers
  void power_lost(HostId host);               // nobody tells anyone

  // ---- commands of a host's machine
  void listen(HostId host, ListenerId listener) { hosts_[host].listening |= uint64_t{1} << listener.value; }
  void dial(HostId host, const Dial& c, NetIo io);
  void adopt(HostId host, const Adopt& c, NetIo io);
  void refuse(HostId host, const Refuse& c, NetIo io);
  void send(HostId host, Send&& c);  // gathered until `flush`
  // `inode`: whose bytes, which stay although the file is closed or removed; 0: it could not be opened.
  void send(HostId host, const SendRegion& c, uint64_t inode);
  // The host shortens a file: connections that have still to send what is cut off end.
  void cut(HostId host, uint64_t inode, int64_t size, NetIo io);
  void flush(HostId host, NetIo io);
  void close(HostId host, const Close& c, NetIo io);
  void pause(HostId host, const Pause& c, bool on, NetIo io);

  // ---- what is due
  void arrival(const Item& item, NetIo io);
  void region(const Item& item, NetIo io);
  void syn(const Item& item, NetIo io);
  void syn_ack(const Item& item, NetIo io);

  // ---- faults
  void block(HostId from, HostId to, bool on);
  bool blocked(HostId from, HostId to) const { return link(from, to).blocks > 0; }
  void slow_link(HostId from, HostId to, int64_t extra_ns, int64_t until);
  // Resets up to `most` open connections between the two hosts; says how many.
  uint32_t reset(HostId a, HostId b, uint32_t most, NetIo io);
  NetModel& model() { return model_; }
  size_t open_pipes() const { return pipes_in_use_; }

 private:
  enum class State : uint8_t {
    none,  // nobody there yet, or nobody any more: a dead process of a host without power
    dialing,
    pending,  // neither adopted nor refused
    open,
    closing,  // close after sends
    closed,   // its machine has been told, or is no more
  };
  struct Segment {
    int64_t at = 0;
    Slice bytes;  // empty: the end of the stream
    IoError error = IoError::none;
  };
  // A piece that no kernel has yet: bytes, or a part of a file.
  struct Outgoing {
    Slice bytes;
    bool tell = false;
    bool region = false;
    uint64_t inode = 0;
    int64_t offset = 0;
    uint32_t size = 0;
  };
  // One end, and the stream that flows towards it.
  struct End {
    HostId host = 0;
    State state = State::none;
    bool paused = false;
    bool armed = false;  // an arrival item is in the queue
    bool fin = false;    // the last segment ends the stream
    ConnId conn;
    std::vector<Segment> coming;  // from `first` on
    size_t first = 0;
    int64_t last_at = 0;       // arrivals keep their order
    int64_t stuck_since = -1;  // the link does not let its head through
    int64_t backoff = 0;
    uint64_t sent = 0;               // bytes sent towards this end
    uint64_t taken = 0;              // bytes that this end has received
    uint64_t reported = 0;           // of the last Sent
    std::vector<uint64_t> tells;     // totals at which the sender wants Sent
    std::vector<Outgoing> gathered;  // sends of the other end in this turn
    std::vector<Outgoing> waits;     // a region that the disk has not given yet, or that finds no room; what follows it
    bool reading = false;            // a region item is in the queue
    bool empty() const { return first == coming.size(); }
    bool alive() const { return state != State::none && state != State::closed; }
    void clear() { coming.clear(), first = 0; }
  };
  struct Pipe {
    uint32_t generation = 1;
    bool used = false;
    ListenerId listener;
    int64_t dial_since = 0;
    int64_t backoff = 0;
    IoError dial_error = IoError::none;
    End ends[2];
  };
  struct Link {
    uint32_t blocks = 0;
    int64_t extra_ns = 0;
    int64_t extra_until = 0;
    int64_t busy_until = 0;  // bandwidth
    Draws delay;
    Draws shape;
  };
  struct Host {
    HostNet state = HostNet::off;
    uint64_t listening = 0;                              // a bit a listener
    std::vector<std::pair<uint32_t, uint32_t>> by_slot;  // ConnId slot -> (generation, direction + 1)
    std::string name;
  };
  // A direction names an end and the stream towards it: pipe * 2 + end.
  using Direction = uint32_t;

  Link& link(HostId from, HostId to) { return links_[from * host_count_ + to]; }
  const Link& link(HostId from, HostId to) const { return links_[from * host_count_ + to]; }
  Pipe& pipe(Direction d) { return pipes_[d / 2]; }
  End& end(Direction d) { return pipes_[d / 2].ends[d & 1]; }
  End& peer(Direction d) { return pipes_[d / 2].ends[(d & 1) ^ 1]; }
  static Direction other(Direction d) { return d ^ 1; }

  uint32_t add_pipe();
  void free_pipe(uint32_t index);
  void set_conn(HostId host, ConnId conn, Direction d);
  End* find(HostId host, ConnId conn, Direction* d);
  int64_t travel(HostId from, HostId to, size_t bytes, NetIo io);
  void put(Direction d, Slice bytes, IoError error, NetIo io);  // a segment towards end d
  void arm(Direction d, NetIo io);
  void gather(HostId host, ConnId conn, Outgoing piece);
  void flush_end(Direction towards, NetIo io);
  void hand_over(Direction towards, Slice bytes, NetIo io);  // to the kernel
  void send_waiting(Direction towards, NetIo io);
  void cut_off(Direction towards, IoError error, NetIo io);  // its sender closes it
  void report_sent(Direction d, NetIo io);                   // to the sender of the stream towards d
  void finish(Direction d, IoError error, NetIo io);         // end d gets its Closed
  bool stuck(Direction d, NetIo io);
  void take_arrived(Direction d, NetIo io);
  void retry_syn(uint32_t index, NetIo io);
  void end_dial(uint32_t index, IoError error, NetIo io);
  void lose_tail(Direction d, NetIo io);
  void free_if_done(Direction d);

  uint32_t host_count_;
  NetModel model_;
  std::vector<Host> hosts_;
  std::vector<Link> links_;
  std::vector<Pipe> pipes_;
  std::vector<uint32_t> free_pipes_;
  std::vector<Direction> touched_;  // directions with gathered sends
  size_t pipes_in_use_ = 0;
  std::map<std::pair<std::string, uint16_t>, std::pair<HostId, ListenerId>> addresses_;
};

}  // namespace klamm::sim
