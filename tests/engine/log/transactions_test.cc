// Transactions in a log: their markers, what is decided, what was aborted and what .txnindex says of it.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/engine/log/log_world.h"

namespace klamm::log {
namespace {

constexpr EndMarker kCommit{true, 3}, kAbort{false, 3};

BatchSpec in_transaction(ProducerId id, int32_t records = 1) {
  return {.records = records, .producer_id = id, .producer_epoch = 0, .base_sequence = 0, .transactional = true};
}
BatchSpec ends(ProducerId id, EndMarker how) { return {.producer_id = id, .producer_epoch = 0, .marker = how}; }

std::vector<uint8_t> file_of(const LogWorld& w, Offset base) {
  const auto* content = w.disk.content("orders-5/" + segment_file(base, ".txnindex"));
  return content ? *content : std::vector<uint8_t>{0xee};
}

// As Kafka's AbortedTxn lays it out.
TEST(TxnIndex, golden_bytes) {
  const std::vector<AbortedTxn> two = {{0x1122334455667788, 5, 0x102, 0x103}, {7, 0x101, 0x200, 0x201}};
  const std::vector<uint8_t> file = {0, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0, 0, 0, 0, 0, 0, 0, 5,  //
                                     0, 0, 0,    0,    0,    0,    1,    2,    0,    0,    0, 0, 0, 0, 1, 3,        //
                                     0, 0, 0,    0,    0,    0,    0,    0,    0,    7,    0, 0, 0, 0, 0, 0, 1, 1,  //
                                     0, 0, 0,    0,    0,    0,    2,    0,    0,    0,    0, 0, 0, 0, 2, 1};
  const Slice encoded = encode_txn_index(two);
  EXPECT_EQ(std::vector<uint8_t>(encoded.data(), encoded.data() + encoded.size()), file);
  EXPECT_EQ(parse_txn_index(file, {0x100, 0x201}).value(), two);
  std::vector<uint8_t> torn = file;
  torn.resize(file.size() - 1);
  EXPECT_EQ(parse_txn_index(torn, {0x100, 0x201}).value(), std::vector(1, two[0]));
}

TEST(TxnIndex, refuses_what_cannot_be_right) {
  const auto parses = [](std::vector<AbortedTxn> entries, TxnIndexRange range = {0, 100}) {
    return parse_txn_index(encode_txn_index(entries).span(), range).has_value();
  };
  EXPECT_TRUE(parses({}) && parses({{1, 0, 9, 10}, {1, 10, 20, 21}}));
  EXPECT_FALSE(parses({{1, 0, 9, 10}, {2, 1, 9, 10}}));  // out of order
  EXPECT_FALSE(parses({{1, 9, 9, 10}}));                 // no records
  EXPECT_FALSE(parses({{-1, 0, 9, 10}}));                // nobody's
  EXPECT_FALSE(parses({{1, 0, 9, 10}}, {10, 100}));      // of the segment before
  EXPECT_FALSE(parses({{1, 0, 100, 101}}));              // of the one behind
  std::vector<uint8_t> later(kAbortedEntryBytes);
  later[1] = 1;
  EXPECT_FALSE(parse_txn_index(later, {0, 100}));
}

TEST(EndMarker, is_read_from_its_control_record) {
  const auto read = [](const Slice& b) { return read_end_marker(protocol::read_batch_header(b.data()), b.span()); };
  const auto commit = read(make_batch(ends(4, {true, 77})));
  ASSERT_TRUE(commit.has_value());
  EXPECT_TRUE(commit->commit);
  EXPECT_EQ(commit->coordinator_epoch, 77);
  EXPECT_FALSE(read(make_batch(ends(4, {false, 77})))->commit);
  EXPECT_FALSE(read(make_batch(in_transaction(4))));
  EXPECT_FALSE(read(make_batch(ends(-1, kAbort))));
  protocol::BatchBuilder::Options o;
  o.producer_id = 4, o.control = o.transactional = true;
  protocol::BatchBuilder other(o);
  other.add_control(protocol::ControlType::leader_change, 0, {});
  EXPECT_FALSE(read(other.finish()));
  protocol::BatchBuilder empty(o);
  empty.cover_to(0);
  EXPECT_FALSE(read(empty.finish()));
}

TEST(LogRules, nothing_else_is_admitted_while_a_transaction_is_open) {
  const ProducerView open{true, 3, 9, true}, ended{true, 3, 9, false};
  EXPECT_EQ(sequence_admission(open, {3, 10, false}), Admission::invalid_txn_state);
  EXPECT_EQ(sequence_admission(open, {3, 11, false}), Admission::out_of_order_sequence);
  EXPECT_EQ(sequence_admission(open, {3, 10, true}), Admission::accepted);
  EXPECT_EQ(sequence_admission(ended, {3, 10, false}), Admission::accepted);
}

TEST(LastStable, is_where_the_first_undecided_transaction_begins) {
  LogWorld w;
  w.restart();
  w.settle();
  w.append({}, 1);                    // 0
  w.append(in_transaction(1, 2), 1);  // 1, 2
  w.append(in_transaction(2), 1);     // 3
  EXPECT_EQ(w.log.last_stable(4), 1);
  EXPECT_EQ(w.log.last_stable(1), 1);
  EXPECT_EQ(w.log.last_stable(0), 0);  // never beyond the high watermark
  w.append(ends(1, kAbort), 1);        // 4
  EXPECT_EQ(w.log.last_stable(5), 3);
  EXPECT_EQ(w.log.last_stable(4), 1);  // the marker is not committed
  w.append(ends(2, kCommit), 1);       // 5
  EXPECT_EQ(w.log.last_stable(5), 3);
  EXPECT_EQ(w.log.last_stable(6), 6);
  w.turn([&](Io& io) { w.log.truncate_to(io, 5); });
  EXPECT_EQ(w.log.last_stable(5), 3);  // open again
  EXPECT_EQ(w.log.last_stable(4), 1);
  w.turn([&](Io& io) { w.log.truncate_to(io, 4); });
  EXPECT_EQ(w.log.last_stable(4), 1);
  EXPECT_TRUE(w.log.aborted_in(0, 4).empty());
  w.turn([&](Io& io) { w.log.advance_log_start(io.ctx, 2); });
  EXPECT_EQ(w.log.last_stable(4), 2);  // nor below the log start
}

TEST(LastStable, a_marker_below_the_high_watermark_is_forgotten) {
  LogWorld w;
  w.restart();
  w.settle();
  w.append(in_transaction(1), 1);
  w.append(ends(1, kCommit), 1);
  EXPECT_EQ(w.log.last_stable(1), 0);
  w.log.note_high_watermark(1);
  EXPECT_EQ(w.log.last_stable(1), 0);
  w.log.note_high_watermark(2);
  EXPECT_EQ(w.log.last_stable(1), 1);
}

// However many transactions have ended beyond the high watermark: the last of them are known exactly.
TEST(LastStable, remembers_a_bounded_number_of_ends) {
  ProducerStates p;
  const auto apply = [&](Offset at, std::optional<EndMarker> marker) {
    BatchHeader h;
    h.base_offset = at, h.producer_id = 1, h.producer_epoch = 0, h.record_count = 1;
    h.attributes = BatchHeader::kTransactional | (marker ? BatchHeader::kControl : 0);
    p.apply({h, marker});
  };
  const auto count = static_cast<Offset>(kMaxEndedTxns) + 100;
  for (Offset i = 0; i < count; ++i) apply(2 * i, std::nullopt), apply(2 * i + 1, kCommit);
  EXPECT_EQ(p.first_unstable(0), 0);
  EXPECT_EQ(p.first_unstable(150), 0);  // those that count as one
  for (Offset i = 101; i < count; i += 50) {
    EXPECT_EQ(p.first_unstable(2 * i + 1), 2 * i);
    EXPECT_EQ(p.first_unstable(2 * i + 2), i + 1 < count ? std::optional(2 * i + 2) : std::nullopt);
  }
  EXPECT_EQ(p.first_unstable(2 * count), std::nullopt);
  EXPECT_TRUE(p.truncate_to(2 * count - 100));
  EXPECT_EQ(p.first_unstable(2 * count - 101), 2 * count - 102);
}

// Against a list of batches: what is open, what has ended, what is aborted, with truncations.
RC_GTEST_PROP(LastStable, follows_a_list_of_batches, ()) {
  struct B {
    ProducerId id;
    std::optional<EndMarker> marker;
  };
  std::vector<B> log;  // one record each
  ProducerStates p;
  for (const auto& step : *rc::gen::container<std::vector<std::pair<uint8_t, uint8_t>>>(
           rc::gen::arbitrary<std::pair<uint8_t, uint8_t>>())) {
    const ProducerId id = step.first % 3;
    if (step.second % 10 == 0) {
      const size_t end = log.size() - std::min<size_t>(log.size(), step.first % 5);
      const bool known = p.truncate_to(static_cast<Offset>(end));
      RC_ASSERT(known);
      log.resize(end);
    } else {
      std::optional<EndMarker> marker;
      if (step.second % 10 > 6) marker = EndMarker{step.second % 2 == 0, 0};
      BatchHeader h;
      h.base_offset = static_cast<Offset>(log.size()), h.producer_id = id, h.producer_epoch = 0, h.record_count = 1;
      h.attributes = BatchHeader::kTransactional | (marker ? BatchHeader::kControl : 0);
      log.push_back({id, marker});
      p.apply({h, marker});
    }
    for (Offset hw = 0; hw <= static_cast<Offset>(log.size()); ++hw) {
      std::map<ProducerId, Offset> open;
      Offset first = INT64_MAX;
      for (size_t i = 0; i < log.size(); ++i) {
        if (!log[i].marker) {
          open.try_emplace(log[i].id, static_cast<Offset>(i));
        } else if (const auto it = open.find(log[i].id); it != open.end()) {
          if (static_cast<Offset>(i) >= hw) first = std::min(first, it->second);
          open.erase(it);
        }
      }
      for (const auto& [producer, at] : open) first = std::min(first, at);
      RC_ASSERT(p.first_unstable(hw).value_or(INT64_MAX) == first);
    }
  }
}

// Transactions of two producers over three segments; the second aborts in the second segment.
struct Told {
  Told() {
    w.options.config.segment_bytes = 1'000;
    w.restart();
    w.settle();
    const auto big = [](BatchSpec s) { return s.value_bytes = 300, s; };
    w.append(big(in_transaction(1)), 1);  // 0
    w.append(big(in_transaction(2)), 1);  // 1
    w.append(ends(1, kAbort), 1);         // 2
    w.append(big(in_transaction(2)), 1);  // 3: here the second begins
    w.append(big({}), 1);                 // 4
    w.append(ends(2, kAbort), 1);         // 5
    w.append(big({}), 1);                 // 6: and here the third
    w.append(big(in_transaction(3)), 1);  // 7
    w.append(ends(3, kAbort), 1);         // 8
    w.sync();
    w.settle();
    w.turn([&](Io& io) { w.log.checkpoint(io); });
    w.settle();
  }
  const AbortedTxn first{1, 0, 2, 1}, second{2, 1, 5, 6}, third{3, 7, 8, 9};
  LogWorld w;
};

using Aborted = std::vector<AbortedTxn>;

TEST(Aborted, are_told_to_who_reads_of_them) {
  Told t;
  EXPECT_EQ(t.w.log.aborted_in(0, 1), Aborted{t.first});
  EXPECT_EQ(t.w.log.aborted_in(0, 3), (Aborted{t.first, t.second}));
  EXPECT_EQ(t.w.log.aborted_in(3, 5), (Aborted{t.second}));
  EXPECT_EQ(t.w.log.aborted_in(3, 7), (Aborted{t.second}));
  EXPECT_EQ(t.w.log.aborted_in(3, 8), (Aborted{t.second, t.third}));
  EXPECT_EQ(t.w.log.aborted_in(6, 9), (Aborted{t.third}));
  EXPECT_EQ(t.w.log.aborted_in(6, 6), Aborted{});
  EXPECT_EQ(t.w.log.aborted_in(9, 9), Aborted{});
}

// As Kafka's index tells where a fetch ended: by the next entry behind it, or the segment's end.
TEST(Aborted, may_begin_behind_what_was_read) {
  LogWorld w;
  w.options.config.index_interval_bytes = 1 << 20;
  w.restart();
  w.settle();
  w.append({}, 1);
  w.append(in_transaction(1), 1);
  w.append(ends(1, kAbort), 1);
  EXPECT_EQ(w.log.aborted_in(0, 1), (Aborted{{1, 1, 2, 3}}));
}

TEST(Aborted, are_written_when_a_segment_ends_and_only_if_there_are_any) {
  Told t;
  EXPECT_EQ(parse_txn_index(file_of(t.w, 0), {0, 3}).value(), Aborted{t.first});
  EXPECT_EQ(parse_txn_index(file_of(t.w, 3), {3, 6}).value(), Aborted{t.second});
  EXPECT_FALSE(t.w.disk.content("orders-5/" + segment_file(6, ".txnindex")));
  t.w.turn([&](Io& io) { t.w.log.close(io); });
  t.w.settle();
  EXPECT_EQ(parse_txn_index(file_of(t.w, 6), {6, 9}).value(), Aborted{t.third});
  LogWorld plain;
  plain.restart();
  plain.settle();
  for (int i = 0; i < 100; ++i) plain.append({.value_bytes = 1'000}, 1);
  plain.settle();
  plain.turn([&](Io& io) { plain.log.close(io); });
  plain.settle();
  for (const std::string& name : plain.disk.names("orders-5")) EXPECT_FALSE(name.ends_with(".txnindex")) << name;
}

TEST(Aborted, are_known_again_after_an_orderly_end) {
  Told t;
  t.w.append(in_transaction(4), 1);
  t.w.turn([&](Io& io) { t.w.log.close(io); });
  t.w.settle();
  t.w.restart({t.w.log.recovery_point(), 0, true});
  t.w.settle();
  EXPECT_EQ(t.w.log.aborted_in(0, 9), (Aborted{t.first, t.second, t.third}));
  EXPECT_EQ(t.w.log.last_stable(10), 9);  // the snapshot says so
  t.w.check_derived(t.w.model);
}

TEST(Aborted, are_found_by_a_recovery_that_reads_nothing_before_its_snapshot) {
  Told t;
  t.w.disk.kill([](uint64_t) { return 0; });
  t.w.restart({t.w.log.recovery_point(), 0});
  t.w.settle();
  EXPECT_EQ(t.w.log.aborted_in(0, 9), (Aborted{t.first, t.second, t.third}));
}

TEST(Aborted, a_damaged_file_is_made_anew_from_the_batches) {
  for (const Offset base : {0, 3, 6}) {
    SCOPED_TRACE(base);
    Told t;
    t.w.turn([&](Io& io) { t.w.log.close(io); });
    t.w.settle();
    const OpenFrom from{t.w.log.recovery_point(), 0, true};
    const std::string path = "orders-5/" + segment_file(base, ".txnindex");
    std::vector<uint8_t> right = file_of(t.w, base), wrong = right;
    wrong[1] = 9;
    t.w.disk.set_content(path, wrong);
    t.w.restart(from);
    t.w.settle();
    ASSERT_TRUE(t.w.log.ready());
    EXPECT_EQ(t.w.log.aborted_in(0, 9), (Aborted{t.first, t.second, t.third}));
    EXPECT_EQ(t.w.log.ends().submitted, 9);
    t.w.check_derived(t.w.model);
    t.w.turn([&](Io& io) { t.w.log.close(io); });
    t.w.settle();
    EXPECT_EQ(file_of(t.w, base), right);
  }
}

TEST(Aborted, a_truncation_takes_them_out_of_the_file) {
  Told t;
  t.w.turn([&](Io& io) { t.w.log.truncate_to(io, 5); });
  t.w.settle();
  ASSERT_TRUE(t.w.log.ready());
  t.w.model.truncate(5);
  EXPECT_EQ(t.w.log.aborted_in(0, 5), Aborted{t.first});
  EXPECT_EQ(t.w.log.last_stable(5), 1);
  t.w.append(ends(2, kCommit), 2);
  t.w.turn([&](Io& io) { t.w.log.close(io); });
  t.w.settle();
  EXPECT_EQ(file_of(t.w, 3), std::vector<uint8_t>());
  t.w.restart({t.w.log.recovery_point(), 0, true});
  t.w.settle();
  EXPECT_EQ(t.w.log.aborted_in(0, 6), Aborted{t.first});
  EXPECT_EQ(t.w.log.last_stable(6), 6);
}

TEST(Aborted, go_with_their_segment) {
  Told t;
  t.w.turn([&](Io& io) { t.w.log.advance_log_start(io.ctx, 4); });
  t.w.retain({9});
  t.w.settle();
  EXPECT_FALSE(t.w.disk.content("orders-5/" + segment_file(0, ".txnindex")));
  EXPECT_TRUE(t.w.disk.content("orders-5/" + segment_file(0, ".txnindex") + ".deleted"));
  EXPECT_EQ(t.w.log.aborted_in(4, 9), (Aborted{t.second, t.third}));
  ASSERT_TRUE(t.w.remove_at);
  t.w.world.now = *t.w.remove_at;
  t.w.turn([&](Io& io) { t.w.log.remove_put_away(io); });
  t.w.settle();
  EXPECT_FALSE(t.w.disk.content("orders-5/" + segment_file(0, ".txnindex") + ".deleted"));
}

// A file without its segment, whose name a loss of power may bring back, says nothing of a segment that begins there.
TEST(Aborted, a_leftover_file_is_written_over) {
  LogWorld w;
  w.options.config.segment_bytes = 1'000;
  w.restart();
  w.settle();
  for (int i = 0; i < 3; ++i) w.append({.value_bytes = 200}, 1);
  w.settle();
  w.turn([&](Io& io) { w.log.close(io); });
  w.settle();
  const Slice stale = encode_txn_index({{1, 0, 3, 4}});
  w.disk.set_content("orders-5/" + segment_file(3, ".txnindex"), {stale.data(), stale.data() + stale.size()});
  w.restart({w.log.recovery_point(), 0, true});
  w.settle();
  w.disk.set_content("orders-5/" + segment_file(3, ".txnindex"), {stale.data(), stale.data() + stale.size()});
  for (int i = 0; i < 3; ++i) w.append({.value_bytes = 900}, 1);
  w.settle();
  w.turn([&](Io& io) { w.log.close(io); });
  w.settle();
  EXPECT_EQ(file_of(w, 3), std::vector<uint8_t>());
}

}  // namespace
}  // namespace klamm::log
