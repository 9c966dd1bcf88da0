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
      }
      protocol::BatchBuilder b(o);
      const auto bytes = [](const std::optional<std::string>& s) { return s ? Bytes::of(as_bytes(*s)) : Bytes(); };
      for (const KeyedRecord& r : records)
        b.add({.timestamp = w.world.wall.ms, .key = bytes(r.key), .value = bytes(r.value)});
      Offset at = w.log.append_as_leader(io.ctx, epoch, b.finish()).base;
      for (const KeyedRecord& r : records) written[at++] = r;
    });
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
    for (const auto& [offset, r] : written) {
      if (r.key) newest[*r.key] = offset;
      if (r.key && offset < cleaned_least) newest_cleaned[*r.key] = offset;
      if (offset >= std::max(start, cleaned_most)) {
        EXPECT_TRUE(found.count(offset)) << offset << " is gone, cleaned up to " << cleaned_most;
      }
    }
    for (const auto& [offset, r] : found) {
      const auto was = written.find(offset);
      ASSERT_TRUE(was != written.end()) << offset << " was never written";
      EXPECT_EQ(was->second, r) << offset;
      if (offset < cleaned_least) {
        EXPECT_TRUE(r.key && newest_cleaned.at(*r.key) == offset) << offset << " should have gone";
      }
    }
    for (const auto& [key, offset] : newest) {
      if (offset < start || found.count(offset)) continue;
      const auto horizon = horizons.find(offset);
      ASSERT_TRUE(horizon != horizons.end()) << "the last value of " << key << " at " << offset << " is gone";
      EXPECT_GE(w.world.wall.ms, horizon->second) << "a tombstone went early: " << offset;
      for (const auto& [other, r] : found) EXPECT_NE(r.key, key) << other << " has come back";
    }
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
    written.erase(written.lower_bound(w.log.ends().submitted), written.end());
    high_watermark = std::min(high_watermark, w.log.ends().submitted);
    check(read(rng));
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
  Offset cleaned_least = 0, cleaned_most = 0;  // compaction has certainly, or perhaps, come so far
  std::map<Offset, int64_t> horizons;          // when a tombstone may go
};

}  // namespace klamm::log
