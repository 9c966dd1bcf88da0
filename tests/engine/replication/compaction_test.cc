// Which log of a broker is compacted, and when.
#include "tests/engine/replication/replicas_world.h"

namespace klamm::replication {
namespace {

struct Compactor : ReplicasWorld {
  explicit Compactor(bool enabled = true) : ReplicasWorld(config(enabled), {{n(1), {10, true}}}) {}
  static ReplicasConfig config(bool enabled) {
    ReplicasConfig c;
    c.common.self = n(1);
    c.module = 3;
    c.compaction.enabled = enabled;
    c.compaction.backoff = seconds(1);
    return c;
  }
  // A partition with so many records of five keys, durable as a file knows.
  void lead(int32_t partition, int records, bool compacted = true) {
    Replicas::Wanted w;
    w.id = tp(partition);
    w.topic = "t";
    w.assignment = {1, 1, n(1), {n(1)}, {n(1)}};
    w.settings.log.compacted = compacted;
    w.settings.log.segment_bytes = 1'000;
    turn([&](Io& io) { replicas.assign(io, w, out); });
    settle();
    append(partition, records);
  }
  void append(int32_t partition, int records) {
    for (int i = 0; i < records; ++i) {
      protocol::BatchBuilder b;
      const std::string key = "key" + std::to_string(i % 5), value(100, 'v');
      b.add({.timestamp = 1, .key = protocol::Bytes::of(as_bytes(key)), .value = protocol::Bytes::of(as_bytes(value))});
      turn([&](Io& io) { ASSERT_TRUE(replicas.append(io.ctx, tp(partition), b.finish()).has_value()); });
    }
    settle();
  }
  void checkpoint_begins() {
    replicas.want_checkpoint();
    pass(Duration{});
    replicas.checkpoint_begins(DirId{}, std::move(out.checkpoints->at(DirId{}).compacted));
  }
  void checkpoint() {
    checkpoint_begins();
    replicas.checkpoint_ended(DirId{});
  }
  const log::Log& log(int32_t partition) const { return replicas.find(tp(partition))->log(); }
};

TEST(Compaction, cleans_the_dirtiest_first_and_then_the_next) {
  Compactor c;
  c.lead(1, 60);
  c.lead(2, 60);
  c.lead(3, 60, false);
  c.checkpoint();
  c.pass(seconds(1));
  c.settle();
  c.pass(Duration{});
  c.settle();
  EXPECT_GT(c.log(1).cleaned_to(), 50);
  EXPECT_GT(c.log(2).cleaned_to(), 50);
  EXPECT_EQ(c.log(3).cleaned_to(), 0);
  EXPECT_LT(c.log(1).size_bytes() * 2, c.log(3).size_bytes());

  c.append(1, 30);
  c.append(2, 90);
  c.checkpoint();
  c.pass(seconds(1));
  EXPECT_FALSE(c.log(1).cleaning());
  EXPECT_TRUE(c.log(2).cleaning());  // one at a time
  c.settle();
  c.pass(Duration{});
  EXPECT_TRUE(c.log(1).cleaning());
}

TEST(Compaction, goes_on_with_others_where_one_cannot_be_read) {
  Compactor c;
  c.lead(1, 90);
  c.lead(2, 60);
  c.checkpoint();
  c.pass(seconds(1));
  ASSERT_TRUE(c.log(1).cleaning());
  c.disk.fail_in(1);
  c.settle();
  EXPECT_FALSE(c.log(1).cleaning());
  for (int i = 0; i < 3; ++i) {
    c.pass(seconds(1));
    EXPECT_FALSE(c.log(1).cleaning());
    c.settle();
  }
  EXPECT_EQ(c.log(1).cleaned_to(), 0);
  EXPECT_GT(c.log(2).cleaned_to(), 50);
}

TEST(Compaction, waits_for_what_a_file_says_of_durability) {
  Compactor c;
  c.lead(1, 60);
  c.pass(seconds(1));
  EXPECT_FALSE(c.log(1).cleaning());
  c.checkpoint_begins();
  c.pass(seconds(1));
  EXPECT_FALSE(c.log(1).cleaning());
  c.replicas.checkpoint_ended(DirId{});
  c.pass(seconds(1));
  EXPECT_TRUE(c.log(1).cleaning());
}

TEST(Compaction, leaves_a_full_disk_alone_and_gives_up_where_it_fills) {
  Compactor c;
  c.lead(1, 60);
  c.checkpoint();
  c.turn([&](Io& io) { c.replicas.set_full(io, DirId{}, true); });
  c.pass(seconds(1));
  EXPECT_FALSE(c.log(1).cleaning());
  c.turn([&](Io& io) { c.replicas.set_full(io, DirId{}, false); });
  c.pass(seconds(1));
  EXPECT_TRUE(c.log(1).cleaning());
  c.turn([&](Io& io) { c.replicas.set_full(io, DirId{}, true); });
  c.settle();
  EXPECT_FALSE(c.log(1).cleaning());
  EXPECT_EQ(c.log(1).cleaned_to(), 0);
}

TEST(Compaction, can_be_switched_off) {
  Compactor c(false);
  c.lead(1, 60);
  c.checkpoint();
  for (int i = 0; i < 5; ++i) c.pass(seconds(20));
  EXPECT_FALSE(c.log(1).cleaning());
}

}  // namespace
}  // namespace klamm::replication
