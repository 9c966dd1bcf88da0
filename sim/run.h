// One seed from start to end: for the command line, tests and Python.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "sim/simulation.h"

namespace klamm::sim {

struct RunResult {
  uint64_t seed = 0;
  uint64_t digest = 0;
  bool ok = false;
  bool beyond_promise = false;        // losses are legal
  std::vector<Violation> violations;  // the first ones, in order; losses too
  bool disk_failed = false;           // with RunOptions::fail_disk: the operation was reached
  uint64_t lost = 0;                  // acknowledged records that no log holds any more, if the run came to read them
  int64_t simulated_ns = 0;
  uint64_t events = 0;
  uint64_t turns = 0;
  uint64_t acked = 0;
  uint64_t polled = 0;
  std::array<uint64_t, kFaults> fired{};
  std::array<uint64_t, static_cast<size_t>(Probe::count)> probes{};
  std::vector<Choice> choices;    // if they were logged
  std::string violation() const;  // the first that is none of the legal losses, in one line; empty: none
};

// Within the promise any violation is a failure; beyond it losses are reported and only other violations are.
RunResult run_seed(const RunOptions& options, Observer* listener = nullptr);
RunResult result_of(Simulation& simulation, const RunOptions& options);

}  // namespace klamm::sim
