// The rolling digest's view of the door: every field of every event and command.
#pragma once
#include "engine/base/digest.h"
#include "engine/env/command.h"
#include "engine/env/event.h"

namespace klamm::sim {

void fold(Digest& digest, const Event& event);
void fold(Digest& digest, const Command& command);

}  // namespace klamm::sim
