// What __consumer_offsets says: the fold of one partition's records, and nothing else. A copy costs three counters.
#pragma once
#include <compare>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/arena.h"
#include "engine/base/pmap.h"
#include "engine/base/visit.h"
#include "engine/coordinator/operation.h"

namespace klamm::group {

// A member as a group's record has it. Session and waiting requests are soft.
struct StoredMember {
  std::string id;
  std::optional<std::string> instance_id;
  std::string client_id;
  std::string client_host;
  int32_t rebalance_timeout_ms = 0;
  int32_t session_timeout_ms = 0;
  Slice subscription;  // its metadata under the group's protocol
  Slice assignment;
  template<class V>
  void fields(V& v) const {
    v("id", id), v("instance_id", instance_id), v("client_id", client_id), v("client_host", client_host),
        v("rebalance_timeout_ms", rebalance_timeout_ms), v("session_timeout_ms", session_timeout_ms),
        v("subscription", subscription), v("assignment", assignment);
  }
};

// A group's last record; or, by default, a simple group: one that exists because offsets were committed for it.
struct StoredGroup {
  std::string protocol_type;  // empty: none
  std::optional<std::string> protocol;
  std::optional<std::string> leader;
  int32_t generation = 0;
  int64_t timestamp_ms = -1;  // of its last change of state; -1: not known
  std::vector<StoredMember> members;
  template<class V>
  void fields(V& v) const {
    v("protocol_type", protocol_type), v("protocol", protocol), v("leader", leader), v("generation", generation),
        v("timestamp_ms", timestamp_ms), v("members", members);
  }
};

struct OffsetKeyView {
  std::string_view group;
  std::string_view topic;
  int32_t partition = std::numeric_limits<int32_t>::min();  // before all of the topic
  friend auto operator<=>(const OffsetKeyView&, const OffsetKeyView&) = default;
};
struct OffsetKey {
  std::string group;
  std::string topic;
  int32_t partition = 0;
  OffsetKey() = default;
  explicit OffsetKey(const OffsetKeyView& v) : group(v.group), topic(v.topic), partition(v.partition) {}
  OffsetKeyView view() const { return {group, topic, partition}; }
  friend bool operator<(const OffsetKey& a, const OffsetKey& b) { return a.view() < b.view(); }
  friend bool operator<(const OffsetKey& a, const OffsetKeyView& b) { return a.view() < b; }
  friend bool operator<(const OffsetKeyView& a, const OffsetKey& b) { return a < b.view(); }
  template<class V>
  void fields(V& v) const {
    v("group", group), v("topic", topic), v("partition", partition);
  }
};

struct CommittedOffset {
  Offset offset = 0;
  LeaderEpoch leader_epoch = -1;
  std::string metadata;
  int64_t commit_ms = 0;
  int64_t expire_ms = -1;
  Uuid topic_id;             // zero: not known
  Offset record_offset = 0;  // where its record lies: the later one wins when a transaction ends
  template<class V>
  void fields(V& v) const {
    v("offset", offset), v("leader_epoch", leader_epoch), v("metadata", metadata), v("commit_ms", commit_ms),
        v("expire_ms", expire_ms), v("topic_id", topic_id), v("record_offset", record_offset);
  }
};

struct HardState {
  using Offsets = Pmap<OffsetKey, CommittedOffset>;
  Pmap<std::string, StoredGroup> groups;
  Offsets offsets;                              // of groups that exist
  Pmap<ProducerId, Offsets> open_transactions;  // neither committed nor aborted

  bool has_unstable_offset(const OffsetKeyView& key) const;
  bool has_open_transaction(std::string_view group) const;
  template<class V>
  void fields(V& v) const {
    v("groups", groups), v("offsets", offsets), v("open_transactions", open_transactions);
  }
};

// Folds one record in. Kinds that are not of classic groups are passed over; false: the record is malformed.
bool replay(HardState& state, Arena& arena, const coordinator::ReplayedRecord& record);
void replay_marker(HardState& state, ProducerId producer, bool commit);

// Calls f(entry) for each offset of a group, in order of topic and partition; f answers whether to go on.
template<class F>
void for_each_offset(const HardState::Offsets& offsets, std::string_view group, F&& f) {
  for (auto it = offsets.lower_bound(OffsetKeyView{group, {}}); !it.at_end() && it->key.group == group; ++it)
    if (!f(*it)) return;
}

}  // namespace klamm::group
