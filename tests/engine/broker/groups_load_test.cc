// A group coordinator that loads its partition of __consumer_offsets from a disk that is not what it was.
#include "engine/protocol/messages/find_coordinator.h"
#include "engine/protocol/messages/incremental_alter_configs.h"
#include "engine/protocol/messages/offset_commit.h"
#include "engine/protocol/messages/offset_fetch.h"
#include "tests/engine/broker/wired_node.h"

namespace klamm::broker {
namespace {

const std::string kLog = "__consumer_offsets-0/00000000000000000000.log";

// Offset 42 of t-0 is committed by group g; then an orderly end.
class GroupsLoad : public testing::Test {
 protected:
  // What happens at the second read of the log's file, and at all that follow: the first is that of its opening.
  void at_loading(std::function<void()> what) {
    x.node.on_command = [this, what, carry_out = x.node.on_command](const Command& c) {
      carry_out(c);
      if (const auto* o = std::get_if<OpenFile>(&c); o && o->path == kLog) files_.insert(o->file);
      const auto* r = std::get_if<ReadFile>(&c);
      if (r && files_.count(r->file) && ++reads_ >= 2) what();
    };
    x.boot();
    ASSERT_TRUE(x.node.ready || x.node.exit);
    x.run_for(seconds(1), [&] { return reads_ > 100; });
    EXPECT_EQ(reads_, 2);
  }
  GroupsLoad() {
    x.boot();
    const ConnId client = x.connect();
    x.create_topic(client, "t");
    protocol::FindCoordinatorRequest find;
    find.key = "g";
    x.ask(client, 3, find);  // and so it is made
    x.run_for(milliseconds(500));
    x.take<protocol::FindCoordinatorResponse>(client, 3);
    protocol::OffsetCommitRequest commit;
    commit.group_id = "g";
    commit.generation_id_or_member_epoch = -1;
    auto& t = commit.topics.add(x.arena());
    t.name = "t";
    t.partitions.add(x.arena()).committed_offset = 42;
    x.ask(client, 8, commit);
    x.run_for(milliseconds(100));
    EXPECT_EQ(x.take<protocol::OffsetCommitResponse>(client, 8).topics[0].partitions[0].error_code, 0);
    x.stop();
  }
  struct Told {
    ErrorCode error;
    Offset offset = -1;
  };
  Told committed() {
    const ConnId client = x.connect();
    protocol::OffsetFetchRequest m;
    auto& g = m.groups.add(x.arena());
    g.group_id = "g";
    auto& t = g.topics.add(x.arena());
    t.name = "t";
    t.partition_indexes.add(x.arena()) = 0;
    x.ask(client, 8, m);
    x.run_for(milliseconds(10));
    const auto a = x.take<protocol::OffsetFetchResponse>(client, 8);
    const auto error = static_cast<ErrorCode>(a.groups[0].error_code);
    return {error, error == ErrorCode::none ? a.groups[0].topics[0].partitions[0].committed_offset : -1};
  }

  std::set<FileId> files_;
  int reads_ = 0;
  WiredNode x{WiredNode::Properties{{"offsets.topic.num.partitions", "1"}, {"offsets.topic.replication.factor", "1"}}};
};

TEST_F(GroupsLoad, what_was_committed_is_there_in_the_next_life) {
  x.boot();
  x.run_for(seconds(1));
  const Told told = committed();
  EXPECT_EQ(told.error, ErrorCode::none);
  EXPECT_EQ(told.offset, 42);
}

// Kafka's coordinator is failed then, until the next election: its clients look for another.
TEST_F(GroupsLoad, damage_is_told_and_not_read_for_ever) {
  at_loading([&] {
    FakeStorage::Content bytes = *x.node.disk.content(kLog);
    bytes.at(65) = 0xee;  // in the first record
    x.node.disk.set_content(kLog, bytes);
  });
  EXPECT_EQ(committed().error, ErrorCode::not_coordinator);
}

TEST_F(GroupsLoad, nor_is_a_read_that_fails_begun_for_ever) {
  at_loading([&] { x.node.disk.fail_in(1); });
  EXPECT_EQ(committed().error, ErrorCode::not_coordinator);
}

// Nor does it serve what it has when something else goes wrong.
TEST_F(GroupsLoad, any_failure_of_the_disk_ends_the_node_or_does_no_harm) {
  for (uint64_t k = 1; k <= 120; ++k) {
    x.node.disk.fail_in(k);
    x.boot();
    x.run_for(seconds(1));
    if (x.node.exit) {
      EXPECT_NE(x.node.exit->code, 0) << k;
    } else {
      const Told told = committed();
      EXPECT_TRUE(told.error == ErrorCode::not_coordinator || told.offset == 42) << k;
    }
    x.node.disk.fail_in(0);
    x.stop();
  }
}

// How large its batches may be is the topic's to say, whatever it was at the boot.
TEST_F(GroupsLoad, the_offsets_topic_says_how_large_a_batch_may_be) {
  x.boot();
  x.run_for(seconds(1));
  const ConnId client = x.connect();
  const auto commit = [&](Str metadata) {
    protocol::OffsetCommitRequest m;
    m.group_id = "g";
    m.generation_id_or_member_epoch = -1;
    auto& t = m.topics.add(x.arena());
    t.name = "t";
    auto& p = t.partitions.add(x.arena());
    p.committed_offset = 43;
    p.committed_metadata = metadata;
    x.ask(client, 8, m);
    x.run_for(milliseconds(100));
    return static_cast<ErrorCode>(x.take<protocol::OffsetCommitResponse>(client, 8).topics[0].partitions[0].error_code);
  };
  const auto configure = [&](Str value) {
    protocol::IncrementalAlterConfigsRequest m;
    auto& r = m.resources.add(x.arena());
    r.resource_type = 2;
    r.resource_name = "__consumer_offsets";
    auto& c = r.configs.add(x.arena());
    c.name = "max.message.bytes";
    c.value = value;
    x.ask(client, 1, m);
    x.run_for(milliseconds(100));
    EXPECT_EQ(x.take<protocol::IncrementalAlterConfigsResponse>(client, 1).responses[0].error_code, 0);
  };
  const std::string long_text(2'000, 'm');
  configure("1000");
  EXPECT_EQ(commit(""), ErrorCode::none);
  EXPECT_EQ(commit(long_text), ErrorCode::unknown_server_error);
  configure("10000");
  EXPECT_EQ(commit(long_text), ErrorCode::none);
}

}  // namespace
}  // namespace klamm::broker
