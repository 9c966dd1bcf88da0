#include "engine/metadata/config_defs.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>
#include <utility>

namespace klamm::metadata {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

const char* type_name(ConfigType type) {
  switch (type) {
    case ConfigType::boolean: return "BOOLEAN";
    case ConfigType::string: return "STRING";
    case ConfigType::int32: return "INT";
    case ConfigType::int16: return "SHORT";
    case ConfigType::int64: return "LONG";
    case ConfigType::float64: return "DOUBLE";
    case ConfigType::list: return "LIST";
    case ConfigType::class_name: return "CLASS";
    case ConfigType::password: return "PASSWORD";
  }
  return "STRING";
}

// The value on a scale that its bounds share; nothing if it is not of the type.
std::optional<int64_t> scaled(ConfigType type, std::string_view text) {
  if (type == ConfigType::float64) return parse_millionths(text);
  const std::optional<int64_t> v = parse_integer(text);
  const int bits = type == ConfigType::int16 ? 16 : type == ConfigType::int32 ? 32 : 64;
  if (!v || bits == 64) return v;
  const int64_t most = (int64_t{1} << (bits - 1)) - 1;
  return *v > most || *v < -most - 1 ? std::nullopt : v;
}

// "[1,...]", "[1,...,9]", "[1,...,9] or -1".
std::optional<std::string> range_fault(const ConfigDef& def, int64_t value) {
  const std::string_view valid = def.valid;
  if (valid.empty() || valid[0] != '[') return std::nullopt;
  const size_t end = valid.find(']');
  const std::vector<std::string_view> bounds = config_list(valid.substr(1, end - 1));
  if (valid.substr(end + 1) == " or -1") {
    const bool within = value >= scaled(def.type, bounds[0]).value() && value <= scaled(def.type, bounds[2]).value();
    if (within || value == -1) return std::nullopt;
    return "Value must be between " + std::string(bounds[0]) + " and " + std::string(bounds[2]) + " or equal to -1";
  }
  if (const auto least = scaled(def.type, bounds[0]); least && value < *least)
    return "Value must be at least " + std::string(bounds[0]);
  if (bounds.size() < 3) return std::nullopt;
  if (const auto most = scaled(def.type, bounds[2]); most && value > *most)
    return "Value must be no more than " + std::string(bounds[2]);
  return std::nullopt;
}

// The bracketed choices of "[a, b]", "distinct from [a, b], not null", "(case insensitive) [A, B]".
std::vector<std::string_view> choices(std::string_view valid) {
  const size_t from = valid.find('['), to = valid.find(']');
  if (from == valid.npos || to == valid.npos || valid.find(':') != valid.npos) return {};
  return config_list(valid.substr(from + 1, to - from - 1));
}

std::string joined(const std::vector<std::string_view>& items) {
  std::string out;
  for (std::string_view item : items) out.append(out.empty() ? "" : ", ").append(item);
  return out;
}

std::optional<std::string> string_fault(const ConfigDef& def, std::string_view value) {
  const std::string_view valid = def.valid;
  if (valid == "non-empty string" && value.empty()) return "String must be non-empty";
  const std::vector<std::string_view> allowed = choices(valid);
  if (allowed.empty()) return std::nullopt;
  const bool any_case = valid.starts_with("(case insensitive)");
  for (std::string_view a : allowed)
    if (any_case ? lower(a) == lower(value) : a == value) return std::nullopt;
  return (any_case ? "String must be one of (case insensitive): " : "String must be one of: ") + joined(allowed);
}

// "[0-9]+:[0-9]+", or nothing.
bool replica_of_partition(std::string_view text) {
  const auto digits = [](std::string_view s) { return !s.empty() && s.find_first_not_of("0123456789") == s.npos; };
  const size_t colon = text.find(':');
  return text.empty() || (colon != text.npos && digits(text.substr(0, colon)) && digits(text.substr(colon + 1)));
}

// What is wrong, and with what: the whole value, an element of it, or ("") the text tells.
struct Fault {
  std::string text;
  std::string of;
};

std::optional<Fault> list_fault(const ConfigDef& def, std::string_view value) {
  const std::string_view valid = def.valid;
  const std::vector<std::string_view> items = config_list(value);
  if (valid.starts_with("[partitionId]:[brokerId]")) {
    const bool all = items.size() == 1 && items[0] == "*";
    if (all || std::all_of(items.begin(), items.end(), replica_of_partition)) return std::nullopt;
    return Fault{std::string(def.name) +
                     " must be the literal '*' or a list of replicas in the following format: "
                     "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
                 "[" + joined(items) + "]"};
  }
  const bool not_empty = valid.find("not empty") != valid.npos || valid == "non-empty list";
  const std::string name = "Configuration '" + std::string(def.name) + "' ";
  if (items.empty() && not_empty) return Fault{name + "must not be empty", ""};
  const std::vector<std::string_view> allowed = choices(valid);
  for (std::string_view item : items) {
    if (item.empty()) return Fault{name + "values must not be empty.", ""};
    if (!allowed.empty() && std::find(allowed.begin(), allowed.end(), item) == allowed.end())
      return Fault{"String must be one of: " + joined(allowed), std::string(item)};
  }
  return std::nullopt;
}

// As Java shows a double: with a point always, and with an exponent where it is small or large. What follows a number
// to name its type is left out.
std::string decimal_shown(std::string_view value) {
  std::string_view digits = value;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  double number = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (read.ec == std::errc::result_out_of_range) return digits.starts_with('-') ? "-0.0" : "0.0";  // far too small
  if (read.ec != std::errc()) return std::string(value);
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, number, std::chars_format::scientific).ptr;
  const std::string_view shown(text, static_cast<size_t>(end - text));
  const size_t e = shown.find('e');
  if (e == shown.npos) return std::string(shown);
  std::string sign(shown.substr(0, shown.starts_with('-')));
  std::string mantissa;  // its first digit stands before the point
  for (char c : shown.substr(0, e))
    if (c >= '0' && c <= '9') mantissa += c;
  const auto exponent = static_cast<int>(parse_integer(shown.substr(e + 1)).value_or(0));
  if (exponent < -3 || exponent >= 7)
    return sign + mantissa[0] + '.' + (mantissa.size() > 1 ? mantissa.substr(1) : "0") + 'E' + std::to_string(exponent);
  if (exponent < 0) return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + mantissa;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (mantissa.size() < whole) mantissa.append(whole - mantissa.size(), '0');
  return sign + mantissa.substr(0, whole) + '.' + (mantissa.size() > whole ? mantissa.substr(whole) : "0");
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

std::span<const ConfigDef> config_defs(ConfigScope scope) {
  const std::span<const ConfigDef> all = config_defs();
  const auto less = [](const ConfigDef& d, ConfigScope s) { return d.scope < s; };
  const auto greater = [](ConfigScope s, const ConfigDef& d) { return s < d.scope; };
  const auto from = std::lower_bound(all.begin(), all.end(), scope, less);
  return {from, std::upper_bound(from, all.end(), scope, greater)};
}

const ConfigDef* find_config(ConfigScope scope, std::string_view name) {
  const std::span<const ConfigDef> defs = config_defs(scope);
  const auto less = [](const ConfigDef& d, std::string_view n) { return std::string_view(d.name) < n; };
  const auto at = std::lower_bound(defs.begin(), defs.end(), name, less);
  return at != defs.end() && at->name == name ? &*at : nullptr;
}

std::optional<std::string> config_fault(const ConfigDef& def, std::string_view raw) {
  const std::string_view value = trimmed(raw);
  switch (def.type) {
    case ConfigType::boolean:
      if (lower(value) == "true" || lower(value) == "false") return std::nullopt;
      return "Expected value to be either true or false";
    case ConfigType::int16:
    case ConfigType::int32:
    case ConfigType::int64:
    case ConfigType::float64: {
      const std::optional<int64_t> v = scaled(def.type, value);
      return v ? range_fault(def, *v) : std::string("Not a number of type ") + type_name(def.type);
    }
    case ConfigType::string: return string_fault(def, value);
    case ConfigType::list: {
      const std::optional<Fault> fault = list_fault(def, value);
      return fault ? std::optional(fault->text) : std::nullopt;
    }
    case ConfigType::class_name:
    case ConfigType::password: return std::nullopt;
  }
  return std::nullopt;
}

std::optional<std::string> config_refusal(const ConfigDef& def, std::string_view value) {
  std::optional<Fault> fault;
  if (def.type == ConfigType::list)
    fault = list_fault(def, trimmed(value));
  else if (auto text = config_fault(def, value))
    fault = Fault{*text, std::string(value)};
  if (!fault || (def.type == ConfigType::list && fault->of.empty()))
    return fault ? std::optional(fault->text) : std::nullopt;
  return "Invalid value " + fault->of + " for configuration " + def.name + ": " + fault->text;
}

std::string config_shown(const ConfigDef& def, std::string_view raw) {
  const std::string_view value = trimmed(raw);
  switch (def.type) {
    case ConfigType::boolean: return lower(value);
    case ConfigType::int16:
    case ConfigType::int32:
    case ConfigType::int64:
      if (const auto v = parse_integer(value)) return std::to_string(*v);
      break;
    case ConfigType::float64: return decimal_shown(value);
    case ConfigType::list: {
      std::set<std::string_view> seen;
      const bool distinct = std::string_view(def.valid).starts_with("distinct");
      std::string out;
      bool first = true;
      for (std::string_view item : config_list(value))
        if (!distinct || seen.insert(item).second) out.append(std::exchange(first, false) ? "" : ",").append(item);
      return out;
    }
    default: break;
  }
  return std::string(value);
}

std::vector<std::string_view> near_configs(ConfigScope scope, std::string_view name) {
  std::vector<std::pair<size_t, std::string_view>> found;
  const size_t most = std::max<size_t>(1, std::min<size_t>(3, name.size() / 4));
  for (const ConfigDef& d : config_defs(scope)) {
    const std::string_view other = d.name;
    if (other.size() > name.size() + most || name.size() > other.size() + most) continue;
    if (const size_t distance = edit_distance(name, other); distance <= most) found.push_back({distance, other});
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string_view> out;
  for (size_t i = 0; i < found.size() && i < 3; ++i) out.push_back(found[i].second);
  return out;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n\f";
  const size_t from = text.find_first_not_of(kBlank);
  if (from == text.npos) return {};
  return text.substr(from, text.find_last_not_of(kBlank) - from + 1);
}

std::vector<std::string_view> config_list(std::string_view text) {
  std::vector<std::string_view> out;
  if (trimmed(text).empty()) return out;
  for (size_t from = 0;;) {
    const size_t comma = text.find(',', from);
    out.push_back(trimmed(text.substr(from, comma == text.npos ? text.npos : comma - from)));
    if (comma == text.npos) return out;
    from = comma + 1;
  }
}

std::optional<int64_t> parse_integer(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  int64_t v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return v;
}

std::optional<int64_t> parse_millionths(std::string_view text) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 16;
  bool negative = false;
  if (text.size() > 1 && std::string_view("fFdD").find(text.back()) != text.npos) text.remove_suffix(1);  // as in Java
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) negative = text[0] == '-', text.remove_prefix(1);
  int64_t exponent = 6;  // of the last digit taken, in millionths
  if (const size_t e = text.find_first_of("eE"); e != text.npos) {
    const std::optional<int64_t> power = parse_integer(text.substr(e + 1));
    if (!power || *power > 1'000 || *power < -1'000) return std::nullopt;
    exponent += *power, text = text.substr(0, e);
  }
  int64_t digits = 0;
  bool any = false, after_point = false;
  for (const char c : text) {
    if (c == '.' && !after_point) {
      after_point = true;
      continue;
    }
    if (c < '0' || c > '9') return std::nullopt;
    any = true;
    if (digits < kMost / 10)
      digits = digits * 10 + (c - '0'), exponent -= after_point;
    else
      exponent += !after_point;  // beyond what we hold: only the magnitude counts
  }
  if (!any) return std::nullopt;
  for (; exponent > 0 && digits != 0 && digits < kMost; --exponent) digits = digits > kMost / 10 ? kMost : digits * 10;
  for (; exponent < 0 && digits != 0; ++exponent) digits /= 10;
  return negative ? -digits : digits;
}

}  // namespace klamm::metadata
