#include "engine/metadata/unused_records.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/base/reader.h"
#include "engine/base/writer.h"
#include "engine/protocol/records/metadata_log.h"

namespace klamm::metadata {
namespace {

// Parts of a key, each with its length: none runs into the next.
class KeyWriter final {
 public:
  KeyWriter& text(Str s) {
    writer_.i32(is_null(s) ? -1 : static_cast<int32_t>(s.size()));
    if (!is_null(s)) writer_.raw(as_bytes(s));
    return *this;
  }
  KeyWriter& number(int8_t n) { return writer_.i8(n), *this; }
  KeyWriter& uuid(const Uuid& id) { return writer_.uuid(id), *this; }
  UnusedKey key(UnusedKind kind) { return {kind, std::string(writer_.finish_contiguous().text())}; }

 private:
  Writer writer_{64};
};

UnusedChange change(const protocol::AccessControlEntryRecord& r) {
  return {KeyWriter().uuid(r.id).key(UnusedKind::access_control), false};
}
UnusedChange change(const protocol::RemoveAccessControlEntryRecord& r) {
  return {KeyWriter().uuid(r.id).key(UnusedKind::access_control), true};
}
UnusedChange change(const protocol::UserScramCredentialRecord& r) {
  return {KeyWriter().number(r.mechanism).text(r.name).key(UnusedKind::scram_credential), false};
}
UnusedChange change(const protocol::RemoveUserScramCredentialRecord& r) {
  return {KeyWriter().number(r.mechanism).text(r.name).key(UnusedKind::scram_credential), true};
}
UnusedChange change(const protocol::DelegationTokenRecord& r) {
  return {KeyWriter().text(r.token_id).key(UnusedKind::delegation_token), false};
}
UnusedChange change(const protocol::RemoveDelegationTokenRecord& r) {
  return {KeyWriter().text(r.token_id).key(UnusedKind::delegation_token), true};
}
// The parts of an entity have no order.
UnusedChange change(const protocol::ClientQuotaRecord& r) {
  using Part = std::pair<Str, Str>;
  std::vector<Part> parts;
  for (const auto& e : r.entity) parts.emplace_back(e.entity_type, e.entity_name);
  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
    return std::tuple(a.first, !is_null(a.second), a.second) < std::tuple(b.first, !is_null(b.second), b.second);
  });
  KeyWriter w;
  w.text(r.key);
  for (const Part& part : parts) w.text(part.first).text(part.second);
  return {w.key(UnusedKind::client_quota), r.remove};
}

template<class Record>
std::optional<UnusedChange> read_unused(Arena& arena, int16_t version, ByteSpan body) {
  if (version < Record::kLowest || version > Record::kHighest) return std::nullopt;
  Reader reader(body);
  Record record;
  if (!decode(reader, arena, version, record) || !reader.finished()) return std::nullopt;
  return change(record);
}

}  // namespace

bool is_unused_record(uint32_t type) {
  using namespace protocol;
  switch (type) {
    case DelegationTokenRecord::kId:
    case RemoveDelegationTokenRecord::kId:
    case UserScramCredentialRecord::kId:
    case RemoveUserScramCredentialRecord::kId:
    case ClientQuotaRecord::kId:
    case AccessControlEntryRecord::kId:
    case RemoveAccessControlEntryRecord::kId: return true;
    default: return false;
  }
}

std::optional<UnusedChange> unused_change(Arena& arena, uint32_t type, int16_t version, ByteSpan body) {
  using namespace protocol;
  switch (type) {
    case DelegationTokenRecord::kId: return read_unused<DelegationTokenRecord>(arena, version, body);
    case RemoveDelegationTokenRecord::kId: return read_unused<RemoveDelegationTokenRecord>(arena, version, body);
    case UserScramCredentialRecord::kId: return read_unused<UserScramCredentialRecord>(arena, version, body);
    case RemoveUserScramCredentialRecord::kId:
      return read_unused<RemoveUserScramCredentialRecord>(arena, version, body);
    case ClientQuotaRecord::kId: return read_unused<ClientQuotaRecord>(arena, version, body);
    case AccessControlEntryRecord::kId: return read_unused<AccessControlEntryRecord>(arena, version, body);
    case RemoveAccessControlEntryRecord::kId: return read_unused<RemoveAccessControlEntryRecord>(arena, version, body);
    default: return std::nullopt;
  }
}

}  // namespace klamm::metadata
