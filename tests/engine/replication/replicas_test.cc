#include <algorithm>

#include "engine/protocol/messages/alter_partition.h"
#include "engine/protocol/messages/fetch.h"
#include "tests/engine/replication/replicas_world.h"
#include "tests/support/heard.h"

namespace klamm::replication {
namespace {

const NodeId kSelf = n(1);

struct Home : ReplicasWorld {
  Home() : ReplicasWorld(config(), {{n(1), {10, true}}, {n(2), {20, true}}, {n(3), {30, true}}}) {}
  static ReplicasConfig config() {
    ReplicasConfig c;
    c.common.self = kSelf;
    c.module = 3;
    return c;
  }
  void assign(const TopicIdPartition& id, int32_t leader, LeaderEpoch epoch, int32_t partition_epoch,
              std::vector<NodeId> isr = ns({1, 2, 3})) {
    Replicas::Wanted w;
    w.id = id;
    w.topic = "t";
    w.assignment = {epoch, partition_epoch, n(leader), ns({1, 2, 3}), std::move(isr)};
    turn([&](Io& io) { replicas.assign(io, w, out); });
  }
  void append(const TopicIdPartition& id) {
    turn([&](Io& io) { ASSERT_TRUE(replicas.append(io.ctx, id, make_batch(1, "v")).has_value()); });
  }

  // ---- the fetcher
  struct Asked {
    ToBroker call;
    std::vector<std::pair<TopicIdPartition, Offset>> partitions;
  };
  std::vector<Asked> fetches() {
    std::vector<Asked> all;
    for (ToBroker& c : std::exchange(out.calls, {})) {
      Asked a;
      Writer w;
      for (const Slice& s : c.body) w.attach(s);
      const Slice body = w.finish_contiguous();
      protocol::FetchRequest m;
      Reader reader(body.span());
      EXPECT_TRUE(decode(reader, world.ctx().arena(), c.version, m));
      for (const auto& t : m.topics)
        for (const auto& p : t.partitions) a.partitions.push_back({{t.topic_id, p.partition}, p.fetch_offset});
      a.call = std::move(c);
      all.push_back(std::move(a));
    }
    return all;
  }
  // The logs have opened one by one: of the fetches to one leader the last asks for all, and the others end.
  Asked standing() {
    std::vector<Asked> all = fetches();
    Asked last = std::move(all.back());
    all.pop_back();
    for (const Asked& a : all) answer_fetch(a, {});
    EXPECT_TRUE(out.calls.empty());
    return last;
  }
  struct Told {
    TopicIdPartition id;
    ErrorCode error = ErrorCode::none;
    Offset high_watermark = 0;
    Slice records;
    Offset log_start = 0;
    std::optional<OffsetAndEpoch> diverging;
  };
  void answer_fetch(const Asked& a, const std::vector<Told>& told, IoError error = IoError::none) {
    protocol::FetchResponse m;
    for (const Told& t : told) {
      auto& topic = m.responses.add(world.ctx().arena());
      topic.topic_id = t.id.topic;
      auto& x = topic.partitions.add(world.ctx().arena());
      x.partition_index = t.id.partition;
      x.error_code = static_cast<int16_t>(t.error);
      x.high_watermark = t.high_watermark;
      x.log_start_offset = t.log_start;
      if (t.diverging) x.diverging_epoch.end_offset = t.diverging->offset, x.diverging_epoch.epoch = t.diverging->epoch;
      x.records = t.records.empty() ? protocol::Records::empty() : protocol::Records::of(t.records.span());
    }
    Writer w;
    encode(w, a.call.version, m);
    const Slice body = error == IoError::none ? w.finish_contiguous() : Slice();
    turn([&](Io& io) { replicas.on_answer(io, a.call.owner, error, body, a.call.version, out); });
  }
  // ---- AlterPartition
  std::optional<protocol::AlterPartitionRequest> altered() {
    if (out.alter.empty()) return std::nullopt;
    Writer w;
    for (const Slice& s : std::exchange(out.alter, {})) w.attach(s);
    alter_body = w.finish_contiguous();
    protocol::AlterPartitionRequest m;
    Reader reader(alter_body.span());
    EXPECT_TRUE(decode(reader, world.ctx().arena(), 3, m));
    return m;
  }
  void answer_alter(ErrorCode error, const TopicIdPartition& id, const Assignment& now) {
    protocol::AlterPartitionResponse m;
    auto& t = m.topics.add(world.ctx().arena());
    t.topic_id = id.topic;
    auto& x = t.partitions.add(world.ctx().arena());
    x.partition_index = id.partition;
    x.error_code = static_cast<int16_t>(error);
    x.leader_id = now.leader.value, x.leader_epoch = now.leader_epoch, x.partition_epoch = now.partition_epoch;
    for (NodeId r : now.isr) x.isr.push_back(world.ctx().arena(), r.value);
    Writer w;
    encode(w, 3, m);
    const Slice body = w.finish_contiguous();
    turn([&](Io& io) { replicas.on_alter_answer(io, IoError::none, body, out); });
  }
  void note_fetch(const TopicIdPartition& id, int32_t follower, Offset at) {
    turn([&](Io& io) {
      ASSERT_TRUE(replicas.note_fetch(io.ctx, id, {n(follower), follower * 10, at, 0, 0}, out).has_value());
    });
  }
  Slice alter_body;
};

protocol::BatchBuilder::Options at(Offset base) {
  protocol::BatchBuilder::Options o;
  o.base_offset = base;
  o.leader_epoch = 0;
  return o;
}
Slice batch_at(Offset base) {
  protocol::BatchBuilder b(at(base));
  b.add_value(1, as_bytes("x"));
  return b.finish();
}

TEST(Replicas, one_fetch_a_leader_for_all_that_follow_it) {
  Home h;
  h.assign(h.tp(0), 2, 0, 0), h.assign(h.tp(1), 2, 0, 0), h.assign(h.tp(2), 3, 0, 0);
  EXPECT_FALSE(h.replicas.all_open());
  h.out.calls.clear();
  h.settle();
  EXPECT_TRUE(h.replicas.all_open());
  std::map<NodeId, size_t> asked;
  for (const auto& f : h.fetches()) {
    asked[f.call.to] = f.partitions.size();
    h.answer_fetch(f, {});
  }
  EXPECT_EQ(asked, (std::map<NodeId, size_t>{{n(2), 2}, {n(3), 1}}));
  const auto again = h.fetches();
  ASSERT_EQ(again.size(), 2u);
  EXPECT_EQ(again[0].call.to, n(2));
  EXPECT_EQ(again[0].partitions.size(), 2u);
}

TEST(Replicas, what_is_fetched_is_appended_and_the_next_fetch_acknowledges_it) {
  Home h;
  h.assign(h.tp(0), 2, 0, 0);
  h.settle();
  auto f = h.fetches();
  ASSERT_EQ(f.size(), 1u);
  h.answer_fetch(f[0], {{h.tp(0), ErrorCode::none, 1, batch_at(0)}});
  EXPECT_TRUE(h.fetches().empty());  // not before it is written
  h.settle();
  f = h.fetches();
  ASSERT_EQ(f.size(), 1u);
  EXPECT_EQ(f[0].partitions[0].second, 1);
  EXPECT_EQ(h.replicas.find(h.tp(0))->high_watermark(), 1);
}

TEST(Replicas, a_partition_that_errs_waits_and_the_others_go_on) {
  Home h;
  h.assign(h.tp(0), 2, 0, 0), h.assign(h.tp(1), 2, 0, 0);
  h.settle();
  const auto all = h.standing();
  ASSERT_EQ(all.partitions.size(), 2u);
  h.answer_fetch(all, {{h.tp(0), ErrorCode::unknown_topic_id}, {h.tp(1)}});
  auto f = h.fetches();
  ASSERT_EQ(f.size(), 1u);
  ASSERT_EQ(f[0].partitions.size(), 1u);
  EXPECT_EQ(f[0].partitions[0].first, h.tp(1));
  h.answer_fetch(f[0], {{h.tp(1)}});
  EXPECT_EQ(h.fetches().at(0).partitions.size(), 1u);
}

TEST(Replicas, a_partition_that_the_standing_fetch_lacks_is_asked_for_at_once) {
  for (const bool first_answered_first : {true, false}) {
    Home h;
    h.assign(h.tp(0), 2, 0, 0), h.assign(h.tp(1), 3, 0, 0), h.assign(h.tp(2), 3, 0, 0);
    h.settle();
    auto to_two = [&] {
      auto f = h.fetches();
      std::erase_if(f, [](const auto& a) { return a.call.to != n(2); });
      return f;
    };
    const auto standing = to_two();
    ASSERT_EQ(standing.size(), 1u);
    h.assign(h.tp(1), 2, 1, 1);  // its leader died
    auto second = to_two();
    ASSERT_EQ(second.size(), 1u);
    EXPECT_EQ(second[0].partitions.size(), 2u);
    EXPECT_NE(second[0].call.lane, standing[0].call.lane);
    h.assign(h.tp(2), 2, 1, 1);
    EXPECT_TRUE(to_two().empty());  // both lanes are taken
    // Whichever the leader answers, the newest is asked for again and all are followed.
    h.answer_fetch(first_answered_first ? standing[0] : second[0], {});
    const auto third = to_two();
    ASSERT_EQ(third.size(), 1u);
    EXPECT_EQ(third[0].partitions.size(), 3u);
    h.answer_fetch(first_answered_first ? second[0] : standing[0], {});
    EXPECT_TRUE(to_two().empty());  // nothing is missing
    h.answer_fetch(third[0], {{h.tp(1), ErrorCode::none, 0, batch_at(0)}});
    h.settle();
    const auto fourth = to_two();
    ASSERT_EQ(fourth.size(), 1u);
    EXPECT_EQ(fourth[0].partitions[1].second, 1);
  }
}

TEST(Replicas, records_that_come_twice_are_appended_once) {
  Home h;
  h.assign(h.tp(0), 2, 0, 0), h.assign(h.tp(1), 3, 0, 0);
  h.settle();
  const auto standing = h.fetches();
  h.assign(h.tp(1), 2, 1, 1);
  const auto second = h.fetches();
  h.answer_fetch(standing.at(0), {{h.tp(0), ErrorCode::none, 0, batch_at(0)}});
  h.answer_fetch(second.at(0), {{h.tp(0), ErrorCode::none, 0, batch_at(0)}, {h.tp(1)}});
  h.settle();
  EXPECT_EQ(h.replicas.find(h.tp(0))->log().ends().submitted, 1);
  EXPECT_EQ(h.fetches().size(), 1u);
}

TEST(Replicas, a_partition_that_erred_does_not_wait_for_the_standing_fetch) {
  Home h;
  h.assign(h.tp(0), 2, 0, 0), h.assign(h.tp(1), 2, 0, 0);
  h.settle();
  const std::vector<Home::Told> told = {{h.tp(0), ErrorCode::not_leader_or_follower}, {h.tp(1)}};
  h.answer_fetch(h.standing(), told);  // the leader has not heard yet that it leads
  const auto rest = h.fetches();
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].partitions.size(), 1u);
  Duration before{};
  for (int i = 0; i < 12; ++i) {
    const Duration wait = h.replicas.next_deadline() - h.world.now;
    EXPECT_GE(wait, before);
    before = wait;
    h.pass(wait);
    const auto f = h.fetches();
    ASSERT_EQ(f.size(), 1u);
    EXPECT_EQ(f[0].partitions.size(), 2u);
    h.answer_fetch(f[0], told);
    EXPECT_TRUE(h.fetches().empty());
  }
  EXPECT_EQ(before, seconds(1));
}

TEST(Replicas, a_lost_fetch_is_repeated_after_a_while) {
  Home h;
  h.assign(h.tp(0), 2, 0, 0);
  h.settle();
  h.answer_fetch(h.fetches().at(0), {}, IoError::timed_out);
  EXPECT_TRUE(h.fetches().empty());
  EXPECT_EQ(h.replicas.next_deadline(), h.world.now + milliseconds(50));
  h.pass(milliseconds(50));
  EXPECT_EQ(h.fetches().size(), 1u);
}

TEST(Replicas, a_slow_write_holds_the_others_only_for_a_while) {
  Home h;
  h.assign(h.tp(0), 2, 0, 0), h.assign(h.tp(1), 2, 0, 0);
  h.settle();
  h.answer_fetch(h.standing(), {{h.tp(0), ErrorCode::none, 0, batch_at(0)}, {h.tp(1)}});
  EXPECT_TRUE(h.fetches().empty());
  EXPECT_LE(h.replicas.next_deadline(), h.world.now + milliseconds(100));
  h.pass(milliseconds(100));
  const auto f = h.fetches();
  ASSERT_EQ(f.size(), 1u);
  ASSERT_EQ(f[0].partitions.size(), 1u);
  EXPECT_EQ(f[0].partitions[0].first, h.tp(1));
}

TEST(Replicas, a_reply_that_comes_after_a_new_leader_is_not_appended) {
  Home h;
  h.assign(h.tp(0), 2, 0, 0);
  h.settle();
  const auto old = h.fetches();
  h.assign(h.tp(0), 3, 1, 1);
  const auto fresh = h.fetches();
  ASSERT_EQ(fresh.size(), 1u);
  EXPECT_EQ(fresh[0].call.to, n(3));
  h.answer_fetch(old.at(0), {{h.tp(0), ErrorCode::none, 1, batch_at(0)}});
  EXPECT_EQ(h.replicas.find(h.tp(0))->log().ends().submitted, 0);
}

TEST(Replicas, a_follower_behind_the_leaders_start_begins_anew) {
  Home h;
  h.assign(h.tp(0), 2, 0, 0);
  h.settle();
  h.answer_fetch(h.fetches().at(0), {{h.tp(0), ErrorCode::offset_out_of_range, -1, {}, 40}});
  h.settle();
  h.pass(milliseconds(50));
  EXPECT_EQ(h.fetches().at(0).partitions[0].second, 40);
}

TEST(Replicas, proposals_name_broker_epochs_and_say_that_the_leader_has_recovered) {
  Home h;
  h.assign(h.tp(0), 1, 0, 0, ns({1}));
  h.settle();
  h.note_fetch(h.tp(0), 2, 0);
  const auto m = h.altered();
  ASSERT_TRUE(m.has_value());
  EXPECT_EQ(m->broker_epoch, 10);
  const auto& x = m->topics[0].partitions[0];
  EXPECT_EQ(x.leader_recovery_state, 0);
  ASSERT_EQ(x.new_isr_with_epochs.size(), 2u);
  EXPECT_EQ(x.new_isr_with_epochs[0].broker_epoch, 10);
  EXPECT_EQ(x.new_isr_with_epochs[1].broker_epoch, 20);
}

TEST(Replicas, one_alter_request_at_a_time_and_the_next_at_once_if_all_went_well) {
  Home h;
  h.assign(h.tp(0), 1, 0, 0, ns({1})), h.assign(h.tp(1), 1, 0, 0, ns({1}));
  h.settle();
  h.note_fetch(h.tp(0), 2, 0);
  ASSERT_TRUE(h.altered().has_value());
  h.note_fetch(h.tp(1), 2, 0);
  EXPECT_FALSE(h.altered().has_value());
  h.answer_alter(ErrorCode::none, h.tp(0), {0, 1, n(1), {}, ns({1, 2})});
  EXPECT_EQ(h.replicas.find(h.tp(0))->assignment().isr, ns({1, 2}));
  const auto next = h.altered();
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(next->topics[0].partitions[0].partition_index, 1);
}

TEST(Replicas, a_lost_alter_request_is_repeated) {
  Home h;
  h.assign(h.tp(0), 1, 0, 0, ns({1}));
  h.settle();
  h.note_fetch(h.tp(0), 2, 0);
  ASSERT_TRUE(h.altered().has_value());
  h.turn([&](Io& io) { h.replicas.on_alter_answer(io, IoError::timed_out, {}, h.out); });
  EXPECT_FALSE(h.altered().has_value());
  h.pass(milliseconds(50));
  EXPECT_TRUE(h.altered().has_value());
}

TEST(Replicas, lagging_members_are_found_by_the_clock) {
  Home h;
  h.assign(h.tp(0), 1, 0, 0, ns({1, 2}));
  h.settle();
  h.append(h.tp(0));
  h.settle();
  for (int i = 0; i < 2; ++i) {
    EXPECT_LE(h.replicas.next_deadline(), h.world.now + seconds(15));
    h.pass(seconds(15));
    EXPECT_FALSE(h.altered().has_value());
  }
  h.pass(seconds(15));
  EXPECT_TRUE(h.altered().has_value());
}

TEST(Replicas, close_all_waits_for_logs_that_are_still_opening) {
  Home h;
  h.assign(h.tp(0), 1, 0, 0, ns({1}));
  h.settle();
  h.append(h.tp(0));
  h.settle();
  h.assign(h.tp(1), 1, 0, 0, ns({1}));  // its directory is not listed yet
  h.turn([&](Io& io) { h.replicas.close_all(io); });
  EXPECT_FALSE(h.replicas.all_closed());
  h.assign(h.tp(2), 1, 0, 0, ns({1}));  // too late
  EXPECT_EQ(h.replicas.find(h.tp(2)), nullptr);
  h.settle();
  EXPECT_TRUE(h.replicas.all_closed());
  EXPECT_EQ(h.replicas.find(h.tp(0))->log().recovery_point(), 1);
}

TEST(Replicas, a_log_without_files_is_closed_at_once) {
  Home h;
  h.assign(h.tp(0), 1, 0, 0, ns({1}));
  h.settle();
  h.turn([&](Io& io) { h.replicas.close_all(io); });
  EXPECT_TRUE(h.replicas.all_closed());
}

TEST(Replicas, a_partition_that_goes_while_it_closes_is_not_waited_for) {
  Home h;
  h.assign(h.tp(0), 1, 0, 0, ns({1}));
  h.settle();
  h.append(h.tp(0));
  h.settle();
  h.turn([&](Io& io) { h.replicas.close_all(io); });
  h.turn([&](Io& io) { h.replicas.remove(io, h.tp(0)); });
  h.settle();
  EXPECT_TRUE(h.replicas.all_closed());
}

// The directory of a deleted topic may still be there when a topic of the same name comes.
TEST(Replicas, a_topic_of_the_same_name_waits_for_the_old_directory_to_go) {
  for (uint64_t order = 0; order < 8; ++order) {
    Home h;
    h.assign(h.tp(0, 7), 1, 0, 0, ns({1}));
    h.settle();
    h.append(h.tp(0, 7));
    h.settle();
    h.turn([&](Io& io) { h.replicas.remove(io, h.tp(0, 7)); });
    h.assign(h.tp(0, 8), 1, 0, 0, ns({1}));
    for (uint64_t i = 0; h.step(order >> (i % 3)) || h.write_checkpoint(); ++i) {
    }
    ASSERT_TRUE(h.replicas.all_open());
    const Partition* p = h.replicas.find(h.tp(0, 8));
    EXPECT_EQ(p->role(), Role::leader);
    h.append(h.tp(0, 8));
    h.settle();
    EXPECT_EQ(h.disk.names(""), std::vector<std::string>{"t-0"});
    EXPECT_TRUE(h.out.failed_dirs.empty());
  }
}

// A line of a checkpoint names a partition, not a topic's id: where the deleted one's log started would be believed of
// the new one after a crash.
TEST(Replicas, a_topic_of_the_same_name_waits_until_no_checkpoint_tells_of_the_old_one) {
  Home h;
  const auto settle = [&h] {
    while (h.step()) {
    }
  };
  h.assign(h.tp(0, 7), 1, 0, 0, ns({1}));
  h.settle();
  h.append(h.tp(0, 7));
  settle();
  h.replicas.want_checkpoint();
  h.pass(Duration{});  // it has been told of in a checkpoint that is not yet written
  h.turn([&](Io& io) { h.replicas.remove(io, h.tp(0, 7)); });
  h.assign(h.tp(0, 8), 1, 0, 0, ns({1}));
  settle();
  EXPECT_FALSE(h.replicas.all_open());
  h.replicas.checkpoint_begun(true);
  h.turn([&](Io& io) { h.replicas.checkpoint_file_ended(io, true, true); });
  settle();
  EXPECT_FALSE(h.replicas.all_open());
  h.out.checkpoints.reset();
  h.pass(Duration{});
  ASSERT_TRUE(h.out.checkpoints.has_value());
  EXPECT_EQ(log::parse_offset_checkpoint(h.out.checkpoints->at(DirId{}).recovery_points.file())->at({"t", 0}), 0);
  h.replicas.checkpoint_begun(true);
  h.turn([&](Io& io) { h.replicas.checkpoint_file_ended(io, true, false); });
  h.turn([&](Io& io) { h.replicas.checkpoint_file_ended(io, false, false); });
  h.turn([&](Io& io) { h.replicas.checkpoint_file_ended(io, true, true); });
  settle();
  EXPECT_FALSE(h.replicas.all_open()) << "one of the files was not written";
  h.replicas.want_checkpoint();
  h.settle();
  EXPECT_TRUE(h.replicas.all_open());
}

TEST(Replicas, neither_does_one_that_was_deleted_in_a_former_life_lend_its_offsets) {
  Home h;
  h.assign(h.tp(0, 7), 1, 0, 0, ns({1}));
  h.settle();
  for (int i = 0; i < 5; ++i) h.append(h.tp(0, 7));
  h.settle();
  for (const bool there : {true, false}) {  // its directory
    Replicas::Wanted w;
    w.id = h.tp(0, there ? 8 : 9);
    w.topic = "t";
    w.assignment = {1, 0, n(1), ns({1}), ns({1})};
    w.place = {DirId{}, {5, 3, false, 0}, 5, !there};
    h.replicas = Replicas(Home::config());
    h.turn([&](Io& io) { h.replicas.assign(io, w, h.out); });
    while (h.step()) {
    }
    EXPECT_FALSE(h.replicas.all_open());
    h.settle();
    EXPECT_TRUE(h.replicas.all_open());
    if (there) {
      EXPECT_EQ(h.replicas.find(w.id)->log().ends(), (log::Ends{}));
      EXPECT_EQ(h.replicas.find(w.id)->high_watermark(), 0);
    }
  }
}

// More logs than are opened at once.
TEST(Replicas, a_partition_that_goes_before_its_log_is_opened_leaves_no_files) {
  Home h;
  constexpr int32_t kLogs = 200;
  for (int32_t i = 0; i < kLogs; ++i) {
    h.assign(h.tp(i), 1, 0, 0, ns({1}));
    h.settle();
    h.append(h.tp(i));
  }
  h.settle();
  h.disk.kill([](uint64_t) { return 0; });
  h.replicas = Replicas(Home::config());
  for (int32_t i = 0; i < kLogs; ++i) h.assign(h.tp(i), 1, 0, 0, ns({1}));
  h.turn([&](Io& io) { h.replicas.remove(io, h.tp(kLogs - 1)); });
  h.settle();
  EXPECT_EQ(h.disk.names("").size(), static_cast<size_t>(kLogs - 1));
  EXPECT_FALSE(h.disk.content("t-199/00000000000000000000.log"));
}

TEST(Replicas, a_topic_may_come_and_go_before_the_old_directory_has_gone) {
  Home h;
  h.assign(h.tp(0, 7), 1, 0, 0, ns({1}));
  h.settle();
  h.append(h.tp(0, 7));
  h.settle();
  h.turn([&](Io& io) { h.replicas.remove(io, h.tp(0, 7)); });
  h.assign(h.tp(0, 8), 1, 0, 0, ns({1}));
  h.turn([&](Io& io) { h.replicas.remove(io, h.tp(0, 8)); });
  h.settle();
  EXPECT_TRUE(h.replicas.all_open());
  EXPECT_TRUE(h.disk.names("").empty());
  h.turn([&](Io& io) { h.replicas.close_all(io); });
  EXPECT_TRUE(h.replicas.all_closed());
}

TEST(Replicas, a_failed_disk_is_told_once_and_the_partition_answers_for_it) {
  Home h;
  h.assign(h.tp(0), 1, 0, 0, ns({1}));
  h.settle();
  h.append(h.tp(0));
  h.disk.fail_in(1);
  h.settle();
  EXPECT_EQ(h.out.failed_dirs.size(), 1u);
  EXPECT_EQ(h.replicas.find(h.tp(0))->role(), Role::offline);
}

using DroppedTold = Heard<TraceKind::log_tail_dropped, TraceKind::log_tails_dropped>;

TEST(Replicas, what_recovery_has_dropped_is_told_and_that_of_many_logs_as_a_sum) {
  Home h;
  DroppedTold told;
  h.trace = &told;
  Uuid topic;
  topic.bytes[0] = 7, topic.bytes[15] = 9;
  const std::string owner = log::encode_partition_metadata(topic);
  for (int i = 0; i < 25; ++i) {
    const std::string at = log::partition_dir("t", i) + "/";
    h.disk.set_content(at + log::kPartitionMetadataFile, {owner.begin(), owner.end()});
    h.disk.set_content(at + "00000000000000000000.log", FakeStorage::Content(i == 3 ? 0 : 100, 'x'));
  }
  for (int i = 0; i < 25; ++i) h.assign({topic, i}, 1, 1, 1);
  h.settle();
  ASSERT_EQ(told.seen.size(), 21u);
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(told.seen[i].kind, TraceKind::log_tail_dropped);
    EXPECT_NE(told.seen[i].a, 3);
    EXPECT_EQ(topic_of_keys(told.seen[i].b, told.seen[i].c), topic);
    EXPECT_EQ(told.seen[i].d, 100);
  }
  EXPECT_EQ(told.seen[20].kind, TraceKind::log_tails_dropped);
  EXPECT_EQ(told.seen[20].a, 4);
  EXPECT_EQ(told.seen[20].c, 400);
}

// Its own lies in another directory, unread as yet.
TEST(Replicas, a_partition_that_goes_while_strays_of_its_name_are_moved_leaves_nothing) {
  const TopicIdPartition id = ReplicasWorld::tp(0);
  const std::string own = log::encode_partition_metadata(id.topic), other = log::encode_partition_metadata(Uuid{{5}});
  for (uint64_t steps = 0; steps < 12; ++steps) {
    Home x;
    x.disk.set_content("t-0/partition.metadata", {own.begin(), own.end()});
    x.disk.set_content("@1/t-0/partition.metadata", {other.begin(), other.end()});
    Replicas::Wanted w;
    w.id = id;
    w.topic = "t";
    w.assignment = {1, 1, kSelf, ns({1, 2, 3}), ns({1, 2, 3})};
    w.strays = {DirId{1}};
    x.turn([&](Io& io) { x.replicas.assign(io, w, x.out); });
    for (uint64_t i = 0; i < steps; ++i) x.step();
    x.turn([&](Io& io) { x.replicas.remove(io, id); });
    x.settle();
    EXPECT_TRUE(x.replicas.all_closed());
    EXPECT_EQ(x.disk.names(""), (std::vector<std::string>{"@1"})) << steps;
    ASSERT_EQ(x.disk.names("@1").size(), 1u) << steps;
    EXPECT_EQ(log::parse_partition_dir(x.disk.names("@1")[0])->kind, log::PartitionDirKind::stray) << steps;
  }
}

// A follower cuts its log deeper than memory reaches at the moment when files of its start are to go.
TEST(Replicas, files_put_away_go_though_their_log_is_opening_when_they_are_due) {
  Home h;
  const TopicIdPartition id = ReplicasWorld::tp(0);
  Replicas::Wanted w;
  w.id = id;
  w.topic = "t";
  w.assignment = {1, 1, kSelf, ns({1}), ns({1})};
  w.settings.log.segment_bytes = 300'000, w.settings.log.retention_bytes = 1'500'000;
  h.turn([&](Io& io) { h.replicas.assign(io, w, h.out); });
  h.settle();
  for (int i = 0; i < 40; ++i) {
    h.turn([&](Io& io) {
      ASSERT_TRUE(h.replicas.append(io.ctx, id, make_batch(1, std::string(100'000, 'v'))).has_value());
    });
    h.settle();
  }
  const auto put_away = [&] {
    const auto names = h.disk.names("t-0");
    return std::count_if(names.begin(), names.end(), [](const auto& name) { return name.ends_with(".deleted"); });
  };
  h.pass(seconds(30));
  h.settle();
  ASSERT_GT(put_away(), 0);
  const Offset start = h.replicas.find(id)->log().ends().log_start;
  w.assignment = {2, 2, n(2), ns({1, 2}), ns({2})};
  h.turn([&](Io& io) { h.replicas.assign(io, w, h.out); });
  const Home::Asked asked = h.standing();
  h.answer_fetch(asked, {{.id = id, .diverging = OffsetAndEpoch{start + 1, 1}}});
  ASSERT_FALSE(h.replicas.find(id)->log().ready());
  h.pass(seconds(60));
  h.settle();
  ASSERT_TRUE(h.replicas.find(id)->log().ready());
  EXPECT_EQ(h.replicas.find(id)->log().ends().submitted, start + 1);
  h.pass(seconds(1));
  h.settle();
  EXPECT_EQ(put_away(), 0);
}

}  // namespace
}  // namespace klamm::replication
