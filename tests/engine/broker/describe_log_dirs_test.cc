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

}  // namespace
}  // namespace klamm::broker
