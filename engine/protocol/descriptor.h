// Messages as data: one descriptor per message drives JSON, printing and random messages. The binary codec does not use
// it.
#pragma once
#include <span>

#include "engine/protocol/types.h"

namespace klamm::protocol {

enum class FieldType : uint8_t {
  boolean,
  int8,
  int16,
  int32,
  int64,
  uint16,
  uint32,
  float64,
  string,
  bytes,
  records,
  uuid,
  structure
};

struct StructDescriptor;

struct FieldDescriptor {
  const char* name;  // as in JSON: replicaId
  FieldType type;
  bool list;       // a List of `type`
  bool ignorable;  // may be left out of a version that lacks it even when set
  Versions versions;
  Versions nullable;
  int16_t tag;                 // -1: not a tagged field
  uint16_t offset;             // in its struct
  const StructDescriptor* of;  // for FieldType::structure
  bool may_be_null() const { return !nullable.empty(); }
};

struct StructDescriptor {
  const char* name;
  uint16_t size;
  int16_t unknown_tags;  // offset of the RawTag list; -1: no version is flexible
  std::span<const FieldDescriptor> fields;
  const void* defaults;  // an instance
};

// request and response belong to an API; the others are what Kafka stores or nests in bytes.
enum class MessageKind : uint8_t { request, response, header, metadata, coordinator_key, coordinator_value, data };

// What stands before a record's body: log = uvarint 1, uvarint id, uvarint version; type = int16 id; version = int16
// version.
enum class Framing : uint8_t { none, log, type, version, json };

struct MessageDescriptor {
  const char* name;
  MessageKind kind;
  Framing framing;
  int16_t id;  // api key or record type; -1: none
  Versions versions;
  int16_t first_flexible;
  const StructDescriptor* root;
  bool (*decode)(Reader& r, Arena& a, int16_t version, void* message);
  void (*encode)(Writer& w, int16_t version, const void* message);
  bool flexible(int16_t version) const { return version >= first_flexible; }
};

std::span<const MessageDescriptor* const> all_messages();             // in ascending order of name
const MessageDescriptor* find_message(Str name);                      // null: there is none
const MessageDescriptor* find_message(MessageKind kind, int16_t id);  // of requests and responses

// The memory of any List<T>, for code that knows T only by its descriptor.
struct RawList {
  void* data;
  uint32_t size;
  uint32_t capacity;
  bool null;
};
static_assert(sizeof(RawList) == sizeof(List<int32_t>) && std::is_trivially_copyable_v<List<int32_t>>);

}  // namespace klamm::protocol
