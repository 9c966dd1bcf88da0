// A host's own clocks: a monotonic one that may run fast, slow or stand still, and a wall clock that may jump.
#pragma once
#include <cstdint>

#include "engine/base/assert.h"
#include "engine/base/units.h"
#include "sim/queue.h"

namespace klamm::sim {

// Piecewise linear: local = base_local + (at - base_at) * (1 + ppm / 10^6). Never goes back.
class Clock final {
 public:
  static constexpr int64_t kMostPpm = 500'000;
  static constexpr int64_t kWallAtStartMs = 1'767'225'600'000;  // 2026-01-01

  Instant local(int64_t at) const {
    if (frozen_) return {base_local_};
    if (ppm_ == 0) return {base_local_ + (at - base_at_)};
    return {base_local_ + static_cast<int64_t>(static_cast<__int128>(at - base_at_) * (kMillion + ppm_) / kMillion)};
  }
  Wall wall(int64_t at) const { return {kWallAtStartMs + (local(at).ns + wall_offset_ns_) / 1'000'000}; }
  // The first instant at which local >= deadline, not before `now`.
  int64_t first_at(Instant deadline, int64_t now) const {
    if (deadline <= local(now)) return now;
    if (frozen_ || deadline == kNever) return kNeverAt;
    const __int128 ahead = static_cast<__int128>(deadline.ns) - base_local_;
    const __int128 rate = kMillion + ppm_;
    const __int128 at = base_at_ + (ahead * kMillion + rate - 1) / rate;
    return at >= kNeverAt ? kNeverAt : static_cast<int64_t>(at);
  }
  void drift(int64_t at, int64_t ppm) {
    KLAMM_ASSERT(ppm <= kMostPpm && ppm >= -kMostPpm);
    rebase(at);
    ppm_ = ppm;
  }
  void freeze(int64_t at, bool on) {
    rebase(at);
    frozen_ = on;
  }
  void jump_wall(Duration by) { wall_offset_ns_ += by.ns; }
  // The machine was off: its monotonic clock starts again, its wall clock goes on.
  void reboot(int64_t at) {
    const int64_t wall_ns = local(at).ns + wall_offset_ns_;
    base_at_ = at;
    base_local_ = 0;
    frozen_ = false;
    wall_offset_ns_ = wall_ns;
  }

 private:
  static constexpr int64_t kMillion = 1'000'000;
  void rebase(int64_t at) {
    base_local_ = local(at).ns;
    base_at_ = at;
  }
  int64_t base_at_ = 0;
  int64_t base_local_ = 0;
  int64_t ppm_ = 0;
  int64_t wall_offset_ns_ = 0;
  bool frozen_ = false;
};

}  // namespace klamm::sim
