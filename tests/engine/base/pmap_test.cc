#include "engine/base/pmap.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <string>
#include <string_view>

#include "engine/base/visit.h"

namespace klamm {
namespace {

TEST(Pmap, a_copy_keeps_what_it_had) {
  Pmap<std::string, int> a;
  a.set(std::string_view("x"), 1);
  const Pmap<std::string, int> b = a;
  a.set("x", 2);
  a.set("y", 3);
  EXPECT_EQ(*b.find("x"), 1);
  EXPECT_FALSE(b.contains(std::string_view("y")));
  EXPECT_EQ(*a.find("x"), 2);
  EXPECT_NE(state_hash(a), state_hash(b));
  a.erase("y");
  a.set("x", 1);
  EXPECT_EQ(state_hash(a), state_hash(b));
  EXPECT_EQ(a, b);
}

TEST(Pmap, lower_bound_starts_at_the_first_key_not_less) {
  Pmap<int, int> m;
  for (int i = 0; i < 100; i += 10) m.set(i, i);
  EXPECT_EQ(m.lower_bound(11)->key, 20);
  EXPECT_EQ(m.lower_bound(20)->key, 20);
  EXPECT_TRUE(m.lower_bound(91).at_end());
}

// Every version answers as the std::map that was copied at the same moment, however the later ones change.
RC_GTEST_PROP(Pmap, behaves_like_a_map_in_every_version, (const std::vector<std::pair<uint8_t, int>>& steps)) {
  Pmap<int, int> map;
  std::map<int, int> model;
  std::vector<std::pair<Pmap<int, int>, std::map<int, int>>> versions;
  for (const auto& [key, value] : steps) {
    const int k = key % 64;
    if (value % 3 == 0)
      RC_ASSERT(map.erase(k) == (model.erase(k) > 0));
    else
      map.set(k, value), model[k] = value;
    if (value % 5 == 0) versions.emplace_back(map, model);
    map.check();
  }
  versions.emplace_back(map, model);
  for (const auto& [m, expected] : versions) {
    m.check();
    RC_ASSERT(m.size() == expected.size());
    auto it = expected.begin();
    for (const auto& [k, v] : m) RC_ASSERT(k == it->first && v == it->second), ++it;
    for (int k = 0; k < 64; ++k) {
      const int* found = m.find(k);
      RC_ASSERT((found != nullptr) == expected.contains(k));
      const auto bound = m.lower_bound(k);
      const auto model_bound = expected.lower_bound(k);
      RC_ASSERT(bound.at_end() == (model_bound == expected.end()));
      if (!bound.at_end()) RC_ASSERT(bound->key == model_bound->first);
    }
  }
}

TEST(Pmap, large_maps_stay_balanced) {
  Pmap<int, int> m;
  for (int i = 0; i < 20000; ++i) m.set(i, i);
  const Pmap<int, int> all = m;
  m.check();
  for (int i = 0; i < 20000; i += 2) m.erase(i);
  m.check();
  EXPECT_EQ(m.size(), 10000u);
  EXPECT_EQ(all.size(), 20000u);
  all.check();
}

}  // namespace
}  // namespace klamm
