#include "engine/base/slab.h"

#include <gtest/gtest.h>

#include "engine/base/cow.h"
#include "engine/base/timers.h"

namespace klamm {
namespace {

TEST(Slab, a_stale_handle_finds_nothing) {
  Slab<int, Token> slab;
  const Token a = slab.add(1);
  slab.remove(a);
  const Token b = slab.add(2);
  EXPECT_EQ(a.slot, b.slot);
  EXPECT_EQ(slab.find(a), nullptr);
  EXPECT_EQ(*slab.find(b), 2);
  EXPECT_EQ(slab.find(Token{}), nullptr);
}

TEST(Timers, equal_deadlines_fire_in_creation_order) {
  Timers<int> timers;
  timers.set(Instant{5}, 1);
  TimerId gone = timers.set(Instant{4}, 2);
  timers.set(Instant{5}, 3);
  timers.cancel(gone);
  EXPECT_EQ(timers.next(), Instant{5});
  int out = 0;
  EXPECT_FALSE(timers.pop(Instant{4}, &out));
  ASSERT_TRUE(timers.pop(Instant{5}, &out));
  EXPECT_EQ(out, 1);
  ASSERT_TRUE(timers.pop(Instant{6}, &out));
  EXPECT_EQ(out, 3);
  EXPECT_EQ(timers.next(), kNever);
}

TEST(Cow, a_write_does_not_reach_the_other_fork) {
  Cow<int> a(1);
  Cow<int> b = a;
  b.write() = 2;
  EXPECT_EQ(*a, 1);
  EXPECT_EQ(*b, 2);
}

}  // namespace
}  // namespace klamm
