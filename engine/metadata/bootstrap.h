// What `kafka-storage format` leaves beside meta.properties for a fresh cluster (KIP-778): the levels of features that
// were asked for, SCRAM credentials (KIP-900). A file of the shape of a snapshot, without anything of the quorum.
#pragma once
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/result.h"
#include "engine/metadata/image.h"

namespace klamm::metadata {

inline constexpr const char* kBootstrapFile = "bootstrap.checkpoint";
inline constexpr uint32_t kBootstrapMost = 1 << 20;      // bytes of the file
inline constexpr size_t kBootstrapPlainMost = 4 << 20;   // of one batch of it, unpacked
inline constexpr size_t kBootstrapRecordsMost = 10'000;  // in all

struct Bootstrap {
  std::vector<Slice> records;  // framed as in the log; with them the first controller begins the log
  Image image;                 // what they amount to
};
// An error: damaged, too large, with other records, or without a metadata.version, which Kafka refuses too.
Result<Bootstrap> read_bootstrap(Arena& arena, const Slice& file);

}  // namespace klamm::metadata
