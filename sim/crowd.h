// Members who join the load's group and leave it again, while faults strike; their host is struck as others are, and
// dies with all of them. Some have an instance id: who comes back by it takes its old place (KIP-345).
#pragma once
#include <cstdint>
#include <vector>

#include "sim/workload.h"
#include "sim/world.h"

namespace klamm::sim {

// Value. Owned by the simulation.
class Crowd final {
 public:
  struct Options {
    HostId host = 0;  // theirs alone
    uint32_t members = 0;
    int64_t every_ns = 400'000'000;
  };
  static constexpr uint32_t kFirstMember = 50;  // by the load's numbers of consumers, which end at 255
  static constexpr uint32_t kLastMember = 250;  // who joins again does so as another

  Crowd() = default;
  explicit Crowd(Options options) : options_(options), members_(options.members) {}

  int64_t next_at() const { return members_.empty() || settled_ ? kNeverAt : next_at_; }
  void act(World& world, Workload& load);
  void restarted() { members_.assign(members_.size(), 0); }
  void settle() { settled_ = true; }  // who is there stays

 private:
  Options options_;
  std::vector<uint32_t> members_;  // the consumer's number; 0: is not there
  uint32_t joined_ = 0;
  bool settled_ = false;
  int64_t next_at_ = 0;
  uint64_t draws_ = 0;
};

}  // namespace klamm::sim
