// How connections end.
#include "tests/engine/net/server_fixture.h"

namespace klamm::net {
namespace {

using Fixture = ServerFixture;
using How = ServerFixture::Ended;

TEST(Server, a_lying_size_or_header_closes_only_that_connection) {
  Fixture f;
  const ConnId bad = f.accept();
  const ConnId worse = f.accept();
  f.server.on_event(f.net, Received{bad, Slice::copy(std::string("\xff\xff\xff\xff", 4))});
  f.server.on_event(f.net, Received{worse, Slice::copy(std::string("\0\0\0\x04\x7f\xff\0\0", 8))});
  Incoming in;
  EXPECT_FALSE(f.server.next(f.io, &in));
  int closed = 0;
  for (const Command& c : f.out) closed += std::holds_alternative<Close>(c);
  EXPECT_EQ(closed, 2);
  EXPECT_TRUE(f.server.on_event(f.net, Closed{bad}));
  EXPECT_EQ(f.server.connections(), 1u);
}

TEST(Server, a_reply_larger_than_a_frame_can_say_closes_its_connection) {
  for (const size_t pieces : {size_t{2047}, size_t{2048}}) {
    Fixture f;
    const ConnId conn = f.accept();
    f.server.on_event(f.net, Received{conn, Fixture::frame(protocol::MetadataRequest{}, 12, 9)});
    Incoming in;
    ASSERT_TRUE(f.server.next(f.io, &in));
    const Slice mebibyte = Slice::copy(std::string(1 << 20, 'x'));
    f.server.reply(f.io, {in.ticket, std::vector<Slice>(pieces, mebibyte)});
    const auto closes = [](const Command& c) { return std::holds_alternative<Close>(c); };
    EXPECT_EQ(std::any_of(f.out.begin(), f.out.end(), closes), pieces == 2048);
  }
}

// ---- whole requests are served though their connection ends

TEST(Server, requests_that_came_whole_are_served_when_their_peer_has_left) {
  Fixture f;
  const ConnId conn = f.accept();
  f.receive(conn, Fixture::produce(1));
  f.receive(conn, Fixture::metadata(2));
  const Slice third = Fixture::produce(3);
  f.receive(conn, third);
  f.receive(conn, third.part(0, 9));
  const Incoming first = f.next();
  EXPECT_EQ(f.next().ticket.correlation, -1);
  f.closed(conn);
  EXPECT_FALSE(f.server.has(conn));
  EXPECT_EQ(f.server.connections(), 0u);
  EXPECT_NE(f.accept(), conn);
  EXPECT_EQ(f.next().ticket.correlation, -1) << "in order";
  f.out.clear();
  f.server.skip(f.io, first.ticket);
  EXPECT_EQ(f.serve(), (std::vector<int32_t>{2, 3}));
  EXPECT_TRUE(f.out.empty());
  EXPECT_EQ(f.server.peer_host(conn), nullptr) << "nothing of it is left";
}

TEST(Server, who_sends_no_more_is_answered_and_then_closed) {
  Fixture f;
  const ConnId conn = f.accept();
  f.receive(conn, f.metadata(1));
  f.receive(conn, f.metadata(2));
  f.receive(conn, f.metadata(3).part(0, 5));
  f.receive(conn, {});
  EXPECT_EQ(f.close_of(conn), How::not_at_all);
  EXPECT_EQ(f.serve(), (std::vector<int32_t>{1, 2}));
  EXPECT_FALSE(f.sent(conn).empty());
  EXPECT_EQ(f.close_of(conn), How::after_sends);
  const ConnId silent = f.accept();
  f.receive(silent, {});
  EXPECT_EQ(f.close_of(silent), How::after_sends) << "nothing is to be answered";
}

TEST(Server, who_sends_no_more_is_not_waited_for_for_ever) {
  Fixture f;
  const ConnId conn = f.accept();
  f.receive(conn, f.metadata(1));
  const Incoming in = f.next();
  EXPECT_EQ(in.ticket.correlation, 1);
  f.receive(conn, {});
  f.pass(Server::kLeftMost - seconds(1));
  EXPECT_EQ(f.close_of(conn), How::not_at_all);
  f.pass(seconds(2));
  EXPECT_EQ(f.close_of(conn), How::after_sends);
  f.answer(in, "x");
  f.closed(conn);
  EXPECT_FALSE(f.server.serves(conn));
}

TEST(Server, who_has_left_holds_so_much_for_so_long) {
  Fixture f;
  const auto leaves = [&](size_t requests, const Slice& request) {
    const ConnId conn = f.accept();
    for (size_t i = 0; i < requests; ++i) f.receive(conn, request);
    f.next();
    f.closed(conn);
    return conn;
  };
  const ConnId first = leaves(2, Fixture::metadata(1));
  for (size_t i = 1; i < Server::kLeftMax; ++i) leaves(2, Fixture::metadata(1));
  EXPECT_EQ(f.server.peer_host(leaves(2, Fixture::metadata(1))), nullptr);
  EXPECT_NE(f.server.peer_host(first), nullptr);
  f.pass(Server::kLeftMost);
  EXPECT_EQ(f.server.peer_host(first), nullptr);
  EXPECT_EQ(f.server.next_deadline(), kNever);
  const Slice large = Fixture::large(3, Server::kLeftBytesMax / 3);
  const ConnId one = leaves(3, large), two = leaves(2, large);
  EXPECT_NE(f.server.peer_host(one), nullptr);
  EXPECT_EQ(f.server.peer_host(two), nullptr);
  f.pass(Server::kLeftMost);
  EXPECT_NE(f.server.peer_host(leaves(3, large)), nullptr);
}

// ---- what is unsound ends a connection, once all before it is answered

TEST(Server, what_came_before_unsound_bytes_is_answered) {
  Fixture f;
  const ConnId conn = f.accept();
  Writer w;
  for (int i = 1; i <= 3; ++i) w.raw(Fixture::metadata(i).span());
  w.i32(-1);
  f.receive(conn, w.finish_contiguous());
  EXPECT_EQ(f.close_of(conn), How::not_at_all);
  EXPECT_EQ(f.count<Pause>(), 1);
  f.receive(conn, Fixture::metadata(4));
  EXPECT_EQ(f.serve(), (std::vector<int32_t>{1, 2, 3}));
  EXPECT_EQ(f.sent(conn).size(), 3 * 10u);
  EXPECT_TRUE(std::get<Close>(f.out.back()).after_sends);
}

TEST(Server, what_came_before_an_unsound_header_is_answered) {
  Fixture f;
  const ConnId conn = f.accept();
  f.receive(conn, Fixture::produce(1));
  f.receive(conn, Slice::copy(std::string("\0\0\0\x04\0\0\0\x0d", 8)));  // a Produce that ends in its header
  f.receive(conn, Fixture::produce(3));
  const Incoming first = f.next();
  EXPECT_EQ(f.next().ticket.correlation, -1);
  EXPECT_EQ(f.close_of(conn), How::not_at_all);
  f.answer(first, "one");
  EXPECT_TRUE(f.sent(conn).ends_with("one"));
  EXPECT_TRUE(std::get<Close>(f.out.back()).after_sends);
  EXPECT_EQ(f.next().ticket.correlation, -1);
}

TEST(Server, what_came_before_a_request_that_closes_is_answered) {
  Fixture f;
  const ConnId conn = f.accept();
  for (int i = 1; i <= 3; ++i) f.receive(conn, Fixture::produce(i));
  const Incoming one = f.next(), two = f.next(), three = f.next();
  f.answer(three, "three");
  f.server.reply(f.io, {two.ticket, {}, true});
  EXPECT_EQ(f.close_of(conn), How::not_at_all);
  f.receive(conn, Fixture::produce(4));
  EXPECT_EQ(f.next().ticket.correlation, -1);
  f.answer(one, "one");
  EXPECT_TRUE(f.sent(conn).ends_with("one"));
  EXPECT_TRUE(std::get<Close>(f.out.back()).after_sends);
}

// ---- idleness

TEST(Server, idle_connections_are_closed_and_those_in_use_are_not) {
  Fixture f;
  const Instant start = f.ctx.now;
  const ConnId idle = f.accept(), used = f.accept(), waits = f.accept();
  f.ctx.now = start + seconds(400);
  f.server.on_event(f.net, Received{used, Fixture::frame(protocol::MetadataRequest{}, 12, 1)});
  f.server.on_event(f.net, Received{waits, Fixture::frame(protocol::MetadataRequest{}, 12, 1)});
  Incoming in;
  while (f.server.next(f.io, &in))
    if (in.ticket.conn == used) f.server.reply(f.io, {in.ticket, {Slice::copy("x")}});
  std::vector<ConnId> closed;
  const auto look_until = [&](Instant end) {
    while (f.server.next_deadline() <= end) {
      f.ctx.now = f.server.next_deadline();
      f.server.on_time(f.io);
      for (const Command& c : f.out)
        if (const auto* x = std::get_if<Close>(&c)) closed.push_back(x->conn);
      f.out.clear();
      for (const ConnId c : closed) f.server.on_event(f.net, Closed{c});
    }
  };
  look_until(start + seconds(999));
  EXPECT_EQ(closed, std::vector{idle});
  look_until(start + seconds(5000));
  EXPECT_EQ(closed, (std::vector{idle, used}));
}

// The answer to a request, most of which has still to leave.
ConnId slow_reader(Fixture& f) {
  const ConnId conn = f.accept();
  f.receive(conn, Fixture::metadata(1));
  f.answer(f.next(), std::string(5 << 20, 'x'));
  return conn;
}

TEST(Server, a_reader_is_not_idle_while_it_takes_bytes) {
  Fixture f;
  const ConnId conn = slow_reader(f);
  for (uint64_t taken = 1; taken <= 4; ++taken) {
    f.pass(seconds(500));
    f.server.on_event(f.net, Sent{conn, taken << 20});
  }
  f.pass(seconds(599));
  EXPECT_EQ(f.close_of(conn), How::not_at_all);
  f.pass(seconds(1));
  EXPECT_EQ(f.close_of(conn), How::after_sends);
}

TEST(Server, a_peer_that_does_not_take_its_answers_is_idle_though_it_has_asked_more) {
  Fixture f;
  const ConnId conn = slow_reader(f);
  f.receive(conn, Fixture::metadata(2));
  f.pass(seconds(601));
  EXPECT_EQ(f.close_of(conn), How::after_sends);
  f.pass(Server::kDrainMost);
  EXPECT_EQ(f.close_of(conn), How::now);
}

TEST(Server, last_answers_are_waited_for_as_long_as_the_peer_takes_them) {
  Fixture f;
  const ConnId conn = slow_reader(f);
  f.server.close(f.io, conn);
  for (uint64_t taken = 1; taken <= 4; ++taken) {
    f.pass(Server::kDrainMost - seconds(1));
    f.server.on_event(f.net, Sent{conn, taken << 20});
  }
  f.pass(Server::kDrainMost - seconds(1));
  EXPECT_EQ(f.close_of(conn), How::after_sends);
  f.pass(seconds(1));
  EXPECT_EQ(f.close_of(conn), How::now);
  f.closed(conn);
  EXPECT_EQ(f.server.next_deadline(), kNever);
}

}  // namespace
}  // namespace klamm::net
