// What an operation of the controller may see and do. Operations are functions: they read the latest image, emit the
// records of one batch, and fill the response. Only the fold of the records changes the image; soft state they change
// directly, since it is dropped with the leadership.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/base/ctx.h"
#include "engine/base/trace.h"
#include "engine/controller/options.h"
#include "engine/controller/partition_change.h"
#include "engine/controller/placement.h"
#include "engine/controller/session.h"
#include "engine/metadata/records.h"
#include "engine/protocol/messages/allocate_producer_ids.h"
#include "engine/protocol/messages/alter_configs.h"
#include "engine/protocol/messages/alter_partition.h"
#include "engine/protocol/messages/broker_heartbeat.h"
#include "engine/protocol/messages/broker_registration.h"
#include "engine/protocol/messages/controller_registration.h"
#include "engine/protocol/messages/create_partitions.h"
#include "engine/protocol/messages/create_topics.h"
#include "engine/protocol/messages/delete_topics.h"
#include "engine/protocol/messages/incremental_alter_configs.h"
#include "engine/protocol/messages/unregister_broker.h"
#include "engine/protocol/messages/update_features.h"
#include "engine/protocol/text.h"

namespace klamm::controller {

struct Operation {
  Ctx& ctx;
  const Options& options;
  const metadata::Image& image;
  Offset base;  // where the records will be appended
  Soft& soft;
  Draws& draws;
  std::vector<Slice> records;

  template<class Record>
  void emit(int16_t version, const Record& record) {
    records.push_back(metadata::encode_record(version, record));
  }
  // Text for a response: lives until the turn ends, by when the response is encoded. What names of clients make too
  // long is cut.
  Str text(const std::string& s) { return ctx.arena().copy(protocol::fitting(s)); }
  bool elr_enabled() const { return image.feature(metadata::kElrVersion) > 0; }
};

// X(message, operation): what the controller serves.
#define KLAMM_CONTROLLER_APIS(X)                        \
  X(CreateTopics, create_topics)                        \
  X(DeleteTopics, delete_topics)                        \
  X(CreatePartitions, create_partitions)                \
  X(IncrementalAlterConfigs, incremental_alter_configs) \
  X(AlterConfigs, alter_configs)                        \
  X(UpdateFeatures, update_features)                    \
  X(AlterPartition, alter_partition)                    \
  X(BrokerRegistration, register_broker)                \
  X(BrokerHeartbeat, heartbeat)                         \
  X(UnregisterBroker, unregister_broker)                \
  X(AllocateProducerIds, allocate_producer_ids)         \
  X(ControllerRegistration, register_controller)
#define KLAMM_X(message, operation) \
  void operation(Operation& op, int16_t version, const protocol::message##Request& q, protocol::message##Response& a);
KLAMM_CONTROLLER_APIS(KLAMM_X)
#undef KLAMM_X

// What a fresh cluster begins with: the records of its bootstrap.checkpoint, or the levels of all features as
// `kafka-storage format` of 4.3 chooses them; and the min.insync.replicas of all (KIP-966).
void bootstrap(Operation& op);

enum class FenceReason : int64_t { session = 0, refused = 1, asked = 2 };  // as traced
// Takes a broker out of service: its leaderships move, it leaves every isr. It must be registered.
void fence(Operation& op, NodeId broker, FenceReason reason);

// Timed work; true: there may be more at once.
bool balance_leaders(Operation& op);
bool elect_unclean_leaders(Operation& op);

// --- between the operations ---

// Why a part of a request is not carried out, in Kafka's words.
struct Refusal {
  ErrorCode code = ErrorCode::none;
  std::string message;
};

// none, or STALE_BROKER_EPOCH: the sender is not the registered incarnation.
ErrorCode check_broker_epoch(const Operation& op, int32_t broker, int64_t epoch);

// What the image does not show yet: brokers that this very operation takes away, brings, or knows to have lost data.
struct Shift {
  NodeId removed = kNoNode;
  NodeId added = kNoNode;
  NodeId lossy = kNoNode;
};
// A change of one partition with everything filled in that follows from the image: who is live, the effective
// min.insync.replicas, whether an unclean election is allowed.
PartitionChange prepare_change(const Operation& op, const metadata::Topic& topic, int32_t partition,
                               const Shift& shift);
// Emits what `change` amounts to; the partition after it, or nothing if it stays as it is.
std::optional<PartitionInfo> emit_change(Operation& op, const TopicIdPartition& id, const PartitionChange& change);
// For each of the partitions: drops the removed and the lossy from isr (and elr), elects where the leader may not lead.
void shift_partitions(Operation& op, const std::vector<TopicIdPartition>& partitions, const Shift& shift);

// Of the records of one append, with what lies beside them: what the quorum takes.
inline constexpr size_t kAppendBytesMax = 8 << 20;

inline constexpr size_t kLogDirsMax = 1000;  // of a broker

// ---- new partitions
inline constexpr int64_t kPartitionsMax = 10'000;  // in one request: they go into one batch
// On these brokers; without an isr when none of them is active.
PartitionInfo new_partition(const Operation& op, std::vector<NodeId> replicas);
// What is wrong with replicas that the client chose; `factor`: as many as other partitions have, 0: any number.
std::optional<Refusal> check_replicas(const Operation& op, const List<int32_t>& ids, size_t factor);
std::vector<UsableBroker> usable_brokers(const metadata::Image& image);
// Why brokers could not be chosen for a partition, and what is wrong with chosen ones that are all out of service.
Refusal not_placed(size_t factor, const std::string& why);
Refusal none_active(int32_t partition);
inline constexpr char kNoneActive[] = "All brokers are currently fenced or in controlled shutdown.";

// A dynamic config of brokers, this node's own before the cluster's; null: neither is set.
const std::string* dynamic_broker_config(const Operation& op, std::string_view name);
inline constexpr char kMinIsr[] = "min.insync.replicas";
// A config set, or with null removed. Another min.insync.replicas ends all eligibility under it (KIP-966): who was
// eligible holds what was acknowledged under the former one, and may lack what is acknowledged from then on. But for
// partitions without a leader, where nothing is.
void emit_config(Operation& op, const metadata::ConfigResource& r, const std::string& name, const std::string* value);
// What a topic has without an override, and where it comes from: the same for all topics of a request.
struct TopicDefault {
  const metadata::ConfigDef* def;
  Str value;  // lives until the turn ends
  int8_t source;
};
std::vector<TopicDefault> topic_defaults(Operation& op);
// The configs of a topic to be, as CreateTopics answers them.
void effective_configs(Operation& op, std::span<const TopicDefault> defaults, const metadata::Properties& overrides,
                       protocol::CreateTopicsResponse::CreatableTopicResult& out);

}  // namespace klamm::controller
