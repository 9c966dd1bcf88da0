// The cluster as a value: what Kafka's metadata records, folded in order, amount to. Copies are cheap and share all
// that did not change, so the controller keeps one per uncommitted append and the broker one at the high watermark.
// Invariant: two images that applied the same records up to the same offset are equal, field by field (K14).
#pragma once
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/base/arena.h"
#include "engine/base/pmap.h"
#include "engine/base/result.h"
#include "engine/base/visit.h"
#include "engine/metadata/quorum_records.h"
#include "engine/metadata/unused_records.h"

namespace klamm::metadata {

inline constexpr char kMetadataVersion[] = "metadata.version";
inline constexpr char kElrVersion[] = "eligible.leader.replicas.version";
inline constexpr char kTransactionVersion[] = "transaction.version";
inline constexpr char kGroupVersion[] = "group.version";

// What Kafka writes for a replica whose directory is not known (DirectoryId).
inline constexpr Uuid kUnassignedDirectory{};

struct BrokerEndpoint {
  std::string name;  // of the listener
  std::string host;
  uint16_t port = 0;
  int16_t security_protocol = 0;
  friend bool operator==(const BrokerEndpoint&, const BrokerEndpoint&) = default;
  template<class V>
  void fields(V& v) const {
    v("name", name), v("host", host), v("port", port), v("security_protocol", security_protocol);
  }
};

struct FeatureRange {
  std::string name;
  int16_t min = 0;
  int16_t max = 0;
  friend bool operator==(const FeatureRange&, const FeatureRange&) = default;
  template<class V>
  void fields(V& v) const {
    v("name", name), v("min", min), v("max", max);
  }
};

struct Broker {
  NodeId id;
  BrokerEpoch epoch = -1;  // the offset that the batch of its registration was appended at
  Uuid incarnation;
  std::vector<BrokerEndpoint> endpoints;
  std::vector<FeatureRange> features;
  std::optional<std::string> rack;
  bool fenced = true;
  bool in_controlled_shutdown = false;
  std::vector<Uuid> log_dirs;
  std::vector<Uuid> cordoned_log_dirs;
  bool active() const { return !fenced && !in_controlled_shutdown; }
  const BrokerEndpoint* endpoint(std::string_view listener) const;  // null: it has no such listener
  Uuid default_directory() const { return log_dirs.size() == 1 ? log_dirs[0] : kUnassignedDirectory; }
  friend bool operator==(const Broker&, const Broker&) = default;
  template<class V>
  void fields(V& v) const {
    v("id", id), v("epoch", epoch), v("incarnation", incarnation), v("endpoints", endpoints), v("features", features);
    v("rack", rack), v("fenced", fenced), v("in_controlled_shutdown", in_controlled_shutdown);
    v("log_dirs", log_dirs), v("cordoned_log_dirs", cordoned_log_dirs);
  }
};

struct Controller {
  NodeId id;
  Uuid incarnation;
  std::vector<BrokerEndpoint> endpoints;
  std::vector<FeatureRange> features;
  friend bool operator==(const Controller&, const Controller&) = default;
  template<class V>
  void fields(V& v) const {
    v("id", id), v("incarnation", incarnation), v("endpoints", endpoints), v("features", features);
  }
};

enum class LeaderRecovery : int8_t { recovered = 0, recovering = 1 };

// Invariants (R3, R9): leader = none or in isr; isr and elr are within replicas and share nothing.
struct PartitionInfo {
  std::vector<NodeId> replicas;   // in order of preference
  std::vector<Uuid> directories;  // beside replicas
  std::vector<NodeId> isr;
  std::vector<NodeId> removing, adding;  // a reassignment under way
  std::vector<NodeId> elr;               // eligible leaders outside the isr (KIP-966)
  std::vector<NodeId> last_known_elr;    // the last leader, once isr and elr are empty
  NodeId leader = kNoNode;
  LeaderRecovery recovery = LeaderRecovery::recovered;
  LeaderEpoch leader_epoch = 0;
  int32_t partition_epoch = 0;  // grows by one with every change
  bool preferred_leader() const { return !replicas.empty() && leader == replicas[0]; }
  bool reassigning() const { return !adding.empty() || !removing.empty(); }
  friend bool operator==(const PartitionInfo&, const PartitionInfo&) = default;
  template<class V>
  void fields(V& v) const {
    v("replicas", replicas), v("directories", directories), v("isr", isr), v("removing", removing);
    v("adding", adding), v("elr", elr), v("last_known_elr", last_known_elr), v("leader", leader);
    v("recovery", recovery), v("leader_epoch", leader_epoch), v("partition_epoch", partition_epoch);
  }
};
bool contains(const std::vector<NodeId>& nodes, NodeId node);

struct Topic {
  std::string name;
  Uuid id;
  Pmap<int32_t, PartitionInfo> partitions;
  friend bool operator==(const Topic&, const Topic&) = default;
  template<class V>
  void fields(V& v) const {
    v("name", name), v("id", id), v("partitions", partitions);
  }
};

enum class ResourceType : int8_t {
  unknown = 0,
  topic = 2,
  broker = 4,
  broker_logger = 8,
  client_metrics = 16,
  group = 32
};
struct ConfigResource {
  ResourceType type = ResourceType::unknown;
  std::string name;  // of a broker: its id, or "" for the default of all
  friend auto operator<=>(const ConfigResource&, const ConfigResource&) = default;
  template<class V>
  void fields(V& v) const {
    v("type", type), v("name", name);
  }
};
using ConfigMap = Pmap<std::string, std::string>;

// What a run of records changed: names to look up in the image before and after.
struct Delta {
  std::set<TopicIdPartition> partitions;  // new or changed; those of a deleted topic are not listed
  std::set<Uuid> topics;                  // new
  std::set<Uuid> deleted;                 // gone; the image before still has them
  std::set<NodeId> brokers;               // new, changed or gone
  std::set<ConfigResource> configs;
  bool controllers = false;
  bool features = false;
  bool producer_ids = false;
  bool aborted = false;  // names what an aborted transaction had made, too: settle() it
  bool empty() const { return *this == Delta(); }
  friend bool operator==(const Delta&, const Delta&) = default;
};

// Where a broker stands in partitions' states: answers "whose isr or elr is it in" without a walk over all partitions.
// Two groups have no broker: kLeaderless and kNotPreferred.
struct Membership {
  NodeId node;
  TopicIdPartition partition;
  friend auto operator<=>(const Membership&, const Membership&) = default;
};
inline constexpr NodeId kLeaderless{-1};    // partitions without a leader
inline constexpr NodeId kNotPreferred{-2};  // partitions whose leader is not their first replica

class Image final {
 public:
  // Folds in the record at `offset`, framed as in the log. Records must come in order of offsets. Refused is what no
  // correct controller wrote; the image is then as before, and its owner must stop.
  Result<void> apply(Arena& arena, Offset offset, ByteSpan frame, Delta* delta = nullptr);

  Offset end() const { return end_; }                       // after the last record applied; 0: none yet
  bool in_transaction() const { return !before_.empty(); }  // not to be published (KIP-868)
  // False: of the parts that have no effect here, a record could not be read, or there were too many: the image does
  // not stand for all records.
  bool complete() const { return complete_; }
  // Takes over what a control record of the log says of the quorum.
  Result<void> apply_control(const protocol::Record& record) { return quorum_.apply(record); }
  const QuorumRecords& quorum() const { return quorum_; }
  void stand_at(Offset end) { end_ = end; }  // of a snapshot, whose own offsets mean nothing

  const Pmap<std::string, int16_t>& features() const { return features_; }
  int16_t feature(std::string_view name) const;  // 0: not set
  const Pmap<NodeId, Broker>& brokers() const { return brokers_; }
  const Broker* broker(NodeId id) const { return brokers_.find(id); }
  bool active(NodeId id) const;  // registered, not fenced, not shutting down
  const Pmap<NodeId, Controller>& controllers() const { return controllers_; }
  const Pmap<Uuid, Topic>& topics() const { return topics_; }
  const Pmap<std::string, Uuid>& topics_by_name() const { return topics_by_name_; }
  const Topic* topic(const Uuid& id) const { return topics_.find(id); }
  const Topic* topic(std::string_view name) const;
  const PartitionInfo* partition(const TopicIdPartition& p) const;
  // Some topic whose name is equal but for '.' and '_'; null: none.
  const std::string* colliding_topic(std::string_view name) const;
  // Partitions that `node` is in the isr or elr of; or the groups kLeaderless and kNotPreferred. In order.
  std::vector<TopicIdPartition> memberships(NodeId node) const;
  bool has_membership(NodeId node) const;
  const Pmap<ConfigResource, ConfigMap>& configs() const { return configs_; }
  const ConfigMap* config(const ConfigResource& resource) const { return configs_.find(resource); }
  const std::string* config(const ConfigResource& resource, std::string_view name) const;  // null: not set
  ProducerId next_producer_id() const { return next_producer_id_; }
  // As they were framed in the log.
  const Pmap<UnusedKey, std::string>& unused() const { return unused_; }
  uint32_t unused_kinds() const;  // a bit for each UnusedKind that there is a record of

  friend bool operator==(const Image& a, const Image& b);
  template<class V>
  void fields(V& v) const {
    v("end", end_), v("complete", complete_), v("features", features_), v("brokers", brokers_),
        v("controllers", controllers_);
    v("topics", topics_), v("configs", configs_), v("next_producer_id", next_producer_id_), v("quorum", quorum_);
    v("unused", unused_), v("unused_bytes", unused_bytes_), v("before", before_);
  }

 private:
  friend struct Fold;
  struct Present {
    friend bool operator==(Present, Present) = default;
  };
  Offset end_ = 0;
  bool complete_ = true;
  Pmap<std::string, int16_t> features_;
  Pmap<NodeId, Broker> brokers_;
  Pmap<NodeId, Controller> controllers_;
  Pmap<Uuid, Topic> topics_;
  Pmap<ConfigResource, ConfigMap> configs_;
  ProducerId next_producer_id_ = 0;
  QuorumRecords quorum_;
  Pmap<UnusedKey, std::string> unused_;  // at most kMaxUnusedRecords, kMaxUnusedBytes
  size_t unused_bytes_ = 0;
  std::vector<Image> before_;  // at most one: the image before the metadata transaction under way
  // Derived from the above, for finding:
  Pmap<std::string, Uuid> topics_by_name_;
  Pmap<std::pair<std::string, std::string>, Present> colliding_;  // (name with '_' for '.', name)
  Pmap<Membership, Present> memberships_;
};

}  // namespace klamm::metadata
