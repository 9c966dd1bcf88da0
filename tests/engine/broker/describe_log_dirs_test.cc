// The space of a directory's disk, as the driver told it and a client asks for it.
#include "engine/protocol/messages/describe_log_dirs.h"

#include "tests/engine/broker/wired_node.h"

namespace klamm::broker {
namespace {

TEST(DescribeLogDirs, tells_the_space_that_was_told_last) {
  WiredNode x;
  x.boot();
  const ConnId conn = x.connect();
  const auto described = [&](int16_t version) {
    protocol::DescribeLogDirsRequest q;
    q.topics = List<protocol::DescribeLogDirsRequest::DescribableLogDirTopic>::null();
    x.ask(conn, version, q);
    return x.take<protocol::DescribeLogDirsResponse>(conn, version).results[0];
  };
  EXPECT_EQ(described(4).total_bytes, -1);
  EXPECT_EQ(described(4).usable_bytes, -1);
  x.node.turn({Space{DirId{0}, int64_t{7} << 30, int64_t{9} << 30}});
  EXPECT_EQ(described(4).total_bytes, int64_t{9} << 30);
  EXPECT_EQ(described(5).usable_bytes, int64_t{7} << 30);
  x.node.turn({Space{DirId{0}, int64_t{6} << 30, int64_t{9} << 30}});
  EXPECT_EQ(described(5).usable_bytes, int64_t{6} << 30);
  EXPECT_EQ(described(3).total_bytes, -1) << "a version that has no word for it";
}

// As Kafka places them: also topics of one partition are spread.
TEST(DescribeLogDirs, a_new_partition_goes_where_the_fewest_are) {
  WiredNode x(WiredNode::Properties{{"log.dirs", "/data,/more,/most"}});
  x.boot();
  const ConnId conn = x.connect();
  for (const char* topic : {"a", "b", "c", "d"}) x.create_topic(conn, topic);
  x.create_topic(conn, "e", 4);
  protocol::DescribeLogDirsRequest q;
  q.topics = List<protocol::DescribeLogDirsRequest::DescribableLogDirTopic>::null();
  x.ask(conn, 4, q);
  const auto m = x.take<protocol::DescribeLogDirsResponse>(conn, 4);
  ASSERT_EQ(m.results.size(), 3u);
  std::vector<std::string> held;
  for (const auto& dir : m.results) {
    std::string& all = held.emplace_back();
    for (const auto& topic : dir.topics)
      for (const auto& p : topic.partitions) all += std::string(topic.name) + std::to_string(p.partition_index) + " ";
  }
  EXPECT_EQ(held, (std::vector<std::string>{"a0 d0 e2 ", "b0 e0 e3 ", "c0 e1 "}));
}

}  // namespace
}  // namespace klamm::broker
