// A log on a fake disk, and what it should hold.
#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "engine/base/visit.h"
#include "engine/log/checkpoints.h"
#include "engine/log/log.h"
#include "engine/protocol/batch_builder.h"
#include "tests/support/fake_storage.h"
#include "tests/support/turns.h"

namespace klamm::log {

struct Rng {
  uint64_t state;
  uint64_t next() {
    uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  uint64_t below(uint64_t n) { return next() % n; }
  bool chance(uint64_t percent) { return below(100) < percent; }
};

struct BatchSpec {
  int32_t records = 1;
  uint32_t value_bytes = 10;
  int64_t timestamp = 1'700'000'000'000;
  ProducerId producer_id = -1;
  ProducerEpoch producer_epoch = -1;
  int32_t base_sequence = -1;
  uint8_t fill = 'x';
  bool transactional = false;
  std::optional<EndMarker> marker = {};  // then there is nothing else in it
};

inline Slice make_batch(const BatchSpec& spec, OffsetAndEpoch at = {0, 0}) {
  protocol::BatchBuilder::Options o;
  o.base_offset = at.offset;
  o.leader_epoch = at.epoch;
  o.producer_id = spec.producer_id;
  o.producer_epoch = spec.producer_epoch;
  o.base_sequence = spec.base_sequence;
  o.transactional = spec.transactional || spec.marker;
  o.control = spec.marker.has_value();
  protocol::BatchBuilder b(o);
  if (spec.marker) {
    Writer value(6);
    value.i16(0), value.i32(spec.marker->coordinator_epoch);
    const auto type = spec.marker->commit ? protocol::ControlType::commit : protocol::ControlType::abort;
    b.add_control(type, spec.timestamp, value.finish_contiguous().span());
    return b.finish();
  }
  const std::vector<uint8_t> value(spec.value_bytes, spec.fill);
  for (int32_t i = 0; i < spec.records; ++i) b.add_value(spec.timestamp, value);
  return b.finish();
}

// The batches of a log, by bytes; also those that were let go, before `start`.
struct Model {
  struct Batch {
    Offset base, last;
    std::vector<uint8_t> bytes;
    BatchHeader header() const { return protocol::read_batch_header(bytes.data()); }
    std::optional<EndMarker> marker() const { return read_end_marker(header(), bytes); }
    friend bool operator==(const Batch&, const Batch&) = default;
  };
  Offset start = 0;
  std::vector<Batch> batches;
  Offset end() const { return batches.empty() ? start : batches.back().last + 1; }
  void add(ByteSpan bytes) {
    const BatchHeader h = protocol::read_batch_header(bytes.data());
    batches.push_back({h.base_offset, h.last_offset(), {bytes.begin(), bytes.end()}});
  }
  void truncate(Offset to) {
    while (!batches.empty() && batches.back().last >= to) batches.pop_back();
  }
  std::vector<Batch> live(Offset from) const {
    std::vector<Batch> all;
    for (const Batch& b : batches)
      if (b.last >= from) all.push_back(b);
    return all;
  }
  std::vector<Batch> live() const { return live(start); }
  bool prefix_of(const Model& o) const {
    const std::vector<Batch> mine = live(), theirs = o.live(start);
    return mine.size() <= theirs.size() && std::equal(mine.begin(), mine.end(), theirs.begin());
  }
};

class LogWorld {
 public:
  explicit LogWorld(LogOptions o = default_options()) : options(std::move(o)), log(options) {}

  static LogOptions default_options() {
    LogOptions o;
    o.module = 3;
    o.key = 42;
    o.topic.bytes[0] = 7;
    o.topic_name = "orders";
    o.partition = 5;
    o.config.segment_bytes = 20'000;
    o.config.index_interval_bytes = 300;
    o.tail_bytes = 8'000;
    return o;
  }

  // A new process on the same disk.
  void restart(const OpenFrom& from = {}) {
    log = Log(options);
    ops = OpTable();
    cold = {};
    failed = IoError::none;
    turn([&](Io& io) { log.open(io, from); });
  }
  template<class F>
  void turn(F&& f) {
    Ctx ctx = world.ctx();
    Commands commands;
    Io io{ctx, commands, ops};
    f(io);
    for (const Command& c : commands)
      if (on_command) on_command(c);
    disk.submit(commands);
  }
  void deliver(const Event& e) {
    const auto [token, end] = end_of_command(e);
    const auto owner = ops.end(token);
    ASSERT_TRUE(owner.has_value());
    turn([&](Io& io) {
      Out out;
      log.on_storage(io, *owner, end, out);
      for (const ColdEnd& c : out.cold) {
        cold.insert(c.offset);
        EXPECT_FALSE(c.corrupt && !expects_damage) << "offset " << c.offset;
      }
      if (out.failed != IoError::none) failed = out.failed;
      removed |= out.removed;
      closed |= out.closed;
      checkpointed |= out.checkpointed;
      if (out.cleaned) cleaned = out.cleaned, ++cleanings;
      if (out.clean_at) clean_at = out.clean_at;
      if (out.remove_at) remove_at = *out.remove_at;
      if (out.strayed) log.open(io, {});
      if (!log.failed()) log.flush(io);
    });
    const Ends& n = log.ends();
    ASSERT_LE(n.synced, n.written);
    ASSERT_LE(n.written, n.submitted);
  }
  bool step(uint64_t which) {
    if (disk.ready() == 0) return false;
    if (const auto e = disk.step(which % disk.ready())) deliver(*e);
    return true;
  }
  void settle(Rng* rng = nullptr) {
    while (step(rng ? rng->next() : 0))
      if (testing::Test::HasFatalFailure()) return;
  }

  void append(const BatchSpec& spec, LeaderEpoch epoch) {
    turn([&](Io& io) {
      const Slice batch = make_batch(spec);
      const Offset at = log.ends().submitted;
      log.append_as_leader(io.ctx, epoch, batch);
      std::vector<uint8_t> placed(batch.data(), batch.data() + batch.size());
      protocol::place_batch(placed.data(), batch.data(), {at, epoch});
      model.add(placed);
    });
  }
  void flush() {
    turn([&](Io& io) { log.flush(io); });
  }
  void retain(const RetainBy& by) {
    turn([&](Io& io) {
      log.retain(io, by);
      log.flush(io);
    });
    model.start = log.ends().log_start;
    furthest_start = std::max(furthest_start, model.start);
  }
  void sync() {
    turn([&](Io& io) { log.sync(io); });
  }

  // Reads until `end`, from memory or disk; the batches as they come.
  Model read_all(Offset from, Rng* rng = nullptr) {
    Model m;
    m.start = from;
    for (Offset at = from; at < log.ends().submitted;) {
      const ReadResult r = read_at(at, rng);
      std::vector<uint8_t> all;
      for (const Slice& s : r.pieces) all.insert(all.end(), s.data(), s.data() + s.size());
      EXPECT_EQ(all.size(), r.size);
      if (all.empty()) {
        ADD_FAILURE() << "nothing to read at " << at;
        return m;
      }
      for (size_t i = 0; i < all.size();) {
        const auto h = read_sane_header(all.data() + i);
        m.add(ByteSpan(all).subspan(i, h->size()));
        i += h->size();
      }
      EXPECT_EQ(r.next, m.end());
      at = r.next;
    }
    return m;
  }
  ReadResult read_at(Offset at, Rng* rng = nullptr) {
    const uint32_t most = rng ? static_cast<uint32_t>(rng->below(10'000)) : 5'000;
    const ReadFrom from{at, most, log.ends().submitted, true};
    for (int i = 0; i < 1000; ++i) {
      const ReadResult r = log.read(from);
      if (r.status != ReadStatus::cold) return r;
      cold.erase(at);
      turn([&](Io& io) { EXPECT_TRUE(log.load_cold(io, {at, most})); });
      while (!cold.count(at) && step(rng ? rng->next() : 0)) {
      }
      EXPECT_TRUE(cold.count(at));
    }
    ADD_FAILURE() << "starved at " << at;
    return {};
  }

  // Producer states are the fold of all that is left, and of what was let go as far as a snapshot knew of it.
  bool producers_follow(const Model& m) const {
    for (size_t from = 0; from <= m.batches.size(); ++from) {
      if (from > 0 && m.batches[from - 1].last >= m.start) return false;
      ProducerStates producers;
      for (size_t i = from; i < m.batches.size(); ++i) producers.apply({m.batches[i].header(), m.batches[i].marker()});
      if (log.producers() == producers) return true;
    }
    return false;
  }

  // What a reader of committed data sees: below the last stable offset all but what was aborted, be it by a marker
  // before or behind that.
  void check_transactions(const Model& m) {
    struct Txn {
      std::vector<size_t> batches;
    };
    std::map<ProducerId, Txn> open;
    std::set<Offset> hidden, undecided;
    for (size_t i = 0; i < m.batches.size(); ++i) {
      const BatchHeader h = m.batches[i].header();
      if (!h.transactional()) continue;
      const auto marker = m.batches[i].marker();
      if (!marker) {
        open[h.producer_id].batches.push_back(i);
        continue;
      }
      if (!marker->commit)
        for (const size_t b : open[h.producer_id].batches) hidden.insert(m.batches[b].base);
      open.erase(h.producer_id);
    }
    for (const auto& [id, txn] : open)
      for (const size_t b : txn.batches)
        if (m.batches[b].last >= m.start) undecided.insert(std::max(m.batches[b].base, m.start));
    const Offset end = log.ends().submitted, stable = log.last_stable(end);
    EXPECT_GE(stable, std::min(m.start, end));
    EXPECT_LE(stable, undecided.empty() ? end : *undecided.begin());
    // A transaction whose records are gone may hold it back, unless recovery could not know of it.
    if (undecided.empty() && open.empty()) {
      EXPECT_EQ(stable, end);
    }
    for (const Offset from : {m.start, m.start + (stable - m.start) / 2}) {
      std::multimap<ProducerId, Offset> aborted;
      for (const AbortedTxn& a : log.aborted_in(from, stable)) aborted.emplace(a.producer, a.first);
      std::set<ProducerId> skips;
      for (const Model::Batch& b : m.batches) {
        if (b.last < from || b.last >= stable) continue;
        const BatchHeader h = b.header();
        for (auto a = aborted.begin(); a != aborted.end();) {
          const bool begins = a->second <= b.last;
          if (begins) skips.insert(a->first);
          a = begins ? aborted.erase(a) : std::next(a);
        }
        if (const auto marker = b.marker(); marker && !marker->commit) skips.erase(h.producer_id);
        if (h.control()) continue;
        const bool seen = !(h.transactional() && skips.count(h.producer_id));
        EXPECT_EQ(seen, hidden.count(b.base) == 0) << "the batch at " << b.base << " of " << h.producer_id;
      }
    }
  }

  // What follows from the batches does follow.
  void check_derived(const Model& m) {
    EpochCache epochs;
    TimestampAndOffset newest;
    for (const Model::Batch& b : m.batches) {
      const BatchHeader h = b.header();
      if (h.partition_leader_epoch > epochs.latest()) epochs.assign({h.partition_leader_epoch, h.base_offset});
      if (b.last >= m.start && h.max_timestamp > newest.timestamp) newest = {h.max_timestamp, h.last_offset()};
    }
    epochs.truncate_from_start(m.start);
    // A file that was written for a log start that a crash has undone does not tell what was before it.
    const Offset told_from = log.epochs().entries().empty() ? 0 : log.epochs().entries().front().start;
    if (told_from <= furthest_start) epochs.truncate_from_start(told_from);
    if (log.ends().submitted > m.start || !log.epochs().entries().empty()) {  // an empty log may forget its last epoch
      EXPECT_EQ(log.epochs().entries(), epochs.entries());
    }
    EXPECT_TRUE(producers_follow(m));
    check_transactions(m);
    EXPECT_EQ(log.max_timestamp().timestamp, newest.timestamp);
    int64_t size = 0;
    for (const auto& b : m.live()) size += static_cast<int64_t>(b.bytes.size());
    EXPECT_EQ(log.size_bytes(), size);
  }

  LogOptions options;
  TestWorld world;
  FakeStorage disk;
  OpTable ops;
  Log log;
  Model model;
  std::multiset<Offset> cold;
  std::function<void(const Command&)> on_command;
  IoError failed = IoError::none;
  std::optional<Instant> remove_at, clean_at;
  Offset furthest_start = 0;
  std::optional<CleanEnd> cleaned;
  int cleanings = 0;
  bool removed = false, closed = false, checkpointed = false, expects_damage = false;
};

}  // namespace klamm::log
