// Dynamic configs: IncrementalAlterConfigs (KIP-339) and AlterConfigs (KIP-133), of topics, brokers, client metrics
// (KIP-714) and groups (KIP-848). Each resource is changed whole or not at all.
#include <algorithm>
#include <map>

#include "engine/controller/operation.h"
#include "engine/metadata/client_match.h"
#include "engine/metadata/config_edit.h"
#include "engine/metadata/records.h"

namespace klamm::controller {

using metadata::ConfigDef;
using metadata::ConfigResource;
using metadata::ConfigScope;
using metadata::ConfigUpdate;
using metadata::Properties;
using metadata::ResourceType;
using MaybeRefused = std::optional<Refusal>;

namespace {

enum class Change : int8_t { set = 0, remove = 1, append = 2, subtract = 3 };
struct Edit {
  Str name;
  Change change;
  Str value;
};

MaybeRefused bad_request(std::string why) { return Refusal{ErrorCode::invalid_request, std::move(why)}; }
MaybeRefused bad_config(std::string why) { return Refusal{ErrorCode::invalid_config, std::move(why)}; }

MaybeRefused check_name(const ConfigResource& r) {
  switch (r.type) {
    case ResourceType::topic:
      if (r.name.empty()) return bad_request("Default topic resources are not allowed.");
      if (auto fault = topic_name_fault(r.name)) return Refusal{ErrorCode::invalid_topic_exception, *fault};
      return std::nullopt;
    case ResourceType::broker: {
      if (r.name.empty()) return std::nullopt;
      const auto id = metadata::parse_integer(r.name);
      if (!id || *id > INT32_MAX || *id < INT32_MIN)
        return bad_request("Unable to parse broker name as a base 10 number.");
      if (*id < 0) return bad_request("Invalid negative broker ID.");
      return std::nullopt;
    }
    case ResourceType::client_metrics:
      return r.name.empty() ? bad_request("Subscription name can't be empty") : std::nullopt;
    case ResourceType::group:
      return r.name.empty() ? bad_request("Default group resources are not allowed.") : std::nullopt;
    default: return bad_request("Unknown resource type " + std::to_string(static_cast<int>(r.type)));
  }
}

bool judged_here(ResourceType type) {
  return type == ResourceType::topic || type == ResourceType::client_metrics || type == ResourceType::group;
}

MaybeRefused check_existence(const Operation& op, const ConfigResource& r) {
  if (r.type == ResourceType::topic && !op.image.topic(r.name))
    return Refusal{ErrorCode::unknown_topic_or_partition, "The topic '" + r.name + "' does not exist."};
  if (r.type != ResourceType::broker || r.name.empty()) return std::nullopt;
  const NodeId node{static_cast<int32_t>(metadata::parse_integer(r.name).value())};  // a controller has configs too
  if (op.image.broker(node) || op.image.controllers().find(node) || node == op.options.node) return std::nullopt;
  return Refusal{ErrorCode::broker_id_not_registered, "No node with id " + std::to_string(node.value) + " found."};
}

ConfigScope scope_of(ResourceType type) {
  return type == ResourceType::topic            ? ConfigScope::topic
         : type == ResourceType::broker         ? ConfigScope::broker
         : type == ResourceType::client_metrics ? ConfigScope::client_metrics
                                                : ConfigScope::group;
}

// What a property of the broker is: set in the cluster, on this node, or Kafka's default.
std::string broker_value(const Operation& op, std::string_view name) {
  if (const std::string* dynamic = dynamic_broker_config(op, name)) return *dynamic;
  if (const auto it = op.options.properties.find(std::string(name)); it != op.options.properties.end())
    return it->second;
  const ConfigDef* def = metadata::find_config(ConfigScope::broker, name);
  return def && def->default_value && !def->required() ? def->default_value : "";
}

// Keys and trusted certificates differ from listener to listener: a change names the one that is meant.
bool per_listener(std::string_view name) {
  constexpr std::string_view kSecurity[] = {"ssl.key.password",
                                            "ssl.keystore.certificate.chain",
                                            "ssl.keystore.key",
                                            "ssl.keystore.location",
                                            "ssl.keystore.password",
                                            "ssl.keystore.type",
                                            "ssl.truststore.certificates",
                                            "ssl.truststore.location",
                                            "ssl.truststore.password",
                                            "ssl.truststore.type"};
  return std::find(std::begin(kSecurity), std::end(kSecurity), name) != std::end(kSecurity);
}

MaybeRefused check_broker(bool everywhere, const ConfigDef& def, const std::string& value) {
  const std::string_view name = def.name;
  if (def.update == ConfigUpdate::read_only)
    return bad_request("Cannot update these configs dynamically: [" + std::string(name) + "]");
  if (per_listener(name))
    return bad_request(
        "These security configs can be dynamically updated only per-listener using the listener prefix: [" +
        std::string(name) + "]");
  if (def.update == ConfigUpdate::per_broker && everywhere)
    return bad_request("Cannot update these configs at default cluster level, broker id must be specified: [" +
                       std::string(name) + "]");
  if (name == "listeners" || name == "listener.security.protocol.map")  // removed it may be: Kafka may have set it
    return bad_request("Cannot update these configs dynamically: [" + std::string(name) +
                       "]. A running broker keeps its listeners; change its properties and start it again.");
  const auto refusal = metadata::config_refusal(def, value);
  return refusal ? bad_request(*refusal) : std::nullopt;
}

// In Kafka's order: what is known, what its type takes, how long the interval is, what matches.
MaybeRefused check_client_metrics(const std::vector<Edit>& edits, const Properties& set) {
  for (const auto& [name, value] : set)
    if (!metadata::find_config(ConfigScope::client_metrics, name))
      return bad_request("Unknown client metrics configuration: " + name);
  for (const auto& [name, value] : set) {
    const ConfigDef& def = *metadata::find_config(ConfigScope::client_metrics, name);
    if (auto refusal = metadata::config_refusal(def, value)) return bad_config(*refusal);
    if (def.type != metadata::ConfigType::list) continue;
    for (std::string_view item : metadata::config_list(value))
      if (item.empty()) return bad_config("Configuration '" + name + "' values must not be empty.");
  }
  if (const auto it = set.find("interval.ms"); it != set.end()) {
    const auto interval = metadata::parse_integer(metadata::trimmed(it->second));
    if (!interval || *interval < metadata::kPushIntervalLeast.ms() || *interval > metadata::kPushIntervalMost.ms())
      return bad_request("Invalid value " + it->second +
                         " for interval.ms, interval must be between 100 and 3600000 (1 hour)");
  }
  // One that stands already may be known to Kafka alone.
  const bool matches = std::any_of(edits.begin(), edits.end(), [](const Edit& e) { return e.name == "match"; });
  std::string_view wrong;
  if (const auto it = set.find("match");
      matches && it != set.end() && !metadata::ClientMatch::parse(it->second, &wrong))
    return bad_config("Illegal client matching pattern: " + std::string(wrong));
  return std::nullopt;
}

// "by_duration:" is followed by a duration as ISO 8601 writes it, such as P1DT2H.
bool offset_reset(std::string_view value) {
  constexpr std::string_view kPrefix = "by_duration:P";
  if (!value.starts_with(kPrefix)) return value == "latest" || value == "earliest";
  value.remove_prefix(kPrefix.size());
  return value.find_first_of("0123456789") != value.npos && value.find_first_not_of("0123456789.DTHMS") == value.npos &&
         std::string_view("DHMS").find(value.back()) != std::string_view::npos;
}

// The broker bounds what a group may ask for: "consumer.session.timeout.ms" by "group.consumer.max.session.timeout.ms".
MaybeRefused check_group(const Operation& op, const ConfigDef& def, const std::string& value) {
  if (auto refusal = metadata::config_refusal(def, value)) return bad_config(*refusal);
  const std::string_view name = def.name;
  if (name == "share.auto.offset.reset" && !offset_reset(value))
    return bad_config(
        "Invalid value " + value + " for configuration share.auto.offset.reset: Invalid value `" + value +
        "` for configuration share.auto.offset.reset. The value must be either 'earliest', 'latest' or of "
        "the format 'by_duration:<PnDTnHnMn.nS.>'.");
  const size_t dot = name.find('.');
  std::string_view what = name.substr(dot + 1);
  if (what.starts_with("num.")) what.remove_prefix(4);  // streams.num.standby.replicas: group.streams.max.standby...
  const auto property = [&](const char* which) {
    return "group." + std::string(name.substr(0, dot)) + which + std::string(what);
  };
  const auto bound = [&](const char* which) { return metadata::parse_integer(broker_value(op, property(which))); };
  const auto number = metadata::parse_integer(metadata::trimmed(value));
  if (const auto least = bound(".min."); number && least && *number < *least)
    return bad_config(std::string(name) + " must be greater than or equal to " + property(".min."));
  if (const auto most = bound(".max."); number && most && *number > *most)
    return bad_config(std::string(name) + " must be less than or equal to " + property(".max."));
  return std::nullopt;
}

// What is to hold from now on. A broker's other configs were checked when they were set, and by the broker.
MaybeRefused check_values(const Operation& op, const ConfigResource& r, const std::vector<Edit>& edits,
                          const Properties& set) {
  if (r.type == ResourceType::client_metrics) return check_client_metrics(edits, set);
  if (r.type == ResourceType::topic) {
    const auto fault = metadata::topic_config_fault(set, op.options.properties);
    return fault ? bad_config(*fault) : std::nullopt;
  }
  for (const Edit& e : edits) {
    const auto it = set.find(std::string(e.name));
    if (it == set.end()) continue;
    const ConfigDef* def = metadata::find_config(scope_of(r.type), e.name);
    MaybeRefused refused;
    if (r.type == ResourceType::broker)
      refused = def ? check_broker(r.name.empty(), *def, it->second) : std::nullopt;
    else
      refused = def ? check_group(op, *def, it->second) : bad_config("Unknown group config name: " + it->first);
    if (refused) return refused;
  }
  return std::nullopt;
}

// The list that an edit begins with: what is set on the resource itself, else Kafka's default. What the broker's
// properties say does not count.
std::string list_now(const ConfigDef& def, const Properties& set) {
  if (const auto it = set.find(def.name); it != set.end()) return it->second;
  return def.default_value && !def.required() ? def.default_value : "";
}

MaybeRefused not_a_list(const ConfigResource& r, const Edit& e) {
  const bool append = e.change == Change::append;
  if (r.type == ResourceType::broker)
    return bad_config(std::string("Config value ") + (append ? "append" : "subtract") +
                      " is not allowed for config key: " + std::string(e.name));
  return bad_config(std::string("Can't ") + (append ? "APPEND" : "SUBTRACT") + " to key " + std::string(e.name) +
                    " because its type is not LIST.");
}

// Only those of brokers and topics: Kafka's controller does not know the others as lists.
MaybeRefused edit_list(const ConfigResource& r, const Edit& e, Properties& set) {
  const bool known = r.type == ResourceType::broker || r.type == ResourceType::topic;
  const ConfigDef* def = known ? metadata::find_config(scope_of(r.type), e.name) : nullptr;
  if (!def || def->type != metadata::ConfigType::list) return not_a_list(r, e);
  const std::string joined = metadata::edited_list(list_now(*def, set), e.value, e.change == Change::append);
  if (joined.size() > protocol::wire::kStringMax)
    return bad_config("The list of " + std::string(e.name) + " would be longer than a value may be.");
  set[std::string(e.name)] = joined;
  return std::nullopt;
}

// The request itself is at fault.
MaybeRefused check_edits(const std::vector<Edit>& edits) {
  std::map<Str, int> times;
  for (const Edit& e : edits)
    if (++times[e.name] > 1) return bad_request("Error due to duplicate config keys");
  std::string null;  // a comma before each
  for (const Edit& e : edits)
    if (e.change != Change::remove && is_null(e.value)) null.append(", ").append(e.name);
  return null.empty() ? std::nullopt : bad_request("Null value not supported for : " + null.substr(2));
}

bool known(Change c) { return c >= Change::set && c <= Change::subtract; }

// `set`: what the resource has, changed in place.
MaybeRefused apply(const ConfigResource& r, const std::vector<Edit>& edits, Properties& set) {
  for (const Edit& e : edits) {
    const std::string name(e.name);
    switch (e.change) {
      case Change::set: set[name] = std::string(e.value); break;
      case Change::remove: set.erase(name); break;
      case Change::append:
      case Change::subtract:
        if (auto refused = edit_list(r, e, set)) return refused;
        break;
      default: return bad_request("Unknown operations type " + std::to_string(static_cast<int>(e.change)));
    }
  }
  return std::nullopt;
}

// With eligible leader replicas (KIP-966) all brokers must mean the same by it, and it must be set.
MaybeRefused check_min_isr(const Operation& op, const ConfigResource& r, const std::vector<Edit>& edits,
                           const Properties& before, const Properties& after) {
  if (r.type != ResourceType::broker || !op.elr_enabled()) return std::nullopt;
  if (r.name.empty() && before.count(kMinIsr) && !after.count(kMinIsr))
    return bad_config("Cluster-level min.insync.replicas cannot be removed while ELR is enabled.");
  if (!r.name.empty() && std::any_of(edits.begin(), edits.end(), [&](const Edit& e) { return e.name == kMinIsr; }))
    return bad_config("Broker-level min.insync.replicas cannot be altered while ELR is enabled.");
  return std::nullopt;
}

Properties now_set(const Operation& op, const ConfigResource& r) {
  Properties out;
  if (const metadata::ConfigMap* configs = op.image.config(r))
    for (const auto& [name, value] : *configs) out[name] = value;
  return out;
}

void emit_difference(Operation& op, const ConfigResource& r, const Properties& before, const Properties& after) {
  for (const auto& [name, value] : after)
    if (const auto it = before.find(name); it == before.end() || it->second != value) emit_config(op, r, name, &value);
  for (const auto& [name, value] : before)
    if (!after.count(name)) emit_config(op, r, name, nullptr);
}

struct How {
  bool afresh = false;  // what was set before goes
  bool validate_only = false;
};

// In Kafka's order, which tells what is wrong with a change before whose it is.
MaybeRefused alter_one(Operation& op, const ConfigResource& r, const std::vector<Edit>& edits, How how) {
  if (auto refused = check_edits(edits)) return refused;
  if (!judged_here(r.type) && r.type != ResourceType::broker) return check_name(r);
  const Properties before = now_set(op, r);
  Properties after = how.afresh ? Properties() : before;
  if (auto refused = apply(r, edits, after)) return refused;
  if (auto refused = check_name(r)) return refused;
  if (auto refused = check_values(op, r, edits, after)) return refused;
  if (auto refused = check_existence(op, r)) return refused;
  if (auto refused = check_min_isr(op, r, edits, before, after)) return refused;
  if (!how.validate_only) emit_difference(op, r, before, after);
  return std::nullopt;
}

// Whether an operation that nobody knows reaches Kafka's controller, which then answers for nothing of the request.
// A broker's own changes are refused by that broker before.
bool spoils(const ConfigResource& r, const std::vector<Edit>& edits) {
  return judged_here(r.type) && !check_edits(edits) &&
         !std::all_of(edits.begin(), edits.end(), [](const Edit& e) { return known(e.change); });
}

// `edits_of`: a resource's edits; `afresh`: what was set before goes.
template<class Request, class Response, class EditsOf>
void alter(Operation& op, const Request& q, Response& a, bool afresh, EditsOf edits_of) {
  std::map<ConfigResource, int> times;
  const auto resource = [](const auto& r) {
    return ConfigResource{static_cast<ResourceType>(r.resource_type), std::string(r.resource_name)};
  };
  for (const auto& r : q.resources) ++times[resource(r)];
  bool spoilt = false;
  for (const auto& r : q.resources) spoilt |= times[resource(r)] == 1 && spoils(resource(r), edits_of(r));
  for (const auto& r : q.resources) {
    const ConfigResource id = resource(r);
    const std::vector<Edit> edits = edits_of(r);
    auto& out = a.responses.add(op.ctx.arena());
    out.resource_type = r.resource_type;
    out.resource_name = r.resource_name;
    MaybeRefused refused;
    if (times[id] > 1)
      refused = bad_request("Each resource must appear at most once.");
    else if (spoilt && judged_here(id.type))
      refused = check_edits(edits);
    else
      refused = alter_one(op, id, edits, {afresh, q.validate_only || spoilt});
    if (spoilt && !refused) refused = Refusal{ErrorCode::unknown_server_error, ""};
    out.error_message = refused && !refused->message.empty() ? op.text(refused->message) : kNullStr;
    if (refused) out.error_code = static_cast<int16_t>(refused->code);
  }
}

// Nothing has been acknowledged since they lost their leaders: who was eligible still is, and nobody else ever could
// be.
void keep_leaderless_eligible(Operation& op, Str topic) {
  const auto keep = [&](const TopicIdPartition& id, const metadata::PartitionInfo& info) {
    if (info.elr.empty() && info.last_known_elr.empty()) return;
    protocol::PartitionChangeRecord r;
    r.topic_id = id.topic;
    r.partition_id = id.partition;
    r.eligible_leader_replicas = metadata::numbers(op.ctx.arena(), info.elr);
    r.last_known_elr = metadata::numbers(op.ctx.arena(), info.last_known_elr);
    op.emit(metadata::kPartitionVersion, r);
  };
  if (topic.empty()) {
    for (const TopicIdPartition& id : op.image.memberships(metadata::kLeaderless)) keep(id, *op.image.partition(id));
  } else if (const metadata::Topic* t = op.image.topic(topic)) {
    for (const auto& [index, info] : t->partitions)
      if (info.leader == kNoNode) keep({t->id, index}, info);
  }
}

}  // namespace

void emit_config(Operation& op, const ConfigResource& r, const std::string& name, const std::string* value) {
  protocol::ConfigRecord record;
  record.resource_type = static_cast<int8_t>(r.type);
  record.resource_name = r.name;
  record.name = name;
  record.value = value ? Str(*value) : kNullStr;
  op.emit(0, record);
  const bool topic = r.type == ResourceType::topic;
  if (name != kMinIsr || !(topic || r.type == ResourceType::broker) || !op.elr_enabled()) return;
  protocol::ClearElrRecord clear;  // of all topics, when no name is given
  if (topic) clear.topic_name = r.name;
  op.emit(0, clear);
  keep_leaderless_eligible(op, clear.topic_name);
}

void incremental_alter_configs(Operation& op, int16_t, const protocol::IncrementalAlterConfigsRequest& q,
                               protocol::IncrementalAlterConfigsResponse& a) {
  alter(op, q, a, false, [](const auto& r) {
    std::vector<Edit> edits;
    for (const auto& c : r.configs) edits.push_back({c.name, static_cast<Change>(c.config_operation), c.value});
    return edits;
  });
}

void alter_configs(Operation& op, int16_t, const protocol::AlterConfigsRequest& q, protocol::AlterConfigsResponse& a) {
  alter(op, q, a, true, [](const auto& r) {
    std::vector<Edit> edits;
    for (const auto& c : r.configs) edits.push_back({c.name, Change::set, c.value});
    return edits;
  });
}

}  // namespace klamm::controller
