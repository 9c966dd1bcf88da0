// Compaction of a whole log: what readers see, which files are left, and what else the log does meanwhile.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/engine/log/keyed_world.h"

namespace klamm::log {
namespace {

std::string value_of(int i, size_t size = 300) { return std::to_string(i) + std::string(size, 'v'); }

// Ten keys again and again, over some ten segments.
void fill(KeyedWorld& k, int batches = 80) {
  for (int i = 0; i < batches; ++i)
    k.append({{"key" + std::to_string(i % 10), value_of(i)}, {"key" + std::to_string(i % 7), value_of(-i, 50)}});
  k.checkpoint();
}

TEST(LogClean, leaves_the_last_value_of_each_key_in_fewer_segments) {
  KeyedWorld k;
  k.open();
  fill(k);
  const Offset end = k.w.log.ends().submitted;
  const int64_t before = k.w.log.size_bytes();
  const size_t logs = k.files(".log").size();
  ASSERT_GT(logs, 5u);
  k.clean_all();
  ASSERT_TRUE(k.w.cleaned.has_value());
  EXPECT_FALSE(k.w.cleaned->corrupt);
  EXPECT_EQ(k.w.log.ends().submitted, end);
  EXPECT_EQ(k.w.log.ends().log_start, 0);
  EXPECT_LT(k.w.log.size_bytes() * 2, before);
  EXPECT_EQ(k.w.log.cleaned_to(), k.w.cleaned->cleaned_to);
  EXPECT_EQ(segment_file(k.w.log.cleaned_to(), ".log"), k.files(".log").back());  // all but the active one
  for (const char* leftover : {".cleaned", ".swap", ".deleted"}) EXPECT_TRUE(k.files(leftover).empty()) << leftover;
  k.check(k.read());
  int64_t size = 0;
  for (const std::string& name : k.files(".log"))
    size += static_cast<int64_t>(k.w.disk.content("orders-5/" + name)->size());
  EXPECT_EQ(size, k.w.log.size_bytes());

  EXPECT_FALSE(k.clean());  // nothing is dirty now
  fill(k);
  k.clean_all();
  EXPECT_EQ(k.w.cleanings, 2);
  EXPECT_LT(k.files(".log").size(), 2 * logs - 5);  // those that the first one made small were joined
  k.check(k.read());

  k.w.restart({k.w.log.recovery_point(), 0, false, k.w.log.cleaned_to()});
  k.w.settle();
  EXPECT_EQ(k.w.log.ends().submitted, 2 * end);
  EXPECT_EQ(k.w.log.cleaned_to(), k.cleaned_least);
  k.check(k.read());
}

// A new leader's high watermark may lie where its log has nothing any more.
TEST(LogClean, a_read_that_ends_where_nothing_is_left_finds_nothing) {
  KeyedWorld k;
  k.open();
  fill(k);
  k.clean_all();
  ASSERT_GT(k.read().begin()->first, 10);
  k.w.turn([&](Io&) { k.w.log.drop_caches(); });
  k.w.read_at(3);  // brings it into memory
  const Offset end = k.w.log.ends().submitted;
  k.w.turn([&](Io& io) {  // a copy of another log, in the tail
    protocol::BatchBuilder b({.base_offset = end + 20, .leader_epoch = 1});
    b.add({.key = Bytes::of(as_bytes("key")), .value = Bytes::of(as_bytes("value"))});
    k.w.log.append_as_follower(io.ctx, b.finish());
  });
  for (const Offset from : {Offset{3}, end + 3}) {
    const ReadResult got = k.w.log.read({from, 1'000, from + 2, true});
    EXPECT_EQ(got.status, ReadStatus::ok);
    EXPECT_EQ(got.size, 0u);
    EXPECT_EQ(got.next, from + 2);
  }
}

TEST(LogClean, an_unchanged_segment_is_left_alone) {
  KeyedWorld k;
  k.open();
  for (int i = 0; i < 30; ++i) k.append({{"only" + std::to_string(i), value_of(i, 1'400)}});
  k.checkpoint();
  const auto before = k.files(".log");
  const auto content = *k.w.disk.content("orders-5/" + before[1]);
  k.w.options.config.segment_bytes = 2'000;  // none joins another
  k.w.log.set_config(k.w.options.config);
  k.clean_all();
  EXPECT_EQ(k.w.cleanings, 1);
  EXPECT_EQ(k.files(".log"), before);
  EXPECT_TRUE(k.files(".cleaned").empty());
  EXPECT_EQ(*k.w.disk.content("orders-5/" + before[1]), content);
  EXPECT_GT(k.w.log.cleaned_to(), 0);
  k.check(k.read());
}

TEST(LogClean, a_tombstone_is_seen_for_a_while_and_then_goes) {
  KeyedWorld k;
  k.open();
  k.append({{"gone", "value"}, {"kept", "value"}});
  k.append({{"gone", std::nullopt}});
  fill(k);
  k.clean_all();
  KeyedRecords found = k.read();
  EXPECT_FALSE(found.count(0));
  EXPECT_TRUE(found.count(1));
  EXPECT_TRUE(found.count(2));
  fill(k);
  k.w.world.wall.ms += 999;
  k.clean_all();
  EXPECT_TRUE(k.read().count(2));
  fill(k);
  k.w.world.wall.ms += 1;
  k.clean_all();
  EXPECT_FALSE(k.read().count(2));
  EXPECT_TRUE(k.read().count(1));
  k.check(k.read());
}

TEST(LogClean, goes_no_further_than_is_committed_durable_and_old_enough) {
  KeyedWorld k;
  k.open();
  fill(k);
  const Offset end = k.w.log.ends().submitted;
  EXPECT_EQ(k.w.log.cleanable(k.w.world.wall, 0).dirty_bytes, 0);
  EXPECT_LE(k.w.log.cleanable(k.w.world.wall, end / 2).end, end / 2);
  EXPECT_GT(k.w.log.cleanable(k.w.world.wall, end / 2).end, 0);
  k.w.log.note_checkpoint(end / 3);
  EXPECT_LE(k.w.log.cleanable(k.w.world.wall, end).end, end / 3);
  k.w.log.note_checkpoint(end);
  k.w.options.config.min_compaction_lag_ms = 10;
  k.w.log.set_config(k.w.options.config);
  EXPECT_EQ(k.w.log.cleanable(k.w.world.wall, end).dirty_bytes, 0);
  EXPECT_GT(k.w.log.cleanable({k.w.world.wall.ms + 10}, end).dirty_bytes, 0);
  k.w.options.config.compacted = false;
  k.w.log.set_config(k.w.options.config);
  EXPECT_EQ(k.w.log.cleanable({k.w.world.wall.ms + 10}, end).dirty_bytes, 0);
}

TEST(LogClean, keys_that_do_not_fit_take_several_rounds) {
  KeyedWorld k;
  k.by.keys_bytes = 256 * 8 * 24;
  k.open();
  for (int i = 0; i < 3'000; ++i) k.append({{"key" + std::to_string(i % 2'900), "v"}, {std::nullopt, "no key"}});
  k.checkpoint();
  Offset before = -1;
  while (k.w.log.cleaned_to() > before) {
    before = k.w.log.cleaned_to();
    k.clean_all();
    ASSERT_FALSE(testing::Test::HasFailure());
  }
  EXPECT_GT(k.w.cleanings, 2);
  k.check(k.read());
}

TEST(LogClean, moves_no_more_bytes_in_a_second_than_it_may) {
  KeyedWorld k;
  k.by.bytes_per_second = 10'000;
  k.open();
  fill(k);
  k.high_watermark = k.w.log.ends().written;
  const Instant began = k.w.world.now;
  ASSERT_TRUE(k.clean());
  k.w.settle();
  while (k.w.log.cleaning()) {
    ASSERT_TRUE(k.w.clean_at.has_value());
    k.w.world.now = std::max(k.w.world.now, *k.w.clean_at);
    k.w.turn([&](Io& io) {
      Out out;
      k.w.log.go_on_cleaning(io, out);
      if (out.cleaned) k.w.cleaned = out.cleaned;
    });
    k.w.settle();
  }
  ASSERT_TRUE(k.w.cleaned.has_value());
  const int64_t moved = 2 * k.w.cleaned->bytes_read + k.w.cleaned->bytes_kept;
  EXPECT_GE((k.w.world.now - began).ms(), moved / 10 - 1'000);
  k.note_cleaned();
  k.check(k.read());
}

TEST(LogClean, damage_makes_it_uncleanable_and_harms_nothing) {
  KeyedWorld k;
  k.w.expects_damage = true;
  k.open();
  fill(k);
  const std::string second = "orders-5/" + k.files(".log")[1];
  auto bytes = *k.w.disk.content(second);
  bytes[bytes.size() / 2] ^= 1;
  k.w.disk.set_content(second, bytes);
  k.w.log.drop_caches();
  k.clean_all();
  ASSERT_TRUE(k.w.cleaned.has_value());
  EXPECT_TRUE(k.w.cleaned->corrupt);
  EXPECT_FALSE(k.clean());
  EXPECT_EQ(k.w.failed, IoError::none);
  EXPECT_TRUE(k.files(".cleaned").empty());
}

TEST(LogClean, epochs_and_producers_survive_what_compaction_takes_of_them) {
  KeyedWorld k;
  k.open();
  for (int i = 0; i < 90; ++i) {
    k.epoch = 1 + i / 10;
    k.producer = i < 45 ? 5 : 6;
    k.append({{"key" + std::to_string(i % 4), value_of(i)}});
  }
  k.checkpoint();
  const auto epochs = k.w.log.epochs().entries();
  ASSERT_EQ(epochs.size(), 9u);
  k.clean_all();
  EXPECT_EQ(k.w.log.epochs().entries(), epochs);
  for (const Offset point : {k.w.log.recovery_point(), k.w.log.cleaned_to()}) {
    k.w.disk.kill([](uint64_t) { return 0; });
    k.w.restart({point, 0, false, k.w.log.cleaned_to()});
    k.w.settle();
    EXPECT_EQ(k.w.log.epochs().entries(), epochs);
    ASSERT_NE(k.w.log.producers().find(5), nullptr);
    EXPECT_EQ(k.w.log.producers().find(5)->newest()->last_sequence, 44);
  }
  // Even a scan of everything finds both.
  k.w.restart({0, 0});
  k.w.settle();
  ASSERT_NE(k.w.log.producers().find(5), nullptr);
  EXPECT_EQ(k.w.log.producers().find(5)->newest()->last_sequence, 44);
  EXPECT_EQ(k.w.log.producers().find(6)->newest()->last_sequence, 44);
  k.check(k.read());
}

// ---- what else happens meanwhile, at each step of a cleaning

template<class F>
void at_each_step(F&& f) {
  for (int step = 0;; ++step) {
    SCOPED_TRACE(step);
    KeyedWorld k;
    k.open();
    fill(k, 50);
    k.append({{"tail", "not yet durable"}});
    k.high_watermark = k.w.log.ends().written;
    ASSERT_TRUE(k.clean());
    Rng rng{static_cast<uint64_t>(step) + 1};
    for (int i = 0; i < step && k.w.log.cleaning(); ++i) k.w.step(rng.next());
    const bool over = !k.w.log.cleaning();
    f(k, rng);
    if (testing::Test::HasFailure() || over) break;
    ASSERT_LT(step, 1'000);
  }
}

TEST(LogClean, a_reader_sees_the_log_at_each_moment) {
  at_each_step([](KeyedWorld& k, Rng& rng) {
    k.w.turn([&](Io&) { k.w.log.drop_caches(); });
    const KeyedRecords found = k.read(&rng);
    k.w.settle(&rng);
    EXPECT_FALSE(k.w.log.cleaning());
    k.check(found);
    k.note_cleaned();
    k.check(k.read(&rng));
  });
}

TEST(LogClean, a_truncation_below_ends_it_and_takes_effect) {
  for (const bool deep : {true, false})
    at_each_step([&](KeyedWorld& k, Rng& rng) {
      const Offset end = k.w.log.ends().submitted, to = deep ? end / 3 : end - 1;
      k.w.turn([&](Io& io) { k.w.log.truncate_to(io, to); });
      k.w.settle(&rng);
      ASSERT_TRUE(k.w.log.ready());
      EXPECT_FALSE(k.w.log.cleaning());
      EXPECT_LE(k.w.log.ends().submitted, to);
      EXPECT_LE(k.w.log.cleaned_to(), k.w.log.ends().submitted);
      EXPECT_TRUE(k.files(".cleaned").empty() && k.files(".swap").empty());
      k.append({{"after", "it"}});
      k.checkpoint();
      const KeyedRecords found = k.read(&rng);
      EXPECT_EQ(found.rbegin()->second, (KeyedRecord{"after", "it"}));
      for (const auto& [offset, r] : found) EXPECT_EQ(r, k.written.at(offset));
      const Offset now = k.w.log.ends().submitted;
      k.w.disk.lose_power([](uint64_t) { return 0; });
      k.w.restart({k.noted, 0});
      k.w.settle();
      EXPECT_EQ(k.w.log.ends().submitted, now);
      EXPECT_EQ(k.read(), found);
    });
}

TEST(LogClean, the_orderly_end_and_the_removal_do_not_wait_for_it) {
  at_each_step([](KeyedWorld& k, Rng& rng) {
    k.w.turn([&](Io& io) { k.w.log.close(io); });
    k.w.settle(&rng);
    EXPECT_TRUE(k.w.closed);
    EXPECT_EQ(k.w.ops.under_way(), 0u);
    EXPECT_TRUE(k.files(".cleaned").empty() && k.files(".swap").empty());
    k.w.restart({k.w.log.recovery_point(), 0, true});
    k.w.settle();
    k.check(k.read());
  });
  at_each_step([](KeyedWorld& k, Rng& rng) {
    k.w.turn([&](Io& io) { k.w.log.remove(io, Uuid{{9}}); });
    k.w.settle(&rng);
    EXPECT_TRUE(k.w.removed);
    EXPECT_TRUE(k.w.disk.names("").empty());
  });
  at_each_step([](KeyedWorld& k, Rng& rng) {
    k.w.turn([&](Io& io) { k.w.log.truncate_fully_and_start_at(io, 5'000, Uuid{{9}}); });
    k.w.settle(&rng);
    ASSERT_TRUE(k.w.log.ready());
    k.written.clear();
    k.append({{"new", "life"}});
    k.checkpoint();
    EXPECT_EQ(k.read(), k.written);
  });
}

TEST(LogClean, retention_waits_for_it) {
  at_each_step([](KeyedWorld& k, Rng& rng) {
    k.w.options.config.deletes = true;
    k.w.options.config.retention_bytes = 0;
    k.w.log.set_config(k.w.options.config);
    k.w.retain({k.w.log.ends().written, true});
    k.w.settle(&rng);
    k.note_cleaned();
    k.check(k.read(&rng));
    k.w.retain({k.w.log.ends().written, true});
    k.w.settle(&rng);
    k.w.retain({k.w.log.ends().written, true});
    EXPECT_GT(k.w.log.ends().log_start, 0);
    k.check(k.read(&rng));
  });
}

// What is told of an aborted transaction goes when the last of it has gone; then its marker, after its time.
TEST(LogClean, an_aborted_transaction_goes_step_by_step) {
  KeyedWorld k;
  k.open();
  const auto transaction = [&](ProducerId id, const std::string& key, bool commit) {
    k.producer = id, k.transactional = true;
    k.append({{key, "1"}});
    k.append({{key, "2"}});
    k.end(id, commit);
    k.producer = -1, k.transactional = false;
  };
  const auto clean = [&] {
    fill(k, 12);
    k.clean_all();
    k.check(k.read());
    k.check_transactions();
  };
  const auto batches = [&] {  // offset and records
    std::map<Offset, int32_t> all;
    for (const Model::Batch& b : k.w.read_all(0).batches) all[b.base] = b.header().record_count;
    return all;
  };
  const std::string index = "orders-5/" + segment_file(0, ".txnindex");
  const AbortedTxn aborted{20, 0, 2, 3};
  transaction(20, "a", false);
  transaction(21, "b", true);
  clean();
  EXPECT_FALSE(batches().count(0));
  EXPECT_EQ(batches()[1], 0);  // its producer's last
  EXPECT_EQ(batches()[2], 1);
  EXPECT_EQ(batches()[4], 1);
  EXPECT_EQ(k.w.log.aborted_in(0, 6), std::vector{aborted});
  EXPECT_EQ(parse_txn_index(*k.w.disk.content(index), {0, 6}).value(), std::vector{aborted});

  transaction(20, "b", true);  // and so "2" of 21 is not the last of its key, but still the last of its producer
  clean();
  EXPECT_FALSE(batches().count(1));
  EXPECT_EQ(batches()[4], 0);
  EXPECT_EQ(k.w.log.aborted_in(0, 6), std::vector{aborted});  // that cleaning still found something of it

  clean();
  EXPECT_EQ(batches()[2], 1);  // has its horizon now
  EXPECT_TRUE(k.w.log.aborted_in(0, 6).empty());
  EXPECT_TRUE(k.w.disk.content(index)->empty());

  k.w.world.wall.ms += k.w.options.config.delete_retention_ms;
  clean();
  EXPECT_FALSE(batches().count(2));
  EXPECT_EQ(batches()[5], 1);  // something is left of that transaction
}

}  // namespace
}  // namespace klamm::log
