// Deadlines with a payload. Equal deadlines fire in creation order.
#pragma once
#include <cstdint>
#include <map>
#include <utility>

#include "engine/base/units.h"

namespace klamm {

// 0 is no timer.
struct TimerId {
  int64_t at = 0;
  uint64_t number = 0;
  explicit operator bool() const { return number != 0; }
  friend constexpr auto operator<=>(TimerId, TimerId) = default;
  template<class V>
  void fields(V& v) const {
    v("at", at), v("number", number);
  }
};

template<class T>
class Timers final {
 public:
  TimerId set(Instant at, T what) {
    const TimerId id{at.ns, ++last_};
    queue_.emplace(id, std::move(what));
    return id;
  }
  void cancel(TimerId& id) {
    if (id) queue_.erase(id);
    id = {};
  }
  Instant next() const { return queue_.empty() ? kNever : Instant{queue_.begin()->first.at}; }
  // Takes out the first payload that is due; call until it says false.
  bool pop(Instant now, T* out) {
    if (queue_.empty() || queue_.begin()->first.at > now.ns) return false;
    *out = std::move(queue_.begin()->second);
    queue_.erase(queue_.begin());
    return true;
  }
  size_t size() const { return queue_.size(); }
  template<class V>
  void fields(V& v) const {
    v("queue", queue_), v("last", last_);
  }

 private:
  std::map<TimerId, T> queue_;
  uint64_t last_ = 0;
};

}  // namespace klamm
