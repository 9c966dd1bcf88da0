// A node in a process of its own: this same program, which dies when we do.
#pragma once
#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/base/units.h"
#include "server/posix.h"

namespace klamm::cli {

class Child final {
 public:
  // Output and errors go to `log`. Null if no process could be made.
  static std::unique_ptr<Child> start(std::vector<std::string> arguments, int log);
  pid_t pid() const { return pid_; }
  // False: not ready within that time, or dead.
  bool wait_ready(Duration at_most);
  void terminate();
  // Waits for its death, and kills it when the time is over.
  void end(Duration at_most);

 private:
  pid_t pid_ = -1;
  server::Descriptor ready_;  // the child writes a line when it serves
};

}  // namespace klamm::cli
