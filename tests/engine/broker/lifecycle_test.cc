#include "engine/broker/lifecycle.h"

#include <gtest/gtest.h>

#include "engine/base/reader.h"
#include "engine/protocol/messages/broker_heartbeat.h"
#include "engine/protocol/messages/broker_registration.h"
#include "tests/support/turns.h"

namespace klamm::broker {
namespace {

struct Life {
  TestWorld world;
  Lifecycle l{config()};

  static LifecycleConfig config() {
    LifecycleConfig c;
    c.node = NodeId{4};
    c.cluster_id = "here";
    c.previous_epoch = 7;
    return c;
  }
  // The request that is due, if any.
  std::optional<ToController> poll() {
    Ctx ctx = world.ctx();
    ToController out;
    if (!l.poll(ctx, 99, &out)) return std::nullopt;
    return out;
  }
  template<class Message>
  Message read(const ToController& r) {
    Writer w;
    for (const Slice& s : r.body) w.attach(s);
    body = w.finish_contiguous();
    Message m;
    Reader reader(body.span());
    EXPECT_EQ(r.api, Message::kApiKey);
    EXPECT_TRUE(decode(reader, world.ctx().arena(), r.version, m));
    return m;
  }
  protocol::BrokerHeartbeatRequest beat() {
    const auto r = poll();
    EXPECT_TRUE(r.has_value());
    return r ? read<protocol::BrokerHeartbeatRequest>(*r) : protocol::BrokerHeartbeatRequest{};
  }
  void registered(bool ok, ErrorCode error = ErrorCode::none) {
    Ctx ctx = world.ctx();
    l.on_registered(ctx, ok, error, 50);
  }
  void beaten(Lifecycle::Beat b, bool ok = true) {
    Ctx ctx = world.ctx();
    l.on_heartbeat(ctx, ok, b);
  }
  void run() {
    poll();
    registered(true);
    beat();
    beaten({ErrorCode::none, false, false});
  }
  void wait() { world.now = l.next_deadline(); }
  Slice body;
};

TEST(Lifecycle, registers_then_beats_at_once_until_it_is_unfenced) {
  Life x;
  const auto r = x.poll();
  ASSERT_TRUE(r.has_value());
  const auto m = x.read<protocol::BrokerRegistrationRequest>(*r);
  EXPECT_EQ(m.broker_id, 4);
  EXPECT_EQ(m.previous_broker_epoch, 7);
  EXPECT_FALSE(x.poll().has_value());  // one request at a time
  x.registered(true);
  EXPECT_EQ(x.l.standing(), Standing::fenced);
  const auto b = x.beat();
  EXPECT_EQ(b.broker_epoch, 50);
  EXPECT_EQ(b.current_metadata_offset, 99);
  EXPECT_FALSE(b.want_shut_down);
  x.beaten({ErrorCode::none, true, false});
  EXPECT_LE(x.l.next_deadline(), x.world.now + milliseconds(2));
  x.wait();
  x.beat();
  x.beaten({ErrorCode::none, false, false});
  EXPECT_EQ(x.l.standing(), Standing::running);
  EXPECT_EQ(x.l.next_deadline(), x.world.now + seconds(2));
}

TEST(Lifecycle, cordoned_directories_are_told_at_once_and_in_each_heartbeat) {
  Life x;
  Uuid dir;
  dir.bytes[0] = 1;
  x.l.set_cordoned(x.world.now, {});
  x.poll();
  x.registered(true);
  EXPECT_FALSE(x.beat().cordoned_log_dirs.is_null()) << "none are, and that is told";
  x.beaten({ErrorCode::none, false, false});
  x.l.set_cordoned(x.world.now, {dir});
  EXPECT_EQ(x.l.next_deadline(), x.world.now);
  for (int i = 0; i < 2; ++i) {
    x.wait();
    const auto b = x.beat();
    ASSERT_EQ(b.cordoned_log_dirs.size(), 1u);
    EXPECT_EQ(b.cordoned_log_dirs[0], dir);
    x.beaten({ErrorCode::none, false, false});
  }
  x.l.set_cordoned(x.world.now, {dir});
  EXPECT_GT(x.l.next_deadline(), x.world.now) << "nothing new";
}

TEST(Lifecycle, failures_are_repeated_with_growing_waits) {
  Life x;
  Duration last{0};
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(x.poll().has_value());
    x.registered(i % 2 == 0, ErrorCode::not_controller);
    const Duration wait = x.l.next_deadline() - x.world.now;
    EXPECT_GT(wait.ns, 0);
    EXPECT_GE(wait.ns, last.ns);
    EXPECT_LE(wait.ns, milliseconds(200).ns);
    last = wait;
    x.wait();
  }
}

TEST(Lifecycle, a_broker_that_the_cluster_forgot_registers_anew) {
  for (const ErrorCode e : {ErrorCode::stale_broker_epoch, ErrorCode::broker_id_not_registered}) {
    Life x;
    x.run();
    x.wait();
    x.beat();
    x.beaten({e, true, false});
    EXPECT_EQ(x.l.standing(), Standing::unregistered);
    EXPECT_EQ(x.l.epoch(), -1);
    x.wait();
    EXPECT_EQ(x.poll()->api, protocol::BrokerRegistrationRequest::kApiKey);
  }
}

TEST(Lifecycle, leaves_once_the_controller_lets_it_go) {
  Life x;
  x.run();
  x.l.stop(x.world.now, milliseconds(500));
  EXPECT_TRUE(x.beat().want_shut_down);
  x.beaten({ErrorCode::none, false, false});
  EXPECT_EQ(x.l.standing(), Standing::leaving);
  x.wait();
  x.beat();
  x.beaten({ErrorCode::none, true, true});
  EXPECT_EQ(x.l.standing(), Standing::gone);
  EXPECT_FALSE(x.poll().has_value());
}

TEST(Lifecycle, leaves_without_an_answer_after_its_patience) {
  Life x;
  x.run();
  x.l.stop(x.world.now, milliseconds(500));
  x.beat();
  EXPECT_EQ(x.l.next_deadline(), x.world.now + milliseconds(500));
  x.wait();
  x.l.on_time(x.world.now);
  EXPECT_EQ(x.l.standing(), Standing::gone);
  EXPECT_EQ(x.l.next_deadline(), kNever);  // its call is still under way
}

TEST(Lifecycle, who_is_forgotten_while_it_leaves_is_gone) {
  Life x;
  x.run();
  x.l.stop(x.world.now, milliseconds(500));
  x.beat();
  x.beaten({ErrorCode::stale_broker_epoch, true, false});
  EXPECT_EQ(x.l.standing(), Standing::gone);
}

TEST(Lifecycle, who_never_registered_is_gone_at_once) {
  Life x;
  x.l.stop(x.world.now, milliseconds(500));
  EXPECT_EQ(x.l.standing(), Standing::gone);
}

TEST(Lifecycle, tells_at_once_what_it_knows_when_a_peer_leaves) {
  Life x;
  x.run();
  x.l.beat_now(x.world.now);
  EXPECT_EQ(x.l.next_deadline(), x.world.now);
  x.beat();
  x.l.beat_now(x.world.now);  // the one under way may have left with less
  x.beaten({ErrorCode::none, false, false});
  x.beat();
  x.beaten({ErrorCode::none, false, false});
  EXPECT_EQ(x.l.next_deadline(), x.world.now + seconds(2));
}

}  // namespace
}  // namespace klamm::broker
