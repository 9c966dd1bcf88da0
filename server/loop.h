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
  // Runs all that is ready. If nothing is, waits for something to happen or for `until`, whichever is first; `until` in
  // the past: no waiting. Wakes at most a millisecond after `until`, never before.
  void run_ready(Instant until);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace klamm::server
