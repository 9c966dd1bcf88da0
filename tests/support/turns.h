// For tests of one part without a driver: a context whose choices are all zero, time that the test moves by hand.
#pragma once
#include "engine/base/ctx.h"
#include "engine/env/event.h"
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

// What a driver's event says of the storage command that has ended. `entries` points into the event.
struct EndOfCommand {
  Token token;
  StorageEnd end;
};
inline EndOfCommand end_of_command(const Event& e) {
  EndOfCommand c;
  if (const auto* x = std::get_if<Ended>(&e)) c = {x->token, {x->error, x->value, {}, nullptr}};
  if (const auto* x = std::get_if<ReadEnded>(&e)) c = {x->token, {x->error, 0, x->bytes, nullptr}};
  if (const auto* x = std::get_if<Listed>(&e)) c = {x->token, {x->error, 0, {}, &x->entries}};
  return c;
}

}  // namespace klamm
