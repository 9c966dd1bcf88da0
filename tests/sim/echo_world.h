// Two hosts, one echoing and one talking, for tests of the world itself.
#pragma once
#include "sim/world.h"
#include "tests/support/echo.h"
#include "tests/support/talk.h"

namespace klamm::sim {

struct EchoOptions {
  int padding = 80;      // of a line
  bool regions = false;  // lines come back from the file
};

inline World echo_world(uint64_t seed, WorldOptions options = {}, EchoOptions echoing = {}) {
  HostSpec echo{"echo", [](const Boot& b) -> std::unique_ptr<Machine> { return std::make_unique<EchoMachine>(b); }, {}};
  echo.boot.listeners.push_back({"PLAINTEXT", "echo", 7, "echo", 7});
  echo.boot.directories.push_back("data");
  if (echoing.regions) echo.boot.properties["echo.regions"] = "true";
  HostSpec talk{"talk", [](const Boot& b) -> std::unique_ptr<Machine> { return std::make_unique<TalkMachine>(b); }, {}};
  talk.boot.properties = {{"talk.to", "echo"}, {"talk.padding", std::to_string(echoing.padding)}};
  return World(Tape(seed), options, {echo, talk});
}

inline uint64_t echoed(const World& w) { return static_cast<const TalkMachine*>(w.machine(1))->echoed(); }

}  // namespace klamm::sim
