#include "server/os_chance.h"

#include <sys/random.h>

#include "engine/base/assert.h"

namespace klamm::server {

uint64_t OsChance::draw() {
  if (left_ == 0) {
    constexpr ssize_t kSize = sizeof(pool_);
    KLAMM_ASSERT_REL(getrandom(pool_.data(), kSize, 0), ==, kSize);  // never short up to 256 bytes, nor once seeded
    left_ = pool_.size();
  }
  return pool_[--left_];
}

uint64_t OsChance::below(ChoiceKey key, uint64_t n) {
  KLAMM_ASSERT_REL(n, >, 0u);
  if (key.stream == Stream::fault) return 0;
  return static_cast<uint64_t>((static_cast<unsigned __int128>(draw()) * n) >> 64);
}

uint64_t OsChance::name(ChoiceKey) { return draw(); }

}  // namespace klamm::server
