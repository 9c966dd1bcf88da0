// A cluster in somebody's hands: the first story.
#include "sim/lab.h"

#include <gtest/gtest.h>

#include <ctime>

#include "engine/client/verbs.h"

namespace klamm::sim {
namespace {

template<class T>
T answer(Lab& lab, uint64_t token, Duration limit = seconds(60)) {
  T value;
  EXPECT_TRUE(lab.run_until_told(token, limit));
  const std::vector<Slice> answers = lab.take(token);
  EXPECT_TRUE(!answers.empty() && client::unpack(answers.back(), value));
  return value;
}

client::Produce one_record(const std::string& text) {
  client::Produce p;
  p.client = 1;
  p.topic = "t";
  p.partition = 0;
  p.records.emplace_back().value = Slice::copy(text);
  return p;
}

client::Produced produce(Lab& lab, const std::string& text) {
  return answer<client::Produced>(lab, lab.ask(0, "produce", one_record(text)));
}

// One partition with three replicas, and a producer whose first record is in it.
struct OneLog {
  explicit OneLog(uint64_t seed, std::map<std::string, std::string> config = {})
      : lab({.seed = seed, .clients = 1, .config = std::move(config)}) {
    lab.run_for(seconds(1));
    client::CreateTopics create;
    create.topics.push_back({"t", 1, 3, {}, {}});
    const auto created = answer<client::TopicResults>(lab, lab.ask(0, "create_topics", create));
    client::ProducerOpen open;
    open.client = 1;
    answer<client::Done>(lab, lab.ask(0, "producer.open", open));
    EXPECT_EQ(produce(lab, "before").offset, 0);
    log = {topic_key(created.topics[0].id), 0};
    leader = lab.leaders().leader(log);
  }
  Disk& disk(int32_t node) { return lab.world().storage(host_of(node)).disk(); }
  void leave_room(int32_t node, int64_t free) { disk(node).set_capacity(disk(node).used() + free); }
  void tell(int32_t node) { lab.world().space(host_of(node)); }
  uint64_t ask_produce(const std::string& text) { return lab.ask(0, "produce", one_record(text)); }
  Lab lab;
  LogKey log;
  int32_t leader = -1;
};

TEST(Lab, what_is_there_can_be_changed) {
  OneLog one(3);
  for (int i = 0; i < 5; ++i) produce(one.lab, "more");
  const auto remove = [&](int64_t offset) {
    client::DeleteRecords d{{"t", 0}, offset};
    return answer<client::RecordsDeleted>(one.lab, one.lab.ask(0, "delete_records", d));
  };
  EXPECT_EQ(remove(4).low_watermark, 4);
  EXPECT_EQ(remove(7).error, ErrorCode::offset_out_of_range);
  EXPECT_EQ(remove(-1).low_watermark, 6);
  const auto beginning = [&] {
    return answer<client::OffsetResult>(one.lab,
                                        one.lab.ask(0, "offset", client::OffsetAt{{"t", 0}, client::kFromBeginning}));
  };
  EXPECT_EQ(beginning().offset, 6);

  const auto configure = [&](std::optional<std::string> value) {
    client::AlterConfigs c{"t", std::nullopt, {{"max.message.bytes", value}}};
    return answer<client::Done>(one.lab, one.lab.ask(0, "alter_configs", c)).error;
  };
  EXPECT_EQ(configure("seven"), ErrorCode::invalid_config);
  EXPECT_EQ(configure("7"), ErrorCode::none);
  one.lab.run_for(seconds(1));
  EXPECT_EQ(produce(one.lab, "too much").error, ErrorCode::message_too_large);
  EXPECT_EQ(configure(std::nullopt), ErrorCode::none);
  one.lab.run_for(seconds(1));
  EXPECT_EQ(produce(one.lab, "enough").error, ErrorCode::none);

  const auto grow = [&] {
    return answer<client::Done>(one.lab, one.lab.ask(0, "create_partitions", client::CreatePartitions{"t", 3})).error;
  };
  EXPECT_EQ(grow(), ErrorCode::none);
  EXPECT_EQ(grow(), ErrorCode::invalid_partitions);
}

TEST(Lab, acknowledged_records_survive_their_leader) {
  Lab lab({.seed = 7});
  lab.run_for(seconds(1));
  client::CreateTopics create;
  create.topics.push_back({"t", 1, 3, {}, {}});
  const auto created = answer<client::TopicResults>(lab, lab.ask(0, "create_topics", create));
  ASSERT_EQ(created.topics.size(), 1u);
  ASSERT_EQ(created.topics[0].error, ErrorCode::none);
  client::ProducerOpen open;
  open.client = 1;
  ASSERT_EQ(answer<client::Done>(lab, lab.ask(0, "producer.open", open)).error, ErrorCode::none);
  EXPECT_EQ(produce(lab, "before").offset, 0);

  const LogKey log{topic_key(created.topics[0].id), 0};
  const int32_t leader = lab.leaders().leader(log);
  ASSERT_GT(leader, 0);
  lab.kill(leader);
  const int64_t killed_at = lab.now();
  EXPECT_EQ(produce(lab, "after").offset, 1);
  EXPECT_LT(lab.now() - killed_at, 1'000'000'000) << "a dead process is fenced at once, not after its session";
  EXPECT_NE(lab.leaders().leader(log), leader);
  lab.start(leader);
  lab.run_for(seconds(10));
  EXPECT_EQ(lab.replicas().log_end(log, host_of(leader)), 2);
  EXPECT_TRUE(lab.verdicts().empty()) << lab.verdicts().list()[0].text;
}

TEST(Lab, partitioned_leader_does_not_acknowledge) {
  OneLog x(8);
  std::vector<int32_t> others;
  for (int32_t n = 1; n <= 3; ++n)
    if (n != x.leader) others.push_back(n);
  x.lab.partition({x.leader}, others);
  const client::Produced second = produce(x.lab, "two");  // reaches the old leader first, then the new one
  EXPECT_EQ(second.error, ErrorCode::none);
  EXPECT_EQ(second.offset, 1);
  x.lab.heal();
  x.lab.run_for(seconds(20));
  EXPECT_EQ(x.lab.replicas().log_end(x.log, host_of(x.leader)), 2);
  EXPECT_TRUE(x.lab.verdicts().empty()) << x.lab.verdicts().list()[0].text;
}

// The start of the deleted log is in a checkpoint file; nobody has had time to write it anew when all are killed.
TEST(Lab, a_topic_of_a_deleted_ones_name_keeps_its_records) {
  for (const bool known : {true, false}) {  // the offsets of the deleted one, in a checkpoint
    OneLog x(9);
    for (int i = 0; i < 9; ++i) produce(x.lab, "old");
    answer<client::RecordsDeleted>(x.lab, x.lab.ask(0, "delete_records", client::DeleteRecords{{"t", 0}, 8}));
    x.lab.run_for(known ? seconds(7) : milliseconds(10));
    answer<client::TopicResults>(x.lab, x.lab.ask(0, "delete_topics", client::DeleteTopics{{"t"}}));
    client::CreateTopics create;
    create.topics.push_back({"t", 1, 3, {}, {}});
    const auto created = answer<client::TopicResults>(x.lab, x.lab.ask(0, "create_topics", create));
    ASSERT_EQ(created.topics[0].error, ErrorCode::none);
    client::Produced p;
    for (int i = 0; i < 20 && (p.error != ErrorCode::none || p.offset != 0); ++i) p = produce(x.lab, "new");
    EXPECT_EQ(p.offset, 0);
    for (int32_t n : {1, 2, 3}) x.lab.kill(n);
    for (int32_t n : {1, 2, 3}) x.lab.start(n);
    x.lab.run_for(seconds(20));
    const auto at = [&](int64_t where) {
      return answer<client::OffsetResult>(x.lab, x.lab.ask(0, "offset", client::OffsetAt{{"t", 0}, where})).offset;
    };
    EXPECT_EQ(at(client::kFromBeginning), 0);
    EXPECT_EQ(at(client::kFromEnd), 1);
    EXPECT_TRUE(x.lab.verdicts().empty()) << x.lab.verdicts().list()[0].text;
  }
}

// ---- records that are synced before they are acknowledged

Offset latest(Lab& lab) {
  return answer<client::OffsetResult>(lab, lab.ask(0, "offset", client::OffsetAt{{"t", 0}, client::kFromEnd})).offset;
}

// Nothing is appended after the restart that would have brought about a sync.
TEST(Lab, what_was_synced_is_there_after_all_have_lost_power) {
  for (const char* key : {"klamm.flush", "log.flush.interval.messages"}) {
    OneLog x(14, {{key, key[0] == 'k' ? "commit" : "1"}});
    EXPECT_EQ(produce(x.lab, "after").offset, 1);
    for (int32_t n : {1, 2, 3}) x.lab.lose_power(n);
    for (int32_t n : {1, 2, 3}) x.lab.start(n);
    x.lab.run_for(seconds(20));
    EXPECT_EQ(latest(x.lab), 2) << key;
    EXPECT_TRUE(x.lab.verdicts().empty()) << x.lab.verdicts().list()[0].text;
  }
}

// flush.ms bounds in time what a loss of power at all replicas may take.
TEST(Lab, what_is_older_than_flush_ms_is_there_after_all_have_lost_power) {
  int lost_young = 0;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    OneLog x(seed, {{"log.flush.interval.ms", "500"}});
    produce(x.lab, "old");
    x.lab.run_for(milliseconds(600));
    EXPECT_EQ(produce(x.lab, "young").offset, 2);
    for (int32_t n : {1, 2, 3}) x.lab.lose_power(n);
    for (int32_t n : {1, 2, 3}) x.lab.start(n);
    x.lab.run_for(seconds(20));
    const Offset end = latest(x.lab);
    EXPECT_GE(end, 2);
    lost_young += end == 2;
  }
  EXPECT_GT(lost_young, 0) << "nothing was at stake";
}

// ---- a full disk

constexpr int64_t kPlenty = int64_t{1} << 40, kLittle = 1 << 20;

TEST(Lab, a_full_disk_of_a_leader_refuses_records_until_there_is_room) {
  OneLog x(10);
  x.leave_room(x.leader, kLittle);
  x.tell(x.leader);
  const int64_t used = x.disk(x.leader).used();
  const uint64_t token = x.ask_produce("after");
  x.lab.run_for(seconds(3));
  EXPECT_TRUE(x.lab.take(token).empty()) << "the client tries on";
  EXPECT_TRUE(x.lab.is_up(x.leader));
  EXPECT_EQ(x.lab.replicas().log_end(x.log, host_of(x.leader)), 1) << "nothing was appended";
  EXPECT_LT(x.disk(x.leader).used() - used, kLittle);
  x.leave_room(x.leader, kPlenty);
  x.tell(x.leader);
  EXPECT_EQ(answer<client::Produced>(x.lab, token).offset, 1);
  EXPECT_TRUE(x.lab.verdicts().empty()) << x.lab.verdicts().list()[0].text;
}

TEST(Lab, a_full_disk_of_a_follower_waits_and_catches_up) {
  OneLog x(11);
  const int32_t follower = x.leader % 3 + 1;
  x.leave_room(follower, kLittle);
  x.tell(follower);
  const uint64_t token = x.ask_produce("after");
  x.lab.run_for(seconds(3));
  EXPECT_EQ(x.lab.replicas().log_end(x.log, host_of(follower)), 1);
  x.leave_room(follower, kPlenty);
  x.tell(follower);
  EXPECT_EQ(answer<client::Produced>(x.lab, token).offset, 1);
  x.lab.run_for(seconds(1));
  EXPECT_EQ(x.lab.replicas().log_end(x.log, host_of(follower)), 2);
  EXPECT_TRUE(x.lab.verdicts().empty()) << x.lab.verdicts().list()[0].text;
}

// A write that meets the end of the disk before anyone has told: the node stops and keeps what it had.
TEST(Lab, a_write_without_room_stops_the_node_and_loses_nothing) {
  OneLog x(12);
  x.leave_room(x.leader, 10);
  EXPECT_EQ(produce(x.lab, "after").offset, 1) << "by the next leader";
  EXPECT_FALSE(x.lab.is_up(x.leader));
  ASSERT_EQ(x.lab.verdicts().list().size(), 1u);
  EXPECT_EQ(x.lab.verdicts().list()[0].rule, "exit");
  x.leave_room(x.leader, kPlenty);
  x.lab.start(x.leader);
  x.lab.run_for(seconds(10));
  EXPECT_EQ(x.lab.replicas().log_end(x.log, host_of(x.leader)), 2);
  EXPECT_EQ(x.lab.verdicts().list().size(), 1u);
}

// Its brokers have sent heartbeats all the while; it only did not read them.
TEST(Lab, a_controller_that_stood_still_fences_nobody_that_it_can_hear) {
  Lab lab({.seed = 16, .controllers = 1});
  lab.run_for(seconds(1));
  client::CreateTopics create;
  create.topics.push_back({"t", 6, 3, {}, {}});
  const auto created = answer<client::TopicResults>(lab, lab.ask(0, "create_topics", create));
  lab.run_for(seconds(2));
  std::map<LogKey, int32_t> leaders;
  for (int32_t partition = 0; partition < 6; ++partition) {
    const LogKey log{topic_key(created.topics[0].id), partition};
    leaders[log] = lab.leaders().leader(log);
    EXPECT_NE(leaders[log], -1);
  }
  lab.pause(1, true);
  lab.run_for(seconds(25));  // more than twice broker.session.timeout.ms
  lab.pause(1, false);
  lab.run_for(seconds(3));
  for (const auto& [log, leader] : leaders) EXPECT_EQ(lab.leaders().leader(log), leader);
  EXPECT_TRUE(lab.verdicts().empty()) << lab.verdicts().list()[0].text;
}

// ---- snapshots of the metadata

std::vector<std::string> snapshots(Lab& lab, int32_t node) {
  std::vector<DirEntry> entries;
  lab.world().storage(host_of(node)).disk().list(DirId{0}, "__cluster_metadata-0", &entries);
  std::vector<std::string> names;
  for (const DirEntry& e : entries)
    if (e.name.ends_with(".checkpoint")) names.push_back(e.name);
  return names;
}

TEST(Lab, a_node_begins_with_its_snapshot) {
  Lab lab({.seed = 13, .config = {{"metadata.log.max.record.bytes.between.snapshots", "1000"}}});
  lab.run_for(seconds(1));
  client::CreateTopics create;
  for (int i = 0; i < 5; ++i) create.topics.push_back({"t" + std::to_string(i), 4, 3, {}, {}});
  answer<client::TopicResults>(lab, lab.ask(0, "create_topics", create));
  lab.run_for(seconds(1));
  const std::vector<std::string> before = snapshots(lab, 1);
  ASSERT_FALSE(before.empty());
  for (int32_t node : {1, 2, 3}) lab.lose_power(node);
  for (int32_t node : {1, 2, 3}) lab.start(node);
  lab.run_for(seconds(10));
  client::ProducerOpen open;
  open.client = 1;
  answer<client::Done>(lab, lab.ask(0, "producer.open", open));
  client::Produce p;
  p.client = 1;
  p.topic = "t3";
  p.partition = 2;
  p.records.emplace_back().value = Slice::copy("x");
  EXPECT_EQ(answer<client::Produced>(lab, lab.ask(0, "produce", p)).offset, 0);
  EXPECT_NE(snapshots(lab, 1), before) << "and it writes the next";
  EXPECT_TRUE(lab.verdicts().empty()) << lab.verdicts().list()[0].text;
}

// The segments of its metadata log, by base, that are not yet to be removed.
std::vector<Offset> segments(Lab& lab, int32_t node) {
  std::vector<DirEntry> entries;
  lab.world().storage(host_of(node)).disk().list(DirId{0}, "__cluster_metadata-0", &entries);
  std::vector<Offset> bases;
  for (const DirEntry& e : entries)
    if (e.name.ends_with(".log")) bases.push_back(std::stoll(e.name.substr(0, 20)));
  std::sort(bases.begin(), bases.end());
  return bases;
}

constexpr int32_t kAway = 3;

// Node kAway was away so long that what its metadata log lacks is gone.
struct LongAway {
  LongAway() {
    lab.run_for(seconds(1));
    create("before-");
    lab.run_for(seconds(1));
    lab.kill(kAway);
    end = lab.replicas().log_end({}, host_of(kAway));
    lab.run_for(seconds(12));  // it is fenced
    client::DeleteTopics remove;
    for (int i = 0; i < 5; ++i) remove.names.push_back("before-" + std::to_string(i));
    answer<client::TopicResults>(lab, lab.ask(0, "delete_topics", remove));
    for (int i = 0; i < 4; ++i) create("after-" + std::to_string(i) + "-");
    lab.run_for(seconds(1));
  }
  void create(const std::string& prefix) {
    client::CreateTopics create;
    for (int i = 0; i < 5; ++i) create.topics.push_back({prefix + std::to_string(i), 4, 3, {}, {}});
    answer<client::TopicResults>(lab, lab.ask(0, "create_topics", create));
  }
  static bool has_all(const Lab& lab) {
    const Offset leaders = lab.replicas().log_end({}, host_of(lab.leaders().raft_leader() + 1));
    return lab.replicas().log_end({}, host_of(kAway)) == leaders;
  }

  Lab lab{{.seed = 15,
           .config = {{"metadata.log.max.record.bytes.between.snapshots", "1000"},
                      {"metadata.max.retention.bytes", "3000"},
                      {"internal.metadata.log.segment.bytes", "2000"}}}};
  Offset end = 0;  // of its metadata log
};

TEST(Lab, a_node_that_was_away_for_long_fetches_a_snapshot) {
  LongAway away;
  Lab& lab = away.lab;
  ASSERT_GT(segments(lab, lab.leaders().raft_leader() + 1).front(), away.end) << "what it lacks is gone";
  lab.start(kAway);
  lab.run_for(seconds(5));
  ASSERT_TRUE(lab.is_up(kAway));
  EXPECT_GT(segments(lab, kAway).front(), away.end);
  EXPECT_FALSE(snapshots(lab, kAway).empty());
  EXPECT_TRUE(LongAway::has_all(lab));
  // It knows what is there and what is not.
  std::vector<DirEntry> entries;
  lab.world().storage(host_of(kAway)).disk().list(DirId{0}, "", &entries);
  for (const DirEntry& e : entries)
    EXPECT_FALSE(e.name.starts_with("before-") && !e.name.ends_with("-delete")) << e.name;
  client::ProducerOpen open;
  open.client = 1;
  answer<client::Done>(lab, lab.ask(0, "producer.open", open));
  for (int32_t partition = 0; partition < 4; ++partition) {
    client::Produce p;
    p.client = 1;
    p.topic = "after-3-0";
    p.partition = partition;
    p.records.emplace_back().value = Slice::copy("x");
    EXPECT_EQ(answer<client::Produced>(lab, lab.ask(0, "produce", p)).offset, 0);
  }
  EXPECT_TRUE(lab.verdicts().empty()) << lab.verdicts().list()[0].text;
}

struct Installing : LongAway {
  static constexpr Duration kEnough = seconds(2);
  static uint64_t operations(Lab& lab) { return lab.world().storage(host_of(kAway)).submitted(); }

  Installing() {
    Lab whole = lab;
    first = operations(whole) + 1;
    whole.start(kAway);
    whole.run_for(kEnough);
    EXPECT_TRUE(has_all(whole));
    last = operations(whole);
    EXPECT_GT(last, first + 30);
  }
  void lives_again(Lab& it) const {
    it.start(kAway);
    it.run_for(kEnough);
    ASSERT_TRUE(it.is_up(kAway));
    EXPECT_TRUE(has_all(it));
    EXPECT_GT(segments(it, kAway).front(), end) << "a hole lies in its log";
  }

  uint64_t first, last;  // operations on its disk
};

// Its process dies after each operation on its disk.
TEST(Lab, a_node_that_dies_while_it_installs_a_snapshot_does_it_in_its_next_life) {
  const Installing installing;
  for (uint64_t k = installing.first; k <= installing.last; ++k)
    for (const bool power : {false, true}) {
      SCOPED_TRACE(k - installing.first);
      Lab lab = installing.lab;
      lab.start(kAway);
      for (int i = 0; i < 20'000 && Installing::operations(lab) < k; ++i) lab.run_for(microseconds(100));
      power ? lab.lose_power(kAway) : lab.kill(kAway);
      installing.lives_again(lab);
      EXPECT_TRUE(lab.verdicts().empty()) << lab.verdicts().list()[0].text;
    }
}

// Each operation on its disk fails once, and then its power: whatever is left, the next life goes on.
TEST(Lab, a_node_whose_disk_fails_while_it_installs_a_snapshot_does_it_in_its_next_life) {
  const Installing installing;
  int ended = 0;
  for (uint64_t k = installing.first; k <= installing.last; ++k) {
    SCOPED_TRACE(k - installing.first);
    Lab lab = installing.lab;
    lab.world().storage(host_of(kAway)).model().fail_operation = k;
    lab.start(kAway);
    lab.run_for(Installing::kEnough);
    ended += !lab.is_up(kAway);
    lab.lose_power(kAway);
    installing.lives_again(lab);
    for (const auto& v : lab.verdicts().list()) EXPECT_EQ(v.rule, "exit") << v.text;
  }
  EXPECT_GT(ended, 10);
}

TEST(Lab, a_node_ends_over_a_damaged_snapshot) {
  Lab lab({.seed = 14, .config = {{"metadata.log.max.record.bytes.between.snapshots", "1000"}}});
  lab.run_for(seconds(2));
  ASSERT_FALSE(snapshots(lab, 2).empty());
  lab.kill(2);
  Disk& disk = lab.world().storage(host_of(2)).disk();
  Inode file = 0;
  ASSERT_EQ(disk.find_file(DirId{0}, "__cluster_metadata-0/" + snapshots(lab, 2).back(), &file), IoError::none);
  const uint8_t wrong[] = {0xff, 0xff};
  ASSERT_EQ(disk.write(file, disk.size(file) / 2, wrong), IoError::none);
  lab.start(2);
  lab.run_for(seconds(2));
  EXPECT_FALSE(lab.is_up(2));
  ASSERT_EQ(lab.verdicts().list().size(), 1u);
  EXPECT_EQ(lab.verdicts().list()[0].rule, "exit");
}

TEST(Lab, fork_costs_less_than_what_led_there_and_is_independent) {
  Lab lab({.seed = 9});
  const std::clock_t begun = std::clock();
  lab.run_for(seconds(2));
  const std::clock_t there = std::clock();
  Lab fork = lab;
  EXPECT_LT(std::clock() - there, there - begun);
  fork.kill(1);
  lab.run_for(seconds(1)), fork.run_for(seconds(1));
  EXPECT_TRUE(lab.is_up(1));
  EXPECT_FALSE(fork.is_up(1));
  EXPECT_NE(lab.digest(), fork.digest());
}

}  // namespace
}  // namespace klamm::sim
