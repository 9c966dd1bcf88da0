// The metadata quorum of one node: the raft core with its log "__cluster_metadata-0", its quorum-state file and its
// conversation. Controllers are voters; a node that is only a broker is an observer with the same class.
//
//   new --start--> loading (quorum-state, recovery of the log) --Out.started--> running --resign(stopping)-->
//   Out.resigned
//
// Owned by the node, by value; copyable. The node routes to it: requests of the five APIs, answers and storage ends
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
#include "engine/net/calls.h"
#include "engine/quorum/state_file.h"
#include "engine/raft/raft.h"

namespace klamm::quorum {

inline constexpr Uuid kMetadataTopicId{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
inline constexpr const char* kMetadataTopic = "__cluster_metadata";
inline constexpr uint32_t kFetchBytes = 8 << 20;       // in one answer to a fetch, as Kafka
inline constexpr uint32_t kReadBytes = 1 << 20;        // per call of read
inline constexpr size_t kMaxColdReads = 64;            // fetches that wait for bytes from disk; more are answered empty
inline constexpr uint32_t kStateFileBytes = 64 << 10;  // a quorum-state file is not larger

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
  bool resigned = false;                 // after resign(stopping): nothing more to wait for
  std::string fatal;                     // not empty: this node must end (with this reason)
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

  // Vote, BeginQuorumEpoch, EndQuorumEpoch, Fetch and DescribeQuorum, of the versions of the controller listener. The
  // reply comes in Out.replies, in this turn or later; `body` is not kept. Before `started`, the connection is closed.
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
  // Committed batches from `from` (at most committed()) on.
  CommittedRead read(Io& io, Offset from);
  const VoterAddress* voter(NodeId id) const;
  const Options& options() const { return options_; }

  template<class V>
  void fields(V& v) const {
    v("log", log_), v("raft", raft_), v("told", told_), v("state_file", state_file_), v("stored", stored_);
    v("stored_loaded", stored_loaded_), v("held", held_), v("cold", cold_), v("cold_read", cold_read_);
  }

 private:
  // A message that is encoded and waits until what it promises is durable.
  struct Held {
    raft::Needs needs;
    std::optional<Call> call;  // else the reply
    Reply reply;
    template<class V>
    void fields(V& v) const;
  };
  // A fetch whose records come from disk.
  struct ColdFetch {
    Ticket ticket;
    raft::FetchReply reply;
    template<class V>
    void fields(V& v) const;
  };

  Options options_;
  log::Log log_;
  StateFile state_file_;
  std::optional<raft::HardState> stored_;  // what the file said, until the core takes it
  bool stored_loaded_ = false;
  std::optional<raft::Raft> raft_;
  Leadership told_;
  std::deque<Held> held_;
  std::vector<ColdFetch> cold_;  // at most kMaxColdReads
  bool cold_read_ = false;       // a read of committed batches waits
};

}  // namespace klamm::quorum
