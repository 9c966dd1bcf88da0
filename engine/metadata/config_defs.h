// What can be configured: names, types, defaults and what is allowed, as Apache Kafka 4.3.1 states them.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace klamm::metadata {

enum class ConfigScope : uint8_t { broker, topic, group, client_metrics, client_quota, ip_quota };
// In the order of DescribeConfigs' numbers, from 1.
enum class ConfigType : uint8_t {
  boolean = 1,
  string,
  int32,
  int16,
  int64,
  float64,
  list,
  class_name,
  password,
};
enum class ConfigImportance : uint8_t { high, medium, low };
enum class ConfigUpdate : uint8_t { read_only, per_broker, cluster_wide, per_resource };

struct ConfigDef {
  static constexpr char kRequired[] = "(required)";

  ConfigScope scope;
  const char* name;
  ConfigType type;
  const char* default_value;  // null: none; kRequired: there must be a value
  const char* valid;          // what is allowed, in Kafka's notation; "": anything of the type
  ConfigImportance importance;
  ConfigUpdate update;
  const char* synonyms;  // the broker properties a default comes from, first one set wins; "name*1000": scaled
  bool internal;

  bool required() const { return default_value == kRequired; }
  bool sensitive() const { return type == ConfigType::password; }
};

// All of them, sorted by scope and name.
std::span<const ConfigDef> config_defs();
std::span<const ConfigDef> config_defs(ConfigScope scope);
const ConfigDef* find_config(ConfigScope scope, std::string_view name);

// Why `value` is not allowed, in Kafka's words ("Value must be at least 1"); nothing if it is.
std::optional<std::string> config_fault(const ConfigDef& def, std::string_view value);

// What describing shows of a value that is allowed: trimmed, numbers and lists written plainly, and of a list whose
// elements are distinct the first of those that are alike.
std::string config_shown(const ConfigDef& def, std::string_view value);

// The whole message: "Invalid value 0 for configuration num.partitions: Value must be at least 1".
std::optional<std::string> config_refusal(const ConfigDef& def, std::string_view value);

// Known names that differ little from an unknown one, nearest first; at most three.
std::vector<std::string_view> near_configs(ConfigScope scope, std::string_view name);

// Splits at commas and trims; no pieces for an empty text.
std::vector<std::string_view> config_list(std::string_view text);
std::string_view trimmed(std::string_view text);
std::optional<int64_t> parse_integer(std::string_view text);
// A decimal number in millionths, saturated: enough to compare and to cut shares with, and no float.
std::optional<int64_t> parse_millionths(std::string_view text);

}  // namespace klamm::metadata
