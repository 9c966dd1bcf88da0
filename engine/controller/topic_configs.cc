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
    if (def.internal && !overrides.contains(def.name)) continue;
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
