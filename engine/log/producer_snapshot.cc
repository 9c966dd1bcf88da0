#include "engine/log/producer_snapshot.h"

#include "engine/base/crc32c.h"
#include "engine/base/reader.h"
#include "engine/base/writer.h"

namespace klamm::log {
namespace {

constexpr int16_t kVersion = 1;
constexpr size_t kCrcAt = 2, kCrcFrom = 6, kHeadBytes = 10, kEntryBytes = 46;

void put_u32(uint8_t* p, uint32_t v) {
  for (int i = 0; i < 4; ++i) p[i] = static_cast<uint8_t>(v >> (24 - 8 * i));
}

void write_entry(Writer& w, ProducerId id, const ProducerEntry& e, const ProducerBatch& b, int64_t timestamp) {
  w.i64(id), w.i16(e.epoch), w.i32(b.last_sequence), w.i64(b.last_offset), w.i32(b.offset_delta);
  w.i64(timestamp), w.i32(e.coordinator_epoch), w.i64(e.transaction_first);
}

}  // namespace

Slice encode_producer_snapshot(const std::map<ProducerId, ProducerEntry>& producers) {
  size_t count = 0;
  for (const auto& [id, e] : producers) count += std::max<size_t>(e.count, 1);
  const size_t size = kHeadBytes + count * kEntryBytes;
  Writer w(size);
  w.i16(kVersion), w.u32(0), w.i32(static_cast<int32_t>(count));
  for (const auto& [id, e] : producers) {
    if (e.count == 0) write_entry(w, id, e, {}, e.last_timestamp);
    for (size_t i = 0; i < e.count; ++i) {
      const bool newest = i + 1 == e.count;
      write_entry(w, id, e, e.batches[i], newest ? e.last_timestamp : e.batches[i].timestamp);
    }
  }
  const Slice content = w.finish_contiguous();
  BufferRef b = BufferRef::make(static_cast<uint32_t>(size));
  std::copy_n(content.data(), size, b->data());
  put_u32(b->data() + kCrcAt, crc32c(ByteSpan(b->data(), size).subspan(kCrcFrom)));
  return Slice(b, b->data(), static_cast<uint32_t>(size));
}

Result<std::map<ProducerId, ProducerEntry>> parse_producer_snapshot(ByteSpan file) {
  const auto damaged = [](const char* why) { return fail(ErrorCode::kafka_storage_error, why); };
  if (file.size() < kHeadBytes) return damaged("a producer snapshot without a head");
  Reader r(file);
  if (r.i16() != kVersion) return damaged("unknown version of a producer snapshot");
  if (r.u32() != crc32c(file.subspan(kCrcFrom))) return damaged("a producer snapshot with a wrong checksum");
  const int32_t count = r.i32();
  if (count < 0 || r.remaining() / kEntryBytes < static_cast<size_t>(count))
    return damaged("a producer snapshot promises more entries than it has");
  std::map<ProducerId, ProducerEntry> producers;
  for (int32_t i = 0; i < count; ++i) {
    const ProducerId id = r.i64();
    ProducerEntry& e = producers[id];
    const ProducerEpoch epoch = r.i16();
    if (e.epoch != epoch || e.count == kProducerBatches) e = {};
    ProducerBatch b;
    b.last_sequence = r.i32();
    b.last_offset = r.i64();
    b.offset_delta = r.i32();
    b.timestamp = r.i64();
    e.epoch = epoch;
    e.last_timestamp = b.timestamp;
    e.coordinator_epoch = r.i32();
    e.transaction_first = r.i64();
    if (b.last_offset >= 0) e.batches[e.count++] = b;
  }
  return producers;
}

}  // namespace klamm::log
