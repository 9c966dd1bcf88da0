#include "engine/broker/request.h"

#include <string>

#include "engine/protocol/messages/find_coordinator.h"
#include "tests/engine/broker/wired_node.h"

namespace klamm::broker {
namespace {

TEST(Request, a_client_id_holds_longer_than_the_turn_that_mended_it) {
  Request kept;
  {
    Arena turn;
    Request r;
    r.frame = Slice::copy(as_bytes("0123456789 a client's name, and its request"));
    r.name_client(turn.copy("mended"));
    kept = r;
    turn.reset();
    EXPECT_EQ(turn.copy("over it").size(), 7u);
  }
  EXPECT_EQ(kept.client_id, "mended");
}

TEST(Request, a_client_id_that_lies_in_the_frame_is_not_copied) {
  Request r;
  r.frame = Slice::copy(as_bytes("0123456789 a client's name"));
  r.name_client(r.frame.text().substr(11));
  EXPECT_EQ(r.client_id.data(), r.frame.text().data() + 11);
  EXPECT_TRUE(r.mended.empty());
  r.name_client({});
  EXPECT_EQ(r.client_id.data(), nullptr);
}

// A byte each, some hundred in an answer.
TEST(Request, one_that_asks_for_millions_of_coordinators_is_not_answered) {
  WiredNode x;
  x.boot();
  const ConnId client = x.connect();
  protocol::FindCoordinatorRequest m;
  for (int i = 0; i < 3'000'000; ++i) m.coordinator_keys.push_back(x.arena(), "");
  x.ask(client, 4, m);
  x.run_for(milliseconds(100));
  EXPECT_TRUE(x.closed(client));
  EXPECT_FALSE(x.answered(client));
}

}  // namespace
}  // namespace klamm::broker
