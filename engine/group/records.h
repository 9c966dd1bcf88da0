// The records of __consumer_offsets that classic groups write, byte for byte as Kafka 4.3 writes them.
#pragma once
#include "engine/coordinator/operation.h"
#include "engine/group/hard_state.h"

namespace klamm::group {

struct Group;

// The group as it is, with the assignments that its members hold.
coordinator::NewRecord group_record(Arena& arena, const Group& group);
// A group that has just come into being: no members, generation 0.
coordinator::NewRecord new_group_record(std::string_view group, int64_t now_ms);
coordinator::NewRecord group_tombstone(std::string_view group);

struct OffsetToStore {
  Offset offset = 0;
  LeaderEpoch leader_epoch = -1;
  Str metadata = "";
  int64_t commit_ms = 0;
  int64_t expire_ms = -1;
  Uuid topic_id;
};
coordinator::NewRecord offset_record(const OffsetKeyView& key, const OffsetToStore& value);
coordinator::NewRecord offset_tombstone(const OffsetKeyView& key);

}  // namespace klamm::group
