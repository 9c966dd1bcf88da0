#include "engine/metadata/features.h"

#include <algorithm>
#include <iterator>

namespace klamm::metadata {
namespace {

constexpr SupportedFeature kFeatures[] = {
    {"eligible.leader.replicas.version", 0, 1, 1},
    {"group.version", 0, 1, 1},
    {"kraft.version", 0, 1, 0},
    {"metadata.version", 7, 30, 30},
    {"share.version", 0, 1, 1},
    {"streams.version", 0, 1, 1},
    {"transaction.version", 0, 2, 2},
};

}  // namespace

std::span<const SupportedFeature> supported_features() { return kFeatures; }

std::string unsupported_levels(const Pmap<std::string, int16_t>& levels) {
  std::string out;
  for (const auto& [name, level] : levels) {
    const auto f = std::find_if(std::begin(kFeatures), std::end(kFeatures),
                                [&](const SupportedFeature& x) { return x.name == name; });
    if (f != std::end(kFeatures) && f->min <= level && level <= f->max) continue;
    out += (out.empty() ? "" : ", ") + name + "=" + std::to_string(level);
  }
  return out;
}

}  // namespace klamm::metadata
