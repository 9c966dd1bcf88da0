// The 61 fixed bytes of a record batch (magic 2) as a log sees them: whose, where, how long, how new. Content is not
// its business.
#pragma once
#include <array>
#include <cstdint>
#include <optional>

#include "engine/base/bytes.h"
#include "engine/base/ids.h"

namespace klamm::log {

inline constexpr uint32_t kBatchHeaderBytes = 61;
inline constexpr uint32_t kBatchLengthAt = 8;        // the length counts what follows its field
inline constexpr uint32_t kBatchOverheadBytes = 12;  // base offset and length
inline constexpr uint32_t kBatchCrcFrom = 21;  // the CRC covers from here to the end: offsets and epoch may change
inline constexpr ProducerId kNoProducerId = -1;

struct BatchHeader {
  Offset base = 0;
  Offset last = 0;
  uint32_t size = 0;  // of the whole batch
  LeaderEpoch epoch = 0;
  uint32_t crc = 0;
  int16_t attributes = 0;
  int64_t first_timestamp = 0;
  int64_t max_timestamp = 0;
  ProducerId producer_id = kNoProducerId;
  ProducerEpoch producer_epoch = -1;
  int32_t base_sequence = -1;
  int32_t records = 0;
  bool control() const { return (attributes & 0x20) != 0; }
  bool transactional() const { return (attributes & 0x10) != 0; }
};

// Reads at least kBatchHeaderBytes; nothing if they are not the header of a batch that could be (length, magic,
// offsets).
std::optional<BatchHeader> parse_batch_header(ByteSpan bytes);
// The header of `bytes` with another base offset and leader epoch; its CRC stays right.
std::array<uint8_t, kBatchHeaderBytes> rebased_header(ByteSpan bytes, OffsetAndEpoch to);

}  // namespace klamm::log
