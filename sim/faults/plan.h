// Faults as they are drawn: which kinds a run has at all, when each strikes, whom, and for how long.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "sim/faults/kinds.h"
#include "sim/world.h"

namespace klamm::sim {

struct FaultOptions {
  std::vector<HostId> brokers;
  std::vector<HostId> clients;
  int64_t from = 0;           // the first tick
  int64_t until = 0;          // the last one; then `heal`
  bool over_promise = false;  // losses of power at several brokers, as they come
};

// What the plan must know of the cluster to stay within its promise.
class Standing {
 public:
  virtual ~Standing() = default;
  // Every other broker holds all committed records and is in every ISR: losing this one's tail loses nothing.
  virtual bool others_complete(HostId broker) const = 0;
  virtual bool caught_up(HostId broker) const = 0;  // after a loss of power: everything committed, in every ISR
};

// Value. Owned by the simulation, which calls `act` at next_at() and hands over the trace.
//
// The promise of three replicas with acks=all and min.insync.replicas=2 without syncing: processes may die as they
// like; the tail of one page cache at a time may be lost, while all others stay up and reachable until the loser has
// caught up. Beyond it records may be lost, and must be reported.
class Plan final {
 public:
  static constexpr int64_t kTick = 100'000'000;
  Plan() = default;
  Plan(FaultOptions options, Tape& tape);

  int64_t next_at() const;
  void act(World& world, const Standing& standing, Observer& o);
  void trace(int64_t at, HostId host, const TraceEvent& e, World& world);
  void exited(int64_t at, HostId host);    // a process ended by itself: it is started again
  void crash_at(int64_t at, HostId host);  // besides what is drawn: it dies, and is started again
  // Ends every fault for good and starts every broker, but for one that may stay dead or cut off if the others hold
  // all.
  void heal(World& world, const Standing& standing, Observer& o);

  bool has(Fault f) const { return per_mille_[static_cast<size_t>(f)] > 0; }
  const std::array<uint64_t, kFaults>& fired() const { return fired_; }

 private:
  enum class End : uint8_t { start, resume, unblock, kill, crash, undrift, thaw, room };
  struct Due {
    int64_t at = 0;
    End end = End::start;
    HostId host = 0;
    HostId other = 0;
    friend bool operator==(const Due&, const Due&) = default;
  };
  void tick(World& w, const Standing& standing, Observer& o);
  void strike(Fault f, World& w, const Standing& standing, Observer& o);
  void end(const Due& due, World& w, Observer& o);
  void later(int64_t at, End what, HostId host, HostId other = 0);
  void block(World& w, HostId from, HostId to, int64_t until);
  void fired(Fault f, World& w, HostId host, int64_t a, int64_t b, Observer& o);
  bool may_impair(World& w, HostId host) const;
  bool impaired(World& w, HostId host) const;
  void lose_power(World& w, HostId host, const Standing& standing, Observer& o);
  void lose_all_power(World& w, Observer& o);
  void keep_one_out(World& w, const Standing& standing, Observer& o);
  HostId draw_host(World& w, const std::vector<HostId>& from);
  int64_t draw_length(World& w, int64_t least, int64_t most);

  FaultOptions options_;
  std::array<uint32_t, kFaults> per_mille_{};
  std::array<Draws, kFaults> ticks_{};
  std::array<uint64_t, kFaults> fired_{};
  uint32_t most_impaired_ = 1;  // brokers at once
  int64_t next_tick_ = kNeverAt;
  std::vector<Due> due_;        // ascending
  std::vector<HostId> losers_;  // of power, not yet caught up
  std::vector<uint32_t> cut_;   // how many partitions a host is in, by host
  Draws target_;
  Draws length_;
};

}  // namespace klamm::sim
