// Topics are created and deleted.
#include <algorithm>
#include <map>
#include <set>

#include "engine/controller/operation.h"
#include "engine/controller/placement.h"

namespace klamm::controller {

using metadata::ConfigResource;
using metadata::ResourceType;
using metadata::Topic;

namespace {

constexpr int64_t kPartitionsMax = 10'000;  // in one request: they go into one batch
constexpr char kMetadataTopic[] = "__cluster_metadata";

using CreateRequest = protocol::CreateTopicsRequest;
using CreateResponse = protocol::CreateTopicsResponse;
using NewTopic = CreateRequest::CreatableTopic;

struct Refusal {
  ErrorCode code = ErrorCode::none;
  std::string message;
};
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

MaybeRefused plan_configs(const NewTopic& t, Plan& plan) {
  std::string nulls;
  for (const auto& c : t.configs) {
    if (is_null(c.value))
      nulls += (nulls.empty() ? "" : ",") + std::string(c.name);
    else
      plan.configs[std::string(c.name)] = std::string(c.value);
  }
  if (!nulls.empty()) return Refusal{ErrorCode::invalid_config, "Null value not supported for topic configs: " + nulls};
  if (auto fault = metadata::topic_config_fault(plan.configs)) return Refusal{ErrorCode::invalid_config, *fault};
  if (const auto remote = plan.configs.find("remote.storage.enable");
      remote != plan.configs.end() && remote->second == "true")
    return Refusal{ErrorCode::invalid_config,
                   "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log "
                   "storage."};
  return std::nullopt;
}

// A new partition on these brokers; without an isr when none of them is active.
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

MaybeRefused check_replicas(const Operation& op, const List<int32_t>& ids, size_t factor) {
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

MaybeRefused plan_assigned(const Operation& op, const NewTopic& t, Plan& plan) {
  constexpr char kBoth[] = "A manual partition assignment was specified, but ";
  if (t.replication_factor != -1)
    return Refusal{ErrorCode::invalid_request, std::string(kBoth) + "replication factor was not set to -1."};
  if (t.num_partitions != -1)
    return Refusal{ErrorCode::invalid_request, std::string(kBoth) + "numPartitions was not set to -1."};
  std::map<int32_t, PartitionInfo> planned;
  size_t factor = 0;
  for (const auto& a : t.assignments) {
    const std::string index = std::to_string(a.partition_index);
    if (planned.contains(a.partition_index))
      return Refusal{ErrorCode::invalid_replica_assignment,
                     "Found multiple manual partition assignments for partition " + index};
    if (auto refused = check_replicas(op, a.broker_ids, factor)) return refused;
    factor = a.broker_ids.size();
    std::vector<NodeId> replicas;
    for (int32_t id : a.broker_ids) replicas.push_back(NodeId{id});
    PartitionInfo p = new_partition(op, std::move(replicas));
    if (p.isr.empty())
      return Refusal{ErrorCode::invalid_replica_assignment,
                     "All brokers specified in the manual partition assignment for partition " + index +
                         " are fenced or in controlled shutdown."};
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

MaybeRefused plan_placed(Operation& op, const NewTopic& t, Plan& plan) {
  if (t.replication_factor < -1 || t.replication_factor == 0)
    return Refusal{ErrorCode::invalid_replication_factor,
                   "Replication factor must be larger than 0, or -1 to use the default value."};
  if (t.num_partitions < -1 || t.num_partitions == 0)
    return Refusal{ErrorCode::invalid_partitions, "Number of partitions was set to an invalid non-positive value."};
  const int32_t count = t.num_partitions == -1 ? op.options.default_partitions : t.num_partitions;
  const int16_t factor = t.replication_factor == -1 ? op.options.default_replication_factor : t.replication_factor;
  const auto refuse = [&](const std::string& why) {
    return Refusal{ErrorCode::invalid_replication_factor,
                   "Unable to replicate the partition " + std::to_string(factor) + " time(s): " + why};
  };
  Placement placement(op.ctx.chance, op.draws.placement, usable_brokers(op.image));
  if (auto fault = placement.fault(factor)) return refuse(*fault);
  for (int32_t i = 0; i < count; ++i) {
    PartitionInfo p = new_partition(op, placement.next(factor));
    if (p.isr.empty()) return refuse("All brokers are currently fenced or in controlled shutdown.");
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
    op.records.push_back(partition_record(op.ctx.arena(), tp, p));
  }
}

void refuse(Operation& op, const Refusal& r, CreateResponse::CreatableTopicResult& out) {
  out.error_code = static_cast<int16_t>(r.code);
  out.error_message = op.text(r.message);
}

void create(Operation& op, const NewTopic& t, CreateResponse::CreatableTopicResult& out) {
  Plan plan;
  MaybeRefused refused = check_name(op, t.name);
  if (!refused) refused = plan_configs(t, plan);
  if (!refused) refused = t.assignments.empty() ? plan_placed(op, t, plan) : plan_assigned(op, t, plan);
  if (refused) return refuse(op, *refused, out);
  KLAMM_ASSERT(!plan.partitions.empty());
  const uint64_t entity = static_cast<uint64_t>(static_cast<uint32_t>(op.options.node.value));
  const Uuid id = op.ctx.chance.uuid(Stream::topic_id, entity, op.draws.topic_ids++);
  out.topic_id = id;
  out.num_partitions = static_cast<int32_t>(plan.partitions.size());
  out.replication_factor = static_cast<int16_t>(plan.partitions[0].replicas.size());
  effective_configs(op, plan.configs, out);
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
      create(op, t, out);
    n = 0;
  }
  if (q.validate_only) op.records.clear();
}

// --- deletion ---

namespace {

using DeleteRequest = protocol::DeleteTopicsRequest;
using DeleteResponse = protocol::DeleteTopicsResponse;

// The topics of a DeleteTopics request, resolved; each topic is named at most once or refused.
class Deletion final {
 public:
  Deletion(Operation& op, DeleteResponse& a) : op_(op), answer_(a) {}

  void name(Str name) { ++names_[name]; }
  void id(const Uuid& id) { ++ids_[id]; }
  void refuse(Str name, const Uuid& id, const Refusal& r) {
    auto& out = result(name, id);
    out.error_code = static_cast<int16_t>(r.code);
    if (!r.message.empty()) out.error_message = op_.text(r.message);
  }
  void carry_out() {
    for (const auto& [id, times] : ids_) {
      const Topic* t = op_.image.topic(id);
      if (times > 1)
        refuse(kNullStr, id, {ErrorCode::invalid_request, "Duplicate topic id."});
      else if (!t)
        refuse(kNullStr, id, {ErrorCode::unknown_topic_id, "This server does not host this topic ID."});
      else
        doomed_[id] = t;
    }
    for (const auto& [name, times] : names_) {
      const Topic* t = op_.image.topic(name);
      if (times > 1)
        refuse(name, Uuid{}, {ErrorCode::invalid_request, "Duplicate topic name."});
      else if (!t)
        refuse(name, Uuid{},
               {ErrorCode::unknown_topic_or_partition, "This server does not host this topic-partition."});
      else if (ids_.contains(t->id)) {
        refuse(name, t->id,
               {ErrorCode::invalid_request, "The provided topic name maps to an ID that was already supplied."});
        doomed_.erase(t->id);
      } else {
        doomed_[t->id] = t;
      }
    }
    for (const auto& [id, topic] : doomed_) {
      protocol::RemoveTopicRecord r;
      r.topic_id = id;
      op_.emit(0, r);
      result(op_.text(topic->name), id);
    }
  }

 private:
  DeleteResponse::DeletableTopicResult& result(Str name, const Uuid& id) {
    auto& out = answer_.responses.add(op_.ctx.arena());
    out.name = name;
    out.topic_id = id;
    return out;
  }
  Operation& op_;
  DeleteResponse& answer_;
  std::map<Str, int> names_;
  std::map<Uuid, int> ids_;
  std::map<Uuid, const Topic*> doomed_;
};

}  // namespace

void delete_topics(Operation& op, int16_t version, const DeleteRequest& q, DeleteResponse& a) {
  Deletion deletion(op, a);
  const bool disabled = !op.options.delete_topic_enable;
  const Refusal off{version < 3 ? ErrorCode::invalid_request : ErrorCode::topic_deletion_disabled,
                    "Topic deletion is disabled."};
  for (Str name : q.topic_names) disabled ? deletion.refuse(name, Uuid{}, off) : deletion.name(name);
  for (const auto& t : q.topics) {
    if (disabled)
      deletion.refuse(t.name, t.topic_id, off);
    else if (is_null(t.name) && t.topic_id.zero())
      deletion.refuse(t.name, t.topic_id, {ErrorCode::invalid_request, "Neither topic name nor id were specified."});
    else if (!is_null(t.name) && !t.topic_id.zero())
      deletion.refuse(t.name, t.topic_id,
                      {ErrorCode::invalid_request, "You may not specify both topic name and topic id."});
    else if (is_null(t.name))
      deletion.id(t.topic_id);
    else
      deletion.name(t.name);
  }
  deletion.carry_out();
}

// --- configs as the answer shows them ---

namespace {

enum class ConfigSource : int8_t {
  topic = 1,
  dynamic_broker = 2,
  dynamic_default_broker = 3,
  static_broker = 4,
  none = 5
};

metadata::Properties broker_layer(const metadata::Image& image, const std::string& name) {
  metadata::Properties out;
  if (const metadata::ConfigMap* configs = image.config(ConfigResource{ResourceType::broker, name}))
    for (const auto& [key, value] : *configs) out[key] = value;
  return out;
}

// Whether one of the properties that a topic's default comes from is set here.
bool sets(const metadata::Properties& layer, const metadata::ConfigDef& def) {
  for (std::string_view synonym : metadata::config_list(def.synonyms))
    if (layer.contains(std::string(synonym.substr(0, synonym.find('*'))))) return true;
  return false;
}

}  // namespace

void effective_configs(Operation& op, const metadata::Properties& overrides,
                       CreateResponse::CreatableTopicResult& out) {
  const struct {
    ConfigSource source;
    metadata::Properties properties;
  } layers[] = {
      {ConfigSource::dynamic_broker, broker_layer(op.image, std::to_string(op.options.node.value))},
      {ConfigSource::dynamic_default_broker, broker_layer(op.image, "")},
      {ConfigSource::static_broker, op.options.properties},
  };
  static const metadata::Properties kNone;
  for (const metadata::ConfigDef& def : metadata::config_defs(metadata::ConfigScope::topic)) {
    if (def.internal) continue;
    ConfigSource source = ConfigSource::none;
    const metadata::Properties* broker = &kNone;
    for (const auto& layer : layers) {
      if (!sets(layer.properties, def)) continue;
      source = layer.source;
      broker = &layer.properties;
      break;
    }
    if (overrides.contains(def.name)) source = ConfigSource::topic;
    const std::optional<std::string> value = metadata::topic_config_value(def, overrides, *broker);
    auto& c = out.configs.add(op.ctx.arena());
    c.name = def.name;
    c.value = value ? op.text(*value) : kNullStr;
    c.config_source = static_cast<int8_t>(source);
    c.is_sensitive = def.sensitive();
  }
}

}  // namespace klamm::controller
