// One partition's log in Kafka's file formats, in a directory "<topic>-<partition>". Also the KRaft metadata log.
//
// Owned by value by a part of the node; copyable. Files are lazy: nothing is on disk before the first flush. Appends
// are visible to reads at once (from memory) and move `ends().submitted`; `flush` joins a turn's appends to one write a
// file; ends of writes and syncs move `written` and `synced`. A failed write or sync is final.
//
//   fresh ── open ──> opening <──> ready ── close ──> closing ──> closed      (ready -> opening: a truncation deeper
//                        └── any failure ──> failed      any but failed ── remove ──> leaving ──> gone   than memory)
//
// The caller validates what it appends and routes every StorageEnd whose Owner carries this log's module and key here.
// Reading an index never decides anything: both indexes, the epoch file and producer states follow from the batches.
#pragma once
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/base/boxed.h"
#include "engine/base/fifo.h"
#include "engine/env/io.h"
#include "engine/log/batch.h"
#include "engine/log/cleaning.h"
#include "engine/log/cold.h"
#include "engine/log/epoch_cache.h"
#include "engine/log/ops.h"
#include "engine/log/producers.h"
#include "engine/log/replace_file.h"
#include "engine/log/scanner.h"
#include "engine/log/segment.h"
#include "engine/log/tail.h"
#include "engine/log/types.h"

namespace klamm::log {

inline constexpr size_t kMaxWrites = 64;             // of a log under way; more wait in memory and join
inline constexpr uint32_t kScanBytes = 1 << 20;      // recovery reads so much at a time, one read under way
inline constexpr uint32_t kMaxIndexFile = 16 << 20;  // a larger .index is not read: a scan finds the place

class Log final {
 public:
  explicit Log(LogOptions options);

  // ---- life
  // Recovers what a former life left on disk: scans from the recovery point, cuts at the first bad batch. Ends with
  // Out.ready or Out.failed; or with Out.strayed, and then is to be called again. Otherwise once.
  void open(Io& io, const OpenFrom& from);
  bool ready() const { return state_ == State::ready; }    // appends, reads and truncations are allowed
  bool failed() const { return state_ == State::failed; }  // nothing is allowed any more
  void on_storage(Io& io, const Owner& owner, const StorageEnd& end, Out& out);
  void set_config(const LogConfig& config) { options_.config = config; }
  // Makes everything durable and writes the epoch file, so that recovery_point() can move. True: it has; else
  // Out.checkpointed tells.
  bool checkpoint(Io& io);
  // Makes the next recovery begin here, even if it is one after a crash: a checkpoint, the indexes of the active
  // segment and a snapshot of the producers, in the background.
  void mark(Io& io);
  bool marking() const { return ready() && (mark_ || snapshot_running_); }
  int64_t unmarked_bytes() const { return segments_.empty() ? 0 : segments_.back().size - segments_.back().marked; }
  // Orderly end: a checkpoint, the indexes of the active segment, all files closed. True: there was nothing to do;
  // else Out.closed tells. Only when ready.
  bool close(Io& io);
  // Moves the directory away ("<topic>-<partition>.<away>-delete") and removes it. From any state but failed. True:
  // nothing is on disk; else Out.removed tells.
  bool remove(Io& io, const Uuid& away);
  // Moves a directory that is another topic's away ("<topic>-<partition>.<away>-stray"), unread. Instead of open;
  // Out.removed tells.
  void set_aside(Io& io, const Uuid& away);

  // ---- appends. Not durable, not even written, before flush and the ends of its commands.
  // One batch of this log's leader: takes the next offsets; gets a fresh header with them and `epoch`; the records are
  // shared with the caller's buffer. The three-part form takes a header that lies apart from the records.
  Appended append_as_leader(Ctx& ctx, LeaderEpoch epoch, const Slice& batch);
  Appended append_as_leader(Ctx& ctx, LeaderEpoch epoch, const Slice& header, const Slice& records);
  // Which part of a leader's answer can be appended: whole batches of format 2 with good checksums that continue this
  // log, offsets and epochs rising. An unfinished batch at the end is left off.
  Result<Slice> check_follower_batches(const Slice& records) const;
  // Where the first batch begins, if this log is empty and starts inside it: deletions are by record, copies by batch.
  std::optional<Offset> starts_inside(const Slice& records) const;
  // What check_follower_batches gave, as it is.
  Appended append_as_follower(Ctx& ctx, const Slice& batches);
  // flush has something to do
  bool dirty() const { return flushed_ < ends_.submitted || (!segments_.empty() && segments_.back().lacks_file()); }
  void flush(Io& io);  // submits the writes of everything appended; call once a turn for dirty logs
  void sync(Io& io);   // flushes, then makes durable what is submitted so far; a call while one runs joins the next
  const Ends& ends() const { return ends_; }

  // ---- reads
  ReadResult read(const ReadFrom& from) const;
  // Right after a read said cold; Out.cold tells when to read again. False: too many wait; answer without these bytes.
  bool load_cold(Io& io, const ColdWant& want);
  // Why a read could not be served has been told: the next one tries the disk anew.
  void forget_fault(Offset offset);
  // The place from which to read on to find the first batch whose max timestamp is at least `timestamp`; nothing if
  // no batch is so new.
  std::optional<Offset> find_time(int64_t timestamp) const;
  // A load_cold of the times there would let find_time tell more.
  bool lacks_times(Offset offset) const;
  TimestampAndOffset max_timestamp() const;   // the newest batch and its last offset
  int64_t size_bytes(Offset from = 0) const;  // of the segments that reach beyond `from`

  // ---- memory that spares reads from disk: the tail, and what cold reads have left
  int64_t cached_bytes() const;
  bool used() const { return used_; }  // appended to or read, since one of the next two was called
  void note_use() { used_ = true; }
  // What cold reads have left goes; and, as far as it is written, the tail, or the older half of one that was used.
  void give_back();
  void forget_unused();  // what cold reads have left goes unless the log was used
  bool forgets() const { return used_ || !cold_blocks_.empty() || !cold_places_.empty() || !windows_.empty(); }
  void drop_caches();  // all of it goes

  // ---- truncation. Takes effect at once in memory; later appends wait in memory until it is durable on disk.
  // Offsets >= `offset` go, and with them the batch that holds `offset`, and epochs that wrote nothing before it; not
  // below the log start. Deeper than memory reaches, ready() is lost until Out.ready; ends().submitted is final only
  // then.
  void truncate_to(Io& io, Offset offset);
  void truncate_fully_and_start_at(Io& io, Offset start, const Uuid& away);
  void advance_log_start(Ctx& ctx, Offset start);  // never back; not beyond the end
  // Lets go of all it has, which is durable, and begins at `start`, at its end or beyond. The folder stays. A crash
  // leaves the old log without some of its oldest segments, or an empty one that begins at `start`: nothing may be
  // appended before begun_anew().
  void begin_anew_at(Io& io, Offset start);
  // Segments lie before an empty last one that begins at `start`: a crash has kept begin_anew_at from its end, or the
  // log was about to grow there.
  bool begins_anew_behind_others(Offset start) const {
    return segments_.size() > 1 && segments_.back().base == start && segments_.back().size == 0;
  }
  bool begun_anew() const { return ready() && segments_.size() == 1 && !put_away_running_; }

  // ---- retention (log_retain.cc)
  bool retains_too_much(Wall now, const RetainBy& by) const;  // retain has something to do
  // Moves the log start over what has expired and puts its files away: first renamed, removed after
  // file.delete.delay.ms by remove_put_away, for which Out.remove_at asks.
  void retain(Io& io, const RetainBy& by);
  void remove_put_away(Io& io);
  Instant next_removal() const;  // when remove_put_away does something
  // Files should be gone by now, and remove_put_away could not.
  bool removal_overdue(Instant now) const { return !put_away_.empty() && put_away_.front().remove_at <= now; }

  // ---- compaction (log_clean.cc, log_swap.cc)
  // What a cleaning would do now; no dirty bytes: nothing.
  CleanRange cleanable(Wall now, Offset high_watermark) const;
  // Begins it; Out.cleaned tells the end. False: not now. Retention waits meanwhile; any truncation ends it soon.
  bool clean(Io& io, const CleanBy& by);
  void go_on_cleaning(Io& io, Out& out);  // at Out.clean_at
  void abandon_cleaning(Io& io);
  bool cleaning() const { return cleaning_ && !failed(); }
  Offset cleaned_to() const { return cleaned_to_; }  // for the next OpenFrom
  // A durable file says that recovery_point() is at least this: compaction goes so far, for a recovery that had to read
  // what it has left would not know where epochs began.
  Offset noted_recovery_point() const { return noted_recovery_point_; }
  void note_checkpoint(Offset recovery_point) { noted_recovery_point_ = std::min(recovery_point, recovery_point_); }

  // ---- leader epochs
  void assign_epoch(LeaderEpoch epoch) {
    epochs_.assign({epoch, ends_.submitted});
  }  // of a new leader, from the end on
  OffsetAndEpoch end_offset_for(LeaderEpoch epoch) const { return epochs_.end_offset_for(epoch, ends_.submitted); }
  const EpochCache& epochs() const { return epochs_; }

  // ---- transactions
  // Below it every transaction is decided: the high watermark, or where the first begins that is open or whose end is
  // not committed.
  Offset last_stable(Offset high_watermark) const;
  void note_high_watermark(Offset high_watermark) { producers_.forget_below(high_watermark); }
  // The transactions that a reader of [from, next) must know to be aborted, and as Kafka some that begin soon after.
  // Empty unless something was read.
  std::vector<AbortedTxn> aborted_in(Offset from, Offset next) const;

  const ProducerStates& producers() const { return producers_; }
  bool producers_expired(const Ctx& ctx) const { return producers_.has_expired(expiration(ctx)); }
  void expire_producers(const Ctx& ctx) { producers_.expire(expiration(ctx)); }
  Offset recovery_point() const { return recovery_point_; }  // for the next OpenFrom; a truncation takes it down
  uint64_t generation() const { return generation_; }        // bumped by every truncation
  int64_t dropped_bytes() const { return dropped_bytes_; }   // that recovery found damaged
  // Says so to people, once it is open.
  void tell_dropped(Ctx& ctx) const;
  const LogOptions& options() const { return options_; }
  const std::string& path() const { return path_; }

  template<class V>
  void fields(V& v) const {
    v("options", options_), v("path", path_), v("state", state_), v("ends", ends_), v("generation", generation_),
        v("segments", segments_), v("tail", tail_), v("epochs", epochs_), v("producers", producers_), v("ops", ops_),
        v("flushed", flushed_), v("writes", writes_), v("next_write", next_write_), v("write_reached", write_reached_),
        v("held", held_), v("identity", identity_), v("on_disk", on_disk_), v("round", round_),
        v("names_running", names_running_), v("roll_waits", roll_waits_), v("sync_wanted", sync_wanted_),
        v("sync_reached", sync_reached_), v("checkpoint_wanted", checkpoint_wanted_),
        v("checkpoint_to", checkpoint_to_), v("epoch_file", epoch_file_), v("epoch_file_holds", epoch_file_holds_),
        v("recovery_point", recovery_point_), v("cold_reads", cold_reads_), v("cold_wants", cold_wants_),
        v("cold_blocks", cold_blocks_), v("cold_faults", cold_faults_), v("cold_places", cold_places_),
        v("windows", windows_), v("next_cold", next_cold_), v("opening", opening_), v("leaving", leaving_),
        v("closing", closing_), v("dropped_bytes", dropped_bytes_), v("used", used_);
    v("put_away_to", put_away_to_), v("put_away", put_away_), v("put_away_running", put_away_running_),
        v("front_sure", front_sure_), v("epoch_file_due", epoch_file_due_);
    v("snapshots", snapshots_), v("snapshots_gone", snapshots_gone_), v("snapshot_running", snapshot_running_),
        v("cuts", cuts_), v("mark", mark_), v("last_indexes", last_indexes_), v("lost_aborted", lost_aborted_);
    v("cleaning", cleaning_), v("next_cleaning", next_cleaning_), v("cleaned_to", cleaned_to_),
        v("uncleanable", uncleanable_), v("noted_recovery_point", noted_recovery_point_);
  }

 private:
  enum class State : uint8_t { fresh, opening, ready, closing, closed, leaving, gone, failed };

  // partition.metadata: tells whose directory this is. No write counts before it is there.
  struct Identity {
    bool begun = false;
    bool visible = false;
    bool syncing = false;
    bool durable = false;
    bool dir_durable = false;  // the directory's own name
    template<class V>
    void fields(V& v) const {
      v("begun", begun), v("visible", visible), v("syncing", syncing), v("durable", durable),
          v("dir_durable", dir_durable);
    }
  };
  struct WriteRun {
    uint64_t number = 0;
    Offset end = 0;
    bool done = false;
    template<class V>
    void fields(V& v) const {
      v("number", number), v("end", end), v("done", done);
    }
  };
  // One round of syncs. It ends once the files are synced and all their names durable.
  struct SyncRound {
    bool running = false;
    Offset target = 0;
    bool files_done = false;
    template<class V>
    void fields(V& v) const {
      v("running", running), v("target", target), v("files_done", files_done);
    }
  };
  // A truncation of files that waits until the snapshots above it are gone.
  struct Cut {
    uint16_t slot = 0;  // of its Op
    FileId file;        // to be shortened to `position`, if it is set
    int64_t position = 0;
    template<class V>
    void fields(V& v) const {
      v("slot", slot), v("file", file), v("position", position);
    }
  };
  // A snapshot to be written at `at`, where the active segment has `size` bytes: checkpoint -> indexes -> snapshot.
  struct Mark {
    Offset at = 0;
    int64_t size = 0;
    Slice producers;
    bool indexed = false;
    template<class V>
    void fields(V& v) const {
      v("at", at), v("size", size), v("producers", producers), v("indexed", indexed);
    }
  };
  // Recovery: list -> identity and epoch file -> snapshot -> scan segment by segment -> cut -> ready.
  struct Opening {
    OpenFrom from;
    Offset limit = 0;   // a truncation: nothing that reaches it stays
    uint8_t loads = 0;  // small files under way
    bool identity_wrong = false;
    bool epochs_known = false;
    size_t at = 0;  // the segment being scanned
    int64_t read_at = 0;
    Offset end = 0;  // after the last good batch
    LeaderEpoch epoch = kNoEpoch;
    BatchScanner scanner;
    bool cutting = false;
    bool again = false;     // a truncation that memory does not reach
    bool draining = false;  // that waits for writes under way
    bool refold = false;    // producer states, from fold_from on
    Offset fold_from = 0;
    Offset certain = 0;                                        // a snapshot said that everything below is durable
    Offset snapshots_to = std::numeric_limits<Offset>::max();  // later ones were tried in vain
    std::map<Offset, int64_t> time_bytes;                      // sizes of .timeindex files, by segment
    size_t newest_at = 0;  // of the segments before `at`: whose newest timestamp is not known yet
    bool waiting = false;  // for index files to be written
    bool may_resume = true;
    bool resumed = false;  // the segment under scan is read from an index entry on
    bool placed = false;   // its first batch was found there
    Slice offset_file, time_file, head;
    std::optional<Swaps> swaps;
    size_t aborted_at = 0;  // of the segments: whose .txnindex is read next
    bool aborted_damaged = false;
    Offset vouched = 0;  // what is certain all the same, if states are folded from an older snapshot for that reason
    template<class V>
    void fields(V& v) const {
      v("from", from), v("limit", limit), v("loads", loads), v("identity_wrong", identity_wrong),
          v("epochs_known", epochs_known), v("at", at), v("read_at", read_at), v("end", end), v("epoch", epoch),
          v("scanner", scanner), v("cutting", cutting), v("again", again), v("draining", draining), v("refold", refold);
      v("fold_from", fold_from), v("certain", certain), v("snapshots_to", snapshots_to), v("time_bytes", time_bytes),
          v("newest_at", newest_at), v("waiting", waiting), v("may_resume", may_resume), v("resumed", resumed),
          v("placed", placed), v("offset_file", offset_file), v("time_file", time_file), v("head", head),
          v("swaps", swaps), v("aborted_at", aborted_at), v("aborted_damaged", aborted_damaged), v("vouched", vouched);
    }
  };
  // A segment below the log start whose files are renamed, that durably.
  struct PutAway {
    Offset base = 0;
    Instant remove_at{};
    template<class V>
    void fields(V& v) const {
      v("base", base), v("remove_at", remove_at);
    }
  };
  // The directory goes: drain what is under way -> rename -> make it durable -> remove.
  struct Leaving {
    enum class Stage : uint8_t { draining, moving, removing };
    Stage stage = Stage::draining;
    std::string away;
    bool for_good = false;  // else the log lives on, empty
    bool stray = false;     // what was moved away stays there
    template<class V>
    void fields(V& v) const {
      v("stage", stage), v("away", away), v("for_good", for_good), v("stray", stray);
    }
  };

  // What is under way. The owner of an Op's commands carries its slot.
  Owner begin(Op op);
  Owner begin(Step step, uint32_t commands = 1) { return begin(Op{step, commands}); }
  void ended(Io& io, const Op& op, const StorageEnd& end, Out& out);
  void fail(IoError error, Out& out);
  void pump(Io& io, Out& out);  // everything that waits for a condition, whatever made it true

  // log_append.cc
  void append_batch(Ctx& ctx, const BatchHeader& header, TailBatch batch);
  void apply_batch(Segment& s, const AppliedBatch& batch);
  void roll_if_needed(Ctx& ctx, const BatchHeader& next);
  void begin_segment(Ctx& ctx, Offset base);
  void draw_jitter(Ctx& ctx, Segment& s) const;
  Segment* find_segment(Offset base);
  Segment& segment_of(Offset offset);  // the one that holds it

  // log_write.cc
  void begin_identity(Io& io);
  void open_segment(Io& io, Segment& s);
  void write_indexes(Io& io, Segment& s);
  bool spares_little(Offset at) const;
  void write_sealed(Io& io, Segment& s);
  void on_indexes(Io& io, const Op& op);
  bool indexes_due() const;
  void update_written(Out& out);
  void start_round(Io& io);
  bool names_missing() const;
  void pump_names(Io& io);
  void update_synced(Io& io, Out& out);
  void pump_checkpoint(Io& io, Out& out);
  EpochCache epochs_below(Offset end) const;
  void write_epoch_file(Io& io, EpochCache epochs);
  void pump_closing(Io& io, Out& out);
  std::string file_path(Offset base, const char* suffix) const { return path_ + "/" + segment_file(base, suffix); }

  // log_truncate.cc
  bool truncate_in_memory(Io& io, Offset offset);
  void cut_files(Io& io, size_t keep, int64_t position);
  bool drop_unmade();
  void clip_ends(Offset end);
  void issue_cuts(Io& io);
  void remove_cut(Io& io, const Op& op);
  void reopen(Io& io, Offset limit, bool refold);
  void leave(Io& io, std::string away, bool for_good);
  void close_files(Io& io);
  void pump_leaving(Io& io);
  void on_moved_away(Io& io, Out& out);

  // log_retain.cc
  size_t expired(Wall now, const RetainBy& by) const;  // how many of the oldest segments
  bool puts_away() const;
  void pump_put_away(Io& io);
  void on_put_away(Io& io, Offset base, Out& out);
  void pump_epoch_file(Io& io);

  // log_clean.cc
  using Stage = Cleaning::Stage;
  void pump_cleaning(Io& io, Out& out);
  void end_cleaning(Io& io, Out& out);
  void begin_source(Offset base);
  void close_source(Io& io);
  Offset segment_end(Offset base) const;
  bool read_source(Io& io, Out& out);
  void end_source(Io& io, Out& out);
  void on_clean_read(Io& io, const Op& op, const StorageEnd& end, Out& out);
  void throttle(Io& io, int64_t bytes);
  bool map_one(const BatchHeader& header, const Slice& batch, bool* room);
  void begin_rewriting(Io& io, Out& out);
  void begin_group(Io& io, Out& out);
  bool extend_group();
  bool is_last_of_producer(const BatchHeader& header) const;
  bool rewrite_one(const BatchHeader& header, const Slice& batch, bool last, std::vector<Slice>* kept);

  // log_swap.cc
  Owner begin_clean(Step step, uint32_t commands = 1);
  void on_clean(Io& io, const Op& op, const StorageEnd& end, Out& out);
  void sync_names_of_clean(Io& io, Stage stage);
  void seal_group(Io& io);
  void drop_target(Io& io, Out& out);
  void remove_target(Io& io);
  void name_swap(Io& io);
  void clear_group(Io& io);
  void swap_log(Io& io);
  void swapped(Io& io);
  bool complete_swaps(Io& io, const std::vector<DirEntry>& entries);
  void scan_swap(Io& io);
  void on_swap_scan(Io& io, const StorageEnd& end);
  void remove_replaced(Io& io);
  void on_swap_step(Io& io, Step ended);

  // log_snapshot.cc
  void write_snapshot(Io& io, Offset at, Slice content);
  Segment* oldest_unwritten_snapshot();
  void pump_snapshots(Io& io);
  bool end_has_snapshot(Io& io);
  void drop_snapshots_above(Io& io, Offset end);
  void pump_mark(Io& io);
  void sweep_snapshots(Io& io);
  void on_swept(Io& io, const Op& op);
  void choose_snapshot(Io& io, Out& out);
  void on_snapshot(Io& io, const Op& op, const StorageEnd& end, Out& out);
  Expiration expiration(const Ctx& ctx) const;

  // log_aborted.cc
  void load_aborted(Io& io, Out& out);
  void on_aborted(Io& io, const Op& op, const StorageEnd& end, Out& out);
  Offset bound_behind(Offset next) const;
  std::vector<AbortedTxn> aborted_by(Offset from) const;  // by markers from there on

  // log_resume.cc
  void load_newest(Io& io, Out& out);
  void on_newest(Io& io, const Op& op, const StorageEnd& end, Out& out);
  bool can_resume(const Segment& s) const;
  void load_resume(Io& io, const Segment& s);
  void on_resume(Io& io, const Op& op, const StorageEnd& end, Out& out);
  bool resumed_in_vain(const BatchHeader& first);
  void resume_in_vain(Io& io, Out& out);

  // log_cold.cc
  bool cold_waits() const { return cleaning_ && cleaning_->wants_files_alone(); }
  void start_waiting_cold(Io& io, Out& out);
  ReadResult read_block(const ColdBlock& block, const ReadFrom& from) const;
  const ColdBlock* block_for(Offset offset) const;
  void start_cold(Io& io, const ColdWant& want);
  void issue_cold(Io& io, ColdRead& r);
  void read_cold(Io& io, ColdRead& r, int64_t size);
  int64_t cold_end(const Segment& s) const;
  void on_cold_open(Io& io, const Op& op, Out& out);
  void on_cold_index(Io& io, const Op& op, const StorageEnd& end, Out& out);
  void on_cold_times(Io& io, const Op& op, const StorageEnd& end, Out& out);
  void close_unread(Io& io, Segment& s);
  void on_cold_read(Io& io, const Op& op, const StorageEnd& end, Out& out);
  void keep_block(Io& io, ColdRead& r, const Slice& bytes, size_t skipped, Out& out);
  void damaged_cold(Io& io, ColdRead& r, Out& out);
  void end_cold(Io& io, uint64_t number, ColdEnd end, Out& out);
  void forget_reads();
  void forget_cold();
  void forget_cold(Offset from, Offset to);  // of the segments in [from, to)

  // log_region.cc
  const Segment* find_segment(Offset base) const { return const_cast<Log*>(this)->find_segment(base); }
  const Segment& segment_of(Offset offset) const { return const_cast<Log*>(this)->segment_of(offset); }
  Offset cold_below(const Segment& s) const;
  bool fits_region(const ReadFrom& from, const Segment& s) const;
  ReadResult read_cold_part(const ReadFrom& from) const;
  ReadResult read_region(const ColdPlace& place, const ReadFrom& from) const;
  const IndexWindow* window_for(const Segment& s, Offset offset) const;
  bool lacks_window(const Segment& s, Offset offset) const;
  void keep_window(const Segment& s, Offset offset, ByteSpan file);
  void locate(Io& io, ColdRead& r);
  void keep_place(Io& io, ColdRead& r, const BatchHeader& h, int64_t position, Out& out);

  // log_open.cc
  void on_listed(Io& io, const Op& op, const StorageEnd& end, Out& out);
  void on_identity(Io& io, const Op& op, const StorageEnd& end, Out& out);
  void on_epochs(Io& io, const Op& op, const StorageEnd& end, Out& out);
  void begin_scan(Io& io, Out& out);
  void locate_scan(Io& io, Out& out);
  void start_scan(Io& io, Out& out);
  void scan_segment(Io& io, Out& out);
  void forget_epochs();
  void note_epoch(const BatchHeader& header);
  void scan_from(Io& io, const ResumePoint& from, Out& out);
  void read_scan(Io& io, Out& out);
  void on_scanned(Io& io, const StorageEnd& end, Out& out);
  bool keep_damaged(Io& io, Out& out);
  void cut_here(Io& io, bool damaged, Out& out);
  void cut_behind(Io& io, Out& out);
  void cut_open(Io& io, size_t keep, int64_t position, bool damaged);
  void pump_opening(Io& io, Out& out);
  void finish_open(Io& io, Out& out);
  void begin_behind_deleted(Io& io, Offset log_start);
  void finish_empty(Io& io, Out& out);
  void on_strayed(Io& io, Out& out);

  LogOptions options_;
  std::string path_;
  State state_ = State::fresh;
  Ends ends_;
  uint64_t generation_ = 0;
  Fifo<Segment> segments_;  // by base; the last is active; empty while nothing was ever appended
  Tail tail_;
  EpochCache epochs_;
  ProducerStates producers_;
  Ops ops_;

  Offset flushed_ = 0;     // appends below it are handed to the world
  Fifo<WriteRun> writes_;  // under way, in offset order
  uint64_t next_write_ = 1;
  Offset write_reached_ = 0;
  uint32_t held_ = 0;  // truncations not yet durable: no write is submitted meanwhile
  Identity identity_;
  bool on_disk_ = false;  // the directory may exist

  SyncRound round_;
  bool sync_wanted_ = false;
  bool names_running_ = false;
  bool roll_waits_ = false;  // the next segment, for the name of the one before it
  Offset sync_reached_ = 0;
  bool checkpoint_wanted_ = false;
  Offset checkpoint_to_ = -1;  // under way; -1: none
  ReplaceFile epoch_file_;
  EpochCache epoch_file_holds_;  // durable on disk
  Offset recovery_point_ = 0;

  std::vector<ColdRead> cold_reads_;  // at most kColdBlocks
  Fifo<ColdWant> cold_wants_;
  std::vector<ColdBlock> cold_blocks_;  // at most kColdBlocks; the oldest goes first, never in the turn it came
  std::vector<ColdFault> cold_faults_;  // at most kColdBlocks, as well
  std::vector<ColdPlace> cold_places_;  // as many as kColdPlaces, likewise
  std::vector<IndexWindow> windows_;    // at most kIndexWindows; the oldest goes first
  uint64_t next_cold_ = 1;
  bool used_ = false;

  Boxed<Opening> opening_;
  Boxed<Leaving> leaving_;
  bool closing_ = false;  // closing: the last files are being closed
  int64_t dropped_bytes_ = 0;

  Offset put_away_to_ = 0;  // segments that end before it go
  Fifo<PutAway> put_away_;
  bool put_away_running_ = false;  // one segment at a time
  bool front_sure_ = false;        // no rename of a former life waits to be made durable
  bool epoch_file_due_ = false;    // its first entries are those of segments that are gone

  std::set<Offset> snapshots_;          // whose files may exist
  std::vector<Offset> snapshots_gone_;  // to be removed first of all; held_ counts them once
  bool snapshot_running_ = false;       // one is being written, or some removed
  Fifo<Cut> cuts_;                      // wait for that
  Boxed<Mark> mark_;
  Boxed<Cleaning> cleaning_;
  uint64_t next_cleaning_ = 1;
  Offset cleaned_to_ = 0;            // compaction has mapped all keys below
  Offset noted_recovery_point_ = 0;  // <= recovery_point_
  bool uncleanable_ = false;         // what is on disk cannot be compacted

  std::set<Offset> lost_aborted_;  // where .txnindex files lay without a segment: their names may come back

  bool last_indexes_ = false;  // closing: those of the active segment have been written, or are being
};

}  // namespace klamm::log
