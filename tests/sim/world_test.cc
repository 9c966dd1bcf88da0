#include <gtest/gtest.h>

#include "engine/base/visit.h"
#include "tests/sim/echo_world.h"

namespace klamm::sim {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

WorldOptions rough() {
  WorldOptions o;
  o.net.cut_per_mille = 300;
  o.net.delay = {.least_ns = 1'000, .spread_ns = 300'000, .far_ns = 0, .shape = Delay::Shape::exponential};
  o.draw_turn_share = true;
  return o;
}

class Failures final : public Observer {
 public:
  void failed(int64_t, HostId, const std::string& text) override { texts.push_back(text); }
  std::vector<std::string> texts;
};

// Some time of every fault that the world offers, drawn from the tape; `lines` said after it.
uint64_t with_faults(uint64_t seed, Failures& failures, uint64_t* lines, EchoOptions echoing = {}) {
  WorldOptions options = rough();
  if (echoing.regions) options.net.bytes_per_second = 5'000'000;
  World w = echo_world(seed, options, echoing);
  Draws d{stream(kFaultTick), 0, 0};
  w.start(0, failures);
  w.start(1, failures);
  for (int i = 0; i < (echoing.regions ? 50 : 200); ++i) {
    w.run_until(w.now() + 20'000'000 + d.between(w.tape(), 0, 100'000'000), failures);
    switch (d.below(w.tape(), echoing.regions ? 11 : 9)) {
      case 1: w.kill(0, failures), w.start(0, failures); break;
      case 2: w.lose_power(0, failures); break;
      case 3: w.reset_connections(0, 1, 9); break;
      case 4: w.pause(0, !w.paused(0)); break;
      case 5: w.network().block(0, 1, !w.network().blocked(0, 1)); break;
      case 6: w.storage(0).model().stalled_until = w.now() + 50'000'000; break;
      case 7: w.clock(1).drift(w.now(), d.between(w.tape(), 0, 1000)), w.bend_clock(1); break;
      case 8: w.kill(1, failures); break;
      case 9: w.ask(0, Asked{0, "cut", {}}); break;
      case 10: w.storage(0).model().fail_reads = 1; break;
    }
    w.start(0, failures), w.start(1, failures);
  }
  w.pause(0, false);
  if (w.network().blocked(0, 1)) w.network().block(0, 1, false);
  const uint64_t before = echoed(w);
  w.run_until(w.now() + (echoing.regions ? 20 : 60) * kSecond, failures);
  *lines = echoed(w) - before;
  return w.digest();
}

TEST(World, echoes_in_virtual_time) {
  World w = echo_world(1);
  Observer o;
  w.start(0, o), w.start(1, o);
  w.run_until(kSecond, o);
  EXPECT_EQ(w.now(), kSecond);
  EXPECT_GT(echoed(w), 500u);
}

TEST(World, same_seed_same_digest_and_other_seed_another) {
  std::set<uint64_t> digests;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Failures first, second;
    uint64_t lines = 0;
    const uint64_t digest = with_faults(seed, first, &lines);
    EXPECT_EQ(digest, with_faults(seed, second, &lines));
    EXPECT_TRUE(first.texts.empty()) << first.texts[0];
    EXPECT_GT(lines, 100u) << "no progress after the faults of seed " << seed;
    digests.insert(digest);
  }
  EXPECT_EQ(digests.size(), 10u);
}

// Lines of which some fill the window twice: what is cut off, or cannot be read, ends the connection and is said again.
TEST(World, lines_that_come_back_from_the_file_are_right_under_any_fault) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    const EchoOptions echoing{.padding = seed % 3 == 0 ? 600'000 : static_cast<int>(seed * 20'000), .regions = true};
    Failures first, second;
    uint64_t lines = 0;
    const uint64_t digest = with_faults(seed, first, &lines, echoing);
    EXPECT_EQ(digest, with_faults(seed, second, &lines, echoing));
    EXPECT_TRUE(first.texts.empty()) << first.texts[0];
    EXPECT_GT(lines, 20u) << "no progress after the faults of seed " << seed;
  }
}

TEST(World, fork_goes_on_as_the_original_and_apart_from_it) {
  World w = echo_world(7, rough());
  Observer o;
  w.start(0, o), w.start(1, o);
  w.run_until(kSecond, o);
  World same = w;
  World other = w;
  other.kill(0, o), other.start(0, o);
  w.run_until(3 * kSecond, o), same.run_until(3 * kSecond, o), other.run_until(3 * kSecond, o);
  EXPECT_EQ(w.digest(), same.digest());
  EXPECT_EQ(state_hash(*w.machine(1)), state_hash(*same.machine(1)));
  EXPECT_EQ(w.storage(0).disk().digest(), same.storage(0).disk().digest());
  EXPECT_NE(w.digest(), other.digest());
}

TEST(World, zeros_make_progress) {
  World w(Tape(0, TapeMode::zeros), {}, {});
  EXPECT_EQ(w.next_at(), kNeverAt);
  HostSpec echo{"echo", [](const Boot& b) -> std::unique_ptr<Machine> { return std::make_unique<EchoMachine>(b); }, {}};
  echo.boot.listeners.push_back({"PLAINTEXT", "echo", 7, "echo", 7});
  echo.boot.directories.push_back("data");
  HostSpec talk{"talk", [](const Boot& b) -> std::unique_ptr<Machine> { return std::make_unique<TalkMachine>(b); }, {}};
  talk.boot.properties = {{"talk.to", "echo"}, {"talk.padding", "1"}};
  World z(Tape(0, TapeMode::zeros), {}, {echo, talk});
  Observer o;
  z.start(0, o), z.start(1, o);
  z.run_until(kSecond, o);
  EXPECT_GT(echoed(z), 1000u);
}

TEST(World, what_was_echoed_survives_power_loss) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    World w = echo_world(seed, rough(), {.padding = static_cast<int>(seed * 37)});
    Observer o;
    w.start(0, o), w.start(1, o);
    w.run_until(200'000'000 + static_cast<int64_t>(seed) * 12'345, o);
    const uint64_t lines = echoed(w);
    ASSERT_GT(lines, 10u);
    w.lose_power(0, o);
    Inode file = 0;
    // EchoMachine does not sync the name: that it may be lost is the simulator's right.
    if (w.storage(0).disk().find_file(DirId{0}, "echo/data.log", &file) != IoError::none) continue;
    const Slice left = w.storage(0).disk().content(file).read(0, 1 << 30);
    std::string want;
    for (uint64_t i = 0; i < lines; ++i) want += std::to_string(i) + std::string(seed * 37, '.') + "\n";
    ASSERT_EQ(left.text().substr(0, want.size()), want);
  }
}

}  // namespace
}  // namespace klamm::sim
