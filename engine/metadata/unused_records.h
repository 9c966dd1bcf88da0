// Metadata records of parts that this version does not have: access control, credentials, quotas, tokens. They have no
// effect here, but belong to whoever serves the directory next: the last one of each key is kept as it was read.
#pragma once
#include <optional>
#include <string>

#include "engine/base/arena.h"
#include "engine/base/visit.h"

namespace klamm::metadata {

enum class UnusedKind : uint8_t { access_control, scram_credential, client_quota, delegation_token, count };

// What a record is replaced or removed by: another one of the same key.
struct UnusedKey {
  UnusedKind kind = UnusedKind::access_control;
  std::string name;  // bytes that are equal for equal keys of one kind
  friend auto operator<=>(const UnusedKey&, const UnusedKey&) = default;
  template<class V>
  void fields(V& v) const {
    v("kind", kind), v("name", name);
  }
};
struct UnusedChange {
  UnusedKey key;
  bool remove = false;
};

// Whether records of this type are of such a part.
bool is_unused_record(uint32_t type);
// What such a record does; nothing if it cannot be read. `body` follows the frame.
std::optional<UnusedChange> unused_change(Arena& arena, uint32_t type, int16_t version, ByteSpan body);

// Of all that are kept; with more, an image is no longer complete.
inline constexpr size_t kMaxUnusedRecords = 100'000;
inline constexpr size_t kMaxUnusedBytes = 32u << 20;  // keys and records

}  // namespace klamm::metadata
