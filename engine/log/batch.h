// Record batches as a log sees them: 61 bytes of whose, where, how long and how new. Content is not its business.
#pragma once
#include <optional>

#include "engine/protocol/record_batch.h"

namespace klamm::log {

using protocol::BatchHeader;
inline constexpr uint32_t kBatchHeaderSize = protocol::kBatchHeaderSize;

// The header at p if it can be that of a batch of format 2 (length, magic, offsets); the checksum is not looked at.
std::optional<BatchHeader> read_sane_header(const uint8_t* p);

}  // namespace klamm::log
