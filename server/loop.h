// The one thread of a node waits here: an Asio io_context that is asked to run what is ready.
#pragma once
#include <functional>
#include <memory>

#include "engine/base/units.h"

namespace boost::asio {
class io_context;
}

namespace klamm::server {

class Loop final {
 public:
  Loop();
  ~Loop();
  boost::asio::io_context& context();
  // From any thread: run `work` on the loop's thread, in the order of the posts of one thread.
  void post(std::function<void()> work);
  // Runs what is ready. If nothing is, waits for something to happen or for `until`, whichever is first; `until` in
  // the past: no waiting. Wakes at most a millisecond after `until`, never before.
  void run_ready(Instant until);

 private:
  static constexpr Duration kLongWait = seconds(3600);
  static constexpr uint32_t kAloneForAWhile = 16;  // waits in a row that brought one thing
  static constexpr uint32_t kLookEvery = 8;

  struct Impl;
  std::unique_ptr<Impl> impl_;
  uint32_t alone_ = 0;
};

}  // namespace klamm::server
