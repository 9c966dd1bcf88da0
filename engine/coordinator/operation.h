// What an operation of a replicated service may do: read its hard state, leave records, answer, and name what follows.
#pragma once
#include <utility>
#include <vector>

#include "engine/base/ctx.h"
#include "engine/base/error_code.h"
#include "engine/base/visit.h"
#include "engine/protocol/batch_builder.h"
#include "engine/protocol/types.h"

namespace klamm::coordinator {

// A record to be: key and value as they will lie in the log.
struct NewRecord {
  Slice key;
  Slice value;
  bool tombstone = false;  // the value is null
  template<class V>
  void fields(V& v) const {
    v("key", key), v("value", value), v("tombstone", tombstone);
  }
};

// In a batch, at most.
inline size_t record_size(const NewRecord& r) {
  return protocol::record_size_max(
      {.key = protocol::Bytes::of(r.key.span()), .value = protocol::Bytes::of(r.value.span())});
}

// A record of the log, for replay.
struct ReplayedRecord {
  protocol::Bytes key;
  protocol::Bytes value;     // null: tombstone
  Offset offset = 0;         // of a record that is not yet appended: where it will most likely lie
  ProducerId producer = -1;  // of a record inside a transaction
};

// A batch for the partition's log. The next one is given when its end is known.
struct Append {
  int32_t partition = 0;
  LeaderEpoch epoch = 0;
  int32_t records = 0;
  Slice batch;
};

struct AppendEnd {
  int32_t partition = 0;
  LeaderEpoch epoch = 0;  // as in the Append
  ErrorCode error = ErrorCode::none;
  Offset base = 0;  // where its first record lies, if there was no error
};

// An answer that may leave: a body, or the error that the owner is to turn into one.
template<class Origin>
struct Released {
  Origin origin;
  ErrorCode error = ErrorCode::none;
  std::vector<Slice> body;
};

template<class Core>
struct Out {
  std::vector<Append> appends;
  std::vector<Released<typename Core::Origin>> released;
};

// Lives for one call of a core. Records are replayed when the operation is over: it sees the state before them.
template<class Core>
class Operation final {
 public:
  using Hard = typename Core::Hard;
  using Origin = typename Core::Origin;
  using Effect = typename Core::Effect;

  // No batch takes more than `records_bytes_most`.
  Operation(Ctx& context, int32_t partition, const Hard& hard, Out<Core>& out, size_t records_bytes_most)
      : ctx(context), partition_(partition), hard_(hard), out_(out), records_bytes_most_(records_bytes_most) {}
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  Ctx& ctx;
  int32_t partition() const { return partition_; }
  const Hard& hard() const { return hard_; }  // with everything recorded so far, committed or not

  // What is recorded so is one batch, or fails as a whole.
  void record(NewRecord r) { records_.push_back(std::move(r)); }
  // A record that need not share a batch, behind those that do. False: it is too large for any, and is not recorded.
  bool record_apart(NewRecord r) {
    if (record_size(r) > records_bytes_most_) return false;
    apart_.push_back(std::move(r));
    return true;
  }
  bool has_records() const { return !records_.empty(); }
  // Leaves once all that was recorded before and by this operation is committed.
  void reply(Origin to, std::vector<Slice> body) { replies_.push_back({std::move(to), std::move(body)}); }
  // Leaves at once: for what soft state alone decides.
  void reply_now(Origin to, std::vector<Slice> body) {
    out_.released.push_back({std::move(to), ErrorCode::none, std::move(body)});
  }
  void refuse_now(Origin to, ErrorCode error) { out_.released.push_back({std::move(to), error, {}}); }
  // The core hears of it again when this operation's records are committed, or when they failed.
  void then(Effect effect) { effects_.push_back(std::move(effect)); }

 private:
  template<class>
  friend class Runtime;
  struct HeldReply {
    Origin to;
    std::vector<Slice> body;
  };
  int32_t partition_;
  const Hard& hard_;
  Out<Core>& out_;
  size_t records_bytes_most_;
  std::vector<NewRecord> records_;
  std::vector<NewRecord> apart_;
  std::vector<HeldReply> replies_;
  std::vector<Effect> effects_;
};

}  // namespace klamm::coordinator
