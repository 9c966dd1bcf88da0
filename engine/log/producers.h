// What a partition's log remembers of idempotent and transactional producers: the epoch and the last five batches of
// each, which transactions are open, and which have ended so lately that their end may not be committed (KIP-98).
#pragma once
#include <array>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "engine/base/fifo.h"
#include "engine/base/ids.h"
#include "engine/log/batch.h"
#include "engine/log/rules.h"
#include "engine/log/transactions.h"

namespace klamm::log {

inline constexpr size_t kProducerBatches = 5;    // as Kafka: a client has at most five requests in flight
inline constexpr size_t kMaxProducerUndo = 256;  // batches, not known to be committed, that a truncation can take back
inline constexpr size_t kMaxEndedTxns = 4'096;   // of more the oldest two count as one that ended with the later
static_assert(kMaxEndedTxns > kMaxProducerUndo, "what a truncation takes back has not been joined");

struct ProducerBatch {
  int32_t last_sequence = -1;
  int32_t offset_delta = 0;
  Offset last_offset = -1;
  int64_t timestamp = kNoTimestamp;
  int32_t first_sequence() const { return protocol::add_sequence(last_sequence, -offset_delta); }
  Offset first_offset() const { return last_offset - offset_delta; }
  friend bool operator==(const ProducerBatch&, const ProducerBatch&) = default;
  template<class V>
  void fields(V& v) const {
    v("last_sequence", last_sequence), v("offset_delta", offset_delta), v("last_offset", last_offset),
        v("timestamp", timestamp);
  }
};

struct ProducerEntry {
  ProducerEpoch epoch = -1;
  uint8_t count = 0;  // of `batches` in use, oldest first
  std::array<ProducerBatch, kProducerBatches> batches;
  int64_t last_timestamp = kNoTimestamp;
  int32_t coordinator_epoch = -1;  // of the last transaction marker
  Offset transaction_first = -1;   // of the open transaction; -1 if none
  const ProducerBatch* newest() const { return count == 0 ? nullptr : &batches[count - 1]; }
  friend bool operator==(const ProducerEntry&, const ProducerEntry&) = default;
  template<class V>
  void fields(V& v) const {
    v("epoch", epoch), v("count", count), v("batches", batches), v("last_timestamp", last_timestamp),
        v("coordinator_epoch", coordinator_epoch), v("transaction_first", transaction_first);
  }
};

// A producer without an open transaction is forgotten once it has written nothing for so long
// (producer.id.expiration.ms).
struct Expiration {
  int64_t now_ms = 0;
  int64_t after_ms = 0;
};

struct AdmissionResult {
  Admission admission = Admission::accepted;
  ProducerBatch original;  // of a duplicate
};

// One applied batch that is of a marker, or not.
struct AppliedBatch {
  const BatchHeader& header;
  std::optional<EndMarker> marker = {};
};

// A value: the fold of `apply` over the log's batches in order, less the producers that expired.
class ProducerStates final {
 public:
  // May the leader append this batch (producer id >= 0)? A duplicate of one of the last five answers with the original.
  AdmissionResult check(const BatchHeader& batch) const;
  // A batch that is in the log; ignores those without a producer id. What it aborts, if it does.
  std::optional<AbortedTxn> apply(const AppliedBatch& batch);
  // Where the first transaction begins that is open, or whose marker does not lie below the high watermark.
  std::optional<Offset> first_unstable(Offset high_watermark) const;
  // Transactions that are decided for good, and what batches have displaced that no truncation is to take back.
  void forget_below(Offset high_watermark);
  // Forgets batches that reach `end` or beyond. False: too far back for memory; the states must be folded again from
  // the log.
  bool truncate_to(Offset end);
  size_t undoable() const { return undo_.size(); }
  void reset_to(Offset start);  // knows nothing; the log starts at `start`
  // What a snapshot says of all batches below `at`.
  void restore(std::map<ProducerId, ProducerEntry> entries, Offset at);
  bool has_expired(const Expiration& by) const;
  void expire(const Expiration& by);
  const ProducerEntry* find(ProducerId id) const;
  const std::map<ProducerId, ProducerEntry>& entries() const { return entries_; }
  friend bool operator==(const ProducerStates& a, const ProducerStates& b) { return a.entries_ == b.entries_; }
  template<class V>
  void fields(V& v) const {
    v("entries", entries_), v("undo", undo_), v("undo_from", undo_from_), v("open", open_), v("ended", ended_);
  }

 private:
  // One applied batch, with what it displaced.
  struct Undo {
    Offset last = 0;
    ProducerId id = 0;
    ProducerEntry before;  // epoch -1: the producer was unknown
    template<class V>
    void fields(V& v) const {
      v("last", last), v("id", id), v("before", before);
    }
  };
  struct EndedTxn {
    Offset first = 0;
    Offset last = 0;  // of its marker
    template<class V>
    void fields(V& v) const {
      v("first", first), v("last", last);
    }
  };
  std::optional<AbortedTxn> end_transaction(const AppliedBatch& batch, ProducerEntry& e);

  std::map<ProducerId, ProducerEntry> entries_;
  Fifo<Undo> undo_;  // offset order; everything applied at undo_from_ and beyond
  Offset undo_from_ = 0;
  std::set<std::pair<Offset, ProducerId>> open_;  // follows from entries_: transaction_first of those that have one
  Fifo<EndedTxn> ended_;                          // in the order of their markers, which may not be committed
};

}  // namespace klamm::log
