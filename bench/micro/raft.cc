// One step of the raft core: a leader of three takes a fetch, commits, and answers.
#include "engine/raft/raft.h"

#include <benchmark/benchmark.h>

#include "tests/support/turns.h"

namespace klamm::raft {
namespace {

Raft lone_leader(TestWorld& world) {
  Raft raft({.self = {NodeId{1}, {}}, .voters = {NodeId{1}}}, HardState{}, LogState{});
  Ctx ctx = world.ctx();
  raft.step(ctx, Start{});
  while (raft.role() != Role::leader) {
    world.now = world.now + milliseconds(100);
    Ctx later = world.ctx();
    raft.step(later, HardStateSynced{raft.hard_state_version()});
    raft.step(later, Tick{});
  }
  return raft;
}

void raft_propose_and_commit(benchmark::State& state) {
  TestWorld world;
  Raft raft = lone_leader(world);
  Ctx ctx = world.ctx();
  for (auto _ : state) {
    benchmark::DoNotOptimize(raft.step(ctx, Propose{1}));
    benchmark::DoNotOptimize(raft.step(ctx, LogSynced{raft.log().end}));
  }
}
BENCHMARK(raft_propose_and_commit);

void raft_tick(benchmark::State& state) {
  TestWorld world;
  Raft raft = lone_leader(world);
  Ctx ctx = world.ctx();
  for (auto _ : state) benchmark::DoNotOptimize(raft.step(ctx, Tick{}));
}
BENCHMARK(raft_tick);

void raft_observer_fetch(benchmark::State& state) {
  TestWorld world;
  Raft raft = lone_leader(world);
  Ctx ctx = world.ctx();
  raft.step(ctx, LogSynced{raft.log().end});
  Request request;
  request.body = FetchRequest{.epoch = raft.epoch(), .replica = {NodeId{7}, {}}, .max_wait = {}};
  for (auto _ : state) benchmark::DoNotOptimize(raft.step(ctx, request));
}
BENCHMARK(raft_observer_fetch);

}  // namespace
}  // namespace klamm::raft
