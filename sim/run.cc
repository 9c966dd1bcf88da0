#include "sim/run.h"

namespace klamm::sim {

std::string RunResult::violation() const {
  for (const Violation& v : violations)
    if (!v.loss || !beyond_promise) return std::string(v.rule) + ": " + v.text;
  return {};
}

RunResult result_of(Simulation& s, const RunOptions& options) {
  RunResult r;
  World& w = s.world();
  r.seed = options.seed;
  r.digest = w.digest();
  r.violations = s.verdicts().list();
  r.beyond_promise = s.beyond_promise();
  r.ok = r.violation().empty();
  r.disk_failed = s.disk_failed();
  r.lost = s.workload().history().lost();
  r.simulated_ns = w.now();
  r.events = w.events();
  r.turns = w.turns();
  r.acked = s.workload().history().acked();
  r.polled = s.workload().history().polls();
  r.fired = s.plan().fired();
  for (HostId h = 0; h < w.hosts(); ++h)
    for (size_t i = 0; i < r.probes.size(); ++i) r.probes[i] += w.host_trace(h).probes[i];
  r.choices = w.tape().log();
  return r;
}

RunResult run_seed(const RunOptions& options, Observer* listener) {
  Simulation s(options);
  s.run(listener);
  return result_of(s, options);
}

}  // namespace klamm::sim
