#include "engine/env/event.h"

namespace klamm {

const char* name(IoError error) {
  switch (error) {
    case IoError::none: return "none";
    case IoError::not_found: return "not found";
    case IoError::exists: return "exists";
    case IoError::no_space: return "no space left";
    case IoError::failed: return "input/output error";
    case IoError::locked: return "locked by another process";
    case IoError::refused: return "connection refused";
    case IoError::unreachable: return "unreachable";
    case IoError::timed_out: return "timed out";
    case IoError::aborted: return "aborted";
  }
  return "unknown";
}

}  // namespace klamm
