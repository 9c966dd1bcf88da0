#include "sim/network.h"

#include <gtest/gtest.h>

namespace klamm::sim {
namespace {

// Two hosts; the second listens on port 9.
class NetworkTest : public testing::Test, public Inboxes {
 protected:
  NetworkTest() {
    network.bind(1, ListenerId{0}, "b", 9);
    for (HostId host : {0u, 1u}) network.set_host(host, HostNet::running);
    network.listen(1, ListenerId{0});
  }
  void deliver(HostId host, Event event) override { events[host].push_back(std::move(event)); }
  int64_t region_due(HostId) override { return now; }
  Slice region(HostId, uint64_t, int64_t, uint32_t) override { return {}; }
  NetIo io() { return {now, queue, tape, *this}; }
  bool step() {
    if (queue.size() == 0) return false;
    const Item item = queue.pop();
    now = std::max(now, item.at);
    if (item.due == Due::syn) network.syn(item, io());
    if (item.due == Due::syn_ack) network.syn_ack(item, io());
    if (item.due == Due::arrival) network.arrival(item, io());
    return true;
  }
  void run() {
    while (step()) continue;
  }
  template<class T>
  std::vector<T> take(HostId host) {
    std::vector<T> out;
    for (const Event& e : events[host])
      if (const auto* x = std::get_if<T>(&e)) out.push_back(*x);
    std::erase_if(events[host], [](const Event& e) { return std::holds_alternative<T>(e); });
    return out;
  }

  static constexpr ConnId kDialed{0, 1}, kAdopted{3, 1};
  int64_t now = 1;
  Queue queue;
  Tape tape{1, TapeMode::zeros};
  Network network{{"a", "b"}};
  std::vector<Event> events[2];
};

// Whatever of the dial has happened by then: nothing, its SYN has come, it was adopted.
TEST_F(NetworkTest, a_dial_ends_with_a_close) {
  for (int steps = 0; steps <= 2; ++steps) {
    network.dial(0, {kDialed, "b", 9}, io());
    if (steps > 0) step();
    if (steps > 1) network.adopt(1, {take<Accepted>(1).at(0).pending, kAdopted}, io());
    network.close(0, {kDialed}, io());
    const auto dialed = take<Dialed>(0);
    ASSERT_EQ(dialed.size(), 1u) << steps;
    EXPECT_EQ(dialed[0].error, IoError::aborted);
    for (const Accepted& a : take<Accepted>(1)) network.adopt(1, {a.pending, kAdopted}, io());
    run();
    EXPECT_EQ(take<Closed>(1).size(), steps > 0 ? 1u : 0u);
    EXPECT_TRUE(events[0].empty());
    EXPECT_EQ(network.open_pipes(), 0u);
  }
}

TEST_F(NetworkTest, a_dial_to_nowhere_ends_with_a_close) {
  network.dial(0, {kDialed, "nowhere", 9}, io());
  network.close(0, {kDialed}, io());
  EXPECT_EQ(take<Dialed>(0).size(), 1u);
  run();
  EXPECT_TRUE(events[0].empty());
  EXPECT_EQ(network.open_pipes(), 0u);
}

class SlowPeer : public NetworkTest {
 protected:
  SlowPeer() {
    network.dial(0, {kDialed, "b", 9}, io());
    step();
    network.adopt(1, {take<Accepted>(1).at(0).pending, kAdopted}, io());
    run();
    network.pause(0, {kDialed}, true, io());
    network.model().bytes_per_second = 1'000'000;
    for (int i = 0; i < 8; ++i) {
      network.send(1, Send{kAdopted, Slice::copy(std::string(kPiece, 'x')), i == 7});
      network.flush(1, io());
    }
    run();
    events[0].clear(), events[1].clear();
  }
  static constexpr size_t kPiece = 128 << 10;
};

TEST_F(SlowPeer, progress_is_told_of_until_all_has_left) {
  network.pause(0, {kDialed}, false, io());
  uint64_t before = 0;
  int told = 0;
  while (step())
    for (const Sent& s : take<Sent>(1)) {
      EXPECT_GT(s.total, before);
      before = s.total;
      ++told;
    }
  EXPECT_EQ(before, 8 * kPiece);
  EXPECT_GT(told, 1);
}

TEST_F(SlowPeer, a_close_that_waits_for_the_sends_gives_way_to_one_that_does_not) {
  network.close(1, {kAdopted, true}, io());
  run();
  EXPECT_TRUE(take<Closed>(1).empty());
  network.close(1, {kAdopted}, io());
  EXPECT_EQ(take<Closed>(1).size(), 1u);
  network.pause(0, {kDialed}, false, io());
  run();
  size_t received = 0;
  for (const Received& r : take<Received>(0)) received += r.bytes.size();
  EXPECT_EQ(received, Network::kWindow);
  EXPECT_EQ(take<Closed>(0).size(), 1u);
  network.close(0, {kDialed}, io());
  EXPECT_EQ(network.open_pipes(), 0u);
}

}  // namespace
}  // namespace klamm::sim
