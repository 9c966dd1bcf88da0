// One replica of one partition on this broker: its log, and what it is to the others.
//
//            metadata: leader = self              metadata: leader = another
//   new ─────────────────────────────> leader <─────────────────────────────> follower      any ── log failed ──>
//   offline
//         (once the log is open; until then the newest metadata waits)
//
// Owned by Replicas. The high watermark is kept here, not in the log: synced <= written <= submitted are the log's, and
// hw <= acked_end.
#pragma once
#include <map>
#include <optional>
#include <vector>

#include "engine/log/log.h"
#include "engine/replication/admission.h"
#include "engine/replication/rules.h"

namespace klamm::replication {

enum class Role : uint8_t { none, leader, follower, offline };

// What the metadata says of the partition.
struct Assignment {
  LeaderEpoch leader_epoch = kNoEpoch;
  int32_t partition_epoch = -1;
  NodeId leader = kNoNode;
  std::vector<NodeId> replicas;
  std::vector<NodeId> isr;
  template<class V>
  void fields(V& v) const {
    v("leader_epoch", leader_epoch), v("partition_epoch", partition_epoch), v("leader", leader),
        v("replicas", replicas), v("isr", isr);
  }
};

struct PartitionSettings {
  AdmissionRules admission;
  int32_t min_insync = 1;
  int64_t unsynced_max = INT64_MAX;      // flush.messages - 1; 0 with klamm.flush=commit
  Duration flush_after = kNeverFlushed;  // flush.ms
  template<class V>
  void fields(V& v) const {
    v("admission", admission), v("min_insync", min_insync), v("unsynced_max", unsynced_max),
        v("flush_after", flush_after);
  }
};
// And of its log, which keeps them.
struct Settings : PartitionSettings {
  log::LogConfig log;
};

// What the metadata says of a broker.
struct BrokerState {
  BrokerEpoch epoch = -1;
  bool alive = false;  // registered, not fenced, not in controlled shutdown
  template<class V>
  void fields(V& v) const {
    v("epoch", epoch), v("alive", alive);
  }
};
using Brokers = std::map<NodeId, BrokerState>;

// The same for all partitions of a broker.
struct Common {
  NodeId self;
  Duration lag_max = seconds(30);  // replica.lag.time.max.ms
  template<class V>
  void fields(V& v) const {
    v("self", self), v("lag_max", lag_max);
  }
};

// What the leader knows of a follower in this leader epoch.
struct Remote {
  Offset end = -1;        // its last fetch offset; -1: it has not fetched in this epoch
  Offset start = -1;      // its log start
  Offset leader_end = 0;  // ours at its last fetch
  Instant fetched_at{};
  Instant caught_up_at{};  // the last time that it had all that we had
  BrokerEpoch broker_epoch = -1;
  template<class V>
  void fields(V& v) const {
    v("end", end), v("start", start), v("leader_end", leader_end), v("fetched_at", fetched_at),
        v("caught_up_at", caught_up_at);
    v("broker_epoch", broker_epoch);
  }
};

// A follower's fetch of one partition.
struct FollowerFetch {
  NodeId replica;
  BrokerEpoch broker_epoch = -1;
  Offset offset = 0;
  LeaderEpoch last_epoch = kNoEpoch;  // of the record before `offset`
  Offset log_start = -1;
};

// What changed, for the parked requests and for the node.
struct Moved {
  bool high_watermark = false;
  bool last_stable = false;
  bool role = false;
  bool wants_alter = false;  // there is a proposal for the ISR to send
};

class Partition final {
 public:
  Partition(TopicIdPartition id, log::LogOptions options, const Settings& settings)
      : id_(id), settings_(settings), log_(std::move(options)) {}

  const TopicIdPartition& id() const { return id_; }
  const std::string& topic_name() const { return log_.options().topic_name; }
  Role role() const { return role_; }
  const Assignment& assignment() const { return at_; }
  const log::Log& log() const { return log_; }
  log::Log& log() { return log_; }
  Offset high_watermark() const { return high_watermark_; }
  Offset last_stable() const { return log_.last_stable(high_watermark_); }  // who reads what is committed, to there
  Offset epoch_start() const { return epoch_start_; }
  Offset acked_end() const;
  // flush has something to do: it writes, and syncs where too little would be acknowledged without.
  bool dirty() const { return log_.dirty() || sync_due(); }
  void flush(Io& io);
  const PartitionSettings& settings() const { return settings_; }
  void set_settings(Ctx& ctx, const Common& common, const Brokers& brokers, const Settings& settings, Moved& moved);

  // ---- roles
  void assign(Io& io, const Common& common, const Brokers& brokers, const Assignment& to, Moved& moved);
  // The log is open: the assignment that waited takes effect.
  void opened(Io& io, const Common& common, const Brokers& brokers, Offset high_watermark, Moved& moved);
  void went_offline(Moved& moved);
  // It does not lead yet, and will once its log is open.
  bool opens_to_lead(NodeId self) const { return waiting_ && role_ == Role::none && at_.leader == self; }

  // ---- leader
  // not_leader_or_follower unless this replica leads.
  Result<void> leads(LeaderEpoch asked) const;
  // One batch; its header may lie apart from its records.
  Result<log::Appended> append(Ctx& ctx, const Slice& head, const Slice& records);
  ErrorCode enough_replicas() const;
  // A follower's fetch at a valid offset: its progress, and what that makes possible.
  Result<void> note_fetch(Ctx& ctx, const Common& common, const Brokers& brokers, const FollowerFetch& fetch,
                          Moved& moved);
  // The epoch and end up to which the logs agree, if the follower's last epoch is not ours there (KIP-595).
  std::optional<OffsetAndEpoch> diverging(Offset offset, LeaderEpoch last_epoch) const;
  void acknowledged(Ctx& ctx, const Common& common, const Brokers& brokers,
                    Moved& moved);  // our acked_end may have moved, in either role
  void shrink_isr(Ctx& ctx, const Common& common, const Brokers& brokers, Moved& moved);  // drops members that lag

  // ---- retention, in either role. Size and age are the leader's to judge: a follower goes by the leader's log start.
  bool retains_too_much(Wall now) const { return log_.retains_too_much(now, retain_by()); }
  void retain(Io& io) { log_.retain(io, retain_by()); }

  // ---- the ISR's change on its way through the controller
  struct Proposal {
    std::vector<NodeId> isr;
    bool sent = false;
    template<class V>
    void fields(V& v) const {
      v("isr", isr), v("sent", sent);
    }
  };
  const Proposal* proposal() const { return proposal_ ? &*proposal_ : nullptr; }
  void proposal_sent() { proposal_->sent = true; }
  // The controller's word; `retry`: the proposal stands and is sent again.
  void alter_answered(Io& io, const Common& common, const Brokers& brokers, ErrorCode error, const Assignment& now,
                      Moved& moved);
  void alter_lost() {
    if (proposal_) proposal_->sent = false;
  }
  const Remote* remote(NodeId id) const;

  // ---- follower
  // Where to fetch from: only while all that was appended is acknowledged here.
  bool wants_fetch() const;
  FetchedFor next_fetch() const { return {at_.leader_epoch, log_.ends().submitted, log_.epochs().latest()}; }
  struct Fetched {
    FetchedFor asked;
    Offset high_watermark = -1;
    Offset log_start = -1;
    std::optional<OffsetAndEpoch> diverging;
    Slice records;
  };
  Result<void> fetched(Io& io, const Fetched& reply, Moved& moved);
  // The leader's log begins after our end: start anew there.
  void start_over(Io& io, Offset start);

  // What the owner has counted of the log's caches, and where that waits in its queue; 0: nowhere.
  struct Counted {
    int64_t bytes = 0;
    uint64_t place = 0;
    template<class V>
    void fields(V& v) const {
      v("bytes", bytes), v("place", place);
    }
  };
  Counted& counted() { return counted_; }

  template<class V>
  void fields(V& v) const {
    v("id", id_), v("settings", settings_), v("counted", counted_), v("role", role_), v("at", at_),
        v("waiting", waiting_);
    v("high_watermark", high_watermark_), v("told_stable", told_stable_),
        v("leader_high_watermark", leader_high_watermark_), v("epoch_start", epoch_start_), v("remotes", remotes_),
        v("proposal", proposal_), v("log", log_);
  }

 private:
  bool sync_due() const;
  void become_leader(Io& io, const Common& common, const Brokers& brokers, Moved& moved);
  void become_follower(Io& io, Moved& moved);
  void advance(Ctx& ctx, const Common& common, const Brokers& brokers, Moved& moved);
  void set_high_watermark(Ctx& ctx, Offset to, Moved& moved);
  void follow_high_watermark(Ctx& ctx, Moved& moved);
  void propose(std::vector<NodeId> isr, Moved& moved);
  std::vector<NodeId> quorum() const { return maximal_isr(at_.isr, proposal_ ? &proposal_->isr : nullptr); }
  void trace_role(Ctx& ctx) const;
  log::RetainBy retain_by() const {
    const bool leads = role_ == Role::leader;
    return {leads ? high_watermark_ : log_.ends().log_start, leads};
  }

  TopicIdPartition id_;
  PartitionSettings settings_;
  Role role_ = Role::none;
  Assignment at_;
  bool waiting_ = false;  // at_ waits for the log to open
  Offset high_watermark_ = 0;
  Offset told_stable_ = 0;             // the last stable offset when the high watermark moved last
  Offset leader_high_watermark_ = -1;  // follower: the last that the leader told in this epoch
  Offset epoch_start_ = 0;             // leader: the log's end when it became leader of this epoch
  std::map<NodeId, Remote> remotes_;   // leader: every other replica
  std::optional<Proposal> proposal_;   // leader: at most one change of the ISR at a time
  log::Log log_;
  Counted counted_;
};

}  // namespace klamm::replication
