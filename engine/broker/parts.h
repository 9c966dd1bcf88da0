// What a node is made of. All parts by value; none knows another. Turn (turn.h) carries values between them.
#pragma once
#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "engine/base/timers.h"
#include "engine/broker/fetch_sessions.h"
#include "engine/broker/lifecycle.h"
#include "engine/broker/request.h"
#include "engine/broker/telemetry.h"
#include "engine/controller/controller.h"
#include "engine/env/boot.h"
#include "engine/env/io.h"
#include "engine/group/coordinator.h"
#include "engine/log/checkpoints.h"
#include "engine/log/replace_file.h"
#include "engine/metadata/config.h"
#include "engine/metadata/image.h"
#include "engine/metadata/snapshot.h"
#include "engine/net/calls.h"
#include "engine/net/server.h"
#include "engine/parked/parked.h"
#include "engine/quorum/quorum.h"
#include "engine/replication/replicas.h"

namespace klamm::broker {

// Owner.module: whose operation it is.
enum Module : uint16_t {
  kStartup = 1,
  kQuorum,
  kReplicas,
  kLifecycle,
  kForward,
  kAlter,
  kProducerIds,
  kControllerRegistration,
};

// Peers of net::Calls: brokers by node id, controllers' listeners above them.
inline constexpr uint64_t kControllerPeers = uint64_t{1} << 32;
inline constexpr uint64_t broker_peer(NodeId id) { return static_cast<uint32_t>(id.value); }
inline constexpr uint64_t controller_peer(NodeId id) { return kControllerPeers + static_cast<uint32_t>(id.value); }
// Channels: what may wait at its receiver must not delay the rest.
enum Channel : uint16_t {
  kQuick = 0,
  kQuorumFetch = 1,
  kForwardChannel = 2,
  kVotes = 3,
  kFetchChannels = 4,  // one for each lane of replication
};

// ---- starting and stopping
enum class Phase : uint8_t { fresh, locking, loading, comparing, asking, formatting, running, leaving, closing, ended };

using PartitionName = std::pair<std::string, int32_t>;

// What the checkpoint files of a directory say.
struct CheckpointLines {
  log::OffsetCheckpoint recovery_points, high_watermarks, log_starts, cleaned_to;
  bool tells_of(const PartitionName& partition) const {
    return recovery_points.count(partition) || high_watermarks.count(partition) || log_starts.count(partition) ||
           cleaned_to.count(partition);
  }
  void forget(const PartitionName& partition) {
    recovery_points.erase(partition), high_watermarks.erase(partition), log_starts.erase(partition);
    cleaned_to.erase(partition);
  }
  // Of one partition, or of all that have none here.
  void take(CheckpointLines& from, const PartitionName& partition) {
    for (const auto lines : kAll) (this->*lines).insert((from.*lines).extract(partition));
  }
  void take_all(CheckpointLines& from) {
    for (const auto lines : kAll) (this->*lines).merge(from.*lines);
  }
  template<class Test>
  void erase_if(Test&& test) {
    for (const auto lines : kAll) std::erase_if(this->*lines, [&](const auto& line) { return test(line.first); });
  }
  template<class V>
  void fields(V& v) const {
    v("recovery_points", recovery_points), v("high_watermarks", high_watermarks), v("log_starts", log_starts),
        v("cleaned_to", cleaned_to);
  }

 private:
  using Lines = log::OffsetCheckpoint CheckpointLines::*;
  static const std::array<Lines, 4> kAll;
};
inline constexpr std::array<CheckpointLines::Lines, 4> CheckpointLines::kAll = {
    &CheckpointLines::recovery_points, &CheckpointLines::high_watermarks, &CheckpointLines::log_starts,
    &CheckpointLines::cleaned_to};

// One of several directories of a partition's name, and what the checkpoint files beside it say of that.
struct PartitionCopy {
  DirId dir;
  Uuid topic;  // of its partition.metadata; zero: there is none
  CheckpointLines lines;
  template<class V>
  void fields(V& v) const {
    v("dir", dir), v("topic", topic), v("lines", lines);
  }
};

struct Startup {
  Phase phase = Phase::fresh;
  uint32_t waiting = 0;                          // ends that this phase waits for
  std::vector<std::optional<std::string>> meta;  // a directory's meta.properties as loaded
  std::vector<bool> used, metadata;              // what else was found there (DirectoryFound)
  std::vector<Uuid> directory_ids;
  std::string cluster_id;
  struct Bootstrap {
    std::vector<Slice> records;
    bool elr = false;  // they set eligible.leader.replicas.version
    template<class V>
    void fields(V& v) const {
      v("records", records), v("elr", elr);
    }
  } bootstrap;                           // of the file that `kafka-storage format` left, until the controller has it
  std::vector<CheckpointLines> found;    // while loading: by directory
  CheckpointLines lines;                 // of all: of partitions that lie beside them, or nowhere
  std::map<PartitionName, DirId> homes;  // where a partition's directory was found
  // Until the image tells which one is the partition's. They have no `lines`.
  std::map<PartitionName, std::vector<PartitionCopy>> copies;
  std::optional<PartitionName> comparing;  // of these: whose partition.metadata are being read
  BrokerEpoch clean_epoch = -1;            // of the clean-shutdown file; -1: there was none
  uint32_t clean_files = 0;                // directories that had one
  bool clean = false;                      // all had: the former life ended in good order
  bool ready_told = false;
  Instant ask_at = kNever;      // while asking: for the cluster id, once more
  Instant refused_at = kNever;  // when it is told (again) that the controller refuses to register us
  Instant sought_at = kNever;   // when it is told (again) that the controller is looked for; kNever: it is not
  Instant give_up = kNever;     // while stopping: wait for other nodes no more
  bool closes_on = false;       // closing, and the disk has done something for it: the next turn sets close_by
  Instant close_by = kNever;    // closing: wait for the disk no more
  // The partition is in this life's hands.
  void forget(const PartitionName& partition) { lines.forget(partition), homes.erase(partition); }
  template<class V>
  void fields(V& v) const {
    v("phase", phase), v("waiting", waiting), v("meta", meta), v("directory_ids", directory_ids),
        v("cluster_id", cluster_id), v("used", used), v("metadata", metadata), v("refused_at", refused_at);
    v("bootstrap", bootstrap), v("found", found), v("lines", lines), v("homes", homes), v("copies", copies),
        v("comparing", comparing);
    v("clean_epoch", clean_epoch), v("clean_files", clean_files), v("clean", clean), v("ready_told", ready_told);
    v("ask_at", ask_at), v("sought_at", sought_at);
    v("give_up", give_up), v("closes_on", closes_on), v("close_by", close_by);
  }
};

// ---- requests that wait
struct ProducePartition {
  TopicIdPartition id;
  std::string topic;  // as the request named it; empty from version 13 on
  int16_t error = 0;
  Offset base_offset = -1;
  Offset wanted = 0;  // the end (high watermark, or written) that acknowledges it; 0: nothing to wait for
  LeaderEpoch leader_epoch = kNoEpoch;
  int64_t log_append_time = -1;
  Offset log_start = -1;
  std::string message;  // empty: null
  std::vector<replication::RecordError> record_errors;
  template<class V>
  void fields(V& v) const {
    v("id", id), v("topic", topic), v("error", error), v("base_offset", base_offset), v("wanted", wanted),
        v("leader_epoch", leader_epoch);
    v("log_append_time", log_append_time), v("log_start", log_start), v("message", message),
        v("record_errors", record_errors);
  }
};
struct ParkedProduce {
  Ticket ticket;
  ListenerId listener;  // it came by
  int16_t acks = -1;
  std::vector<ProducePartition> partitions;  // in the order of the request
  template<class V>
  void fields(V& v) const {
    v("ticket", ticket), v("listener", listener), v("acks", acks), v("partitions", partitions);
  }
};
// A Produce on its way: the partitions that are appended so far, and the request, which holds the others.
struct ProduceWork {
  Request request;
  ParkedProduce parked;
  bool no_id = false;  // transactional, by nobody
  std::string broken;  // why all of it is refused: a batch without a frame
  size_t record_errors = replication::kRecordErrorsMost;
  template<class V>
  void fields(V& v) const {
    v("ticket", request.ticket), v("frame", request.frame), v("parked", parked), v("no_id", no_id), v("broken", broken),
        v("record_errors", record_errors);
  }
};
inline constexpr uint64_t kUnpackedPerTurn = 8 << 20;  // replication::AdmissionBudget::work of all requests
// How far a look-up by time has come in a partition, or what it has found.
struct TimeSearch {
  LeaderEpoch epoch = kNoEpoch;  // of the leader that looks
  Offset from = 0;               // nothing below has it
  bool done = false;
  log::TimestampAndOffset found;
  LeaderEpoch found_epoch = kNoEpoch;
  template<class V>
  void fields(V& v) const {
    v("epoch", epoch), v("from", from), v("done", done), v("found", found), v("found_epoch", found_epoch);
  }
};
using TimeSearches = std::map<TopicIdPartition, TimeSearch>;
// A Fetch (or another request whose bytes are cold, or whose answer is in doubt): served again from its frame each time
// that it may go on.
struct ParkedFetch {
  Request request;
  Instant until;                  // when it is answered with what there is
  TimeSearches searches;          // of a ListOffsets
  std::vector<uint32_t> unknown;  // of a Fetch: which of its partitions were not there when it was parked, ascending
  template<class V>
  void fields(V& v) const {
    v("request", request), v("until", until), v("searches", searches), v("unknown", unknown);
  }
};
// The Fetch of a follower that waits here, as far as it does: the next of the same follower lets it go.
using StandingFetches = std::map<NodeId, parked::ParkedId>;  // at most one a broker
// A DeleteRecords that waits for the logs of other replicas to start where it said; looked at again by time.
struct DeletedPartition {
  TopicIdPartition id;
  std::string topic;
  int16_t error = 0;
  Offset wanted = -1;  // where every log is to start
  Offset low = -1;     // where the last one does
  template<class V>
  void fields(V& v) const {
    v("id", id), v("topic", topic), v("error", error), v("wanted", wanted), v("low", low);
  }
};
struct ParkedDelete {
  Ticket ticket;
  Instant until;
  std::vector<DeletedPartition> partitions;  // in the order of the request
  template<class V>
  void fields(V& v) const {
    v("ticket", ticket), v("until", until), v("partitions", partitions);
  }
};
// What a parked request waits for in a partition.
enum class Wait : uint8_t {
  committed,  // the high watermark (acks=all; consumers)
  stable,     // the last stable offset (read_committed consumers)
  written,    // the leader's own write (acks=1; followers)
  changed,    // role or epoch changed, or cold bytes came
  doubt,      // who lives and leads (rules.h); of no partition
};
struct WaitKey {
  TopicIdPartition id;
  Wait what = Wait::committed;
  friend constexpr auto operator<=>(const WaitKey&, const WaitKey&) = default;
  template<class V>
  void fields(V& v) const {
    v("id", id), v("what", what);
  }
};
using ParkedProduces = parked::Parked<WaitKey, ParkedProduce>;
using ParkedDeletes = parked::Parked<WaitKey, ParkedDelete>;
using ParkedFetches = parked::Parked<WaitKey, ParkedFetch>;

// What this broker has itself to say to a part of a request. An empty message: none.
struct Judged {
  int16_t error = 0;
  std::string message;
  friend bool operator==(const Judged&, const Judged&) = default;
  template<class V>
  void fields(V& v) const {
    v("error", error), v("message", message);
  }
};
// What is left of a request for the controller.
struct Part {
  Slice frame;
  uint32_t body_at = 0;
  std::vector<std::optional<Judged>> judged;  // of each resource of the whole; nothing: it is in `frame`
  template<class V>
  void fields(V& v) const {
    v("frame", frame), v("body_at", body_at), v("judged", judged);
  }
};
struct ForwardAs {
  std::string creates;       // the topic that it is to create because a client named it; empty: a client waits
  std::optional<Part> part;  // none: all of it goes
  template<class V>
  void fields(V& v) const {
    v("creates", creates), v("part", part);
  }
};
// A client's request on its way to the active controller, in an Envelope (KIP-590).
struct Forwarded {
  Request request;
  ForwardAs as;
  Instant deadline;
  bool under_way = false;
  Slice frame() const { return as.part ? as.part->frame : request.frame; }
  Slice body() const {
    const Slice all = frame();
    return all.of(all.span().subspan(as.part ? as.part->body_at : request.body_at));
  }
  template<class V>
  void fields(V& v) const {
    v("ticket", request.ticket), v("frame", request.frame), v("as", as), v("deadline", deadline),
        v("under_way", under_way);
  }
};
struct Forwards {
  static constexpr size_t kMost = 4096;
  static constexpr size_t kCreatingMost = 1000;  // more are asked for again by those who want them
  std::map<uint64_t, Forwarded> waiting;
  std::set<std::string> creating;  // each is what one of those that wait creates
  uint64_t last = 0;
  Timers<uint64_t> retries;
  // It is answered, or will not be.
  Request take(uint64_t id) {
    auto taken = waiting.extract(id);
    creating.erase(taken.mapped().as.creates);
    return std::move(taken.mapped().request);
  }
  template<class V>
  void fields(V& v) const {
    v("waiting", waiting), v("creating", creating), v("last", last), v("retries", retries);
  }
};

// Of a directory's disk, as the driver told last.
struct DiskSpace {
  int64_t total = 0, free = 0;
  template<class V>
  void fields(V& v) const {
    v("total", total), v("free", free);
  }
};

// Ids of idempotent producers, from blocks that the controller allots.
struct ProducerIdBlock {
  ProducerId next = 0, end = 0;
  ProducerId low = 0;  // from this one on the next block is asked for
  template<class V>
  void fields(V& v) const {
    v("next", next), v("end", end), v("low", low);
  }
};
struct ProducerIds {
  static constexpr size_t kWaitingMost = 10'000;
  struct Waiting {
    Ticket ticket;
    Instant until;
    template<class V>
    void fields(V& v) const {
      v("ticket", ticket), v("until", until);
    }
  };
  ProducerIdBlock block, following;
  bool asked = false;
  std::deque<Waiting> waiting;  // in order of `until`
  Instant retry = kNever;
  Instant next_deadline() const { return waiting.empty() ? retry : earlier(retry, waiting.front().until); }
  template<class V>
  void fields(V& v) const {
    v("block", block), v("following", following), v("asked", asked), v("waiting", waiting), v("retry", retry);
  }
};

// A call to oneself skips the socket, not the handler.
struct LocalCalls {
  struct Call {
    Owner owner;
    int16_t api = 0, version = 0;
    template<class V>
    void fields(V& v) const {
      v("owner", owner), v("api", api), v("version", version);
    }
  };
  std::map<uint32_t, Call> under_way;
  uint32_t last = 0;
  template<class V>
  void fields(V& v) const {
    v("under_way", under_way), v("last", last);
  }
};

// An Envelope whose inner request is being served.
struct Envelopes {
  std::map<Ticket, Ticket> outer;  // inner -> outer
  template<class V>
  void fields(V& v) const {
    v("outer", outer);
  }
};

// The group coordinator, and which partitions of __consumer_offsets it has here.
struct GroupService {
  explicit GroupService(const group::Config& config) : coordinator(config) {}
  group::Coordinator coordinator;
  Uuid topic;  // of __consumer_offsets; zero: it does not exist yet
  std::map<int32_t, LeaderEpoch> led;
  std::map<int32_t, Offset> loading;  // partition -> where to read on
  template<class V>
  void fields(V& v) const {
    v("coordinator", coordinator), v("topic", topic), v("led", led), v("loading", loading);
  }
};
group::Config group_config(const metadata::BrokerConfig& config);
// Addresses of what max.connections.per.ip.overrides names. The driver is told "resolve HOST" and asks "resolved" with
// "HOST ADDRESS", as Accepted tells callers; without an address none is known. That is done when a name comes to be
// there, and again only when it has been away, as Kafka looks it up when the value is set.
struct PeerNames {
  static constexpr size_t kAtOnce = 16;
  std::map<std::string, std::string> known;  // "": it has none
  std::set<std::string> asked;               // at most kAtOnce
  template<class V>
  void fields(V& v) const {
    v("known", known), v("asked", asked);
  }
};
net::ServerLimits server_limits(const Boot& boot, const metadata::BrokerConfig& config, const PeerNames& names);

using Letter = std::variant<Request, net::Answer>;

// The image is read from a snapshot at the start and written to one from time to time.
struct MetadataSnapshots {
  bool read = false;  // the one found at the start is in the image, or there was none
  std::optional<metadata::SnapshotReader> reader;
  std::optional<metadata::SnapshotWriter> writer;
  std::vector<Slice> pieces;  // of the file being made
  int64_t bytes = 0;          // of committed batches since the last one
  int64_t last_ms = -1;       // timestamp of the last of them
  Instant due_at = kNever;    // even if there were few
  template<class V>
  void fields(V& v) const {
    v("read", read), v("reader", reader), v("writer", writer), v("pieces", pieces), v("bytes", bytes),
        v("last_ms", last_ms), v("due_at", due_at);
  }
};

struct Parts {
  explicit Parts(Boot b);
  // A property of the broker as it was booted: set, or Kafka's default; "" if it has none.
  std::string property(const char* name) const;

  Boot boot;
  metadata::BrokerConfig config;
  metadata::Properties properties;  // as booted, with the dynamic configs of this broker and of all over them: derived
  OpTable ops;
  net::ConnTable conns;
  PeerNames peer_names;
  net::Server server;
  net::Calls calls;
  Startup startup;
  std::optional<quorum::Quorum> quorum;
  std::optional<controller::Controller> controller;
  metadata::Image image;  // at the last committed record that was read
  Offset published = 0;   // up to which committed records were read
  MetadataSnapshots snapshots;
  metadata::Delta unpublished;  // derived: what is not yet carried to the other parts
  replication::Replicas replicas;
  Lifecycle lifecycle;
  std::map<ConnId, NodeId> broker_conns;  // inbound: over which a broker registered or beat with this controller
  bool controller_registered = false;
  bool controller_registering = false;
  Instant controller_registration_at{};
  GroupService groups;
  metadata::Image carried;             // the image that the other parts know
  std::set<std::string> configs_told;  // dynamic ones without effect that people know of
  uint32_t unused_told = 0;            // kinds of records without effect that people know of
  bool incomplete_told = false;        // and that they are too many
  bool joined = false;  // the image has this life's registration: only then is it carried to the other parts
  std::set<TopicIdPartition> stirred_groups;  // to go on loading
  ParkedProduces produces;
  std::optional<ProduceWork> producing;  // goes on in the next turn, before any other request
  std::deque<Request> produces_next;     // behind it: what had waited for logs or the disk, at most one a connection
  ParkedFetches fetches;
  StandingFetches standing;
  FetchSessions sessions;
  Telemetry telemetry;
  ParkedDeletes deletes;
  std::map<DirId, DiskSpace> disks;
  Forwards forwards;
  ProducerIds producer_ids;
  LocalCalls local;
  Envelopes envelopes;
  std::deque<Letter> mailbox;  // empty between turns
  Instant due = kNever;        // when the next turn has to come
  uint8_t catching_up = 0;     // turns after a standstill
  bool again = false;          // work was left for another turn
  bool reads_on = false;       // committed metadata records among it
  std::set<WaitKey> stirred;   // of this turn: parked fetches to look at again; empty between turns
  Instant checkpoint_at = kNever;
  std::map<uint64_t, log::ReplaceFile> files;  // small files that are replaced whole: directory | which << 16
  bool resigned = false;                       // the quorum lets us go
  bool clean_wanted = false;                   // the last checkpoints have been asked for
  bool clean_written = false;                  // and are on their way

  template<class V>
  void fields(V& v) const {
    v("boot", boot), v("ops", ops), v("conns", conns), v("peer_names", peer_names), v("server", server),
        v("calls", calls), v("startup", startup);
    v("quorum", quorum), v("controller", controller), v("image", image), v("published", published),
        v("snapshots", snapshots), v("joined", joined), v("unused_told", unused_told), v("configs_told", configs_told),
        v("incomplete_told", incomplete_told), v("carried", carried.end()), v("replicas", replicas);
    v("lifecycle", lifecycle), v("broker_conns", broker_conns), v("controller_registered", controller_registered),
        v("controller_registering", controller_registering),
        v("controller_registration_at", controller_registration_at);
    v("groups", groups), v("stirred_groups", stirred_groups), v("produces", produces), v("producing", producing),
        v("produces_next", produces_next), v("fetches", fetches), v("standing", standing), v("sessions", sessions),
        v("telemetry", telemetry), v("deletes", deletes), v("disks", disks);
    v("forwards", forwards), v("producer_ids", producer_ids), v("local", local), v("envelopes", envelopes);
    v("due", due), v("catching_up", catching_up), v("again", again), v("reads_on", reads_on),
        v("checkpoint_at", checkpoint_at), v("files", files);
    v("resigned", resigned), v("clean_wanted", clean_wanted), v("clean_written", clean_written);
  }
};

}  // namespace klamm::broker
