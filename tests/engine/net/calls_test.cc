#include "engine/net/calls.h"

#include <gtest/gtest.h>

#include "engine/base/writer.h"
#include "tests/support/turns.h"

namespace klamm::net {
namespace {

constexpr uint64_t kPeer = 7;

class CallsTest : public testing::Test {
 protected:
  CallsTest() {
    with([&](NetIo net) { calls.set_address(net, kPeer, {"10.0.0.7", 9092}, answers); });
  }
  template<class F>
  void with(F f) {
    Ctx ctx = world.ctx();
    Io io{ctx, commands, ops};
    f(NetIo{io, conns});
  }
  void call(uint64_t number, uint16_t channel = 0) {
    with([&](NetIo net) {
      calls.call(net, {kPeer, channel, 3, 12, "me", {Slice::copy("body")}, seconds(1), {1, 2, number}});
    });
  }
  void event(Event e) {
    with([&](NetIo net) { EXPECT_TRUE(calls.on_event(net, e, answers)); });
  }
  void pass(Duration d) {
    world.now = world.now + d;
    with([&](NetIo net) { calls.on_time(net, answers); });
  }
  ConnId dial() {
    const auto dials = take<Dial>(commands);
    EXPECT_EQ(dials.size(), 1u);
    return dials.empty() ? ConnId{} : dials[0].conn;
  }
  ConnId connect() {
    const ConnId conn = dial();
    event(Dialed{conn});
    return conn;
  }
  static Slice response(int32_t correlation) {
    Writer w;
    w.i32(8), w.i32(correlation), w.u8(0), w.raw(as_bytes(std::string_view("yes")));
    return w.finish_contiguous();
  }
  TestWorld world;
  Commands commands;
  OpTable ops;
  ConnTable conns;
  Calls calls{{}};
  std::vector<Answer> answers;
};

TEST_F(CallsTest, dials_at_the_first_call_and_answers_in_order) {
  EXPECT_TRUE(commands.empty());
  call(1);
  call(2);
  const ConnId conn = connect();
  EXPECT_EQ(take<Send>(commands).size(), 2u);
  const Slice a = response(0), b = response(1);
  event(Received{conn, a.part(0, 2)});
  event(Received{conn, a.part(2, 5)});
  EXPECT_TRUE(answers.empty());
  event(Received{conn, a.part(7, a.size() - 7)});
  event(Received{conn, b});
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers[0].owner.key, 1u);
  EXPECT_EQ(answers[1].owner.key, 2u);
  EXPECT_EQ(answers[1].error, IoError::none);
  EXPECT_EQ(answers[1].body.text(), "yes");
  EXPECT_EQ(calls.next_deadline(), kNever);
}

TEST_F(CallsTest, channels_do_not_wait_for_each_other_and_in_flight_is_bounded) {
  for (uint64_t i = 0; i < 8; ++i) call(i);
  const ConnId first = connect();
  EXPECT_EQ(take<Send>(commands).size(), 5u);
  call(100, 1);
  const ConnId second = connect();
  EXPECT_EQ(take<Send>(commands).size(), 1u);
  EXPECT_NE(first, second);
  event(Received{first, response(0)});
  EXPECT_EQ(take<Send>(commands).size(), 1u);
  EXPECT_EQ(calls.under_way(kPeer, 0), 7u);
}

TEST_F(CallsTest, refused_dial_answers_and_backs_off) {
  call(1);
  event(Dialed{dial(), IoError::refused});
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].error, IoError::refused);
  EXPECT_TRUE(calls.take_refused().empty());
  call(2);
  EXPECT_TRUE(commands.empty());
  pass(milliseconds(1));
  event(Dialed{dial(), IoError::refused});
  call(3);
  pass(milliseconds(1));
  EXPECT_TRUE(commands.empty());
  pass(milliseconds(1));
  connect();
  EXPECT_EQ(take<Send>(commands).size(), 1u);
  EXPECT_EQ(conns.size(), 1u);
}

TEST_F(CallsTest, time_out_closes_the_connection_and_fails_the_rest) {
  call(1);
  pass(milliseconds(500));
  call(2);
  const ConnId conn = connect();
  take<Send>(commands);
  EXPECT_EQ(calls.next_deadline(), world.now + milliseconds(500));
  pass(milliseconds(500));
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers[0].error, IoError::timed_out);
  EXPECT_EQ(answers[1].error, IoError::aborted);
  ASSERT_EQ(take<Close>(commands).size(), 1u);
  event(Received{conn, response(0)});
  event(Closed{conn});
  EXPECT_EQ(answers.size(), 2u);
  EXPECT_EQ(conns.size(), 0u);
}

// Else its socket would stay until the kernel gives up.
TEST_F(CallsTest, a_dial_that_is_given_up_is_closed) {
  call(1);
  const ConnId slow = dial();
  pass(seconds(11));
  const auto closes = take<Close>(commands);
  ASSERT_EQ(closes.size(), 1u);
  EXPECT_EQ(closes[0].conn, slow);
  event(Dialed{slow, IoError::aborted});
  EXPECT_EQ(conns.size(), 0u);
  call(2);
  pass(seconds(1));
  const ConnId late = dial();  // and one that is there at the last moment
  with([&](NetIo net) { calls.forget(net, kPeer, answers); });
  EXPECT_EQ(take<Close>(commands).size(), 1u);
  event(Dialed{late});
  event(Closed{late});
  EXPECT_EQ(conns.size(), 0u);
}

TEST_F(CallsTest, lost_connection_then_refused_is_reported) {
  call(1);
  event(Closed{connect()});
  ASSERT_EQ(answers.size(), 1u);
  call(2);
  take<Send>(commands);
  pass(milliseconds(1));
  event(Dialed{dial(), IoError::refused});
  EXPECT_EQ(calls.take_refused(), std::vector<uint64_t>{kPeer});
  EXPECT_TRUE(calls.take_refused().empty());
}

TEST_F(CallsTest, when_a_connection_broke_and_none_was_opened_since) {
  EXPECT_FALSE(calls.broke_at(kPeer));
  call(1);
  EXPECT_FALSE(calls.broke_at(kPeer));  // never open: nothing is known
  const ConnId first = connect();
  call(2, 1);
  const ConnId second = connect();
  event(Closed{first});
  EXPECT_EQ(calls.broke_at(kPeer), world.now);  // the other channel may only not have heard yet
  EXPECT_EQ(calls.take_broken(), std::vector<uint64_t>{kPeer});
  pass(milliseconds(2));
  event(Closed{second});
  EXPECT_EQ(calls.broke_at(kPeer), world.now);
  calls.take_reached();
  pass(milliseconds(5));
  EXPECT_EQ(calls.broke_at(kPeer), world.now - milliseconds(5));
  call(3);
  const ConnId third = connect();
  EXPECT_FALSE(calls.broke_at(kPeer));  // of no channel: the process lives
  EXPECT_EQ(calls.take_reached(), std::vector<uint64_t>{kPeer});
  event(Closed{third});
  EXPECT_TRUE(calls.broke_at(kPeer));
}

TEST_F(CallsTest, what_we_close_ourselves_is_not_broken) {
  with([&](NetIo net) { calls.probe(net, kPeer); });
  connect();
  pass(milliseconds(50));
  call(1);
  connect();
  with([&](NetIo net) { calls.set_address(net, kPeer, {"10.0.0.8", 9092}, answers); });
  EXPECT_TRUE(calls.take_broken().empty());
  EXPECT_FALSE(calls.broke_at(kPeer));
}

TEST_F(CallsTest, probe_tells_the_dead_from_the_living) {
  const auto probe = [&] { with([&](NetIo net) { calls.probe(net, kPeer); }); };
  probe();
  const ConnId conn = connect();
  pass(milliseconds(50));
  EXPECT_EQ(take<Close>(commands).size(), 1u);
  event(Closed{conn});
  EXPECT_TRUE(calls.take_refused().empty());
  probe();
  event(Closed{connect()});  // accepted by a dying process
  commands.clear();
  pass(milliseconds(1));
  event(Dialed{dial(), IoError::refused});
  EXPECT_EQ(calls.take_refused(), std::vector<uint64_t>{kPeer});
  pass(seconds(1));
  EXPECT_TRUE(commands.empty());
  EXPECT_EQ(conns.size(), 0u);
}

TEST_F(CallsTest, bad_bytes_cost_the_connection) {
  call(1);
  const ConnId conn = connect();
  event(Received{conn, Slice::copy(std::string_view("\xff\xff\xff\xff", 4))});
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].error, IoError::failed);
  EXPECT_EQ(take<Close>(commands).size(), 1u);
}

TEST_F(CallsTest, new_address_moves_the_calls) {
  call(1);
  const ConnId old = dial();
  with([&](NetIo net) { calls.set_address(net, kPeer, {"10.0.0.8", 9092}, answers); });
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(take<Close>(commands).size(), 1u);
  event(Dialed{old, IoError::aborted});
  call(2);
  pass(milliseconds(1));
  const auto dials = take<Dial>(commands);
  ASSERT_EQ(dials.size(), 1u);
  EXPECT_EQ(dials[0].host, "10.0.0.8");
}

TEST(Frames, any_split_gives_the_same_frames_and_forks_do_not_mix) {
  Writer w;
  std::string text;
  for (int i = 0; i < 40; ++i) {
    const std::string body(static_cast<size_t>(i * 37), static_cast<char>('a' + i % 26));
    w.i32(static_cast<int32_t>(body.size())), w.raw(as_bytes(body));
    text += body;
  }
  const Slice all = w.finish_contiguous();
  for (size_t step : {1u, 2u, 3u, 5u, 63u, 1000u, 100000u}) {
    Frames frames(1 << 20);
    std::vector<Slice> got;
    for (size_t at = 0; at < all.size(); at += step) {
      ASSERT_TRUE(frames.feed(all.part(at, std::min(step, all.size() - at)), got));
      Frames fork = frames;  // writes into the shared buffer what must not show in ours
      std::vector<Slice> other;
      (void)fork.feed(Slice::copy("\1\1\1\1\1"), other);
    }
    ASSERT_EQ(got.size(), 40u);
    std::string back;
    for (const Slice& s : got) back += s.text();
    EXPECT_EQ(back, text);
  }
}

// What a driver does: it receives into the room behind the fill mark.
TEST(Frames, what_is_received_in_the_room_is_not_copied) {
  constexpr uint32_t kSize = 1'000'000, kStep = 128 << 10;
  std::string bytes(kSize, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 + i / 1000);
  Writer w;
  w.i32(kSize), w.raw(as_bytes(bytes));
  const Slice all = w.finish_contiguous();
  Frames frames(kSize);
  std::vector<Slice> got;
  ASSERT_TRUE(frames.feed(all.part(0, kStep), got));
  size_t at = kStep;
  const uint8_t* in_place = nullptr;
  while (frames.wants_room()) {
    const BufferRef room = frames.room();
    ASSERT_LT(room->fill, room->capacity);
    uint8_t* to = room->data() + room->fill;
    const size_t n = std::min<size_t>({kStep, room->capacity - room->fill, all.size() - at});
    std::memcpy(to, all.data() + at, n);
    room->fill += static_cast<uint32_t>(n);
    ASSERT_TRUE(frames.feed(Slice(room, to, n), got));
    at += n;
    in_place = to;
  }
  ASSERT_TRUE(frames.feed(all.part(at, all.size() - at), got));  // too little is missing to go on so
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].text(), bytes);
  EXPECT_TRUE(got[0].data() < in_place && in_place < got[0].data() + got[0].size());
  EXPECT_FALSE(frames.wants_room());
}

}  // namespace
}  // namespace klamm::net
