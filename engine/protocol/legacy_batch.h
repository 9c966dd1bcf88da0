// Message formats 0 and 1, as old segments hold them: for reading only. An entry is a message, or a compressed message
// whose value is a set of messages; a walk over a record set is BatchCursor's.
#pragma once
#include <vector>

#include "engine/protocol/record_batch.h"

namespace klamm::protocol {

struct LegacyBatch {
  int8_t magic = 0;
  int8_t attributes = 0;
  uint32_t crc = 0;
  bool log_append_time = false;  // format 1 only; format 0 has no timestamps
  int64_t max_timestamp = kNoTimestamp;
  std::vector<Record> records;
  Slice unpacked;  // what the records of a compressed entry point into
};

// Reads one entry whole: checksum (a plain CRC-32), then its messages, with offsets and timestamps as a consumer sees
// them.
Result<LegacyBatch> read_legacy_batch(ByteSpan entry, size_t plain_max);

}  // namespace klamm::protocol
