// Kafka's small text files: codecs. What a parser is given comes from a disk that anybody may have written to.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/env/io.h"
#include "engine/log/epoch_cache.h"

namespace klamm::log {

inline constexpr uint32_t kMaxCheckpointBytes = 320 << 20;    // a line for each of a million partitions
inline constexpr uint32_t kMaxPartitionFileBytes = 16 << 20;  // of a partition's own; larger ones are refused
inline constexpr const char* kRecoveryPointFile = "recovery-point-offset-checkpoint";
inline constexpr const char* kHighWatermarkFile = "replication-offset-checkpoint";
inline constexpr const char* kLogStartFile = "log-start-offset-checkpoint";
inline constexpr const char* kCleanerFile = "cleaner-offset-checkpoint";
inline constexpr const char* kOffsetCheckpoints[] = {kRecoveryPointFile, kHighWatermarkFile, kLogStartFile,
                                                     kCleanerFile};
inline constexpr const char* kCleanShutdownFile = ".kafka_cleanshutdown";
inline constexpr const char* kDeletedSuffix = ".deleted";
inline constexpr const char* kEpochFile = "leader-epoch-checkpoint";
inline constexpr const char* kPartitionMetadataFile = "partition.metadata";

// topic name and partition -> offset: "0\n<count>\n<topic> <partition> <offset>\n..."
using OffsetCheckpoint = std::map<std::pair<std::string, int32_t>, Offset>;
std::string encode_offset_checkpoint(const OffsetCheckpoint& offsets);
// The same file made line by line, in any order; no partition twice.
class OffsetLines final {
 public:
  void add(std::string_view topic, int32_t partition, Offset offset);
  bool empty() const { return count_ == 0; }
  std::string file() const { return "0\n" + std::to_string(count_) + "\n" + lines_; }
  template<class V>
  void fields(V& v) const {
    v("lines", lines_), v("count", count_);
  }

 private:
  std::string lines_;
  uint64_t count_ = 0;
};
Result<OffsetCheckpoint> parse_offset_checkpoint(std::string_view text);

// "0\n<count>\n<epoch> <start>\n...", both rising.
std::string encode_epoch_checkpoint(const std::vector<EpochEntry>& entries);
Result<std::vector<EpochEntry>> parse_epoch_checkpoint(std::string_view text);

// "version: 0\ntopic_id: <base64>"
std::string encode_partition_metadata(const Uuid& topic);
Result<Uuid> parse_partition_metadata(std::string_view text);

// {"version":0,"brokerEpoch":N}: written by an orderly shutdown, removed at start (KIP-966).
std::string encode_clean_shutdown(BrokerEpoch epoch);
Result<BrokerEpoch> parse_clean_shutdown(std::string_view text);

// Directories of partitions below a log directory.
enum class PartitionDirKind : uint8_t { live, deleted, stray, future };
struct PartitionDir {
  std::string topic;
  int32_t partition = 0;
  PartitionDirKind kind = PartitionDirKind::live;
};
std::string partition_dir(std::string_view topic, int32_t partition);
Result<PartitionDir> parse_partition_dir(std::string_view name);
// "<topic>-<partition>.<32 hex digits>-delete" (or -stray), cut to what a file name may be long.
std::string moved_partition_dir(std::string_view topic, int32_t partition, const Uuid& away, PartitionDirKind kind);

}  // namespace klamm::log
