// flush.ms: how old what a loss of power takes may be.
#include "tests/engine/replication/replicas_world.h"

namespace klamm::replication {
namespace {

struct Flusher : ReplicasWorld {
  explicit Flusher(Duration look_each = kNeverFlushed) : ReplicasWorld(config(look_each), {{n(1), {10, true}}}) {}
  static ReplicasConfig config(Duration look_each) {
    ReplicasConfig c;
    c.common.self = n(1);
    c.module = 3;
    c.compaction.enabled = false;
    c.flush_look = look_each;
    return c;
  }
  void lead(int32_t partition, Duration flush_after) {
    Replicas::Wanted w;
    w.id = tp(partition);
    w.topic = "t";
    w.assignment = {1, 1, n(1), {n(1)}, {n(1)}};
    w.settings.flush_after = flush_after;
    turn([&](Io& io) { replicas.assign(io, w, out); });
    settle();
  }
  void append(int32_t partition) {
    turn([&](Io& io) { ASSERT_TRUE(replicas.append(io.ctx, tp(partition), make_batch(1, "v")).has_value()); });
    settle();
  }
  Offset unsynced(int32_t partition) const {
    const log::Ends& e = replicas.find(tp(partition))->log().ends();
    return e.submitted - e.synced;
  }
  void pass_and_settle(Duration d) {
    pass(d);
    settle();
  }
};

TEST(FlushMs, what_is_older_is_synced) {
  Flusher f;
  f.lead(1, milliseconds(100));
  f.lead(2, kNeverFlushed);
  f.append(1);
  f.append(2);
  f.pass_and_settle(milliseconds(60));
  f.append(1);
  f.pass_and_settle(milliseconds(39));
  EXPECT_EQ(f.unsynced(1), 2);
  f.pass_and_settle(milliseconds(1));
  EXPECT_EQ(f.unsynced(1), 0);
  f.append(1);
  f.pass_and_settle(milliseconds(99));
  EXPECT_EQ(f.unsynced(1), 1);
  f.pass_and_settle(milliseconds(1));
  EXPECT_EQ(f.unsynced(1), 0);
  f.pass_and_settle(seconds(29));
  EXPECT_EQ(f.unsynced(2), 1);
}

TEST(FlushMs, a_log_that_is_idle_is_not_looked_at) {
  Flusher f;
  f.lead(1, milliseconds(100));
  const Instant standing = f.replicas.next_deadline();
  EXPECT_GT(standing, f.world.now + seconds(10));
  f.append(1);
  EXPECT_EQ(f.replicas.next_deadline(), f.world.now + milliseconds(100));
  f.pass_and_settle(milliseconds(100));
  EXPECT_EQ(f.replicas.next_deadline(), standing);
}

TEST(FlushMs, changes_at_once) {
  Flusher f;
  f.lead(1, kNeverFlushed);
  f.append(1);
  const auto configure = [&](Duration flush_after) {
    Settings s;
    s.flush_after = flush_after;
    f.turn([&](Io& io) { f.replicas.configure(io.ctx, f.tp(1), s, f.out); });
  };
  configure(seconds(3'600));
  configure(milliseconds(10));
  f.pass_and_settle(milliseconds(10));
  EXPECT_EQ(f.unsynced(1), 0);
  f.append(1);
  configure(kNeverFlushed);
  f.pass_and_settle(milliseconds(10));
  EXPECT_EQ(f.unsynced(1), 1);
}

TEST(FlushMs, a_look_now_and_then_takes_all_that_are_due) {
  Flusher f(seconds(1));
  f.world.now = Instant{seconds(100).ns};
  f.lead(1, milliseconds(100));
  f.lead(2, milliseconds(400));
  f.append(1);
  f.append(2);
  f.pass_and_settle(milliseconds(999));
  EXPECT_EQ(f.unsynced(1) + f.unsynced(2), 2);
  f.pass_and_settle(milliseconds(1));
  EXPECT_EQ(f.unsynced(1) + f.unsynced(2), 0);
}

TEST(FlushMs, what_is_removed_is_forgotten) {
  Flusher f;
  f.lead(1, milliseconds(100));
  f.append(1);
  f.turn([&](Io& io) { f.replicas.remove(io, f.tp(1)); });
  f.settle();
  EXPECT_GT(f.replicas.next_deadline(), f.world.now + seconds(1));
}

}  // namespace
}  // namespace klamm::replication
