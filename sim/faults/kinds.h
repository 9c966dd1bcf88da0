// The faults that a run may draw, in the words of the vocabulary. A campaign in which a kind never fired has a hole.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace klamm::sim {

// X(name, per mille a tick when the swarm has it, what it does)
#define KLAMM_FAULTS(X)                                                                \
  X(kill, 8, "a broker's process dies; its page cache stays")                          \
  X(kill_new_leader, 250, "a broker dies shortly after it began to lead a partition")  \
  X(power_loss, 4, "a broker loses power and with it any part of what was not synced") \
  X(power_loss_all, 3, "every broker loses power at once (only beyond the promise)")   \
  X(pause, 6, "a broker stands still for a while, its connections open")               \
  X(isolate, 6, "a broker and all others, clients too, do not hear each other")        \
  X(cut_from_brokers, 6, "a broker is cut from the brokers, clients still reach it")   \
  X(one_way, 6, "a broker hears another, which does not hear it")                      \
  X(bridge, 3, "two brokers hear each other only by the third")                        \
  X(reset, 20, "connections between two hosts are reset")                              \
  X(delay_spike, 15, "a link becomes slow")                                            \
  X(clock_jump, 5, "a wall clock jumps")                                               \
  X(clock_drift, 5, "a clock runs fast or slow")                                       \
  X(clock_freeze, 4, "a monotonic clock stands still for a while")                     \
  X(disk_stall, 8, "a disk does nothing for a while")                                  \
  X(disk_full, 4, "a disk has little room left for a while: appends are refused")      \
  X(failed_sync, 2, "a sync fails once; what it should have saved is never saved")     \
  X(failed_write, 2, "a write fails once")                                             \
  X(client_reset, 10, "a client's connections are reset")                              \
  X(client_pause, 4, "a client host stands still: a zombie when it comes back")        \
  X(client_kill, 3, "a client host dies and starts anew, knowing nothing")             \
  X(lasting, 0, "after the heal one broker stays dead or cut off for good: the others must do")

enum class Fault : uint8_t {
#define KLAMM_X(name, rate, about) name,
  KLAMM_FAULTS(KLAMM_X)
#undef KLAMM_X
      count
};
inline constexpr size_t kFaults = static_cast<size_t>(Fault::count);

struct FaultEntry {
  std::string_view name;
  uint32_t per_mille;
  std::string_view about;
};
inline constexpr std::array<FaultEntry, kFaults> kFaultEntries = {{
#define KLAMM_X(name, rate, about) {#name, rate, about},
    KLAMM_FAULTS(KLAMM_X)
#undef KLAMM_X
}};

}  // namespace klamm::sim
