// All partitions of this broker, the fetchers that follow their leaders, and the ISR changes on their way.
//
// Owned by the node. Storage ends come in by key; what moved goes out as values, for the node's parked requests. One
// fetcher a leader: its next Fetch leaves when the reply before it is in and all that it appended is acknowledged, so
// that the fetch offset is position and acknowledgement at once. A partition that the standing Fetch does not ask for
// is not left waiting for its end: a second Fetch for all partitions follows, and the leader lets go of the first.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/base/cow.h"
#include "engine/base/timers.h"
#include "engine/log/checkpoints.h"
#include "engine/replication/partition.h"

namespace klamm::replication {

inline constexpr int64_t kCacheBytes = 256 << 20;
inline constexpr int64_t kUnwrittenMost = 128 << 20;  // beyond that: of what the disk has not taken

struct CompactionConfig {
  bool enabled = true;             // log.cleaner.enable
  Duration backoff = seconds(15);  // log.cleaner.backoff.ms
  log::CleanBy by;                 // but for the high watermark
};

struct ReplicasConfig {
  Common common;
  uint16_t module = 0;                          // Owner.module of everything that this part asks for
  Duration fetch_wait = milliseconds(500);      // replica.fetch.wait.max.ms
  int32_t fetch_min_bytes = 1;                  // replica.fetch.min.bytes
  int32_t fetch_max_bytes = 1024 * 1024;        // replica.fetch.max.bytes, a partition
  int32_t fetch_response_max_bytes = 10485760;  // replica.fetch.response.max.bytes
  Duration fetch_backoff = milliseconds(50);    // after a Fetch that was not answered
  Duration error_backoff = milliseconds(5);     // the first after a partition's error; they double
  Duration error_backoff_max = seconds(1);      // replica.fetch.backoff.ms
  Duration request_timeout = seconds(30);       // replica.socket.timeout.ms
  Duration retention_check = seconds(300);      // log.retention.check.interval.ms
  Duration producer_check = seconds(600);       // producer.id.expiration.check.interval.ms
  Duration mark = seconds(60);                  // log.flush.offset.checkpoint.interval.ms
  uint32_t tail_bytes = log::kTailBytes;        // klamm.fetch.tail.bytes: what a partition keeps in memory
  uint32_t region_least = log::kRegionLeast;    // klamm.fetch.region.bytes: smaller reads from disk go through memory
  int64_t cache_bytes = kCacheBytes;    // klamm.fetch.cache.bytes: of what all logs keep to spare reads from disk
  Duration flush_look = kNeverFlushed;  // log.flush.scheduler.interval.ms
  CompactionConfig compaction;
  template<class V>
  void fields(V& v) const {
    v("common", common), v("module", module), v("fetch_backoff", fetch_backoff);
  }
};

// A request for another node.
struct ToBroker {
  NodeId to;
  int16_t api = 0, version = 0;
  std::vector<Slice> body;
  Owner owner;
  Duration timeout;
  uint16_t lane = 0;  // below kFetchLanes: requests on unlike lanes do not wait for each other
};
inline constexpr uint16_t kFetchLanes = 2;

// What a directory's checkpoint files are to say.
struct Checkpoint {
  log::OffsetLines recovery_points, high_watermarks, log_starts, cleaned_to;
  std::vector<std::pair<TopicIdPartition, Offset>> compacted;  // recovery points of logs that may be compacted so far
  template<class V>
  void fields(V& v) const {
    v("recovery_points", recovery_points), v("high_watermarks", high_watermarks), v("log_starts", log_starts),
        v("cleaned_to", cleaned_to), v("compacted", compacted);
  }
};
using Checkpoints = std::map<DirId, Checkpoint>;

struct Out {
  std::vector<TopicIdPartition> grown;      // the written end moved: followers' fetches may go on
  std::vector<TopicIdPartition> committed;  // the high watermark moved
  std::vector<TopicIdPartition> stable;     // and with it the last stable offset
  std::vector<TopicIdPartition> changed;    // role, epoch or ISR changed, or bytes were brought in: look again
  std::vector<TopicIdPartition> opened;     // the log is open
  std::vector<ToBroker> calls;
  std::vector<Slice> alter;                // body of an AlterPartition request for the active controller; empty: none
  std::vector<DirId> failed_dirs;          // final: the node takes them offline
  std::optional<Checkpoints> checkpoints;  // that were asked for
};

class Replicas final {
 public:
  static constexpr uint32_t kPartitionsMax = 1'000'000;

  Replicas() = default;
  explicit Replicas(ReplicasConfig config) : config_(config) {}

  // ---- metadata
  void set_brokers(Ctx& ctx, Brokers brokers, BrokerEpoch own_epoch);
  struct Place {
    DirId dir;
    log::OpenFrom from;
    Offset high_watermark = 0;   // of the checkpoint
    bool stale = false;          // checkpoints tell of a partition of this name, but there is no directory
    bool behind_strays = false;  // it waits for them, and has a directory
    template<class V>
    void fields(V& v) const {
      v("dir", dir), v("from", from), v("high_watermark", high_watermark), v("stale", stale),
          v("behind_strays", behind_strays);
    }
  };
  struct Wanted {
    TopicIdPartition id;
    std::string topic;
    Assignment assignment;
    Settings settings;
    Place place;                // used when the partition is new here, as the next
    std::vector<DirId> strays;  // where directories of its name are another topic's: moved aside before its log opens
  };
  void assign(Io& io, const Wanted& wanted, Out& out);
  void configure(Ctx& ctx, const TopicIdPartition& id, const Settings& settings, Out& out);
  void remove(Io& io, const TopicIdPartition& id);  // with its log
  bool all_open() const { return opening_ == 0; }

  void set_compaction(const CompactionConfig& config) { config_.compaction = config; }

  // ---- the world
  // A full directory's logs are not appended to, neither for clients nor from leaders, and are read on.
  void set_full(Io& io, DirId dir, bool full);
  // Out.checkpoints tells what is to be written down, some turns later; that of before is asked for no more.
  void want_checkpoint() { begin_task(Task::checkpoint); }
  // The node is about to write such recovery points down, or has done so durably.
  void checkpoint_begins(DirId dir, std::vector<std::pair<TopicIdPartition, Offset>> compacted);
  void checkpoint_ended(DirId dir);
  // What a checkpoint says of a partition that is gone must not be taken for what it says of a later one of that name:
  // no log of the name is opened before the files are durably without it. The node has begun to write all files of
  // Out.checkpoints, or not all; one of them has ended, the last that was being written or not.
  void checkpoint_begun(bool all);
  void checkpoint_file_ended(Io& io, bool good, bool last);
  bool forgets_names() const { return !names_.due.empty() || !names_.walked.empty() || !names_.writing.empty(); }
  void on_storage(Io& io, const Owner& owner, const StorageEnd& end, Out& out);
  // The reply to a call of this part, or its loss.
  void on_answer(Io& io, const Owner& owner, IoError error, const Slice& body, int16_t version, Out& out);
  void on_alter_answer(Io& io, IoError error, const Slice& body, Out& out);
  void on_time(Io& io, Out& out);
  Instant next_deadline() const {
    return walk_.idle() ? earlier(earlier(timers_.next(), removals_.next()), flushes_.next()) : Instant{0};
  }
  // The end of a turn: submits writes, sends fetches and proposals.
  void flush(Io& io, Out& out);
  // Every log is closed as soon as it is open and what goes is gone; nothing new is opened any more.
  void close_all(Io& io);
  bool all_closed() const { return closing_.empty() && leaving_.empty() && walk_.idle(); }

  // ---- requests
  const Partition* find(const TopicIdPartition& id) const;
  // A log that is written to here is flushed at the end of the turn.
  Result<log::Appended> append(Ctx& ctx, const TopicIdPartition& id, const Slice& batch);
  Result<log::Appended> append(Ctx& ctx, const TopicIdPartition& id, const Slice& head, const Slice& records);
  Result<void> note_fetch(Ctx& ctx, const TopicIdPartition& id, const FollowerFetch& fetch, Out& out);
  void load_cold(Io& io, const TopicIdPartition& id, const log::ColdWant& want);
  // A read there has told that it failed, and why.
  void forget_fault(const TopicIdPartition& id, Offset offset);
  // What was read there came from memory: of that it gives back later than others.
  void note_read(const TopicIdPartition& id);
  bool delete_before(Ctx& ctx, const TopicIdPartition& id, Offset offset, Out& out);

  // What logs keep to spare reads from disk; at the end of a turn at most `cache_bytes`, but for what is not written
  // yet.
  int64_t cached_bytes() const { return caches_.bytes; }
  // The disk lags behind: nothing more of clients' should be appended until it has taken some.
  bool overfull() const { return caches_.bytes > config_.cache_bytes + kUnwrittenMost; }

  bool empty() const { return partitions_.empty(); }
  bool any_opening() const { return !opening_marks_.empty(); }
  template<class F>
  void each_of(const Uuid& topic, F&& f) const {
    for (auto it = partitions_.lower_bound({topic, INT32_MIN}); it != partitions_.end() && it->first.topic == topic;
         ++it)
      f(it->first);
  }
  const std::map<TopicIdPartition, Cow<Partition>>& all() const { return partitions_; }
  const Common& common() const { return config_.common; }

  template<class V>
  void fields(V& v) const {
    v("config", config_), v("brokers", brokers_), v("own_epoch", own_epoch_);
    v("partitions", partitions_), v("keys", keys_);
    v("last_key", last_key_), v("leaving", leaving_), v("leaving_paths", leaving_paths_), v("postponed", postponed_),
        v("open_due", open_due_), v("opening_marks", opening_marks_), v("opening", opening_);
    v("dirty", dirty_), v("wants_alter", wants_alter_), v("altering", altering_),
        v("alter_in_flight", alter_in_flight_), v("alter_not_before", alter_not_before_);
    v("full", full_), v("ending", ending_), v("closing", closing_), v("close_due", close_due_),
        v("close_running", close_running_), v("fetchers", fetchers_), v("last_call", last_call_);
    v("mark_due", mark_due_), v("marking", marking_);
    v("timers", timers_), v("started", started_), v("removals", removals_), v("walk", walk_), v("caches", caches_);
    v("flushes", flushes_), v("flush_timers", flush_timers_);
    v("compaction_timer", compaction_timer_), v("compacting", compacting_), v("checkpointing", checkpointing_);
    v("names", names_), v("dropped", dropped_);
  }

 private:
  // A Fetch under way.
  struct FetchCall {
    uint64_t number = 0;  // an answer to another one is ignored
    uint16_t lane = 0;
    std::map<TopicIdPartition, FetchedFor> asked;
    template<class V>
    void fields(V& v) const {
      v("number", number), v("lane", lane), v("asked", asked);
    }
  };
  // A partition that erred is not asked for until then.
  struct Delay {
    Instant until;
    Duration wait;  // doubles with every error in a row
    template<class V>
    void fields(V& v) const {
      v("until", until), v("wait", wait);
    }
  };
  // What is asked of one leader.
  struct Fetcher {
    std::vector<FetchCall> calls;  // at most one a lane
    Instant not_before{};          // after an error
    Instant held{};                // since when it waits for a partition's write; zero: it does not
    std::set<TopicIdPartition> follows;
    std::set<TopicIdPartition> missing;  // of these, what no call under way asks for, or not in this epoch
    std::map<TopicIdPartition, Delay> delayed;
    template<class V>
    void fields(V& v) const {
      v("calls", calls), v("not_before", not_before), v("held", held);
      v("follows", follows), v("missing", missing), v("delayed", delayed);
    }
  };
  // What is done to all partitions now and then, some of them a turn (walk.cc).
  enum class Task : uint8_t { shrink, retain, expire, mark, forget, compact, checkpoint, close, count };
  enum class Timer : uint8_t { shrink, retain, expire, mark, forget, compact, fetch, alter };
  struct Walk {
    uint8_t wanted = 0;                                            // bits of tasks that begin with the next round
    uint8_t running = 0;                                           // of those in the round under way
    std::optional<TopicIdPartition> at;                            // where it goes on; none: at the beginning
    std::optional<std::pair<TopicIdPartition, int64_t>> dirtiest;  // log seen in this round
    Checkpoints checkpoints;
    bool idle() const { return (wanted | running) == 0; }
    template<class V>
    void fields(V& v) const {
      v("wanted", wanted), v("running", running), v("at", at), v("dirtiest", dirtiest), v("checkpoints", checkpoints);
    }
  };

  // The paths of partitions that have gone, as long as a checkpoint file may tell of them: no more than went since the
  // files were written last.
  struct Names {
    std::set<std::string> due;      // until a checkpoint begins
    std::set<std::string> walked;   // that will not tell of these
    std::set<std::string> writing;  // until its files are durable
    bool failed = false;            // one of them was not written
    bool again = false;             // nor begun, for the one before it was still being written
    bool has(const std::string& path) const { return due.count(path) || walked.count(path) || writing.count(path); }
    template<class V>
    void fields(V& v) const {
      v("due", due), v("walked", walked), v("writing", writing), v("failed", failed), v("again", again);
    }
  };

  // Logs of whose end recovery has dropped something: the first are told by name, the others at the end of the start.
  struct Dropped {
    static constexpr uint32_t kNamedMost = 20;
    uint32_t named = 0;
    int32_t logs = 0;
    int64_t bytes = 0;
    template<class V>
    void fields(V& v) const {
      v("named", named), v("logs", logs), v("bytes", bytes);
    }
  };

  // The logs that keep something, in the order in which they are asked to give back.
  struct Caches {
    int64_t bytes = 0;
    uint64_t last = 0;
    std::map<uint64_t, TopicIdPartition> queue;
    template<class V>
    void fields(V& v) const {
      v("bytes", bytes), v("last", last), v("queue", queue);
    }
  };

  Partition* write(const TopicIdPartition& id);
  void moved(const TopicIdPartition& id, const Moved& m, Out& out);
  void refile(const TopicIdPartition& id);  // under the fetcher of its leader, or none
  void send_fetch(Io& io, NodeId leader, Fetcher& fetcher, Out& out);
  bool may_ask(const Fetcher& fetcher, const TopicIdPartition& id, Instant now) const;
  void delay(Fetcher& fetcher, const TopicIdPartition& id, Instant now);
  void send_alter(Io& io, Out& out);
  log::LogOptions log_options(const Wanted& wanted, DirId dir);
  void set_aside(Io& io, const Wanted& wanted, DirId dir);
  void tell_dropped(Ctx& ctx, const log::Log& log);
  void open_some(Io& io);
  bool name_waits(const std::string& path) const { return leaving_paths_.count(path) || names_.has(path); }
  void forget_name(const std::string& path);
  void open_postponed(Io& io);
  void close_some(Io& io);
  void closed(Io& io, const TopicIdPartition& id);
  void fetch_answered(Io& io, Fetcher& fetcher, const FetchCall& call, const Slice& body, int16_t version, Out& out);
  void wake_at(Instant at, Timer what);

  // walk.cc
  void begin_standing_tasks(Ctx& ctx);
  static constexpr uint8_t bit(Task task) { return static_cast<uint8_t>(1u << static_cast<uint8_t>(task)); }
  void begin_task(Task task) { walk_.wanted = static_cast<uint8_t>(walk_.wanted | bit(task)); }
  void walk(Io& io, Out& out);
  size_t look(Io& io, const TopicIdPartition& id, Cow<Partition>& partition, Out& out);
  void end_task(Io& io, Task task, Out& out);
  void note_checkpoint(const TopicIdPartition& id, const Partition& p);

  void shrink_isr(Ctx& ctx, const TopicIdPartition& id, Cow<Partition>& partition, Out& out);
  bool retain(Io& io, Cow<Partition>& partition, Out& out);
  bool wants_mark(const Partition& p) const;
  void mark_some(Io& io);
  void remove_put_away(Io& io);
  void compact_at(Instant at);
  void look_for_dirt(Ctx& ctx, const Partition& p);
  void compact_dirtiest(Io& io);
  void compact_on(Io& io);
  void go_on_compacting(Io& io);
  void compaction_said(Ctx& ctx, const TopicIdPartition& id, const log::Out& said);
  void abandon_compaction(Io& io, DirId dir);

  // caches.cc
  void count(Partition& p);
  void uncount(Partition& p);
  void trim_caches();
  void forget(Cow<Partition>& partition);

  void plan_flush(Ctx& ctx, const Partition& p);
  void forget_flush(const TopicIdPartition& id);
  void flush_due(Io& io);

  ReplicasConfig config_;
  Brokers brokers_;
  BrokerEpoch own_epoch_ = -1;
  std::map<TopicIdPartition, Cow<Partition>> partitions_;
  std::map<uint64_t, TopicIdPartition> keys_;  // Owner.key -> partition; keys are never used again
  uint64_t last_key_ = 0;
  std::map<uint64_t, log::Log> leaving_;           // removed partitions whose directories still go
  std::map<std::string, uint32_t> leaving_paths_;  // of these, how many; a log of that path is opened afterwards
  Names names_;
  Dropped dropped_;
  std::map<TopicIdPartition, log::OpenFrom> postponed_;  // until the name waits for nothing
  std::map<TopicIdPartition, log::OpenFrom> open_due_;   // until others are open
  std::map<TopicIdPartition, Place> opening_marks_;      // of logs that open
  std::set<TopicIdPartition> dirty_;                     // to flush at the end of the turn
  std::set<TopicIdPartition> wants_alter_;
  std::vector<TopicIdPartition> altering_;  // in the AlterPartition under way
  std::set<DirId> full_;                    // directories with too little room
  bool ending_ = false;                     // close_all was called
  std::set<TopicIdPartition> closing_;      // not closed yet
  std::set<TopicIdPartition> close_due_;    // of these, ready, and waiting for their turn
  std::set<TopicIdPartition> close_running_;
  std::set<TopicIdPartition> mark_due_;  // have grown, and wait for the marks of others
  std::set<TopicIdPartition> marking_;
  std::map<NodeId, Fetcher> fetchers_;
  bool alter_in_flight_ = false;
  Instant alter_not_before_{};
  uint64_t last_call_ = 0;
  size_t opening_ = 0;
  Timers<Timer> timers_;
  bool started_ = false;               // the standing tasks run
  Timers<TopicIdPartition> removals_;  // logs with files to remove
  Timers<TopicIdPartition> flushes_;   // logs with what flush.ms lets be unsynced only until then
  std::map<TopicIdPartition, TimerId> flush_timers_;
  TimerId compaction_timer_;
  std::optional<TopicIdPartition> compacting_;  // its log is being cleaned
  Walk walk_;
  Caches caches_;
  std::map<DirId, std::vector<std::pair<TopicIdPartition, Offset>>> checkpointing_;  // recovery points being written
};

}  // namespace klamm::replication
