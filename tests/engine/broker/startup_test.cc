#include "engine/broker/meta_file.h"
#include "engine/broker/rules.h"
#include "engine/metadata/bootstrap.h"
#include "engine/quorum/codec.h"
#include "tests/engine/broker/lone_node.h"
#include "tests/engine/metadata/bootstrap_file.h"
#include "tests/support/heard.h"

namespace klamm::broker {
namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Startup, an_empty_directory_is_given_an_identity) {
  LoneNode x;
  x.start();
  ASSERT_TRUE(x.ready);
  const std::string meta = x.file("meta.properties");
  EXPECT_TRUE(contains(meta, "node.id=1\n"));
  EXPECT_TRUE(contains(meta, "version=1\n"));
  EXPECT_TRUE(contains(meta, "cluster.id="));
  x.stop();
  ASSERT_TRUE(x.exit.has_value());
  EXPECT_EQ(x.exit->code, 0);
  x.start();
  EXPECT_TRUE(x.ready);
  EXPECT_EQ(x.file("meta.properties"), meta);
}

TEST(Startup, what_is_not_ours_ends_with_code_2_and_says_why) {
  const struct {
    const char* meta;
    const char* says;
  } cases[] = {
      {"version=1\ncluster.id=abc\nnode.id=9\n", "belongs to node 9, not to node.id=1"},
      {"version=1\nnode.id=1\n", "cluster.id or node.id is missing"},
      {"version=0\ncluster.id=abc\nnode.id=1\n", "its version is 0, not 1"},
      {"\xff\xfe garbage", "/data/meta.properties is damaged"},
      {"", "/data/meta.properties is damaged"},
      {"version=1\ncluster.id=abc\nnode.id=1\ndirectory.id=***\n", "directory.id is not an id"},
  };
  for (const auto& c : cases) {
    LoneNode x;
    x.set_file("meta.properties", c.meta);
    x.start();
    ASSERT_TRUE(x.exit.has_value()) << c.says;
    EXPECT_EQ(x.exit->code, 2) << c.says;
    EXPECT_TRUE(contains(x.exit->reason, c.says)) << x.exit->reason;
    EXPECT_EQ(x.file("meta.properties"), c.meta);
  }
}

TEST(Startup, a_locked_directory_ends_with_code_2) {
  LoneNode x;
  x.locked = true;
  x.start();
  ASSERT_TRUE(x.exit.has_value());
  EXPECT_EQ(x.exit->code, 2);
  EXPECT_TRUE(contains(x.exit->reason, "/data is locked by another process")) << x.exit->reason;
}

TEST(Startup, nothing_is_touched_in_a_directory_that_another_holds) {
  const std::string away = "t-0.0123456789abcdef0123456789abcdef-delete";
  LoneNode x;
  x.start();
  x.stop();
  x.set_file(away + "/partition.metadata", "version: 0");
  const std::string clean = x.file(log::kCleanShutdownFile);
  ASSERT_FALSE(clean.empty());
  LoneNode other;
  other.disk = x.disk;
  other.locked = true;
  other.start();
  ASSERT_TRUE(other.exit.has_value());
  EXPECT_EQ(other.file(log::kCleanShutdownFile), clean);
  EXPECT_FALSE(other.file(away + "/partition.metadata").empty());
}

// As a Kafka before 3.7 wrote it.
TEST(Startup, a_directory_without_an_id_is_given_one) {
  LoneNode x;
  x.set_file("meta.properties", "version=1\ncluster.id=abc\nnode.id=1\n");
  x.start();
  ASSERT_TRUE(x.ready);
  const auto meta = parse_meta_file(x.file("meta.properties"));
  ASSERT_TRUE(meta.has_value());
  EXPECT_EQ(meta->cluster_id, "abc");
  EXPECT_FALSE(meta->directory_id.zero());
}

TEST(Startup, directories_are_given_identities_in_the_first_life_only) {
  using D = DirectoryFound;
  constexpr D fresh{}, formatted{true}, used{true, true}, lost{false, true}, metadata{true, true, true};
  struct Case {
    std::vector<D> found;  // the first is the metadata's
    DirectoryFault fault;
    size_t at = 0;
  };
  const Case cases[] = {
      {{fresh}, DirectoryFault::none},
      {{fresh, fresh}, DirectoryFault::none},
      {{fresh, formatted}, DirectoryFault::none},  // the first life was cut short
      {{lost}, DirectoryFault::none},
      {{metadata, used}, DirectoryFault::none},
      {{metadata, fresh}, DirectoryFault::no_identity, 1},  // new, or not mounted
      {{metadata, used, lost}, DirectoryFault::no_identity, 2},
      {{fresh, used}, DirectoryFault::no_identity, 0},
      {{used, metadata}, DirectoryFault::metadata_elsewhere, 1},  // log.dirs in another order
      {{metadata, metadata}, DirectoryFault::metadata_elsewhere, 1},
  };
  for (const Case& c : cases) {
    const DirectoryVerdict v = judge_directories(c.found, 0, false);
    EXPECT_EQ(v.fault, c.fault) << &c - cases;
    EXPECT_EQ(v.at, c.at) << &c - cases;
  }
  EXPECT_EQ(judge_directories(cases[5].found, 0, true).fault, DirectoryFault::none);
  EXPECT_EQ(judge_directories(cases[7].found, 0, true).fault, DirectoryFault::no_identity);
}

// Whatever ends badly first, the node exits once, with a reason, and not by an assertion.
TEST(Startup, any_failure_of_the_disk_on_the_way_ends_the_node_or_does_no_harm) {
  LoneNode whole;
  whole.start();
  const uint64_t ends = whole.disk.ended();
  ASSERT_TRUE(whole.ready);
  for (uint64_t k = 1; k <= ends; ++k) {
    LoneNode x;
    x.disk.fail_in(k);
    x.start();
    ASSERT_TRUE(x.ready || x.exit.has_value()) << k;
    if (x.exit) {
      EXPECT_NE(x.exit->code, 0) << k;
      EXPECT_FALSE(x.exit->reason.empty()) << k;
    }
  }
}

// As `kafka-storage format --release-version 4.1` asks for it.
TEST(Startup, a_fresh_cluster_begins_with_the_levels_that_its_directory_was_formatted_with) {
  const std::string log = "__cluster_metadata-0/00000000000000000000.log";
  const std::string ours = std::string("metadata.version\0\x1e", 18), asked = std::string("metadata.version\0\x1b", 18);
  LoneNode plain, x;
  plain.start();
  x.set_file("bootstrap.checkpoint", metadata::bootstrap_file({{metadata::kMetadataVersion, 27}}));
  x.start();
  ASSERT_TRUE(plain.ready && x.ready);
  EXPECT_NE(plain.file(log).find(ours), std::string::npos);
  EXPECT_EQ(x.file(log).find(ours), std::string::npos);
  EXPECT_NE(x.file(log).find(asked), std::string::npos);
  EXPECT_NE(plain.file(log).find("min.insync.replicas"), std::string::npos);
  EXPECT_EQ(x.file(log).find("min.insync.replicas"), std::string::npos);  // eligible.leader.replicas.version is 0
  x.stop();
  x.set_file("bootstrap.checkpoint", metadata::bootstrap_file({{metadata::kMetadataVersion, 28}}));
  x.start();
  EXPECT_TRUE(x.ready);
  EXPECT_EQ(x.file(log).find(std::string("metadata.version\0\x1c", 18)), std::string::npos);  // it is no fresh one now
}

TEST(Startup, a_bootstrap_file_that_is_damaged_or_asks_for_too_much_ends_the_node) {
  for (const std::string& text :
       {std::string("nothing of that kind"), metadata::bootstrap_file({}),
        metadata::bootstrap_file({{metadata::kMetadataVersion, 31}}), std::string(metadata::kBootstrapMost + 1, 'x')}) {
    LoneNode x;
    x.set_file("bootstrap.checkpoint", text);
    x.start();
    ASSERT_TRUE(x.exit.has_value());
    EXPECT_EQ(x.exit->code, 2);
    EXPECT_NE(x.exit->reason.find("/data/bootstrap.checkpoint"), std::string::npos) << x.exit->reason;
  }
}

using DamageTold = Heard<TraceKind::checkpoint_damaged, TraceKind::log_tail_dropped>;

TEST(Startup, damaged_checkpoints_do_no_harm_and_are_told) {
  LoneNode x;
  DamageTold told;
  x.trace = &told;
  x.set_file(log::kCleanShutdownFile, "\x01\x02 not a checkpoint");
  for (const char* name : log::kOffsetCheckpoints) x.set_file(name, "\x01\x02 not a checkpoint");
  x.start();
  EXPECT_TRUE(x.ready);
  ASSERT_EQ(told.seen.size(), std::size(log::kOffsetCheckpoints));
  for (size_t i = 0; i < told.seen.size(); ++i) {
    EXPECT_EQ(told.seen[i].kind, TraceKind::checkpoint_damaged);
    EXPECT_EQ(told.seen[i].a, 0);
    EXPECT_EQ(told.seen[i].b, static_cast<int64_t>(i));
  }
}

TEST(Startup, what_recovery_drops_of_the_metadata_is_told) {
  LoneNode x;
  DamageTold told;
  x.trace = &told;
  x.start();
  x.stop();
  const std::string file = "__cluster_metadata-0/00000000000000000000.log";
  x.set_file(file, x.file(file) + "torn");
  x.start();
  EXPECT_TRUE(x.ready);
  ASSERT_EQ(told.seen.size(), 1u);
  EXPECT_EQ(told.seen[0].kind, TraceKind::log_tail_dropped);
  EXPECT_EQ(topic_of_keys(told.seen[0].b, told.seen[0].c), quorum::kMetadataTopicId);
  EXPECT_EQ(told.seen[0].d, 4);
}

// What is there and was not read must not be taken for nothing.
TEST(Startup, a_checkpoint_that_cannot_be_read_ends_with_code_2) {
  LoneNode whole;
  for (const char* name : log::kOffsetCheckpoints) whole.set_file(name, "0\n0\n");
  const FakeStorage before = whole.disk;
  whole.start();
  size_t refused = 0;
  for (uint64_t k = 1; k <= whole.disk.ended(); ++k) {
    LoneNode x;
    x.disk = before;
    x.disk.fail_in(k);
    x.start();
    if (!x.exit || !contains(x.exit->reason, "cannot read the checkpoint files of /data")) continue;
    EXPECT_EQ(x.exit->code, 2);
    for (const char* name : log::kOffsetCheckpoints) EXPECT_EQ(x.file(name), "0\n0\n");
    ++refused;
  }
  EXPECT_EQ(refused, std::size(log::kOffsetCheckpoints));
}

TEST(Startup, checkpoints_of_partitions_that_are_not_open_yet_are_kept) {
  LoneNode x;
  x.set_file("old-0/partition.metadata", "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAw");
  x.set_file(log::kHighWatermarkFile, log::encode_offset_checkpoint({{{"old", 0}, 40}, {{"gone", 0}, 7}}));
  x.start();
  x.run_for(seconds(6));
  const auto kept = log::parse_offset_checkpoint(x.file(log::kHighWatermarkFile));
  ASSERT_TRUE(kept.has_value());
  EXPECT_EQ(*kept, (log::OffsetCheckpoint{{{"old", 0}, 40}}));
}

TEST(Startup, directories_that_a_former_life_was_removing_go) {
  LoneNode x;
  x.set_file("t-0.0123456789abcdef0123456789abcdef-delete/partition.metadata", "version: 0");
  x.start();
  ASSERT_TRUE(x.ready);
  for (const std::string& name : x.disk.names("")) EXPECT_FALSE(contains(name, "-delete")) << name;
}

TEST(Shutdown, an_orderly_end_says_so_once_and_not_after_a_loss_of_power) {
  LoneNode x;
  x.start();
  EXPECT_EQ(x.file(log::kCleanShutdownFile), "");
  x.stop();
  ASSERT_TRUE(x.exit.has_value());
  EXPECT_TRUE(log::parse_clean_shutdown(x.file(log::kCleanShutdownFile)).has_value());
  x.start();
  ASSERT_TRUE(x.ready);
  x.disk.lose_power([](uint64_t) { return 0; });  // nothing that was not synced survives: nor does its removal
  EXPECT_EQ(x.file(log::kCleanShutdownFile), "");
}

TEST(Shutdown, takes_few_turns_whenever_it_comes) {
  for (int ms = 0; ms < 12'000; ms += 700) {
    LoneNode x;
    x.start();
    x.run_for(milliseconds(ms));
    const uint64_t before = x.turns;
    const Instant asked = x.world.now;
    x.stop();
    ASSERT_TRUE(x.exit.has_value()) << ms;
    EXPECT_EQ(x.exit->code, 0);
    EXPECT_LT(x.turns - before, 200u) << ms;
    EXPECT_LT((x.world.now - asked).ns, milliseconds(100).ns) << ms;
  }
}

TEST(Shutdown, a_disk_that_never_answers_delays_it_for_less_than_a_second) {
  LoneNode x;
  x.start();
  x.run_for(milliseconds(4'990));
  const Instant asked = x.world.now;
  x.turn({Asked{1, "stop", {}}});
  uint64_t turns = 0;
  while (!x.exit && turns < 1000) {
    const Instant next = x.node->next_deadline();
    ASSERT_NE(next, kNever);
    if (next > x.world.now) x.world.now = next;
    x.turn({});
    ++turns;
  }
  ASSERT_TRUE(x.exit.has_value());
  EXPECT_LT((x.world.now - asked).ns, seconds(1).ns);
  EXPECT_LT(turns, 200u);
  EXPECT_EQ(x.file(log::kCleanShutdownFile), "");
}

TEST(Shutdown, waits_for_a_slow_disk_as_long_as_it_answers) {
  LoneNode x;
  x.start();
  const Instant asked = x.world.now;
  x.turn({Asked{1, "stop", {}}});
  for (int i = 0; i < 1000 && !x.exit; ++i) {
    const auto e = x.disk.ready() > 0 ? x.disk.step(0) : std::nullopt;
    if (e) x.world.now.ns += milliseconds(100).ns;
    e ? x.turn({*e}) : x.turn({});
  }
  ASSERT_TRUE(x.exit.has_value());
  EXPECT_GT((x.world.now - asked).ns, seconds(1).ns);
  EXPECT_TRUE(log::parse_clean_shutdown(x.file(log::kCleanShutdownFile)).has_value());
}

TEST(Shutdown, before_the_start_is_done_it_ends_at_once) {
  LoneNode x;
  x.node = make_node([] {
    Boot b;
    b.directories = {"/data"};
    b.listeners = {{"PLAINTEXT", "here", 9092, "here", 9092}, {"CONTROLLER", "here", 9093, "here", 9093}};
    b.properties = {{"process.roles", "broker,controller"},
                    {"node.id", "1"},
                    {"controller.quorum.voters", "1@here:9093"},
                    {"controller.listener.names", "CONTROLLER"},
                    {"listeners", "PLAINTEXT://here:9092,CONTROLLER://here:9093"},
                    {"log.dirs", "/data"}};
    return b;
  }());
  x.turn({Asked{1, "stop", {}}});
  ASSERT_TRUE(x.exit.has_value());
  EXPECT_EQ(x.exit->code, 0);
}

}  // namespace
}  // namespace klamm::broker
