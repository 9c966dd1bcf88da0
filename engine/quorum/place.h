// Where the files of the metadata log lie, and in whose name the world is asked for them.
#pragma once
#include <string>

#include "engine/base/ids.h"

namespace klamm::quorum {

struct Place {
  uint16_t module = 0;  // Owner.module and Owner.key
  uint64_t key = 0;
  DirId dir;
  std::string folder;
};

}  // namespace klamm::quorum
