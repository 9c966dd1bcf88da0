#include "engine/broker/request.h"

#include <gtest/gtest.h>

#include <string>

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

}  // namespace
}  // namespace klamm::broker
