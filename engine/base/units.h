// Time. Two kinds that never mix: the monotonic instant of a turn, and the wall clock that may jump.
#pragma once
#include <compare>
#include <cstdint>
#include <limits>

namespace klamm {

struct Duration {
  int64_t ns = 0;
  friend constexpr auto operator<=>(Duration, Duration) = default;
  friend constexpr Duration operator+(Duration a, Duration b) { return {a.ns + b.ns}; }
  friend constexpr Duration operator-(Duration a, Duration b) { return {a.ns - b.ns}; }
  friend constexpr Duration operator*(Duration a, int64_t k) { return {a.ns * k}; }
  friend constexpr Duration operator/(Duration a, int64_t k) { return {a.ns / k}; }
  constexpr int64_t ms() const { return ns / 1'000'000; }
};
constexpr Duration nanoseconds(int64_t n) { return {n}; }
constexpr Duration microseconds(int64_t n) { return {n * 1'000}; }
constexpr Duration milliseconds(int64_t n) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 4'000'000;  // saturates: configs hold 2^63-1 ms
  return {(n > kMost ? kMost : n < -kMost ? -kMost : n) * 1'000'000};
}
constexpr Duration seconds(int64_t n) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 1'000;
  return milliseconds((n > kMost ? kMost : n < -kMost ? -kMost : n) * 1'000);
}
constexpr Duration minutes(int64_t n) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 60;
  return seconds((n > kMost ? kMost : n < -kMost ? -kMost : n) * 60);
}

// Nanoseconds on the machine's own monotonic clock; fixed for a turn.
struct Instant {
  int64_t ns = 0;
  friend constexpr auto operator<=>(Instant, Instant) = default;
  friend constexpr Instant operator+(Instant a, Duration d) { return {a.ns + d.ns}; }
  friend constexpr Instant operator-(Instant a, Duration d) { return {a.ns - d.ns}; }
  friend constexpr Duration operator-(Instant a, Instant b) { return {a.ns - b.ns}; }
};
inline constexpr Instant kNever{std::numeric_limits<int64_t>::max()};
constexpr Instant earlier(Instant a, Instant b) { return a < b ? a : b; }

// For milliseconds that records, files and configurations tell: they may be any number.
constexpr int64_t saturating_add(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b < 0 ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
}
constexpr int64_t saturating_subtract(int64_t a, int64_t b) {
  int64_t difference = 0;
  if (!__builtin_sub_overflow(a, b, &difference)) return difference;
  return b > 0 ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
}

// Milliseconds since 1970 on the machine's wall clock; may jump, so nothing waits for it.
struct Wall {
  int64_t ms = 0;
  friend constexpr auto operator<=>(Wall, Wall) = default;
};

}  // namespace klamm
