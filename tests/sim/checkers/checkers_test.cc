// Every checker must fire on a history that breaks its rule, and be silent on one that does not.
#include <gtest/gtest.h>

#include "engine/client/verbs.h"
#include "sim/checkers/commits.h"
#include "sim/checkers/history.h"
#include "sim/checkers/leaders.h"
#include "sim/checkers/replicas.h"
#include "sim/checkers/starts.h"
#include "sim/lab.h"
#include "sim/workload.h"

namespace klamm::sim {
namespace {

constexpr int64_t kTopic = 77;
constexpr LogKey kLog{kTopic, 0};

TraceEvent append(int64_t base, uint16_t records, int64_t epoch, uint32_t crc) {
  return {TraceKind::batch_appended, records, 0, kTopic, base, epoch << 32 | crc};
}
TraceEvent high_watermark(int64_t offset, int64_t epoch) {
  return {TraceKind::high_watermark, 0, 0, kTopic, offset, epoch};
}
TraceEvent leads(int64_t epoch) { return {TraceKind::became_leader, 0, 0, kTopic, epoch, 0}; }
TraceEvent cut(int64_t to, int64_t from) { return {TraceKind::log_truncated, 0, 0, kTopic, to, from}; }
TraceEvent begins_anew(int64_t at, int64_t from) { return {TraceKind::log_truncated, 1, 0, kTopic, at, from}; }
TraceEvent changed(int64_t leader, int64_t epoch, int64_t isr) {
  return {TraceKind::partition_changed, 0, 0, kTopic, leader << 32 | epoch, isr};
}

struct Case {
  Replicas replicas;
  Leaders leaders;
  Verdicts out;
  void feed(HostId host, const TraceEvent& e) {
    replicas.trace(1, host, e, out);
    leaders.trace(1, host, e, out);
  }
  std::string first() const { return out.empty() ? "" : std::string(out.list()[0].rule); }
};

TEST(Checkers, replicated_and_failed_over_log_is_fine) {
  Case c;
  for (HostId h : {0, 1}) c.feed(h, append(0, 3, 0, 10)), c.feed(h, append(3, 1, 0, 11));
  c.feed(0, high_watermark(4, 0));
  c.feed(0, append(4, 1, 0, 12));  // not committed: a new leader may do without
  c.feed(1, leads(1));
  c.feed(1, append(4, 2, 1, 13));
  c.feed(0, cut(4, 5));
  c.feed(0, append(4, 2, 1, 13));
  c.feed(1, high_watermark(6, 1)), c.feed(0, high_watermark(6, 1));
  EXPECT_EQ(c.first(), "");
  EXPECT_EQ(c.replicas.committed_end(kLog), 6);
  EXPECT_TRUE(c.replicas.complete(kLog, 0));
}

TraceEvent starts(int64_t offset) { return {TraceKind::log_start_moved, 0, 0, kTopic, offset, 0}; }

TEST(Checkers, deleted_records_are_not_lost) {
  Case c;
  for (HostId h : {0, 1}) c.feed(h, append(0, 3, 0, 10)), c.feed(h, append(3, 1, 0, 11));
  c.feed(0, high_watermark(4, 0));
  c.feed(0, starts(4)), c.feed(2, begins_anew(4, 0));
  c.feed(2, leads(1));  // it began where the log does now
  c.feed(2, append(4, 1, 1, 12));
  EXPECT_EQ(c.first(), "");
  EXPECT_EQ(c.replicas.deleted_end(kLog), 4);
  EXPECT_TRUE(c.replicas.complete(kLog, 2));

  History h;
  h.sent({0, 0, 0}), h.sent({0, 0, 1});
  h.ended(1, {0, 0, 0}, History::Fate::acked, 0, c.out), h.ended(1, {0, 0, 1}, History::Fate::acked, 1, c.out);
  h.deleted(0, 1);
  h.polled(1, 0, 0, 1, Written{0, 0, 1}.value(20), c.out);
  h.finish(1, 0, c.out);
  EXPECT_EQ(c.first(), "");
}

TEST(Checkers, an_empty_log_may_begin_anew_before_its_end) {
  Case c;
  for (HostId h : {0, 1}) c.feed(h, append(0, 3, 0, 10)), c.feed(h, append(3, 4, 0, 11));
  c.feed(0, high_watermark(7, 0));
  c.feed(0, starts(5)), c.feed(1, starts(5));
  c.feed(2, begins_anew(5, 0)), c.feed(2, begins_anew(3, 5));  // the batch of 5 begins at 3
  c.feed(2, append(3, 4, 0, 11)), c.feed(2, starts(5)), c.feed(2, high_watermark(7, 0));
  EXPECT_EQ(c.first(), "");
  c.feed(1, starts(7)), c.feed(1, begins_anew(6, 7));  // it held nothing any more
  EXPECT_EQ(c.first(), "");
  c.feed(0, begins_anew(3, 7));
  EXPECT_EQ(c.first(), "R16 truncation");
}

TEST(Checkers, deletion_before_commit_fires) {
  Case c;
  c.feed(0, append(0, 3, 0, 10));
  c.feed(0, high_watermark(3, 0));
  c.feed(0, append(3, 1, 0, 11));
  c.feed(0, starts(4));
  EXPECT_EQ(c.first(), "R17 deleted before committed");
}

TEST(Checkers, a_skip_beyond_what_was_deleted_fires) {
  Case c;
  History h;
  for (int64_t i = 0; i < 6; ++i) h.sent({0, 0, i});
  h.polled(1, 0, 0, 0, Written{0, 0, 0}.value(20), c.out);
  h.deleted(0, 3);
  h.polled(1, 0, 0, 3, Written{0, 0, 3}.value(20), c.out);
  EXPECT_EQ(c.first(), "");
  h.polled(1, 0, 0, 5, Written{0, 0, 5}.value(20), c.out);
  EXPECT_EQ(c.first(), "J7 poll skip");
}

TEST(Checkers, what_was_deleted_before_it_could_be_compared_is_not) {
  Case c;
  c.feed(0, append(0, 3, 0, 10)), c.feed(1, append(0, 3, 0, 99));
  c.feed(0, high_watermark(3, 0)), c.feed(0, starts(3)), c.feed(1, starts(3));
  for (HostId h : {0, 1}) c.feed(h, append(3, 1, 1, 11)), c.feed(h, high_watermark(4, 1));
  EXPECT_EQ(c.first(), "");
  EXPECT_EQ(c.replicas.committed_end(kLog), 4);
}

TEST(Checkers, a_duplicate_is_one_unless_a_log_began_anew_behind_it) {
  for (const bool anew : {true, false}) {
    Case c;
    History h;
    h.sent({0, 0, 0}), h.sent({0, 0, 1});
    h.polled(1, 0, 0, 1, Written{0, 0, 1}.value(20), c.out);
    h.began_anew(0, anew ? 2 : 1);
    h.polled(1, 1, 0, 2, Written{0, 0, 1}.value(20), c.out);
    EXPECT_EQ(c.first(), anew ? "" : "J4 duplicate");
  }
}

TEST(Checkers, a_truncation_that_did_not_reach_the_disk_is_undone_by_death) {
  Case c;
  for (HostId h : {0, 1}) c.feed(h, append(0, 3, 0, 10)), c.feed(h, append(3, 1, 0, 11));
  c.feed(1, cut(3, 4)), c.feed(1, append(3, 2, 1, 12));
  c.feed(1, {TraceKind::log_recovered, 0, 0, kTopic, 4, 0});
  EXPECT_EQ(c.replicas.log_end(kLog, 1), 4);
  c.feed(0, high_watermark(4, 0)), c.feed(1, high_watermark(4, 0));
  c.feed(1, append(4, 1, 2, 13));
  EXPECT_EQ(c.first(), "");
  c.feed(1, cut(4, 5)), c.feed(1, append(4, 2, 3, 14));
  c.feed(1, {TraceKind::log_recovered, 0, 0, kTopic, 6, 0});
  EXPECT_EQ(c.replicas.log_end(kLog, 1), 6) << "it reached the disk";
}

TraceEvent compacts(int64_t to) { return {TraceKind::log_compacting, 0, 0, kTopic, to, 0}; }

// Three batches, committed; the first two may be compacted.
struct Compacted : Case {
  Compacted() {
    for (HostId h : {0, 1}) feed(h, append(0, 3, 0, 10)), feed(h, append(3, 1, 0, 11)), feed(h, append(4, 1, 0, 12));
    feed(0, high_watermark(5, 0));
    feed(0, compacts(4));
  }
};

TEST(Checkers, a_copy_of_a_compacted_log_is_complete) {
  Compacted c;
  c.feed(2, append(0, 3, 0, 99));  // fewer records
  c.feed(2, append(4, 1, 0, 12));  // the batch before it has gone
  c.feed(2, high_watermark(5, 0));
  EXPECT_TRUE(c.replicas.complete(kLog, 2));
  c.feed(2, leads(1));
  EXPECT_EQ(c.first(), "");
  EXPECT_EQ(c.replicas.compacted_end(kLog), 4);
}

TEST(Checkers, what_compaction_may_not_do_fires) {
  Compacted gap, content, leader;
  gap.feed(2, append(0, 3, 0, 10)), gap.feed(2, append(5, 1, 0, 13));
  EXPECT_EQ(gap.first(), "R5 contiguous log");
  content.feed(2, append(0, 3, 0, 10)), content.feed(2, append(3, 1, 0, 99)), content.feed(2, append(4, 1, 0, 98));
  content.feed(2, high_watermark(5, 0));
  EXPECT_EQ(content.first(), "R4 log matching");
  EXPECT_NE(content.out.list()[0].text.find("crc 98"), std::string::npos);
  leader.feed(2, append(0, 3, 0, 99));
  leader.feed(2, leads(1));
  EXPECT_EQ(leader.first(), "R6 leader completeness");
  Case early;
  early.feed(0, append(0, 3, 0, 10)), early.feed(0, append(3, 1, 0, 11));
  early.feed(0, high_watermark(3, 0));
  early.feed(0, compacts(3));
  EXPECT_EQ(early.first(), "");
  early.feed(0, compacts(4));
  EXPECT_EQ(early.first(), "R17 compacted before committed");
}

TEST(Checkers, log_matching_fires) {
  Case c;
  c.feed(0, append(0, 3, 0, 10)), c.feed(1, append(0, 3, 0, 99));
  c.feed(0, high_watermark(3, 0));
  EXPECT_EQ(c.first(), "");
  c.feed(1, high_watermark(3, 0));
  EXPECT_EQ(c.first(), "R4 log matching");
}

TEST(Checkers, leader_completeness_fires) {
  Case c;
  c.feed(0, append(0, 3, 0, 10)), c.feed(0, append(3, 1, 0, 11));
  c.feed(1, append(0, 3, 0, 10));
  c.feed(0, high_watermark(4, 0));
  c.feed(1, leads(1));
  EXPECT_EQ(c.first(), "R6 leader completeness");
  EXPECT_TRUE(c.out.list()[0].loss);
}

TEST(Checkers, raft_leader_completeness_fires) {
  Case c;
  c.feed(0, {TraceKind::batch_appended, 1, 0, 0, 0, int64_t{1} << 32 | 5});
  c.feed(0, {TraceKind::high_watermark, 0, 0, 0, 1, 1});
  c.replicas.elected(1, 1, LogKey{}, 2, c.out);
  EXPECT_EQ(c.first(), "K5 leader completeness");
}

TEST(Checkers, truncation_below_the_committed_fires) {
  Case c;
  for (HostId h : {0, 1}) c.feed(h, append(0, 3, 0, 10));
  c.feed(0, high_watermark(3, 0));
  c.feed(1, cut(0, 3));
  EXPECT_EQ(c.first(), "R16 truncation");
}

TEST(Checkers, contiguity_and_epoch_order_fire) {
  Case gap, order;
  gap.feed(0, append(0, 3, 0, 10)), gap.feed(0, append(4, 1, 0, 11));
  EXPECT_EQ(gap.first(), "R5 contiguous log");
  order.feed(0, append(0, 3, 2, 10)), order.feed(0, append(3, 1, 1, 11));
  EXPECT_EQ(order.first(), "R5 epoch order");
}

TEST(Checkers, recovery_forgets_what_was_lost) {
  Case c;
  c.feed(0, append(0, 3, 0, 10)), c.feed(0, append(3, 1, 0, 11));
  c.feed(0, {TraceKind::log_recovered, 0, 0, kTopic, 3, 0});
  EXPECT_EQ(c.replicas.log_end(kLog, 0), 3);
  c.feed(0, append(3, 1, 1, 12));
  EXPECT_EQ(c.first(), "");
}

TEST(Checkers, two_raft_leaders_fire) {
  Case c;
  c.feed(0, {TraceKind::raft_role, 0, 5, kRaftLeader, 1, 10});
  c.feed(0, {TraceKind::raft_role, 0, 5, kRaftLeader, 1, 10});
  EXPECT_EQ(c.first(), "");
  c.feed(1, {TraceKind::raft_role, 0, 5, kRaftLeader, 2, 10});
  EXPECT_EQ(c.first(), "K1 election safety");
}

TEST(Checkers, epochs_votes_and_high_watermarks_fire) {
  Case epoch, vote, hw;
  epoch.feed(0, {TraceKind::raft_role, 0, 5, 0, -1, 0}), epoch.feed(0, {TraceKind::raft_role, 0, 4, 0, -1, 0});
  EXPECT_EQ(epoch.first(), "K2 monotonic epoch");
  vote.feed(0, {TraceKind::raft_vote_granted, 0, 5, 1, 0, 0}),
      vote.feed(0, {TraceKind::raft_vote_granted, 0, 5, 2, 0, 0});
  EXPECT_EQ(vote.first(), "K3 one vote");
  hw.feed(0, high_watermark(5, 1)), hw.feed(0, high_watermark(4, 1));
  EXPECT_EQ(hw.first(), "R12 monotonic high watermark");
}

TEST(Checkers, high_watermark_and_content_of_the_metadata_log_fire) {
  const auto metadata = [](TraceEvent e) {
    e.b = 0;
    return e;
  };
  Case hw, content;
  hw.feed(0, metadata(high_watermark(5, 1))), hw.feed(0, metadata(high_watermark(4, 1)));
  EXPECT_EQ(hw.first(), "K8 monotonic high watermark");
  content.feed(0, metadata(append(0, 3, 1, 10))), content.feed(1, metadata(append(0, 3, 1, 99)));
  content.feed(0, metadata(high_watermark(3, 1)));
  EXPECT_EQ(content.first(), "");
  content.feed(1, metadata(high_watermark(3, 1)));
  EXPECT_EQ(content.first(), "K11 consistent committed data");
}

TEST(Checkers, a_fenced_broker_is_in_no_isr_but_its_own) {
  Case c;
  c.feed(0, changed(1, 1, 0b1110));  // by a controller that dies, and it is never committed
  c.feed(1, {TraceKind::broker_fenced, 0, 3, 1, 0, 0});
  EXPECT_EQ(c.leaders.isr(kLog), 0b0110u);
  EXPECT_FALSE(c.leaders.in_every_isr(3));
  c.feed(0, changed(1, 2, 0b0010));
  c.feed(0, {TraceKind::broker_fenced, 0, 1, 0, 0, 0});
  EXPECT_EQ(c.leaders.isr(kLog), 0b0010u);
}

TEST(Checkers, restart_begins_a_new_life) {
  Case c;
  c.feed(0, high_watermark(5, 1));
  c.leaders.restarted(0);
  c.feed(0, high_watermark(4, 1));
  EXPECT_EQ(c.first(), "");
}

TEST(Checkers, isr_sanity_fires) {
  Case outside, empty, two;
  outside.feed(0, changed(2, 1, 0b1010));
  EXPECT_EQ(outside.first(), "R3 leader in ISR");
  empty.feed(0, changed(-1, 1, 0));  // legal: the ELR remembers who is complete (KIP-966)
  EXPECT_EQ(empty.first(), "");
  two.feed(0, leads(3)), two.feed(1, leads(3));
  EXPECT_EQ(two.first(), "R5 one leader an epoch");
}

// ---- where logs start

struct Beginnings {
  Starts starts;
  Verdicts out;
  void begins(HostId host, int64_t at) { starts.trace(1, host, klamm::sim::starts(at), out); }
  void comes_back(HostId host, int64_t at) {
    starts.trace(1, host, {TraceKind::log_recovered, 0, 0, kTopic, 100, at}, out);
  }
  void leads(HostId host) { starts.trace(1, host, klamm::sim::leads(1), out); }
  void acknowledged(int64_t wanted, int64_t low) { starts.acknowledged(1, kLog, {wanted, low, 0b1110}, out); }
  std::string first() const { return out.empty() ? "" : std::string(out.list()[0].rule); }
};

TEST(Checkers, a_log_start_that_moves_as_asked_is_fine) {
  Beginnings b;
  b.starts.asked(kLog, 10);
  for (HostId h : {0, 1, 2}) b.begins(h, 10);
  b.acknowledged(10, 10);
  EXPECT_EQ(b.starts.least(kLog), 10);
  b.leads(1);
  b.comes_back(2, 4);  // it was not yet written down
  EXPECT_EQ(b.starts.least(kLog), 4);
  b.leads(2);
  b.comes_back(1, 4), b.leads(1);
  EXPECT_EQ(b.first(), "");
}

TEST(Checkers, what_nobody_asked_to_delete_is_not) {
  Beginnings before, after, copied, expired, all;
  before.starts.asked(kLog, 10), before.begins(0, 10);
  EXPECT_EQ(before.first(), "");
  after.starts.asked(kLog, 10), after.begins(0, 11);
  EXPECT_EQ(after.first(), "R17 deleted unasked");
  copied.starts.trace(1, 0, begins_anew(11, 5), copied.out);
  EXPECT_EQ(copied.first(), "R17 deleted unasked");
  expired.starts.expires(), expired.begins(0, 11);
  all.starts.asked(kLog, -1), all.begins(0, 11);
  EXPECT_EQ(expired.first() + all.first(), "");
}

TEST(Checkers, a_log_start_that_goes_back_fires) {
  Beginnings replica, leader;
  for (Beginnings* b : {&replica, &leader}) b->starts.asked(kLog, 10);
  replica.begins(0, 10), replica.begins(0, 9);
  EXPECT_EQ(replica.first(), "R14 log start");
  for (HostId h : {0, 1}) leader.begins(h, 10);
  leader.starts.acknowledged(1, kLog, {10, 10, 0b0110}, leader.out);
  EXPECT_EQ(leader.first(), "");
  leader.leads(2);  // never heard of it
  EXPECT_EQ(leader.first(), "R14 log start");
}

TEST(Checkers, a_deletion_acknowledged_too_early_fires) {
  Beginnings replica, less;
  for (Beginnings* b : {&replica, &less}) b->starts.asked(kLog, 10);
  for (HostId h : {0, 1}) replica.begins(h, 10);
  replica.acknowledged(10, 10);
  EXPECT_EQ(replica.first(), "R14 log start");
  for (HostId h : {0, 1, 2}) less.begins(h, 9);
  less.acknowledged(10, 9);
  EXPECT_EQ(less.first(), "R14 log start");
}

TEST(Checkers, an_answer_from_before_the_start_went_back_binds_nobody) {
  Beginnings b;
  b.starts.asked(kLog, 10);
  for (HostId h : {0, 1, 2}) b.begins(h, 10);
  b.acknowledged(10, 10);
  b.starts.asked(kLog, 10);
  for (HostId h : {0, 1, 2}) b.comes_back(h, 0);
  b.leads(0), b.acknowledged(10, 10), b.leads(1);
  EXPECT_EQ(b.first(), "");
}

// ---- client histories

struct Client {
  History h;
  Verdicts out;
  Written w(int64_t number, int32_t partition = 0) { return {0, partition, number}; }
  void acked(int64_t number, int64_t offset) {
    h.sent(w(number));
    h.ended(1, w(number), History::Fate::acked, offset, out);
  }
  void read(int64_t number, int64_t offset, uint32_t consumer = 0) {
    h.polled(1, consumer, 0, offset, w(number).value(50), out);
  }
  std::string first() const { return out.empty() ? "" : std::string(out.list()[0].rule); }
};

TEST(Checkers, complete_history_is_fine) {
  Client c;
  for (int i = 0; i < 5; ++i) c.acked(i, i);
  for (int i = 0; i < 5; ++i) c.read(i, i), c.read(i, i, 1);
  c.h.finish(1, 0, c.out);
  EXPECT_EQ(c.first(), "");
  EXPECT_EQ(c.h.acked(), 5u);
}

TEST(Checkers, lost_write_fires) {
  Client c;
  c.acked(0, 0), c.acked(1, 1);
  c.read(0, 0);
  c.h.finish(1, 0, c.out);
  EXPECT_EQ(c.first(), "J2 lost write");
  EXPECT_EQ(c.h.lost(), 1u);
}

TEST(Checkers, duplicate_and_inconsistent_offsets_fire) {
  Client duplicate, inconsistent;
  duplicate.acked(0, 0), duplicate.read(0, 0), duplicate.read(0, 1);
  EXPECT_EQ(duplicate.first(), "J4 duplicate");
  inconsistent.acked(0, 0), inconsistent.acked(1, 1), inconsistent.read(1, 0);
  EXPECT_EQ(inconsistent.first(), "J5 inconsistent offsets");
}

TEST(Checkers, order_fires) {
  Client c;
  c.acked(0, 1), c.acked(1, 0);
  c.read(1, 0), c.read(0, 1);
  c.h.finish(1, 0, c.out);
  EXPECT_EQ(c.first(), "J8 order");
}

TEST(Checkers, polls_that_skip_return_or_go_astray_fire) {
  Client skip, back, misrouted, foreign, failed;
  for (Client* c : {&skip, &back, &misrouted}) c->acked(0, 0), c->acked(1, 1), c->acked(2, 2);
  skip.read(0, 0), skip.read(2, 2);
  EXPECT_EQ(skip.first(), "J7 poll skip");
  back.read(0, 0), back.read(1, 1), back.read(0, 0);
  EXPECT_EQ(back.first(), "J7 nonmonotonic poll");
  misrouted.h.polled(1, 0, 5, 0, misrouted.w(0).value(50), misrouted.out);
  EXPECT_EQ(misrouted.first(), "J14 misrouted record");
  foreign.h.polled(1, 0, 0, 0, "hello", foreign.out);
  EXPECT_EQ(foreign.first(), "J14 foreign record");
  failed.h.sent(failed.w(0));
  failed.h.ended(1, failed.w(0), History::Fate::failed, -1, failed.out);
  failed.read(0, 0);
  EXPECT_EQ(failed.first(), "J1 failed but there");
}

// Ten records of three keys; those before the eighth may be compacted.
struct Keyed : Client {
  Keyed() {
    for (int i = 0; i < 10; ++i) acked(i, i);
    h.compacted(0, 7, 3);
  }
  void read_all(std::vector<int64_t> offsets) {
    for (const int64_t o : offsets) read(o, o, 1), read(o, o);
    h.finish(1, 0, out);
  }
};

TEST(Checkers, compacted_records_are_not_lost) {
  Keyed whole, half, least;
  whole.read_all({0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  half.read_all({2, 4, 5, 6, 7, 8, 9});
  least.read_all({4, 5, 6, 7, 8, 9});
  EXPECT_EQ(whole.first() + half.first() + least.first(), "");
}

TEST(Checkers, what_compaction_may_not_take_is_lost) {
  Keyed last, young;
  last.read_all({4, 6, 7, 8, 9});  // 8 has the key of 5, but is not compacted
  EXPECT_EQ(last.h.lost(), 2u);    // nor has 2 a newer one now
  EXPECT_EQ(last.out.list().back().rule, "J2 lost write");
  young.read_all({4, 5, 6, 8, 9});
  EXPECT_EQ(young.first(), "J7 poll skip");
}

TEST(Checkers, a_consumer_may_pass_only_what_a_newer_one_displaces) {
  Keyed fine, kept, young;
  fine.read(0, 0, 1), fine.read(4, 4, 1);  // another replica may still have them
  for (const int64_t o : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) fine.read(o, o);
  fine.h.finish(1, 0, fine.out);
  EXPECT_EQ(fine.first(), "");
  kept.read(3, 3, 1), kept.read(5, 5, 1);  // 4 is the last of its key
  for (const int64_t o : {4, 5, 6, 7, 8, 9}) kept.read(o, o);
  EXPECT_EQ(kept.first(), "");
  kept.h.finish(1, 0, kept.out);
  EXPECT_EQ(kept.first(), "J7 poll skip");
  young.read(3, 3, 1), young.read(8, 8, 1);
  EXPECT_EQ(young.first(), "J7 poll skip");
}

TEST(Checkers, high_watermark_behind_what_was_read_fires) {
  Client c;
  c.acked(0, 0), c.acked(1, 1);
  c.read(0, 0), c.read(1, 1);
  c.h.polled_to(1, 0, 0, 2, 2, c.out);
  EXPECT_EQ(c.first(), "");
  c.h.polled_to(1, 0, 0, 2, 1, c.out);
  EXPECT_EQ(c.first(), "C3 high watermark");
}

struct Acknowledging : Case {
  explicit Acknowledging(WorkloadOptions options) : load(options) {
    for (int i = 0; i < 8; ++i) topic.bytes[i] = static_cast<uint8_t>(kTopic >> (56 - 8 * i));
  }
  void acknowledge(int64_t number) {
    const Written w{0, 0, number};
    load.history().sent(w);
    client::Produced p;
    p.topic_id = topic;
    p.partition = 0;
    p.offset = number;
    load.answered(1, {Workload::record_token(w), true, client::pack(p)}, replicas, out);
  }

  Uuid topic;
  Workload load;
};

TEST(Checkers, acknowledgement_of_what_is_not_committed_fires) {
  Acknowledging c{{}};
  c.feed(0, append(0, 1, 0, 10)), c.feed(0, append(1, 1, 0, 11));
  c.feed(0, high_watermark(1, 0));
  c.acknowledge(0);
  EXPECT_EQ(c.first(), "");
  c.acknowledge(1);
  EXPECT_EQ(c.first(), "R13 acknowledged before committed");
}

TEST(Checkers, acknowledgement_by_too_few_fires) {
  Acknowledging c{{.least_in_sync = 2}};
  for (HostId h : {0, 1}) c.feed(h, append(0, 1, 0, 10));
  c.feed(0, append(1, 1, 0, 11));
  c.feed(0, high_watermark(2, 0));
  c.feed(1, {TraceKind::log_recovered, 0, 0, kTopic, 0, 0});  // has lost it since
  c.acknowledge(0);
  EXPECT_EQ(c.first(), "");
  c.acknowledge(1);
  EXPECT_EQ(c.first(), "R13 acknowledged by too few");
}

TEST(Checkers, a_reader_of_what_every_log_has_deleted_fires) {
  Uuid topic;
  for (int i = 0; i < 8; ++i) topic.bytes[i] = static_cast<uint8_t>(kTopic >> (56 - 8 * i));
  for (const bool all : {false, true}) {
    Workload load{{.partitions = 1}};
    Lab lab({.brokers = 1});
    Verdicts out;
    for (int64_t i = 0; i < 2; ++i) load.history().sent({0, 0, i});
    client::Produced p;
    p.topic_id = topic;
    p.partition = 0;
    p.offset = 0;
    load.answered(1, {Workload::record_token({0, 0, 0}), true, client::pack(p)}, lab.replicas(), out);
    out = {};
    load.starts().asked(kLog, 1);
    for (HostId h : {0, 1}) load.trace(1, h, {TraceKind::log_recovered, 0, 0, kTopic, 2, 0}, out);
    load.trace(1, 0, starts(1), out);
    if (all) load.trace(1, 1, starts(1), out);
    load.read_all(lab.world());
    client::ConsumerEvent e;
    e.kind = client::ConsumerEvent::Kind::records;
    e.partition = {Workload::kTopic, 0};
    e.next = 1;
    e.records.emplace_back().value = Slice::copy(Written{0, 0, 0}.value(load.options().record_bytes));
    load.answered(1, {uint64_t{4} << 60, false, client::pack(e)}, lab.replicas(), out);
    EXPECT_EQ(out.empty() ? "" : out.list()[0].rule, all ? "R14 deleted record" : "");
  }
}

TEST(Checkers, a_record_with_other_content_fires) {
  for (const bool same : {true, false}) {
    Workload load{{}};
    Case c;
    load.history().sent({0, 0, 0});
    client::ConsumerEvent e;
    e.kind = client::ConsumerEvent::Kind::records;
    e.partition = {Workload::kTopic, 0};
    e.next = 1;
    std::string value = Written{0, 0, 0}.value(load.options().record_bytes);
    if (!same) value.back() = 'y';
    e.records.emplace_back().value = Slice::copy(value);
    load.answered(1, {uint64_t{4} << 60 | 1, false, client::pack(e)}, c.replicas, c.out);
    EXPECT_EQ(c.first(), same ? "" : "J14 foreign record");
  }
}

// ---- what a group commits

struct Group {
  Commits commits;
  Verdicts out;
  void given(uint32_t consumer) { commits.reassigned(consumer); }
  void reads(uint32_t consumer, int64_t first, int64_t next) { commits.delivered(1, {consumer, 0, first, next}, out); }
  void commit(int64_t offset, int64_t gone = 0) { commits.committed(1, {0, offset, gone}, out); }
  std::string first() const { return out.empty() ? "" : std::string(out.list()[0].rule); }
};

TEST(Checkers, members_who_take_over_where_others_committed_are_fine) {
  Group g;
  g.given(1), g.given(2);
  g.reads(1, 0, 4), g.commit(4), g.reads(1, 4, 9);  // and it dies
  g.given(2);
  g.reads(2, 4, 7), g.commit(7);
  g.reads(1, 9, 12);  // it was only paused
  g.given(1);
  g.reads(1, 7, 12), g.commit(12);
  g.commit(4);  // an acknowledgement that was long on its way
  EXPECT_EQ(g.first(), "");
}

TEST(Checkers, a_member_who_begins_before_what_was_committed_fires) {
  for (const int64_t from : {4, 3}) {
    Group g;
    g.given(1);
    g.reads(1, 0, 4), g.commit(4);
    g.given(2);
    g.reads(2, from, 6);
    EXPECT_EQ(g.first(), from == 4 ? "" : "G8 committed offset");
  }
}

TEST(Checkers, a_commit_of_what_nobody_was_given_fires) {
  for (const int64_t gone : {0, 6, 8}) {
    Group g;
    g.given(1), g.given(2);
    g.reads(1, 0, 4), g.commit(4);
    g.reads(2, 6, 9);
    g.commit(9, gone);
    EXPECT_EQ(g.first(), gone == 0 ? "G9 offset gap" : "");
    g.commit(10, gone);  // beyond what anybody has
    EXPECT_EQ(g.first(), "G9 offset gap");
  }
}

TEST(Checkers, what_a_consumer_itself_goes_past_is_no_gap) {
  Group g;
  g.reads(1, 0, 4), g.reads(1, 6, 9), g.commit(9);  // compacted: J7 tells whether it was
  g.reads(2, 12, 14), g.reads(2, 14, 15), g.reads(3, 8, 13), g.commit(15);
  EXPECT_EQ(g.first(), "");
}

TEST(Checkers, rebalance_may_read_again) {
  Client c;
  c.acked(0, 0), c.acked(1, 1);
  c.read(0, 0, 1), c.read(1, 1, 1);
  c.h.reassigned(1);
  c.read(0, 0, 1);
  EXPECT_EQ(c.first(), "");
}

}  // namespace
}  // namespace klamm::sim
