// What a leader accepts of a producer: the checks that Kafka's LogValidator makes of one record batch, and the changes
// it makes to it (time of append, the largest timestamp, another compression).
#pragma once
#include <string>
#include <vector>

#include "engine/base/ctx.h"
#include "engine/base/error_code.h"
#include "engine/protocol/record_batch.h"

namespace klamm::replication {

// The topic's settings that a batch must obey.
struct AdmissionRules {
  int32_t max_message_bytes = 1'048'588;
  bool compacted = false;  // every record needs a key
  protocol::TimestampType timestamp_type = protocol::TimestampType::create_time;
  int64_t timestamp_before_max_ms = INT64_MAX;  // message.timestamp.before.max.ms
  int64_t timestamp_after_max_ms = 3'600'000;   // message.timestamp.after.max.ms
  bool keeps_compression = true;                // compression.type=producer; else `compression`
  protocol::Compression compression = protocol::Compression::none;
  template<class V>
  void fields(V& v) const {
    v("max_message_bytes", max_message_bytes), v("compacted", compacted), v("timestamp_type", timestamp_type);
    v("timestamp_before_max_ms", timestamp_before_max_ms), v("timestamp_after_max_ms", timestamp_after_max_ms);
    v("keeps_compression", keeps_compression), v("compression", compression);
  }
};

struct RecordError {
  int32_t index = 0;  // of the record in its batch
  const char* reason = nullptr;
};
struct Refusal {
  ErrorCode code = ErrorCode::none;
  const char* reason = nullptr;
  std::vector<RecordError> records;
  bool tells_log_start = false;  // Kafka's log refused it, not the request's check before
};
// A batch that may be appended. `batch` shares the request's bytes unless something had to change.
struct AdmittedBatch {
  Slice batch;
  protocol::BatchHeader header;
  int64_t log_append_time = -1;  // what the producer is told; -1 unless the topic stamps
};
using Admitted = tl::expected<AdmittedBatch, Refusal>;

// `records`: the records field of one partition of a Produce request of `version`.
Admitted admit(Ctx& ctx, const AdmissionRules& rules, int16_t version, const Slice& records);

}  // namespace klamm::replication
