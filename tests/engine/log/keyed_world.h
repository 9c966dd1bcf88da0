// A compacted log, and what a reader of it must and must not see.
#pragma once
#include "tests/engine/log/log_world.h"

namespace klamm::log {

using protocol::Bytes;

struct KeyedRecord {
  std::optional<std::string> key, value;
  friend bool operator==(const KeyedRecord&, const KeyedRecord&) = default;
};
using KeyedRecords = std::map<Offset, KeyedRecord>;
// A record of a transaction, or the marker at its end.
struct Transactional {
  ProducerId id = -1;
  std::optional<EndMarker> marker;
};
enum class Fate : uint8_t { open, committed, aborted };

struct KeyedWorld {
  static LogOptions options() {
    LogOptions o = LogWorld::default_options();
    o.config.compacted = true;
    o.config.deletes = false;
    o.config.segment_bytes = 3'000;
    o.config.delete_retention_ms = 1'000;
    o.config.file_delete_delay_ms = 0;
    o.tail_bytes = 3'000;
    return o;
  }
  KeyedWorld() : w(options()) { w.world.wall.ms = 1'000'000; }

  void open() {
    w.restart();
    w.settle();
  }
  void append(const std::vector<KeyedRecord>& records, protocol::Compression codec = protocol::Compression::none) {
    w.turn([&](Io& io) {
      protocol::BatchBuilder::Options o;
      o.compression = codec;
      if (producer >= 0) {
        o.producer_id = producer, o.producer_epoch = 0;
        const ProducerEntry* e = w.log.producers().find(producer);
        o.base_sequence = e && e->newest() ? protocol::add_sequence(e->newest()->last_sequence, 1) : 0;
        o.transactional = transactional;
      }
      protocol::BatchBuilder b(o);
      const auto bytes = [](const std::optional<std::string>& s) { return s ? Bytes::of(as_bytes(*s)) : Bytes(); };
      for (const KeyedRecord& r : records)
        b.add({.timestamp = w.world.wall.ms, .key = bytes(r.key), .value = bytes(r.value)});
      Offset at = w.log.append_as_leader(io.ctx, epoch, b.finish()).base;
      for (const KeyedRecord& r : records) {
        if (transactional) transactions[at] = {producer, std::nullopt};
        written[at++] = r;
      }
    });
  }
  void end(ProducerId id, bool commit) {
    BatchSpec spec{
        .timestamp = w.world.wall.ms, .producer_id = id, .producer_epoch = 0, .marker = EndMarker{commit, 0}};
    w.turn([&](Io& io) {
      transactions[w.log.append_as_leader(io.ctx, epoch, make_batch(spec)).base] = {id, spec.marker};
    });
  }
  void forget_from(Offset end) {
    written.erase(written.lower_bound(end), written.end());
    transactions.erase(transactions.lower_bound(end), transactions.end());
  }
  // What became of each record that belongs to a transaction, and by which marker.
  struct Decided {
    Fate fate = Fate::open;
    Offset marker = -1;
  };
  std::map<Offset, Decided> fates() const {
    std::map<Offset, Decided> all;
    std::map<ProducerId, std::vector<Offset>> open;
    for (const auto& [at, t] : transactions) {
      if (!t.marker) {
        all[at] = {}, open[t.id].push_back(at);
        continue;
      }
      for (const Offset o : open[t.id]) all[o] = {t.marker->commit ? Fate::committed : Fate::aborted, at};
      open.erase(t.id);
    }
    return all;
  }
  // All is durable, and a file says so.
  void checkpoint() {
    w.turn([&](Io& io) {
      w.log.flush(io);
      w.log.checkpoint(io);
    });
    w.settle();
    if (!w.log.ready()) return;
    noted = w.log.recovery_point();
    w.log.note_checkpoint(noted);
  }
  bool clean() {
    bool begun = false;
    const CleanRange range = w.log.cleanable(w.world.wall, high_watermark);
    w.turn([&](Io& io) {
      by.high_watermark = high_watermark;
      begun = w.log.clean(io, by);
    });
    if (!begun) return false;
    cleaned_most = std::max(cleaned_most, range.end);
    for (const auto& [offset, r] : written)
      if (offset < range.end && !r.value)
        horizons.emplace(offset, w.world.wall.ms + w.options.config.delete_retention_ms);
    return true;
  }
  void clean_all() {
    high_watermark = w.log.ends().written;
    if (clean()) w.settle();
    note_cleaned();
  }
  void note_cleaned() {
    if (w.log.ready() && !w.log.cleaning()) cleaned_least = std::max(cleaned_least, w.log.cleaned_to());
  }

  KeyedRecords read(Rng* rng = nullptr) {
    KeyedRecords all;
    const Offset start = w.log.ends().log_start;
    for (const Model::Batch& b : w.read_all(start, rng).batches) {
      const BatchHeader h = b.header();
      if (h.control()) continue;
      const auto open = protocol::OpenBatch::open(h, b.bytes, 1 << 20);
      EXPECT_TRUE(open.has_value());
      auto cursor = open->records();
      const auto text = [](const Bytes& x) {
        return x.is_null() ? std::nullopt : std::optional(std::string(as_text(x.span())));
      };
      for (protocol::Record r; cursor.next(r);)
        if (r.offset >= start) {
          EXPECT_TRUE(all.empty() || all.rbegin()->first < r.offset);
          all[r.offset] = {text(r.key), text(r.value)};
        }
    }
    return all;
  }

  // Whatever compaction has done or was doing.
  void check(const KeyedRecords& found) {
    const Offset start = w.log.ends().log_start;
    std::map<std::string, Offset> newest, newest_cleaned;
    const auto decided = fates();
    const auto aborted = [&](Offset offset) {
      const auto f = decided.find(offset);
      return f != decided.end() && f->second.fate == Fate::aborted;
    };
    for (const auto& [offset, r] : written) {
      if (r.key && !aborted(offset)) newest[*r.key] = offset;
      if (r.key && !aborted(offset) && offset < cleaned_least) newest_cleaned[*r.key] = offset;
      if (offset >= std::max(start, cleaned_most)) {
        EXPECT_TRUE(found.count(offset)) << offset << " is gone, cleaned up to " << cleaned_most;
      }
    }
    for (const auto& [offset, r] : found) {
      const auto was = written.find(offset);
      ASSERT_TRUE(was != written.end()) << offset << " was never written";
      EXPECT_EQ(was->second, r) << offset;
      if (offset < cleaned_least) {
        EXPECT_TRUE(r.key && newest_cleaned[*r.key] == offset) << offset << " should have gone";
      }
    }
    for (const auto& [key, offset] : newest) {
      if (offset < start || found.count(offset)) continue;
      const auto horizon = horizons.find(offset);
      ASSERT_TRUE(horizon != horizons.end()) << "the last value of " << key << " at " << offset << " is gone";
      EXPECT_GE(w.world.wall.ms, horizon->second) << "a tombstone went early: " << offset;
      for (const auto& [other, r] : found) EXPECT_TRUE(r.key != key || aborted(other)) << other << " has come back";
    }
  }

  // A reader of committed data sees of what is left all that was decided and not aborted; and every transaction of
  // which something is left has its end.
  void check_transactions(Rng* rng = nullptr) {
    const auto decided = fates();
    const Offset start = w.log.ends().log_start, end = w.log.ends().submitted, stable = w.log.last_stable(end);
    Offset open_from = end;
    for (const auto& [offset, d] : decided)
      if (d.fate == Fate::open) open_from = std::min(open_from, offset);
    EXPECT_EQ(stable, open_from);
    std::multimap<ProducerId, Offset> aborted;
    for (const AbortedTxn& a : w.log.aborted_in(start, stable)) aborted.emplace(a.producer, a.first);
    std::set<ProducerId> skips;
    std::set<Offset> markers, needed;
    for (const Model::Batch& b : w.read_all(start, rng).batches) {
      const BatchHeader h = b.header();
      for (auto a = aborted.begin(); a != aborted.end();) {
        const bool begins = a->second <= b.last;
        if (begins) skips.insert(a->first);
        a = begins ? aborted.erase(a) : std::next(a);
      }
      if (const auto marker = b.marker()) {
        markers.insert(b.base);
        if (!marker->commit) skips.erase(h.producer_id);
      }
      if (h.control() || !h.transactional() || h.record_count == 0 || b.base >= stable) continue;
      const auto d = decided.lower_bound(b.base);
      ASSERT_TRUE(d != decided.end() && d->first <= b.last);
      EXPECT_EQ(skips.count(h.producer_id) > 0, d->second.fate == Fate::aborted) << "the batch at " << b.base;
      needed.insert(d->second.marker);
    }
    for (const Offset m : needed) EXPECT_TRUE(markers.count(m)) << "the marker at " << m << " is gone";
  }

  // A new process; `power`: on what a loss of power leaves.
  void crash(bool power, const FakeStorage::Choose& choose, const OpenFrom& from, Rng* rng = nullptr) {
    const Offset promised = power ? w.log.ends().synced : w.log.ends().written;
    const bool lived = !w.log.failed() && w.log.ready();
    note_cleaned();
    power ? w.disk.lose_power(choose) : w.disk.kill(choose);
    w.restart(from);
    noted = from.recovery_point;
    w.settle(rng);
    ASSERT_TRUE(w.log.ready());
    if (lived) {
      EXPECT_GE(w.log.ends().submitted, promised);
    }
    forget_from(w.log.ends().submitted);
    high_watermark = std::min(high_watermark, w.log.ends().submitted);
    check(read(rng));
    check_transactions(rng);
  }

  std::vector<std::string> files(const char* suffix) const {
    std::vector<std::string> all;
    for (const std::string& name : w.disk.names("orders-5"))
      if (name.ends_with(suffix)) all.push_back(name);
    return all;
  }

  LogWorld w;
  CleanBy by;
  ProducerId producer = -1;
  LeaderEpoch epoch = 1;
  Offset high_watermark = 0, noted = 0;
  KeyedRecords written;
  bool transactional = false;
  std::map<Offset, Transactional> transactions;
  Offset cleaned_least = 0, cleaned_most = 0;  // compaction has certainly, or perhaps, come so far
  std::map<Offset, int64_t> horizons;          // when a tombstone may go
};

}  // namespace klamm::log
