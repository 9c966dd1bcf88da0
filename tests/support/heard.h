// What a test listens to: the trace events of some kinds.
#pragma once
#include <vector>

#include "engine/base/trace.h"

namespace klamm {

template<TraceKind... kKinds>
struct Heard final : Trace {
  std::vector<TraceEvent> seen;
  void event(const TraceEvent& e) override {
    if (((e.kind == kKinds) || ...)) seen.push_back(e);
  }
};

}  // namespace klamm
