#include "engine/parked/parked.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>

#include "engine/base/visit.h"

namespace klamm::parked {
namespace {

using Waiting = Parked<int, int>;
constexpr size_t kAll = 1'000'000;

std::vector<int> values(const Waiting& w, const std::vector<ParkedId>& ids) {
  std::vector<int> out;
  for (ParkedId id : ids) out.push_back(*w.find(id));
  return out;
}

TEST(Parked, a_produce_waits_for_the_high_watermark_of_each_partition) {
  Waiting w;
  const Watch<int> both[] = {{1, 10}, {2, 20}};
  const ParkedId id = w.park(both, Instant{100}, 7);
  std::vector<ParkedId> woken;
  w.wake(1, 9, woken, kAll);
  EXPECT_TRUE(woken.empty());
  w.wake(1, 10, woken, kAll);
  EXPECT_EQ(woken, std::vector<ParkedId>{id});
  EXPECT_EQ(w.watches_left(id), 1u);
  w.wake(1, 50, woken, kAll);
  EXPECT_EQ(woken.size(), 1u) << "a watch fires once";
  w.wake(2, 21, woken, kAll);
  EXPECT_EQ(w.watches_left(id), 0u);
  EXPECT_EQ(w.take(id), 7);
  EXPECT_EQ(w.next_deadline(), kNever);
}

TEST(Parked, what_an_owner_waits_for_ends_with_it) {
  Waiting w;
  const Watch<int> watch[] = {{1, 10}};
  constexpr uint64_t kMine = 5, kOther = 6;
  w.park(watch, Instant{100}, 1, kMine);
  const ParkedId other = w.park(watch, Instant{300}, 2, kOther);
  const ParkedId nobodys = w.park(watch, Instant{200}, 3);
  w.take(w.park(watch, Instant{50}, 4, kMine));
  w.park({}, kNever, 5, kMine);
  w.forget(kMine);
  EXPECT_EQ(w.size(), 2u);
  EXPECT_EQ(w.next_deadline(), Instant{200});
  std::vector<ParkedId> woken;
  w.wake(1, 10, woken, kAll);
  EXPECT_EQ(woken, (std::vector<ParkedId>{other, nobodys}));
  w.forget(kMine);  // nothing is left of it
  w.forget(kOther);
  EXPECT_EQ(w.size(), 1u);
}

// A key that counts how often keys are copied.
struct Counted {
  int value = 0;
  static inline size_t copies = 0;
  Counted(int v) : value(v) {}
  Counted(const Counted& o) : value(o.value) { ++copies; }
  Counted& operator=(const Counted& o) {
    value = o.value;
    ++copies;
    return *this;
  }
  friend auto operator<=>(const Counted& a, const Counted& b) { return a.value <=> b.value; }
  friend bool operator==(const Counted& a, const Counted& b) { return a.value == b.value; }
};

TEST(Parked, one_that_watches_a_key_very_often_comes_once_and_cheaply) {
  Parked<Counted, int> w;
  constexpr size_t kWatches = 10'000;
  const std::vector<Watch<Counted>> same(kWatches, Watch<Counted>{1});
  const ParkedId id = w.park(same, Instant{100}, 7);
  Counted::copies = 0;
  std::vector<ParkedId> woken;
  w.wake(1, kAnyValue, woken, kAll);
  EXPECT_EQ(woken, std::vector<ParkedId>{id});
  EXPECT_EQ(w.watches_left(id), 0u);
  EXPECT_LE(Counted::copies, 2 * kWatches);
}

TEST(Parked, a_key_wakes_in_the_order_of_values_then_of_parking) {
  Waiting w;
  for (auto [at, value] : {std::pair{5, 1}, {3, 2}, {5, 3}, {9, 4}, {3, 5}}) {
    const Watch<int> watch{1, at};
    w.park({&watch, 1}, kNever, value);
  }
  std::vector<ParkedId> woken;
  EXPECT_TRUE(w.wake(1, 5, woken, kAll));
  EXPECT_EQ(values(w, woken), (std::vector<int>{2, 5, 1, 3}));
}

TEST(Parked, a_wake_does_no_more_than_asked) {
  Waiting w;
  for (int i = 0; i < 5; ++i) {
    const Watch<int> watch{1};
    w.park({&watch, 1}, kNever, i);
  }
  std::vector<ParkedId> woken;
  EXPECT_FALSE(w.wake(1, 0, woken, 2));
  EXPECT_EQ(values(w, woken), (std::vector<int>{0, 1}));
  EXPECT_TRUE(w.wake(1, 0, woken, 3));
  EXPECT_EQ(values(w, woken), (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(Parked, deadlines_fire_in_order_and_removed_entries_do_not) {
  Waiting w;
  w.park({}, Instant{30}, 1);
  const ParkedId gone = w.park({}, Instant{10}, 2);
  w.park({}, Instant{20}, 3);
  w.park({}, Instant{20}, 4);
  w.remove(gone);
  EXPECT_EQ(w.next_deadline(), Instant{20});
  std::vector<ParkedId> due;
  w.expire(Instant{25}, due);
  EXPECT_EQ(values(w, due), (std::vector<int>{3, 4}));
  EXPECT_EQ(w.next_deadline(), Instant{30});
}

TEST(Parked, an_entry_not_ready_watches_again) {
  Waiting w;
  const Watch<int> watch{1};
  const ParkedId id = w.park({&watch, 1}, kNever, 1);
  std::vector<ParkedId> woken;
  w.wake(1, 5, woken, kAll);
  w.watch(id, {1, 8});
  w.wake(1, 7, woken, kAll);
  EXPECT_EQ(woken.size(), 1u);
  w.wake(1, 8, woken, kAll);
  EXPECT_EQ(woken.size(), 2u);
}

// Against the plainest thing that could be right: a list of entries, each with its list of watches.
RC_GTEST_PROP(Parked, behaves_as_a_plain_list, ()) {
  struct Plain {
    ParkedId id;
    std::vector<std::pair<Watch<int>, uint64_t>> watches;
    Instant deadline;
    bool fired = false;
  };
  Waiting w;
  std::vector<Plain> model;
  uint64_t number = 0;
  const auto steps = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 1'000'000));
  for (int step : steps) {
    const int key = step / 10 % 4, at = step / 100 % 20;
    switch (step % 5) {
      case 0:
      case 1: {
        const Watch<int> watches[] = {{key, at}, {(key + 1) % 4, at + 3}};
        const Instant deadline{step / 1000 % 50};
        const ParkedId id = w.park({watches, size_t(step % 5) + 1}, deadline, step);
        Plain p{id, {}, deadline};
        for (int i = 0; i <= step % 5; ++i) p.watches.push_back({watches[i], ++number});
        model.push_back(p);
        break;
      }
      case 2: {
        std::vector<ParkedId> got;
        RC_ASSERT(w.wake(key, at, got, kAll));
        std::vector<std::tuple<int64_t, uint64_t, ParkedId>> want;
        for (Plain& p : model)
          std::erase_if(p.watches, [&](const auto& x) {
            const bool hit = x.first.key == key && x.first.at <= at;
            if (hit) want.push_back({x.first.at, x.second, p.id});
            return hit;
          });
        std::sort(want.begin(), want.end());
        RC_ASSERT(got.size() == want.size());
        for (size_t i = 0; i < got.size(); ++i) RC_ASSERT(got[i] == std::get<2>(want[i]));
        break;
      }
      case 3: {
        if (model.empty()) break;
        const size_t victim = size_t(step / 10) % model.size();
        w.remove(model[victim].id);
        model.erase(model.begin() + static_cast<ptrdiff_t>(victim));
        break;
      }
      case 4: {
        std::vector<ParkedId> got;
        w.expire(Instant{at}, got);
        std::vector<Plain*> want;
        for (Plain& p : model)
          if (!p.fired && p.deadline <= Instant{at}) want.push_back(&p);
        std::stable_sort(want.begin(), want.end(), [](Plain* a, Plain* b) { return a->deadline < b->deadline; });
        RC_ASSERT(got.size() == want.size());
        for (size_t i = 0; i < got.size(); ++i) RC_ASSERT(got[i] == want[i]->id), want[i]->fired = true;
        break;
      }
    }
    Instant next = kNever;
    for (const Plain& p : model)
      if (!p.fired) next = earlier(next, p.deadline);
    RC_ASSERT(w.next_deadline() == next);
    RC_ASSERT(w.size() == model.size());
    const Waiting fork = w;
    RC_ASSERT(state_hash(fork) == state_hash(w));
  }
}

}  // namespace
}  // namespace klamm::parked
