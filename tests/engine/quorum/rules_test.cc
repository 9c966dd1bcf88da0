#include "engine/quorum/rules.h"

#include <gtest/gtest.h>

namespace klamm::quorum::rules {
namespace {

TEST(quorum_rules, a_voter_serves_its_own_quorum_of_one_or_a_static_one) {
  Uuid own, other;
  own.bytes[0] = 1, other.bytes[0] = 2;
  const NodeId self{1}, peer{2};
  struct Row {
    int16_t version;
    std::vector<VoterFound> named;
    size_t configured;
    bool served;
  };
  const Row rows[] = {
      {0, {}, 3, true},
      {0, {{peer, other}}, 1, true},  // nobody reads voters of version 0
      {1, {}, 1, true},
      {1, {{self, own}}, 1, true},
      {1, {{self, Uuid{}}}, 1, true},
      {1, {{self, own}}, 3, false},
      {1, {{self, other}}, 1, false},
      {1, {{peer, other}}, 1, false},
      {1, {{self, own}, {peer, other}}, 2, false},
      {2, {{self, own}}, 1, false},
  };
  for (const Row& row : rows) {
    const VotersFound found{row.version, row.named, row.configured, self, own};
    EXPECT_EQ(voters_refusal(found) == nullptr, row.served) << row.version << " " << row.named.size();
  }
}

}  // namespace
}  // namespace klamm::quorum::rules
