#include <gtest/gtest.h>

#include "engine/protocol/batch_builder.h"
#include "engine/protocol/messages/describe_quorum.h"
#include "engine/protocol/messages/fetch.h"
#include "engine/protocol/messages/fetch_snapshot.h"
#include "engine/protocol/messages/vote.h"
#include "engine/protocol/records/control_records.h"
#include "tests/engine/quorum/quorum_world.h"

namespace klamm::quorum {
namespace {

template<class Request>
std::vector<Slice> encoded(int16_t version, const Request& request) {
  Writer w;
  protocol::encode(w, version, request);
  EXPECT_TRUE(w.ok());
  return w.finish();
}

// Asks node i, and decodes what it answers at once.
template<class Response, class Request>
Response ask(World& w, size_t i, Arena& arena, int16_t version, const Request& request) {
  Writer writer;
  protocol::encode(writer, version, request);
  const Slice body = writer.finish_contiguous();
  const Ticket t = w.ticket(Request::kApiKey, version);
  w.node(i).replies.clear();
  w.turn(i, [&](Quorum& q, Io& io, Out& out) { q.on_request(io, t, body.span(), out); });
  w.run_until([&] { return !w.node(i).replies.empty(); }, seconds(1));
  EXPECT_EQ(w.node(i).replies.size(), 1u);
  Writer joined;
  for (const Slice& s : w.node(i).replies.at(0).body) joined.raw(s.span());
  static std::vector<Slice> kept;  // the response's views point into it
  kept.push_back(joined.finish_contiguous());
  Response response;
  Reader reader(kept.back().span());
  EXPECT_TRUE(protocol::decode(reader, arena, version, response) && reader.finished());
  return response;
}

TEST(quorum, fresh_quorum_is_ready_within_milliseconds_and_commits) {
  World w({.voters = 3, .observers = 1});
  const Instant began = w.world().now;
  ASSERT_TRUE(w.run_until([&] { return w.active().has_value(); }));
  EXPECT_EQ(*w.active(), 0u);
  EXPECT_LT((w.world().now - began).ms(), 10);
  const Result<Offset> last = w.propose(0, "hello");
  ASSERT_TRUE(last);
  EXPECT_EQ(*last, 1);  // after the LeaderChange record
  const Instant asked = w.world().now;
  ASSERT_TRUE(w.run_until([&] { return w.quorum(0).committed() > *last; }));
  EXPECT_LT((w.world().now - asked).ms(), 5);
  // Followers and observers learn of it without waiting for their long poll.
  ASSERT_TRUE(w.run_until([&] {
    for (size_t i = 0; i < w.size(); ++i)
      if (w.node(i).values != std::vector<std::string>{"hello"}) return false;
    return true;
  }));
  EXPECT_LT((w.world().now - asked).ms(), 10);
}

TEST(quorum, quorum_state_file_is_kafkas) {
  World w({.voters = 3});
  ASSERT_TRUE(w.run_until([&] { return w.active().has_value(); }));
  w.run_for(milliseconds(100));
  const auto* content = w.node(1).disk.content("__cluster_metadata-0/quorum-state");
  ASSERT_TRUE(content);
  EXPECT_EQ(std::string(content->begin(), content->end()),
            R"({"clusterId":"","leaderId":1,"leaderEpoch":1,"votedId":1,"appliedOffset":0,)"
            R"("currentVoters":[{"voterId":1},{"voterId":2},{"voterId":3}],"data_version":0})");
}

TEST(quorum, reads_quorum_state_files) {
  const auto read = [](const char* text) { return decode_state_file(text); };
  const auto elected = read(R"({"clusterId":"","leaderId":2,"leaderEpoch":7,"votedId":-1,"appliedOffset":0,)"
                            R"("currentVoters":[{"voterId":1},{"voterId":2},{"voterId":3}],"data_version":0})");
  ASSERT_TRUE(elected);
  EXPECT_EQ(*elected, (raft::HardState{.epoch = 7, .leader = NodeId{2}}));
  const auto voted = read(R"({"leaderId":-1,"leaderEpoch":9,"votedId":3,"votedDirectoryId":"AAAAAAAAAAUAAAAAAAAABg",)"
                          R"("data_version":1})");
  ASSERT_TRUE(voted);
  EXPECT_EQ(voted->voted.id, NodeId{3});
  EXPECT_EQ(voted->voted.directory.text(), "AAAAAAAAAAUAAAAAAAAABg");
  EXPECT_TRUE(
      read(" { \"data_version\" : 1 , \"leaderEpoch\" : 3, \"more\" : [ { \"x\" : \"a\\\"b\" }, true, 1.5e3 ] } "));
  for (const char* bad : {"", "{", "{}", "[]", "{\"leaderEpoch\":1}", "{\"leaderEpoch\":1,\"data_version\":2}",
                          "{\"leaderEpoch\":-2,\"data_version\":0}", "{\"leaderEpoch\":99999999999,\"data_version\":0}",
                          "{\"leaderEpoch\":1,\"data_version\":0}x", "{\"leaderEpoch\":1,\"data_version\":0,\"x\":"})
    EXPECT_FALSE(read(bad)) << bad;
  std::string deep(100'000, '[');
  EXPECT_FALSE(decode_state_file("{\"x\":" + deep));
}

TEST(quorum, leader_change_is_the_first_record_of_an_epoch) {
  World w({.voters = 1});
  ASSERT_TRUE(w.run_until([&] { return w.active().has_value(); }));
  CommittedRead read;
  w.turn(0, [&](Quorum& q, Io& io, Out&) { read = q.read(io, 0); });
  const auto header = protocol::check_batch(read.batches.span());
  ASSERT_TRUE(header);
  EXPECT_TRUE(header->control());
  EXPECT_EQ(header->partition_leader_epoch, 1);
  const auto batch = protocol::OpenBatch::open(*header, read.batches.span(), 1000);
  protocol::RecordCursor records = batch->records();
  protocol::Record record;
  ASSERT_TRUE(records.next(record));
  EXPECT_EQ(protocol::control_type(record.key), 2);
  Arena arena;
  protocol::LeaderChangeMessage m;
  Reader reader(record.value.span());
  ASSERT_TRUE(protocol::decode(reader, arena, 0, m) && reader.finished());
  EXPECT_EQ(m.leader_id, 1);
  EXPECT_EQ(m.voters.size(), 1u);
  EXPECT_EQ(m.granting_voters[0].voter_id, 1);
}

TEST(quorum, answers_kafkas_errors) {
  World w({.voters = 3});
  ASSERT_TRUE(w.run_until([&] { return w.active().has_value(); }));
  w.run_for(milliseconds(50));
  Arena arena;
  const auto vote = [&](auto change) {
    protocol::VoteRequest r;
    r.cluster_id = "a-cluster";
    auto& topic = r.topics.add(arena);
    topic.topic_name = kMetadataTopic;
    auto& p = topic.partitions.add(arena);
    p.replica_epoch = 9;
    p.replica_id = 3;
    change(r, p);
    const auto response = ask<protocol::VoteResponse>(w, 1, arena, 2, r);
    if (response.error_code != 0) return ErrorCode{response.error_code};
    return ErrorCode{response.topics[0].partitions[0].error_code};
  };
  EXPECT_EQ(vote([](auto& r, auto&) { r.cluster_id = "another"; }), ErrorCode::inconsistent_cluster_id);
  EXPECT_EQ(vote([](auto& r, auto&) { r.topics[0].topic_name = "orders"; }), ErrorCode::invalid_request);
  EXPECT_EQ(vote([](auto&, auto& p) { p.replica_epoch = 0, p.last_offset_epoch = -1; }), ErrorCode::invalid_request);
  EXPECT_EQ(vote([](auto&, auto& p) { p.replica_epoch = 9, p.last_offset_epoch = 9; }), ErrorCode::invalid_request);
  EXPECT_EQ(vote([](auto&, auto& p) { p.replica_id = -1; }), ErrorCode::invalid_request);
  EXPECT_EQ(vote([](auto&, auto& p) { p.replica_id = 17; }), ErrorCode::none);  // and no vote
  const auto fetch = [&](size_t node, auto change) {
    protocol::FetchRequest r;
    auto& topic = r.topics.add(arena);
    topic.topic_id = kMetadataTopicId;
    auto& p = topic.partitions.add(arena);
    p.current_leader_epoch = 1;
    p.last_fetched_epoch = 0;
    p.partition_max_bytes = 1000;
    change(r, p);
    const auto response = ask<protocol::FetchResponse>(w, node, arena, 17, r);
    if (response.error_code != 0) return std::pair{ErrorCode{response.error_code}, size_t{0}};
    const auto& answered = response.responses[0].partitions[0];
    return std::pair{ErrorCode{answered.error_code}, answered.records.size};
  };
  EXPECT_EQ(fetch(0, [](auto& r, auto&) { r.cluster_id = "x"; }).first, ErrorCode::inconsistent_cluster_id);
  EXPECT_EQ(fetch(0, [](auto& r, auto&) { r.topics[0].topic_id = Uuid{}; }).first, ErrorCode::invalid_request);
  EXPECT_EQ(fetch(0, [](auto&, auto& p) { p.last_fetched_epoch = -1; }).first, ErrorCode::invalid_request);
  EXPECT_EQ(fetch(0, [](auto&, auto& p) { p.current_leader_epoch = 0; }).first, ErrorCode::fenced_leader_epoch);
  EXPECT_EQ(fetch(0, [](auto&, auto& p) { p.current_leader_epoch = 5; }).first, ErrorCode::unknown_leader_epoch);
  EXPECT_EQ(fetch(1, [](auto&, auto&) {}).first, ErrorCode::not_leader_or_follower);
  EXPECT_GT(fetch(0, [](auto&, auto&) {}).second, 61u);
  // Vote at last: an epoch that is newer but from a candidate with nothing in its log.
  EXPECT_EQ(vote([](auto&, auto& p) { p.replica_epoch = 0, p.last_offset_epoch = 0; }), ErrorCode::invalid_request);
}

// A snapshot of `batches` empty batches: enough for those who do not read it.
Slice make_snapshot(int batches) {
  Writer file;
  for (int i = 0; i < batches; ++i) {
    protocol::BatchBuilder batch({.base_offset = i, .leader_epoch = 1});
    batch.add_value(0, std::vector<uint8_t>(1000, 'x'));
    file.raw(batch.finish().span());
  }
  return file.finish_contiguous();
}

TEST(quorum, a_leader_serves_parts_of_snapshots) {
  World w({.voters = 3});
  ASSERT_TRUE(w.run_until([&] { return w.active() == std::optional<size_t>(0); }));
  ASSERT_TRUE(w.propose(0, "a"));
  w.run_for(milliseconds(50));
  const Slice file = make_snapshot(3);
  std::optional<metadata::SnapshotId> id;
  w.turn(0, [&](Quorum& q, Io& io, Out&) {
    id = q.next_snapshot(2);
    if (id) q.store_snapshot(io, *id, file);
  });
  ASSERT_TRUE(id);
  ASSERT_TRUE(w.run_until([&] { return w.quorum(0).snapshot().has_value(); }));
  Arena arena;
  const auto fetch = [&](size_t node, auto change) {
    protocol::FetchSnapshotRequest r;
    r.cluster_id = "a-cluster";
    r.replica_id = 3;
    auto& topic = r.topics.add(arena);
    topic.name = kMetadataTopic;
    auto& p = topic.partitions.add(arena);
    p.current_leader_epoch = 1;
    p.snapshot_id.end_offset = id->end;
    p.snapshot_id.epoch = id->epoch;
    change(r, p);
    return ask<protocol::FetchSnapshotResponse>(w, node, arena, 1, r);
  };
  const auto error = [&](size_t node, auto change) {
    const auto response = fetch(node, change);
    return ErrorCode{response.error_code != 0 ? response.error_code : response.topics[0].partitions[0].error_code};
  };
  EXPECT_EQ(error(0, [](auto& r, auto&) { r.cluster_id = "x"; }), ErrorCode::inconsistent_cluster_id);
  EXPECT_EQ(error(0, [](auto& r, auto&) { r.topics = {}; }), ErrorCode::invalid_request);
  EXPECT_EQ(error(0, [](auto& r, auto&) { r.topics[0].name = "orders"; }), ErrorCode::unknown_topic_or_partition);
  EXPECT_EQ(error(0, [](auto&, auto& p) { p.partition = 1; }), ErrorCode::unknown_topic_or_partition);
  EXPECT_EQ(error(0, [](auto&, auto& p) { p.current_leader_epoch = 0; }), ErrorCode::fenced_leader_epoch);
  EXPECT_EQ(error(0, [](auto&, auto& p) { p.current_leader_epoch = 2; }), ErrorCode::unknown_leader_epoch);
  EXPECT_EQ(error(1, [](auto&, auto&) {}), ErrorCode::not_leader_or_follower);
  EXPECT_EQ(error(0, [](auto&, auto& p) { ++p.snapshot_id.end_offset; }), ErrorCode::snapshot_not_found);
  EXPECT_EQ(error(0, [](auto&, auto& p) { ++p.snapshot_id.epoch; }), ErrorCode::snapshot_not_found);
  EXPECT_EQ(error(0, [](auto&, auto& p) { p.position = -1; }), ErrorCode::position_out_of_range);
  EXPECT_EQ(error(0, [&](auto&, auto& p) { p.position = static_cast<int64_t>(file.size()); }),
            ErrorCode::position_out_of_range);
  std::string whole;
  while (whole.size() < file.size()) {
    const auto response = fetch(0, [&](auto& r, auto& p) {
      r.max_bytes = 1000;
      p.position = static_cast<int64_t>(whole.size());
    });
    const auto& p = response.topics[0].partitions[0];
    ASSERT_EQ(p.error_code, 0);
    EXPECT_EQ(p.size, static_cast<int64_t>(file.size()));
    EXPECT_EQ(p.position, static_cast<int64_t>(whole.size()));
    EXPECT_EQ(p.current_leader.leader_id, 1);
    ASSERT_GT(p.unaligned_records.size, 0u);
    EXPECT_LE(p.unaligned_records.size, 1000u);
    whole += as_text(p.unaligned_records.span());
  }
  EXPECT_EQ(whole, as_text(file.span()));
}

TEST(quorum, garbage_closes_the_connection) {
  World w({.voters = 1});
  ASSERT_TRUE(w.run_until([&] { return w.active().has_value(); }));
  for (int16_t api : {kFetch, kVote, kBeginQuorumEpoch, kEndQuorumEpoch, kDescribeQuorum}) {
    const Slice junk = Slice::copy("\xff\xff\xff\x7f junk");
    w.node(0).replies.clear();
    w.turn(0, [&](Quorum& q, Io& io, Out& out) {
      q.on_request(io, w.ticket(api, api == kFetch ? 12 : 1), junk.span(), out);
    });
    ASSERT_EQ(w.node(0).replies.size(), 1u);
    EXPECT_TRUE(w.node(0).replies[0].close);
  }
}

TEST(quorum, describes_itself) {
  World w({.voters = 3, .observers = 1});
  ASSERT_TRUE(w.run_until([&] { return w.active().has_value(); }));
  w.run_for(milliseconds(200));
  Arena arena;
  protocol::DescribeQuorumRequest r;
  auto& topic = r.topics.add(arena);
  topic.topic_name = kMetadataTopic;
  topic.partitions.add(arena);
  for (int16_t version : {0, 1, 2}) {
    const auto d = ask<protocol::DescribeQuorumResponse>(w, 0, arena, version, r);
    const auto& p = d.topics[0].partitions[0];
    EXPECT_EQ(p.error_code, 0);
    EXPECT_EQ(p.leader_id, 1);
    EXPECT_EQ(p.high_watermark, 1);
    ASSERT_EQ(p.current_voters.size(), 3u);
    ASSERT_EQ(p.observers.size(), 1u);
    EXPECT_EQ(p.observers[0].replica_id, 4);
    for (const auto& v : p.current_voters) EXPECT_EQ(v.log_end_offset, 1);
    EXPECT_EQ(d.nodes.size(), version >= 2 ? 3u : 0u);
    const auto refused = ask<protocol::DescribeQuorumResponse>(w, 1, arena, version, r);
    EXPECT_EQ(ErrorCode{refused.topics[0].partitions[0].error_code}, ErrorCode::not_leader_or_follower);
  }
}

TEST(quorum, stopping_leader_hands_over) {
  World w({.voters = 3});
  ASSERT_TRUE(w.run_until([&] { return w.active().has_value(); }));
  w.run_for(milliseconds(50));
  const Instant asked = w.world().now;
  w.turn(0, [](Quorum& q, Io& io, Out& out) { q.resign(io, true, out); });
  ASSERT_TRUE(w.run_until([&] { return w.node(0).resigned && w.active() && *w.active() != 0; }));
  EXPECT_LT((w.world().now - asked).ms(), 50);
}

// A life of kills, losses of power and lost messages. What was committed is to stay, in one order, on all; says what is
// wrong otherwise.
std::string torment(uint64_t seed, const Flaws& flaws) {
  World w({.voters = 3, .observers = static_cast<int>(seed % 2), .seed = seed, .flaws = flaws});
  std::set<std::string> committed;  // seen by anybody
  const auto look = [&] {
    for (size_t i = 0; i < w.size(); ++i) committed.insert(w.node(i).values.begin(), w.node(i).values.end());
  };
  const auto boot_all = [&] {
    for (size_t k = 0; k < w.size(); ++k)
      if (!w.up(k)) w.boot(k);
  };
  int number = 0;
  for (int round = 0; round < 60; ++round) {
    look();
    const uint64_t what = w.below(8);
    if (what < 2)
      w.kill(w.below(w.size()), what == 1);
    else if (what > 2)
      boot_all();
    else
      for (size_t k = 0; k < w.size(); ++k) w.kill(k, true);
    for (int k = 0; k < 5; ++k) {
      if (const auto a = w.active()) (void)w.propose(*a, "value-" + std::to_string(++number));
      w.run_for(milliseconds(static_cast<int64_t>(1 + w.below(round % 6 == 0 ? 1500 : 30))));
    }
    for (size_t k = 0; k < w.size(); ++k)
      if (!w.node(k).fatal.empty()) return w.node(k).fatal;
  }
  look();
  w.calm();
  boot_all();
  if (!w.run_until([&] { return w.active().has_value(); })) return "no leader";
  if (!w.propose(*w.active(), "last")) return "the leader refuses";
  const auto all_have = [&] {
    for (size_t k = 0; k < w.size(); ++k)
      if (!w.up(k) || w.node(k).values.empty() || w.node(k).values.back() != "last") return false;
    return true;
  };
  if (!w.run_until(all_have)) return "not all have the last record";
  for (size_t k = 1; k < w.size(); ++k)
    if (w.node(k).values != w.node(0).values) return "nodes differ";
  const std::set<std::string> kept(w.node(0).values.begin(), w.node(0).values.end());
  for (const std::string& v : committed)
    if (!kept.count(v)) return "lost " + v;
  if (kept.size() != w.node(0).values.size()) return "a record is there twice";
  return kept.size() > 5 ? "" : "hardly anything was committed";
}

TEST(quorum, committed_records_survive) {
  for (uint64_t seed = 1; seed <= 40; ++seed) ASSERT_EQ(torment(seed, {}), "") << "seed " << seed;
}

TEST(quorum, without_flush_committed_records_are_lost) {
  int lost = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) lost += torment(seed, {.raft_no_flush = true}).empty() ? 0 : 1;
  EXPECT_GT(lost, 5);
}

TEST(quorum, full_restart_finds_its_leader_fast) {
  World w({.voters = 3});
  ASSERT_TRUE(w.run_until([&] { return w.active().has_value(); }));
  ASSERT_TRUE(w.propose(0, "kept"));
  w.run_for(milliseconds(100));
  for (size_t k = 0; k < 3; ++k) w.kill(k, true);
  const Instant began = w.world().now;
  for (size_t k = 0; k < 3; ++k) w.boot(k);
  ASSERT_TRUE(
      w.run_until([&] { return w.active() && w.node(*w.active()).values == std::vector<std::string>{"kept"}; }));
  EXPECT_LT((w.world().now - began).ms(), 100);
  EXPECT_EQ(w.quorum(*w.active()).leadership().epoch, 2);
}

// What a restart left of the log is not in memory: cutting it means reading it back. If the leader dies meanwhile, the
// node may be the best one left; but a log that is not there cannot begin an epoch.
TEST(quorum, a_node_that_reads_its_log_back_after_a_cut_wins_no_election) {
  World w({.voters = 3});
  ASSERT_TRUE(w.run_until([&] { return w.active() == std::optional<size_t>(0); }));
  ASSERT_TRUE(w.propose(0, "kept"));
  w.run_for(milliseconds(50));
  w.kill(1, false), w.kill(2, false);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(w.propose(0, "nobody else has this"));
  w.run_for(milliseconds(20));
  w.kill(0, false);
  w.boot(1), w.boot(2);
  const auto leads = [&](size_t i) {
    return w.up(i) && w.quorum(i).leadership().leader == NodeId{static_cast<int32_t>(i) + 1};
  };
  ASSERT_TRUE(w.run_until([&] { return leads(1) || leads(2); }));
  const size_t leader = leads(1) ? 1 : 2, other = 3 - leader;
  w.kill(other, false);  // before it has a record of the new epoch
  w.boot(0);
  ASSERT_TRUE(w.run_until([&] { return w.quorum(0).started(); }));
  w.node(0).reads_stall = true;
  w.run_for(milliseconds(1500));  // the leader tells who it is, and where the logs part
  ASSERT_FALSE(w.node(0).stalled.empty());
  w.kill(leader, false);
  w.boot(other);
  w.run_for(seconds(10));
  EXPECT_FALSE(leads(0));
  w.node(0).reads_stall = false;
  w.release(0);
  ASSERT_TRUE(w.run_until([&] { return w.active().has_value(); }));
  ASSERT_TRUE(w.propose(*w.active(), "last"));
  ASSERT_TRUE(w.run_until([&] { return w.node(0).values == std::vector<std::string>{"kept", "last"}; }));
  EXPECT_EQ(w.node(0).fatal, "");
}

TEST(quorum, damaged_state_file_is_fatal) {
  World w({.voters = 1});
  w.run_for(milliseconds(10));
  w.kill(0, false);
  w.node(0).disk.set_content("__cluster_metadata-0/quorum-state", {'{', 'x'});
  w.boot(0);
  w.run_for(milliseconds(10));
  EXPECT_NE(w.node(0).fatal, "");
}

// Whoever most voters call a stranger is one, and must end; one voter that says so of all others is one itself.
TEST(quorum, a_node_of_another_cluster_is_told_so) {
  for (int stranger : {2, 3}) {
    World w({.voters = 3, .observers = 1, .stranger = stranger});
    w.run_until([] { return false; }, seconds(10));
    EXPECT_TRUE(w.active().has_value());
    for (int i = 0; i < 4; ++i) EXPECT_EQ(w.node(i).foreign, i == stranger) << i;
  }
}

}  // namespace
}  // namespace klamm::quorum
