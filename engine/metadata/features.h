// The features that this node supports, with their ranges (Apache Kafka 4.3.1's production levels).
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/base/pmap.h"

namespace klamm::metadata {

struct SupportedFeature {
  std::string_view name;
  int16_t min;
  int16_t max;
  int16_t fresh;  // the level that a new cluster starts with; 0: not set
};

// Sorted by name. kraft.version is not among the records of a static quorum.
std::span<const SupportedFeature> supported_features();

// What of these levels this node does not support, for people; empty: nothing.
std::string unsupported_levels(const Pmap<std::string, int16_t>& levels);

// Whether brokers tell the controller of directories that take no new partitions (KIP-1066), and it writes them down:
// from 4.3-IV0 on.
inline constexpr bool knows_cordoned_log_dirs(int16_t metadata_version) { return metadata_version >= 30; }

}  // namespace klamm::metadata
