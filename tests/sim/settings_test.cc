// What an operator sets under load can be put back, and is worth setting.
#include "sim/settings.h"

#include <gtest/gtest.h>

#include "engine/metadata/config_defs.h"

namespace klamm::sim {
namespace {

using Config = client::AlterConfigs::Config;

std::map<std::string, std::vector<Config>> drawn(Settings& settings, uint64_t changes) {
  Tape tape(5);
  std::map<std::string, std::vector<Config>> all;
  for (uint64_t i = 0; i < changes; ++i) {
    Draws draw{stream(kWorkload), 1, 16 * i};
    const client::AlterConfigs what = settings.draw(draw, tape);
    EXPECT_LE(draw.ordinal, 16 * (i + 1));
    EXPECT_FALSE(what.broker);
    auto& of = all[what.topic];
    of.insert(of.end(), what.configs.begin(), what.configs.end());
  }
  return all;
}

TEST(Settings, all_that_was_set_is_put_back) {
  Settings settings({.topic = "t", .created_with = {{"retention.ms", "700"}}});
  EXPECT_FALSE(settings.restore());
  auto set = drawn(settings, 200);
  while (const auto back = settings.restore()) {
    for (const Config& c : back->configs) {
      EXPECT_GT(std::erase_if(set[back->topic], [&](const Config& s) { return s.name == c.name; }), 0u) << c.name;
      EXPECT_EQ(c.value,
                back->topic == "t" && c.name == "retention.ms" ? std::optional<std::string>("700") : std::nullopt);
    }
    settings.restored(back->topic);
  }
  EXPECT_EQ(set.size(), 2u);  // of the topic and of brokers
  for (const auto& [topic, left] : set) EXPECT_TRUE(left.empty()) << topic;
}

TEST(Settings, no_less_is_wanted_in_sync_than_the_promise_says) {
  for (const int32_t least : {1, 2}) {
    Settings settings({.topic = "t", .least_in_sync = least});
    std::set<int> wanted;
    const auto set = drawn(settings, 300);
    for (const Config& c : set.at("t"))
      if (c.name == "min.insync.replicas") wanted.insert(c.value ? std::stoi(*c.value) : 0);
    EXPECT_EQ(wanted, least == 2 ? (std::set<int>{2, 3}) : (std::set<int>{1, 2, 3}));
  }
}

TEST(Settings, only_what_there_is_and_only_keyed_records_are_compacted) {
  for (const bool keyed : {false, true}) {
    Settings settings({.topic = "t", .keyed = keyed});
    bool compacts = false;
    const auto set = drawn(settings, 300);
    for (const auto& [topic, configs] : set)
      for (const Config& c : configs) {
        const auto scope = topic.empty() ? metadata::ConfigScope::broker : metadata::ConfigScope::topic;
        const metadata::ConfigDef* def = metadata::find_config(scope, c.name);
        ASSERT_NE(def, nullptr) << c.name;
        EXPECT_NE(def->update, metadata::ConfigUpdate::read_only) << c.name;
        compacts = compacts || c.name == "cleanup.policy";
      }
    EXPECT_EQ(compacts, keyed);
  }
}

}  // namespace
}  // namespace klamm::sim
