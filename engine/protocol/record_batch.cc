#include "engine/protocol/record_batch.h"

#include <limits>

#include "engine/base/crc32c.h"

namespace klamm::protocol {
namespace {

template<class T>
T load(const uint8_t* p) {
  std::make_unsigned_t<T> v = 0;
  for (size_t i = 0; i < sizeof(T); ++i) v = static_cast<std::make_unsigned_t<T>>((uint64_t{v} << 8) | p[i]);
  return static_cast<T>(v);
}

template<class T>
void store(uint8_t* p, T value) {
  auto v = static_cast<std::make_unsigned_t<T>>(value);
  for (size_t i = sizeof(T); i-- > 0; v = static_cast<decltype(v)>(uint64_t{v} >> 8)) p[i] = static_cast<uint8_t>(v);
}

// A length and that many bytes; a negative length is null.
Bytes read_part(Reader& r) {
  const int32_t n = r.varint();
  if (n < 0) return {};
  const uint8_t* p = r.take(static_cast<size_t>(n));
  return p ? Bytes{p, static_cast<size_t>(n)} : Bytes::empty();
}

bool read_header(Reader& r, RecordHeader& out) {
  const Bytes key = read_part(r);
  out.value = read_part(r);
  if (key.is_null()) {
    r.fail("a record header without a key");
    return false;
  }
  out.key = as_text(key.span());
  return r.ok();
}

}  // namespace

BatchHeader read_batch_header(const uint8_t* p) {
  BatchHeader h;
  h.base_offset = load<int64_t>(p);
  h.length = load<int32_t>(p + 8);
  h.partition_leader_epoch = load<int32_t>(p + 12);
  h.magic = static_cast<int8_t>(p[16]);
  h.crc = load<uint32_t>(p + 17);
  h.attributes = load<int16_t>(p + 21);
  h.last_offset_delta = load<int32_t>(p + 23);
  h.base_timestamp = load<int64_t>(p + 27);
  h.max_timestamp = load<int64_t>(p + 35);
  h.producer_id = load<int64_t>(p + 43);
  h.producer_epoch = load<int16_t>(p + 51);
  h.base_sequence = load<int32_t>(p + 53);
  h.record_count = load<int32_t>(p + 57);
  return h;
}

void write_batch_header(uint8_t* p, const BatchHeader& h) {
  store(p, h.base_offset);
  store(p + 8, h.length);
  store(p + 12, h.partition_leader_epoch);
  p[16] = static_cast<uint8_t>(h.magic);
  store(p + 17, h.crc);
  store(p + 21, h.attributes);
  store(p + 23, h.last_offset_delta);
  store(p + 27, h.base_timestamp);
  store(p + 35, h.max_timestamp);
  store(p + 43, h.producer_id);
  store(p + 51, h.producer_epoch);
  store(p + 53, h.base_sequence);
  store(p + 57, h.record_count);
}

uint32_t batch_crc(const uint8_t* header, std::span<const Slice> records) {
  uint32_t crc = crc32c({header + kBatchCrcFrom, kBatchHeaderSize - kBatchCrcFrom});
  for (const Slice& s : records) crc = crc32c(s.span(), crc);
  return crc;
}

void place_batch(uint8_t* to, const uint8_t* from, BatchPlace place) {
  if (to != from) std::memcpy(to, from, kBatchHeaderSize);
  store(to, place.base_offset);
  store(to + 12, place.leader_epoch);
}

void stamp_batch(uint8_t* p, int64_t now, std::span<const Slice> records) {
  store(p + 21, static_cast<int16_t>(load<int16_t>(p + 21) | BatchHeader::kLogAppendTime));
  store(p + 35, now);
  store(p + 17, batch_crc(p, records));
}

Result<BatchHeader> check_batch(ByteSpan batch) {
  if (batch.size() < kBatchHeaderSize) return fail(ErrorCode::corrupt_message, "a batch shorter than its header");
  const BatchHeader h = read_batch_header(batch.data());
  if (h.magic != kCurrentMagic) return fail(ErrorCode::corrupt_message, "not a batch of format 2");
  if (h.length < 0 || h.size() != batch.size()) return fail(ErrorCode::corrupt_message, "a batch's length is wrong");
  if (crc32c(batch.subspan(kBatchCrcFrom)) != h.crc)
    return fail(ErrorCode::corrupt_message, "a batch's checksum is wrong");
  return h;
}

bool BatchCursor::next() {
  constexpr int32_t kLengthMax = std::numeric_limits<int32_t>::max() - static_cast<int32_t>(kBatchLogOverhead);
  if (error_ != nullptr || rest_.size() < kBatchLogOverhead) return false;
  const int32_t length = load<int32_t>(rest_.data() + 8);
  if (length < static_cast<int32_t>(kLegacyBatchMin) || length > kLengthMax) {
    error_ = "a batch's length is impossible";
    return false;
  }
  if (rest_.size() > 16 && rest_[16] > static_cast<uint8_t>(kCurrentMagic)) {
    error_ = "a batch of an unknown format";
    return false;
  }
  const size_t size = static_cast<size_t>(length) + kBatchLogOverhead;
  if (size > rest_.size()) return false;
  batch_ = rest_.first(size);
  rest_ = rest_.subspan(size);
  return true;
}

std::string framing_fault(ByteSpan rest) {
  const int32_t length = load<int32_t>(rest.data() + 8);
  if (length < static_cast<int32_t>(kLegacyBatchMin))
    return "Record size " + std::to_string(length) + " is less than the minimum record overhead (" +
           std::to_string(kLegacyBatchMin) + ")";
  if (rest.size() > 16 && rest[16] > static_cast<uint8_t>(kCurrentMagic))
    return "Invalid magic found in record: " + std::to_string(static_cast<int8_t>(rest[16]));
  return "Record size " + std::to_string(length) + " exceeds what a batch can hold";
}

bool HeaderCursor::next(RecordHeader& out) {
  if (left_ <= 0) return false;
  --left_;
  return read_header(reader_, out);
}

bool RecordCursor::next(Record& out) {
  if (left_ <= 0 || !reader_.ok()) return false;
  const int32_t size = reader_.varint();
  if (size < 0 || static_cast<size_t>(size) > reader_.remaining()) {
    reader_.fail("a record's length is wrong");
    return false;
  }
  const size_t end = reader_.position() + static_cast<size_t>(size);
  reader_.u8();  // attributes: none is in use
  out.timestamp_delta = reader_.varlong();
  out.offset_delta = reader_.varint();
  out.key = read_part(reader_);
  out.value = read_part(reader_);
  out.header_count = reader_.varint();
  if (out.header_count < 0 || static_cast<size_t>(out.header_count) > reader_.remaining()) {
    reader_.fail("a record's count of headers is wrong");
    return false;
  }
  const uint8_t* headers = reader_.at();
  RecordHeader header;
  for (int32_t i = 0; i < out.header_count; ++i) {
    if (!read_header(reader_, header)) return false;
  }
  out.headers = {headers, static_cast<size_t>(reader_.at() - headers)};
  if (reader_.ok() && reader_.position() != end) reader_.fail("a record's length is wrong");
  if (--left_ == 0 && reader_.remaining() != 0) reader_.fail("bytes after the last record");
  if (!reader_.ok()) return false;
  // Sums wrap as Java's do: the values are the client's.
  out.offset = static_cast<int64_t>(static_cast<uint64_t>(header_.base_offset) +
                                    static_cast<uint64_t>(int64_t{out.offset_delta}));
  out.timestamp = header_.timestamp_type() == TimestampType::log_append_time
                      ? header_.max_timestamp
                      : static_cast<int64_t>(static_cast<uint64_t>(header_.base_timestamp) +
                                             static_cast<uint64_t>(out.timestamp_delta));
  out.sequence = header_.base_sequence < 0 ? kNoSequence : add_sequence(header_.base_sequence, out.offset_delta);
  return true;
}

Result<OpenBatch> OpenBatch::open(const BatchHeader& header, ByteSpan batch, size_t plain_max) {
  OpenBatch open;
  open.header_ = header;
  open.plain_ = batch.subspan(kBatchHeaderSize);
  if (!header.known_compression()) return fail(ErrorCode::unsupported_compression_type, "an unknown codec");
  if (header.compression() != Compression::none) {
    Result<Slice> plain = decompress(header.compression(), open.plain_, {.output_max = plain_max});
    if (!plain) return tl::unexpected<Error>(plain.error());
    open.unpacked_ = std::move(*plain);
    open.plain_ = open.unpacked_.span();
  }
  return open;
}

}  // namespace klamm::protocol
