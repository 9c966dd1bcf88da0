#include "engine/replication/rules.h"

#include <gtest/gtest.h>

namespace klamm::replication {
namespace {

std::vector<NodeId> nodes(std::initializer_list<int32_t> ids) {
  std::vector<NodeId> out;
  for (int32_t i : ids) out.push_back(NodeId{i});
  return out;
}

TEST(ReplicationRules, fetch_fence_serves_exactly_its_epoch) {
  EXPECT_EQ(fetch_fence(kNoEpoch, 5), ErrorCode::none);
  EXPECT_EQ(fetch_fence(5, 5), ErrorCode::none);
  EXPECT_EQ(fetch_fence(4, 5), ErrorCode::fenced_leader_epoch);
  EXPECT_EQ(fetch_fence(6, 5), ErrorCode::unknown_leader_epoch);
}

TEST(ReplicationRules, truncation_point_keeps_the_log_unless_flawed) {
  Flaws flaws;
  EXPECT_EQ(truncation_point(flaws, {10, 20}), 20);
  flaws.replica_truncate_to_high_watermark = true;
  EXPECT_EQ(truncation_point(flaws, {10, 20}), 10);
  EXPECT_EQ(truncation_point(flaws, {30, 20}), 20);
}

TEST(ReplicationRules, divergence_point_is_the_lesser_end_of_the_shared_epoch) {
  EXPECT_EQ(divergence_point({{15, 2}, {12, 2}}), 12);
  EXPECT_EQ(divergence_point({{11, 2}, {12, 2}}), 11);
}

TEST(ReplicationRules, accept_fetch_reply_only_for_the_present_place) {
  EXPECT_TRUE(accept_fetch_reply({3, 7, 2}, {3, 7, 2}));
  EXPECT_FALSE(accept_fetch_reply({2, 7, 2}, {3, 7, 2}));
  EXPECT_FALSE(accept_fetch_reply({3, 6, 2}, {3, 7, 2}));
  EXPECT_FALSE(accept_fetch_reply({3, 7, 1}, {3, 7, 2}));
}

TEST(ReplicationRules, starts_over_behind_a_gap_or_with_nothing_to_lose) {
  EXPECT_TRUE(starts_over({0, 10, 11}));
  EXPECT_FALSE(starts_over({0, 10, 10}));
  EXPECT_FALSE(starts_over({0, 10, 0}));
  EXPECT_TRUE(starts_over({4'000, 4'000, 100}));
  EXPECT_TRUE(starts_over({4'000, 4'000, 0}));
  EXPECT_FALSE(starts_over({4'000, 4'000, -1}));
}

TEST(ReplicationRules, maximal_isr_joins_the_proposal) {
  const auto proposed = nodes({1, 3});
  EXPECT_EQ(maximal_isr(nodes({1, 2}), &proposed), nodes({1, 2, 3}));
  EXPECT_EQ(maximal_isr(nodes({1, 2}), nullptr), nodes({1, 2}));
}

TEST(ReplicationRules, high_watermark_rests_below_min_insync) {
  EXPECT_TRUE(high_watermark_may_move({2, 3, 2}));
  EXPECT_FALSE(high_watermark_may_move({1, 3, 2}));
  EXPECT_TRUE(high_watermark_may_move({1, 1, 2}));  // never more than there are replicas
  EXPECT_EQ(enough_replicas({1, 3, 2}), ErrorCode::not_enough_replicas);
}

TEST(ReplicationRules, caught_up_is_measured_in_time) {
  const Instant now{seconds(100).ns};
  EXPECT_TRUE(caught_up({9, 9, Instant{0}, now, seconds(30)}));
  EXPECT_TRUE(caught_up({8, 9, now - seconds(30), now, seconds(30)}));
  EXPECT_FALSE(caught_up({8, 9, now - seconds(31), now, seconds(30)}));
}

TEST(ReplicationRules, isr_admission_wants_all_of_its_conditions) {
  EXPECT_TRUE(isr_admission({10, 10, 8, true, true}));
  EXPECT_FALSE(isr_admission({9, 10, 8, true, true}));    // below the high watermark
  EXPECT_FALSE(isr_admission({10, 5, 12, true, true}));   // below the epoch's start (KAFKA-7128)
  EXPECT_FALSE(isr_admission({10, 10, 8, false, true}));  // fenced (KIP-841)
  EXPECT_FALSE(isr_admission({10, 10, 8, true, false}));  // another incarnation (KIP-903)
}

TEST(ReplicationRules, latest_is_told_once_the_epoch_start_is_committed) {
  EXPECT_EQ(list_offsets_gate(7, 10), ErrorCode::offset_not_available);
  EXPECT_EQ(list_offsets_gate(10, 10), ErrorCode::none);
}

TEST(ReplicationRules, so_many_records_are_acknowledged_before_they_are_synced) {
  EXPECT_EQ(acked_end({9, 5}, INT64_MAX), 9);
  EXPECT_EQ(acked_end({9, 5}, 4), 9);
  EXPECT_EQ(acked_end({9, 5}, 3), 8);
  EXPECT_EQ(acked_end({9, 5}, 0), 5);
  EXPECT_FALSE(sync_due(9, 5, INT64_MAX));
  EXPECT_FALSE(sync_due(9, 5, 4));
  EXPECT_TRUE(sync_due(9, 5, 3));
  EXPECT_TRUE(sync_due(9, 5, 0));
  EXPECT_FALSE(sync_due(5, 5, 0));
}

}  // namespace
}  // namespace klamm::replication
