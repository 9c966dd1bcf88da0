// Cold reads whose bytes never pass through memory: what a region holds is what a read through memory gives.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/engine/log/keyed_world.h"

namespace klamm::log {
namespace {

using Content = FakeStorage::Content;

LogOptions region_options() {
  LogOptions o = LogWorld::default_options();
  o.region_least = 400;
  return o;
}

Content bytes_of(const LogWorld& w, const ReadResult& r) {
  if (r.region.size > 0) {
    EXPECT_TRUE(r.pieces.empty());
    return w.disk.region(r.region);
  }
  Content all;
  for (const Slice& s : r.pieces) all.insert(all.end(), s.data(), s.data() + s.size());
  return all;
}

// As handlers do it: a read that says cold is asked again when the log says so.
ReadResult read_now(LogWorld& w, const ReadFrom& from) {
  for (int i = 0; i < 5; ++i) {
    const ReadResult r = w.log.read(from);
    if (r.status != ReadStatus::cold) return r;
    w.turn([&](Io& io) { EXPECT_TRUE(w.log.load_cold(io, r.want)); });
    w.settle();
  }
  ADD_FAILURE() << "starved at " << from.offset;
  return {};
}

void fill(LogWorld& w, int batches, uint32_t bytes, int32_t records = 3) {
  for (int i = 0; i < batches; ++i) w.append({.records = records, .value_bytes = bytes}, 1);
  w.flush();
  w.settle();
}

Content joined(const std::vector<Model::Batch>& batches) {
  Content all;
  for (const Model::Batch& b : batches) all.insert(all.end(), b.bytes.begin(), b.bytes.end());
  return all;
}

TEST(LogRegion, is_the_file_from_the_batch_that_holds_the_offset) {
  LogWorld w(region_options());
  w.restart();
  w.settle();
  fill(w, 30, 100);
  w.log.drop_caches();
  const auto one = static_cast<uint32_t>(w.model.batches[0].bytes.size());
  const ReadResult r = read_now(w, {7, one * 4 + 50, 90, true, true, true});
  EXPECT_EQ(r.region.size, one * 4 + 50);
  EXPECT_EQ(r.region.offset, 2 * one);
  EXPECT_EQ(r.size, r.region.size);
  EXPECT_EQ(r.next, 9);
  EXPECT_EQ(r.below, 90);
  const Content all = joined(w.model.batches);
  EXPECT_EQ(bytes_of(w, r), Content(all.begin() + 2 * one, all.begin() + 6 * one + 50));
}

TEST(LogRegion, goes_through_memory_where_it_does_not_fit) {
  LogWorld w(region_options());
  w.restart();
  w.settle();
  fill(w, 30, 100);
  w.log.drop_caches();
  EXPECT_EQ(read_now(w, {0, 399, 90, true, true, true}).region.size, 0u) << "little is wanted";
  EXPECT_EQ(read_now(w, {30, 5'000, 90, true, false, true}).region.size, 0u) << "whole batches only";
  EXPECT_EQ(read_now(w, {45, 5'000, 60, true, true, true}).region.size, 0u) << "some lies beyond the limit";
  EXPECT_EQ(read_now(w, {60, 5'000, 90, true, true, false}).region.size, 0u) << "not asked for";
  w.log.drop_caches();
  EXPECT_GT(read_now(w, {0, 400, 90, true, true, true}).region.size, 0u);
  EXPECT_EQ(read_now(w, {0, 400, 89, true, true, true}).region.size, 0u) << "the place is known, the limit is not";
  w.log.drop_caches();
  EXPECT_EQ(read_now(w, {87, 5'000, 90, true, true, true}).region.size, 0u) << "little is left";
}

TEST(LogRegion, a_first_batch_that_is_too_large_comes_whole_or_not_at_all) {
  LogWorld w(region_options());
  w.restart();
  w.settle();
  fill(w, 5, 1'000);
  w.log.drop_caches();
  const auto one = static_cast<uint32_t>(w.model.batches[0].bytes.size());
  EXPECT_EQ(read_now(w, {3, 500, 15, true, true, true}).region.size, one);
  const ReadResult none = read_now(w, {3, 500, 15, false, true, true});
  EXPECT_EQ(none.size, 0u);
  EXPECT_EQ(none.next, 3);
  EXPECT_TRUE(none.capped);
}

TEST(LogRegion, ends_where_the_tail_begins) {
  LogWorld w(region_options());
  w.restart();
  w.settle();
  fill(w, 60, 100);
  const ReadResult r = read_now(w, {0, 1 << 20, 180, true, true, true});
  ASSERT_GT(r.region.size, 0u);
  const Content got = bytes_of(w, r), all = joined(w.model.batches);
  ASSERT_LT(got.size(), all.size());
  EXPECT_TRUE(std::equal(got.begin(), got.end(), all.begin()));
  const ReadResult rest = w.log.read({r.below, 1 << 20, 180, true, true, true});
  EXPECT_EQ(rest.status, ReadStatus::ok);
  EXPECT_EQ(got.size() + bytes_of(w, rest).size(), all.size());
}

// The place of a batch in a large segment costs little reading, whichever batch it is.
TEST(LogRegion, a_place_is_found_by_the_index_file) {
  LogOptions o = region_options();
  o.config.segment_bytes = 900'000;
  o.config.index_interval_bytes = 100;  // far more entries than memory keeps of a full segment
  LogWorld w(o);
  w.restart();
  w.settle();
  for (int i = 0; i < 30; ++i) fill(w, 300, 60, 1);
  ASSERT_NE(w.disk.content("orders-5/00000000000000000000.index"), nullptr);
  const size_t index_bytes = w.disk.content("orders-5/00000000000000000000.index")->size();
  ASSERT_GT(index_bytes, 4 * kSealedIndexEntries * kIndexEntryBytes);
  w.log.drop_caches();
  const uint64_t before = w.disk.bytes_read();
  uint64_t reads = 0;
  for (Offset at = 0; at < 5'000; at += 97, ++reads) {
    const ReadResult r = read_now(w, {at, 1'000, 9'000, true, true, true});
    ASSERT_GT(r.region.size, 0u) << at;
    ASSERT_EQ(r.next, at + 1);
    ASSERT_EQ(protocol::read_batch_header(bytes_of(w, r).data()).base_offset, at);
  }
  EXPECT_LE(w.disk.bytes_read() - before, index_bytes + reads * kPlaceLeast) << "the index once, and a little each";
}

TEST(LogRegion, a_wrong_index_is_not_believed) {
  LogWorld w(region_options());
  w.restart();
  w.settle();
  fill(w, 200, 100, 1);
  ASSERT_NE(w.disk.content("orders-5/00000000000000000000.index"), nullptr);
  Content index = *w.disk.content("orders-5/00000000000000000000.index");
  for (size_t i = 7; i < index.size(); i += 8) index[i] = static_cast<uint8_t>(index[i] + 3);  // positions
  w.turn([&](Io& io) { w.log.close(io); });
  w.settle();
  w.disk.set_content("orders-5/00000000000000000000.index", index);
  w.restart({.recovery_point = 200, .clean = true});
  w.settle();
  w.log.drop_caches();
  const ReadResult r = read_now(w, {60, 1'000, 200, true, true, true});
  ASSERT_GT(r.region.size, 0u);
  EXPECT_EQ(protocol::read_batch_header(bytes_of(w, r).data()).base_offset, 60);
}

// What compaction has emptied tells a consumer nothing, and an answer of nothing else holds some up for ever.
TEST(LogRegion, never_begins_with_a_batch_without_records) {
  KeyedWorld k;
  k.w.options.region_least = 100;
  k.open();
  for (int i = 0; i < 120; ++i) {
    k.append({{i % 3 == 0 ? std::to_string(i) : "key", std::string(40, 'x')}});
    if (i == 80) k.checkpoint(), k.clean_all();
  }
  ASSERT_EQ(k.w.cleanings, 1);
  k.checkpoint();
  k.w.log.drop_caches();
  int regions = 0;
  for (Offset at = 0; at < 100; ++at) {
    const ReadResult r = read_now(k.w, {at, 400, k.w.log.ends().written, true, true, true});
    if (r.region.size == 0) continue;
    ++regions;
    const BatchHeader h = protocol::read_batch_header(bytes_of(k.w, r).data());
    EXPECT_GT(h.record_count, 0) << at;
    EXPECT_GE(h.last_offset(), at);
  }
  EXPECT_GT(regions, 0);
}

// From when a file is renamed over another a driver that opens it anew by its name finds the other.
TEST(LogRegion, is_not_given_while_compaction_puts_files_in_the_place_of_others) {
  KeyedWorld k;
  k.w.options.region_least = 100;
  k.open();
  for (int i = 0; i < 120; ++i) k.append({{i % 3 == 0 ? std::to_string(i) : "key", std::string(40, 'x')}});
  k.checkpoint();
  k.w.log.drop_caches();
  const ReadFrom from{0, 400, k.w.log.ends().written, true, true, true};
  ASSERT_GT(read_now(k.w, from).region.size, 0u);
  int replaced = 0;
  k.w.on_command = [&](const Command& c) {
    const auto* rename = std::get_if<Rename>(&c);
    if (!rename || !rename->to.ends_with(".log")) return;
    ++replaced;
    EXPECT_EQ(k.w.log.read(from).region.size, 0u);
  };
  k.clean_all();
  EXPECT_EQ(k.w.cleanings, 1);
  EXPECT_GT(replaced, 0);
}

// Any story of a log, any read: the region begins with what memory gives, and ends below the limit.
RC_GTEST_PROP(LogRegion, gives_what_a_read_through_memory_gives, ()) {
  Rng rng{*rc::gen::arbitrary<uint64_t>()};
  LogOptions o = region_options();
  o.region_least = 1 + static_cast<uint32_t>(rng.below(600));
  o.tail_bytes = static_cast<uint32_t>(rng.below(9'000));
  LogWorld w(o);
  w.restart();
  w.settle();
  for (int step = 0; step < 40; ++step) {
    const uint64_t what = rng.below(100);
    if (what < 60 || w.model.end() == w.model.start) {
      fill(w, 1 + static_cast<int>(rng.below(20)), static_cast<uint32_t>(rng.below(300)));
    } else if (what < 65) {
      const Offset to = w.model.start + static_cast<Offset>(rng.below(w.model.end() - w.model.start + 1));
      w.turn([&](Io& io) { w.log.truncate_to(io, to); });
      w.model.truncate(to);
      w.settle();
    } else if (what < 70) {
      w.turn([&](Io& io) {
        w.log.advance_log_start(io.ctx, std::min(w.model.start + static_cast<Offset>(rng.below(5)), w.model.end()));
      });
      w.retain({w.log.ends().written, true});
      w.settle();
    } else if (what < 75) {
      w.sync(), w.settle();
      w.restart({.recovery_point = w.log.ends().synced, .log_start = w.model.start});
      w.settle();
    } else {
      if (rng.chance(50)) w.log.drop_caches();
      const Offset end = w.log.ends().submitted;
      ReadFrom from{w.model.start + static_cast<Offset>(rng.below(end - w.model.start)),
                    static_cast<uint32_t>(rng.below(8'000)),
                    end,
                    rng.chance(50),
                    true,
                    true};
      if (rng.chance(30)) from.limit = from.offset + static_cast<Offset>(rng.below(end - from.offset + 1));
      const ReadResult region = read_now(w, from);
      const Content got = bytes_of(w, region);
      RC_ASSERT(got.size() == region.size);
      from.region = false;
      w.log.drop_caches();
      const Content other = bytes_of(w, read_now(w, from));
      const size_t both = std::min(got.size(), other.size());
      RC_ASSERT(std::equal(got.begin(), got.begin() + static_cast<int64_t>(both), other.begin()));
      RC_ASSERT(got.empty() == other.empty());
      if (region.region.size == 0) continue;
      RC_ASSERT(region.below <= from.limit);
      const bool held = got.size() <= from.max_bytes ||
                        (from.at_least_one && got.size() == protocol::read_batch_header(got.data()).size());
      RC_ASSERT(held);
      for (size_t at = 0; got.size() - at >= kBatchHeaderSize;) {
        const BatchHeader h = protocol::read_batch_header(got.data() + at);
        RC_ASSERT(h.last_offset() < region.below);
        at += std::min(h.size(), got.size() - at);
      }
    }
  }
}

}  // namespace
}  // namespace klamm::log
