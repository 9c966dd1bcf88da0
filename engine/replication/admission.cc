#include "engine/replication/admission.h"

#include <algorithm>

#include "engine/protocol/batch_builder.h"

namespace klamm::replication {
namespace {

using protocol::BatchHeader;
using protocol::TimestampType;

constexpr size_t kPlainMax = 256 * 1024 * 1024;  // what one batch may unpack to

tl::unexpected<Refusal> refuse(ErrorCode code, const char* reason) {
  return tl::unexpected<Refusal>(Refusal{code, reason, {}, false});
}

// Exactly one whole batch of format 2 (ProduceRequest.validateRecords).
Admitted only_batch(int16_t version, const Slice& records) {
  protocol::BatchCursor cursor(records.span());
  if (!cursor.next())
    return cursor.error() ? refuse(ErrorCode::corrupt_message, cursor.error())
                          : refuse(ErrorCode::invalid_record,
                                   "a produce request must have exactly one record batch per partition");
  const Slice batch = records.of(cursor.batch());
  if (cursor.magic() != protocol::kCurrentMagic)
    return refuse(ErrorCode::invalid_record, "a produce request may only contain record batches with magic version 2");
  if (cursor.next())
    return refuse(ErrorCode::invalid_record, "a produce request must have exactly one record batch per partition");
  const BatchHeader header = protocol::read_batch_header(batch.data());
  if (header.known_compression() && header.compression() == protocol::Compression::zstd && version < 7)
    return refuse(ErrorCode::unsupported_compression_type, "zstd needs version 7 of Produce");
  return AdmittedBatch{batch, header, -1};
}

const char* header_fault(const BatchHeader& h) {
  if (h.last_offset_delta < 0) return "the last offset delta is negative";
  if (h.record_count <= 0) return "the batch has no records";
  if (int64_t{h.last_offset_delta} + 1 != h.record_count) return "the record count does not match the offsets";
  if (h.control()) return "clients may not write control records";
  if (h.has_producer() && h.base_sequence < 0) return "a producer id needs a sequence number";
  return nullptr;
}

struct Timestamps {
  int64_t largest = protocol::kNoTimestamp;
};

// How much later a is than b, saturated: a producer may claim any time.
int64_t later_by(int64_t a, int64_t b) {
  int64_t d = 0;
  if (__builtin_sub_overflow(a, b, &d)) return a > b ? INT64_MAX : INT64_MIN;
  return d;
}

// Every record by itself: its key, its time. Says the largest timestamp.
tl::expected<Timestamps, Refusal> check_records(Ctx& ctx, const AdmissionRules& rules,
                                                const protocol::OpenBatch& open) {
  Timestamps seen;
  Refusal refusal;
  protocol::RecordCursor cursor = open.records();
  protocol::Record record;
  for (int32_t i = 0; cursor.next(record); ++i) {
    const bool create_time = rules.timestamp_type == TimestampType::create_time;
    if (rules.compacted && record.key.is_null()) {
      refusal.records.push_back({i, "Compacted topic cannot accept message without key."});
      if (refusal.code == ErrorCode::none) refusal.code = ErrorCode::invalid_record;
    } else if (create_time && record.timestamp != protocol::kNoTimestamp &&
               (later_by(ctx.wall.ms, record.timestamp) > rules.timestamp_before_max_ms ||
                later_by(record.timestamp, ctx.wall.ms) > rules.timestamp_after_max_ms)) {
      refusal.records.push_back({i, "The timestamp is out of the acceptable range."});
      if (refusal.code == ErrorCode::none) refusal.code = ErrorCode::invalid_timestamp;
    }
    seen.largest = std::max(seen.largest, record.timestamp);
  }
  if (cursor.error()) return refuse(ErrorCode::invalid_record, cursor.error());
  if (refusal.code == ErrorCode::none) return seen;
  refusal.reason = refusal.code == ErrorCode::invalid_timestamp
                       ? "One or more records have been rejected due to invalid timestamp"
                       : "One or more records have been rejected";
  return tl::unexpected<Refusal>(std::move(refusal));
}

// The same batch with other words in the header that its checksum covers.
Slice with_header(const Slice& batch, BatchHeader& header) {
  BufferRef b = BufferRef::make(static_cast<uint32_t>(batch.size()));
  b->fill = b->capacity;
  std::memcpy(b->data(), batch.data(), batch.size());
  protocol::write_batch_header(b->data(), header);
  const uint8_t* data = b->data();
  Slice out(std::move(b), data, batch.size());
  const Slice records = out.part(protocol::kBatchHeaderSize, out.size() - protocol::kBatchHeaderSize);
  header.crc = protocol::batch_crc(out.data(), {&records, 1});
  protocol::write_batch_header(const_cast<uint8_t*>(out.data()), header);
  return out;
}

Slice recompressed(const protocol::OpenBatch& open, const AdmissionRules& rules, int64_t append_time) {
  const BatchHeader& h = open.header();
  protocol::BatchBuilder::Options options;
  options.compression = rules.compression;
  options.producer_id = h.producer_id;
  options.producer_epoch = h.producer_epoch;
  options.base_sequence = h.base_sequence;
  options.transactional = h.transactional();
  options.base_timestamp = h.base_timestamp;
  if (append_time >= 0) options.log_append_time = append_time;
  protocol::BatchBuilder builder(options);
  protocol::RecordCursor cursor = open.records();
  protocol::Record record;
  std::vector<protocol::RecordHeader> headers;
  while (cursor.next(record)) {
    headers.clear();
    protocol::HeaderCursor each(record);
    for (protocol::RecordHeader header; each.next(header);) headers.push_back(header);
    builder.add({record.timestamp, record.key, record.value, headers});
  }
  return builder.finish();
}

Admitted admit_to_log(Ctx& ctx, const AdmissionRules& rules, AdmittedBatch one) {
  BatchHeader& header = one.header;
  if (header.base_offset != 0)
    return refuse(ErrorCode::invalid_record, "the base offset of a produced batch must be 0");
  if (header.size() > static_cast<size_t>(std::max(rules.max_message_bytes, 0)))
    return refuse(ErrorCode::message_too_large, "the record batch is larger than max.message.bytes");
  const auto checked = protocol::check_batch(one.batch.span());
  if (!checked) return refuse(checked.error().code, checked.error().reason);
  if (const char* fault = header_fault(header)) return refuse(ErrorCode::invalid_record, fault);
  if (!header.known_compression()) return refuse(ErrorCode::unknown_server_error, "unknown compression type");
  auto open = protocol::OpenBatch::open(header, one.batch.span(), kPlainMax);
  if (!open) return refuse(ErrorCode::unknown_server_error, open.error().reason);
  const auto times = check_records(ctx, rules, *open);
  if (!times) return tl::unexpected<Refusal>(times.error());

  const bool stamps = rules.timestamp_type == TimestampType::log_append_time;
  if (stamps) one.log_append_time = ctx.wall.ms;
  if (!rules.keeps_compression && rules.compression != header.compression()) {
    one.batch = recompressed(*open, rules, one.log_append_time);
    header = protocol::read_batch_header(one.batch.data());
    return one;
  }
  const int64_t largest = stamps ? ctx.wall.ms : times->largest;
  if (header.timestamp_type() != rules.timestamp_type || header.max_timestamp != largest) {
    header.attributes = static_cast<int16_t>(stamps ? header.attributes | BatchHeader::kLogAppendTime
                                                    : header.attributes & ~BatchHeader::kLogAppendTime);
    header.max_timestamp = largest;
    one.batch = with_header(one.batch, header);
  }
  return one;
}

}  // namespace

Admitted admit(Ctx& ctx, const AdmissionRules& rules, int16_t version, const Slice& records) {
  Admitted one = only_batch(version, records);
  if (!one) return one;
  Admitted admitted = admit_to_log(ctx, rules, *one);
  if (!admitted) {
    const ErrorCode code = admitted.error().code;
    admitted.error().tells_log_start = code != ErrorCode::message_too_large && code != ErrorCode::corrupt_message;
  }
  return admitted;
}

}  // namespace klamm::replication
