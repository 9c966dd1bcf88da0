#include "engine/coordinator/runtime.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <string>

#include "engine/base/pmap.h"
#include "engine/base/reader.h"
#include "engine/base/visit.h"
#include "engine/base/writer.h"
#include "tests/support/turns.h"

namespace klamm::coordinator {
namespace {

// The smallest service: sums by key. A record says what a key's sum has become.
struct Sums {
  using Hard = Pmap<int32_t, int64_t>;
  using Origin = uint64_t;
  using Effect = uint64_t;
  using Op = Operation<Sums>;
  std::vector<uint64_t> committed_effects, failed_effects;

  static bool replay(Hard& hard, Arena&, const ReplayedRecord& r) {
    Reader key(r.key.span()), value(r.value.span());
    const int32_t k = key.i32();
    hard.set(k, value.i64());
    return key.ok() && value.ok();
  }
  static void replay_marker(Hard&, ProducerId, bool) {}
  void activated(Op&) {}
  void deactivated(Op&) {}
  void committed(Op&, const Effect& e) { committed_effects.push_back(e); }
  void failed(Op&, const Effect& e, ErrorCode) { failed_effects.push_back(e); }
  void on_time(Op&) {}
  Instant next_deadline() const { return kNever; }
  template<class V>
  void fields(V& v) const {
    v("committed", committed_effects), v("failed", failed_effects);
  }

  void add(Op& op, uint64_t id, int32_t key, int64_t n) {
    const int64_t* old = op.hard().find(key);
    Writer k, v;
    k.i32(key);
    v.i64((old ? *old : 0) + n);
    op.record({k.finish_contiguous(), v.finish_contiguous()});
    op.reply(id, {});
    op.then(id);
  }
};

using Rt = Runtime<Sums>;
constexpr int32_t kPartition = 3;

// A runtime and the log below it, which takes what it is given or refuses.
struct Lab {
  TestWorld world;
  Rt runtime{Options{}};
  Out<Sums> out;
  LeaderEpoch epoch = 0;
  std::vector<Slice> log;  // batches where they lie
  Offset end = 0;
  std::vector<Append> sent;
  std::vector<std::pair<uint64_t, ErrorCode>> answers;

  Ctx ctx() { return world.ctx(); }
  void collect() {
    for (auto& a : out.appends) sent.push_back(std::move(a));
    for (auto& r : out.released) answers.push_back({r.origin, r.error});
    out = {};
    EXPECT_LE(sent.size(), 1u) << "one append at a time";
  }
  void elect(Offset high_watermark) {
    auto c = ctx();
    ASSERT_TRUE(runtime.elected(kPartition, ++epoch));
    for (const Slice& batch : log) ASSERT_TRUE(runtime.load(c, kPartition, batch.span()));
    runtime.loaded(c, kPartition, end, high_watermark, out);
    collect();
  }
  ErrorCode add(uint64_t id, int32_t key, int64_t n) {
    auto c = ctx();
    const ErrorCode e = runtime.write(c, kPartition, out, [&](Sums& s, Sums::Op& op) { s.add(op, id, key, n); });
    collect();
    return e;
  }
  ErrorCode barrier(uint64_t id) {
    auto c = ctx();
    const ErrorCode e = runtime.write(c, kPartition, out, [&](Sums&, Sums::Op& op) { op.reply(id, {}); });
    collect();
    return e;
  }
  void end_append(ErrorCode error) {
    ASSERT_EQ(sent.size(), 1u);
    const Append a = sent[0];
    sent.clear();
    AppendEnd e{a.partition, a.epoch, error, end};
    if (error == ErrorCode::none) {
      Slice placed = Slice::copy(a.batch.span());
      protocol::place_batch(const_cast<uint8_t*>(placed.data()), a.batch.data(), {end, a.epoch});
      log.push_back(placed);
      end += a.records;
    }
    auto c = ctx();
    runtime.append_ended(c, e, out);
    collect();
  }
  void high_watermark(Offset offset) {
    auto c = ctx();
    runtime.high_watermark(c, kPartition, offset, out);
    collect();
  }
  void resign() {
    auto c = ctx();
    runtime.resigned(c, kPartition, out);
    sent.clear();
    collect();
  }
  const Shard<Sums>& shard() { return *runtime.shard(kPartition); }
  Sums::Hard fold(Offset to) {
    Sums::Hard state;
    for (const Slice& batch : log) {
      const auto header = protocol::check_batch(batch.span());
      const auto open = protocol::OpenBatch::open(*header, batch.span(), 1 << 20);
      auto records = open->records();
      protocol::Record r;
      while (records.next(r))
        if (r.offset < to) Sums::replay(state, world.scratch.arena, {r.key, r.value, r.offset, -1});
    }
    return state;
  }
};

TEST(Runtime, a_reply_waits_for_the_high_watermark) {
  Lab lab;
  lab.elect(0);
  lab.add(1, 7, 5);
  lab.end_append(ErrorCode::none);
  EXPECT_TRUE(lab.answers.empty());
  EXPECT_EQ(lab.shard().committed.find(7), nullptr) << "reads do not see it yet";
  EXPECT_EQ(*lab.shard().latest.find(7), 5);
  lab.high_watermark(1);
  EXPECT_EQ(lab.answers, (std::vector<std::pair<uint64_t, ErrorCode>>{{1, ErrorCode::none}}));
  EXPECT_EQ(*lab.shard().committed.find(7), 5);
}

TEST(Runtime, a_reply_without_records_waits_for_what_is_before_it) {
  Lab lab;
  lab.elect(0);
  lab.barrier(1);
  EXPECT_EQ(lab.answers.size(), 1u) << "nothing is before it";
  lab.add(2, 7, 5);
  lab.barrier(3);
  lab.end_append(ErrorCode::none);
  EXPECT_EQ(lab.answers.size(), 1u);
  lab.high_watermark(1);
  EXPECT_EQ(lab.answers.size(), 3u);
}

TEST(Runtime, what_comes_while_an_append_is_on_its_way_gathers_in_the_next) {
  Lab lab;
  lab.elect(0);
  for (uint64_t id = 1; id <= 4; ++id) lab.add(id, 7, 1);
  EXPECT_EQ(lab.sent[0].records, 1);
  lab.end_append(ErrorCode::none);
  EXPECT_EQ(lab.sent[0].records, 3);
  lab.end_append(ErrorCode::none);
  lab.high_watermark(4);
  EXPECT_EQ(lab.answers.size(), 4u);
  EXPECT_EQ(*lab.shard().committed.find(7), 4);
}

TEST(Runtime, a_failed_append_takes_back_what_was_built_on_it) {
  Lab lab;
  lab.elect(0);
  lab.add(1, 7, 1);
  lab.end_append(ErrorCode::none);  // in the log, not committed
  lab.add(2, 7, 10);
  lab.add(3, 7, 100);
  lab.end_append(ErrorCode::not_enough_replicas);
  EXPECT_EQ(lab.answers, (std::vector<std::pair<uint64_t, ErrorCode>>{{2, ErrorCode::coordinator_not_available},
                                                                      {3, ErrorCode::coordinator_not_available}}));
  EXPECT_EQ(*lab.shard().latest.find(7), 1);
  EXPECT_EQ(lab.shard().core.failed_effects, (std::vector<uint64_t>{2, 3}));
  lab.high_watermark(1);
  EXPECT_EQ(lab.answers.back(), (std::pair<uint64_t, ErrorCode>{1, ErrorCode::none}));
}

TEST(Runtime, an_operation_too_large_for_a_batch_leaves_no_trace) {
  Lab lab;
  lab.elect(0);
  auto c = lab.ctx();
  lab.runtime.write(c, kPartition, lab.out, [&](Sums&, Sums::Op& op) {
    const std::string large(2 << 20, 'x');
    op.record({Slice::copy("k"), Slice::copy(large)});
    op.reply(1, {});
  });
  lab.collect();
  EXPECT_EQ(lab.answers, (std::vector<std::pair<uint64_t, ErrorCode>>{{1, ErrorCode::unknown_server_error}}));
  EXPECT_TRUE(lab.sent.empty());
  EXPECT_TRUE(lab.shard().latest.empty());
}

TEST(Runtime, records_apart_take_as_many_batches_as_they_need) {
  Lab lab;
  lab.elect(0);
  lab.runtime.set_max_batch_bytes(1'000);
  auto c = lab.ctx();
  lab.runtime.write(c, kPartition, lab.out, [&](Sums&, Sums::Op& op) {
    for (int32_t i = 0; i < 200; ++i) {
      Writer k, v;
      k.i32(i), v.i64(1);
      op.record_apart({k.finish_contiguous(), v.finish_contiguous()});
    }
    const std::string large(2'000, 'x');
    EXPECT_FALSE(op.record_apart({Slice::copy("k"), Slice::copy(large)}));
    op.record({Slice::copy("k"), Slice::copy(large)});  // together with nothing, and too large: it fails alone
    op.reply(1, {});
  });
  lab.collect();
  EXPECT_EQ(lab.answers, (std::vector<std::pair<uint64_t, ErrorCode>>{{1, ErrorCode::unknown_server_error}}));
  EXPECT_EQ(lab.shard().latest.size(), 200u);
  int batches = 0;
  for (; !lab.sent.empty(); ++batches) {
    EXPECT_LE(lab.sent[0].batch.size(), 1'000u);
    lab.end_append(ErrorCode::none);
  }
  EXPECT_GT(batches, 3);
  lab.high_watermark(200);
  EXPECT_EQ(lab.shard().committed.size(), 200u);
}

TEST(Runtime, what_produce_admits_can_be_loaded) {
  Lab lab;
  const std::string large((256 << 20) + 1, '\0');
  protocol::BatchBuilder builder({.compression = protocol::Compression::zstd});
  Writer k;
  k.i32(7);
  const Slice key = k.finish_contiguous();
  builder.add({.key = protocol::Bytes::of(key.span()), .value = protocol::Bytes::of(as_bytes(large))});
  const Slice batch = builder.finish();
  auto c = lab.ctx();
  ASSERT_TRUE(lab.runtime.elected(kPartition, 1));
  EXPECT_TRUE(lab.runtime.load(c, kPartition, batch.span()));
}

TEST(Runtime, who_waits_too_long_is_told_so) {
  Lab lab;
  lab.elect(0);
  lab.add(1, 7, 1);
  lab.end_append(ErrorCode::none);
  EXPECT_EQ(lab.runtime.next_deadline(), lab.world.now + seconds(5));
  lab.world.now = lab.runtime.next_deadline();
  auto c = lab.ctx();
  lab.runtime.on_time(c, lab.out);
  lab.collect();
  EXPECT_EQ(lab.answers, (std::vector<std::pair<uint64_t, ErrorCode>>{{1, ErrorCode::coordinator_not_available}}));
  lab.high_watermark(1);
  EXPECT_EQ(lab.answers.size(), 1u);
  EXPECT_EQ(*lab.shard().committed.find(7), 1) << "it was written all the same";
  EXPECT_EQ(lab.runtime.next_deadline(), kNever);
}

TEST(Runtime, lost_leadership_ends_the_shard) {
  Lab lab;
  lab.elect(0);
  lab.add(1, 7, 1);
  lab.resign();
  EXPECT_EQ(lab.answers, (std::vector<std::pair<uint64_t, ErrorCode>>{{1, ErrorCode::not_coordinator}}));
  EXPECT_EQ(lab.add(2, 7, 1), ErrorCode::not_coordinator);
  lab.elect(0);
  auto c = lab.ctx();
  lab.add(3, 7, 1);
  lab.runtime.append_ended(c, {kPartition, 1, ErrorCode::none, 0}, lab.out);  // of the leadership before
  lab.collect();
  EXPECT_EQ(lab.shard().pending.front().phase, Phase::sent);
}

TEST(Runtime, a_loaded_state_is_served_when_the_high_watermark_has_come_to_its_end) {
  Lab lab;
  lab.elect(0);
  lab.add(1, 7, 1);
  lab.end_append(ErrorCode::none);
  lab.resign();
  lab.elect(0);
  EXPECT_EQ(lab.add(2, 7, 1), ErrorCode::coordinator_load_in_progress);
  lab.high_watermark(1);
  EXPECT_EQ(lab.add(3, 7, 1), ErrorCode::none);
  EXPECT_EQ(*lab.shard().latest.find(7), 2);
}

TEST(Runtime, a_damaged_log_is_not_served) {
  Lab lab;
  lab.elect(0);
  lab.add(1, 7, 1);
  lab.end_append(ErrorCode::none);
  lab.resign();
  const_cast<uint8_t*>(lab.log[0].data())[lab.log[0].size() - 1] ^= 1;
  auto c = lab.ctx();
  ASSERT_TRUE(lab.runtime.elected(kPartition, 9));
  EXPECT_FALSE(lab.runtime.load(c, kPartition, lab.log[0].span()));
  EXPECT_EQ(lab.runtime.served(kPartition), ErrorCode::not_coordinator);
  EXPECT_TRUE(lab.runtime.elected(kPartition, 10)) << "the next election tries again";
}

// Whatever the log does, every caller is answered once, an acknowledged record is in the log below the high watermark,
// and state is the fold of the log.
RC_GTEST_PROP(Runtime, equals_the_fold_of_its_log, ()) {
  Lab lab;
  lab.elect(0);
  Offset hw = 0;
  uint64_t id = 0;
  std::map<uint64_t, int> asked;  // id -> times answered
  size_t seen = 0;
  const auto steps = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 1'000'000));
  for (const int step : steps) {
    const int detail = step / 10;
    switch (step % 10) {
      case 0:
      case 1:
      case 2:
        if (lab.add(++id, detail % 3, detail % 7) == ErrorCode::none) asked[id] = 0;
        break;
      case 3:
        if (lab.barrier(++id) == ErrorCode::none) asked[id] = 0;
        break;
      case 4:
      case 5:
        if (!lab.sent.empty()) lab.end_append(ErrorCode::none);
        break;
      case 6:
        if (!lab.sent.empty()) lab.end_append(ErrorCode::not_enough_replicas);
        break;
      case 7:
        hw = std::min<Offset>(lab.end, hw + detail % 4);
        lab.high_watermark(hw);
        break;
      case 8: {
        lab.world.now = lab.world.now + milliseconds(detail % 3000);
        auto c = lab.ctx();
        lab.runtime.on_time(c, lab.out);
        lab.collect();
        RC_ASSERT(lab.runtime.next_deadline() > lab.world.now);
        break;
      }
      case 9:
        if (detail % 4 != 0) break;
        lab.resign();
        lab.elect(hw);
        break;
    }
    for (; seen < lab.answers.size(); ++seen) RC_ASSERT(++asked.at(lab.answers[seen].first) == 1);
    const auto& shard = lab.shard();
    RC_ASSERT(shard.high_watermark == hw);
    if (shard.status != Status::active) continue;
    Offset committed_end = hw;  // batches are committed whole
    for (const auto& b : shard.pending)
      if (b.phase == Phase::appended) committed_end = std::min(committed_end, b.end - b.count);
    RC_ASSERT(shard.committed == lab.fold(committed_end));
    if (lab.sent.empty()) RC_ASSERT(shard.latest == lab.fold(lab.end));
    const Rt fork = lab.runtime;
    RC_ASSERT(state_hash(fork) == state_hash(lab.runtime));
  }
  lab.resign();
  for (; seen < lab.answers.size(); ++seen) RC_ASSERT(++asked.at(lab.answers[seen].first) == 1);
  for (const auto& [asker, times] : asked) RC_ASSERT(times == 1);
}

}  // namespace
}  // namespace klamm::coordinator
