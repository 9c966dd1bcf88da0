#include "engine/base/units.h"

#include <gtest/gtest.h>

namespace klamm {
namespace {

constexpr int64_t kLeast = std::numeric_limits<int64_t>::min(), kMost = std::numeric_limits<int64_t>::max();

TEST(units, milliseconds_from_outside_saturate) {
  EXPECT_EQ(saturating_add(2, 3), 5);
  EXPECT_EQ(saturating_add(kMost, 1), kMost);
  EXPECT_EQ(saturating_add(kLeast, -1), kLeast);
  EXPECT_EQ(saturating_add(kLeast, kMost), -1);
  EXPECT_EQ(saturating_subtract(2, 3), -1);
  EXPECT_EQ(saturating_subtract(1'700'000'000'000, kLeast + 1000), kMost);
  EXPECT_EQ(saturating_subtract(-2, kMost), kLeast);
  EXPECT_EQ(saturating_subtract(-1, kMost), kLeast);
  EXPECT_EQ(saturating_subtract(kLeast, kLeast), 0);
}

}  // namespace
}  // namespace klamm
