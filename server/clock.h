// The real clocks, read once a turn.
#pragma once
#include <ctime>

#include "engine/base/units.h"

namespace klamm::server {

inline Instant monotonic_now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return Instant{t.tv_sec * 1'000'000'000 + t.tv_nsec};
}

inline Wall wall_now() {
  timespec t{};
  clock_gettime(CLOCK_REALTIME, &t);
  return Wall{t.tv_sec * 1'000 + t.tv_nsec / 1'000'000};
}

}  // namespace klamm::server
