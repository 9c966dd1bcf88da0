// What a client does about an error: total, pure functions.
#pragma once
#include "engine/base/error_code.h"
#include "engine/base/ids.h"

namespace klamm::client {

// Whether a request that failed so may nevertheless have been carried out.
bool maybe_done(ErrorCode error);

enum class ProduceVerdict : uint8_t {
  acknowledged,
  duplicate,  // written before; its offset is not known any more
  retry,      // the same batch again, with the same sequence
  renumber,   // certainly not written, and its sequence can never be: begin again at sequence 0 of a new epoch
  rejected,   // certainly not written by this request, and never will be
};

// A sequence that may be missing in the log, because its batch was given up.
enum class Gap : uint8_t {
  none,
  rejected,  // it is missing for sure: no copy of that batch will ever be taken
  unknown,   // a copy may still be on its way, and one of the batches behind it too
};

struct ProduceOutcome {
  ErrorCode error = ErrorCode::none;
  bool sequenced = false;     // the batch has a sequence
  bool earlier_open = false;  // a batch of the partition with a lower sequence waits for its fate
  Gap gap = Gap::none;        // what became of batches with a lower sequence that are no longer open
};

// Exactly-once per partition rests on this: a batch keeps its sequence until it is known not to be in the log.
// Out of order with an earlier batch open means that the earlier one must go first. Behind a rejected batch it proves
// that this one is not there and never will be; behind a lost one a late copy of both may yet arrive, so it is given up
// as well, though Kafka's client sends it anew. With neither the log has lost what it acknowledged. (KIP-98, KIP-360)
ProduceVerdict produce_verdict(const ProduceOutcome& outcome);

// Rule: until a batch of a producer id has been taken, none is sent behind one that is under way.
// Why: a broker that knows nothing of a producer takes any first sequence; would the first batch be refused for the
// moment and the second not, their order would be lost, or the first. Kafka's client has this gap. (KIP-98)
inline bool may_pipeline(bool sequenced, bool taken) { return !sequenced || taken; }

enum class GroupVerdict : uint8_t {
  ok,
  retry,             // the same again, later
  find_coordinator,  // it is elsewhere
  rejoin,            // with our member id
  rejoin_as_new,     // our member id is not known (any more)
  rejoin_with_id,    // join again at once with the member id of the answer (KIP-394)
  fatal,             // the application must know
};
// For JoinGroup, SyncGroup, Heartbeat, OffsetCommit and OffsetFetch of a classic group.
GroupVerdict group_verdict(ErrorCode error);

}  // namespace klamm::client
