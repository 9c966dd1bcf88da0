#include "engine/log/transactions.h"

#include "engine/base/reader.h"
#include "engine/base/writer.h"
#include "engine/protocol/batch_builder.h"

namespace klamm::log {
namespace {

constexpr int16_t kTxnIndexVersion = 0;
constexpr size_t kMarkerPlainMost = 4'096;
constexpr size_t kMarkerValueLeast = 6;  // version i16, coordinator epoch i32; a later version may have more

}  // namespace

std::optional<EndMarker> read_end_marker(const BatchHeader& h, ByteSpan batch) {
  if (!h.control() || !h.has_producer() || h.record_count == 0 || batch.size() != h.size() ||
      batch.size() > kMaxMarkerBytes)
    return std::nullopt;
  const auto open = protocol::OpenBatch::open(h, batch, kMarkerPlainMost);
  if (!open) return std::nullopt;
  protocol::Record r;
  auto cursor = open->records();
  if (!cursor.next(r)) return std::nullopt;
  const auto type = protocol::control_type(r.key);
  const bool commit = type == static_cast<int16_t>(protocol::ControlType::commit);
  if (!commit && type != static_cast<int16_t>(protocol::ControlType::abort)) return std::nullopt;
  if (r.value.is_null() || r.value.span().size() < kMarkerValueLeast) return std::nullopt;
  Reader value(r.value.span());
  if (value.i16() < 0) return std::nullopt;
  return EndMarker{commit, value.i32()};
}

Slice encode_txn_index(const std::vector<AbortedTxn>& aborted) {
  Writer w(aborted.size() * kAbortedEntryBytes);
  for (const AbortedTxn& a : aborted)
    w.i16(kTxnIndexVersion), w.i64(a.producer), w.i64(a.first), w.i64(a.last), w.i64(a.last_stable);
  return w.finish_contiguous();
}

Result<std::vector<AbortedTxn>> parse_txn_index(ByteSpan file, const TxnIndexRange& range) {
  const auto damaged = [](const char* why) { return fail(ErrorCode::kafka_storage_error, why); };
  std::vector<AbortedTxn> aborted;
  aborted.reserve(file.size() / kAbortedEntryBytes);
  for (Reader r(file); r.remaining() >= kAbortedEntryBytes;) {
    if (r.i16() != kTxnIndexVersion) return damaged("unknown version of an aborted transaction");
    AbortedTxn a;
    a.producer = r.i64();
    a.first = r.i64();
    a.last = r.i64();
    a.last_stable = r.i64();
    if (a.producer < 0 || a.first < 0 || a.first >= a.last) return damaged("an aborted transaction without records");
    if (a.last < range.base || a.last >= range.end) return damaged("an aborted transaction of another segment");
    if (!aborted.empty() && a.last <= aborted.back().last) return damaged("aborted transactions out of order");
    aborted.push_back(a);
  }
  return aborted;
}

void forget_aborted_from(std::vector<AbortedTxn>* aborted, Offset end) {
  while (!aborted->empty() && aborted->back().last >= end) aborted->pop_back();
}

}  // namespace klamm::log
