// One replica of the metadata quorum (KIP-595) as a pure machine: (state, input) -> (state, Ready). It holds roles,
// votes, offsets and timers, never bytes: the shell owns the log and the file of the hard state, and tells how far they
// are.
//
//   Replication is pulled: followers and observers fetch, and a fetch offset acknowledges everything before it. A
//   replica acknowledges only what it has synced, and a leader counts itself by the same measure.
//
//                          higher epoch, or a timeout as given in each role's file
//      +------------+ election timeout +-------------+ majority of pre-votes +-----------+ majority +--------+
//      | Unattached |----------------->| Prospective |---------------------->| Candidate |--------->| Leader |
//      +------------+<-----------------+-------------+<----------------------+-----------+          +--------+
//        ^       | leader found   lost  |  ^ fetch timeout     backoff over                  resign or   |
//        |       v                      v  |                                              check quorum   v
//        |     +---------------------------------+              leader found in this epoch          +----------+
//        +-----|            Follower             |<-------------------------------------------------| Resigned |
//              +---------------------------------+                                                  +----------+
//
//   Every role goes to Unattached on learning of a higher epoch without a leader, to Follower on one with a leader.
//   An observer (no voter) is Unattached or Follower only.
#pragma once
#include <variant>
#include <vector>

#include "engine/base/ctx.h"
#include "engine/base/ticket.h"
#include "engine/raft/epochs.h"
#include "engine/raft/messages.h"
#include "engine/raft/roles.h"

namespace klamm::raft {

struct Options {
  ReplicaKey self;
  std::vector<NodeId> voters;                   // ascending; all their directories are unknown (kraft.version 0)
  Duration election_timeout = seconds(1);       // controller.quorum.election.timeout.ms
  Duration election_backoff_max = seconds(1);   // controller.quorum.election.backoff.max.ms
  Duration fetch_timeout = seconds(2);          // controller.quorum.fetch.timeout.ms
  Duration request_timeout = seconds(2);        // controller.quorum.request.timeout.ms
  Duration fetch_wait_max = milliseconds(500);  // how long a fetch may be parked at the leader
};

// What must survive a restart. Written by the shell, in Kafka's quorum-state file.
struct HardState {
  LeaderEpoch epoch = 0;
  NodeId leader = kNoNode;  // of this epoch, once known
  ReplicaKey voted;         // whom this replica voted for in this epoch
  friend constexpr bool operator==(const HardState&, const HardState&) = default;
  template<class V>
  void fields(V& v) const {
    v("epoch", epoch), v("leader", leader), v("voted", voted);
  }
};

struct SnapshotIds {
  OffsetAndEpoch oldest, newest;
  friend constexpr bool operator==(const SnapshotIds&, const SnapshotIds&) = default;
  template<class V>
  void fields(V& v) const {
    v("oldest", oldest), v("newest", newest);
  }
};
struct LogState {
  Offset start = 0;
  Offset end = 0;
  Offset synced = 0;  // start <= synced <= end
  Epochs epochs;
  std::optional<SnapshotIds> snapshots;  // that can be fetched
  OffsetAndEpoch last() const { return {end, epochs.latest()}; }
  template<class V>
  void fields(V& v) const {
    v("start", start), v("end", end), v("synced", synced), v("epochs", epochs), v("snapshots", snapshots);
  }
};

// ---- inputs
struct Start {};  // once, first
struct Tick {};   // time may have passed; harmless at any moment
struct Request {
  Ticket ticket;
  RequestBody body;
};
struct Answer {
  NodeId from = kNoNode;
  uint64_t call = 0;
  AnswerBody body;
};
struct LogSynced {
  Offset offset = 0;  // everything before it is durable
};
struct LogCut {
  Offset start = 0;  // the log begins here now; all before it is committed
  std::optional<SnapshotIds> snapshots;
};
// What Ready.snapshot has completed: it cannot be used; or it is durable; or, more, the log is what it was for it.
struct SnapshotEnded {
  OffsetAndEpoch id;
  bool unsound = false;    // it is damaged
  bool installed = false;  // the log holds nothing and begins where the snapshot ends
};
struct HardStateSynced {
  uint64_t version = 0;  // this one, and with it all before it
};
struct Propose {
  int32_t records = 0;  // to append as one batch; ignored unless leader
};
struct Resign {
  bool stopping = false;  // the replica is about to end: it will not stand again
};
using Input =
    std::variant<Start, Tick, Request, Answer, LogSynced, LogCut, SnapshotEnded, HardStateSynced, Propose, Resign>;

// ---- what to do about it
// What has to be durable before something leaves.
struct Needs {
  uint64_t hard_state = 0;  // version
  Offset log = 0;           // synced offset
};
struct Send {
  NodeId to = kNoNode;
  uint64_t call = 0;  // comes back in the Answer; every call is answered once, at the latest when `timeout` is over
  Duration timeout;
  RequestBody body;
  Needs needs;
};
struct SendReply {
  Ticket ticket;
  ReplyBody body;
  Needs needs;
};
// A batch that a leader appends. The shell makes the bytes: its own for a leader change, the proposer's otherwise.
struct Append {
  bool leader_change = false;
  Offset base = 0;
  int32_t records = 0;
  LeaderEpoch epoch = 0;
  std::vector<NodeId> granting;  // with leader_change: who voted for it
};
// Bytes of a snapshot: the next ones, or those of a new one at position 0.
struct SnapshotPart {
  OffsetAndEpoch id;
  int64_t position = 0;
  bool last = false;  // then it is to be stored, and takes the place of the log unless that has come beyond it
};
// In order: truncate, append or accept, then persist; sends and replies as soon as what they need is durable. Sends
// still held back when `forget_held` is set are dropped: they belong to a role that is over. Replies are never dropped.
struct Ready {
  bool persist = false;  // hard_state() is new, as version hard_state_version()
  bool forget_held = false;
  bool accept = false;                   // append the records of the fetch answer that was the input
  std::optional<SnapshotPart> snapshot;  // the bytes of the snapshot answer that was the input
  Offset truncate = -1;                  // the log ends here now; -1: as it is
  std::vector<Append> append;
  std::vector<Send> sends;
  std::vector<SendReply> replies;
  bool role_changed = false;    // role, epoch or leader
  bool committed = false;       // committed() has grown
  const char* fatal = nullptr;  // an invariant of the quorum is broken: stop this replica
};

class Raft final {
 public:
  Raft(Options options, HardState hard_state, LogState log);
  Ready step(Ctx& ctx, const Input& input);
  Instant next_deadline() const;  // when a Tick does something

  Role role() const { return static_cast<Role>(state_.index()); }
  LeaderEpoch epoch() const { return hard_.epoch; }
  NodeId leader() const { return hard_.leader; }  // of epoch(); -1: none known
  bool seeks_leader() const;                      // knows none, or hears none
  bool is_voter() const { return rank_ >= 0; }
  const HardState& hard_state() const { return hard_; }
  uint64_t hard_state_version() const { return hard_version_; }
  const LogState& log() const { return log_; }
  // A snapshot of the leader's that this follower waits for.
  std::optional<OffsetAndEpoch> fetched_snapshot() const;
  Offset committed() const { return committed_; }  // everything before it is committed; -1: nothing is known to be
  // The leader's: whether a record of its own epoch is committed, so that it knows all that ever was.
  bool leads_safely() const;
  Offset epoch_start() const;  // the leader's: offset of its LeaderChange record
  bool resigned() const;       // after Resign{stopping}: nothing more to wait for
  const Leader* leading() const { return std::get_if<Leader>(&state_); }  // for DescribeQuorum
  const Options& options() const { return options_; }

  template<class V>
  void fields(V& v) const {
    v("hard", hard_), v("hard_version", hard_version_), v("hard_synced", hard_synced_),
        v("term_version", term_version_);
    v("log", log_), v("committed", committed_), v("state", state_), v("peers", peers_), v("next_call", next_call_);
    v("search", search_), v("stopping", stopping_), v("timeout_dice", timeout_dice_), v("backoff_dice", backoff_dice_);
  }

 private:
  // One step's context; the members of a role's file take it as `s`.
  struct Step {
    Ctx& ctx;
    Ready ready;
  };

  // raft.cc
  void start(Step& s);
  void tick(Step& s);
  void on_request(Step& s, const Request& r);
  void on_answer(Step& s, const Answer& a);
  void on_log_synced(Step& s, Offset offset);
  void on_log_cut(const LogCut& cut);
  void on_snapshot_ended(Step& s, const SnapshotEnded& e);
  void on_hard_state_synced(Step& s, uint64_t version);
  void resign(Step& s, bool stopping);
  // Epochs and leaders heard of, whoever told. The error is what a request that contradicts us is answered with.
  ErrorCode learn(Step& s, LeaderEpoch epoch, NodeId leader);
  ErrorCode check_sender(LeaderEpoch epoch, NodeId sender) const;
  bool meant_for_us(const ReplicaKey& voter) const;
  BeginAnswer on_begin_request(Step& s, const BeginRequest& r);
  bool useful(Step& s, const Verdict& v);  // learns from an answer; true: its content counts
  void become(Step& s, State next, const HardState& hard);
  void trace_role(Step& s) const;
  void persist(Step& s, const HardState& hard);
  void reply(Step& s, const Ticket& ticket, ReplyBody body);
  Verdict verdict(ErrorCode error) const;
  Offset acked_end(const Ctx& ctx) const;
  void raise_committed(Step& s, Offset to);
  int32_t rank_of(NodeId id) const;  // -1: no voter
  uint64_t bit_of(NodeId id) const { return uint64_t{1} << rank_of(id); }
  size_t majority() const { return options_.voters.size() / 2 + 1; }

  // peers.cc
  Peer* peer(NodeId id);
  bool may_call(const Step& s, const Peer& p) const { return p.call == 0 && s.ctx.now >= p.retry_at; }
  void call(Step& s, Peer& p, RequestBody body, Offset needs_log);
  void note_failure(Step& s, Peer& p);
  void fetch_from(Step& s, Peer& p);
  void search_leader(Step& s);
  bool searching(const Follower& f) const { return !is_voter() && f.fetch_at == kNever; }
  bool calling() const;

  // votes.cc: what prospectives and candidates share, and the answer to those who ask for a vote
  VoteAnswer on_vote_request(Step& s, const VoteRequest& r);
  void on_vote_answer(Step& s, NodeId from, const VoteAnswer& a);
  void ask_for_votes(Step& s, const Ballot& ballot, bool pre_vote);
  bool won(const Ballot& ballot) const;
  bool lost(const Ballot& ballot) const;
  Duration election_timeout(Ctx& ctx);

  // one file a role
  void become_unattached(Step& s, const HardState& hard);
  void tick_unattached(Step& s);
  void become_prospective(Step& s, int32_t attempts);
  void tick_prospective(Step& s);
  void count_pre_votes(Step& s);
  void lose_pre_vote(Step& s);
  void become_candidate(Step& s, int32_t attempts);
  void tick_candidate(Step& s);
  void count_votes(Step& s);
  void lose_election(Step& s, Candidate& c);
  void become_leader(Step& s);
  void tick_leader(Step& s);
  void propose(Step& s, int32_t records);
  void append(Step& s, Append a);
  void on_fetch_request(Step& s, const Ticket& ticket, const FetchRequest& r);
  ErrorCode check_fetch_request(const FetchRequest& r) const;
  void on_snapshot_request(Step& s, const Ticket& ticket, const SnapshotRequest& r);
  ErrorCode check_leader_only(LeaderEpoch epoch) const;
  void hear_voter(Step& s, NodeId id);
  void note_fetch(Step& s, const FetchRequest& r);
  Progress* progress(Leader& l, const ReplicaKey& key);
  void park(Step& s, const Ticket& ticket, const FetchRequest& r);
  FetchReply fetch_reply(Offset from) const;
  void commit(Step& s);
  void wake_fetches(Step& s);
  void begin_epoch(Step& s);
  void become_resigned(Step& s);
  void tick_resigned(Step& s);
  void become_follower(Step& s, LeaderEpoch epoch, NodeId leader);
  void tick_follower(Step& s);
  void on_fetch_answer(Step& s, NodeId from, const FetchAnswer& a);
  void on_snapshot_answer(Step& s, NodeId from, const SnapshotAnswer& a);
  void begin_snapshot(Step& s, OffsetAndEpoch id);
  void give_up_snapshot(NodeId from);
  void hear_leader(Step& s);
  void log_replaced(Step& s);
  void truncate(Step& s, OffsetAndEpoch diverging);
  bool accept(Step& s, const std::vector<Run>& runs);
  void leader_refused(Step& s, NodeId id);
  EndAnswer on_end_request(Step& s, const EndRequest& r);

  Options options_;
  int32_t rank_ = -1;  // of this replica among the voters; -1: an observer
  HardState hard_;
  uint64_t hard_version_ = 0;
  uint64_t hard_synced_ = 0;
  uint64_t term_version_ =
      0;  // the version that brought this epoch and vote: nothing is said of them before it is durable
  LogState log_;
  Offset committed_ = -1;  // never falls; <= log_.end
  State state_;
  std::vector<Peer> peers_;  // all other voters, ascending
  uint64_t next_call_ = 1;
  Search search_;
  bool stopping_ = false;
  Dice timeout_dice_;
  Dice backoff_dice_;
};

}  // namespace klamm::raft
