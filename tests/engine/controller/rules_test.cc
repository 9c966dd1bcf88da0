#include "engine/controller/rules.h"

#include <gtest/gtest.h>

#include "engine/controller/partition_change.h"

namespace klamm::controller {
namespace {

std::vector<NodeId> ids_of(std::initializer_list<int32_t> ids) {
  std::vector<NodeId> out;
  for (int32_t id : ids) out.push_back(NodeId{id});
  return out;
}

struct Case {
  std::vector<NodeId> isr, elr, last, live;
  int32_t leader;
  Election kind;
  Elected expected;
};

TEST(Elect, by_table) {
  const NodeId none = kNoNode, n1{1}, n2{2}, n3{3};
  const Case cases[] = {
      {ids_of({1, 2, 3}), {}, {}, ids_of({1, 2, 3}), 2, Election::online, {n2, false}},     // it stays
      {ids_of({1, 2, 3}), {}, {}, ids_of({1, 2, 3}), 2, Election::preferred, {n1, false}},  // the first if asked
      {ids_of({2, 3}), {}, {}, ids_of({1, 2, 3}), 3, Election::preferred, {n3, false}},     // not if it is not in sync
      {ids_of({1, 2, 3}), {}, {}, ids_of({2, 3}), 1, Election::online, {n2, false}},        // the order of replicas
      {ids_of({1}), {}, {}, ids_of({2, 3}), 1, Election::online, {none, false}},            // none rather than unclean
      {ids_of({1}), {}, {}, ids_of({2, 3}), 1, Election::unclean, {n2, true}},
      {{}, ids_of({3}), {}, ids_of({1, 2, 3}), -1, Election::online, {n3, false}},          // from the elr
      {ids_of({1}), ids_of({3}), {}, ids_of({2, 3}), -1, Election::online, {none, false}},  // not while the isr has
                                                                                            // members
      {{}, {}, ids_of({3}), ids_of({1, 3}), -1, Election::online, {n3, true}},              // the last known leader
      {{}, {}, ids_of({3}), ids_of({1}), -1, Election::online, {none, false}},              // but only if it lives
      {{}, {}, ids_of({1, 3}), ids_of({1, 3}), -1, Election::online, {none, false}},
  };
  const std::vector<NodeId> replicas = ids_of({1, 2, 3});
  for (const Case& c : cases) {
    const Elected e = elect({replicas, c.isr, c.elr, c.last, NodeId{c.leader}, c.live, true}, c.kind);
    EXPECT_EQ(e, c.expected) << "case " << &c - cases;
  }
}

TEST(NextElr, keeps_who_had_all_while_the_isr_was_small) {
  const auto isr = ids_of({1, 2}), one = ids_of({2}), nobody = ids_of({}), elr = ids_of({3});
  EXPECT_EQ(next_elr({isr, nobody, one, kNoNode, 2}), ids_of({1}));
  EXPECT_EQ(next_elr({one, ids_of({1}), nobody, kNoNode, 2}), ids_of({1, 2}));
  EXPECT_EQ(next_elr({one, ids_of({1}), nobody, NodeId{1}, 2}), ids_of({2}));  // lossy
  EXPECT_EQ(next_elr({one, elr, isr, kNoNode, 2}), nobody);                    // full size
}

TEST(NextState, by_table) {
  using S = BrokerState;
  EXPECT_EQ(next_state({S::fenced, false, false, true}), S::unfenced);
  EXPECT_EQ(next_state({S::fenced, false, false, false}), S::fenced);
  EXPECT_EQ(next_state({S::fenced, true, false, true}), S::fenced);
  EXPECT_EQ(next_state({S::fenced, false, true, true}), S::shutdown_now);
  EXPECT_EQ(next_state({S::unfenced, false, false, true}), S::unfenced);
  EXPECT_EQ(next_state({S::unfenced, true, false, true}), S::fenced);
  EXPECT_EQ(next_state({S::unfenced, false, true, true, true}), S::controlled_shutdown);
  EXPECT_EQ(next_state({S::unfenced, false, true, true, false}), S::shutdown_now);
  EXPECT_EQ(next_state({S::controlled_shutdown, false, true, true, true, true}), S::controlled_shutdown);
  EXPECT_EQ(next_state({S::controlled_shutdown, false, true, true, false, false}), S::controlled_shutdown);
  EXPECT_EQ(next_state({S::controlled_shutdown, false, true, true, false, true}), S::shutdown_now);
}

TEST(TopicName, faults) {
  EXPECT_FALSE(topic_name_fault("a.b_c-9"));
  EXPECT_FALSE(topic_name_fault(std::string(249, 'x')));
  for (const std::string& bad : {std::string(), std::string("."), std::string(".."), std::string(250, 'x'),
                                 std::string("a b"), std::string("a/b"), std::string("\xc3\xa4")})
    EXPECT_TRUE(topic_name_fault(bad)) << bad;
}

TEST(FeatureFault, what_is_not_named_is_supported_at_level_zero) {
  Pmap<std::string, int16_t> finalized;
  finalized.set("metadata.version", 30);
  EXPECT_FALSE(feature_fault(finalized, {{"metadata.version", 7, 30}, {"new", 0, 3}}));
  EXPECT_TRUE(feature_fault(finalized, {{"metadata.version", 7, 29}}));
  finalized.set("group.version", 1);
  EXPECT_TRUE(feature_fault(finalized, {{"metadata.version", 7, 30}}));
}

// A reassignment ends when all that shall stay are in sync: those that shall go are gone at once, in a new epoch.
TEST(PartitionChange, a_reassignment_completes_with_the_isr) {
  PartitionInfo p;
  p.replicas = ids_of({1, 2, 3});
  p.directories.resize(3);
  p.isr = ids_of({1, 2});
  p.adding = ids_of({3});
  p.removing = ids_of({1});
  p.leader = NodeId{1};
  p.leader_epoch = 4;
  PartitionChange c(p);
  c.live = ids_of({1, 2, 3});
  EXPECT_FALSE(apply(c));  // 3 is not there yet
  c.isr = ids_of({1, 2, 3});
  const auto after = apply(c);
  ASSERT_TRUE(after);
  EXPECT_EQ(after->replicas, ids_of({2, 3}));
  EXPECT_EQ(after->isr, ids_of({2, 3}));
  EXPECT_FALSE(after->reassigning());
  EXPECT_EQ(after->leader, NodeId{2});
  EXPECT_EQ(after->leader_epoch, 5);
  EXPECT_EQ(after->partition_epoch, 1);
}

}  // namespace
}  // namespace klamm::controller
