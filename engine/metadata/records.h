// How a metadata record stands in the log: uvarint 1, uvarint type, uvarint version, body; the value of one log record.
#pragma once
#include "engine/base/writer.h"
#include "engine/metadata/image.h"
#include "engine/protocol/records/metadata_log.h"

namespace klamm::metadata {

inline constexpr uint32_t kRecordFrameVersion = 1;

// `record` is one of protocol::*Record with an id; the version must be able to carry what is set.
template<class Record>
Slice encode_record(int16_t version, const Record& record) {
  Writer w(64);
  w.uvarint(kRecordFrameVersion);
  w.uvarint(static_cast<uint32_t>(Record::kId));
  w.uvarint(static_cast<uint32_t>(version));
  encode(w, version, record);
  KLAMM_ASSERT(w.ok());
  return w.finish_contiguous();
}

inline constexpr int16_t kPartitionVersion = 2;       // of PartitionRecord, since 4.0-IV1: directories and elr
inline constexpr int16_t kRegisterBrokerVersion = 4;  // of RegisterBrokerRecord, since 4.3-IV0

// Lists in `arena`.
List<int32_t> numbers(Arena& arena, const std::vector<NodeId>& nodes);
List<Uuid> uuids(Arena& arena, const std::vector<Uuid>& ids);
// The record that brings this partition about.
Slice partition_record(Arena& arena, const TopicIdPartition& id, const PartitionInfo& info);

}  // namespace klamm::metadata
