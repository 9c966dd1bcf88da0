#include "engine/metadata/config_edit.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace klamm::metadata {
namespace {

// As Java splits: what is empty at the end is left out, but for an empty text, which is one empty piece.
std::vector<std::string_view> pieces(std::string_view text) {
  std::vector<std::string_view> out;
  for (size_t from = 0; from <= text.size();) {
    const size_t comma = std::min(text.find(',', from), text.size());
    out.push_back(text.substr(from, comma - from));
    from = comma + 1;
  }
  while (!text.empty() && !out.empty() && out.back().empty()) out.pop_back();
  return out;
}

}  // namespace

std::string edited_list(std::string_view now, std::string_view with, bool append) {
  std::vector<std::string_view> parts = pieces(now);
  std::erase(parts, std::string_view());
  std::map<std::string_view, size_t> gone;  // how many of each, the first ones
  if (append) {
    std::set<std::string_view> known(parts.begin(), parts.end());
    for (std::string_view part : pieces(with))
      if (known.insert(part).second) parts.push_back(part);
  } else {
    for (std::string_view part : pieces(with)) ++gone[part];
  }
  std::string joined;
  bool first = true;
  for (std::string_view part : parts) {
    if (const auto it = gone.find(part); it != gone.end() && it->second > 0) {
      --it->second;
      continue;
    }
    joined.append(std::exchange(first, false) ? "" : ",").append(part);
  }
  return joined;
}

}  // namespace klamm::metadata
