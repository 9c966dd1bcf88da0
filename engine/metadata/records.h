// How a metadata record stands in the log: uvarint 1, uvarint type, uvarint version, body; the value of one log record.
#pragma once
#include "engine/base/writer.h"
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

}  // namespace klamm::metadata
