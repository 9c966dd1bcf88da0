// The content of a .snapshot file: what a log remembers of its producers at the offset that names the file.
//
//   0 version i16 (1) · 2 CRC-32C u32 of all that follows · 6 count i32 · 10 entries of 46 bytes: producer id i64,
//   epoch i16, last sequence i32, last offset i64, offset delta i32, timestamp i64, coordinator epoch i32, first offset
//   of the open transaction i64
//
// Kafka writes the newest batch of each producer. Here an entry a remembered batch is written, oldest first: a reader
// that keeps one entry a producer is left with the newest. See docs/decisions/0016.
#pragma once
#include <map>

#include "engine/base/bytes.h"
#include "engine/base/result.h"
#include "engine/log/producers.h"

namespace klamm::log {

inline constexpr uint32_t kMaxSnapshotBytes = 64 << 20;  // a larger file is not read

Slice encode_producer_snapshot(const std::map<ProducerId, ProducerEntry>& producers);
// Of one's own, of Kafka, or of anybody.
Result<std::map<ProducerId, ProducerEntry>> parse_producer_snapshot(ByteSpan file);

}  // namespace klamm::log
