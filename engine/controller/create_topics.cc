// Topics are created: checked, placed, written down.
#include <algorithm>
#include <map>

#include "engine/controller/operation.h"
#include "engine/controller/placement.h"

namespace klamm::controller {

using metadata::ResourceType;

PartitionInfo new_partition(const Operation& op, std::vector<NodeId> replicas) {
  PartitionInfo p;
  p.replicas = std::move(replicas);
  for (NodeId n : p.replicas) {
    const metadata::Broker* b = op.image.broker(n);
    KLAMM_ASSERT(b != nullptr);
    p.directories.push_back(b->default_directory());
    if (b->active()) p.isr.push_back(n);
  }
  p.leader = p.isr.empty() ? kNoNode : p.isr[0];
  return p;
}

std::optional<Refusal> check_replicas(const Operation& op, const List<int32_t>& ids, size_t factor) {
  const auto refuse = [](std::string why) {
    return Refusal{ErrorCode::invalid_replica_assignment, "The manual partition assignment includes " + why};
  };
  if (ids.empty()) return refuse("an empty replica list.");
  std::vector<int32_t> sorted(ids.begin(), ids.end());
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (!op.image.broker(NodeId{sorted[i]}))
      return refuse("broker " + std::to_string(sorted[i]) + ", but no such broker is registered.");
    if (i > 0 && sorted[i] == sorted[i - 1])
      return refuse("the broker " + std::to_string(sorted[i]) + " more than once.");
  }
  if (factor != 0 && ids.size() != factor)
    return refuse("a partition with " + std::to_string(ids.size()) +
                  " replica(s), but this is not consistent with previous partitions, which have " +
                  std::to_string(factor) + " replica(s).");
  return std::nullopt;
}

std::vector<UsableBroker> usable_brokers(const metadata::Image& image) {
  std::vector<UsableBroker> out;
  for (const auto& [id, b] : image.brokers()) {
    const bool cordoned = !b.log_dirs.empty() && std::all_of(b.log_dirs.begin(), b.log_dirs.end(), [&](const Uuid& d) {
      return std::find(b.cordoned_log_dirs.begin(), b.cordoned_log_dirs.end(), d) != b.cordoned_log_dirs.end();
    });
    if (!b.in_controlled_shutdown && !cordoned) out.push_back({id, b.rack, b.fenced});
  }
  return out;
}

Refusal not_placed(size_t factor, const std::string& why) {
  return {ErrorCode::invalid_replication_factor,
          "Unable to replicate the partition " + std::to_string(factor) + " time(s): " + why};
}

Refusal none_active(int32_t partition) {
  return {ErrorCode::invalid_replica_assignment,
          "All brokers specified in the manual partition assignment for partition " + std::to_string(partition) +
              " are fenced or in controlled shutdown."};
}

namespace {

constexpr char kMetadataTopic[] = "__cluster_metadata";

using CreateRequest = protocol::CreateTopicsRequest;
using CreateResponse = protocol::CreateTopicsResponse;
using NewTopic = CreateRequest::CreatableTopic;

using MaybeRefused = std::optional<Refusal>;

// A topic in the making.
struct Plan {
  metadata::Properties configs;
  std::vector<PartitionInfo> partitions;
};

MaybeRefused check_name(const Operation& op, Str name) {
  if (op.image.topic(name))
    return Refusal{ErrorCode::topic_already_exists, "Topic '" + std::string(name) + "' already exists."};
  if (auto fault = topic_name_fault(name)) return Refusal{ErrorCode::invalid_topic_exception, *fault};
  if (const std::string* other = op.image.colliding_topic(name))
    return Refusal{ErrorCode::invalid_topic_exception,
                   "Topic '" + std::string(name) + "' collides with existing topic: " + *other};
  return std::nullopt;
}

MaybeRefused plan_configs(const Operation& op, const NewTopic& t, Plan& plan) {
  std::string nulls;
  for (const auto& c : t.configs) {
    if (is_null(c.value))
      nulls += (nulls.empty() ? "" : ",") + std::string(c.name);
    else
      plan.configs[std::string(c.name)] = std::string(c.value);
  }
  if (!nulls.empty()) return Refusal{ErrorCode::invalid_config, "Null value not supported for topic configs: " + nulls};
  if (auto fault = metadata::topic_config_fault(plan.configs, op.options.properties))
    return Refusal{ErrorCode::invalid_config, *fault};
  return std::nullopt;
}

MaybeRefused plan_assigned(const Operation& op, const NewTopic& t, Plan& plan) {
  constexpr char kBoth[] = "A manual partition assignment was specified, but ";
  if (t.replication_factor != -1)
    return Refusal{ErrorCode::invalid_request, std::string(kBoth) + "replication factor was not set to -1."};
  if (t.num_partitions != -1)
    return Refusal{ErrorCode::invalid_request, std::string(kBoth) + "numPartitions was not set to -1."};
  std::map<int32_t, PartitionInfo> planned;
  size_t factor = 0;
  for (const auto& a : t.assignments) {
    if (planned.contains(a.partition_index))
      return Refusal{ErrorCode::invalid_replica_assignment,
                     "Found multiple manual partition assignments for partition " + std::to_string(a.partition_index)};
    if (auto refused = check_replicas(op, a.broker_ids, factor)) return refused;
    factor = a.broker_ids.size();
    std::vector<NodeId> replicas;
    for (int32_t id : a.broker_ids) replicas.push_back(NodeId{id});
    PartitionInfo p = new_partition(op, std::move(replicas));
    if (p.isr.empty()) return none_active(a.partition_index);
    planned[a.partition_index] = std::move(p);
  }
  int32_t expected = 0;
  for (auto& [index, p] : planned) {
    if (index != expected++)
      return Refusal{ErrorCode::invalid_replica_assignment,
                     "partitions should be a consecutive 0-based integer sequence"};
    plan.partitions.push_back(std::move(p));
  }
  return std::nullopt;
}

MaybeRefused plan_placed(Operation& op, const NewTopic& t, Plan& plan) {
  if (t.replication_factor < -1 || t.replication_factor == 0)
    return Refusal{ErrorCode::invalid_replication_factor,
                   "Replication factor must be larger than 0, or -1 to use the default value."};
  if (t.num_partitions < -1 || t.num_partitions == 0)
    return Refusal{ErrorCode::invalid_partitions, "Number of partitions was set to an invalid non-positive value."};
  const int32_t count = t.num_partitions == -1 ? op.options.default_partitions : t.num_partitions;
  const int16_t factor = t.replication_factor == -1 ? op.options.default_replication_factor : t.replication_factor;
  Placement placement(op.ctx.chance, op.draws.placement, usable_brokers(op.image));
  if (auto fault = placement.fault(factor)) return not_placed(static_cast<size_t>(factor), *fault);
  for (int32_t i = 0; i < count; ++i) {
    PartitionInfo p = new_partition(op, placement.next(factor));
    if (p.isr.empty()) return not_placed(static_cast<size_t>(factor), kNoneActive);
    plan.partitions.push_back(std::move(p));
  }
  return std::nullopt;
}

void emit_topic(Operation& op, Str name, const Uuid& id, const Plan& plan) {
  protocol::TopicRecord topic;
  topic.name = name;
  topic.topic_id = id;
  op.emit(0, topic);
  for (const auto& [key, value] : plan.configs) {
    protocol::ConfigRecord config;
    config.resource_type = static_cast<int8_t>(ResourceType::topic);
    config.resource_name = name;
    config.name = key;
    config.value = value;
    op.emit(0, config);
  }
  for (size_t i = 0; i < plan.partitions.size(); ++i) {
    const PartitionInfo& p = plan.partitions[i];
    const TopicIdPartition tp{id, static_cast<int32_t>(i)};
    op.records.push_back(checked_partition_record(op.ctx.arena(), tp, p));
  }
}

void refuse(Operation& op, const Refusal& r, CreateResponse::CreatableTopicResult& out) {
  out.error_code = static_cast<int16_t>(r.code);
  out.error_message = op.text(r.message);
}

void create(Operation& op, const NewTopic& t, std::span<const TopicDefault> defaults,
            CreateResponse::CreatableTopicResult& out) {
  Plan plan;
  MaybeRefused refused = check_name(op, t.name);
  if (!refused) refused = plan_configs(op, t, plan);
  if (!refused) refused = t.assignments.empty() ? plan_placed(op, t, plan) : plan_assigned(op, t, plan);
  if (refused) return refuse(op, *refused, out);
  KLAMM_ASSERT(!plan.partitions.empty());
  const uint64_t entity = static_cast<uint64_t>(static_cast<uint32_t>(op.options.node.value));
  const Uuid id = op.ctx.chance.uuid(Stream::topic_id, entity, op.draws.topic_ids++);
  out.topic_id = id;
  out.num_partitions = static_cast<int32_t>(plan.partitions.size());
  out.replication_factor = static_cast<int16_t>(plan.partitions[0].replicas.size());
  effective_configs(op, defaults, plan.configs, out);
  emit_topic(op, t.name, id, plan);
}

int64_t wanted_partitions(const Operation& op, const CreateRequest& q) {
  int64_t n = 0;
  for (const NewTopic& t : q.topics) {
    if (!t.assignments.empty())
      n += static_cast<int64_t>(t.assignments.size());
    else
      n += t.num_partitions == -1 ? op.options.default_partitions : std::max(t.num_partitions, 0);
  }
  return n;
}

}  // namespace

void create_topics(Operation& op, int16_t, const CreateRequest& q, CreateResponse& a) {
  Arena& arena = op.ctx.arena();
  std::map<Str, int> times;
  for (const NewTopic& t : q.topics) ++times[t.name];
  const std::vector<TopicDefault> defaults = topic_defaults(op);
  const bool too_many = wanted_partitions(op, q) > kPartitionsMax;
  for (const NewTopic& t : q.topics) {
    int& n = times[t.name];
    if (n == 0) continue;  // its answer is there
    auto& out = a.topics.add(arena);
    out.name = t.name;
    out.error_message = kNullStr;
    if (n > 1)
      refuse(op, {ErrorCode::invalid_request, "Duplicate topic name."}, out);
    else if (t.name == kMetadataTopic)
      refuse(
          op,
          {ErrorCode::invalid_request, std::string("Creation of internal topic ") + kMetadataTopic + " is prohibited."},
          out);
    else if (too_many)
      refuse(op, {ErrorCode::policy_violation, "Excessively large number of partitions per request."}, out);
    else
      create(op, t, defaults, out);
    n = 0;
  }
  if (q.validate_only) op.records.clear();
}

}  // namespace klamm::controller
