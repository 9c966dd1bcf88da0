// What has changed between two images, whatever lies between them: for one that is replaced by a snapshot.
#pragma once
#include "engine/metadata/image.h"

namespace klamm::metadata {

Delta difference(const Image& before, const Image& after);
// Of what was changed on the way from `before` to `after`: leaves nothing in it that an aborted transaction had made.
void settle(Delta& delta, const Image& before, const Image& after);
// Why `after` cannot have come from `before`, if so: a topic that stays has lost a partition, or one's epoch went back.
const char* contradiction(const Image& before, const Image& after);

}  // namespace klamm::metadata
