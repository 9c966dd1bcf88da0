// A cluster in somebody's hands: the first story.
#include "sim/lab.h"

#include <gtest/gtest.h>

#include <chrono>

#include "engine/client/verbs.h"

namespace klamm::sim {
namespace {

template<class T>
T answer(Lab& lab, uint64_t token, Duration limit = seconds(60)) {
  T value;
  EXPECT_TRUE(lab.run_until_told(token, limit));
  const std::vector<Slice> answers = lab.take(token);
  EXPECT_TRUE(!answers.empty() && client::unpack(answers.back(), value));
  return value;
}

client::Produced produce(Lab& lab, const std::string& text) {
  client::Produce p;
  p.client = 1;
  p.topic = "t";
  p.partition = 0;
  p.records.emplace_back().value = Slice::copy(text);
  return answer<client::Produced>(lab, lab.ask(0, "produce", p));
}

TEST(Lab, acknowledged_records_survive_their_leader) {
  Lab lab({.seed = 7});
  lab.run_for(seconds(1));
  client::CreateTopics create;
  create.topics.push_back({"t", 1, 3, {}, {}});
  const auto created = answer<client::TopicResults>(lab, lab.ask(0, "create_topics", create));
  ASSERT_EQ(created.topics.size(), 1u);
  ASSERT_EQ(created.topics[0].error, ErrorCode::none);
  client::ProducerOpen open;
  open.client = 1;
  ASSERT_EQ(answer<client::Done>(lab, lab.ask(0, "producer.open", open)).error, ErrorCode::none);
  EXPECT_EQ(produce(lab, "before").offset, 0);

  const LogKey log{topic_key(created.topics[0].id), 0};
  const int32_t leader = lab.leaders().leader(log);
  ASSERT_GT(leader, 0);
  lab.kill(leader);
  const int64_t killed_at = lab.now();
  EXPECT_EQ(produce(lab, "after").offset, 1);
  EXPECT_LT(lab.now() - killed_at, 1'000'000'000) << "a dead process is fenced at once, not after its session";
  EXPECT_NE(lab.leaders().leader(log), leader);
  lab.start(leader);
  lab.run_for(seconds(10));
  EXPECT_EQ(lab.replicas().log_end(log, host_of(leader)), 2);
  EXPECT_TRUE(lab.verdicts().empty()) << lab.verdicts().list()[0].text;
}

TEST(Lab, partitioned_leader_does_not_acknowledge) {
  Lab lab({.seed = 8});
  lab.run_for(seconds(1));
  client::CreateTopics create;
  create.topics.push_back({"t", 1, 3, {}, {}});
  const auto created = answer<client::TopicResults>(lab, lab.ask(0, "create_topics", create));
  client::ProducerOpen open;
  open.client = 1;
  answer<client::Done>(lab, lab.ask(0, "producer.open", open));
  EXPECT_EQ(produce(lab, "one").offset, 0);
  const LogKey log{topic_key(created.topics[0].id), 0};
  const int32_t leader = lab.leaders().leader(log);
  std::vector<int32_t> others;
  for (int32_t n = 1; n <= 3; ++n)
    if (n != leader) others.push_back(n);
  lab.partition({leader}, others);
  const client::Produced second = produce(lab, "two");  // reaches the old leader first, then the new one
  EXPECT_EQ(second.error, ErrorCode::none);
  EXPECT_EQ(second.offset, 1);
  lab.heal();
  lab.run_for(seconds(20));
  EXPECT_EQ(lab.replicas().log_end(log, host_of(leader)), 2);
  EXPECT_TRUE(lab.verdicts().empty()) << lab.verdicts().list()[0].text;
}

TEST(Lab, fork_is_quick_and_independent) {
  Lab lab({.seed = 9});
  lab.run_for(seconds(2));
  const auto begun = std::chrono::steady_clock::now();
  Lab fork = lab;
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(50));
  fork.kill(1);
  lab.run_for(seconds(1)), fork.run_for(seconds(1));
  EXPECT_TRUE(lab.is_up(1));
  EXPECT_FALSE(fork.is_up(1));
  EXPECT_NE(lab.digest(), fork.digest());
}

}  // namespace
}  // namespace klamm::sim
