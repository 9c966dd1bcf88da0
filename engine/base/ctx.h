// What a turn may know of the world. Lives for one turn, is passed down and never stored.
#pragma once
#include "engine/base/arena.h"
#include "engine/base/chance.h"
#include "engine/base/flaws.h"
#include "engine/base/trace.h"
#include "engine/base/units.h"

namespace klamm {

// Memory reused from turn to turn: never state. Compression contexts hang on `slots`, owned by whoever made the
// Scratch.
class Scratch final {
 public:
  static constexpr size_t kSlots = 8;
  struct Slot {
    void* object = nullptr;
    void (*destroy)(void*) = nullptr;
  };
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    for (Slot& s : slots)
      if (s.object) s.destroy(s.object);
  }
  Arena arena;
  Slot slots[kSlots];
};

struct Ctx {
  Instant now;
  Wall wall;
  Chance& chance;
  const Flaws& flaws;
  Trace& trace;
  Scratch& scratch;
  Arena& arena() const { return scratch.arena; }
};

}  // namespace klamm
