#include "sim/tape.h"

#include <bit>

#include "engine/base/assert.h"
#include "engine/base/digest.h"

namespace klamm::sim {
namespace {
uint64_t scaled(uint64_t hash, uint64_t n) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(hash) * n) >> 64);
}
}  // namespace

uint64_t Tape::hash(uint64_t salt, const ChoiceKey& key) const {
  uint64_t h = mix(seed_ ^ salt, static_cast<uint64_t>(key.stream));
  h = mix(h, key.entity);
  h = mix(h, key.ordinal);
  h ^= h >> 32;
  h *= 0xd6e8feb86659fd93;
  return h ^ (h >> 32);
}

uint64_t Tape::below(ChoiceKey key, uint64_t n) {
  KLAMM_ASSERT(n > 0);
  if (mode_ == TapeMode::seeded && edits_.empty() && !logging_) [[likely]]
    return scaled(hash(kChoiceSalt, key), n);
  return slow_below(key, n);
}

uint64_t Tape::slow_below(const ChoiceKey& key, uint64_t n) {
  uint64_t value = mode_ == TapeMode::seeded ? scaled(hash(kChoiceSalt, key), n) : 0;
  if (const auto edit = edits_.find(key); edit != edits_.end()) value = edit->second < n ? edit->second : n - 1;
  if (logging_) log_.push_back({key, n, value});
  return value;
}

void Tape::edit(ChoiceKey key, uint64_t value) { edits_[key] = value; }

int64_t Delay::draw(Draws& draws, Chance& tape) const {
  if (spread_ns == 0 && far_ns == 0) return least_ns;
  const uint64_t u = draws.below(tape, uint64_t{1} << 32);
  const int64_t fraction = static_cast<int64_t>(u >> 16);  // of 2^16
  switch (shape) {
    case Shape::uniform: return least_ns + (spread_ns * fraction >> 16);
    case Shape::exponential: {
      const int64_t halvings = std::countr_one(static_cast<uint16_t>(u));
      return least_ns + spread_ns * halvings + (spread_ns * fraction >> 16);
    }
    case Shape::bimodal: return least_ns + (spread_ns * fraction >> 16) + ((u & 15) == 15 ? far_ns : 0);
  }
  return least_ns;
}

}  // namespace klamm::sim
