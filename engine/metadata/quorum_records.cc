#include "engine/metadata/quorum_records.h"

#include "engine/base/reader.h"
#include "engine/protocol/batch_builder.h"
#include "engine/protocol/records/control_records.h"

namespace klamm::metadata {
namespace {

template<class Record>
bool read_control(Arena& arena, ByteSpan value, Record* out) {
  Reader reader(value);
  return protocol::decode(reader, arena, 0, *out) && reader.finished();
}

}  // namespace

Result<void> QuorumRecords::apply(const protocol::Record& record) {
  const auto type = protocol::control_type(record.key);
  const auto is = [&](protocol::ControlType t) { return type == static_cast<int16_t>(t); };
  if (!is(protocol::ControlType::kraft_version) && !is(protocol::ControlType::kraft_voters)) return {};
  Arena arena;
  const ByteSpan value = record.value.is_null() ? ByteSpan{} : record.value.span();
  if (is(protocol::ControlType::kraft_version)) {
    protocol::KRaftVersionRecord r;
    if (!read_control(arena, value, &r) || r.k_raft_version < 0)
      return fail(ErrorCode::corrupt_message, "a KRaftVersionRecord that cannot be read");
    kraft_version = r.k_raft_version;
    return {};
  }
  protocol::VotersRecord r;
  if (!read_control(arena, value, &r)) return fail(ErrorCode::corrupt_message, "a VotersRecord that cannot be read");
  voters.assign(value.begin(), value.end());
  return {};
}

Result<void> QuorumRecords::apply_batch(const protocol::BatchHeader& header, ByteSpan batch) {
  if (!header.control()) return {};
  const auto open = protocol::OpenBatch::open(header, batch, kControlPlainMax);
  if (!open) return tl::unexpected(open.error());
  protocol::RecordCursor records = open->records();
  for (protocol::Record r; records.next(r);)
    if (const Result<void> done = apply(r); !done) return done;
  if (records.error()) return fail(ErrorCode::corrupt_message, records.error());
  return {};
}

Result<void> QuorumRecords::apply_head(ByteSpan file) {
  for (protocol::BatchCursor cursor(file); cursor.next();) {
    const auto header = protocol::check_batch(cursor.batch());
    if (!header || !header->control()) break;
    if (const Result<void> done = apply_batch(*header, cursor.batch()); !done) return done;
  }
  return {};
}

std::vector<QuorumVoter> QuorumRecords::named() const {
  std::vector<QuorumVoter> out;
  if (voters.empty()) return out;
  Arena arena;
  protocol::VotersRecord r;
  const bool read = read_control(arena, as_bytes(voters), &r);
  KLAMM_ASSERT(read);
  for (const auto& v : r.voters) out.push_back({NodeId{v.voter_id}, v.voter_directory_id});
  return out;
}

}  // namespace klamm::metadata
