#include "engine/group/rules.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace klamm::group {
namespace {

using E = ErrorCode;

TEST(GroupRules, a_state_follows_only_where_the_diagram_has_an_arrow) {
  const State all[] = {State::empty, State::preparing, State::completing, State::stable};
  const bool legal[4][4] = {{false, true, false, false},   // from empty
                            {true, false, true, false},    // from preparing
                            {false, true, false, true},    // from completing
                            {false, true, false, false}};  // from stable
  for (const State from : all)
    for (const State to : all)
      EXPECT_EQ(may_follow(from, to), legal[static_cast<int>(from)][static_cast<int>(to)]) << name(from) << name(to);
}

TEST(GroupRules, a_static_member_is_fenced_by_whoever_holds_its_instance) {
  EXPECT_EQ(member_fence({.member_id = "m", .is_member = true}), E::none);
  EXPECT_EQ(member_fence({.member_id = "m"}), E::unknown_member_id);
  EXPECT_EQ(member_fence({.member_id = "m", .with_instance = true, .is_member = true}), E::unknown_member_id);
  EXPECT_EQ(member_fence({.member_id = "m", .with_instance = true, .holder = "n", .is_member = true}),
            E::fenced_instance_id);
  EXPECT_EQ(member_fence({.member_id = "m", .with_instance = true, .holder = "m", .is_member = true}), E::none);
}

TEST(GroupRules, a_commit_must_come_from_this_generation_or_find_the_group_empty) {
  const auto fence = [](CommitClaim c, State s) { return offset_commit_fence(c, s, 5); };
  EXPECT_EQ(fence({.generation = -1}, State::empty), E::none);
  EXPECT_EQ(fence({.generation = -1, .anonymous = false, .member = E::unknown_member_id}, State::empty), E::none);
  EXPECT_EQ(fence({.generation = -1}, State::stable), E::unknown_member_id);
  EXPECT_EQ(fence({.generation = -1, .anonymous = false}, State::stable), E::illegal_generation);
  EXPECT_EQ(fence({.generation = 5, .anonymous = false}, State::stable), E::none);
  EXPECT_EQ(fence({.generation = 4, .anonymous = false}, State::stable), E::illegal_generation);
  EXPECT_EQ(fence({.generation = 6, .anonymous = false}, State::stable), E::illegal_generation);
  EXPECT_EQ(fence({.generation = 5, .anonymous = false}, State::preparing), E::none);
  EXPECT_EQ(fence({.generation = 5, .anonymous = false}, State::completing), E::rebalance_in_progress);
  EXPECT_EQ(fence({.generation = 5, .anonymous = false, .member = E::fenced_instance_id}, State::stable),
            E::fenced_instance_id);
  EXPECT_EQ(unknown_group_commit(-1, 2), E::none);
  EXPECT_EQ(unknown_group_commit(1, 8), E::illegal_generation);
  EXPECT_EQ(unknown_group_commit(1, 9), E::group_id_not_found);
}

TEST(GroupRules, a_full_group_takes_only_its_own) {
  EXPECT_TRUE(accepts_member({.state = State::empty, .max_size = 0}));
  EXPECT_TRUE(accepts_member({.state = State::stable, .is_member = true, .members = 2, .max_size = 2}));
  EXPECT_FALSE(accepts_member({.state = State::stable, .members = 2, .max_size = 2}));
  EXPECT_TRUE(accepts_member({.state = State::preparing, .members = 3, .waiting = 1, .max_size = 2}));
  EXPECT_FALSE(
      accepts_member({.state = State::preparing, .is_member = true, .members = 3, .waiting = 2, .max_size = 2}));
  EXPECT_TRUE(accepts_member({.state = State::preparing,
                              .is_member = true,
                              .waits_already = true,
                              .members = 3,
                              .waiting = 2,
                              .max_size = 2}));
}

TEST(GroupRules, the_protocol_is_one_that_all_support_and_most_prefer) {
  using Choices = std::vector<std::vector<std::string_view>>;
  EXPECT_EQ(choose_protocol(Choices{{"sticky", "range"}, {"range", "roundrobin"}}), "range");
  EXPECT_EQ(choose_protocol(Choices{{"a", "b"}, {"b", "a"}, {"b", "a"}}), "b");
  EXPECT_EQ(choose_protocol(Choices{{"a"}, {"b"}}), std::nullopt);
  EXPECT_EQ(choose_protocol(Choices{}), std::nullopt);
  EXPECT_EQ(choose_protocol(Choices{{"a", "b"}, {"b", "a"}}), choose_protocol(Choices{{"b", "a"}, {"a", "b"}}));
}

// Two requests of a megabyte may name a hundred thousand each.
TEST(GroupRules, a_protocol_among_very_many_is_found_in_proportion) {
  std::vector<std::string> names;
  for (int i = 0; i < 100'000; ++i) names.push_back("p" + std::to_string(i));
  std::vector<std::vector<std::string_view>> choices(2);
  for (size_t i = 0; i < names.size(); ++i) choices[i % 2].push_back(names[i]);
  for (auto& c : choices) c.push_back("z"), c.push_back("z");
  EXPECT_EQ(choose_protocol(choices), "z");
  choices.push_back({"p0", "p0"});
  EXPECT_EQ(choose_protocol(choices), std::nullopt) << "named twice by one is not supported by two";
}

TEST(GroupRules, an_initial_rebalance_waits_again_while_members_come_but_not_for_ever) {
  auto d = first_delay(3000, 10'000);
  EXPECT_EQ(d.wait_ms, 3000);
  EXPECT_EQ(d.remaining_ms, 7000);
  EXPECT_FALSE(next_delay(d, false, 3000));
  int waited = d.wait_ms;
  while (const auto next = next_delay(d, true, 3000)) d = *next, waited += d.wait_ms;
  EXPECT_LE(waited, 10'000 + 3000);
  EXPECT_EQ(first_delay(3000, 1000).remaining_ms, 0);
}

TEST(GroupRules, offsets_age_only_when_nobody_can_miss_them) {
  EXPECT_EQ(ageing({.state = State::empty, .simple = true}), Ageing::since_commit);
  EXPECT_EQ(ageing({.state = State::empty, .has_timestamp = true}), Ageing::since_empty);
  EXPECT_EQ(ageing({.state = State::empty}), Ageing::since_commit);
  EXPECT_EQ(ageing({.state = State::stable, .knows_topics = true}), Ageing::since_commit);
  EXPECT_EQ(ageing({.state = State::stable}), Ageing::never);
  EXPECT_EQ(ageing({.state = State::preparing, .knows_topics = true}), Ageing::never);
  EXPECT_TRUE(offset_expired({.base_ms = 100}, 150, 50));
  EXPECT_FALSE(offset_expired({.base_ms = 100}, 149, 50));
  EXPECT_TRUE(offset_expired({.expires_ms = 120, .base_ms = 100}, 120, 50));
  EXPECT_FALSE(offset_expired({.expires_ms = 999, .base_ms = 100}, 200, 50));
}

TEST(GroupRules, metadata_is_measured_as_java_does) {
  EXPECT_EQ(utf16_length("abc"), 3u);
  EXPECT_EQ(utf16_length("\xc3\xa4"), 1u);
  EXPECT_EQ(utf16_length("\xf0\x9f\x98\x80"), 2u);
}

}  // namespace
}  // namespace klamm::group
