#include "engine/client/rules.h"

#include <gtest/gtest.h>

namespace klamm::client {
namespace {

TEST(ClientRules, produce_verdict_table) {
  using E = ErrorCode;
  using V = ProduceVerdict;
  const struct {
    ProduceOutcome outcome;
    ProduceVerdict verdict;
  } table[] = {
      {{E::none, true, false, Gap::none}, V::acknowledged},
      {{E::duplicate_sequence_number, true, false, Gap::none}, V::duplicate},
      {{E::not_leader_or_follower, true, false, Gap::none}, V::retry},
      {{E::not_enough_replicas_after_append, true, true, Gap::none}, V::retry},
      {{E::network_exception, false, false, Gap::none}, V::retry},
      {{E::message_too_large, true, false, Gap::none}, V::rejected},
      {{E::out_of_order_sequence_number, true, true, Gap::none}, V::retry},
      {{E::out_of_order_sequence_number, true, true, Gap::rejected}, V::retry},
      {{E::out_of_order_sequence_number, true, false, Gap::rejected}, V::renumber},
      {{E::out_of_order_sequence_number, true, false, Gap::unknown}, V::rejected},
      {{E::out_of_order_sequence_number, true, false, Gap::none}, V::rejected},
      {{E::out_of_order_sequence_number, false, false, Gap::none}, V::rejected},
      {{E::invalid_producer_epoch, true, false, Gap::none}, V::renumber},
      {{E::invalid_producer_epoch, true, true, Gap::none}, V::retry},
      {{E::invalid_producer_epoch, false, false, Gap::none}, V::rejected},
  };
  for (const auto& row : table)
    EXPECT_EQ(produce_verdict(row.outcome), row.verdict) << name(row.outcome.error) << " " << row.outcome.earlier_open;
}

TEST(ClientRules, an_answered_refusal_is_certain_and_a_lost_one_is_not) {
  EXPECT_TRUE(maybe_done(ErrorCode::network_exception));
  EXPECT_TRUE(maybe_done(ErrorCode::request_timed_out));
  EXPECT_TRUE(maybe_done(ErrorCode::not_enough_replicas_after_append));
  EXPECT_FALSE(maybe_done(ErrorCode::not_enough_replicas));
  EXPECT_FALSE(maybe_done(ErrorCode::message_too_large));
}

TEST(ClientRules, group_verdicts) {
  EXPECT_EQ(group_verdict(ErrorCode::none), GroupVerdict::ok);
  EXPECT_EQ(group_verdict(ErrorCode::not_coordinator), GroupVerdict::find_coordinator);
  EXPECT_EQ(group_verdict(ErrorCode::rebalance_in_progress), GroupVerdict::rejoin);
  EXPECT_EQ(group_verdict(ErrorCode::unknown_member_id), GroupVerdict::rejoin_as_new);
  EXPECT_EQ(group_verdict(ErrorCode::member_id_required), GroupVerdict::rejoin_with_id);
  EXPECT_EQ(group_verdict(ErrorCode::fenced_instance_id), GroupVerdict::fatal);
}

}  // namespace
}  // namespace klamm::client
