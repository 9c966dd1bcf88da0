// The law of replicated services on a log: who may be answered when, and with which error.
#pragma once
#include "engine/base/error_code.h"
#include "engine/base/ids.h"

namespace klamm::coordinator {

// What a client of a coordinator is told when the log below could not take its records: it must look for the
// coordinator again, or ask again, but never learn of the partition behind it. As Kafka maps them.
inline ErrorCode error_for_client(ErrorCode from_the_log) {
  switch (from_the_log) {
    case ErrorCode::unknown_topic_or_partition:
    case ErrorCode::not_enough_replicas:
    case ErrorCode::not_enough_replicas_after_append:
    case ErrorCode::request_timed_out: return ErrorCode::coordinator_not_available;
    case ErrorCode::not_leader_or_follower:
    case ErrorCode::kafka_storage_error: return ErrorCode::not_coordinator;
    case ErrorCode::message_too_large:
    case ErrorCode::record_list_too_large:
    case ErrorCode::invalid_fetch_size: return ErrorCode::unknown_server_error;
    case ErrorCode::network_exception: return ErrorCode::coordinator_load_in_progress;
    default: return from_the_log;
  }
}

// Whether a loaded state may be served. Replies of the leader before wait behind its high watermark, which ours may
// trail: only when ours has come to the end that we loaded does our state hold all that anyone was told (as KIP-207
// for ListOffsets). Kafka serves at once, and may answer with a committed offset older than one it acknowledged.
inline bool may_serve(Offset high_watermark, Offset loaded_end) { return high_watermark >= loaded_end; }

// Whether the records below `end` cannot be lost any more, so that who wrote them may be told.
inline bool committed(Offset high_watermark, Offset end) { return end <= high_watermark; }

}  // namespace klamm::coordinator
