// The rolling digest's view of the door: every field of every event and command.
#pragma once
#include "engine/base/digest.h"
#include "engine/env/command.h"
#include "engine/env/event.h"

namespace klamm::sim {

void fold(Digest& digest, const Event& event);
// Sends to one connection that follow each other count as one.
void fold(Digest& digest, const Commands& commands);

}  // namespace klamm::sim
