#include "engine/protocol/record_batch.h"

#include <gtest/gtest.h>

#include "engine/base/base64.h"
#include "engine/base/crc32c.h"
#include "engine/protocol/batch_builder.h"
#include "engine/protocol/legacy_batch.h"
#include "tests/engine/protocol/vectors.h"

namespace klamm::protocol {
namespace {

using nlohmann::json;
constexpr size_t kPlainMax = 16 << 20;

std::string from_base64(const std::string& text) { return klamm::from_base64(text).value(); }

void expect_part(const Bytes& got, const json& want) {
  ASSERT_EQ(got.is_null(), want.is_null());
  if (want.is_null()) return;
  EXPECT_EQ(as_text(got.span()), from_base64(want.get<std::string>()));
}

void expect_record(const Record& r, const json& want) {
  EXPECT_EQ(r.offset, want["offset"].get<int64_t>());
  EXPECT_EQ(r.timestamp, want["timestamp"].get<int64_t>());
  EXPECT_EQ(r.sequence, want["sequence"].get<int32_t>());
  expect_part(r.key, want["key"]);
  expect_part(r.value, want["value"]);
  ASSERT_EQ(static_cast<size_t>(r.header_count), want["headers"].size());
  HeaderCursor headers(r);
  RecordHeader h;
  for (size_t i = 0; headers.next(h); ++i) {
    EXPECT_EQ(h.key, want["headers"][i]["key"].get<std::string>());
    expect_part(h.value, want["headers"][i]["value"]);
  }
}

void expect_header(const BatchHeader& h, const json& want) {
  EXPECT_EQ(h.base_offset, want["baseOffset"].get<int64_t>());
  EXPECT_EQ(h.last_offset(), want["lastOffset"].get<int64_t>());
  EXPECT_EQ(h.size(), want["size"].get<size_t>());
  EXPECT_EQ(h.crc, want["crc"].get<uint32_t>());
  EXPECT_STREQ(name(h.compression()), want["compression"].get<std::string>().c_str());
  EXPECT_EQ(h.timestamp_type() == TimestampType::log_append_time, want["timestampType"] == "LogAppendTime");
  EXPECT_EQ(h.max_timestamp, want["maxTimestamp"].get<int64_t>());
  EXPECT_EQ(h.partition_leader_epoch, want["partitionLeaderEpoch"].get<int32_t>());
  EXPECT_EQ(h.producer_id, want["producerId"].get<int64_t>());
  EXPECT_EQ(h.producer_epoch, want["producerEpoch"].get<int16_t>());
  EXPECT_EQ(h.base_sequence, want["baseSequence"].get<int32_t>());
  EXPECT_EQ(h.last_sequence(), want["lastSequence"].get<int32_t>());
  EXPECT_EQ(h.record_count, want["count"].get<int32_t>());
  EXPECT_EQ(h.transactional(), want["transactional"].get<bool>());
  EXPECT_EQ(h.control(), want["control"].get<bool>());
  EXPECT_EQ(h.has_delete_horizon(), !want["deleteHorizonMs"].is_null());
  if (h.has_delete_horizon()) {
    EXPECT_EQ(h.base_timestamp, want["deleteHorizonMs"].get<int64_t>());
  }
}

// Builds the batch again from what the vector says and gives its bytes.
std::string rebuild(const json& b, Compression compression) {
  BatchBuilder::Options o;
  o.base_offset = b["baseOffset"];
  o.leader_epoch = b["partitionLeaderEpoch"];
  o.compression = compression;
  o.producer_id = b["producerId"];
  o.producer_epoch = b["producerEpoch"];
  o.base_sequence = b["baseSequence"];
  o.transactional = b["transactional"];
  o.control = b["control"];
  o.base_timestamp = b["baseTimestamp"].get<int64_t>();
  if (b["timestampType"] == "LogAppendTime") o.log_append_time = b["maxTimestamp"].get<int64_t>();
  if (!b["deleteHorizonMs"].is_null()) o.delete_horizon = b["deleteHorizonMs"].get<int64_t>();
  o.empty_max_timestamp = b["maxTimestamp"];
  BatchBuilder builder(o);
  for (const json& r : b["records"]) {
    const std::string key = r["key"].is_null() ? "" : from_base64(r["key"]);
    const std::string value = r["value"].is_null() ? "" : from_base64(r["value"]);
    std::vector<std::string> memory;
    std::vector<RecordHeader> headers;
    memory.reserve(2 * r["headers"].size());
    for (const json& h : r["headers"]) {
      const Str header_key = memory.emplace_back(h["key"].get<std::string>());
      const bool null = h["value"].is_null();
      headers.push_back(
          {header_key, null ? Bytes{} : Bytes::of(as_bytes(memory.emplace_back(from_base64(h["value"]))))});
    }
    const int64_t delta = r.value("timestampDelta", int64_t{0});
    builder.add_at(static_cast<int32_t>(r["offset"].get<int64_t>() - o.base_offset),
                   {.timestamp = *o.base_timestamp + delta,
                    .key = r["key"].is_null() ? Bytes{} : Bytes::of(as_bytes(key)),
                    .value = r["value"].is_null() ? Bytes{} : Bytes::of(as_bytes(value)),
                    .headers = headers});
  }
  builder.cover_to(b["lastOffsetDelta"]);
  return test::to_hex(builder.finish().span());
}

void check_current(ByteSpan bytes, const json& want, bool reproducible) {
  const Result<BatchHeader> h = check_batch(bytes);
  ASSERT_TRUE(h) << h.error().reason;
  expect_header(*h, want);
  const Result<OpenBatch> open = OpenBatch::open(*h, bytes, kPlainMax);
  ASSERT_TRUE(open) << open.error().reason;
  RecordCursor records = open->records();
  Record r;
  size_t n = 0;
  for (; records.next(r); ++n) expect_record(r, want["records"].at(n));
  EXPECT_EQ(records.error(), nullptr);
  EXPECT_EQ(n, want["records"].size());
  if (reproducible) {
    EXPECT_EQ(rebuild(want, Compression::none), test::to_hex(bytes));
  }
}

void check_legacy(ByteSpan bytes, const json& want) {
  const Result<LegacyBatch> b = read_legacy_batch(bytes, kPlainMax);
  ASSERT_TRUE(b) << b.error().reason;
  EXPECT_EQ(b->magic, want["magic"].get<int>());
  EXPECT_EQ(b->crc, want["crc"].get<uint32_t>());
  EXPECT_EQ(b->max_timestamp, want["maxTimestamp"].get<int64_t>());
  EXPECT_EQ(b->log_append_time, want["timestampType"] == "LogAppendTime");
  ASSERT_EQ(b->records.size(), want["records"].size());
  for (size_t i = 0; i < b->records.size(); ++i) expect_record(b->records[i], want["records"][i]);
}

TEST(RecordBatch, vectors_read_and_build) {
  KLAMM_VECTORS(folder);
  const size_t n = test::each_line(folder / "batches.jsonl", [](const json& x) {
    SCOPED_TRACE(x["name"].get<std::string>());
    const std::vector<uint8_t> bytes = test::from_hex(x["hex"]);
    BatchCursor cursor(bytes);
    for (const json& want : x["batches"]) {
      ASSERT_TRUE(cursor.next());
      ASSERT_EQ(cursor.magic(), want["magic"].get<int>());
      if (cursor.magic() == kCurrentMagic)
        check_current(cursor.batch(), want, x["reproducible"]);
      else
        check_legacy(cursor.batch(), want);
    }
    EXPECT_FALSE(cursor.next());
    EXPECT_EQ(cursor.error(), nullptr);
    EXPECT_EQ(cursor.rest().size(), x["trailing"].get<size_t>());
  });
  EXPECT_GT(n, 50u);
}

// The stage at which we object, in the words of the vectors, and the records that came before.
std::pair<std::string, size_t> judge(ByteSpan bytes) {
  BatchCursor cursor(bytes);
  size_t records = 0;
  while (cursor.next()) {
    if (cursor.magic() != kCurrentMagic) {
      const Result<LegacyBatch> b = read_legacy_batch(cursor.batch(), kPlainMax);
      if (!b) return {"checksum", records};
      records += b->records.size();
      continue;
    }
    const Result<BatchHeader> h = check_batch(cursor.batch());
    if (!h) return {"checksum", records};
    const Result<OpenBatch> open = OpenBatch::open(*h, cursor.batch(), kPlainMax);
    if (!open) return {"records", records};
    RecordCursor walk = open->records();
    size_t here = 0;
    for (Record r; walk.next(r);) ++here;
    if (walk.error() == nullptr || h->compression() == Compression::none) records += here;  // Kafka unpacks all or none
    if (walk.error() != nullptr) return {"records", records};
  }
  return {cursor.error() == nullptr ? "none" : "batches", records};
}

TEST(RecordBatch, vectors_of_damage_are_judged_as_kafka_does) {
  KLAMM_VECTORS(folder);
  test::each_line(folder / "bad-batches.jsonl", [](const json& x) {
    const auto [stage, records] = judge(test::from_hex(x["hex"]));
    EXPECT_EQ(stage, x["stage"].get<std::string>()) << x["name"];
    EXPECT_EQ(records, x["recordsBefore"].get<size_t>()) << x["name"];
  });
}

TEST(RecordBatch, every_codec_comes_back) {
  const std::string big(200'000, 'x');
  for (const auto c :
       {Compression::none, Compression::gzip, Compression::snappy, Compression::lz4, Compression::zstd}) {
    SCOPED_TRACE(name(c));
    BatchBuilder builder(
        {.base_offset = 7, .compression = c, .producer_id = 5, .producer_epoch = 1, .base_sequence = 3});
    builder.add({.timestamp = 1000, .key = Bytes::of(as_bytes("k")), .value = Bytes::of(as_bytes(big))});
    builder.add({.timestamp = 900});
    const Slice batch = builder.finish();
    const Result<BatchHeader> h = check_batch(batch.span());
    ASSERT_TRUE(h);
    EXPECT_EQ(h->max_timestamp, 1000);
    EXPECT_EQ(h->compression(), c);
    const auto open = OpenBatch::open(*h, batch.span(), kPlainMax);
    ASSERT_TRUE(open);
    RecordCursor records = open->records();
    Record r;
    ASSERT_TRUE(records.next(r));
    EXPECT_EQ(as_text(r.value.span()), big);
    ASSERT_TRUE(records.next(r));
    EXPECT_EQ(r.offset, 8);
    EXPECT_EQ(r.timestamp, 900);
    EXPECT_EQ(r.sequence, 4);
    EXPECT_TRUE(r.key.is_null() && r.value.is_null());
    EXPECT_FALSE(records.next(r));
    EXPECT_EQ(records.error(), nullptr);
    if (c == Compression::none) continue;
    const auto bomb = OpenBatch::open(*h, batch.span(), 100'000);
    ASSERT_FALSE(bomb);
    EXPECT_EQ(bomb.error().code, ErrorCode::message_too_large);
  }
}

TEST(RecordBatch, place_keeps_the_checksum_and_stamp_renews_it) {
  BatchBuilder builder;
  builder.add_value(100, as_bytes("value"));
  const Slice batch = builder.finish();
  uint8_t header[kBatchHeaderSize];
  const Slice records = batch.part(kBatchHeaderSize, batch.size() - kBatchHeaderSize);
  const auto whole = [&] {
    std::vector<uint8_t> bytes(header, header + kBatchHeaderSize);
    bytes.insert(bytes.end(), records.data(), records.data() + records.size());
    return bytes;
  };
  place_batch(header, batch.data(), {.base_offset = 42, .leader_epoch = 9});
  const auto placed = check_batch(whole());
  ASSERT_TRUE(placed);
  EXPECT_EQ(placed->base_offset, 42);
  EXPECT_EQ(placed->partition_leader_epoch, 9);
  stamp_batch(header, 777, std::span(&records, 1));
  const auto stamped = check_batch(whole());
  ASSERT_TRUE(stamped);
  EXPECT_EQ(stamped->timestamp_type(), TimestampType::log_append_time);
  EXPECT_EQ(stamped->max_timestamp, 777);
}

TEST(RecordBatch, control_records_carry_their_type) {
  BatchBuilder builder({.producer_id = 1, .producer_epoch = 0, .transactional = true, .control = true});
  builder.add_control(ControlType::commit, 5, as_bytes("v"));
  const Slice batch = builder.finish();
  const auto h = check_batch(batch.span());
  ASSERT_TRUE(h && h->control() && h->transactional());
  const auto open = OpenBatch::open(*h, batch.span(), kPlainMax);
  RecordCursor records = open->records();
  Record r;
  ASSERT_TRUE(records.next(r));
  EXPECT_EQ(control_type(r.key), 1);
}

TEST(Crc32c, fast_and_portable_agree) {
  std::vector<uint8_t> bytes;
  for (int i = 0; i < 1000; ++i) bytes.push_back(static_cast<uint8_t>(i * 131 >> 3));
  for (size_t n : {0u, 1u, 7u, 64u, 999u, 1000u}) {
    const ByteSpan part = ByteSpan(bytes).first(n);
    EXPECT_EQ(crc32c(part), crc32c_portable(part));
    EXPECT_EQ(crc32c(part.subspan(n / 3), crc32c(part.first(n / 3))), crc32c(part));
  }
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xe3069283u);
}

}  // namespace
}  // namespace klamm::protocol
