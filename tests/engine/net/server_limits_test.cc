// Bounds: of bytes, requests and connections.
#include "tests/engine/net/server_fixture.h"

namespace klamm::net {
namespace {

using Fixture = ServerFixture;

TEST(Server, a_reader_that_does_not_read_gets_no_more_requests_started) {
  Fixture f;
  const ConnId conn = f.accept();
  const Slice large = Slice::copy(std::string(5 * 1024 * 1024, 'x'));
  for (int i = 0; i < 2; ++i)
    f.server.on_event(f.net, Received{conn, Fixture::frame(protocol::MetadataRequest{}, 12, i)});
  Incoming in;
  ASSERT_TRUE(f.server.next(f.io, &in));
  f.server.reply(f.io, {in.ticket, {large}});
  EXPECT_FALSE(f.server.next(f.io, &in));
  f.server.on_event(f.net, Sent{conn, large.size()});
  EXPECT_TRUE(f.server.next(f.io, &in));
}

TEST(Server, reading_pauses_at_too_many_bytes_that_wait) {
  Fixture f;
  const ConnId conn = f.accept();
  const Slice large = Fixture::large(3, 1 << 20);
  for (int i = 0; i < 5; ++i) f.receive(conn, large);
  EXPECT_EQ(f.count<Pause>(), 1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(f.count<Resume>(), 0);
    f.answer(f.next(), "x");
  }
  EXPECT_EQ(f.count<Resume>(), 1);
}

// Produces overlap until they are so many bytes; one that is larger by itself may always start.
TEST(Server, produces_under_way_are_bounded_in_bytes) {
  for (const size_t size : {Server::kStartedBytesMax / 4, Server::kStartedBytesMax * 2}) {
    Fixture f;
    const ConnId conn = f.accept();
    std::vector<Incoming> started;
    const auto start = [&] {
      for (Incoming in = f.next(); in.ticket.correlation >= 0; in = f.next()) started.push_back(in);
      return started.size();
    };
    const Slice request = Fixture::large(0, size);
    for (int i = 0; i < 6; ++i) f.receive(conn, request), start();
    const size_t most = size < Server::kStartedBytesMax ? 4 : 1;
    EXPECT_EQ(start(), most);
    for (size_t i = 0; i < 6; ++i) {
      ASSERT_LT(i, started.size());
      f.answer(started[i], "x");
      EXPECT_EQ(start(), std::min<size_t>(6, i + 1 + most));
    }
  }
}

TEST(Server, an_address_has_so_many_connections) {
  Fixture f;
  ServerLimits limits;
  limits.peer_connections_max = 2;
  limits.peer_overrides = {{"friend", 3}};
  f.server = Server(limits);
  const auto accepts = [&](const char* peer) { return f.accepts(0, peer); };
  EXPECT_TRUE(accepts("peer") && accepts("peer"));
  const ConnId last = f.last;
  EXPECT_FALSE(accepts("peer"));
  EXPECT_TRUE(accepts("other"));
  EXPECT_TRUE(accepts("friend") && accepts("friend") && accepts("friend"));
  EXPECT_FALSE(accepts("friend"));
  f.closed(last);
  EXPECT_TRUE(accepts("peer"));
  EXPECT_FALSE(accepts("peer"));
}

// Listener 0 is for clients, 1 for the brokers, 2 for controllers.
ServerLimits three_listeners(uint32_t most) {
  ServerLimits limits;
  limits.connections_max = most;
  limits.listeners = {listener_role(false, false, 2), listener_role(false, true, 2), listener_role(true, false, 1)};
  return limits;
}

TEST(Server, clients_do_not_shut_brokers_out) {
  Fixture f;
  f.server = Server(three_listeners(3));
  std::vector<ConnId> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(f.accept()), f.pass(seconds(1));
  EXPECT_FALSE(f.accepts(0, "peer"));
  EXPECT_TRUE(f.accepts(2, "peer")) << "a controller's connections are counted apart";
  f.receive(clients[0], Fixture::metadata(1));  // so the second is the one that was not active for the longest time
  const ConnId broker = f.accept(1);
  EXPECT_EQ(f.close_of(clients[1]), Fixture::Ended::now);
  EXPECT_FALSE(f.accepts(0, "peer"));
  f.closed(clients[1]);
  EXPECT_FALSE(f.accepts(0, "peer"));
  EXPECT_EQ(f.count<Close>(), 1) << "one for one";
  for (int i = 0; i < 3; ++i) f.accept(1);
  EXPECT_EQ(f.close_of(broker), Fixture::Ended::not_at_all);
  EXPECT_EQ(f.close_of(clients[0]), Fixture::Ended::now);
  EXPECT_EQ(f.close_of(clients[2]), Fixture::Ended::now);
  EXPECT_EQ(f.count<Close>(), 3);
}

TEST(Server, a_lower_limit_closes_what_was_idle_the_longest) {
  Fixture f;
  f.server = Server(three_listeners(10));
  std::vector<ConnId> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(f.accept()), f.pass(seconds(1));
  f.server.set_limits(f.io, three_listeners(2));
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(f.close_of(clients[i]), i < 2 ? Fixture::Ended::now : Fixture::Ended::not_at_all);
}

TEST(NetRules, who_is_guarded_and_who_fits) {
  EXPECT_TRUE(listener_role(false, true, 2).guarded);
  EXPECT_FALSE(listener_role(false, true, 1).guarded);  // clients come there, too
  EXPECT_FALSE(listener_role(false, false, 2).guarded);
  EXPECT_FALSE(listener_role(true, true, 2).guarded);
  EXPECT_TRUE(connection_fits({}, 1, 2));
  EXPECT_FALSE(connection_fits({}, 2, 2));
  EXPECT_TRUE(connection_fits({false, true}, 2, 2));
  EXPECT_EQ(connections_too_many(2, 2), 0u);
  EXPECT_EQ(connections_too_many(5, 2), 3u);
}

}  // namespace
}  // namespace klamm::net
