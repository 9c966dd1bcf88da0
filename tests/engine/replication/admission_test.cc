// What a leader accepts, refuses and changes; texts and codes as Apache Kafka 4.3.1 was heard to give them
// (tests/conversations/validation plays the same against a whole node).
#include "engine/replication/admission.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "engine/protocol/batch_builder.h"
#include "engine/replication/rules.h"
#include "tests/support/turns.h"

namespace klamm::replication {
namespace {

using protocol::BatchBuilder;
using protocol::BatchHeader;
using protocol::Bytes;
using protocol::Compression;
using protocol::TimestampType;

constexpr int64_t kNow = 1'700'000'000'000;  // TestWorld's wall clock
constexpr Compression kCodecs[] = {Compression::none, Compression::gzip, Compression::snappy, Compression::lz4,
                                   Compression::zstd};
const std::string kNoKey = "Compacted topic cannot accept message without key in topic partition orders-3";

struct Row {
  std::optional<std::string> key;
  std::optional<std::string> value = "v";
  int64_t timestamp = kNow;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers = {};
  friend bool operator==(const Row&, const Row&) = default;
};
Bytes bytes_of(const std::optional<std::string>& s) { return s ? Bytes::of(as_bytes(*s)) : Bytes{}; }

Slice batch_of(const std::vector<Row>& rows, BatchBuilder::Options options = {}) {
  BatchBuilder b(options);
  for (const Row& row : rows) {
    std::vector<protocol::RecordHeader> headers;
    for (const auto& [key, value] : row.headers) headers.push_back({key, bytes_of(value)});
    b.add({row.timestamp, bytes_of(row.key), bytes_of(row.value), headers});
  }
  return b.finish();
}
Slice whole(const AdmittedBatch& one) {
  Writer w;
  w.raw(one.head.span()), w.raw(one.records.span());
  return w.finish_contiguous();
}
std::vector<Row> rows_of(const AdmittedBatch& one) {
  const Slice batch = whole(one);
  const auto header = protocol::check_batch(batch.span());
  EXPECT_TRUE(header.has_value());
  const auto open = protocol::OpenBatch::open(*header, batch.span(), protocol::kPlainMost);
  EXPECT_TRUE(open.has_value());
  std::vector<Row> rows;
  protocol::RecordCursor cursor = open->records();
  const auto text = [](const Bytes& b) {
    return b.is_null() ? std::nullopt : std::optional<std::string>(as_text(b.span()));
  };
  for (protocol::Record r; cursor.next(r);) {
    EXPECT_EQ(r.offset_delta, static_cast<int32_t>(rows.size()));
    Row row{text(r.key), text(r.value), r.timestamp};
    protocol::HeaderCursor headers(r);
    for (protocol::RecordHeader h; headers.next(h);) row.headers.emplace_back(h.key, text(h.value));
    rows.push_back(std::move(row));
  }
  EXPECT_EQ(cursor.error(), nullptr);
  return rows;
}
// The batch with other words in its header, and the checksum that belongs to them.
template<class Change>
Slice changed(const Slice& batch, Change change) {
  const Slice out = Slice::copy(batch.span());
  auto* p = const_cast<uint8_t*>(out.data());
  BatchHeader h = protocol::read_batch_header(p);
  change(h);
  protocol::write_batch_header(p, h);
  const Slice records = out.part(protocol::kBatchHeaderSize, out.size() - protocol::kBatchHeaderSize);
  h.crc = protocol::batch_crc(p, {&records, 1});
  protocol::write_batch_header(p, h);
  return out;
}

class Admission : public ::testing::Test {
 protected:
  Admitted admit(const Slice& records, int16_t version = 9) {
    Ctx ctx = world.ctx();
    return replication::admit(ctx, rules, {version, "orders", 3, records}, budget);
  }
  Refusal refusal(const Slice& records, int16_t version = 9) {
    Admitted one = admit(records, version);
    EXPECT_FALSE(one.has_value());
    return one ? Refusal{} : one.error();
  }
  ErrorCode code(const Slice& records) { return refusal(records).code; }
  void stamps() { rules.timestamp_type = TimestampType::log_append_time; }
  void packs(Compression c) { rules.keeps_compression = false, rules.compression = c; }

  TestWorld world;
  AdmissionRules rules;
  AdmissionBudget budget;
};

TEST_F(Admission, a_batch_that_needs_no_change_is_shared_with_the_request) {
  const Slice batch = batch_of({{.key = "k"}, {}});
  const Admitted one = admit(batch);
  ASSERT_TRUE(one.has_value());
  EXPECT_EQ(one->head.data(), batch.data());
  EXPECT_EQ(one->records.data(), batch.data() + protocol::kBatchHeaderSize);
  EXPECT_EQ(one->log_append_time, -1);
  EXPECT_EQ(budget.work, 0u);
}

TEST_F(Admission, a_topic_that_stamps_changes_only_the_header) {
  stamps();
  rules.timestamp_before_max_ms = 0;  // does not matter then
  const Slice batch = batch_of({{.timestamp = 5}, {.timestamp = 9}});
  const Admitted one = admit(batch);
  ASSERT_TRUE(one.has_value());
  EXPECT_EQ(one->records.data(), batch.data() + protocol::kBatchHeaderSize);
  EXPECT_EQ(one->log_append_time, kNow);
  EXPECT_EQ(one->header.max_timestamp, kNow);
  EXPECT_EQ(one->header.base_timestamp, 5);
  EXPECT_EQ(one->header.timestamp_type(), TimestampType::log_append_time);
  for (const Row& row : rows_of(*one)) EXPECT_EQ(row.timestamp, kNow);
}

TEST_F(Admission, the_largest_timestamp_is_that_of_the_records) {
  const Admitted one = admit(changed(batch_of({{.timestamp = 7}, {.timestamp = 3}}), [](BatchHeader& h) {
    h.max_timestamp = kNow;
    h.attributes |= 0x7f00;
  }));
  ASSERT_TRUE(one.has_value());
  EXPECT_EQ(one->header.max_timestamp, 7);
  EXPECT_EQ(one->header.attributes, 0);
  EXPECT_EQ(rows_of(*one)[1].timestamp, 3);
}

TEST_F(Admission, keys_missing_in_a_compacted_topic_are_told_one_by_one) {
  rules.compacted = true;
  const Refusal no = refusal(batch_of({{}, {.key = "k"}, {}, {}, {}}));
  EXPECT_EQ(no.code, ErrorCode::invalid_record);
  EXPECT_TRUE(no.tells_log_start);
  ASSERT_EQ(no.records.size(), 4u);
  EXPECT_EQ(no.records[1].index, 2);
  EXPECT_EQ(no.records[1].reason, kNoKey);
  EXPECT_EQ(no.reason,
            "One or more records have been rejected due to 4 record errors in total, and only showing the first three "
            "errors at most: [RecordError(batchIndex=0, message='" +
                kNoKey + "'), RecordError(batchIndex=2, message='" + kNoKey +
                "'), RecordError(batchIndex=3, message='" + kNoKey + "')]");
}

TEST_F(Admission, a_record_out_of_time_decides_the_code_whatever_else_is_wrong) {
  rules.compacted = true;
  rules.timestamp_before_max_ms = 1'000;
  const Refusal no = refusal(batch_of({{}, {.key = "k", .timestamp = kNow - 1'001}, {.key = "k"}}));
  EXPECT_EQ(no.code, ErrorCode::invalid_timestamp);
  EXPECT_EQ(no.reason, "One or more records have been rejected due to invalid timestamp");
  ASSERT_EQ(no.records.size(), 2u);
  EXPECT_EQ(no.records[0].reason, kNoKey);
  EXPECT_EQ(no.records[1].index, 1);
  EXPECT_EQ(no.records[1].reason,
            "Timestamp 1699999998999 of message with offset 1 is out of range. The timestamp should be within "
            "[1699999999000, 1700003600000]");
}

TEST_F(Admission, limits_of_time_are_inclusive_and_wrap_as_kafkas) {
  rules.timestamp_before_max_ms = 10;
  rules.timestamp_after_max_ms = 20;
  EXPECT_TRUE(admit(batch_of({{.timestamp = kNow - 10}, {.timestamp = kNow + 20}})).has_value());
  EXPECT_EQ(code(batch_of({{.timestamp = kNow - 11}})), ErrorCode::invalid_timestamp);
  EXPECT_EQ(code(batch_of({{.timestamp = kNow + 21}})), ErrorCode::invalid_timestamp);
  EXPECT_TRUE(admit(batch_of({{.timestamp = -1}})).has_value());  // tells no time
  rules.timestamp_before_max_ms = INT64_MAX;
  EXPECT_EQ(code(batch_of({{.timestamp = INT64_MAX}})), ErrorCode::invalid_timestamp);
  EXPECT_EQ(code(batch_of({{.timestamp = INT64_MIN}})), ErrorCode::invalid_timestamp);
}

TEST_F(Admission, a_producer_may_not_stamp_itself) {
  const auto flag = [](int64_t max) {
    return [max](BatchHeader& h) { h.attributes |= BatchHeader::kLogAppendTime, h.max_timestamp = max; };
  };
  const Slice plain = batch_of({{.key = std::nullopt, .timestamp = 1}, {.key = "key", .timestamp = 2}});
  const Refusal no = refusal(changed(plain, flag(-1)));
  EXPECT_EQ(no.code, ErrorCode::invalid_timestamp);
  ASSERT_EQ(no.records.size(), 2u);
  EXPECT_EQ(no.records[1].reason,
            "Invalid timestamp type in message DefaultRecord(offset=1, timestamp=-1, key=3 bytes, value=1 bytes). "
            "Producer should not set timestamp type to LogAppendTime.");
  // With a time in range the flag is cleared, and nothing else.
  const Admitted one = admit(changed(plain, flag(kNow)));
  ASSERT_TRUE(one.has_value());
  EXPECT_EQ(one->header.max_timestamp, kNow);
  EXPECT_EQ(rows_of(*one)[0].timestamp, 1);
  // Built anew, the records get the time that the batch claimed.
  packs(Compression::gzip);
  const Admitted packed = admit(changed(plain, flag(kNow)));
  ASSERT_TRUE(packed.has_value());
  EXPECT_EQ(rows_of(*packed)[0].timestamp, kNow);
  stamps();
  const Slice zipped = batch_of({{.timestamp = 1}}, {.compression = Compression::gzip});
  EXPECT_EQ(refusal(changed(zipped, flag(kNow))).records.at(0).reason,
            "Invalid timestamp type in message PartialDefaultRecord(offset=0, timestamp=1700000000000, key=-1 bytes, "
            "value=1 bytes). Producer should not set timestamp type to LogAppendTime.");
}

TEST_F(Admission, what_is_told_of_one_request_is_bounded) {
  rules.compacted = true;
  budget.record_errors = 3;
  const Slice two = batch_of({{}, {}});
  EXPECT_EQ(refusal(two).records.size(), 2u);
  EXPECT_EQ(refusal(two).records.size(), 1u);
  const Refusal last = refusal(two);
  EXPECT_EQ(last.code, ErrorCode::invalid_record);
  EXPECT_TRUE(last.records.empty());
  EXPECT_NE(last.reason.find("due to 2 record errors"), std::string::npos);
}

TEST_F(Admission, offsets_are_mended_only_where_the_batch_is_built_anew) {
  const auto gap = [](Compression c) {
    BatchBuilder b(BatchBuilder::Options{.compression = c});
    b.add_value(kNow, as_bytes("a")), b.add_at(5, {.timestamp = kNow});
    return changed(b.finish(), [](BatchHeader& h) { h.last_offset_delta = 1; });
  };
  EXPECT_TRUE(admit(gap(Compression::none)).has_value());
  EXPECT_EQ(code(gap(Compression::gzip)), ErrorCode::unknown_server_error);
  packs(Compression::gzip);
  EXPECT_EQ(code(gap(Compression::gzip)), ErrorCode::unknown_server_error);
  for (const Compression from : {Compression::none, Compression::zstd}) {
    const Admitted one = admit(gap(from));
    ASSERT_TRUE(one.has_value());
    EXPECT_EQ(rows_of(*one).size(), 2u);  // which checks the offsets
  }
}

TEST_F(Admission, a_time_below_none_is_kept_but_not_built_anew) {
  const Slice batch = batch_of({{.timestamp = -2}});
  EXPECT_TRUE(admit(batch).has_value());
  packs(Compression::gzip);
  EXPECT_EQ(code(batch), ErrorCode::unknown_server_error);
  EXPECT_TRUE(admit(batch_of({{.timestamp = -1}})).has_value());
}

TEST_F(Admission, sizes_hold_before_and_after) {
  const std::vector<Row> rows = {{.value = std::string(5'000, 'x')}};
  const Slice zipped = batch_of(rows, {.compression = Compression::gzip});
  rules.max_message_bytes = 2'000;
  EXPECT_TRUE(admit(zipped).has_value());
  EXPECT_EQ(code(batch_of(rows)), ErrorCode::message_too_large);
  packs(Compression::none);
  EXPECT_EQ(code(zipped), ErrorCode::message_too_large);
  packs(Compression::gzip);
  EXPECT_EQ(code(batch_of(rows)), ErrorCode::message_too_large);  // although it would fit
  rules.max_message_bytes = 1 << 20;
  rules.segment_bytes = 4'000;
  EXPECT_TRUE(admit(batch_of(rows)).has_value());
  packs(Compression::none);
  EXPECT_EQ(code(zipped), ErrorCode::record_list_too_large);
  EXPECT_FALSE(refusal(zipped).tells_log_start);
}

TEST_F(Admission, the_level_of_the_topic_is_used) {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += std::to_string(i * 7919 % 10'007);
  const Slice batch = batch_of({{.value = text}});
  const auto size = [&](Compression c, protocol::CompressionLevel level) {
    packs(c);
    rules.level = level;
    const Admitted one = admit(batch);
    EXPECT_TRUE(one.has_value());
    return one ? one->header.size() : 0;
  };
  EXPECT_LT(size(Compression::gzip, {.gzip = 9}), size(Compression::gzip, {.gzip = 1}));
  EXPECT_LT(size(Compression::lz4, {.lz4 = 17}), size(Compression::lz4, {.lz4 = 9}));  // 9 is the fast one
  EXPECT_LT(size(Compression::zstd, {.zstd = 19}), size(Compression::zstd, {.zstd = -50}));
}

TEST_F(Admission, a_batch_may_unpack_to_sixteen_times_the_largest_message) {
  EXPECT_EQ(plain_max(8 << 20), uint64_t{128} << 20);
  EXPECT_EQ(plain_max(0), uint64_t{64} << 20);
  EXPECT_EQ(plain_max(-1), uint64_t{64} << 20);
  EXPECT_EQ(plain_max(INT32_MAX), uint64_t{512} << 20);
}

TEST_F(Admission, a_bomb_is_refused_for_its_size_and_its_work_counts) {
  const std::string zeros((64 << 20) + 1, '\0');
  const Slice bomb = batch_of({{.value = zeros}}, {.compression = Compression::zstd});
  ASSERT_LT(bomb.size(), size_t{1} << 20);
  const Refusal no = refusal(bomb);
  EXPECT_EQ(no.code, ErrorCode::message_too_large);
  EXPECT_EQ(no.reason, "The batch unpacks to more than 67108864 bytes.");
  EXPECT_EQ(budget.work, uint64_t{64} << 20);
}

TEST_F(Admission, every_codec_stops_at_the_bound) {
  const std::string zeros(100'000, '\0');
  for (const Compression c : kCodecs) {
    Writer w;
    protocol::compress(c, as_bytes(zeros), w);
    const Slice packed = w.finish_contiguous();
    EXPECT_TRUE(protocol::decompress(c, packed.span(), {.output_max = 100'001}).has_value()) << protocol::name(c);
    const auto no = protocol::decompress(c, packed.span(), {.output_max = 99'999});
    ASSERT_FALSE(no.has_value()) << protocol::name(c);
    EXPECT_EQ(no.error().code, ErrorCode::message_too_large) << protocol::name(c);
  }
}

TEST_F(Admission, work_counts_unpacking_and_packing) {
  const Slice zipped = batch_of({{.value = std::string(1'000, 'x')}}, {.compression = Compression::gzip});
  ASSERT_TRUE(admit(zipped).has_value());
  const uint64_t plain = budget.work;
  EXPECT_GT(plain, 1'000u);
  packs(Compression::zstd);
  ASSERT_TRUE(admit(zipped).has_value());
  EXPECT_EQ(budget.work, plain + plain + kPackingCost * plain);
}

TEST_F(Admission, old_formats_and_old_versions_are_refused) {
  const Slice batch = batch_of({{}});
  const auto with_magic = [&](uint8_t magic) {
    const Slice out = Slice::copy(batch.span());
    const_cast<uint8_t*>(out.data())[16] = magic;
    return out;
  };
  EXPECT_EQ(code(with_magic(1)), ErrorCode::invalid_record);
  EXPECT_FALSE(refusal(with_magic(0)).tells_log_start);
  EXPECT_EQ(code(with_magic(3)), ErrorCode::corrupt_message);
  const Slice zstd = batch_of({{}}, {.compression = Compression::zstd});
  EXPECT_EQ(refusal(zstd, 6).code, ErrorCode::unsupported_compression_type);
  EXPECT_TRUE(admit(zstd, 7).has_value());
  EXPECT_EQ(code(changed(batch, [](BatchHeader& h) { h.attributes = 5; })), ErrorCode::unknown_server_error);
  EXPECT_EQ(code(changed(batch, [](BatchHeader& h) { h.attributes = BatchHeader::kControl; })),
            ErrorCode::invalid_record);
}

// Its length says that it ends within its header: nothing behind it may be looked at.
TEST_F(Admission, a_batch_shorter_than_its_header_is_corrupt) {
  Writer w;
  w.i64(0), w.i32(14), w.i32(-1), w.i8(2), w.i32(0), w.i16(0), w.i16(0), w.i8(0);
  const Slice stub = w.finish_contiguous();
  ASSERT_EQ(stub.size(), 26u);
  EXPECT_EQ(code(stub), ErrorCode::corrupt_message);
}

std::vector<Row> any_rows() {
  const auto text = rc::gen::container<std::string>(rc::gen::inRange<char>('a', 'e'));
  const auto maybe = rc::gen::maybe(text);
  std::vector<Row> rows(*rc::gen::inRange<size_t>(1, 20));
  for (Row& row : rows) {
    const auto key = *maybe, value = *maybe;
    row.key = key ? std::optional<std::string>(*key) : std::nullopt;
    row.value = value ? std::optional<std::string>(*value) : std::nullopt;
    row.timestamp = *rc::gen::inRange<int64_t>(-1, kNow + 3'600'000);
    for (size_t n = *rc::gen::inRange<size_t>(0, 3); n > 0; --n) {
      const auto name = *text;
      const auto held = *maybe;
      row.headers.emplace_back(name, held ? std::optional<std::string>(*held) : std::nullopt);
    }
  }
  return rows;
}

RC_GTEST_PROP(AdmissionProperty, a_batch_built_anew_holds_the_same_records, ()) {
  const std::vector<Row> rows = any_rows();
  const bool stamps = *rc::gen::arbitrary<bool>();
  for (const Compression from : kCodecs)
    for (const Compression to : kCodecs) {
      TestWorld world;
      Ctx ctx = world.ctx();
      AdmissionRules rules;
      rules.keeps_compression = false, rules.compression = to;
      if (stamps) rules.timestamp_type = TimestampType::log_append_time;
      AdmissionBudget budget;
      const Slice batch =
          batch_of(rows, {.compression = from, .producer_id = 77, .producer_epoch = 3, .base_sequence = 12});
      const Admitted one = admit(ctx, rules, {9, "t", 0, batch}, budget);
      RC_ASSERT(one.has_value());
      RC_ASSERT(one->header.compression() == to);
      RC_ASSERT(one->header.producer_id == 77);
      RC_ASSERT(one->header.producer_epoch == 3);
      RC_ASSERT(one->header.base_sequence == 12);
      RC_ASSERT(one->header.record_count == static_cast<int32_t>(rows.size()));
      std::vector<Row> want = rows;
      int64_t largest = -1;
      for (Row& row : want) {
        if (stamps) row.timestamp = kNow;
        largest = std::max(largest, row.timestamp);
      }
      RC_ASSERT(one->header.max_timestamp == largest);
      RC_ASSERT((rows_of(*one) == want));
    }
}

// Whatever bytes come under a good checksum: an answer, a log that can be read, and no more work than the bound says.
RC_GTEST_PROP(AdmissionProperty, damaged_records_are_refused_or_readable, ()) {
  TestWorld world;
  Ctx ctx = world.ctx();
  const Compression from = kCodecs[*rc::gen::inRange<size_t>(0, 5)];
  const Slice batch = Slice::copy(batch_of(any_rows(), {.compression = from}).span());
  const size_t size = batch.size() - protocol::kBatchHeaderSize;
  const size_t at = protocol::kBatchHeaderSize + *rc::gen::inRange<size_t>(0, size);
  const_cast<uint8_t*>(batch.data())[at] ^= static_cast<uint8_t>(*rc::gen::inRange<int>(1, 256));
  AdmissionRules rules;
  rules.keeps_compression = *rc::gen::arbitrary<bool>();
  rules.compression = kCodecs[*rc::gen::inRange<size_t>(0, 5)];
  AdmissionBudget budget;
  const Slice sent = changed(batch, [](BatchHeader&) {});
  const Admitted one = admit(ctx, rules, {9, "t", 0, sent}, budget);
  if (one) {
    const Slice stored = whole(*one);  // outlives what is opened on it
    auto open = protocol::OpenBatch::open(one->header, stored.span(), protocol::kPlainMost);
    RC_ASSERT(open.has_value());
    protocol::RecordCursor cursor = open->records();
    for (protocol::Record r; cursor.next(r);) continue;
    RC_ASSERT(cursor.error() == nullptr);
  }
  RC_ASSERT(budget.work <= (1 + kPackingCost) * plain_max(rules.max_message_bytes));
}

}  // namespace
}  // namespace klamm::replication
