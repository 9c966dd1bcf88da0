// Random messages of any type, by descriptor: every field of the version set at random, nulls where they are legal.
#pragma once
#include "engine/base/arena.h"
#include "engine/protocol/descriptor.h"

namespace klamm::test {

// A small generator that gives the same on every platform (splitmix64).
class Dice final {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  size_t below(size_t n) { return static_cast<size_t>(next() % n); }
  bool one_in(size_t n) { return below(n) == 0; }

 private:
  uint64_t state_;
};

struct RandomMessageOptions {
  int16_t version;
  bool unknown_tags = false;  // adds tags that no schema knows, where the version is flexible
};
void* random_message(const protocol::MessageDescriptor& m, RandomMessageOptions options, Arena& arena, Dice& dice);

}  // namespace klamm::test
