// Ids of idempotent producers, with a controller that the test plays.
#include "engine/protocol/messages/init_producer_id.h"

#include <limits>

#include "engine/protocol/messages/allocate_producer_ids.h"
#include "engine/protocol/messages/broker_registration.h"
#include "tests/engine/broker/wired_node.h"

namespace klamm::broker {
namespace {

using protocol::AllocateProducerIdsRequest;
using protocol::AllocateProducerIdsResponse;
using protocol::InitProducerIdRequest;
using protocol::InitProducerIdResponse;

constexpr int16_t kInitVersion = 4;
constexpr int32_t kIdBlock = 10;

class InitProducerId : public testing::Test {
 protected:
  InitProducerId() {
    x.boot();
    x.lead(NodeId{8});
    // Calls of one connection are answered in order.
    const auto registration = x.next_call(protocol::BrokerRegistrationRequest::kApiKey);
    EXPECT_TRUE(registration.has_value());
    if (registration) x.answer(*registration, protocol::BrokerRegistrationResponse{.broker_epoch = 1});
    client = x.connect();
  }
  void ask() {
    InitProducerIdRequest m;
    m.transactional_id = kNullStr;
    x.ask(client, kInitVersion, m);
  }
  InitProducerIdResponse take() { return x.take<InitProducerIdResponse>(client, kInitVersion); }
  std::optional<WiredNode::Call> block_wanted(Duration most = seconds(1)) {
    return x.next_call(AllocateProducerIdsRequest::kApiKey, most);
  }
  void allot(const WiredNode::Call& call, ProducerId first) {
    AllocateProducerIdsResponse m;
    m.producer_id_start = first;
    m.producer_id_len = kIdBlock;
    x.answer(call, m);
  }

  WiredNode x = WiredNode::broker();
  ConnId client;
};

TEST_F(InitProducerId, the_next_block_is_asked_for_before_one_runs_out) {
  ask();
  const auto first = block_wanted();
  ASSERT_TRUE(first.has_value());
  allot(*first, 100);
  EXPECT_EQ(take().producer_id, 100);
  for (ProducerId id = 101; id < 109; ++id) {
    ask();
    EXPECT_EQ(take().producer_id, id);
  }
  EXPECT_FALSE(block_wanted(milliseconds(20)).has_value());
  ask();  // nine of ten were given
  EXPECT_EQ(take().producer_id, 109);
  const auto second = block_wanted(milliseconds(20));
  ASSERT_TRUE(second.has_value());
  allot(*second, 500);
  ask();
  EXPECT_EQ(take().producer_id, 500);
}

TEST_F(InitProducerId, who_has_waited_a_second_for_a_block_is_told_to_ask_again) {
  ask();
  const auto call = block_wanted();
  ASSERT_TRUE(call.has_value());
  x.run_for(milliseconds(900));
  EXPECT_FALSE(x.answered(client));
  x.run_for(milliseconds(200));
  const InitProducerIdResponse refused = take();
  EXPECT_EQ(refused.error_code, code(ErrorCode::coordinator_load_in_progress));
  EXPECT_EQ(refused.producer_id, -1);
  ask();
  allot(*call, 100);
  EXPECT_EQ(take().producer_id, 100);
}

TEST_F(InitProducerId, a_block_that_makes_no_sense_is_asked_for_again) {
  ask();
  const auto call = block_wanted();
  ASSERT_TRUE(call.has_value());
  allot(*call, std::numeric_limits<ProducerId>::max() - 3);
  EXPECT_FALSE(x.answered(client));
  const auto again = block_wanted();
  ASSERT_TRUE(again.has_value());
  allot(*again, 100);
  EXPECT_EQ(take().producer_id, 100);
}

}  // namespace
}  // namespace klamm::broker
