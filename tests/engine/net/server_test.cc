// What starts when, and how answers leave.
#include "tests/engine/net/server_fixture.h"

namespace klamm::net {
namespace {

using Fixture = ServerFixture;

TEST(Server, a_request_cut_anywhere_arrives_whole) {
  const Slice request = Fixture::frame(protocol::MetadataRequest{}, 12, 9);
  for (size_t cut = 1; cut < request.size(); ++cut) {
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

}  // namespace
}  // namespace klamm::net
