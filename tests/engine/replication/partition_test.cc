#include "engine/replication/partition.h"

#include "tests/engine/replication/rig.h"

namespace klamm::replication {
namespace {

TEST(Partition, a_record_is_committed_once_all_of_the_isr_have_it) {
  Rig r;
  r.lead(1);
  EXPECT_EQ(r.node(1).partition.role(), Role::leader);
  EXPECT_EQ(r.node(2).partition.role(), Role::follower);
  r.node(1).append(3, "a");
  EXPECT_EQ(r.node(1).hw(), 0);
  r.round(2, 1), r.round(3, 1);  // they take it
  EXPECT_EQ(r.node(1).hw(), 0);
  r.round(2, 1);  // and say so
  EXPECT_EQ(r.node(1).hw(), 0);
  r.round(3, 1);
  EXPECT_EQ(r.node(1).hw(), 3);
  EXPECT_EQ(r.node(3).hw(), 3);  // told in the same reply
  EXPECT_EQ(r.node(2).hw(), 0);  // a fetch late
  r.round(2, 1);
  EXPECT_EQ(r.node(2).hw(), 3);
}

TEST(Partition, the_leader_counts_itself_only_once_its_own_write_has_ended) {
  Rig r;
  r.lead(1, {1});
  r.node(1).append(1, "a");
  EXPECT_EQ(r.node(1).hw(), 0);
  r.node(1).settle();
  EXPECT_EQ(r.node(1).hw(), 1);
}

void allow_unsynced(Node& node, int64_t records) {
  Settings settings{node.partition.settings(), {}};
  settings.unsynced_max = records;
  node.configure(settings);
}

TEST(Partition, with_flush_on_commit_only_what_is_synced_counts) {
  Rig r;
  allow_unsynced(r.node(1), 0);
  r.lead(1, {1});
  r.node(1).append(1, "a");
  bool was_written_before = false;
  while (r.node(1).step(0)) {
    const log::Ends& e = r.node(1).partition.log().ends();
    was_written_before |= e.written == 1 && e.synced == 0;
    EXPECT_LE(r.node(1).hw(), e.synced);
  }
  EXPECT_TRUE(was_written_before);
  EXPECT_EQ(r.node(1).hw(), 1);
}

TEST(Partition, so_many_records_count_before_they_are_synced) {
  Rig r;
  allow_unsynced(r.node(1), 2);
  r.lead(1, {1});
  r.node(1).append(2, "a");
  r.node(1).settle();
  EXPECT_EQ(r.node(1).hw(), 2);
  EXPECT_EQ(r.node(1).partition.log().ends().synced, 0) << "nothing asked for it";
  r.node(1).append(3, "b");
  while (r.node(1).step(0)) EXPECT_LE(r.node(1).hw(), r.node(1).partition.log().ends().synced + 2);
  EXPECT_EQ(r.node(1).hw(), 5);
  EXPECT_EQ(r.node(1).partition.log().ends().synced, 5);
}

TEST(Partition, a_follower_fetches_only_once_what_it_appended_is_written) {
  Rig r;
  r.lead(1);
  r.node(1).append(1, "a");
  r.node(1).settle();
  const Answer a = r.node(1).serve(r.node(2).fetch());
  EXPECT_TRUE(r.node(2).wants_fetch());
  ASSERT_TRUE(r.node(2).take(a.reply));
  EXPECT_FALSE(r.node(2).wants_fetch());
  r.node(2).settle();
  EXPECT_TRUE(r.node(2).wants_fetch());
}

TEST(Partition, the_high_watermark_moves_once_fewer_replicas_are_enough) {
  Rig r;
  Settings s;
  s.min_insync = 2;
  r.node(1).configure(s);
  r.lead(1, {1});
  r.node(1).append(1, "a");
  r.node(1).settle();
  EXPECT_EQ(r.node(1).hw(), 0);
  s.min_insync = 1;
  r.node(1).moved = {};
  r.node(1).configure(s);
  EXPECT_EQ(r.node(1).hw(), 1);
  EXPECT_TRUE(r.node(1).moved.high_watermark);  // who waits for it is told
}

TEST(Partition, the_high_watermark_rests_while_the_isr_is_too_small) {
  Rig r;
  Settings s;
  s.min_insync = 2;
  r.node(1).configure(s);
  r.lead(1, {1});
  EXPECT_EQ(r.node(1).partition.enough_replicas(), ErrorCode::not_enough_replicas);
  r.node(1).append(1, "a");
  r.node(1).settle();
  EXPECT_EQ(r.node(1).hw(), 0);
  r.round(2, 1), r.round(2, 1);
  ASSERT_NE(r.node(1).partition.proposal(), nullptr);
  EXPECT_EQ(r.node(1).hw(), 0);  // the proposal does not count for the size
  r.node(1).partition.proposal_sent();
  r.decide(1, {1, 2});
  r.node(1).alter_answered(ErrorCode::none, r.at);
  EXPECT_EQ(r.node(1).hw(), 1);
  EXPECT_EQ(r.node(1).partition.enough_replicas(), ErrorCode::none);
}

TEST(Partition, a_proposed_member_holds_the_high_watermark_until_the_controller_has_spoken) {
  Rig r;
  r.lead(1, {1, 2});
  r.round(2, 1), r.round(3, 1);
  ASSERT_NE(r.node(1).partition.proposal(), nullptr);
  EXPECT_EQ(r.node(1).partition.proposal()->isr, ns({1, 2, 3}));
  r.node(1).partition.proposal_sent();
  r.brokers[n(3)].alive = false;  // so that only the proposal holds it
  r.node(1).append(1, "a");
  r.round(2, 1), r.round(2, 1);
  EXPECT_EQ(r.node(1).hw(), 0);
  // Refused: node 3 is fenced. What waited for it is committed now, not at the next fetch.
  r.node(1).alter_answered(ErrorCode::ineligible_replica, {});
  EXPECT_EQ(r.node(1).partition.proposal(), nullptr);
  EXPECT_EQ(r.node(1).hw(), 1);
}

TEST(Partition, a_member_that_lags_leaves_and_counts_until_the_controller_agrees) {
  Rig r;
  r.lead(1);
  r.round(2, 1), r.round(3, 1);
  r.node(1).append(1, "a");
  r.round(2, 1), r.round(2, 1);
  r.world.now = r.world.now + seconds(29);
  r.round(2, 1);
  r.node(1).shrink();
  EXPECT_EQ(r.node(1).partition.proposal(), nullptr);
  r.world.now = r.world.now + seconds(2);
  r.node(1).shrink();
  ASSERT_NE(r.node(1).partition.proposal(), nullptr);
  EXPECT_EQ(r.node(1).partition.proposal()->isr, ns({1, 2}));
  EXPECT_EQ(r.node(1).hw(), 0);
  r.node(1).partition.proposal_sent();
  r.decide(1, {1, 2});
  r.node(1).alter_answered(ErrorCode::none, r.at);
  EXPECT_EQ(r.node(1).hw(), 1);
}

TEST(Partition, an_idle_member_of_the_isr_that_has_all_never_lags) {
  Rig r;
  r.lead(1);
  r.node(1).append(1, "a");
  for (int i = 0; i < 2; ++i) r.round(2, 1), r.round(3, 1);
  r.world.now = r.world.now + seconds(1000);
  r.node(1).shrink();
  EXPECT_EQ(r.node(1).partition.proposal(), nullptr);
}

TEST(Partition, alter_answers_that_leave_the_outcome_open_keep_the_proposal) {
  for (const ErrorCode open : {ErrorCode::not_controller, ErrorCode::unknown_server_error,
                               ErrorCode::fenced_leader_epoch, ErrorCode::invalid_update_version}) {
    Rig r;
    r.lead(1, {1, 2});
    r.round(3, 1);
    ASSERT_NE(r.node(1).partition.proposal(), nullptr);
    r.node(1).partition.proposal_sent();
    r.node(1).alter_answered(open, {});
    ASSERT_NE(r.node(1).partition.proposal(), nullptr) << name(open);
    // Sent again only if the controller may not have judged it; else the metadata is on its way.
    const bool again = open == ErrorCode::not_controller || open == ErrorCode::unknown_server_error;
    EXPECT_EQ(r.node(1).partition.proposal()->sent, !again) << name(open);
    r.decide(1, {1, 2, 3});
    r.tell({1});
    EXPECT_EQ(r.node(1).partition.proposal(), nullptr);
    EXPECT_EQ(r.node(1).partition.assignment().isr, ns({1, 2, 3}));
  }
}

TEST(Partition, the_metadata_may_tell_of_a_change_before_the_answer_and_again_after_it) {
  Rig r;
  r.lead(1, {1, 2});
  r.round(3, 1);
  r.node(1).partition.proposal_sent();
  const Assignment before = r.at;
  r.decide(1, {1, 2, 3});
  r.tell({1});
  r.node(1).alter_answered(ErrorCode::none, r.at);  // late: nothing is open any more
  EXPECT_EQ(r.node(1).partition.assignment().partition_epoch, r.at.partition_epoch);
  r.node(1).assign(before);  // an image from before what an answer told
  EXPECT_EQ(r.node(1).partition.assignment().isr, ns({1, 2, 3}));
}

TEST(Partition, an_answer_to_a_proposal_of_before_touches_no_later_one) {
  Rig r;
  r.lead(1, {1});
  r.round(2, 1);
  r.node(1).partition.proposal_sent();
  r.decide(1, {1, 2});
  const Assignment first = r.at;
  r.tell({1});
  r.round(3, 1);
  ASSERT_NE(r.node(1).partition.proposal(), nullptr);
  r.node(1).alter_answered(ErrorCode::none, first);
  ASSERT_NE(r.node(1).partition.proposal(), nullptr);
  EXPECT_EQ(r.node(1).partition.proposal()->isr, ns({1, 2, 3}));
}

TEST(Partition, only_a_living_replica_of_the_known_epoch_joins_the_isr) {
  Rig r;
  r.lead(1, {1});
  r.brokers[n(2)].alive = false;
  r.round(2, 1);
  EXPECT_EQ(r.node(1).partition.proposal(), nullptr);
  r.brokers[n(2)] = {21, true};
  Fetch old = r.node(2).fetch();
  old.at.broker_epoch = 20;
  EXPECT_EQ(r.node(1).serve(old).error, ErrorCode::not_leader_or_follower);
  EXPECT_EQ(r.node(1).partition.proposal(), nullptr);
  Fetch ahead = r.node(2).fetch();
  ahead.at.broker_epoch = 22;  // it knows more than we do: no member yet
  EXPECT_EQ(r.node(1).serve(ahead).error, ErrorCode::none);
  EXPECT_EQ(r.node(1).partition.proposal(), nullptr);
  r.round(2, 1);
  EXPECT_NE(r.node(1).partition.proposal(), nullptr);
}

TEST(Partition, a_new_leader_admits_nobody_below_its_epochs_start) {
  Rig r;
  r.lead(1, {1, 2});
  r.node(1).append(5, "a");
  r.round(2, 1);
  r.lead(2, {2});
  r.node(2).append(1, "b");
  r.node(2).settle();
  // Node 3 has nothing, and node 2's high watermark was 0 when it began to lead.
  EXPECT_EQ(r.node(2).serve(r.node(3).fetch()).error, ErrorCode::none);
  EXPECT_EQ(r.node(2).partition.proposal(), nullptr);
  for (int i = 0; i < 3; ++i) r.round(3, 2);
  EXPECT_NE(r.node(2).partition.proposal(), nullptr);
}

TEST(Partition, requests_of_other_epochs_are_refused) {
  Rig r;
  r.lead(1);
  r.lead(2);
  r.lead(1);
  EXPECT_FALSE(r.node(1).partition.leads(1).has_value());
  EXPECT_EQ(r.node(1).partition.leads(1).error().code, ErrorCode::fenced_leader_epoch);
  EXPECT_EQ(r.node(1).partition.leads(3).error().code, ErrorCode::unknown_leader_epoch);
  EXPECT_TRUE(r.node(1).partition.leads(2).has_value());
  EXPECT_TRUE(r.node(1).partition.leads(kNoEpoch).has_value());
  EXPECT_EQ(r.node(2).partition.leads(2).error().code, ErrorCode::not_leader_or_follower);
  Fetch f = r.node(2).fetch();
  f.epoch = 1;
  EXPECT_EQ(r.node(1).serve(f).error, ErrorCode::fenced_leader_epoch);
}

TEST(Partition, a_former_leader_cuts_what_the_new_one_does_not_have) {
  Rig r;
  r.lead(1);
  r.node(1).append(2, "a");
  for (int i = 0; i < 2; ++i) r.round(2, 1), r.round(3, 1);
  r.node(1).append(3, "lost");  // nobody fetches it
  r.node(1).settle();
  r.lead(2);
  r.node(2).append(1, "b");
  for (int i = 0; i < 4; ++i) r.round(1, 2), r.round(3, 2);
  EXPECT_EQ(r.node(1).end(), 3);
  EXPECT_EQ(r.node(1).content(3), r.node(2).content(3));
  EXPECT_EQ(r.node(2).hw(), 3);
}

// An epoch that began at the end of the log and wrote nothing is unknown to the next leader.
TEST(Partition, a_former_leader_that_wrote_nothing_follows_again) {
  Rig r;
  r.lead(1);
  r.node(1).append(2, "a");
  for (int i = 0; i < 2; ++i) r.round(2, 1), r.round(3, 1);
  r.lead(2);  // node 2 leads epoch 1, writes nothing, and nobody hears of it
  r.decide(3, {1, 2, 3});
  r.tell({2, 3});
  r.node(3).append(1, "c");
  for (int i = 0; i < 4; ++i) r.round(2, 3);
  EXPECT_EQ(r.node(2).end(), 3);
  EXPECT_EQ(r.node(2).content(3), r.node(3).content(3));
}

TEST(Partition, a_late_reply_of_another_epoch_or_place_changes_nothing) {
  Rig r;
  r.lead(1);
  r.node(1).append(1, "a");
  r.node(1).settle();
  const Answer first = r.node(1).serve(r.node(2).fetch());
  r.round(2, 1);
  EXPECT_TRUE(r.node(2).take(first.reply).has_value());  // twice the same
  EXPECT_EQ(r.node(2).end(), 1);
  const Answer second = r.node(1).serve(r.node(2).fetch());
  r.lead(3);
  EXPECT_TRUE(r.node(2).take(second.reply).has_value());
  EXPECT_EQ(r.node(2).end(), 1);
}

TEST(Partition, a_damaged_batch_is_not_appended) {
  Rig r;
  r.lead(1);
  r.node(1).append(1, "abcdef");
  r.node(1).settle();
  Answer a = r.node(1).serve(r.node(2).fetch());
  std::string bytes(a.reply.records.text());
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  a.reply.records = Slice::copy(bytes);
  EXPECT_FALSE(r.node(2).take(a.reply).has_value());
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  a.reply.records = Slice::copy(bytes.substr(0, bytes.size() - 1));  // an unfinished batch is left off
  EXPECT_TRUE(r.node(2).take(a.reply).has_value());
  EXPECT_EQ(r.node(2).end(), 0);
}

TEST(Partition, batches_whose_epochs_fall_or_exceed_the_leaders_are_refused) {
  Rig r;
  r.lead(1);
  r.lead(2);
  const auto batch = [](Offset base, LeaderEpoch epoch) {
    protocol::BatchBuilder::Options o;
    o.base_offset = base;
    o.leader_epoch = epoch;
    protocol::BatchBuilder b(o);
    b.add_value(1, as_bytes("x"));
    return std::string(b.finish().text());
  };
  Partition::Fetched reply;
  reply.asked = r.node(1).partition.next_fetch();
  reply.records = Slice::copy(batch(0, 2));
  EXPECT_FALSE(r.node(1).take(reply).has_value());
  reply.records = Slice::copy(batch(0, 1) + batch(1, 0));
  EXPECT_FALSE(r.node(1).take(reply).has_value());
  EXPECT_EQ(r.node(1).end(), 0);
  reply.records = Slice::copy(batch(0, 0) + batch(1, 1));
  EXPECT_TRUE(r.node(1).take(reply).has_value());
  EXPECT_EQ(r.node(1).end(), 2);
}

TEST(Partition, a_follower_below_the_leaders_start_begins_anew_there) {
  Rig r;
  r.lead(1, {1, 2});
  for (int i = 0; i < 4; ++i) r.node(1).append(1, "a"), r.node(1).settle();
  r.round(2, 1), r.round(2, 1);
  r.node(1).turn([&](Io& io) { r.node(1).partition.log().advance_log_start(io.ctx, 3); });
  EXPECT_EQ(r.round(3, 1), ErrorCode::offset_out_of_range);
  r.node(3).turn([&](Io& io) { r.node(3).partition.start_over(io, 3); });
  r.node(3).settle();
  EXPECT_EQ(r.node(3).hw(), 3);
  r.round(3, 1);
  EXPECT_EQ(r.node(3).end(), 4);
}

TEST(Partition, a_follower_may_begin_inside_a_batch) {
  for (const Offset start : {Offset{4}, Offset{5}, Offset{6}}) {
    Rig r;
    r.lead(1, {1, 2});
    for (int i = 0; i < 3; ++i) r.node(1).append(3, "a"), r.node(1).settle();
    r.round(2, 1), r.round(2, 1);
    r.node(1).turn([&](Io& io) { r.node(1).partition.log().advance_log_start(io.ctx, start); });
    EXPECT_EQ(r.round(3, 1), ErrorCode::offset_out_of_range);
    r.node(3).turn([&](Io& io) { r.node(3).partition.start_over(io, start); });
    r.node(3).settle();
    r.round(3, 1);
    EXPECT_EQ(r.node(3).end(), 9);
    EXPECT_EQ(r.node(3).partition.log().ends().log_start, start);
    EXPECT_GE(r.node(3).hw(), start);
  }
}

// A batch that begins before the end of a log with records is none that its leader could have sent.
TEST(Partition, a_follower_with_records_does_not_begin_anew_for_a_batch) {
  Rig r;
  r.lead(1);
  for (int i = 0; i < 2; ++i) r.node(1).append(3, "a"), r.node(1).settle();
  r.round(3, 1);
  Partition::Fetched reply;
  reply.asked = r.node(3).partition.next_fetch();
  protocol::BatchBuilder b({.base_offset = 3});
  for (int i = 0; i < 5; ++i) b.add_value(1, as_bytes("x"));
  reply.records = b.finish();
  EXPECT_FALSE(r.node(3).take(reply).has_value());
  EXPECT_EQ(r.node(3).end(), 6);
}

TEST(Partition, the_newest_assignment_waits_for_the_log_to_open) {
  Rig r;
  r.lead(1);
  r.node(1).append(3, "a");
  for (int i = 0; i < 2; ++i) r.round(2, 1), r.round(3, 1);
  Node& two = r.node(2);
  two.partition = Node(r.world, r.brokers, 2).partition;  // a new life
  two.open(2);
  r.lead(3), r.lead(2);
  EXPECT_EQ(two.partition.role(), Role::none);
  two.settle();
  EXPECT_EQ(two.partition.role(), Role::leader);
  EXPECT_EQ(two.partition.epoch_start(), 3);
  EXPECT_EQ(two.hw(), 2);  // the checkpoint's; the followers' fetches will move it
}

TEST(Partition, a_failed_write_takes_the_replica_offline) {
  Rig r;
  r.lead(1, {1});
  r.node(1).append(1, "a");
  r.node(1).disk.fail_in(1);
  r.node(1).settle();
  EXPECT_EQ(r.node(1).partition.role(), Role::offline);
  EXPECT_EQ(r.node(1).partition.leads(0).error().code, ErrorCode::kafka_storage_error);
  EXPECT_EQ(r.node(1).hw(), 0);
  r.decide(2, {1, 2});
  r.tell({1});
  EXPECT_EQ(r.node(1).partition.role(), Role::offline);
}

// Museum M01: a follower whose high watermark lags cuts a committed record, is elected, and it is lost.
TEST(Partition, flaw_m01_loses_a_committed_record) {
  for (const bool flaw : {false, true}) {
    Rig r;
    r.world.flaws.replica_truncate_to_high_watermark = flaw;
    r.lead(1);
    r.node(1).append(1, "m0");
    r.round(2, 1), r.round(3, 1);
    r.node(1).serve(r.node(2).fetch()), r.node(1).serve(r.node(3).fetch());  // the replies are lost
    ASSERT_EQ(r.node(1).hw(), 1);                                            // acknowledged to a client
    r.decide(2, {2, 3});
    r.tell({2, 3});
    r.decide(3, {3});
    r.tell({3});
    EXPECT_EQ(r.node(3).end(), flaw ? 0 : 1);
  }
}

TEST(Partition, a_copy_goes_its_own_way) {
  Rig r;
  r.lead(1);
  const Partition fork = r.node(1).partition;
  r.node(1).append(2, "a");
  EXPECT_EQ(fork.log().ends().submitted, 0);
  EXPECT_EQ(r.node(1).end(), 2);
}

// Elected uncleanly, the new leader ends below the start of the old one's log.
TEST(Partition, whose_log_starts_above_the_leaders_end_begins_anew_there) {
  Rig r;
  r.lead(1, {1});
  for (int i = 0; i < 30; ++i) r.node(1).append(1, "v");
  r.round(2, 1);
  for (int i = 0; i < 20; ++i) r.node(1).append(1, "w");
  r.node(1).settle();
  ASSERT_EQ(r.node(2).end(), 30);
  r.node(1).turn([&](Io& io) { r.node(1).partition.log().advance_log_start(io.ctx, 40); });
  r.lead(2, {2});
  r.node(2).append(1, "x");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(r.round(1, 2), ErrorCode::none);
  EXPECT_EQ(r.node(1).end(), 31);
  EXPECT_EQ(r.node(1).partition.log().ends().log_start, 30);
}

}  // namespace
}  // namespace klamm::replication
