// What a log knows of transactions: their markers among the batches (KIP-98), and the .txnindex file of a segment,
// which tells the transactions that were aborted by a marker in it. The file is there only if there are such.
//
//   an entry, 34 bytes: version i16 (0) · producer id i64 · first offset i64 · last offset i64 (the marker's) · last
//   stable offset i64, as it was once this transaction had ended
#pragma once
#include <optional>
#include <vector>

#include "engine/base/ids.h"
#include "engine/base/result.h"
#include "engine/log/batch.h"

namespace klamm::log {

inline constexpr size_t kAbortedEntryBytes = 34;
inline constexpr uint32_t kMaxTxnIndexFile = 64 << 20;  // a larger one is not read: the segment is
inline constexpr size_t kMaxControlBytes = 16 << 10;    // of a batch of control records that recovery looks into
inline constexpr size_t kMaxMarkerBytes = 256;          // of a marker's batch; a larger one marks nothing

struct AbortedTxn {
  ProducerId producer = -1;
  Offset first = 0;
  Offset last = 0;         // of the marker
  Offset last_stable = 0;  // where the next open transaction begins, or behind the marker
  friend bool operator==(const AbortedTxn&, const AbortedTxn&) = default;
  template<class V>
  void fields(V& v) const {
    v("producer", producer), v("first", first), v("last", last), v("last_stable", last_stable);
  }
};

// The content of the control record that ends a transaction.
struct EndMarker {
  bool commit = false;
  int32_t coordinator_epoch = -1;
};
// Nothing unless `batch`, which begins with `header`, is a control batch whose first record is such a marker; of one
// that compaction has emptied there is nothing left to tell.
std::optional<EndMarker> read_end_marker(const BatchHeader& header, ByteSpan batch);

Slice encode_txn_index(const std::vector<AbortedTxn>& aborted);
// Where the entries of a file must lie: markers in [base, end).
struct TxnIndexRange {
  Offset base = 0;
  Offset end = 0;
};
// Anybody's. An unfinished entry at the end is left off; an error if an entry cannot be right.
Result<std::vector<AbortedTxn>> parse_txn_index(ByteSpan file, const TxnIndexRange& range);

void forget_aborted_from(std::vector<AbortedTxn>* aborted, Offset end);  // those whose marker lies at `end` or beyond

}  // namespace klamm::log
