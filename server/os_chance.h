// Choices and names from the operating system's generator. Faults never happen here.
#pragma once
#include <array>

#include "engine/base/chance.h"

namespace klamm::server {

class OsChance final : public Chance {
 public:
  uint64_t below(ChoiceKey key, uint64_t n) override;
  uint64_t name(ChoiceKey key) override;

 private:
  uint64_t draw();
  std::array<uint64_t, 64> pool_{};
  size_t left_ = 0;
};

}  // namespace klamm::server
