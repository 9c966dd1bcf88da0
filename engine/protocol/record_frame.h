// What stands before the body of a stored record.
//   metadata log            uvarint 1, uvarint record type, uvarint version, body
//   key of a coordinator    int16 record type, body (of version 0)
//   value of a coordinator  int16 version, body
#pragma once
#include "engine/base/reader.h"
#include "engine/base/writer.h"
#include "engine/protocol/types.h"

namespace klamm::protocol {

struct MetadataFrame {
  uint32_t type = 0;
  int16_t version = 0;
};
// False (and failure of the reader) when the bytes are no metadata record.
inline bool decode_metadata_frame(Reader& r, MetadataFrame& out) {
  constexpr uint32_t kFrameVersion = 1;
  if (r.uvarint() != kFrameVersion) r.fail("unknown frame version of a metadata record");
  out.type = r.uvarint();
  const uint32_t version = r.uvarint();
  if (version > static_cast<uint32_t>(std::numeric_limits<int16_t>::max())) r.fail("a version is out of range");
  out.version = static_cast<int16_t>(version);
  return r.ok();
}
template<class Record>
void encode_metadata_record(Writer& w, int16_t version, const Record& record) {
  w.uvarint(1);
  w.uvarint(Record::kId);
  w.uvarint(static_cast<uint32_t>(version));
  encode(w, version, record);
}

template<class Key>
void encode_coordinator_key(Writer& w, const Key& key) {
  w.i16(Key::kId);
  encode(w, 0, key);
}
template<class Value>
void encode_versioned(Writer& w, int16_t version, const Value& value) {
  w.i16(version);
  encode(w, version, value);
}
// A value of a version that we do not know yet: an error, or read as our highest (the consumer protocol's rule).
enum class NewerVersion : uint8_t { reject, read_as_highest };
template<class Value>
bool decode_versioned(Reader& r, Arena& a, Value& out, NewerVersion newer = NewerVersion::reject) {
  int16_t version = r.i16();
  if (newer == NewerVersion::read_as_highest && version > Value::kHighest) version = Value::kHighest;
  return decode(r, a, version, out);
}

}  // namespace klamm::protocol
