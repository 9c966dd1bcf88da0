// How long a partition is without acknowledged writes when its leader's process dies: counted in round trips.
#include <gtest/gtest.h>

#include <set>

#include "engine/client/verbs.h"
#include "sim/lab.h"

namespace klamm::sim {
namespace {

constexpr int32_t kPartitions = 6;

class Failover {
 public:
  explicit Failover(uint64_t seed) : lab({.seed = seed}) {
    lab.run_for(seconds(1));
    client::CreateTopics create;
    create.topics.push_back({"t", kPartitions, 3, {}, {}});
    topic_ = topic_key(answer<client::TopicResults>(lab.ask(0, "create_topics", create)).topics.at(0).id);
    client::ProducerOpen open;
    open.client = 1;
    EXPECT_EQ(answer<client::Done>(lab.ask(0, "producer.open", open)).error, ErrorCode::none);
    for (int32_t p = 0; p < kPartitions; ++p) write(p);
  }
  // Until it is acknowledged by all, in round trips of the slowest link.
  double write(int32_t partition) {
    client::Produce p;
    p.client = 1;
    p.topic = "t";
    p.partition = partition;
    p.records.emplace_back().value = Slice::copy(std::string("v"));
    const int64_t asked_at = lab.now();
    EXPECT_EQ(answer<client::Produced>(lab.ask(0, "produce", p)).error, ErrorCode::none);
    const NetModel net;
    return static_cast<double>(lab.now() - asked_at) /
           static_cast<double>(2 * (net.delay.least_ns + net.delay.spread_ns));
  }
  int32_t controller() const { return node_of(static_cast<HostId>(lab.leaders().raft_leader())); }
  int32_t leader(int32_t partition) const { return lab.leaders().leader({topic_, partition}); }
  int32_t led_by(int32_t node) const {
    int32_t p = 0;
    while (p < kPartitions && leader(p) != node) ++p;
    return p;
  }

  Lab lab;

 private:
  template<class T>
  T answer(uint64_t token) {
    T value;
    EXPECT_TRUE(lab.run_until_told(token, seconds(60)));
    const std::vector<Slice> answers = lab.take(token);
    EXPECT_TRUE(!answers.empty() && client::unpack(answers.back(), value));
    return value;
  }
  int64_t topic_ = 0;
};

// Of the slowest link. What it takes: the break, dials, an election of the quorum if its leader died too (10 ms apart
// by rank), a commit, the image, a fetch, the write.
constexpr double kRoundTripsMost = 100;

TEST(Failover, next_write_after_a_dead_leader_takes_round_trips_and_no_time_out) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    const Failover before(seed);
    std::set<bool> was_controller;
    for (int32_t node = 1; node <= 3; ++node) {
      Failover world = before;
      was_controller.insert(node == world.controller());
      const int32_t p = world.led_by(node);
      ASSERT_LT(p, kPartitions);
      // At some place of the standing fetches' wait, and so that the client may ask for metadata again.
      world.lab.run_for(milliseconds(200 + static_cast<int64_t>(37 * seed)));
      world.lab.kill(node);
      EXPECT_LT(world.write(p), kRoundTripsMost) << "seed " << seed << ", node " << node;
      EXPECT_NE(world.leader(p), node);
      EXPECT_TRUE(world.lab.verdicts().empty());
    }
    EXPECT_EQ(was_controller.size(), 2u);
  }
}

TEST(Failover, a_leader_that_lives_is_not_waited_for) {
  Failover world(1);
  const int32_t p = world.led_by(2);
  world.lab.run_for(milliseconds(300));
  world.lab.world().reset_connections(host_of(2), 3, 100);  // the client asks for metadata
  for (int32_t other : {1, 3}) world.lab.world().reset_connections(host_of(2), host_of(other), 100);
  world.lab.run_for(milliseconds(1));
  // The followers' wait after a lost Fetch is in it (50 ms), the whole of broker::kDoubtMost would be 667.
  EXPECT_LT(world.write(p), 250);
  EXPECT_EQ(world.leader(p), 2);
}

// Who has no vote finds the controller that the others chose: running, before its session ends, and from a restart on.
TEST(Failover, brokers_without_a_vote_find_the_next_controller) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Lab lab({.seed = seed, .brokers = 5, .controllers = 3});
    lab.run_for(seconds(1));
    const auto unfenced = [&] {
      const uint64_t token = lab.ask(0, "describe", client::Describe{});
      client::Description found;
      EXPECT_TRUE(lab.run_until_answered(token, seconds(60)));
      const std::vector<Slice> answers = lab.take(token);
      EXPECT_TRUE(!answers.empty() && client::unpack(answers.back(), found));
      std::set<int32_t> ids;
      for (const auto& b : found.brokers) ids.insert(b.id);
      return ids;
    };
    EXPECT_EQ(unfenced(), (std::set<int32_t>{1, 2, 3, 4, 5})) << "seed " << seed;
    const int32_t old = node_of(static_cast<HostId>(lab.leaders().raft_leader()));
    ASSERT_LE(old, 3);
    lab.kill(old);
    lab.run_for(seconds(12));
    lab.kill(5);
    lab.run_for(seconds(1));
    lab.start(5);
    lab.run_for(seconds(2));
    std::set<int32_t> rest{1, 2, 3, 4, 5};
    rest.erase(old);
    EXPECT_EQ(unfenced(), rest) << "seed " << seed;
    EXPECT_TRUE(lab.verdicts().empty());
  }
}

}  // namespace
}  // namespace klamm::sim
