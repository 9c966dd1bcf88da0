// One dial: a name becomes addresses, which are tried in turn, each for a share of the time: one that swallows what is
// sent to it must not cost the others theirs.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/units.h"
#include "engine/env/event.h"
#include "server/loop.h"
#include "server/posix.h"

namespace klamm::server {

// Used on the loop's thread only. One that is dropped before it has ended tells nothing: its socket is closed, and a
// name whose look-up has not begun is not looked up. (All look-ups share one thread, one at a time; addresses need
// none.)
class Dialer final {
 public:
  struct Connected {
    Descriptor socket;  // none if there is an error
    bool v6 = false;
  };
  // Told once, never from within `dial`; an error is the last address's. May drop the dialer.
  using Done = std::function<void(IoError, Connected)>;

  static constexpr Duration kMost = seconds(8);               // less than the engine waits for a dial
  static constexpr Duration kShareLeast = milliseconds(500);  // of one address
  // How long the first of so many addresses may take: the last is ended by who dials.
  static Duration share(Duration left, size_t addresses);

  Dialer(Loop& loop, Done done, Duration most = kMost);
  ~Dialer();
  void dial(const std::string& host, uint16_t port);
  void dial(const std::vector<std::pair<std::string, uint16_t>>& addresses);  // numeric, at least one

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;  // what is under way knows it weakly
};

}  // namespace klamm::server
