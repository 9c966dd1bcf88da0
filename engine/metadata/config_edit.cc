#include "engine/metadata/config_edit.h"

#include <algorithm>
#include <vector>

namespace klamm::metadata {
namespace {

// As Java splits: what is empty at the end is left out, but for an empty text, which is one empty piece.
std::vector<std::string> pieces(std::string_view text) {
  std::vector<std::string> out;
  for (size_t from = 0; from <= text.size();) {
    const size_t comma = std::min(text.find(',', from), text.size());
    out.emplace_back(text.substr(from, comma - from));
    from = comma + 1;
  }
  while (!text.empty() && !out.empty() && out.back().empty()) out.pop_back();
  return out;
}

}  // namespace

std::string edited_list(std::string_view now, std::string_view with, bool append) {
  std::vector<std::string> parts = pieces(now);
  std::erase(parts, std::string());
  for (const std::string& part : pieces(with)) {
    const auto at = std::find(parts.begin(), parts.end(), part);
    if (append && at == parts.end()) parts.emplace_back(part);
    if (!append && at != parts.end()) parts.erase(at);
  }
  std::string joined;
  for (size_t i = 0; i < parts.size(); ++i) joined += (i == 0 ? "" : ",") + parts[i];
  return joined;
}

}  // namespace klamm::metadata
