// The main thread's wait: for SIGTERM and SIGINT, for a call from another thread, for the end of standard input.
#pragma once
#include "engine/base/units.h"
#include "server/posix.h"

namespace klamm::server {

// Made before any other thread, for these signals must be blocked everywhere.
class MainWait final {
 public:
  enum class Why { stopped, woken, input_ended, timed_out };

  MainWait();
  void wake();  // from any thread
  Why wait(bool input, Duration at_most);

 private:
  Descriptor signals_;
  Descriptor woken_;
};

// The process ends with `code` if it still lives then.
void exit_at_latest_after(Duration time, int code);
// As many descriptors as the system lets us have.
void raise_descriptor_limit();

}  // namespace klamm::server
