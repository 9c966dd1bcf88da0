#include "engine/protocol/batch_builder.h"

#include <algorithm>
#include <bit>

#include "engine/base/crc32c.h"

namespace klamm::protocol {
namespace {

constexpr size_t kRecordOverheadMax =
    5 + 1 + 10 + 5 + 5 + 5 + 5;  // length, attributes, two deltas, sizes, header count

size_t varlong_size(int64_t v) {
  const uint64_t zigzag = (static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63);
  return (static_cast<size_t>(std::bit_width(zigzag | 1)) + 6) / 7;
}

size_t part_size(const Bytes& b) { return b.is_null() ? 1 : varlong_size(static_cast<int64_t>(b.size)) + b.size; }

void write_part(Writer& w, const Bytes& b) {
  w.varint(b.is_null() ? -1 : static_cast<int32_t>(b.size));
  w.raw(b.span());
}

size_t headers_size(std::span<const RecordHeader> headers) {
  size_t size = varlong_size(static_cast<int64_t>(headers.size()));
  for (const RecordHeader& h : headers) size += part_size(Bytes::of(as_bytes(h.key))) + part_size(h.value);
  return size;
}

}  // namespace

std::optional<int16_t> control_type(const Bytes& key) {
  Reader r(key.span());
  r.i16();
  const int16_t type = r.i16();
  return r.ok() ? std::optional<int16_t>(type) : std::nullopt;
}

BatchBuilder::BatchBuilder(const Options& options) : options_(options), records_(options.size_hint + kBatchHeaderSize) {
  records_.need(kBatchHeaderSize);
}

size_t BatchBuilder::begin_record(Place place, const Bytes& key, const Bytes& value, size_t headers) {
  KLAMM_ASSERT_REL(place.offset_delta, >=, next_delta_);
  if (count_ == 0) {
    base_timestamp_ = options_.delete_horizon.value_or(options_.base_timestamp.value_or(place.timestamp));
    max_timestamp_ = place.timestamp;
  }
  max_timestamp_ = std::max(max_timestamp_, place.timestamp);
  const int64_t delta =
      static_cast<int64_t>(static_cast<uint64_t>(place.timestamp) - static_cast<uint64_t>(base_timestamp_));
  const size_t size =
      1 + varlong_size(delta) + varlong_size(place.offset_delta) + part_size(key) + part_size(value) + headers;
  records_.varint(static_cast<int32_t>(size));
  const size_t end = records_.size() + size;
  records_.u8(0);
  records_.varlong(delta);
  records_.varint(place.offset_delta);
  write_part(records_, key);
  write_part(records_, value);
  ++count_;
  next_delta_ = place.offset_delta + 1;
  return end;
}

void BatchBuilder::end_record(size_t end) { KLAMM_ASSERT_REL(records_.size(), ==, end); }

void BatchBuilder::add_at(int32_t offset_delta, const NewRecord& record) {
  const size_t end =
      begin_record({offset_delta, record.timestamp}, record.key, record.value, headers_size(record.headers));
  records_.varint(static_cast<int32_t>(record.headers.size()));
  for (const RecordHeader& h : record.headers) {
    write_part(records_, Bytes::of(as_bytes(h.key)));
    write_part(records_, h.value);
  }
  end_record(end);
}

void BatchBuilder::add_again(const Record& record) {
  const size_t headers = varlong_size(record.header_count) + record.headers.size();
  const size_t end = begin_record({next_delta_, record.timestamp}, record.key, record.value, headers);
  records_.varint(record.header_count);
  records_.raw(record.headers);
  end_record(end);
}

void BatchBuilder::add_control(ControlType type, int64_t timestamp, ByteSpan value) {
  KLAMM_ASSERT(options_.control);
  const auto t = static_cast<uint16_t>(type);
  const uint8_t key[4] = {0, 0, static_cast<uint8_t>(t >> 8), static_cast<uint8_t>(t)};
  add({.timestamp = timestamp, .key = Bytes::of(key), .value = Bytes::of(value)});
}

void BatchBuilder::cover_to(int32_t last_offset_delta) {
  KLAMM_ASSERT_REL(last_offset_delta + 1, >=, next_delta_);
  next_delta_ = last_offset_delta + 1;
}

Slice BatchBuilder::finish() {
  KLAMM_ASSERT_REL(next_delta_, >, 0);
  Slice batch = records_.finish_contiguous();
  if (options_.compression != Compression::none) {
    Writer packed(kBatchHeaderSize + batch.size());
    packed.need(kBatchHeaderSize);
    compress(options_.compression, batch.span().subspan(kBatchHeaderSize), packed, options_.level);
    batch = packed.finish_contiguous();
  }
  BatchHeader h;
  h.base_offset = options_.base_offset;
  h.length = static_cast<int32_t>(batch.size() - kBatchLogOverhead);
  h.partition_leader_epoch = options_.leader_epoch;
  h.attributes = static_cast<int16_t>(
      static_cast<int16_t>(options_.compression) | (options_.log_append_time ? BatchHeader::kLogAppendTime : 0) |
      (options_.transactional ? BatchHeader::kTransactional : 0) | (options_.control ? BatchHeader::kControl : 0) |
      (options_.delete_horizon ? BatchHeader::kDeleteHorizon : 0));
  h.last_offset_delta = next_delta_ - 1;
  h.base_timestamp =
      count_ == 0 ? options_.delete_horizon.value_or(options_.base_timestamp.value_or(kNoTimestamp)) : base_timestamp_;
  h.max_timestamp = options_.log_append_time.value_or(count_ == 0 ? options_.empty_max_timestamp : max_timestamp_);
  h.producer_id = options_.producer_id;
  h.producer_epoch = options_.producer_epoch;
  h.base_sequence = options_.base_sequence;
  h.record_count = count_;
  uint8_t* p = const_cast<uint8_t*>(batch.data());  // our own memory, not yet handed out
  write_batch_header(p, h);
  h.crc = crc32c(batch.span().subspan(kBatchCrcFrom));
  write_batch_header(p, h);
  return batch;
}

size_t record_size_max(const BatchBuilder::NewRecord& record) {
  return kRecordOverheadMax + record.key.size + record.value.size + headers_size(record.headers);
}

}  // namespace klamm::protocol
