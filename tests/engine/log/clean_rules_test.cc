// What compaction keeps: of a record, of a batch, of a log's segments; and how it knows the keys.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "engine/log/clean_batch.h"
#include "engine/log/rules.h"
#include "engine/protocol/batch_builder.h"
#include "tests/engine/log/log_world.h"

namespace klamm::log {
namespace {

using protocol::BatchBuilder;
using protocol::Bytes;
using protocol::Compression;

ByteSpan span_of(const std::string& s) { return as_bytes(s); }

// ---- keys

RC_GTEST_PROP(KeyOffsets, knows_the_newest_of_each_key, ()) {
  KeyOffsets keys({.key = {1, *rc::gen::arbitrary<uint64_t>()}});
  std::map<std::string, Offset> model;
  const auto story = *rc::gen::container<std::vector<uint16_t>>(2'000, rc::gen::inRange<uint16_t>(0, 700));
  for (size_t i = 0; i < story.size(); ++i) {
    const std::string key = "key" + std::to_string(story[i]);
    RC_ASSERT(keys.put(span_of(key), static_cast<Offset>(i)));
    model[key] = static_cast<Offset>(i);
  }
  RC_ASSERT(keys.size() == model.size());
  for (const auto& [key, offset] : model) RC_ASSERT(keys.find(span_of(key)) == offset);
  RC_ASSERT(keys.find(span_of("another")) == -1);
  const KeyOffsets copy = keys;
  RC_ASSERT(copy.find(span_of("key1")) == keys.find(span_of("key1")));
}

TEST(KeyOffsets, is_full_within_its_bound_and_still_takes_what_it_knows) {
  for (const int64_t bound : {0, 192, 10'000, 200'000, 1'000'000}) {
    KeyOffsets keys({.key = {3, 4}, .bytes_max = bound, .full_percent = 90});
    std::vector<std::string> in;
    for (int i = 0; i < 100'000; ++i) {
      const std::string key = std::to_string(i);
      if (!keys.put(span_of(key), i)) break;
      in.push_back(key);
    }
    EXPECT_LT(in.size(), 100'000u);
    EXPECT_EQ(keys.size(), in.size());
    EXPECT_LE(keys.bytes(), bound);
    if (bound >= 200'000) {
      EXPECT_GT(in.size() * 100, static_cast<size_t>(bound) / 24 * 30);
    }
    for (size_t i = 0; i < in.size(); ++i) {
      EXPECT_EQ(keys.find(span_of(in[i])), static_cast<Offset>(i));
      EXPECT_TRUE(keys.put(span_of(in[i]), 1'000'000));
      EXPECT_EQ(keys.find(span_of(in[i])), 1'000'000);
    }
  }
}

// ---- rules

TEST(CleanRules, record_stays) {
  const CleaningState early{100, false}, late{100, true};
  EXPECT_TRUE(record_stays({.offset = 100, .has_key = false}, early));  // not mapped yet
  EXPECT_FALSE(record_stays({.offset = 99, .has_key = false}, early));
  EXPECT_TRUE(record_stays({.offset = 99, .has_key = true, .newest_of_key = 99}, late));
  EXPECT_TRUE(record_stays({.offset = 9, .has_key = true, .newest_of_key = -1}, late));
  EXPECT_FALSE(record_stays({.offset = 9, .has_key = true, .newest_of_key = 10}, early));
  EXPECT_TRUE(record_stays({.offset = 9, .has_key = true, .tombstone = true, .newest_of_key = 9}, early));
  EXPECT_FALSE(record_stays({.offset = 9, .has_key = true, .tombstone = true, .newest_of_key = 9}, late));
  EXPECT_TRUE(record_stays({.offset = 100, .has_key = true, .tombstone = true, .newest_of_key = 100}, late));
}

CleanView four_segments() {
  CleanView v;
  v.segments = {{0, 1'000, 10, 19}, {100, 1'000, 20, 29}, {200, 1'000, 30, 39}, {300, 500, 40, 49}};
  v.most = 1'000;
  v.now_ms = 1'000;
  return v;
}

TEST(CleanRules, clean_range) {
  LogConfig config;
  CleanView v = four_segments();
  CleanRange r = clean_range(v, config);
  EXPECT_EQ(r.dirty, 0);
  EXPECT_EQ(r.end, 300);  // not the active one
  EXPECT_EQ(r.dirty_bytes, 3'000);
  EXPECT_EQ(r.clean_bytes, 0);

  v.most = 299;  // a segment that is not committed to its end
  EXPECT_EQ(clean_range(v, config).end, 200);
  v.cleaned_to = 100;
  r = clean_range(v, config);
  EXPECT_EQ(r.clean_bytes, 1'000);
  EXPECT_EQ(r.dirty_bytes, 1'000);
  v.log_start = 150;  // beyond what was cleaned
  EXPECT_EQ(clean_range(v, config).dirty, 150);
  v.cleaned_to = 200;
  EXPECT_EQ(clean_range(v, config).dirty_bytes, 0);
  v.most = 0;
  EXPECT_EQ(clean_range(v, config).dirty_bytes, 0);
  EXPECT_EQ(clean_range(CleanView(), config).dirty_bytes, 0);
}

TEST(CleanRules, clean_range_by_age) {
  LogConfig config;
  CleanView v = four_segments();
  config.min_compaction_lag_ms = 970;
  EXPECT_EQ(clean_range(v, config).end, 200);  // 29 <= 1000 - 970 < 39
  config.min_compaction_lag_ms = 990;
  EXPECT_EQ(clean_range(v, config).dirty_bytes, 0);
  v.cleaned_to = 200;  // what is clean may be as young as it likes
  config.min_compaction_lag_ms = 962;
  EXPECT_EQ(clean_range(v, config).dirty_bytes, 0);
  config.min_compaction_lag_ms = 961;
  EXPECT_EQ(clean_range(v, config).dirty_bytes, 1'000);

  config.min_compaction_lag_ms = 0;
  config.max_compaction_lag_ms = 970;
  EXPECT_FALSE(clean_range(v, config).overdue);  // of what is dirty the oldest came at 30
  config.max_compaction_lag_ms = 969;
  EXPECT_TRUE(clean_range(v, config).overdue);
}

TEST(CleanRules, wants_cleaning) {
  LogConfig config;
  CleanRange r{.clean_bytes = 500, .dirty_bytes = 500};
  EXPECT_FALSE(wants_cleaning(r, config));  // more than half, not half
  r.dirty_bytes = 501;
  EXPECT_TRUE(wants_cleaning(r, config));
  config.min_dirty_ppm = 1'000'000;
  EXPECT_FALSE(wants_cleaning(r, config));
  r.overdue = true;
  EXPECT_TRUE(wants_cleaning(r, config));
  r.dirty_bytes = 0;
  EXPECT_FALSE(wants_cleaning(r, config));
  config.min_dirty_ppm = 0;
  EXPECT_TRUE(wants_cleaning({.clean_bytes = int64_t{1} << 60, .dirty_bytes = 1}, config));
  EXPECT_EQ(dirtiness({.clean_bytes = 3, .dirty_bytes = 1}), 250'000);
  EXPECT_EQ(dirtiness({.clean_bytes = int64_t{3} << 58, .dirty_bytes = int64_t{1} << 58}), 250'000);
}

TEST(CleanRules, group_size) {
  LogConfig config;
  config.segment_bytes = 1'000;
  const std::vector<CleanSegment> s = {{0, 400}, {10, 400}, {20, 200}, {30, 1}, {40, 5'000}, {50, 0}};
  EXPECT_EQ(group_size(s, {0, 60}, config), 3u);
  EXPECT_EQ(group_size(s, {3, 60}, config), 1u);
  EXPECT_EQ(group_size(s, {4, 60}, config), 1u);
  EXPECT_EQ(group_size(s, {5, 60}, config), 1u);
  config.segment_index_bytes = 12 * 20;  // twenty entries of a time index
  config.index_interval_bytes = 40;
  EXPECT_EQ(group_size(s, {0, 60}, config), 1u);
  const std::vector<CleanSegment> far = {{0, 1}, {10, 1}, {3'000'000'000, 1}};
  config = {};
  EXPECT_EQ(group_size(far, {0, 3'000'000'010}, config), 1u);
  EXPECT_EQ(group_size({{0, 1}, {10, 1}}, {0, 2'147'483'648}, config), 2u);
  EXPECT_EQ(group_size({{0, 1}, {10, 1}}, {0, 2'147'483'649}, config), 1u);
}

// ---- batches

struct Rec {
  int32_t delta = 0;
  int64_t timestamp = 0;
  std::optional<std::string> key, value;
  std::vector<std::pair<std::string, std::string>> headers;
  friend bool operator==(const Rec&, const Rec&) = default;
};

Bytes bytes_of(const std::optional<std::string>& s) { return s ? Bytes::of(as_bytes(*s)) : Bytes(); }
std::optional<std::string> text_of(const Bytes& b) {
  return b.is_null() ? std::nullopt : std::optional(std::string(as_text(b.span())));
}

Slice build(const std::vector<Rec>& records, BatchBuilder::Options o, int32_t last_delta) {
  BatchBuilder b(o);
  for (const Rec& r : records) {
    std::vector<protocol::RecordHeader> headers;
    for (const auto& [k, v] : r.headers) headers.push_back({k, Bytes::of(as_bytes(v))});
    b.add_at(r.delta, {r.timestamp, bytes_of(r.key), bytes_of(r.value), headers});
  }
  b.cover_to(last_delta);
  return b.finish();
}

std::vector<Rec> read(const Slice& batch) {
  const auto h = protocol::check_batch(batch.span());
  EXPECT_TRUE(h.has_value());
  const auto open = protocol::OpenBatch::open(*h, batch.span(), 1 << 20);
  EXPECT_TRUE(open.has_value());
  std::vector<Rec> all;
  auto cursor = open->records();
  for (protocol::Record r; cursor.next(r);) {
    Rec x{r.offset_delta, r.timestamp, text_of(r.key), text_of(r.value), {}};
    protocol::HeaderCursor headers(r);
    for (protocol::RecordHeader header; headers.next(header);)
      x.headers.push_back({std::string(std::string_view(header.key)), *text_of(header.value)});
    all.push_back(std::move(x));
  }
  EXPECT_EQ(cursor.error(), nullptr);
  return all;
}

RC_GTEST_PROP(CleanBatch, keeps_what_the_rules_say_and_all_that_a_batch_is, ()) {
  constexpr Offset kBase = 1'000;
  const auto pick = [](int n) { return *rc::gen::inRange(0, n); };
  std::vector<Rec> records;
  int32_t delta = pick(3);
  for (int n = 1 + pick(8); n > 0; --n, delta += 1 + pick(3)) {
    Rec r{delta, 5'000 + pick(900), std::nullopt, std::nullopt, {}};
    if (pick(6) > 0) r.key = "k" + std::to_string(pick(5));
    if (pick(3) > 0) r.value = std::string(static_cast<size_t>(pick(300)), 'v');
    if (pick(4) == 0) r.headers = {{"a", "1"}, {"b", ""}};
    records.push_back(r);
  }
  const int32_t last_delta = records.back().delta + pick(2);
  BatchBuilder::Options o;
  o.base_offset = kBase;
  o.leader_epoch = 7;
  o.compression = static_cast<Compression>(pick(5));
  if (pick(2)) o.producer_id = 44, o.producer_epoch = 2, o.base_sequence = 90;
  if (pick(4) == 0) o.log_append_time = 7'777;
  const bool has_horizon = pick(3) == 0;
  if (has_horizon) o.delete_horizon = 20'000 + pick(3) - 1;
  const Slice batch = build(records, o, last_delta);
  const BatchHeader h = protocol::check_batch(batch.span()).value();

  KeyOffsets keys({.key = {1, 2}});
  RC_ASSERT(map_batch(h, batch.span(), kBase + pick(4), keys).value());
  if (pick(2)) RC_ASSERT(keys.put(span_of("k0"), 5'000));
  if (pick(2)) RC_ASSERT(keys.put(span_of("k1"), 5'001));
  keys.cover_to(kBase + pick(30));
  CleanRules rules{.now_ms = 20'000, .delete_retention_ms = 500, .keep_header = pick(2) == 0};
  const CleanedBatch cleaned = clean_batch(h, batch, keys, rules).value();

  std::vector<Rec> kept;
  bool tombstones = false;
  for (const Rec& r : records) {
    RecordFate fate{.offset = kBase + r.delta, .has_key = r.key.has_value(), .tombstone = !r.value};
    if (r.key) fate.newest_of_key = keys.find(span_of(*r.key));
    if (!record_stays(fate, {keys.end(), has_horizon && *o.delete_horizon <= 20'000})) continue;
    kept.push_back(r);
    if (o.log_append_time) kept.back().timestamp = *o.log_append_time;
    tombstones = tombstones || !r.value;
  }
  RC_ASSERT(cleaned.read == static_cast<int32_t>(records.size()));
  RC_ASSERT(cleaned.kept == static_cast<int32_t>(kept.size()));
  RC_ASSERT(cleaned.bytes.empty() == (kept.empty() && !rules.keep_header));
  if (cleaned.bytes.empty()) return;
  RC_ASSERT(read(cleaned.bytes) == kept);
  const BatchHeader now = protocol::check_batch(cleaned.bytes.span()).value();
  RC_ASSERT(now.base_offset == kBase);
  RC_ASSERT(now.last_offset() == kBase + last_delta);
  RC_ASSERT(now.partition_leader_epoch == 7);
  RC_ASSERT(now.producer_id == h.producer_id);
  RC_ASSERT(now.producer_epoch == h.producer_epoch);
  RC_ASSERT(now.base_sequence == h.base_sequence);
  RC_ASSERT(now.timestamp_type() == h.timestamp_type());
  if (kept.empty()) {
    RC_ASSERT(now.max_timestamp == h.max_timestamp);
    RC_ASSERT(cleaned.bytes.size() == kBatchHeaderSize);
    return;
  }
  RC_ASSERT(now.compression() == h.compression());
  RC_ASSERT(now.has_delete_horizon() == (tombstones || has_horizon));
  if (now.has_delete_horizon()) RC_ASSERT(now.base_timestamp == (has_horizon ? *o.delete_horizon : 20'500));
  RC_ASSERT(cleaned.unchanged == (kept.size() == records.size() && (!tombstones || has_horizon)));

  // Once more: nothing else happens.
  const CleanedBatch again = clean_batch(now, cleaned.bytes, keys, rules).value();
  RC_ASSERT(again.unchanged);
}

TEST(CleanBatch, an_empty_batch_goes_once_nobody_needs_it) {
  const Slice batch = build({{0, 5, "k", "v", {}}}, {.base_offset = 10, .producer_id = 3, .base_sequence = 1}, 4);
  KeyOffsets keys({.key = {1, 2}});
  ASSERT_TRUE(keys.put(span_of("k"), 90));
  keys.cover_to(100);
  const BatchHeader h = protocol::check_batch(batch.span()).value();
  const Slice empty = clean_batch(h, batch, keys, {.keep_header = true}).value().bytes;
  const BatchHeader e = protocol::check_batch(empty.span()).value();
  EXPECT_EQ(e.last_offset(), 14);
  EXPECT_EQ(e.last_sequence(), 5);
  EXPECT_EQ(e.record_count, 0);
  EXPECT_TRUE(clean_batch(e, empty, keys, {.keep_header = true}).value().unchanged);
  EXPECT_TRUE(clean_batch(e, empty, keys, {}).value().bytes.empty());
}

TEST(CleanBatch, what_was_committed_is_as_any_other) {
  BatchBuilder::Options o{.base_offset = 10, .producer_id = 3, .base_sequence = 1, .transactional = true};
  const Slice batch = build({{0, 5, "k", "v", {}}, {1, 5, "l", "v", {}}}, o, 1);
  const BatchHeader h = protocol::check_batch(batch.span()).value();
  KeyOffsets keys({.key = {1, 2}});
  ASSERT_TRUE(map_batch(h, batch.span(), 0, keys).value());
  EXPECT_EQ(keys.size(), 2u);
  ASSERT_TRUE(keys.put(span_of("k"), 90));
  keys.cover_to(100);
  const auto cleaned = clean_batch(h, batch, keys, {}).value();
  EXPECT_EQ(cleaned.kept, 1);
  EXPECT_TRUE(protocol::check_batch(cleaned.bytes.span())->transactional());
}

TEST(CleanBatch, what_was_aborted_goes_but_for_its_producers_last_header) {
  BatchBuilder::Options o{.base_offset = 10, .producer_id = 3, .base_sequence = 1, .transactional = true};
  const Slice batch = build({{0, 5, "k", "v", {}}}, o, 0);
  const BatchHeader h = protocol::check_batch(batch.span()).value();
  const KeyOffsets keys({.key = {1, 2}});  // it is behind all that was mapped
  EXPECT_TRUE(clean_batch(h, batch, keys, {.use = BatchUse::aborted}).value().bytes.empty());
  const Slice left = clean_batch(h, batch, keys, {.keep_header = true, .use = BatchUse::aborted}).value().bytes;
  const BatchHeader e = protocol::check_batch(left.span()).value();
  EXPECT_TRUE(e.transactional() && !e.control());
  EXPECT_EQ(e.record_count, 0);
  EXPECT_EQ(e.last_sequence(), 1);
}

TEST(CleanBatch, a_needless_marker_goes_after_its_delete_horizon) {
  const BatchSpec spec{.timestamp = 5, .producer_id = 3, .producer_epoch = 1, .marker = EndMarker{false, 8}};
  const Slice marker = make_batch(spec, {10, 1});
  const BatchHeader h = protocol::check_batch(marker.span()).value();
  const KeyOffsets keys({.key = {1, 2}});
  EXPECT_TRUE(clean_batch(h, marker, keys, {.now_ms = INT64_MAX, .use = BatchUse::marker}).value().unchanged);
  CleanRules rules{.now_ms = 1'000, .delete_retention_ms = 50, .use = BatchUse::needless_marker};
  const Slice dated = clean_batch(h, marker, keys, rules).value().bytes;
  const BatchHeader d = protocol::check_batch(dated.span()).value();
  EXPECT_TRUE(d.has_delete_horizon() && d.control() && d.transactional());
  EXPECT_EQ(d.base_timestamp, 1'050);
  EXPECT_EQ(read_end_marker(d, dated.span())->coordinator_epoch, 8);
  rules.now_ms = 1'049;
  EXPECT_TRUE(clean_batch(d, dated, keys, rules).value().unchanged);
  rules.now_ms = 1'050;
  EXPECT_TRUE(clean_batch(d, dated, keys, rules).value().bytes.empty());
  rules.keep_header = true;  // the last that tells this epoch
  const Slice left = clean_batch(d, dated, keys, rules).value().bytes;
  const BatchHeader e = protocol::check_batch(left.span()).value();
  EXPECT_TRUE(e.control());
  EXPECT_EQ(e.producer_epoch, 1);
  EXPECT_EQ(e.record_count, 0);
  EXPECT_FALSE(read_end_marker(e, left.span()));
  rules.keep_header = false;
  EXPECT_TRUE(clean_batch(e, left, keys, rules).value().bytes.empty());
}

TEST(CleanTransactions, know_what_was_aborted_and_which_markers_are_needless) {
  const auto data = [](CleanTransactions& t, Offset at, ProducerId id, bool transactional = true) {
    BatchHeader h;
    h.base_offset = at, h.producer_id = id, h.record_count = 1;
    if (transactional) h.attributes = BatchHeader::kTransactional;
    return t.is_aborted(h);
  };
  const auto end = [](CleanTransactions& t, Offset at, ProducerId id, bool commit) {
    const Slice b = make_batch({.producer_id = id, .producer_epoch = 0, .marker = EndMarker{commit, 0}}, {at, 0});
    return t.on_control(protocol::read_batch_header(b.data()), b.span());
  };
  const AbortedTxn second{2, 1, 5, 6}, gone{3, 7, 9, 10}, third{1, 11, 13, 14};
  CleanTransactions t({third, gone, second});  // their order does not matter
  EXPECT_FALSE(data(t, 0, 1));
  EXPECT_TRUE(data(t, 1, 2));
  EXPECT_FALSE(data(t, 2, 2, false));
  EXPECT_TRUE(end(t, 3, 4, true).needless);  // of a transaction that has nothing left
  EXPECT_FALSE(end(t, 4, 1, true).needless);
  const auto marker = end(t, 5, 2, false);
  EXPECT_FALSE(marker.needless);
  EXPECT_EQ(marker.still, second);
  EXPECT_FALSE(data(t, 6, 2));  // its next one
  EXPECT_TRUE(end(t, 9, 3, false).needless);
  EXPECT_FALSE(end(t, 10, 2, true).needless);
  EXPECT_TRUE(data(t, 12, 1));  // begins before what is left of it
  EXPECT_EQ(end(t, 13, 1, false).still, third);
  EXPECT_TRUE(end(t, 14, 1, false).needless);
}

TEST(CleanBatch, what_cannot_be_read_is_an_error) {
  const Slice good = build({{0, 5, "k", "v", {}}, {1, 5, "l", "v", {}}}, {}, 1);
  for (size_t i = kBatchHeaderSize; i < good.size(); ++i) {
    std::vector<uint8_t> bytes(good.data(), good.data() + good.size());
    bytes[i] ^= 0x55;
    const BatchHeader h = protocol::read_batch_header(bytes.data());
    const Slice batch = Slice::copy(bytes);
    KeyOffsets keys({.key = {1, 2}});
    const auto mapped = map_batch(h, batch.span(), 0, keys);
    const auto cleaned = clean_batch(h, batch, keys, {});
    EXPECT_EQ(mapped.has_value(), cleaned.has_value()) << i;
  }
  BatchHeader lies = protocol::read_batch_header(good.data());
  KeyOffsets keys({.key = {1, 2}});
  for (const int32_t count : {-1, 3, INT32_MAX}) {
    lies.record_count = count;
    EXPECT_FALSE(map_batch(lies, good.span(), 0, keys)) << count;
  }
  lies.record_count = 2;
  lies.last_offset_delta = 0;  // the second record lies behind it
  EXPECT_FALSE(map_batch(lies, good.span(), 0, keys));
}

TEST(CleanBatch, reads_all_that_produce_admits) {
  const std::string large((256 << 20) + 1, '\0');
  BatchBuilder builder({.compression = Compression::zstd});
  builder.add({.key = Bytes::of(span_of("k")), .value = Bytes::of(span_of(large))});
  const Slice batch = builder.finish();
  const BatchHeader h = protocol::check_batch(batch.span()).value();
  KeyOffsets keys({.key = {1, 2}, .bytes_max = 10'000});
  EXPECT_TRUE(map_batch(h, batch.span(), 0, keys));
  EXPECT_TRUE(clean_batch(h, batch, keys, {}));
}

}  // namespace
}  // namespace klamm::log
