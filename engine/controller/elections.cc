// Who leads, when the membership of the cluster shifts or time has come to look again.
#include <algorithm>

#include "engine/controller/operation.h"

namespace klamm::controller {

using metadata::ConfigResource;
using metadata::contains;
using metadata::ResourceType;
using metadata::Topic;

namespace {

constexpr size_t kElectionsMax = 1000;  // in one batch of timed work, as Kafka bounds it

// Whether the replica's log may be there: its directory is not known, or one of the broker's own.
bool directory_online(const metadata::Broker& broker, const Uuid& directory) {
  constexpr uint8_t kLost = 1;
  if (reserved_directory(directory)) return directory.bytes[15] != kLost;
  return broker.log_dirs.empty() ||
         std::find(broker.log_dirs.begin(), broker.log_dirs.end(), directory) != broker.log_dirs.end();
}

// A topic's value, else the dynamic one of brokers; null: neither.
const std::string* topic_config(const Operation& op, const Topic& topic, std::string_view name) {
  if (const std::string* own = op.image.config(ConfigResource{ResourceType::topic, topic.name}, name)) return own;
  return dynamic_broker_config(op, name);
}
int32_t min_insync_replicas(const Operation& op, const Topic& topic) {
  const std::string* text = topic_config(op, topic, kMinIsr);
  return text ? metadata::topic_integer(kMinIsr, *text) : op.options.min_insync_replicas;
}
bool unclean_allowed(const Operation& op, const Topic& topic) {
  constexpr char kName[] = "unclean.leader.election.enable";
  const std::string* text = topic_config(op, topic, kName);
  return text ? metadata::topic_boolean(kName, *text) : op.options.unclean_leader_election;
}

int64_t mask(const std::vector<NodeId>& nodes) {
  int64_t m = 0;
  for (NodeId n : nodes) m |= int64_t{1} << (n.value & 63);
  return m;
}

}  // namespace

const std::string* dynamic_broker_config(const Operation& op, std::string_view name) {
  const ConfigResource own{ResourceType::broker, std::to_string(op.options.node.value)};
  if (const std::string* value = op.image.config(own, name)) return value;
  return op.image.config(ConfigResource{ResourceType::broker, ""}, name);
}

PartitionChange prepare_change(const Operation& op, const Topic& topic, int32_t partition, const Shift& shift) {
  const PartitionInfo* info = topic.partitions.find(partition);
  KLAMM_ASSERT(info != nullptr);
  PartitionChange change(*info);
  for (size_t i = 0; i < info->replicas.size(); ++i) {
    const NodeId n = info->replicas[i];
    const metadata::Broker* b = op.image.broker(n);
    if (!b || n == shift.removed || n == shift.lossy || !directory_online(*b, info->directories[i])) continue;
    if (!b->in_controlled_shutdown && (!b->fenced || n == shift.added)) change.live.push_back(n);
  }
  const PartitionInfo* first = topic.partitions.find(0);  // the replication factor, were a reassignment not under way
  change.min_isr = effective_min_isr(min_insync_replicas(op, topic), (first ? first : info)->replicas.size());
  change.elr_enabled = op.elr_enabled();
  if (unclean_allowed(op, topic)) change.election = Election::unclean;
  return change;
}

std::optional<PartitionInfo> emit_change(Operation& op, const TopicIdPartition& id, const PartitionChange& change) {
  std::optional<PartitionInfo> after = apply(change);
  if (!after) return after;
  KLAMM_ASSERT(after->leader == kNoNode || contains(change.live, after->leader));
  op.records.push_back(change_record(op.ctx.arena(), id, change.before, *after));
  op.ctx.trace.event({TraceKind::partition_changed, 0, id.partition, topic_key(id.topic),
                      int64_t{after->leader.value} << 32 | after->leader_epoch, mask(after->isr)});
  return after;
}

void shift_partitions(Operation& op, const std::vector<TopicIdPartition>& partitions, const Shift& shift) {
  for (const TopicIdPartition& id : partitions) {
    const Topic* topic = op.image.topic(id.topic);
    KLAMM_ASSERT(topic != nullptr);
    PartitionChange change = prepare_change(op, *topic, id.partition, shift);
    std::erase_if(change.isr, [&](NodeId n) { return n == shift.removed || n == shift.lossy; });
    change.lossy = shift.lossy;
    emit_change(op, id, change);
  }
}

bool balance_leaders(Operation& op) {
  size_t elected = 0;
  for (const TopicIdPartition& id : op.image.memberships(metadata::kNotPreferred)) {
    if (elected == kElectionsMax) return true;
    PartitionChange change = prepare_change(op, *op.image.topic(id.topic), id.partition, {});
    const NodeId first = change.before.replicas[0];
    if (!contains(change.isr, first) || !contains(change.live, first)) continue;
    change.election = Election::preferred;
    if (emit_change(op, id, change)) ++elected;
  }
  return false;
}

bool elect_unclean_leaders(Operation& op) {
  size_t elected = 0;
  for (const TopicIdPartition& id : op.image.memberships(metadata::kLeaderless)) {
    if (elected == kElectionsMax) return true;
    const PartitionChange change = prepare_change(op, *op.image.topic(id.topic), id.partition, {});
    if (change.election == Election::unclean && emit_change(op, id, change)) ++elected;
  }
  return false;
}

}  // namespace klamm::controller
