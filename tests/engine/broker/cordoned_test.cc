// Directories that take no new partitions (KIP-1066), as properties say or a client sets them.
#include "engine/broker/rules.h"
#include "engine/protocol/messages/describe_log_dirs.h"
#include "engine/protocol/messages/incremental_alter_configs.h"
#include "tests/engine/broker/wired_node.h"

namespace klamm::broker {
namespace {

TEST(DirectoryForNew, rule) {
  struct Case {
    std::vector<size_t> held;
    std::vector<bool> cordoned;
    size_t chosen;
  };
  const Case cases[] = {
      {{0}, {false}, 0},
      {{3, 1, 1}, {false, false, false}, 1},
      {{3, 1, 1}, {false, true, false}, 2},
      {{3, 1, 1}, {false, true, true}, 0},
      {{3, 1, 1}, {true, true, true}, 1},
  };
  for (const Case& c : cases) EXPECT_EQ(directory_for_new(c.held, c.cordoned), c.chosen);
}

class Cordoned : public testing::Test {
 protected:
  void boot(const char* cordoned, const char* dirs = "/a,/b") {
    x.emplace(WiredNode::Properties{{"log.dirs", dirs}, {"cordoned.log.dirs", cordoned}});
    x->boot();
    client = x->connect();
  }
  ErrorCode set(const char* value) {
    protocol::IncrementalAlterConfigsRequest q;
    auto& r = q.resources.add(x->arena());
    r.resource_type = 4;
    r.resource_name = "1";
    auto& c = r.configs.add(x->arena());
    c.name = "cordoned.log.dirs", c.value = value;
    x->ask(client, 1, q);
    x->run_for(milliseconds(100));
    return static_cast<ErrorCode>(
        x->take<protocol::IncrementalAlterConfigsResponse>(client, 1).responses[0].error_code);
  }
  ErrorCode create(const char* name, int32_t partitions, bool by_hand = false) {
    protocol::CreateTopicsRequest m;
    auto& topic = m.topics.add(x->arena());
    topic.name = name;
    topic.num_partitions = by_hand ? -1 : partitions;
    topic.replication_factor = by_hand ? -1 : 1;
    if (by_hand) topic.assignments.add(x->arena()).broker_ids.push_back(x->arena(), 1);
    x->ask(client, 7, m);
    x->run_for(milliseconds(100));
    return static_cast<ErrorCode>(x->take<protocol::CreateTopicsResponse>(client, 7).topics[0].error_code);
  }
  // Of each directory: how many partitions it holds, and "!" if it is cordoned.
  std::string held() {
    protocol::DescribeLogDirsRequest q;
    q.topics = List<protocol::DescribeLogDirsRequest::DescribableLogDirTopic>::null();
    x->ask(client, 5, q);
    const auto m = x->take<protocol::DescribeLogDirsResponse>(client, 5);
    std::string out;
    for (const auto& dir : m.results) {
      size_t n = 0;
      for (const auto& topic : dir.topics) n += topic.partitions.size();
      out += std::to_string(n) + (dir.is_cordoned ? "! " : " ");
    }
    return out;
  }
  std::optional<WiredNode> x;
  ConnId client;
};

TEST_F(Cordoned, a_directory_keeps_what_it_has_and_takes_nothing_new) {
  boot("");
  EXPECT_EQ(create("t", 4), ErrorCode::none);
  EXPECT_EQ(held(), "2 2 ");
  EXPECT_EQ(set("/a"), ErrorCode::none);
  EXPECT_EQ(create("u", 4), ErrorCode::none);
  EXPECT_EQ(held(), "2! 6 ");
  EXPECT_EQ(set("/b"), ErrorCode::none);
  EXPECT_EQ(create("v", 1), ErrorCode::none);
  EXPECT_EQ(held(), "3 6! ");
}

TEST_F(Cordoned, by_its_properties_from_the_first_partition_on) {
  boot("/b");
  EXPECT_EQ(create("t", 3), ErrorCode::none);
  EXPECT_EQ(held(), "3 0! ");
}

TEST_F(Cordoned, a_broker_without_any_other_gets_nothing_but_by_hand) {
  boot("");
  EXPECT_EQ(set("*"), ErrorCode::none);
  EXPECT_EQ(create("t", 1), ErrorCode::invalid_replication_factor);
  EXPECT_EQ(create("t", 1, true), ErrorCode::none);
  EXPECT_EQ(held(), "1! 0! ");
  EXPECT_EQ(set(""), ErrorCode::none);
  EXPECT_EQ(create("u", 1), ErrorCode::none);
  EXPECT_EQ(held(), "1 1 ");
}

TEST_F(Cordoned, all_by_its_properties) {
  boot("*");
  EXPECT_EQ(create("t", 1), ErrorCode::invalid_replication_factor);
  EXPECT_EQ(set("/a"), ErrorCode::none);
  EXPECT_EQ(create("t", 1), ErrorCode::none);
  EXPECT_EQ(held(), "0! 1 ");
}

TEST_F(Cordoned, a_name_that_is_no_directory_of_its_is_refused) {
  boot("");
  for (const char* value : {"/c", "/a/", "*,/a", "/a,*"}) EXPECT_EQ(set(value), ErrorCode::invalid_request) << value;
  for (const char* value : {" /a , /b ", "/a,/a", "*", "*,*", ""}) EXPECT_EQ(set(value), ErrorCode::none) << value;
}

TEST_F(Cordoned, a_later_life_knows_it_from_the_metadata) {
  boot("", "/a");
  EXPECT_EQ(set("/a"), ErrorCode::none);
  x->stop();
  x->boot();
  client = x->connect();
  EXPECT_EQ(held(), "0! ");
  EXPECT_EQ(create("t", 1), ErrorCode::invalid_replication_factor);
  EXPECT_EQ(set(""), ErrorCode::none);
  EXPECT_EQ(create("t", 1), ErrorCode::none);
}

}  // namespace
}  // namespace klamm::broker
