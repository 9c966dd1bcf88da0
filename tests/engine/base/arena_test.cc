#include "engine/base/arena.h"

#include <gtest/gtest.h>

namespace klamm {
namespace {

TEST(AnswerRoom, ends_with_what_the_arena_gave_since_it_began_and_what_is_shared) {
  constexpr size_t kQuarter = AnswerRoom::kMost / 4;
  Arena arena;
  arena.allocate(kQuarter, 1);
  AnswerRoom room(arena);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(room.left());
    arena.allocate(kQuarter, 1);
  }
  EXPECT_TRUE(room.left());
  room.share(kQuarter);
  EXPECT_FALSE(room.left());
}

}  // namespace
}  // namespace klamm
