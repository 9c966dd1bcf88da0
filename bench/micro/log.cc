// One append as a leader and the flush of its turn, on a disk that takes no time.
#include "engine/log/log.h"

#include <benchmark/benchmark.h>

#include "engine/protocol/batch_builder.h"
#include "tests/support/turns.h"

namespace klamm::log {
namespace {

struct Bench {
  TestWorld world;
  OpTable ops;
  Commands commands;
  Log log;

  Bench() : log(LogOptions{.topic_name = "orders"}) {
    Ctx ctx = world.ctx();
    Io io{ctx, commands, ops};
    log.open(io, {});
    settle();
    KLAMM_ASSERT(log.ready());
  }
  // Every command ends well, at once; what is not there stays so.
  void settle() {
    Ctx ctx = world.ctx();
    while (!commands.empty()) {
      Commands now;
      now.swap(commands);
      Io io{ctx, commands, ops};
      for (const Command& c : now) std::visit([&](const auto& x) { end(io, x); }, c);
    }
  }
  template<class C>
  void end(Io& io, const C& c) {
    if constexpr (requires(OpTable t) { t.end(c.token); }) {
      const bool looks = std::is_same_v<C, ListDir> || std::is_same_v<C, LoadFile> || std::is_same_v<C, ReadFile>;
      Out out;
      if (const auto owner = ops.end(c.token))
        log.on_storage(io, *owner, {looks ? IoError::not_found : IoError::none}, out);
    }
  }
};

void log_append_and_flush(benchmark::State& state) {
  Bench b;
  Ctx ctx = b.world.ctx();
  const std::vector<uint8_t> value(static_cast<size_t>(state.range(0)), 'x');
  protocol::BatchBuilder builder;
  builder.add_value(1'700'000'000'000, value);
  const Slice batch = builder.finish();
  for (auto _ : state) {
    Io io{ctx, b.commands, b.ops};
    benchmark::DoNotOptimize(b.log.append_as_leader(ctx, 1, batch));
    b.log.flush(io);
    b.settle();
  }
  KLAMM_ASSERT_REL(b.log.ends().written, ==, b.log.ends().submitted);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(batch.size()));
}
BENCHMARK(log_append_and_flush)->Arg(100)->Arg(16'384)->Arg(1'000'000);

void log_read_tail(benchmark::State& state) {
  Bench b;
  Ctx ctx = b.world.ctx();
  const std::vector<uint8_t> value(100, 'x');
  for (int i = 0; i < 1000; ++i) {
    protocol::BatchBuilder builder;
    builder.add_value(1'700'000'000'000, value);
    b.log.append_as_leader(ctx, 1, builder.finish());
  }
  const Offset end = b.log.ends().submitted;
  for (auto _ : state) {
    benchmark::DoNotOptimize(b.log.read({.offset = end - state.range(0), .max_bytes = 1 << 20, .limit = end}));
  }
}
BENCHMARK(log_read_tail)->Arg(1)->Arg(100);

}  // namespace
}  // namespace klamm::log
