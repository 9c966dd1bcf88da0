#include "sim/disk.h"

#include <gtest/gtest.h>

#include <set>

namespace klamm::sim {
namespace {

constexpr DirId kDir{0};

Slice all_of(const Disk& d, std::string_view path) {
  Inode i = 0;
  if (d.find_file(kDir, path, &i) != IoError::none) return {};
  return d.content(i).read(0, 1 << 30);
}
void write(Disk& d, std::string_view path, int64_t at, std::string_view text, bool sync) {
  Inode i = 0;
  ASSERT_EQ(d.open(kDir, path, OpenMode::create, &i), IoError::none);
  ASSERT_EQ(d.write(i, at, as_bytes(text)), IoError::none);
  if (sync) d.make_durable(i, d.snapshot(i));
}
void lose_power(Disk& d, uint64_t seed) {
  Tape tape(seed);
  Draws draws{stream(kCrash), 0, 0};
  d.lose_power(draws, tape);
}

TEST(Disk, names_survive_only_after_sync_dir) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Disk d(1);
    write(d, "a", 0, "first", true);
    ASSERT_EQ(d.sync_dir(kDir, ""), IoError::none);
    write(d, "b", 0, "second", true);
    ASSERT_EQ(d.rename(kDir, "b", "a"), IoError::none);
    lose_power(d, seed);
    const std::string a(all_of(d, "a").text());
    ASSERT_TRUE(a == "first" || a == "second") << a;  // a replace is atomic
    seen.insert(a + "/" + std::string(all_of(d, "b").text()));
  }
  EXPECT_EQ(seen, (std::set<std::string>{"first/", "first/second", "second/"}));
}

TEST(Disk, synced_bytes_survive_and_others_are_any_subset) {
  std::set<std::string> tails;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Disk d(1);
    const std::string safe(6000, 's');
    write(d, "t/log", 0, safe, true);
    ASSERT_EQ(d.sync_dir(kDir, ""), IoError::none);
    ASSERT_EQ(d.sync_dir(kDir, "t"), IoError::none);
    write(d, "t/log", 6000, std::string(9000, 'u'), false);
    lose_power(d, seed);
    const Slice left = all_of(d, "t/log");
    ASSERT_GE(left.size(), 6000u);
    ASSERT_EQ(left.text().substr(0, 6000), safe);
    for (size_t i = 6000; i < left.size(); ++i) {
      const char c = left.text()[i];
      ASSERT_TRUE(c == 'u' || c == 0);
      if ((i - 6000) % kSector == 0) continue;
    }
    tails.insert(std::string(left.text().substr(6000)));
  }
  EXPECT_TRUE(tails.count(""));
  EXPECT_TRUE(tails.count(std::string(9000, 'u')));
  EXPECT_GT(tails.size(), 50u);
}

TEST(Disk, failed_sync_then_clean_still_loses) {
  Disk d(1);
  write(d, "f", 0, "x", true);
  ASSERT_EQ(d.sync_dir(kDir, ""), IoError::none);
  Inode i = 0;
  ASSERT_EQ(d.open(kDir, "f", OpenMode::read_write, &i), IoError::none);
  ASSERT_EQ(d.write(i, 1, as_bytes("yz")), IoError::none);
  d.poison(i);
  d.make_durable(i, d.snapshot(i));  // the next sync reports success
  lose_power(d, 0);
  EXPECT_EQ(all_of(d, "f").text().substr(0, 1), "x");
}

TEST(Disk, fork_shares_and_parts) {
  Disk d(1);
  write(d, "f", 0, std::string(10000, 'a'), false);
  Disk fork = d;
  write(fork, "f", 5000, "b", false);
  EXPECT_EQ(all_of(d, "f").text()[5000], 'a');
  EXPECT_EQ(all_of(fork, "f").text()[5000], 'b');
}

TEST(Disk, full_disk_refuses) {
  Disk d(1);
  d.set_capacity(100);
  Inode i = 0;
  ASSERT_EQ(d.open(kDir, "f", OpenMode::create, &i), IoError::none);
  EXPECT_EQ(d.write(i, 0, as_bytes(std::string(90, 'a'))), IoError::none);
  EXPECT_EQ(d.write(i, 90, as_bytes(std::string(20, 'a'))), IoError::no_space);
  EXPECT_EQ(d.write(i, 0, as_bytes(std::string(90, 'b'))), IoError::none);
}

}  // namespace
}  // namespace klamm::sim
