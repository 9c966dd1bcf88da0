// The configs of a new topic, as the answer of CreateTopics shows them: every one, with where its value comes from.
#include "engine/controller/operation.h"

namespace klamm::controller {

using metadata::ConfigResource;
using metadata::ResourceType;
using CreateResponse = protocol::CreateTopicsResponse;

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

std::vector<TopicDefault> topic_defaults(Operation& op) {
  const struct {
    ConfigSource source;
    metadata::Properties properties;
  } layers[] = {
      {ConfigSource::dynamic_broker, broker_layer(op.image, std::to_string(op.options.node.value))},
      {ConfigSource::dynamic_default_broker, broker_layer(op.image, "")},
      {ConfigSource::static_broker, op.options.properties},
  };
  static const metadata::Properties kNone;
  std::vector<TopicDefault> out;
  for (const metadata::ConfigDef& def : metadata::config_defs(metadata::ConfigScope::topic)) {
    ConfigSource source = ConfigSource::none;
    const metadata::Properties* broker = &kNone;
    for (const auto& layer : layers) {
      if (!sets(layer.properties, def)) continue;
      source = layer.source;
      broker = &layer.properties;
      break;
    }
    const std::optional<std::string> value = metadata::topic_config_value(def, {}, *broker);
    out.push_back({&def, value ? op.text(*value) : kNullStr, static_cast<int8_t>(source)});
  }
  return out;
}

void effective_configs(Operation& op, std::span<const TopicDefault> defaults, const metadata::Properties& overrides,
                       CreateResponse::CreatableTopicResult& out) {
  for (const TopicDefault& d : defaults) {
    const auto own = overrides.find(d.def->name);
    if (d.def->internal && own == overrides.end()) continue;
    auto& c = out.configs.add(op.ctx.arena());
    c.name = d.def->name;
    c.value = own == overrides.end() ? d.value : op.text(own->second);
    c.config_source = own == overrides.end() ? d.source : static_cast<int8_t>(ConfigSource::topic);
    c.is_sensitive = d.def->sensitive();
  }
}

}  // namespace klamm::controller
