// What a leader accepts of a producer: the checks that Kafka's LogValidator makes of one record batch, and the changes
// it makes to it (time of append, the largest timestamp, another compression).
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/ctx.h"
#include "engine/base/error_code.h"
#include "engine/protocol/record_batch.h"

namespace klamm::replication {

// The topic's settings that a batch must obey.
struct AdmissionRules {
  int32_t max_message_bytes = 1'048'588;  // of the batch as it came, and as it was built anew
  int32_t segment_bytes = 1 << 30;        // no segment can hold a larger batch
  bool compacted = false;                 // every record needs a key
  protocol::TimestampType timestamp_type = protocol::TimestampType::create_time;
  int64_t timestamp_before_max_ms = INT64_MAX;  // message.timestamp.before.max.ms
  int64_t timestamp_after_max_ms = 3'600'000;   // message.timestamp.after.max.ms
  bool keeps_compression = true;                // compression.type=producer; else `compression`
  protocol::Compression compression = protocol::Compression::none;
  protocol::CompressionLevel level;
  template<class V>
  void fields(V& v) const {
    v("max_message_bytes", max_message_bytes), v("segment_bytes", segment_bytes), v("compacted", compacted);
    v("timestamp_type", timestamp_type), v("timestamp_before_max_ms", timestamp_before_max_ms),
        v("timestamp_after_max_ms", timestamp_after_max_ms);
    v("keeps_compression", keeps_compression), v("compression", compression), v("gzip_level", level.gzip);
    v("lz4_level", level.lz4), v("zstd_level", level.zstd);
  }
};

inline constexpr size_t kRecordErrorsMost = 10'000;  // that one request is told of; Kafka tells of all

// What one request spends: shared by its batches.
struct AdmissionBudget {
  size_t record_errors = kRecordErrorsMost;  // that it may still be told of
  uint64_t work = 0;                         // bytes unpacked, and packed again at kPackingCost times their number
};
inline constexpr uint64_t kPackingCost = 8;

struct RecordError {
  int32_t index = 0;  // of the record in its batch
  std::string reason;
  template<class V>
  void fields(V& v) const {
    v("index", index), v("reason", reason);
  }
};
struct Refusal {
  ErrorCode code = ErrorCode::none;
  std::string reason;  // empty: Kafka says nothing either
  std::vector<RecordError> records;
  bool tells_log_start = false;  // Kafka's log refused it, not the request's check before
};
// A batch that may be appended: its 61 bytes of header, and its records, which share the request's bytes unless they
// had to be built anew.
struct AdmittedBatch {
  Slice head;
  Slice records;
  protocol::BatchHeader header;
  int64_t log_append_time = -1;  // what the producer is told; -1 unless the topic stamps
};
using Admitted = tl::expected<AdmittedBatch, Refusal>;

struct Produced {
  int16_t version = 0;     // of the Produce request
  std::string_view topic;  // for what the producer is told
  int32_t partition = 0;
  const Slice& records;  // the request's field
};
Admitted admit(Ctx& ctx, const AdmissionRules& rules, const Produced& produced, AdmissionBudget& budget);

}  // namespace klamm::replication
