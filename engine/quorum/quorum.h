// The metadata quorum of one node: the raft core with its log "__cluster_metadata-0", its quorum-state file and its
// conversation. Controllers are voters; a node that is only a broker is an observer with the same class.
//
//   new --start--> loading (quorum-state, the newest snapshot, recovery of the log) --Out.started--> running
//   --resign(stopping)--> Out.resigned
//
// Owned by the node, by value; copyable. The node routes to it: requests of the six APIs, answers and storage ends
// whose Owner carries its module, time, and after everything else of a turn one `end_turn`, which writes and syncs what
// the turn has appended. Every method may fill Out; the node drains it after each.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/ticket.h"
#include "engine/env/io.h"
#include "engine/log/log.h"
#include "engine/metadata/quorum_records.h"
#include "engine/net/calls.h"
#include "engine/quorum/codec.h"
#include "engine/quorum/rules.h"
#include "engine/quorum/snapshots.h"
#include "engine/quorum/state_file.h"
#include "engine/raft/raft.h"

namespace klamm::quorum {

inline constexpr uint32_t kFetchBytes = 1 << 20;     // asked for and given in an answer to a fetch
inline constexpr uint32_t kReadBytes = 1 << 20;      // given by one read of committed batches
inline constexpr uint32_t kMaxBatchBytes = 8 << 20;  // of one proposal
inline constexpr size_t kMaxColdFetches = 64;        // that wait for bytes from disk; more are answered without

struct VoterAddress {
  NodeId id;
  std::string host;
  uint16_t port = 0;
  template<class V>
  void fields(V& v) const {
    v("id", id), v("host", host), v("port", port);
  }
};

struct Options {
  NodeId self;
  Uuid directory;  // directory.id of meta.properties
  std::string cluster_id;
  std::string listener;              // name of the controllers' listener
  std::vector<VoterAddress> voters;  // controller.quorum.voters
  DirId dir;                         // metadata.log.dir
  uint16_t module = 0;               // Owner.module of what this part asks of the world, calls included
  Duration election_timeout = seconds(1);
  Duration election_backoff_max = seconds(1);
  Duration fetch_timeout = seconds(2);
  Duration request_timeout = seconds(2);
  log::LogConfig log;
  rules::Retention retention;
};

// A request for another node, on a connection of the quorum's own (a fetch may wait at its receiver). Its end comes
// back to on_answer with the same owner.
struct Call {
  NodeId to;
  int16_t api = 0;
  int16_t version = 0;
  std::vector<Slice> body;  // encoded, without header
  Duration timeout;
  Owner owner;
  template<class V>
  void fields(V& v) const {
    v("to", to), v("api", api), v("version", version), v("body", body), v("timeout", timeout), v("owner", owner);
  }
};

struct Leadership {
  LeaderEpoch epoch = 0;
  NodeId leader = kNoNode;
  // This node leads and has committed in its epoch: every record that ever was committed is below committed(), so once
  // they are replayed the controller may act.
  bool active = false;
  friend bool operator==(const Leadership&, const Leadership&) = default;
  template<class V>
  void fields(V& v) const {
    v("epoch", epoch), v("leader", leader), v("active", active);
  }
};

struct Out {
  std::vector<Call> calls;
  std::vector<Reply> replies;
  std::optional<Leadership> leadership;  // it has changed to this
  bool started = false;                  // requests are served from now on
  bool committed = false;                // committed() has grown
  bool readable = false;                 // a read that had to wait may be repeated
  bool replaced = false;                 // a snapshot came in the log's place: it is to be read, then the log behind it
  bool resigned = false;                 // after resign(stopping): nothing more to wait for
  bool foreign = false;                  // most voters say that they are of another cluster: this node must end
  std::string fatal;                     // not empty: this node must end (with this reason)
  std::string refused;                   // not empty: so must it, for the directory is not one that it can serve
};

// Committed batches: whole ones, the first holds the offset asked for.
struct CommittedRead {
  bool wait = false;  // the bytes come from disk: Out.readable tells when to ask again
  Slice batches;      // empty: nothing is committed from there on
  Offset next = 0;
};

class Quorum final {
 public:
  explicit Quorum(Options options);

  void start(Io& io, Out& out);
  bool started() const { return raft_.has_value(); }

  // Vote, BeginQuorumEpoch, EndQuorumEpoch, Fetch, FetchSnapshot and DescribeQuorum, of the versions of the controller
  // listener. The reply comes in Out.replies, in this turn or later; `body` is not kept. Before `started`, the
  // connection is closed.
  void on_request(Io& io, const Ticket& ticket, ByteSpan body, Out& out);
  void on_answer(Io& io, const net::Answer& answer, Out& out);
  void on_storage(Io& io, const Owner& owner, const StorageEnd& end, Out& out);
  void on_time(Io& io, Out& out);
  void end_turn(Io& io, Out& out);
  Instant next_deadline() const;

  // Appends records (each the value of one metadata record, framed) as one batch, and answers the offset of the last:
  // they are committed once committed() is past it, and gone when leadership() moves to another epoch before that.
  // Errors: NOT_CONTROLLER if this node does not lead `epoch`; RECORD_LIST_TOO_LARGE.
  Result<Offset> propose(Io& io, LeaderEpoch epoch, std::span<const Slice> records, Out& out);
  // Gives leadership up. `stopping`: the node is about to end; tells the others, and then Out.resigned.
  void resign(Io& io, bool stopping, Out& out);

  const Leadership& leadership() const { return told_; }
  Offset committed() const { return started() ? std::max<Offset>(raft_->committed(), 0) : 0; }
  Offset log_end() const { return started() ? raft_->log().end : 0; }
  Offset log_start() const { return started() ? raft_->log().start : 0; }
  bool seeks_leader() const { return started() && raft_->seeks_leader(); }
  raft::Role role() const { return started() ? raft_->role() : raft::Role::unattached; }
  // Committed batches from `from` (at most committed()) on.
  CommittedRead read(Io& io, Offset from);

  // ---- snapshots: of all committed records below an offset; what they hold is the node's affair
  std::optional<metadata::SnapshotId> snapshot() const { return snapshots_.newest(); }
  Slice take_snapshot() { return snapshots_.take_bytes(); }  // that was there at the start, or came; once
  // Of the records below `end`, if they can be snapshot now: durable here, and beyond the last one.
  std::optional<metadata::SnapshotId> next_snapshot(Offset end) const;
  // Not if a newer one has come meanwhile.
  void store_snapshot(Io& io, const metadata::SnapshotId& id, Slice file);
  const VoterAddress* voter(NodeId id) const;
  const Options& options() const { return options_; }

  template<class V>
  void fields(V& v) const {
    v("log", log_), v("state_file", state_file_), v("snapshots", snapshots_), v("loaded", loaded_), v("found", found_),
        v("raft", raft_), v("told", told_), v("read_to", read_to_), v("cut_at", cut_at_), v("fetched", fetched_),
        v("checking", checking_), v("storing", storing_), v("installing", installing_), v("serving", serving_);
    v("durable_version", durable_version_), v("sync_asked", sync_asked_), v("held", held_), v("cold", cold_);
    v("reader_waits", reader_waits_), v("resigned", resigned_), v("foreign", foreign_);
  }

 private:
  enum Key : uint64_t { kLogKey = 1, kStateFileKey, kSnapshotsKey };
  // A message that is encoded and waits until what it promises is durable: a call, or a reply.
  struct Held {
    raft::Needs needs;
    std::optional<Call> call;
    Reply reply;
    template<class V>
    void fields(V& v) const {
      v("hard_state", needs.hard_state), v("log", needs.log), v("call", call), v("ticket", reply.ticket);
      v("body", reply.body);
    }
  };
  // A fetch whose records come from disk.
  struct ColdFetch {
    raft::Needs needs;
    Ticket ticket;
    raft::FetchReply reply;
    template<class V>
    void fields(V& v) const {
      v("ticket", ticket), v("epoch", reply.verdict.epoch), v("read_from", reply.read_from);
    }
  };
  // A snapshot of the leader's on its way here.
  struct Fetched {
    metadata::SnapshotId id;
    std::vector<Slice> parts;
    bool complete = false;
    template<class V>
    void fields(V& v) const {
      v("id", id), v("parts", parts), v("complete", complete);
    }
  };
  // One that is all there is read to its end before it may take the place of a good log.
  struct Checking {
    metadata::SnapshotId id;
    Slice file;
    metadata::SnapshotReader reader;
    template<class V>
    void fields(V& v) const {
      v("id", id), v("file", file), v("reader", reader);
    }
  };
  // A stored snapshot on its way to take the log's place: nothing else happens to the log, and nobody is answered.
  struct Installing {
    metadata::SnapshotId id;
    bool begun = false;  // the log begins where it ends
    template<class V>
    void fields(V& v) const {
      v("id", id), v("begun", begun);
    }
  };
  // A part of a snapshot that is being read for another.
  struct Serving {
    raft::Needs needs;
    Ticket ticket;
    SnapshotPartReply part;
    template<class V>
    void fields(V& v) const {
      v("ticket", ticket), v("epoch", part.verdict.epoch), v("end", part.id.offset), v("position", part.position);
    }
  };
  // The bytes that an input is about, for the core may decide to append them.
  struct Carried {
    Slice answer;    // batches of a fetch answer, or bytes of a snapshot
    Slice proposal;  // a batch
  };

  // quorum.cc
  void on_log(Io& io, const Owner& owner, const StorageEnd& end, Out& out);
  void on_state_file(Io& io, const Owner& owner, const StorageEnd& end, Out& out);
  void on_snapshots(Io& io, const Owner& owner, const StorageEnd& end, Out& out);
  void run_if_loaded(Io& io, Out& out);
  raft::LogState recovered_log() const;
  bool note_control(const std::vector<Slice>& batches);
  std::string voters_refusal() const;
  bool log_usable() const { return log_.ready() && !installing_; }
  // cutting.cc
  void cut(Io& io, Out& out);
  std::optional<raft::SnapshotIds> snapshot_ids() const;
  void forget_fetched();
  void take_part(const raft::SnapshotPart& part, const Slice& bytes);
  void store_fetched(Io& io, Out& out);
  void fetched_stored(Io& io, Out& out);
  void install(Io& io, const metadata::SnapshotId& id, Out& out);
  void pump_install(Io& io, Out& out);
  void step(Io& io, const raft::Input& input, const Carried& carried, Out& out);
  void change_log(Io& io, const raft::Ready& ready, const Carried& carried, Out& out);
  void tell(Io& io, const raft::Ready& ready, Out& out);
  bool durable(const raft::Needs& needs) const;
  void release(Out& out);
  // messages.cc
  void send(Io& io, const raft::Send& send, Out& out);
  void send_reply(Io& io, raft::SendReply reply, Out& out);
  void send_fetch_reply(Io& io, const raft::Needs& needs, const Ticket& ticket, raft::FetchReply reply, Out& out);
  void send_snapshot_reply(Io& io, const raft::Needs& needs, const Ticket& ticket, const raft::SnapshotReply& reply,
                           Out& out);
  void on_snapshot_part(Io& io, const Snapshots::Part& part, Out& out);
  void deliver(const raft::Needs& needs, Reply reply, Out& out);
  void on_cold(Io& io, const log::ColdEnd& end, Out& out);
  raft::AnswerBody take_answer(Io& io, const net::Answer& answer, Carried& carried, Out& out);
  void note_kinship(uint16_t voter, bool foreign, Out& out);
  std::optional<Endpoint> endpoint(NodeId id) const;
  // describe.cc
  void describe(Io& io, const Ticket& ticket, ByteSpan body, Out& out) const;

  Options options_;
  Identity identity_;
  log::Log log_;
  StateFile state_file_;
  Snapshots snapshots_;
  bool loaded_ = false;            // the state file is
  metadata::QuorumRecords found_;  // at the start: in the newest snapshot and the log behind it
  std::optional<raft::Raft> raft_;
  Leadership told_;
  Offset read_to_ = 0;            // the reader has come so far: what it needs is not cut
  Instant cut_at_ = kNever;       // when to look whether the log is to be cut
  uint64_t durable_version_ = 0;  // of the hard state
  Offset sync_asked_ = 0;         // a sync of everything before it was asked for; <= the log's end
  std::deque<Held> held_;
  std::vector<ColdFetch> cold_;     // at most kMaxColdFetches
  std::optional<Fetched> fetched_;  // at most kMaxSnapshotBytes
  std::optional<Checking> checking_;
  std::optional<metadata::SnapshotId> storing_;  // one that was fetched
  std::optional<Installing> installing_;
  std::map<uint16_t, Serving> serving_;  // by slot of Snapshots: at most Snapshots::kMaxReads
  bool reader_waits_ = false;            // a read of committed batches was told to wait
  bool resigned_ = false;                // told
  uint64_t foreign_ = 0;                 // voters, by place, that said last that they are of another cluster
};

}  // namespace klamm::quorum
