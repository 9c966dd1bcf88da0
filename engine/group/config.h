// What an operator sets for groups, and what groups must know of topics.
#pragma once
#include <cstdint>
#include <limits>

#include "engine/base/arena.h"
#include "engine/base/ids.h"

namespace klamm::group {

// Fixed at boot, but for the offsets topic's own. Kafka's names and defaults.
struct Config {
  int32_t min_session_timeout_ms = 6000;                            // group.min.session.timeout.ms
  int32_t max_session_timeout_ms = 1'800'000;                       // group.max.session.timeout.ms
  int32_t initial_rebalance_delay_ms = 3000;                        // group.initial.rebalance.delay.ms
  int32_t max_size = std::numeric_limits<int32_t>::max();           // group.max.size
  int32_t new_member_join_timeout_ms = 5 * 60 * 1000;               // not configurable in Kafka
  int32_t offset_metadata_max = 4096;                               // offset.metadata.max.bytes
  int64_t offsets_retention_ms = int64_t{7} * 24 * 60 * 60 * 1000;  // offsets.retention.minutes
  int64_t retention_check_ms = 600'000;                             // offsets.retention.check.interval.ms
  int32_t commit_timeout_ms = 5000;                                 // offsets.commit.timeout.ms
  int32_t max_batch_bytes = 1'048'588;                              // max.message.bytes of the offsets topic
  int32_t partitions = 50;  // of the offsets topic: offsets.topic.num.partitions until it exists
  template<class V>
  void fields(V& v) const {
    v("min_session_timeout_ms", min_session_timeout_ms), v("max_session_timeout_ms", max_session_timeout_ms),
        v("initial_rebalance_delay_ms", initial_rebalance_delay_ms), v("max_size", max_size),
        v("new_member_join_timeout_ms", new_member_join_timeout_ms), v("offset_metadata_max", offset_metadata_max),
        v("offsets_retention_ms", offsets_retention_ms), v("retention_check_ms", retention_check_ms),
        v("commit_timeout_ms", commit_timeout_ms), v("max_batch_bytes", max_batch_bytes), v("partitions", partitions);
  }
};

// The node's metadata image, seen from here. For the length of a call.
class Topics {
 public:
  virtual ~Topics() = default;
  virtual int32_t partitions(Str topic) const = 0;  // 0: there is no such topic
  virtual Uuid id(Str topic) const = 0;             // zero: there is none
  virtual Str name(const Uuid& topic) const = 0;    // null: there is none; holds for the call
};

}  // namespace klamm::group
