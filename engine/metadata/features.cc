#include "engine/metadata/features.h"

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

}  // namespace klamm::metadata
