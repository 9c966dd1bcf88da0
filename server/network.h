// A machine's connections and listeners: its network commands on real sockets.
//
// Reading waits for readiness and then reads once a turn, so an idle connection holds no buffer: small reads go through
// one scratch buffer and are copied, a read that nearly fills it takes the buffer along, and what the machine made Room
// for is received there. Sends of a turn leave in one
// gathered write; what the kernel does not take waits for writability. Regions of files go from the page cache to the
// socket on a pool of their own, a bounded part at a time and in turns, since their pages may have to come from the
// disk.
#pragma once
#include <memory>
#include <vector>

#include "engine/env/command.h"
#include "engine/env/event.h"
#include "server/listeners.h"
#include "server/loop.h"
#include "server/pool.h"
#include "server/posix.h"

namespace klamm::server {

class Network final {
 public:
  static constexpr uint32_t kReadBytes = 128 << 10;  // one read, and the size of the scratch buffer
  static constexpr uint32_t kRoomBytes = 1 << 20;    // one read into a Room
  static constexpr size_t kRegionBytes = 1 << 20;    // of a region that a worker sends at once
  static constexpr int kBacklog = 512;

  struct Options {
    std::vector<BoundSocket> sockets;
    size_t most_connections = SIZE_MAX;  // more are closed as they come; what is dialed counts, and is never refused
  };
  // Events are appended to `events`, which must outlive the network, as must the pool, which is stopped before. Must be
  // used on the loop's thread only.
  Network(Loop& loop, Pool& senders, Options options, std::vector<Event>& events);
  ~Network();

  // False: the socket cannot listen, another process has taken its port since it was bound.
  bool execute(const Listen& c);
  void execute(const Adopt& c);
  void execute(const Refuse& c);
  void execute(const Dial& c);
  void execute(Send& c);
  void execute(const SendRegion& c, Lease file);  // no file: it cannot be read
  // A file is about to be shortened: connections that have still to send what is cut off end.
  void cut(const Lease& file, int64_t size);
  void execute(const Close& c);
  void execute(const Pause& c);
  void execute(const Resume& c);
  void execute(Room& c);
  // A fault: connections dialed to that port, there and to come, fall silent both ways until it is lifted.
  void block(uint16_t port, bool on);
  // After a turn's commands: sends what has gathered and reads again.
  void flush();
  // How many were closed because there were too many.
  uint64_t turned_away() const;
  // Bytes that are still to be sent.
  bool sending() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace klamm::server
