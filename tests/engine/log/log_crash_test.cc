// Random stories on a disk that forgets: after any crash the log is a prefix of what it was, with all that was
// promised.
#include <iterator>

#include "tests/engine/log/log_world.h"

namespace klamm::log {
namespace {

struct Story {
  explicit Story(uint64_t seed) : rng{seed} {
    if (rng.chance(70)) w.options.resume_least = 1;
  }

  void run(int steps) {
    w.restart();
    w.settle(&rng);
    before.clear();
    for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
      one();
      if (!w.log.ready()) w.settle(&rng);
      ASSERT_TRUE(w.log.ready());
    }
    w.settle(&rng);
    w.sync();
    w.settle(&rng);
    EXPECT_EQ(w.log.ends().synced, w.log.ends().submitted);
    const Model all = w.read_all(w.model.start, &rng);
    EXPECT_TRUE(all.batches == w.model.live());
    w.check_derived(w.model);
  }

  void one() {
    const uint64_t what = rng.below(100);
    if (what < 40) return append();
    if (what < 55) return w.flush();
    if (what < 62) return w.sync();
    if (what < 80) {
      for (uint64_t n = rng.below(12); n > 0; --n) w.step(rng.next());
      return;
    }
    if (what < 86) return truncate();
    if (what < 91) return read();
    if (what < 93) return w.turn([&](Io& io) { w.log.checkpoint(io); });
    if (what < 94) return w.turn([&](Io&) { w.log.drop_caches(); });
    if (what < 95) return start_elsewhere();
    if (what < 97) return retain();
    if (what < 98) return w.turn([&](Io& io) { w.log.mark(io); });
    if (rng.chance(20)) return end_well();
    crash(rng.chance(50));
  }

  void append() {
    for (uint64_t n = 1 + rng.below(4); n > 0; --n) {
      if (rng.chance(5)) ++epoch;
      BatchSpec spec;
      spec.records = static_cast<int32_t>(1 + rng.below(4));
      spec.value_bytes = static_cast<uint32_t>(rng.chance(15) ? rng.below(7'000) : rng.below(300));
      spec.timestamp += static_cast<int64_t>(rng.below(1'000));
      spec.fill = static_cast<uint8_t>(rng.next());
      if (rng.chance(30)) {
        of_transaction(&spec);
      } else if (rng.chance(50)) {
        spec.producer_id = static_cast<ProducerId>(rng.below(3));
        spec.producer_epoch = 0;
        const ProducerEntry* e = w.log.producers().find(spec.producer_id);
        spec.base_sequence = e && e->newest() ? protocol::add_sequence(e->newest()->last_sequence, 1) : 0;
      }
      w.append(spec, epoch);
    }
  }
  // Data, the end of what is open, sometimes a marker that ends nothing.
  void of_transaction(BatchSpec* spec) {
    spec->producer_id = static_cast<ProducerId>(10 + rng.below(4));
    spec->producer_epoch = static_cast<ProducerEpoch>(rng.below(20) == 0);
    const ProducerEntry* e = w.log.producers().find(spec->producer_id);
    const bool open = e && e->transaction_first >= 0;
    if (rng.chance(open ? 40 : 3)) {
      spec->marker = EndMarker{rng.chance(50), 1};
      if (e) spec->timestamp = e->last_timestamp;  // a snapshot keeps one time for a marker and the batch before it
      return;
    }
    spec->transactional = true;
    spec->base_sequence = 0;
  }
  void truncate() {
    const Model was = w.model;
    const Offset end = w.model.end();
    const Offset back = static_cast<Offset>(rng.below(rng.chance(20) ? 400 : 12));
    const Offset to = std::max(w.model.start, end - back);
    w.turn([&](Io& io) { w.log.truncate_to(io, to); });
    if (to < end) before.push_back(was);
    w.model.truncate(to);
    if (!w.log.ready()) {
      w.settle(&rng);
      ASSERT_TRUE(w.log.ready());
    }
    // A batch that held `to` goes whole; a hole is not left behind.
    EXPECT_EQ(w.log.ends().submitted, w.model.end());
  }
  void start_elsewhere() {
    before.push_back(w.model);
    const Offset to = w.model.end() + static_cast<Offset>(rng.below(100));
    w.turn([&](Io& io) { w.log.truncate_fully_and_start_at(io, to, Uuid{{1, static_cast<uint8_t>(rng.next())}}); });
    w.model = {to, {}};
  }
  void retain() {
    w.options.config.retention_bytes = static_cast<int64_t>(rng.below(60'000)) - 10'000;
    w.options.config.retention_ms = rng.chance(30) ? static_cast<int64_t>(rng.below(1'000)) : -1;
    w.log.set_config(w.options.config);
    w.world.wall.ms = BatchSpec().timestamp + static_cast<int64_t>(rng.below(3'000));
    w.world.now.ns += 1'000'000;
    const Offset start = w.log.ends().log_start, written = w.log.ends().written;
    const Offset committed =
        rng.chance(70)
            ? written
            : start + static_cast<Offset>(rng.below(static_cast<uint64_t>(std::max<Offset>(written - start, 0)) + 1));
    w.retain({committed, true});
    EXPECT_LE(w.model.start, std::max(committed, start));
    w.turn([&](Io& io) { w.log.remove_put_away(io); });
  }
  void read() {
    const auto live = w.model.live();
    if (live.empty()) return;
    const auto& b = live[rng.below(live.size())];
    const ReadResult r =
        w.read_at(b.base + static_cast<Offset>(rng.below(static_cast<uint64_t>(b.last - b.base + 1))), &rng);
    ASSERT_EQ(r.status, ReadStatus::ok);
    std::vector<uint8_t> all;
    for (const Slice& s : r.pieces) all.insert(all.end(), s.data(), s.data() + s.size());
    ASSERT_GE(all.size(), b.bytes.size());
    EXPECT_TRUE(std::equal(b.bytes.begin(), b.bytes.end(), all.begin()));
  }
  void end_well() {
    w.turn([&](Io& io) { w.closed = w.log.close(io); });
    w.settle(&rng);
    ASSERT_TRUE(w.closed);
    EXPECT_EQ(w.log.recovery_point(), w.log.ends().submitted);
    w.restart({w.log.recovery_point(), w.log.ends().log_start, true});
    checkpointed = w.log.recovery_point();
    w.settle(&rng);
    ASSERT_TRUE(w.log.ready());
    EXPECT_EQ(w.log.ends().submitted, w.model.end());
    w.retain({w.log.ends().written});  // what had no time to go before the end
    w.settle(&rng);
    w.check_derived(w.model);
    before.clear();
  }
  void crash(bool power) {
    const Offset promised = power ? w.log.ends().synced : w.log.ends().written;
    const bool all = rng.chance(20), none = rng.chance(20);
    const FakeStorage::Choose choose = [&](uint64_t n) { return none ? 0 : all ? n - 1 : rng.below(n); };
    if (power)
      w.disk.lose_power(choose);
    else
      w.disk.kill(choose);
    // A node's checkpoint may be old: it may know less, or of what was truncated since.
    checkpointed = rng.chance(50) ? w.log.recovery_point() : checkpointed;
    w.restart({rng.chance(80) ? checkpointed : 0, 0});
    w.settle(&rng);
    ASSERT_TRUE(w.log.ready());
    const Model found = w.read_all(w.log.ends().log_start, &rng);
    before.push_back(w.model);
    const auto remembering = [&](const Model& m) {  // with what m had let go: a snapshot may know of it
      Model all = found;
      std::copy_if(m.batches.begin(), m.batches.end(), std::inserter(all.batches, all.batches.begin()),
                   [&](const Model::Batch& b) { return b.last < found.start; });
      return all;
    };
    const auto was = std::find_if(before.rbegin(), before.rend(), [&](const Model& m) {
      return found.start <= m.start && found.prefix_of(m) && w.producers_follow(remembering(m));
    });
    const bool known = was != before.rend();
    EXPECT_TRUE(known) << "recovered what never was: " << found.start << " to " << found.end() << ", it was "
                       << w.model.start << " to " << w.model.end();
    if (!w.model.batches.empty() && promised > w.model.batches.front().base) {
      EXPECT_GE(found.end(), promised);
      Model kept = w.model;
      kept.truncate(promised);
      EXPECT_TRUE(kept.prefix_of(found)) << "lost what was promised";
    }
    w.model = remembering(known ? *was : w.model);
    w.check_derived(w.model);
    if (!power) return;
    before.clear();  // what a loss of power leaves is durable
  }

  Rng rng;
  LogWorld w;
  LeaderEpoch epoch = 1;
  Offset checkpointed = 0;
  std::vector<Model> before;  // what may come back: logs before truncations that are perhaps not durable
};

constexpr uint64_t kSeeds = 600;

TEST(LogCrash, any_story_keeps_what_was_promised) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    Story story(seed);
    story.run(150);
    if (testing::Test::HasFailure()) break;
  }
}

// While a deep truncation reads the log back it does not know its epochs: no checkpoint may say so.
TEST(LogCrash, a_checkpoint_waits_for_a_truncation_that_reads) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng{seed};
    LogWorld w;
    w.restart();
    w.settle();
    const auto checkpoint = [&w] { w.turn([&](Io& io) { w.log.checkpoint(io); }); };
    for (const Offset end : {1, 0}) {  // at last the epoch file has no entry
      end == 1 ? w.append({}, 1) : w.turn([&](Io& io) { w.log.truncate_to(io, 0); });
      w.settle();
      checkpoint();
      w.settle();
    }
    w.model.truncate(0);
    for (int i = 0; i < 40; ++i) w.append({.value_bytes = 1'000}, 2);  // segments begin at 0, 18, 36
    w.flush();
    for (uint64_t n = rng.below(20); n > 0; --n) w.step(rng.next());
    checkpoint();
    for (uint64_t n = rng.below(20); n > 0; --n) w.step(rng.next());
    w.turn([&](Io& io) { w.log.truncate_to(io, 25); });
    w.settle(&rng);
    w.model.truncate(25);
    w.disk.kill([](uint64_t) { return 0; });
    w.restart({w.log.recovery_point(), 0});
    w.settle();
    EXPECT_EQ(w.log.ends().submitted, 25);
    w.check_derived(w.model);
  }
}

// Whatever is written over the files of a log, what it opens with are batches that it had, from the first on.
TEST(LogCrash, damaged_files_open_as_a_prefix) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng{seed};
    LogWorld w;
    w.expects_damage = true;
    w.options.resume_least = rng.chance(50) ? 1 : 64 << 10;
    w.restart();
    w.settle();
    for (int i = 0; i < 40; ++i)
      w.append({.records = 2,
                .value_bytes = static_cast<uint32_t>(rng.below(1'500)),
                .producer_id = 4,
                .producer_epoch = 1,
                .base_sequence = 2 * i},
               1 + i / 9);
    const bool clean = rng.chance(50);
    w.turn([&](Io& io) { clean ? static_cast<void>(w.log.close(io)) : w.log.sync(io); });
    w.settle();
    // Below a recovery point the segments are believed, what else there is must not be needed.
    const Offset recovery_point = clean && rng.chance(50) ? w.log.recovery_point() : 0;
    auto names = w.disk.names("orders-5");
    if (recovery_point > 0)
      std::erase_if(names, [](const std::string& n) { return !n.ends_with(".snapshot") && !n.ends_with(".index"); });
    for (uint64_t n = 1 + rng.below(3); n > 0; --n) {
      const std::string path = "orders-5/" + names[rng.below(names.size())];
      std::vector<uint8_t> bytes = *w.disk.content(path);
      if (bytes.empty()) continue;
      const uint64_t what = rng.below(4), at = rng.below(bytes.size());
      if (what == 0) bytes[at] ^= static_cast<uint8_t>(1 + rng.below(255));
      if (what == 1) bytes.resize(at);
      if (what == 2)
        bytes.insert(bytes.begin() + static_cast<int64_t>(at), rng.below(300), static_cast<uint8_t>(rng.next()));
      if (what == 3) std::fill(bytes.begin() + static_cast<int64_t>(at), bytes.end(), uint8_t{0});
      w.disk.set_content(path, bytes);
    }
    w.restart({recovery_point, 0, recovery_point > 0});
    w.settle();
    ASSERT_TRUE(w.log.ready());
    const Model found = w.read_all(0);
    EXPECT_TRUE(found.prefix_of(w.model));
    w.check_derived(found);
    w.model = found;
    w.append({.producer_id = 9, .producer_epoch = 0, .base_sequence = 0}, 50);
    w.sync();
    w.settle();
    EXPECT_EQ(w.log.ends().synced, found.end() + 1);
  }
}

// A story of every operation: appends, segments that end, checkpoints, retention, a truncation over segments, the end.
struct Whole {
  LogWorld w;
  Offset synced = 0, cut = 0;
  void settle() {
    w.settle();
    synced = w.log.ends().synced;
  }
  void tell() {
    w.options.config.segment_bytes = 6'000;
    w.options.config.file_delete_delay_ms = 0;
    w.options.resume_least = 1;
    w.restart();
    settle();
    for (int i = 0; i < 16 && w.log.ready(); ++i) {
      w.append({.records = 3, .value_bytes = 900, .producer_id = 7, .producer_epoch = 0, .base_sequence = 3 * i},
               1 + i / 5);
      if (i % 3 == 0)
        w.append({.producer_id = 8, .producer_epoch = 0, .base_sequence = 0, .transactional = true}, 1 + i / 5);
      if (i % 3 == 2) w.append({.producer_id = 8, .producer_epoch = 0, .marker = EndMarker{false, 1}}, 1 + i / 5);
      w.flush();
      if (i % 3 == 2) w.sync();
      settle();
      if (i == 6 && w.log.ready()) w.turn([&](Io& io) { w.log.checkpoint(io); });
      if ((i == 7 || i == 13) && w.log.ready()) w.turn([&](Io& io) { w.log.mark(io); });
      if (i == 9 && w.log.ready()) retain();
      if (i == 11 && w.log.ready()) truncate();
      settle();
    }
    if (w.log.ready()) w.turn([&](Io& io) { w.log.close(io); });
    settle();
  }
  void retain() {
    w.options.config.retention_bytes = 15'000;
    w.log.set_config(w.options.config);
    w.retain({w.log.ends().written, true});
    settle();
    if (w.log.ready()) w.turn([&](Io& io) { w.log.remove_put_away(io); });
  }
  void truncate() {
    cut = w.model.batches[10].base;
    w.turn([&](Io& io) { w.log.truncate_to(io, cut); });
    w.model.truncate(cut);
  }
};

// Again and again, with each of its operations failing once.
TEST(LogCrash, any_failed_operation_is_final_and_loses_nothing) {
  for (uint64_t k = 1;; ++k) {
    SCOPED_TRACE(k);
    Whole story;
    LogWorld& w = story.w;
    w.disk.fail_in(k);
    story.tell();
    const bool happened = w.disk.ended() >= k;
    if (happened && !w.closed) {  // but a failed close, or what could not be removed yet, takes nothing with it
      EXPECT_EQ(w.failed, IoError::failed);
    }
    EXPECT_EQ(w.log.failed(), w.failed != IoError::none);
    const Offset recovery_point = w.log.recovery_point();
    w.disk.fail_in(0);
    w.disk.lose_power([](uint64_t) { return 0; });
    w.restart({recovery_point, 0});
    w.settle();
    ASSERT_TRUE(w.log.ready());
    const Model found = w.read_all(w.log.ends().log_start);
    EXPECT_GE(found.end(), story.synced);
    EXPECT_TRUE(found.prefix_of(w.model) || found.end() > story.cut);
    EXPECT_NE(w.log.producers().find(7) == nullptr, found.end() > 0);
    if (found.prefix_of(w.model)) {
      Model m = w.model;
      m.truncate(found.end());
      m.start = found.start;
      w.check_transactions(m);
    }
    if (!happened || testing::Test::HasFailure()) break;
    ASSERT_LT(k, 10'000u);
  }
}

}  // namespace
}  // namespace klamm::log
