#include "engine/protocol/legacy_batch.h"

#include <zlib.h>

namespace klamm::protocol {
namespace {

constexpr size_t kCrcFrom = 16;
constexpr int8_t kLogAppendTimeBit = 8;

tl::unexpected<Error> damaged(const char* why) { return fail(ErrorCode::corrupt_message, why); }

struct Message {
  Offset offset = 0;
  uint32_t crc = 0;
  int8_t magic = 0;
  int8_t attributes = 0;
  int64_t timestamp = kNoTimestamp;
  Bytes key;
  Bytes value;
};

Bytes read_sized(Reader& r) {
  const int32_t n = r.i32();
  if (n < -1) r.fail("a negative size");
  if (n < 0) return {};
  const uint8_t* p = r.take(static_cast<size_t>(n));
  return p ? Bytes{p, static_cast<size_t>(n)} : Bytes::empty();
}

Result<Message> read_message(ByteSpan entry) {
  Message m;
  Reader r(entry);
  m.offset = r.i64();
  const int32_t size = r.i32();
  m.crc = r.u32();
  m.magic = r.i8();
  m.attributes = r.i8();
  if (!r.ok() || size < 0 || static_cast<size_t>(size) + kBatchLogOverhead != entry.size())
    return damaged("a message's size is wrong");
  if (m.magic != 0 && m.magic != 1) return damaged("not a message of format 0 or 1");
  const ByteSpan covered = entry.subspan(kCrcFrom);
  if (crc32(0, covered.data(), static_cast<uInt>(covered.size())) != m.crc)
    return damaged("a message's checksum is wrong");
  if (m.magic == 1) m.timestamp = r.i64();
  m.key = read_sized(r);
  m.value = read_sized(r);
  if (!r.finished()) return damaged("a message's fields do not fill it");
  return m;
}

Record to_record(const Message& m) {
  Record r;
  r.offset = m.offset;
  r.timestamp = m.timestamp;
  r.key = m.key;
  r.value = m.value;
  return r;
}

// The messages inside of a compressed one. Format 1 counts their offsets from 0 and gives the outer the last one's.
Result<void> read_inner(const Message& outer, LegacyBatch& out) {
  BatchCursor inner(out.unpacked.span());
  while (inner.next()) {
    const Result<Message> m = read_message(inner.batch());
    if (!m) return tl::unexpected<Error>(m.error());
    if (m->magic != outer.magic || (m->attributes & kCompressionMask) != 0)
      return damaged("a message of another kind inside");
    out.records.push_back(to_record(*m));
    if (out.log_append_time) out.records.back().timestamp = outer.timestamp;
  }
  if (inner.error() != nullptr) return damaged(inner.error());
  if (out.records.empty()) return damaged("a compressed message without content");
  if (outer.magic == 1) {
    const uint64_t base = static_cast<uint64_t>(outer.offset) - static_cast<uint64_t>(out.records.back().offset);
    for (Record& r : out.records) r.offset = static_cast<int64_t>(base + static_cast<uint64_t>(r.offset));
  }
  return {};
}

}  // namespace

Result<LegacyBatch> read_legacy_batch(ByteSpan entry, size_t plain_max) {
  const Result<Message> m = read_message(entry);
  if (!m) return tl::unexpected<Error>(m.error());
  LegacyBatch out;
  out.magic = m->magic;
  out.attributes = m->attributes;
  out.crc = m->crc;
  out.log_append_time = m->magic == 1 && (m->attributes & kLogAppendTimeBit) != 0;
  out.max_timestamp = m->timestamp;
  const auto codec = static_cast<Compression>(m->attributes & kCompressionMask);
  if (codec == Compression::none) {
    out.records.push_back(to_record(*m));
    return out;
  }
  if (codec > Compression::lz4) return fail(ErrorCode::unsupported_compression_type, "an unknown codec");
  Result<Slice> plain =
      decompress(codec, m->value.span(), {.output_max = plain_max, .old_lz4_header_checksum = m->magic == 0});
  if (!plain) return tl::unexpected<Error>(plain.error());
  out.unpacked = std::move(*plain);
  if (const Result<void> r = read_inner(*m, out); !r) return tl::unexpected<Error>(r.error());
  return out;
}

}  // namespace klamm::protocol
