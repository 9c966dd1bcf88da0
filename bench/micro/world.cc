// The whole simulated world: 3 nodes, 6 partitions, 1,000 messages a second in batches of 20 ms, one group, faults on.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include "engine/base/visit.h"
#include "sim/run.h"

namespace klamm::sim {
namespace {

// One iteration is one seed. CPU time of this thread, so that a busy machine does not count.
void world_seed(benchmark::State& state) {
  mallopt(M_TRIM_THRESHOLD, 256 << 20);  // as `klamm sim`
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  RunOptions options;
  double events = 0;
  double turns = 0;
  double simulated_s = 0;
  double failed = 0;
  options.seed = 0;
  for (auto _ : state) {
    ++options.seed;
    const RunResult result = run_seed(options);
    failed += result.ok ? 0 : 1;  // `klamm sim` says why
    events += static_cast<double>(result.events);
    turns += static_cast<double>(result.turns);
    simulated_s += static_cast<double>(result.simulated_ns) / 1e9;
  }
  using benchmark::Counter;
  state.counters["events"] = Counter(events, Counter::kAvgIterations);
  state.counters["failed"] = failed;
  state.counters["turns"] = Counter(turns, Counter::kAvgIterations);
  state.counters["events_per_simulated_s"] = events / simulated_s;
  state.counters["event_s"] = Counter(events, Counter::kIsRate | Counter::kInvert);
  state.counters["seeds_per_core_s"] = Counter(1, Counter::kIsIterationInvariantRate);
  state.counters["times_real_time"] = Counter(simulated_s, Counter::kIsRate);
}
BENCHMARK(world_seed)->Unit(benchmark::kMillisecond)->MinTime(3);

// In the middle of the load, with faults.
Simulation in_the_middle() {
  RunOptions options;
  Simulation s(options);
  int64_t from = -1;
  while (s.step()) {
    if (s.phase() != Simulation::Phase::faults) continue;
    if (from < 0) from = s.world().now();
    if (s.world().now() - from > options.faults_ns / 2) break;
  }
  return s;
}

void world_fork(benchmark::State& state) {
  const Simulation s = in_the_middle();
  for (auto _ : state) {
    Simulation fork = s;
    benchmark::DoNotOptimize(fork.world().digest());
  }
}
BENCHMARK(world_fork)->Unit(benchmark::kMicrosecond);

// What a fork pays later: its first simulated 10 ms copy what they touch.
void world_fork_and_go_on(benchmark::State& state) {
  const Simulation s = in_the_middle();
  for (auto _ : state) {
    Simulation fork = s;
    const int64_t until = fork.world().now() + 10'000'000;
    while (fork.world().now() < until && fork.step()) {
    }
  }
}
BENCHMARK(world_fork_and_go_on)->Unit(benchmark::kMicrosecond);

// The hash over every field of every machine's state; the rolling digest of events and commands is part of a seed.
void world_state_hash(benchmark::State& state) {
  const Simulation s = in_the_middle();
  for (auto _ : state) {
    HashVisitor v;
    for (HostId h = 0; h < s.world().hosts(); ++h) {
      if (const Machine* m = s.world().machine(h)) m->fields(v);
    }
    benchmark::DoNotOptimize(v.hash());
  }
}
BENCHMARK(world_state_hash)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace klamm::sim
