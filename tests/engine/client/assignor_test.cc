#include "engine/client/assignor.h"

#include <map>
#include <set>

#include "tests/engine/protocol/vectors.h"

namespace klamm::client {
namespace {

using Assignments = std::map<std::string, std::set<TopicPartition>>;

TEST(Assignor, range_is_as_in_kafka) {
  KLAMM_VECTORS(folder);
  size_t checked = 0;
  test::each_line(folder / "assignors.jsonl", [&](const nlohmann::json& line) {
    if (line["side"] != "client" || line["assignor"] != "range") return;
    std::vector<AssignorMember> members;
    for (const auto& m : line["input"]["members"]) {
      AssignorMember member{m["id"], m["instanceId"].is_null() ? "" : m["instanceId"].get<std::string>(), {}};
      for (const auto& t : m["topics"]) member.topics.push_back(t);
      members.push_back(std::move(member));
    }
    Assignments want, got;
    for (const auto& [id, list] : line["result"].items()) {
      want[id];
      for (const auto& tp : list) want[id].insert({tp[0], tp[1]});
    }
    for (const auto& [id, list] : assign_range(members, line["input"]["topics"].get<std::map<std::string, int32_t>>()))
      got[id] = {list.begin(), list.end()};
    EXPECT_EQ(got, want);
    ++checked;
  });
  EXPECT_GT(checked, 20u);
}

TEST(Assignor, first_members_get_what_is_left_over) {
  const auto got = assign_range({{"b", "", {"t"}}, {"a", "", {"t"}}, {"c", "", {}}}, {{"t", 3}});
  EXPECT_EQ(got.at("a"), (std::vector<TopicPartition>{{"t", 0}, {"t", 1}}));
  EXPECT_EQ(got.at("b"), (std::vector<TopicPartition>{{"t", 2}}));
  EXPECT_TRUE(got.at("c").empty());
}

}  // namespace
}  // namespace klamm::client
