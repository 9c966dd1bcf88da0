// For tests of one part without a driver: a context whose choices are all zero, time that the test moves by hand.
#pragma once
#include "engine/base/ctx.h"
#include "engine/env/io.h"

namespace klamm {

class DullChance final : public Chance {
 public:
  uint64_t below(ChoiceKey, uint64_t) override { return 0; }
  uint64_t name(ChoiceKey key) override { return 0x9e3779b97f4a7c15u * (key.ordinal + 1) + key.entity; }
};

struct TestWorld {
  Instant now{1'000'000'000};
  Wall wall{1'700'000'000'000};
  DullChance chance;
  Flaws flaws;
  NoTrace trace;
  Scratch scratch;
  Ctx ctx() { return {now, wall, chance, flaws, trace, scratch}; }
};

// The commands of kind T, in order; all commands are gone afterwards.
template<class T>
std::vector<T> take(Commands& commands) {
  std::vector<T> found;
  for (Command& c : commands)
    if (T* x = std::get_if<T>(&c)) found.push_back(std::move(*x));
  commands.clear();
  return found;
}

}  // namespace klamm
