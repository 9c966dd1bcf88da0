// Small containers for state of which there is much.
#include "engine/base/fifo.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <deque>
#include <memory>

#include "engine/base/boxed.h"

namespace klamm {
namespace {

RC_GTEST_PROP(Fifo, is_a_deque, (const std::vector<uint8_t>& steps)) {
  Fifo<int> fifo;
  std::deque<int> deque;
  int next = 0;
  for (const uint8_t step : steps) {
    if (step % 8 < 4 || deque.empty())
      fifo.push_back(++next), deque.push_back(next);
    else if (step % 8 < 6)
      fifo.pop_front(), deque.pop_front();
    else if (step % 8 == 6)
      fifo.pop_back(), deque.pop_back();
    else {
      const auto keep = static_cast<std::ptrdiff_t>(step) % static_cast<std::ptrdiff_t>(deque.size() + 1);
      fifo.erase(fifo.begin() + keep, fifo.end()), deque.erase(deque.begin() + keep, deque.end());
    }
    RC_ASSERT(fifo.size() == deque.size());
    RC_ASSERT(std::equal(deque.begin(), deque.end(), fifo.begin()));
    RC_ASSERT(std::equal(deque.rbegin(), deque.rend(), fifo.rbegin()));
    for (size_t i = 0; i < deque.size(); ++i) RC_ASSERT(fifo[i] == deque[i]);
  }
}

TEST(Fifo, what_is_popped_is_gone_at_once) {
  Fifo<std::shared_ptr<int>> fifo;
  const auto x = std::make_shared<int>(1);
  for (int i = 0; i < 5; ++i) fifo.push_back(x);
  fifo.pop_front();
  EXPECT_EQ(x.use_count(), 5);
  fifo.pop_back();
  EXPECT_EQ(x.use_count(), 4);
  fifo.clear();
  EXPECT_EQ(x.use_count(), 1);
}

TEST(Boxed, is_an_optional_value) {
  Boxed<std::vector<int>> a;
  EXPECT_FALSE(a);
  a.emplace({1, 2});
  Boxed<std::vector<int>> b = a;
  b->push_back(3);
  EXPECT_EQ(a->size(), 2u);
  EXPECT_EQ(b->size(), 3u);
  a = std::move(b);
  EXPECT_EQ((*a)[2], 3);
  a.reset();
  EXPECT_FALSE(a);
}

}  // namespace
}  // namespace klamm
