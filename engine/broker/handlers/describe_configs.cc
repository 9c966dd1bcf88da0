// DescribeConfigs 1-4 (KIP-133, KIP-226, KIP-569): every config of a broker, topic, group or client metrics
// subscription, with where its value comes from and what would hold in its place. ListConfigResources 0-1 (KIP-1000,
// KIP-1142): which of them have names. There are no loggers whose levels could be told.
#include "engine/protocol/messages/describe_configs.h"

#include <algorithm>
#include <set>

#include "engine/broker/handlers.h"
#include "engine/controller/rules.h"
#include "engine/protocol/messages/list_config_resources.h"

namespace klamm::broker {
namespace {

using metadata::ConfigDef;
using metadata::ConfigScope;
using metadata::ConfigUpdate;
using metadata::ResourceType;
using protocol::DescribeConfigsRequest;
using protocol::DescribeConfigsResponse;

enum class Source : int8_t {
  topic = 1,
  dynamic_broker = 2,
  dynamic_default = 3,
  static_broker = 4,
  none = 5,
  client_metrics = 7,
  group = 8
};

struct Synonym {
  std::string name;
  std::string value;
  Source source;
};

// One resource's entries in the making.
struct Describing {
  Turn& t;
  const DescribeConfigsRequest& q;
  const DescribeConfigsRequest::DescribeConfigsResource& r;
  DescribeConfigsResponse::DescribeConfigsResult& out;

  // Those that were asked for, in the order of their names. One look at each key, however many there are.
  std::vector<const ConfigDef*> wanted(ConfigScope scope) const {
    const std::span<const ConfigDef> defs = metadata::config_defs(scope);
    std::vector<bool> asked(defs.size(), r.configuration_keys.empty());
    for (Str key : r.configuration_keys)
      if (const ConfigDef* def = metadata::find_config(scope, key))
        asked[static_cast<size_t>(def - defs.data())] = true;
    std::vector<const ConfigDef*> all;
    for (size_t i = 0; i < defs.size(); ++i)
      if (asked[i]) all.push_back(&defs[i]);
    return all;
  }
  const std::string* set(ResourceType type, const std::string& resource, Str name) const {
    return t.p.image.config({type, resource}, name);
  }
  // What holds for a property of the broker, the strongest first.
  void broker_layers(const std::string& name, std::vector<Synonym>& all) const {
    if (const std::string* v = set(ResourceType::broker, std::to_string(t.p.config.node_id), name))
      all.push_back({name, *v, Source::dynamic_broker});
    if (const std::string* v = set(ResourceType::broker, "", name)) all.push_back({name, *v, Source::dynamic_default});
    if (const auto it = t.p.boot.properties.find(name); it != t.p.boot.properties.end())
      all.push_back({name, it->second, Source::static_broker});
    const ConfigDef* def = metadata::find_config(ConfigScope::broker, name);
    if (def && def->default_value && !def->required()) all.push_back({name, def->default_value, Source::none});
  }
  void add(const ConfigDef& def, const std::optional<std::string>& value, bool read_only,
           const std::vector<Synonym>& all) {
    auto& x = out.configs.add(t.arena());
    x.name = def.name;
    x.value = value && !def.sensitive() ? t.arena().copy(*value) : kNullStr;
    x.read_only = read_only;
    x.config_source = static_cast<int8_t>(all.empty() ? Source::none : all[0].source);
    x.is_sensitive = def.sensitive();
    x.config_type = static_cast<int8_t>(def.type);
    x.documentation = q.include_documentation ? Str("") : kNullStr;
    if (!q.include_synonyms) return;
    for (const Synonym& s : all) {
      auto& y = x.synonyms.add(t.arena());
      y.name = t.arena().copy(s.name);
      y.value = def.sensitive() ? kNullStr : t.arena().copy(s.value);
      y.source = static_cast<int8_t>(s.source);
    }
  }
  void refuse(ErrorCode error, const char* message) {
    out.error_code = code(error);
    out.error_message = message;
  }
};

std::optional<std::string> first_value(const std::vector<Synonym>& all) {
  return all.empty() ? std::nullopt : std::optional(all[0].value);
}

std::string first_synonym(const ConfigDef& def) {
  const auto names = metadata::config_list(def.synonyms);
  return names.empty() ? std::string() : std::string(names[0].substr(0, names[0].find('*')));
}

void describe_topic(Describing& d) {
  if (controller::topic_name_fault(d.r.resource_name))
    return d.refuse(ErrorCode::invalid_topic_exception, "The topic name is invalid.");
  if (!d.t.p.image.topic(d.r.resource_name))
    return d.refuse(ErrorCode::unknown_topic_or_partition, "This server does not host this topic.");
  const std::string topic(d.r.resource_name);
  metadata::Properties overrides;
  if (const metadata::ConfigMap* map = d.t.p.image.config({ResourceType::topic, topic}))
    for (const auto& [key, value] : *map) overrides[key] = value;
  for (const ConfigDef* wanted : d.wanted(ConfigScope::topic)) {
    const ConfigDef& def = *wanted;
    if (def.internal && !overrides.count(def.name)) continue;
    std::vector<Synonym> all;
    if (const auto it = overrides.find(def.name); it != overrides.end())
      all.push_back({def.name, it->second, Source::topic});
    if (const std::string synonym = first_synonym(def); !synonym.empty()) d.broker_layers(synonym, all);
    d.add(def, metadata::topic_config_value(def, overrides, d.t.p.properties), false, all);
  }
}

// Without an id: what is set for all brokers, and nothing else.
void describe_brokers(Describing& d) {
  for (const ConfigDef* def : d.wanted(ConfigScope::broker)) {
    const std::string* value = d.set(ResourceType::broker, "", def->name);
    if (value) d.add(*def, *value, false, {{def->name, *value, Source::dynamic_default}});
  }
}

// Rates that throttle replication are dynamic only: without a value they are not there.
bool dynamic_only(std::string_view name) {
  return name == "leader.replication.throttled.rate" || name == "follower.replication.throttled.rate" ||
         name == "replica.alter.log.dirs.io.max.bytes.per.second";
}

void describe_broker(Describing& d) {
  if (d.r.resource_name.empty()) return describe_brokers(d);
  if (d.r.resource_name != Str(std::to_string(d.t.p.config.node_id)))
    return d.refuse(ErrorCode::invalid_request, "Unexpected broker id: a broker tells its own configs only.");
  for (const ConfigDef* wanted : d.wanted(ConfigScope::broker)) {
    const ConfigDef& def = *wanted;
    if (def.internal || std::string_view(def.name).starts_with("klamm.")) continue;
    std::vector<Synonym> all;
    d.broker_layers(def.name, all);
    if (dynamic_only(def.name) && (all.empty() || all[0].source == Source::none)) continue;
    d.add(def, first_value(all), def.update == ConfigUpdate::read_only, all);
  }
}

void describe_group(Describing& d) {
  if (d.r.resource_name.empty()) return d.refuse(ErrorCode::invalid_request, "Group name must not be empty.");
  for (const ConfigDef* wanted : d.wanted(ConfigScope::group)) {
    const ConfigDef& def = *wanted;
    std::vector<Synonym> all;
    if (const std::string* v = d.set(ResourceType::group, std::string(d.r.resource_name), def.name))
      all.push_back({def.name, *v, Source::group});
    const std::string synonym = first_synonym(def);
    if (!synonym.empty())
      d.broker_layers(synonym, all);
    else if (def.default_value)
      all.push_back({def.name, def.default_value, Source::none});
    d.add(def, first_value(all), false, all);
  }
}

void describe_client_metrics(Describing& d) {
  if (d.r.resource_name.empty())
    return d.refuse(ErrorCode::invalid_request, "Client metrics subscription name must not be empty.");
  for (const ConfigDef* wanted : d.wanted(ConfigScope::client_metrics)) {
    const ConfigDef& def = *wanted;
    std::vector<Synonym> all;
    if (const std::string* v = d.set(ResourceType::client_metrics, std::string(d.r.resource_name), def.name))
      all.push_back({def.name, *v, Source::client_metrics});
    d.add(def, all.empty() ? std::optional<std::string>(def.default_value) : first_value(all), false, all);
  }
}

}  // namespace

void handle_describe_configs(Turn& t, Request& request) {
  DescribeConfigsRequest q;
  if (!decode_body(request, t.arena(), q)) return t.close(request.ticket);
  DescribeConfigsResponse m;
  const AnswerRoom room(t.arena());
  for (const auto& r : q.resources) {
    if (!room.left()) return t.close(request.ticket);
    auto& out = m.results.add(t.arena());
    out.resource_type = r.resource_type;
    out.resource_name = r.resource_name;
    out.error_message = kNullStr;
    Describing d{t, q, r, out};
    switch (static_cast<ResourceType>(r.resource_type)) {
      case ResourceType::topic: describe_topic(d); break;
      case ResourceType::broker: describe_broker(d); break;
      case ResourceType::broker_logger: break;
      case ResourceType::group: describe_group(d); break;
      case ResourceType::client_metrics: describe_client_metrics(d); break;
      default: d.refuse(ErrorCode::invalid_request, "Unsupported resource type.");
    }
  }
  t.answer(request.ticket, m, 4096);
}

void handle_list_config_resources(Turn& t, Request& r) {
  protocol::ListConfigResourcesRequest q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  protocol::ListConfigResourcesResponse m;
  constexpr ResourceType kAll[] = {ResourceType::topic, ResourceType::broker, ResourceType::broker_logger,
                                   ResourceType::client_metrics, ResourceType::group};
  std::set<ResourceType> types;
  if (r.ticket.version == 0) types.insert(ResourceType::client_metrics);
  for (int8_t type : q.resource_types) {
    if (std::find(std::begin(kAll), std::end(kAll), static_cast<ResourceType>(type)) == std::end(kAll)) {
      m.error_code = code(ErrorCode::unsupported_version);
      return t.answer(r.ticket, m);
    }
    types.insert(static_cast<ResourceType>(type));
  }
  if (types.empty()) types.insert(std::begin(kAll), std::end(kAll));
  const auto add = [&](ResourceType type, Str name) {
    auto& x = m.config_resources.add(t.arena());
    x.resource_name = name;
    if (r.ticket.version >= 1) x.resource_type = static_cast<int8_t>(type);
  };
  for (ResourceType type : types) {
    if (type == ResourceType::topic)
      for (const auto& [name, id] : t.p.image.topics_by_name()) add(type, name);
    else if (type == ResourceType::broker || type == ResourceType::broker_logger)
      for (const auto& [id, broker] : t.p.image.brokers()) add(type, t.arena().copy(std::to_string(id.value)));
    else
      for (const auto& [resource, configs] : t.p.image.configs())
        if (resource.type == type) add(type, resource.name);
  }
  t.answer(r.ticket, m, 1024);
}

}  // namespace klamm::broker
