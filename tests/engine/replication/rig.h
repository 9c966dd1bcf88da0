// Replicas of one partition, each on a fake disk, that exchange fetches by hand.
#pragma once
#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <vector>

#include "engine/protocol/batch_builder.h"
#include "engine/replication/partition.h"
#include "tests/support/fake_storage.h"
#include "tests/support/turns.h"

namespace klamm::replication {

inline NodeId n(int32_t id) { return NodeId{id}; }
inline std::vector<NodeId> ns(std::initializer_list<int32_t> ids) {
  std::vector<NodeId> out;
  for (int32_t i : ids) out.push_back(n(i));
  return out;
}
inline Slice make_batch(int32_t records, const std::string& value) {
  protocol::BatchBuilder b;
  for (int32_t i = 0; i < records; ++i) b.add_value(1'700'000'000'000, as_bytes(value));
  return b.finish();
}

// A follower's fetch as it travels, and what a leader answers.
struct Fetch {
  NodeId from;
  LeaderEpoch epoch = kNoEpoch;  // of the fetch
  FollowerFetch at;
};
struct Answer {
  ErrorCode error = ErrorCode::none;
  Partition::Fetched reply;
};

class Node {
 public:
  Node(TestWorld& world, Brokers& brokers, int32_t id) : world_(world), brokers_(brokers), partition(make(id)) {
    common.self = n(id);
  }

  template<class F>
  void turn(F&& f) {
    Ctx ctx = world_.ctx();
    Commands commands;
    Io io{ctx, commands, ops_};
    f(io);
    if (partition.log().ready()) partition.flush(io);
    disk.submit(commands);
  }
  void open(Offset high_watermark = 0) {
    opening_hw_ = high_watermark;
    turn([&](Io& io) { partition.log().open(io, {}); });
  }
  // Killed, and a new life on the same disk.
  void restart(const FakeStorage::Choose& choose) {
    disk.kill(choose);
    partition = make(common.self.value);
    ops_ = OpTable();
    moved = {};
    open();
  }
  void assign(const Assignment& a) {
    turn([&](Io& io) { partition.assign(io, common, brokers_, a, moved); });
  }
  void configure(const Settings& s) {
    turn([&](Io& io) { partition.set_settings(io.ctx, common, brokers_, s, moved); });
  }
  Offset append(int32_t records, const std::string& value) {
    Offset base = -1;
    turn([&](Io& io) {
      const Slice batch = make_batch(records, value);
      const size_t head = protocol::kBatchHeaderSize;
      base = partition.append(io.ctx, batch.part(0, head), batch.part(head, batch.size() - head))->base;
    });
    return base;
  }
  bool step(uint64_t which) {
    if (disk.ready() == 0) return false;
    if (const auto e = disk.step(which % disk.ready())) deliver(*e);
    return true;
  }
  void settle() {
    while (step(0)) {
    }
  }

  // ---- follower
  bool wants_fetch() const { return partition.wants_fetch(); }
  Fetch fetch() const {
    Fetch f;
    f.from = common.self;
    const FetchedFor from = partition.next_fetch();
    f.epoch = from.epoch;
    f.at = {common.self, brokers_.at(common.self).epoch, from.offset, from.last_epoch,
            partition.log().ends().log_start};
    return f;
  }
  Result<void> take(const Partition::Fetched& reply) {
    Result<void> r;
    turn([&](Io& io) { r = partition.fetched(io, reply, moved); });
    return r;
  }

  // ---- leader: what the Fetch handler does with one partition
  Answer serve(const Fetch& f) {
    Answer a;
    a.reply.asked = {f.epoch, f.at.offset, f.at.last_epoch};
    a.error = fetch_fence(f.epoch, partition.assignment().leader_epoch);
    if (a.error == ErrorCode::none && (partition.role() != Role::leader || !partition.log().ready()))
      a.error = ErrorCode::not_leader_or_follower;
    if (a.error != ErrorCode::none) return a;
    const log::Ends& e = partition.log().ends();
    a.reply.log_start = e.log_start;
    a.reply.high_watermark = partition.high_watermark();
    a.reply.diverging = partition.diverging(f.at.offset, f.at.last_epoch);
    if (a.reply.diverging) return a;
    if (f.at.offset < e.log_start || f.at.offset > e.submitted) {
      a.error = ErrorCode::offset_out_of_range;
      return a;
    }
    turn([&](Io& io) {
      const auto noted = partition.note_fetch(io.ctx, common, brokers_, f.at, moved);
      if (!noted) a.error = noted.error().code;
    });
    a.reply.high_watermark = partition.high_watermark();
    if (a.error != ErrorCode::none || f.at.offset >= e.written) return a;
    const log::ReadResult r = partition.log().read({f.at.offset, 4096, e.written, true});
    if (r.status == log::ReadStatus::cold)
      turn([&](Io& io) { partition.log().load_cold(io, {f.at.offset, 4096}); });  // a later fetch finds it
    else
      EXPECT_EQ(r.status, log::ReadStatus::ok);
    std::string bytes;
    for (const Slice& s : r.pieces) bytes += s.text();
    a.reply.records = Slice::copy(bytes);
    return a;
  }
  void alter_answered(ErrorCode error, const Assignment& now) {
    turn([&](Io& io) { partition.alter_answered(io, common, brokers_, error, now, moved); });
  }
  void shrink() {
    turn([&](Io& io) { partition.shrink_isr(io.ctx, common, brokers_, moved); });
  }

  Offset hw() const { return partition.high_watermark(); }
  Offset end() const { return partition.log().ends().submitted; }
  // The batches before `to`, as the disk shows them: at most what is written.
  std::string content(Offset to) const {
    const FakeStorage::Content* file = disk.content("t-0/00000000000000000000.log");
    if (!file) return "";
    size_t at = 0;
    for (protocol::BatchCursor cursor(*file); cursor.next(); at += cursor.batch().size())
      if (protocol::read_batch_header(cursor.batch().data()).base_offset >= to) break;
    return std::string(file->begin(), file->begin() + static_cast<ptrdiff_t>(at));
  }

 private:
  static Partition make(int32_t id) {
    const TopicIdPartition tp{Uuid{{7}}, 0};
    log::LogOptions o;
    o.module = 3;
    o.key = static_cast<uint64_t>(id);
    o.topic = tp.topic;
    o.topic_name = "t";
    return Partition(tp, std::move(o), Settings{});
  }
  void deliver(const Event& e) {
    const auto [token, end] = end_of_command(e);
    const auto owner = ops_.end(token);
    if (!owner) return;
    turn([&](Io& io) {
      log::Out out;
      partition.log().on_storage(io, *owner, end, out);
      if (out.failed != IoError::none) return partition.went_offline(moved);
      if (out.ready) partition.opened(io, common, brokers_, opening_hw_, moved);
      if (out.written || out.synced) partition.acknowledged(io.ctx, common, brokers_, moved);
    });
  }

  TestWorld& world_;
  Brokers& brokers_;
  OpTable ops_;
  Offset opening_hw_ = 0;

 public:
  Common common;
  Partition partition;
  FakeStorage disk;
  Moved moved;
};

// Three replicas; broker epochs are 10, 20, 30.
struct Rig {
  TestWorld world;
  Brokers brokers{{n(1), {10, true}}, {n(2), {20, true}}, {n(3), {30, true}}};
  std::deque<Node> all;
  Assignment at;

  Rig() {
    for (int32_t i = 1; i <= 3; ++i) {
      all.emplace_back(world, brokers, i);
      all.back().open();
      all.back().settle();
    }
    at.replicas = ns({1, 2, 3});
    at.isr = ns({1, 2, 3});
  }
  Node& node(int32_t id) { return all[static_cast<size_t>(id - 1)]; }
  // The controller's decision, told to nobody yet.
  void decide(int32_t leader, std::initializer_list<int32_t> isr) {
    if (n(leader) != at.leader) ++at.leader_epoch;
    ++at.partition_epoch;
    at.leader = n(leader);
    at.isr = ns(isr);
  }
  void tell(std::initializer_list<int32_t> nodes) {
    for (int32_t i : nodes) node(i).assign(at);
  }
  void lead(int32_t leader, std::initializer_list<int32_t> isr = {1, 2, 3}) {
    decide(leader, isr);
    tell({1, 2, 3});
  }
  // One fetch of `follower` there and back, all written.
  ErrorCode round(int32_t follower, int32_t leader) {
    node(leader).settle();
    node(follower).settle();
    const Answer a = node(leader).serve(node(follower).fetch());
    if (a.error == ErrorCode::none) {
      EXPECT_TRUE(node(follower).take(a.reply).has_value());
    }
    node(follower).settle();
    return a.error;
  }
};

}  // namespace klamm::replication
