// The metadata log is cut below its snapshots (KIP-630): on one node, through restarts and crashes at any point.
#include <gtest/gtest.h>

#include "engine/metadata/snapshot.h"
#include "tests/engine/broker/lone_node.h"

namespace klamm::broker {
namespace {

constexpr const char* kFolder = "__cluster_metadata-0";

// Every record is soon in a snapshot, and little is kept.
std::map<std::string, std::string> small() {
  return {{"metadata.log.max.record.bytes.between.snapshots", "1"},
          {"internal.metadata.log.segment.bytes", "600"},
          {"metadata.max.retention.bytes", "2500"}};
}

std::vector<std::string> files_of(const LoneNode& x, const std::string& suffix) {
  std::vector<std::string> all;
  for (const std::string& name : x.disk.names(kFolder))
    if (name.ends_with(suffix)) all.push_back(name);
  return all;
}

// A life that registers, and is written down.
void live(LoneNode& x) {
  x.start();
  ASSERT_TRUE(x.ready) << (x.exit ? x.exit->reason : "not ready");
  x.run_for(seconds(1));
  ASSERT_FALSE(x.exit.has_value()) << x.exit->reason;
}
void die(LoneNode& x, const FakeStorage::Choose& choose) {
  x.node.reset();
  x.disk.lose_power(choose);
}
uint64_t least(uint64_t) { return 0; }

TEST(MetadataCut, goes_on_from_life_to_life) {
  LoneNode x(small());
  for (int i = 0; i < 12; ++i) {
    live(x);
    x.stop();
  }
  const std::vector<std::string> logs = files_of(x, ".log"), snapshots = files_of(x, ".checkpoint");
  ASSERT_FALSE(logs.empty());
  ASSERT_FALSE(snapshots.empty());
  const Offset first = std::stoll(logs[0].substr(0, 20));
  const auto oldest = metadata::parse_snapshot_file(snapshots.front());
  ASSERT_TRUE(oldest);
  EXPECT_GT(first, 20);
  EXPECT_LE(first, oldest->end);
  int64_t bytes = 0;
  for (const std::string& name : snapshots)
    bytes += static_cast<int64_t>(x.disk.content(std::string(kFolder) + "/" + name)->size());
  EXPECT_TRUE(snapshots.size() == 1 || bytes <= 2500);
  // Renamed first, and gone later.
  live(x);
  EXPECT_FALSE(files_of(x, ".deleted").empty());
  x.run_for(seconds(61));
  EXPECT_TRUE(files_of(x, ".deleted").empty());
}

TEST(MetadataCut, keeps_all_that_is_small_and_young) {
  auto properties = small();
  properties.erase("metadata.max.retention.bytes");
  LoneNode x(properties);
  for (int i = 0; i < 6; ++i) {
    live(x);
    x.stop();
  }
  EXPECT_EQ(files_of(x, ".log").at(0), "00000000000000000000.log");
  EXPECT_GT(files_of(x, ".checkpoint").size(), 5u);
}

TEST(MetadataCut, lets_old_snapshots_go_by_time) {
  auto properties = small();
  properties.erase("metadata.max.retention.bytes");
  properties["metadata.max.retention.ms"] = "90000";
  LoneNode x(properties);
  for (int i = 0; i < 4; ++i) {
    live(x);
    x.stop();
  }
  const size_t before = files_of(x, ".checkpoint").size();
  EXPECT_GT(before, 3u);
  live(x);  // the ages of a former life's snapshots are read from them
  x.world.wall.ms += 120'000;
  x.run_for(seconds(61));
  EXPECT_EQ(files_of(x, ".checkpoint").size(), 1u);
  EXPECT_NE(files_of(x, ".log").at(0), "00000000000000000000.log");
}

TEST(MetadataCut, survives_a_failure_of_any_operation_and_the_loss_of_power_after_it) {
  uint64_t cuts = 0;
  for (uint64_t k = 1;; ++k) {
    SCOPED_TRACE(k);
    LoneNode x(small());
    for (int i = 0; i < 4; ++i) {
      live(x);
      x.stop();
    }
    const uint64_t before = x.disk.ended();
    x.disk.fail_in(k);
    x.start();
    x.run_for(seconds(1));
    const bool happened = x.disk.ended() >= before + k;
    x.disk.fail_in(0);
    cuts += files_of(x, ".deleted").size();
    die(x, least);
    live(x);
    if (!happened || HasFailure()) break;
    ASSERT_LT(k, 2'000u);
  }
  EXPECT_GT(cuts, 0u);
}

TEST(MetadataCut, survives_a_crash_at_any_point) {
  uint64_t random = 7;
  const auto some = [&](uint64_t n) {
    random = random * 6364136223846793005 + 1442695040888963407;
    return n == 0 ? 0 : (random >> 33) % n;
  };
  for (uint64_t k = 1;; ++k) {
    SCOPED_TRACE(k);
    LoneNode x(small());
    for (int i = 0; i < 4; ++i) {
      live(x);
      x.stop();
    }
    x.start();
    const uint64_t before = x.disk.ended();
    const auto reached = [&] { return x.disk.ended() >= before + k; };
    x.run_for(seconds(1), reached);
    const bool happened = reached();
    die(x, some);
    live(x);
    if (!happened || HasFailure()) break;
    ASSERT_LT(k, 2'000u);
  }
}

TEST(MetadataCut, does_not_begin_with_a_log_that_lacks_its_snapshot) {
  LoneNode x(small());
  for (int i = 0; i < 8; ++i) {
    live(x);
    x.stop();
  }
  LoneNode y(small());
  y.set_file("meta.properties", x.file("meta.properties"));
  for (const std::string& name : x.disk.names(kFolder))
    if (!name.ends_with(".checkpoint"))
      y.set_file(std::string(kFolder) + "/" + name, x.file(std::string(kFolder) + "/" + name));
  y.start();
  ASSERT_TRUE(y.exit.has_value());
  EXPECT_NE(y.exit->reason.find("there is no snapshot of what was before"), std::string::npos) << y.exit->reason;
}

}  // namespace
}  // namespace klamm::broker
