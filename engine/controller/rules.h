// The controller's law: total, pure functions. Each says the rule, why, and where Kafka states it.
#pragma once
#include <optional>
#include <vector>

#include "engine/base/error_code.h"
#include "engine/base/units.h"
#include "engine/metadata/image.h"

namespace klamm::controller {

using metadata::LeaderRecovery;
using metadata::PartitionInfo;

// online: keep the leader, else the first clean candidate in order of preference. preferred: the first replica if it
// is clean, else as online. unclean: as online, and any live replica rather than none.
enum class Election : uint8_t { online, preferred, unclean };

struct Electorate {
  const std::vector<NodeId>& replicas;  // in order of preference
  const std::vector<NodeId>& isr;       // as it will be
  const std::vector<NodeId>& elr;       // as it will be
  const std::vector<NodeId>& last_known_elr;
  NodeId leader;                    // so far
  const std::vector<NodeId>& live;  // of replicas: unfenced, not shutting down, directory online
  bool elr_enabled = true;
};
struct Elected {
  NodeId leader = kNoNode;
  bool unclean = false;
  friend bool operator==(const Elected&, const Elected&) = default;
};
// Clean candidates are live members of the isr; of the elr only while the isr is empty: both hold every committed
// record (R6, R7; KIP-966). When isr and elr are empty the last known leader may come back, as an unclean leader: it
// has lost least. It must be live (KAFKA-19522).
Elected elect(const Electorate& e, Election kind);

// The eligible leaders beside a new isr. Whoever was in isr or elr keeps all that was committed while the isr was
// smaller than min.insync.replicas, since the high watermark stood still; unless it lost its log's end in an unclean
// shutdown. An isr of full size makes the elr empty (R9; KIP-966).
struct ElrChange {
  const std::vector<NodeId>& isr;         // so far
  const std::vector<NodeId>& elr;         // so far
  const std::vector<NodeId>& target_isr;  // to be
  NodeId lossy = kNoNode;                 // came back from an unclean shutdown
  size_t min_isr = 1;                     // effective
};
std::vector<NodeId> next_elr(const ElrChange& c);

// The isr must be able to reach min.insync.replicas: more than there are replicas cannot be asked for.
size_t effective_min_isr(int32_t configured, size_t replicas);

// What a leader proposes by AlterPartition.
struct IsrMember {
  NodeId node;
  BrokerEpoch epoch = -1;  // -1: not told (version 2)
};
struct IsrProposal {
  NodeId from;
  LeaderEpoch leader_epoch = 0;
  int32_t partition_epoch = 0;
  std::vector<IsrMember> isr;
  int8_t recovery = 0;  // LeaderRecovery, as sent
};
// none, or why the proposal is refused. Only the leader of this very epoch and version of the partition may change the
// isr (compare and set, KIP-497); members must be replicas, the leader among them; none may be fenced or shutting down
// (KIP-841) or of another incarnation than the leader has seen caught up (KIP-903). A leader ahead of us knows a newer
// controller.
ErrorCode alter_partition_validate(const metadata::Image& image, const PartitionInfo* partition, const IsrProposal& p);

// A broker may serve once its metadata includes its own registration: it then knows what it hosts (KIP-631).
inline bool unfence_allowed(Offset reported, BrokerEpoch registered) { return reported >= registered; }

// A session lasts for the timeout after the last contact.
inline bool session_alive(Instant last_contact, Duration timeout, Instant now) { return now < last_contact + timeout; }

enum class BrokerState : uint8_t { fenced, unfenced, controlled_shutdown, shutdown_now };
struct HeartbeatFacts {
  BrokerState current = BrokerState::fenced;
  bool want_fence = false;
  bool want_shut_down = false;
  bool caught_up = false;       // unfence_allowed
  bool leads_any = false;       // it is the leader of some partition
  bool others_reached = false;  // all active brokers have applied what moved its leaderships away
};
// fenced -> unfenced when caught up; unfenced -> controlled_shutdown while it leads anything, so that no client meets a
// leader that is gone; shutdown_now lets it go, fenced (KIP-631, KIP-841).
BrokerState next_state(const HeartbeatFacts& f);

// Why a registration's features do not fit, as Kafka words it; nothing if they do. Each finalized level must lie in the
// broker's range; what the broker does not name it supports at level 0 only (KIP-584, KIP-1022).
std::optional<std::string> feature_fault(const Pmap<std::string, int16_t>& finalized,
                                         const std::vector<metadata::FeatureRange>& supported);

// Kafka keeps the ids 0 to 99 for itself (KIP-858).
bool reserved_directory(const Uuid& id);

// Why a topic may not have this name, as Kafka words it; nothing if it may.
std::optional<std::string> topic_name_fault(std::string_view name);

}  // namespace klamm::controller
