// Two hashes that clients and brokers must agree on.
#pragma once
#include <cstdint>

#include "engine/base/bytes.h"

namespace klamm::protocol {

// Murmur2 as the default partitioner of clients uses it on a record's key.
uint32_t murmur2(ByteSpan key);
inline int32_t partition_of_key(ByteSpan key, int32_t partitions) {
  return static_cast<int32_t>(murmur2(key) & 0x7fffffffu) % partitions;
}

// Java's String.hashCode: over UTF-16 units, of UTF-8 text. Bytes that are not UTF-8 count as U+FFFD.
int32_t java_hash(std::string_view text);
// The partition of an internal topic that a group id, transactional id or share key belongs to.
int32_t coordinator_partition(std::string_view id, int32_t partitions);

}  // namespace klamm::protocol
