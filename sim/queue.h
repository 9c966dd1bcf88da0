// What is due in the simulated world, in one total order: time, host, then order of scheduling.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/base/assert.h"

namespace klamm::sim {

using HostId = uint32_t;
inline constexpr int64_t kNeverAt = INT64_MAX;
inline constexpr uint32_t kMaxHosts = 64;

enum class Due : uint8_t {
  arrival,  // index: direction of a pipe: its first segment has come
  syn,      // index: pipe: a dial reaches its listener
  syn_ack,  // index: pipe: the answer reaches the dialer
  storage,  // index: operation of the host's storage
  region,   // index: direction of a pipe: the disk gives what its stream waits for
  barrier,  // index: sync of the host's storage: the writes before it are done
};

struct Item {
  int64_t at;
  uint64_t order;  // host << 48 | sequence
  uint32_t index;
  uint32_t generation;  // of the pipe or operation: stale items are dropped
  Due due;
  HostId host() const { return static_cast<HostId>(order >> 48); }
};

class Queue final {
 public:
  void push(int64_t at, HostId host, Due due, uint32_t index, uint32_t generation) {
    KLAMM_ASSERT(host < kMaxHosts);
    heap_.push_back({at, uint64_t{host} << 48 | ++sequence_, index, generation, due});
    std::push_heap(heap_.begin(), heap_.end(), Later{});
  }
  int64_t next_at() const { return heap_.empty() ? kNeverAt : heap_.front().at; }
  Item pop() {
    KLAMM_ASSERT(!heap_.empty());
    std::pop_heap(heap_.begin(), heap_.end(), Later{});
    const Item item = heap_.back();
    heap_.pop_back();
    return item;
  }
  size_t size() const { return heap_.size(); }

 private:
  struct Later {
    bool operator()(const Item& a, const Item& b) const { return a.at != b.at ? a.at > b.at : a.order > b.order; }
  };
  std::vector<Item> heap_;
  uint64_t sequence_ = 0;
};

}  // namespace klamm::sim
