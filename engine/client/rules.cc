#include "engine/client/rules.h"

namespace klamm::client {

bool maybe_done(ErrorCode error) {
  switch (error) {
    case ErrorCode::unknown_server_error:
    case ErrorCode::request_timed_out:
    case ErrorCode::network_exception:
    case ErrorCode::not_enough_replicas_after_append:
    case ErrorCode::not_leader_or_follower:  // also how a leader answers what it had appended before it was deposed
    case ErrorCode::kafka_storage_error: return true;
    default: return false;
  }
}

ProduceVerdict produce_verdict(const ProduceOutcome& o) {
  switch (o.error) {
    case ErrorCode::none: return ProduceVerdict::acknowledged;
    case ErrorCode::duplicate_sequence_number: return ProduceVerdict::duplicate;
    case ErrorCode::out_of_order_sequence_number:
      if (!o.sequenced) return ProduceVerdict::rejected;
      if (o.earlier_open) return ProduceVerdict::retry;
      return o.gap == Gap::rejected ? ProduceVerdict::renumber : ProduceVerdict::rejected;
    case ErrorCode::unknown_producer_id:
    case ErrorCode::invalid_producer_epoch:
      if (!o.sequenced) return ProduceVerdict::rejected;
      return o.earlier_open ? ProduceVerdict::retry : ProduceVerdict::renumber;
    default: return retriable(o.error) ? ProduceVerdict::retry : ProduceVerdict::rejected;
  }
}

GroupVerdict group_verdict(ErrorCode error) {
  switch (error) {
    case ErrorCode::none: return GroupVerdict::ok;
    case ErrorCode::coordinator_load_in_progress:
    case ErrorCode::unstable_offset_commit:
    case ErrorCode::unknown_topic_or_partition:
    case ErrorCode::unknown_topic_id: return GroupVerdict::retry;
    case ErrorCode::coordinator_not_available:
    case ErrorCode::not_coordinator:
    case ErrorCode::request_timed_out:
    case ErrorCode::network_exception: return GroupVerdict::find_coordinator;
    case ErrorCode::rebalance_in_progress:
    case ErrorCode::illegal_generation: return GroupVerdict::rejoin;
    case ErrorCode::unknown_member_id: return GroupVerdict::rejoin_as_new;
    case ErrorCode::member_id_required: return GroupVerdict::rejoin_with_id;
    default: return GroupVerdict::fatal;
  }
}

}  // namespace klamm::client
