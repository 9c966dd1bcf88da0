#include "engine/group/hard_state.h"

#include "engine/base/reader.h"
#include "engine/protocol/records/consumer_offsets.h"

namespace klamm::group {
namespace {

using protocol::GroupMetadataKey;
using protocol::GroupMetadataValue;
using protocol::OffsetCommitKey;
using protocol::OffsetCommitValue;

// Keys say their kind; kind 0 is an offset in the form of before 0.9, which reads the same.
constexpr int16_t kLegacyOffset = 0;

std::optional<std::string> optional_text(Str s) { return is_null(s) ? std::nullopt : std::optional<std::string>(s); }

// Reads a value behind its version. A version above ours adds tags at most, as flexible versions promise.
template<class Value>
bool read_value(Arena& arena, ByteSpan bytes, Value& out) {
  Reader r(bytes);
  const int16_t version = r.i16();
  if (!r.ok() || version < 0) return false;
  return decode(r, arena, std::min(version, Value::kHighest), out) && r.ok();
}

void forget_offset(HardState& state, const OffsetKeyView& key) {
  state.offsets.erase(key);
  std::vector<ProducerId> producers;
  for (const auto& open : state.open_transactions)
    if (open.value.contains(key)) producers.push_back(open.key);
  for (const ProducerId p : producers) state.open_transactions.write(p).erase(key);
}

bool replay_offset(HardState& state, Arena& arena, const OffsetCommitKey& k,
                   const coordinator::ReplayedRecord& record) {
  const OffsetKeyView key{k.group, k.topic, k.partition};
  if (record.value.is_null()) {
    forget_offset(state, key);
    return true;
  }
  OffsetCommitValue value;
  if (!read_value(arena, record.value.span(), value)) return false;
  if (!state.groups.contains(k.group)) state.groups.write(k.group);
  CommittedOffset o;
  o.offset = value.offset;
  o.leader_epoch = value.leader_epoch;
  o.metadata = value.metadata;
  o.commit_ms = value.commit_timestamp;
  o.expire_ms = value.expire_timestamp;
  o.topic_id = value.topic_id;
  o.record_offset = record.offset;
  HardState::Offsets& offsets = record.producer < 0 ? state.offsets : state.open_transactions.write(record.producer);
  offsets.set(key, std::move(o));
  return true;
}

bool replay_group(HardState& state, Arena& arena, Str group, const coordinator::ReplayedRecord& record) {
  if (record.value.is_null()) {
    // A group that went over to the newer protocol loses this record and keeps its offsets (KIP-848).
    const auto it = state.offsets.lower_bound(OffsetKeyView{group, {}});
    const bool offsets = (!it.at_end() && it->key.group == group) || state.has_open_transaction(group);
    if (offsets)
      state.groups.set(group, StoredGroup());
    else
      state.groups.erase(group);
    return true;
  }
  GroupMetadataValue value;
  if (!read_value(arena, record.value.span(), value)) return false;
  StoredGroup g;
  g.protocol_type = value.protocol_type;
  g.protocol = optional_text(value.protocol);
  g.leader = optional_text(value.leader);
  g.generation = value.generation;
  g.timestamp_ms = value.current_state_timestamp;
  for (const auto& m : value.members) {
    StoredMember& member = g.members.emplace_back();
    member.id = m.member_id;
    member.instance_id = optional_text(m.group_instance_id);
    member.client_id = m.client_id;
    member.client_host = m.client_host;
    member.rebalance_timeout_ms = m.rebalance_timeout == -1 ? m.session_timeout : m.rebalance_timeout;
    member.session_timeout_ms = m.session_timeout;
    member.subscription = Slice::copy(m.subscription.span());
    member.assignment = Slice::copy(m.assignment.span());
  }
  state.groups.set(group, std::move(g));
  return true;
}

}  // namespace

bool HardState::has_unstable_offset(const OffsetKeyView& key) const {
  for (const auto& open : open_transactions)
    if (open.value.contains(key)) return true;
  return false;
}

bool HardState::has_open_transaction(std::string_view group) const {
  for (const auto& open : open_transactions) {
    const auto it = open.value.lower_bound(OffsetKeyView{group, {}});
    if (!it.at_end() && it->key.group == group) return true;
  }
  return false;
}

bool replay(HardState& state, Arena& arena, const coordinator::ReplayedRecord& record) {
  Reader r(record.key.span());
  const int16_t kind = r.i16();
  if (!r.ok()) return false;
  if (kind == kLegacyOffset || kind == OffsetCommitKey::kId) {
    OffsetCommitKey key;
    return decode(r, arena, 0, key) && replay_offset(state, arena, key, record);
  }
  if (kind == GroupMetadataKey::kId) {
    GroupMetadataKey key;
    return decode(r, arena, 0, key) && replay_group(state, arena, key.group, record);
  }
  return true;
}

void replay_marker(HardState& state, ProducerId producer, bool commit) {
  const auto* found = state.open_transactions.find(producer);
  if (!found) return;
  const HardState::Offsets pending = *found;
  state.open_transactions.erase(producer);
  if (!commit) return;
  for (const auto& entry : pending) {
    const CommittedOffset* there = state.offsets.find(entry.key);
    if (!there || there->record_offset < entry.value.record_offset) state.offsets.set(entry.key, entry.value);
  }
}

}  // namespace klamm::group
