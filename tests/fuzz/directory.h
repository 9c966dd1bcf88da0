// What the target `directory` and its seeds agree on.
#pragma once
#include <cstdint>
#include <string>

#include "engine/log/checkpoints.h"
#include "engine/log/segment.h"

namespace klamm::fuzz {

inline constexpr const char* kFuzzTopic = "t";
inline constexpr uint8_t kFuzzTopicId = 7;
inline constexpr Offset kFuzzMostOffset = INT64_MAX - 1000;  // nothing is appended behind it

enum FuzzFlags : uint8_t { kFits = 1, kClean = 2, kCompacted = 4, kCuts = 8 };

// Suffixes of an offset; whole names after them.
inline constexpr const char* kFuzzFiles[] = {
    ".log",      ".index",      ".timeindex",      ".snapshot",    ".txnindex",     ".log.cleaned",
    ".log.swap", ".index.swap", ".timeindex.swap", ".log.deleted", log::kEpochFile, log::kPartitionMetadataFile,
};
inline std::string fuzz_file(size_t kind, Offset base) {
  return kFuzzFiles[kind][0] == '.' ? log::segment_file(base, kFuzzFiles[kind]) : kFuzzFiles[kind];
}

}  // namespace klamm::fuzz
