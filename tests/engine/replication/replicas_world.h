// All replicas of a broker on a fake disk; other brokers are played by the test.
#pragma once
#include "engine/replication/replicas.h"
#include "tests/engine/replication/rig.h"

namespace klamm::replication {

struct ReplicasWorld {
  explicit ReplicasWorld(const ReplicasConfig& config, const Brokers& brokers) : replicas(config) {
    turn([&](Io& io) { replicas.set_brokers(io.ctx, brokers, brokers.at(config.common.self).epoch); });
  }
  static TopicIdPartition tp(int32_t partition, uint8_t topic = 7) { return {Uuid{{topic}}, partition}; }
  template<class F>
  void turn(F&& f) {
    Ctx ctx{world.now, world.wall, world.chance, world.flaws, trace ? *trace : world.trace, world.scratch};
    Commands commands;
    Io io{ctx, commands, ops};
    f(io);
    replicas.flush(io, out);
    disk.submit(commands);
  }
  bool step(uint64_t which = 0) {
    if (disk.ready() == 0) return false;
    const auto e = disk.step(which % disk.ready());
    if (!e) return true;
    const auto [token, end] = end_of_command(*e);
    const auto owner = ops.end(token);
    EXPECT_TRUE(owner.has_value());
    turn([&](Io& io) { replicas.on_storage(io, *owner, end, out); });
    return true;
  }
  void settle() {
    do
      while (step()) {
      }
    while (write_checkpoint());
  }
  // As the node does for the names of what has gone; its files are durable at once.
  bool write_checkpoint() {
    if (!replicas.forgets_names()) return false;
    for (out.checkpoints.reset(); !out.checkpoints && replicas.next_deadline() <= world.now;) pass(Duration{});
    if (!std::exchange(out.checkpoints, std::nullopt)) return false;
    replicas.checkpoint_begun(true);
    turn([&](Io& io) { replicas.checkpoint_file_ended(io, true, true); });
    return true;
  }
  void pass(Duration d) {
    world.now = world.now + d;
    turn([&](Io& io) { replicas.on_time(io, out); });
  }

  TestWorld world;
  Trace* trace = nullptr;  // null: nobody listens
  FakeStorage disk;
  OpTable ops;
  Replicas replicas;
  Out out;  // of all turns, until taken
};

}  // namespace klamm::replication
