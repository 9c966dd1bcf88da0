#include "engine/net/server.h"

#include <gtest/gtest.h>

#include "engine/protocol/frame.h"
#include "engine/protocol/messages/metadata.h"
#include "engine/protocol/messages/produce.h"

namespace klamm::net {
namespace {

class FixedChance final : public Chance {
 public:
  uint64_t below(ChoiceKey, uint64_t) override { return 0; }
  uint64_t name(ChoiceKey key) override { return key.entity * 31 + key.ordinal; }
};

struct Fixture {
  FixedChance chance;
  Flaws flaws;
  NoTrace trace;
  Scratch scratch;
  Commands out;
  OpTable ops;
  ConnTable conns;
  Ctx ctx{Instant{1}, Wall{1}, chance, flaws, trace, scratch};
  Io io{ctx, out, ops};
  NetIo net{io, conns};
  Server server;

  ConnId accept() {
    EXPECT_TRUE(server.on_event(net, Accepted{ListenerId{0}, PendingId{7}, "peer", 1, ""}));
    return std::get<Adopt>(out.back()).conn;
  }
  template<class Message>
  static Slice frame(const Message& m, int16_t version, int32_t correlation) {
    Writer w;
    protocol::encode_request(w, {Message::kApiKey, version, correlation, "me"}, m);
    return w.finish_contiguous();
  }
  std::string sent(ConnId conn) {
    std::string all;
    for (const Command& c : out)
      if (const auto* s = std::get_if<Send>(&c); s && s->conn == conn) all += s->bytes.text();
    return all;
  }
};

TEST(Server, a_request_cut_anywhere_arrives_whole) {
  const Slice request = Fixture::frame(protocol::MetadataRequest{}, 12, 9);
  for (size_t cut = 0; cut <= request.size(); ++cut) {
    Fixture f;
    const ConnId conn = f.accept();
    f.server.on_event(f.net, Received{conn, request.part(0, cut)});
    f.server.on_event(f.net, Received{conn, request.part(cut, request.size() - cut)});
    Incoming in;
    ASSERT_TRUE(f.server.next(f.io, &in)) << cut;
    EXPECT_EQ(in.ticket.correlation, 9);
    EXPECT_EQ(in.ticket.api, 3);
    EXPECT_EQ(in.client_id, "me");
    EXPECT_FALSE(f.server.next(f.io, &in));
  }
}

TEST(Server, the_next_request_starts_when_the_reply_before_it_was_sent) {
  Fixture f;
  const ConnId conn = f.accept();
  f.server.on_event(f.net, Received{conn, Fixture::frame(protocol::MetadataRequest{}, 12, 1)});
  f.server.on_event(f.net, Received{conn, Fixture::frame(protocol::MetadataRequest{}, 12, 2)});
  Incoming first, second;
  ASSERT_TRUE(f.server.next(f.io, &first));
  EXPECT_FALSE(f.server.next(f.io, &second));
  f.server.reply(f.io, {first.ticket, {Slice::copy("one")}});
  ASSERT_TRUE(f.server.next(f.io, &second));
  f.server.reply(f.io, {second.ticket, {Slice::copy("two")}});
  EXPECT_EQ(f.sent(conn), std::string("\0\0\0\x08\0\0\0\x01\0one\0\0\0\x08\0\0\0\x02\0two", 24));
}

// A region takes its place among the pieces of memory, counts as its bytes do, and is told of at its end.
TEST(Server, a_reply_may_hold_regions_of_files) {
  Fixture f;
  const ConnId conn = f.accept();
  f.server.on_event(f.net, Received{conn, Fixture::frame(protocol::MetadataRequest{}, 12, 1)});
  f.server.on_event(f.net, Received{conn, Fixture::frame(protocol::MetadataRequest{}, 12, 2)});
  Incoming in;
  ASSERT_TRUE(f.server.next(f.io, &in));
  const FileRegion large{FileId{3, 1}, 4096, 8 << 20}, small{FileId{4, 1}, 0, 10};
  f.out.clear();
  f.server.reply(f.io, {in.ticket, {Slice::copy("one"), Slice::copy("two")}, false, {{1, large}, {2, small}}});
  ASSERT_EQ(f.out.size(), 4u);
  const Slice head = std::get<Send>(f.out[0]).bytes;
  EXPECT_TRUE(head.text().ends_with("one"));
  Reader reader(head.span());
  EXPECT_EQ(reader.i32(), static_cast<int32_t>(head.size() - 4 + 3 + (8 << 20) + 10));
  EXPECT_EQ(std::get<SendRegion>(f.out[1]).region, large);
  EXPECT_TRUE(std::get<SendRegion>(f.out[1]).tell);
  EXPECT_EQ(std::get<Send>(f.out[2]).bytes.text(), "two");
  EXPECT_EQ(std::get<SendRegion>(f.out[3]).region, small);
  EXPECT_FALSE(f.server.next(f.io, &in)) << "too much has not left";
  f.server.on_event(f.net, Sent{conn, head.size() + (8 << 20)});
  EXPECT_TRUE(f.server.next(f.io, &in));
}

TEST(Server, produces_overlap_and_their_replies_keep_the_order) {
  Fixture f;
  const ConnId conn = f.accept();
  for (int i = 1; i <= 2; ++i)
    f.server.on_event(f.net, Received{conn, Fixture::frame(protocol::ProduceRequest{}, 9, i)});
  Incoming first, second;
  ASSERT_TRUE(f.server.next(f.io, &first));
  ASSERT_TRUE(f.server.next(f.io, &second));
  f.server.reply(f.io, {second.ticket, {Slice::copy("two")}});
  EXPECT_EQ(f.sent(conn), "");
  f.server.reply(f.io, {first.ticket, {Slice::copy("one")}});
  EXPECT_EQ(f.sent(conn).size(), 24u);
  EXPECT_EQ(f.sent(conn).substr(9, 3), "one");
}

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
  Writer w;  // header 1 of Metadata 1, and a body that nobody looks at
  w.i32(1 << 20), w.i16(3), w.i16(1), w.i32(0), w.i16(-1);
  w.raw(ByteSpan(std::vector<uint8_t>((1 << 20) - 10)));
  const Slice large = w.finish_contiguous();
  for (int i = 0; i < 5; ++i) f.server.on_event(f.net, Received{conn, large});
  const auto count = [&]<class T>(T) {
    return std::count_if(f.out.begin(), f.out.end(), [](const Command& c) { return std::holds_alternative<T>(c); });
  };
  EXPECT_EQ(count(Pause{}), 1);
  Incoming in;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(count(Resume{}), 0);
    ASSERT_TRUE(f.server.next(f.io, &in));
    f.server.reply(f.io, {in.ticket, {Slice::copy("x")}});
  }
  EXPECT_EQ(count(Resume{}), 1);
}

TEST(Server, an_address_has_so_many_connections) {
  Fixture f;
  ServerLimits limits;
  limits.peer_connections_max = 2;
  limits.peer_overrides = {{"friend", 3}};
  f.server = Server(limits);
  const auto accepts = [&](const char* peer) {
    f.server.on_event(f.net, Accepted{ListenerId{0}, PendingId{7}, peer, 1, ""});
    return std::holds_alternative<Adopt>(f.out.back());
  };
  EXPECT_TRUE(accepts("peer") && accepts("peer"));
  const ConnId last = std::get<Adopt>(f.out.back()).conn;
  EXPECT_FALSE(accepts("peer"));
  EXPECT_TRUE(accepts("other"));
  EXPECT_TRUE(accepts("friend") && accepts("friend") && accepts("friend"));
  EXPECT_FALSE(accepts("friend"));
  f.server.on_event(f.net, Closed{last, IoError::none});
  EXPECT_TRUE(accepts("peer"));
  EXPECT_FALSE(accepts("peer"));
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

TEST(Server, a_peer_that_never_reads_is_not_waited_for_to_take_its_last_answers) {
  Fixture f;
  const ConnId conn = f.accept();
  f.server.close(f.io, conn);
  ASSERT_TRUE(std::get<Close>(f.out.back()).after_sends);
  f.ctx.now = f.ctx.now + seconds(60);
  ASSERT_LE(f.server.next_deadline(), f.ctx.now);
  f.server.on_time(f.io);
  EXPECT_FALSE(std::get<Close>(f.out.back()).after_sends);
  f.server.on_event(f.net, Closed{conn});
  EXPECT_EQ(f.server.next_deadline(), kNever);
}

}  // namespace
}  // namespace klamm::net
