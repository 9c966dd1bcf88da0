// One partition's log in Kafka's file formats, in a directory "<topic>-<partition>". Also the KRaft metadata log.
//
// Owned by value by a part of the node; copyable. Files are lazy: nothing is on disk before the first flush. Appends
// are visible to reads at once (from memory) and move `ends().submitted`; `flush` joins a turn's appends to one write a
// file; ends of writes and syncs move `written` and `synced`. A failed command is final.
//
//   Log ── open ──> opening ──> ready <──> (truncated too deep for memory: opening again)
//                     └─ any failure ─> failed          ready ── close/remove ──> closed/removed
//
// The caller validates what it appends and routes every StorageEnd whose Owner carries this log's module and key here.
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "engine/env/io.h"
#include "engine/log/batch.h"
#include "engine/log/epoch_cache.h"
#include "engine/log/producers.h"
#include "engine/log/types.h"

namespace klamm::log {

class Log final {
 public:
  explicit Log(LogOptions options);

  // ---- life
  // Recovers what a former life left on disk: scans from the recovery point, cuts at the first bad batch. Ends with
  // Out.ready or Out.failed. Once.
  void open(Io& io, const OpenFrom& from);
  bool ready() const;   // appends, reads and truncations are allowed
  bool failed() const;  // nothing is allowed any more
  void on_storage(Io& io, const Owner& owner, const StorageEnd& end, Out& out);
  void set_config(const LogConfig& config);
  // Orderly end: flushes, writes indexes and the epoch checkpoint, syncs, closes. Out.closed tells.
  void close(Io& io);
  // Moves the directory away ("<topic>-<partition>.<away>-delete") and removes it. Out.removed tells. From any state
  // but failed.
  void remove(Io& io, const Uuid& away);

  // ---- appends. Not durable, not even written, before flush and the ends of its commands.
  // One batch of this log's leader: takes the next offsets; gets a fresh header with them and `epoch`; the records are
  // shared with the caller's buffer. The two-slice form takes a header that differs from the one before the records.
  Appended append_as_leader(Ctx& ctx, LeaderEpoch epoch, const Slice& batch);
  Appended append_as_leader(Ctx& ctx, LeaderEpoch epoch, const Slice& header, const Slice& records);
  // Whole batches as the leader has them, from ends().submitted on (beyond it only where the leader's log has a gap).
  Appended append_as_follower(Ctx& ctx, const Slice& batches);
  bool dirty() const;  // flush has something to do
  void flush(Io& io);  // submits the writes of everything appended; call once a turn for dirty logs
  void sync(Io& io);   // flushes, then makes durable what is submitted so far; calls while one runs join the next one
  const Ends& ends() const;

  // ---- reads
  ReadResult read(const ReadFrom& from) const;
  void load_cold(Io& io, const ColdWant& want);  // after a read said cold; Out.cold tells when to read again
  // The place from which to read on to find the first batch whose max timestamp is at least `timestamp`; nothing if
  // there is none.
  std::optional<Offset> find_time(int64_t timestamp) const;
  TimestampAndOffset max_timestamp() const;
  int64_t size_bytes() const;
  void drop_caches();  // gives back memory: what is written can be read from disk

  // ---- truncation. Takes effect at once in memory; later appends wait in memory until it is durable on disk.
  void truncate_to(Io& io, Offset offset);  // offsets >= `offset` go; no-op if that is not below the end
  void truncate_fully_and_start_at(Io& io, Offset start, const Uuid& away);
  void advance_log_start(Ctx& ctx, Offset start);  // never back; beyond no end

  // ---- leader epochs
  void assign_epoch(LeaderEpoch epoch);  // of this leader, from the log's end on
  OffsetAndEpoch end_offset_for(LeaderEpoch epoch) const;
  const EpochCache& epochs() const;

  const ProducerStates& producers() const;
  Offset recovery_point() const;  // what OpenFrom may say at the next start; goes down with a truncation
  uint64_t generation() const;    // bumped by every truncation
  int64_t dropped_bytes() const;  // by recovery
  const LogOptions& options() const;
};

}  // namespace klamm::log
