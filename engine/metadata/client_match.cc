#include "engine/metadata/client_match.h"

#include <algorithm>

#include "engine/metadata/config_defs.h"

namespace klamm::metadata {
namespace {

struct Part {
  ClientAttribute attribute;
  std::string_view pattern;
};

// One '=' divides a part; Kafka's way of dividing lets more of them stand at its end.
std::optional<Part> divided(std::string_view part) {
  while (part.ends_with('=')) part.remove_suffix(1);
  const size_t at = part.find('=');
  if (at == part.npos || part.find('=', at + 1) != part.npos) return std::nullopt;
  const auto known = std::find(kClientAttributes.begin(), kClientAttributes.end(), trimmed(part.substr(0, at)));
  if (known == kClientAttributes.end()) return std::nullopt;
  return Part{static_cast<ClientAttribute>(known - kClientAttributes.begin()), trimmed(part.substr(at + 1))};
}

}  // namespace

std::optional<ClientMatch> ClientMatch::parse(std::string_view list, std::string_view* wrong) {
  ClientMatch out;
  for (std::string_view text : config_list(list)) {
    const std::optional<Part> part = divided(text);
    std::optional<Pattern> pattern = part ? Pattern::parse(part->pattern) : std::nullopt;
    if (!pattern) {
      if (wrong) *wrong = text;
      return std::nullopt;
    }
    out.patterns_.insert_or_assign(part->attribute, std::move(*pattern));
  }
  return out;
}

bool ClientMatch::matches(const ClientFacts& facts, int64_t& steps) const {
  for (const auto& [attribute, pattern] : patterns_) {
    const std::optional<std::string>& value = facts.by_attribute[static_cast<size_t>(attribute)];
    if (!value || !pattern.matches(*value, steps)) return false;
  }
  return true;
}

}  // namespace klamm::metadata
