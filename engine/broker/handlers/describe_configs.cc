// DescribeConfigs 1-4 (KIP-133, KIP-226, KIP-569): every config of a broker, topic, group or client metrics
// subscription, with where its value comes from and what would hold in its place. ListConfigResources 0-1 (KIP-1000,
// KIP-1142): which of them have names. There are no loggers whose levels could be told.
#include "engine/protocol/messages/describe_configs.h"

#include <algorithm>
#include <set>

#include "engine/broker/handlers.h"
#include "engine/controller/rules.h"
#include "engine/protocol/messages/list_config_resources.h"
#include "engine/protocol/text.h"

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

// Properties of one meaning in different units, the finest first.
constexpr std::string_view kRoll[] = {"log.roll.ms", "log.roll.hours"};
constexpr std::string_view kJitter[] = {"log.roll.jitter.ms", "log.roll.jitter.hours"};
constexpr std::string_view kFlush[] = {"log.flush.interval.ms", "log.flush.scheduler.interval.ms"};
constexpr std::string_view kRetention[] = {"log.retention.ms", "log.retention.minutes", "log.retention.hours"};
constexpr std::span<const std::string_view> kUnits[] = {kRoll, kJitter, kFlush, kRetention};

std::vector<std::string> units_of(const std::string& name) {
  for (const auto& group : kUnits)
    if (std::find(group.begin(), group.end(), name) != group.end()) return {group.begin(), group.end()};
  return {name};
}

// Nothing, or why a broker's own resource is not the one that is named.
std::optional<std::string> not_this_broker(const Turn& t, Str name, const char* allowed) {
  const std::string text(name), own = std::to_string(t.p.config.node_id);
  const auto id = metadata::parse_integer(name);
  if (!id || *id > INT32_MAX || *id < INT32_MIN) return "Broker id must be an integer, but it is: " + text;
  if (*id == t.p.config.node_id) return std::nullopt;
  return "Unexpected broker id, expected " + own + allowed + " but received " + text;
}

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
  const std::string* fixed(const std::string& name) const {
    const metadata::Properties& fixed = t.p.boot.properties;
    auto it = fixed.find(name);
    if (it == fixed.end() && name == "broker.id") it = fixed.find("node.id");
    return it == fixed.end() ? nullptr : &it->second;
  }
  // What holds for a property of the broker, the strongest first. Of properties that mean the same in other units
  // Kafka tells what comes after the one that is asked for.
  void broker_layers(const std::string& name, std::vector<Synonym>& all) const {
    const size_t before = all.size();
    const auto add_layer = [&](Source source, auto value_of) {
      for (const std::string& synonym : units_of(name))
        if (const auto* v = value_of(synonym); v && (all.size() > before || synonym == name))
          all.push_back({synonym, *v, source});
    };
    const std::string id = std::to_string(t.p.config.node_id);
    add_layer(Source::dynamic_broker, [&](const std::string& n) { return set(ResourceType::broker, id, n); });
    add_layer(Source::dynamic_default, [&](const std::string& n) { return set(ResourceType::broker, "", n); });
    add_layer(Source::static_broker, [&](const std::string& n) { return fixed(n); });
    std::string text;
    add_layer(Source::none, [&](const std::string& n) -> const std::string* {
      const ConfigDef* def = metadata::find_config(ConfigScope::broker, n);
      if (!def || !def->default_value || def->required()) return nullptr;
      text = def->default_value;
      return &text;
    });
  }
  DescribeConfigsResponse::DescribeConfigsResourceResult& add(const ConfigDef& def,
                                                              const std::optional<std::string>& value, bool read_only,
                                                              const std::vector<Synonym>& all) {
    auto& x = out.configs.add(t.arena());
    x.name = def.name;
    x.value = value && !def.sensitive() ? t.arena().copy(metadata::config_shown(def, *value)) : kNullStr;
    x.read_only = read_only;
    x.config_source = static_cast<int8_t>(all.empty() ? Source::none : all[0].source);
    x.is_sensitive = def.sensitive();
    x.config_type = static_cast<int8_t>(def.type);
    x.documentation = q.include_documentation ? Str("") : kNullStr;
    if (!q.include_synonyms) return x;
    for (const Synonym& s : all) {
      auto& y = x.synonyms.add(t.arena());
      y.name = t.arena().copy(s.name);
      y.value = def.sensitive() ? kNullStr : t.arena().copy(metadata::config_shown(def, s.value));
      y.source = static_cast<int8_t>(s.source);
    }
    return x;
  }
  // What no definition knows may be a secret: it is named only.
  void add_unknown(const std::string& broker, Source source) {
    const metadata::ConfigMap* map = t.p.image.config({ResourceType::broker, broker});
    if (!map) return;
    std::set<Str> asked;  // of those that are set
    for (Str key : r.configuration_keys)
      if (t.p.image.config({ResourceType::broker, broker}, key)) asked.insert(key);
    for (const auto& [name, value] : *map) {
      const bool known = metadata::find_config(ConfigScope::broker, name) || name.starts_with("listener.name.");
      if (known || (!r.configuration_keys.empty() && !asked.contains(name))) continue;
      ConfigDef def{};
      def.name = name.c_str();
      def.type = metadata::ConfigType::password;
      add(def, std::nullopt, true, {{name, "", source}}).config_type = 0;
    }
  }
  void refuse(ErrorCode error, const std::string& message) {
    out.error_code = code(error);
    out.error_message = t.arena().copy(protocol::fitting(message));
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
  if (const auto fault = controller::topic_name_fault(d.r.resource_name))
    return d.refuse(ErrorCode::invalid_topic_exception, *fault);
  if (!d.t.p.image.topic(d.r.resource_name)) return d.refuse(ErrorCode::unknown_topic_or_partition, "");
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
  d.add_unknown("", Source::dynamic_default);
}

// Rates that throttle replication are dynamic only: without a value they are not there.
bool dynamic_only(std::string_view name) {
  return name == "leader.replication.throttled.rate" || name == "follower.replication.throttled.rate" ||
         name == "replica.alter.log.dirs.io.max.bytes.per.second";
}

void describe_broker(Describing& d) {
  if (d.r.resource_name.empty()) return describe_brokers(d);
  if (const auto fault = not_this_broker(d.t, d.r.resource_name, " or empty string,"))
    return d.refuse(ErrorCode::invalid_request, *fault);
  for (const ConfigDef* wanted : d.wanted(ConfigScope::broker)) {
    const ConfigDef& def = *wanted;
    if (def.internal || std::string_view(def.name).starts_with("klamm.")) continue;
    std::vector<Synonym> all;
    d.broker_layers(def.name, all);
    if (dynamic_only(def.name) && (all.empty() || all[0].source == Source::none)) continue;
    d.add(def, first_value(all), def.update == ConfigUpdate::read_only, all);
  }
  d.add_unknown(std::to_string(d.t.p.config.node_id), Source::dynamic_broker);
}

void describe_loggers(Describing& d) {
  if (d.r.resource_name.empty()) return d.refuse(ErrorCode::invalid_request, "Broker id must not be empty");
  if (const auto fault = not_this_broker(d.t, d.r.resource_name, "")) d.refuse(ErrorCode::invalid_request, *fault);
}

void describe_group(Describing& d) {
  if (d.r.resource_name.empty()) return d.refuse(ErrorCode::invalid_request, "Group name must not be empty");
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
    return d.refuse(ErrorCode::invalid_request, "Client metrics subscription name must not be empty");
  for (const ConfigDef* wanted : d.wanted(ConfigScope::client_metrics)) {
    const ConfigDef& def = *wanted;
    std::vector<Synonym> all;
    if (const std::string* v = d.set(ResourceType::client_metrics, std::string(d.r.resource_name), def.name))
      all.push_back({def.name, *v, Source::client_metrics});
    d.add(def, all.empty() ? std::optional<std::string>(def.default_value) : first_value(all), false, all);
  }
}

constexpr ResourceType kDescribable[] = {ResourceType::topic, ResourceType::broker, ResourceType::broker_logger,
                                         ResourceType::client_metrics, ResourceType::group};
bool describable(int8_t type) {
  return std::find(std::begin(kDescribable), std::end(kDescribable), static_cast<ResourceType>(type)) !=
         std::end(kDescribable);
}

}  // namespace

void handle_describe_configs(Turn& t, Request& request) {
  DescribeConfigsRequest q;
  if (!decode_body(request, t.arena(), q)) return t.close(request.ticket);
  DescribeConfigsResponse m;
  const AnswerRoom room(t.arena());
  // One of another type spoils the whole request.
  const bool known =
      std::all_of(q.resources.begin(), q.resources.end(), [](const auto& r) { return describable(r.resource_type); });
  for (const auto& r : q.resources) {
    if (!room.left()) return t.close(request.ticket);
    auto& out = m.results.add(t.arena());
    out.resource_type = r.resource_type;
    out.resource_name = r.resource_name;
    out.error_message = "";
    Describing d{t, q, r, out};
    if (!known) {
      d.refuse(ErrorCode::invalid_request, protocol::kInvalidRequestText);
      continue;
    }
    switch (static_cast<ResourceType>(r.resource_type)) {
      case ResourceType::topic: describe_topic(d); break;
      case ResourceType::broker: describe_broker(d); break;
      case ResourceType::broker_logger: describe_loggers(d); break;
      case ResourceType::group: describe_group(d); break;
      case ResourceType::client_metrics: describe_client_metrics(d); break;
      default: break;
    }
  }
  t.answer(request.ticket, m, 4096);
}

void handle_list_config_resources(Turn& t, Request& r) {
  protocol::ListConfigResourcesRequest q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  protocol::ListConfigResourcesResponse m;
  std::set<ResourceType> types;
  if (r.ticket.version == 0) types.insert(ResourceType::client_metrics);
  for (int8_t type : q.resource_types) {
    if (!describable(type)) {
      m.error_code = code(ErrorCode::unsupported_version);
      return t.answer(r.ticket, m);
    }
    types.insert(static_cast<ResourceType>(type));
  }
  if (types.empty()) types.insert(std::begin(kDescribable), std::end(kDescribable));
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
