#include "engine/group/records.h"

#include "engine/base/writer.h"
#include "engine/group/classic_group.h"
#include "engine/protocol/records/consumer_offsets.h"

namespace klamm::group {
namespace {

using coordinator::NewRecord;
using protocol::Bytes;

// What Kafka 4.3 writes; an expiry time exists in version 1 alone.
constexpr int16_t kGroupVersion = 3;
constexpr int16_t kOffsetVersion = 4;
constexpr int16_t kExpiringOffsetVersion = 1;

template<class Key>
Slice encode_key(const Key& key) {
  Writer w(64);
  w.i16(Key::kId);
  encode(w, 0, key);
  KLAMM_ASSERT(w.ok());
  return w.finish_contiguous();
}

template<class Value>
Slice encode_value(int16_t version, const Value& value) {
  Writer w(128);
  w.i16(version);
  encode(w, version, value);
  KLAMM_ASSERT(w.ok());
  return w.finish_contiguous();
}

Slice group_key(std::string_view group) {
  protocol::GroupMetadataKey key;
  key.group = group;
  return encode_key(key);
}

Slice offset_key(const OffsetKeyView& k) {
  protocol::OffsetCommitKey key;
  key.group = k.group;
  key.topic = k.topic;
  key.partition = k.partition;
  return encode_key(key);
}

}  // namespace

NewRecord group_record(Arena& arena, const Group& group) {
  protocol::GroupMetadataValue value;
  value.protocol_type = group.protocol_type ? Str(*group.protocol_type) : Str("");
  value.generation = group.generation;
  value.protocol = text_or_null(group.protocol);
  value.leader = text_or_null(group.leader);
  value.current_state_timestamp = group.since_ms;
  for (const auto& [id, member] : group.members) {
    auto& m = value.members.add(arena);
    m.member_id = id;
    m.group_instance_id = text_or_null(member.instance_id);
    m.client_id = member.client_id;
    m.client_host = member.client_host;
    m.rebalance_timeout = member.rebalance_timeout_ms;
    m.session_timeout = member.session_timeout_ms;
    m.subscription = Bytes::of(member.metadata(value.protocol));
    m.assignment = Bytes::of(member.assignment.span());
  }
  return {group_key(group.id), encode_value(kGroupVersion, value)};
}

NewRecord new_group_record(std::string_view group, int64_t now_ms) {
  protocol::GroupMetadataValue value;
  value.protocol = kNullStr;
  value.leader = kNullStr;
  value.current_state_timestamp = now_ms;
  return {group_key(group), encode_value(kGroupVersion, value)};
}

NewRecord group_tombstone(std::string_view group) { return {group_key(group), {}, true}; }

NewRecord offset_record(const OffsetKeyView& key, const OffsetToStore& o) {
  protocol::OffsetCommitValue value;
  value.offset = o.offset;
  value.leader_epoch = o.leader_epoch;
  value.metadata = o.metadata;
  value.commit_timestamp = o.commit_ms;
  value.expire_timestamp = o.expire_ms;
  value.topic_id = o.topic_id;
  return {offset_key(key), encode_value(o.expire_ms >= 0 ? kExpiringOffsetVersion : kOffsetVersion, value)};
}

NewRecord offset_tombstone(const OffsetKeyView& key) { return {offset_key(key), {}, true}; }

}  // namespace klamm::group
