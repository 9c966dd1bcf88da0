// What has changed between two images, whatever lies between them: for one that is replaced by a snapshot.
#pragma once
#include "engine/metadata/image.h"

namespace klamm::metadata {

Delta difference(const Image& before, const Image& after);

}  // namespace klamm::metadata
