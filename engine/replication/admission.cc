#include "engine/replication/admission.h"

#include <algorithm>

#include "engine/protocol/batch_builder.h"
#include "engine/replication/rules.h"

namespace klamm::replication {
namespace {

using protocol::BatchHeader;
using protocol::Bytes;
using protocol::Compression;
using protocol::kBatchHeaderSize;
using protocol::OpenBatch;
using protocol::TimestampType;

constexpr int kUsedAttributes = 127;  // nobody uses the other bits of a batch's

tl::unexpected<Refusal> refuse(ErrorCode code, std::string reason = {}) {
  return tl::unexpected<Refusal>(Refusal{code, std::move(reason), {}, false});
}

// Exactly one whole batch of format 2 (ProduceRequest.validateRecords).
tl::expected<Slice, Refusal> only_batch(const Produced& produced) {
  protocol::BatchCursor cursor(produced.records.span());
  if (!cursor.next()) return refuse(cursor.error() ? ErrorCode::corrupt_message : ErrorCode::invalid_record);
  const Slice batch = produced.records.of(cursor.batch());
  if (cursor.magic() != protocol::kCurrentMagic) return refuse(ErrorCode::invalid_record);
  if (produced.version < 7 && batch.size() >= kBatchHeaderSize) {  // the codec is looked at because it may be zstd
    const BatchHeader header = protocol::read_batch_header(batch.data());
    if (!header.known_compression()) return refuse(ErrorCode::unknown_server_error);
    if (header.compression() == Compression::zstd) return refuse(ErrorCode::unsupported_compression_type);
  }
  if (cursor.next()) return refuse(ErrorCode::invalid_record);
  if (cursor.error() || batch.size() < kBatchHeaderSize) return refuse(ErrorCode::corrupt_message);
  return batch;
}

bool header_in_order(const BatchHeader& h) {
  return h.last_offset_delta >= 0 && h.record_count > 0 && int64_t{h.last_offset_delta} + 1 == h.record_count &&
         !h.control() && (!h.has_producer() || h.base_sequence >= 0);
}

// The records of a batch that are refused by themselves. All are counted, as many told as the budget allows.
class RecordFaults final {
 public:
  RecordFaults(const Produced& produced, AdmissionBudget& budget) : produced_(produced), budget_(budget) {}
  bool none() const { return count_ == 0; }

  void no_key(int32_t index) {
    if (tells()) add(index, "Compacted topic cannot accept message without key in topic partition " + place());
  }
  void out_of_time(int32_t index, const protocol::Record& r, const TimeLimits& limits) {
    bad_times_ = true;
    if (!tells()) return;
    const auto from = static_cast<uint64_t>(limits.now) - static_cast<uint64_t>(limits.before_max);
    const auto to = static_cast<uint64_t>(limits.now) + static_cast<uint64_t>(limits.after_max);
    add(index, "Timestamp " + std::to_string(r.timestamp) + " of message with offset " + std::to_string(r.offset) +
                   " is out of range. The timestamp should be within [" + std::to_string(static_cast<int64_t>(from)) +
                   ", " + std::to_string(static_cast<int64_t>(to)) + "]");
  }
  // `streamed`: Kafka reads such a batch without its keys and values, and prints its records differently.
  void stamped(int32_t index, const protocol::Record& r, bool streamed) {
    bad_times_ = true;
    if (!tells()) return;
    const auto size = [&](const Bytes& b) {
      return b.is_null() && streamed ? std::string("-1") : std::to_string(b.size);
    };
    add(index, std::string("Invalid timestamp type in message ") + (streamed ? "Partial" : "") +
                   "DefaultRecord(offset=" + std::to_string(r.offset) + ", timestamp=" + std::to_string(r.timestamp) +
                   ", key=" + size(r.key) + " bytes, value=" + size(r.value) +
                   " bytes). Producer should not set timestamp type to LogAppendTime.");
  }

  // A time out of range decides the code, whatever else is wrong.
  Refusal refusal() && {
    if (bad_times_)
      return {ErrorCode::invalid_timestamp, "One or more records have been rejected due to invalid timestamp",
              std::move(told_)};
    std::string reason = "One or more records have been rejected due to " + std::to_string(count_) +
                         " record errors in total, and only showing the first three errors at most: [";
    for (size_t i = 0; i < std::min<size_t>(told_.size(), 3); ++i)
      reason += (i == 0 ? "RecordError(batchIndex=" : ", RecordError(batchIndex=") + std::to_string(told_[i].index) +
                ", message='" + told_[i].reason + "')";
    return {ErrorCode::invalid_record, reason + "]", std::move(told_)};
  }

 private:
  std::string place() const { return std::string(produced_.topic) + "-" + std::to_string(produced_.partition); }
  bool tells() {
    ++count_;
    if (budget_.record_errors == 0) return false;
    --budget_.record_errors;
    return true;
  }
  void add(int32_t index, std::string reason) { told_.push_back({index, std::move(reason)}); }

  const Produced& produced_;
  AdmissionBudget& budget_;
  int64_t count_ = 0;
  bool bad_times_ = false;
  std::vector<RecordError> told_;
};

// What a walk over all records of a batch finds.
struct Walked {
  int64_t largest_timestamp = protocol::kNoTimestamp;
  bool offsets_in_order = true;    // each record counts its offset by its place
  bool times_can_be_built = true;  // Kafka builds no batch with a time below -1
};

tl::expected<Walked, Refusal> walk(const AdmissionRules& rules, const TimeLimits& limits, const OpenBatch& open,
                                   bool streamed, RecordFaults&& faults) {
  Walked seen;
  const bool create_time = rules.timestamp_type == TimestampType::create_time;
  const bool claims_stamp = open.header().timestamp_type() == TimestampType::log_append_time;
  protocol::RecordCursor cursor = open.records();
  protocol::Record record;
  for (int32_t i = 0; cursor.next(record); ++i) {
    if (rules.compacted && record.key.is_null()) {
      faults.no_key(i);
    } else if (create_time && record.timestamp != protocol::kNoTimestamp) {
      if (!time_admitted(record.timestamp, limits)) faults.out_of_time(i, record, limits);
    } else if (claims_stamp) {
      faults.stamped(i, record, streamed);
    }
    seen.largest_timestamp = std::max(seen.largest_timestamp, record.timestamp);
    seen.offsets_in_order &= record.offset_delta == i;
    seen.times_can_be_built &= record.timestamp >= protocol::kNoTimestamp;
  }
  if (cursor.error()) return refuse(ErrorCode::invalid_record);
  if (!faults.none()) return tl::unexpected<Refusal>(std::move(faults).refusal());
  return seen;
}

// A header with other words that its checksum covers.
Slice fresh_head(BatchHeader& header, const Slice& records) {
  BufferRef b = BufferRef::make(kBatchHeaderSize);
  b->fill = b->capacity;
  uint8_t* data = b->data();
  protocol::write_batch_header(data, header);
  header.crc = protocol::batch_crc(data, {&records, 1});
  protocol::write_batch_header(data, header);
  return Slice(std::move(b), data, kBatchHeaderSize);
}

// The same records in a batch of the topic's compression; offsets are counted anew.
Slice rebuilt(const OpenBatch& open, const AdmissionRules& rules, Compression compression, int64_t append_time) {
  const BatchHeader& h = open.header();
  protocol::BatchBuilder::Options options;
  options.compression = compression;
  options.level = rules.level;
  options.producer_id = h.producer_id;
  options.producer_epoch = h.producer_epoch;
  options.base_sequence = h.base_sequence;
  options.transactional = h.transactional();
  options.size_hint = open.plain().size() + 64;
  if (append_time >= 0) options.log_append_time = append_time;
  protocol::BatchBuilder builder(options);
  protocol::RecordCursor cursor = open.records();
  for (protocol::Record record; cursor.next(record);) builder.add_again(record);
  return builder.finish();
}

AdmittedBatch parted(const Slice& batch) {
  return {batch.part(0, kBatchHeaderSize), batch.part(kBatchHeaderSize, batch.size() - kBatchHeaderSize),
          protocol::read_batch_header(batch.data())};
}

tl::expected<OpenBatch, Refusal> unpack(const BatchHeader& header, const Slice& batch, const AdmissionRules& rules,
                                        AdmissionBudget& budget) {
  if (!header.known_compression()) return refuse(ErrorCode::unknown_server_error);
  const uint64_t most = plain_max(rules.max_message_bytes);
  auto open = OpenBatch::open(header, batch.span(), most);
  const bool compressed = header.compression() != Compression::none;
  if (compressed) budget.work += open ? open->plain().size() : most;
  if (open) return std::move(*open);
  return open.error().code == ErrorCode::message_too_large
             ? refuse(ErrorCode::message_too_large,
                      "The batch unpacks to more than " + std::to_string(most) + " bytes.")
             : refuse(ErrorCode::unknown_server_error);
}

// The batch as the topic wants it.
Admitted transform(const AdmissionRules& rules, const OpenBatch& open, const Slice& batch, const Walked& seen,
                   int64_t append_time, AdmissionBudget& budget) {
  const BatchHeader& h = open.header();
  const bool stamps = rules.timestamp_type == TimestampType::log_append_time;
  const Compression target = rules.keeps_compression ? h.compression() : rules.compression;
  if (target != h.compression()) {
    if (!seen.times_can_be_built) return refuse(ErrorCode::unknown_server_error);
    budget.work += kPackingCost * open.plain().size();
    return parted(rebuilt(open, rules, target, stamps ? append_time : -1));
  }
  // Kafka would mend these in a compressed batch, and fails: it has read them without keys and values.
  if (target != Compression::none && !seen.offsets_in_order) return refuse(ErrorCode::unknown_server_error);
  AdmittedBatch one = parted(batch);
  const int64_t largest = stamps ? append_time : seen.largest_timestamp;
  if (h.timestamp_type() == rules.timestamp_type && h.max_timestamp == largest) return one;
  const int used = h.attributes & kUsedAttributes;
  one.header.attributes =
      static_cast<int16_t>(stamps ? used | BatchHeader::kLogAppendTime : used & ~BatchHeader::kLogAppendTime);
  one.header.max_timestamp = largest;
  one.head = fresh_head(one.header, one.records);
  return one;
}

Admitted admit_to_log(Ctx& ctx, const AdmissionRules& rules, const Produced& produced, const Slice& batch,
                      AdmissionBudget& budget) {
  const auto most = static_cast<size_t>(std::max(rules.max_message_bytes, 0));
  BatchHeader header = protocol::read_batch_header(batch.data());
  if (header.base_offset != 0) return refuse(ErrorCode::invalid_record);
  if (batch.size() > most) return refuse(ErrorCode::message_too_large);
  const auto checked = protocol::check_batch(batch.span());
  if (!checked) return refuse(checked.error().code);
  if (!header_in_order(header)) return refuse(ErrorCode::invalid_record);
  const auto open = unpack(header, batch, rules, budget);
  if (!open) return tl::unexpected<Refusal>(open.error());
  const bool streamed = header.compression() != Compression::none &&
                        (rules.keeps_compression || rules.compression == header.compression());
  const TimeLimits limits{ctx.wall.ms, rules.timestamp_before_max_ms, rules.timestamp_after_max_ms};
  const auto seen = walk(rules, limits, *open, streamed, RecordFaults(produced, budget));
  if (!seen) return tl::unexpected<Refusal>(seen.error());
  Admitted one = transform(rules, *open, batch, *seen, ctx.wall.ms, budget);
  if (!one) return one;
  if (one->header.size() > most) return refuse(ErrorCode::message_too_large);
  if (one->header.size() > static_cast<size_t>(std::max(rules.segment_bytes, 0)))
    return refuse(ErrorCode::record_list_too_large);
  if (rules.timestamp_type == TimestampType::log_append_time) one->log_append_time = ctx.wall.ms;
  return one;
}

// These, too, Kafka's log refuses, but tells nothing of itself.
bool tells_log_start(ErrorCode code) {
  return code != ErrorCode::message_too_large && code != ErrorCode::corrupt_message &&
         code != ErrorCode::record_list_too_large;
}

}  // namespace

Admitted admit(Ctx& ctx, const AdmissionRules& rules, const Produced& produced, AdmissionBudget& budget) {
  const auto batch = only_batch(produced);
  if (!batch) return tl::unexpected<Refusal>(batch.error());
  Admitted admitted = admit_to_log(ctx, rules, produced, *batch, budget);
  if (!admitted) admitted.error().tells_log_start = tells_log_start(admitted.error().code);
  return admitted;
}

}  // namespace klamm::replication
