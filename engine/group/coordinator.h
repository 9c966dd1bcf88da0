// The group coordinator of a node: classic groups and committed offsets of the partitions of __consumer_offsets that
// the node leads. Takes requests as they came, routes them to the partition of their group, and answers at once or when
// what was recorded is committed.
//
// Owned by the node, which carries letters: Out.appends to replication and its ends back with `append_ended`, the
// partition's high watermark whenever it moves, and its log after an election. Requests that name no existing group
// partition of this node are answered NOT_COORDINATOR, and COORDINATOR_LOAD_IN_PROGRESS while one loads.
#pragma once
#include <map>
#include <vector>

#include "engine/base/ctx.h"
#include "engine/base/ticket.h"
#include "engine/coordinator/runtime.h"
#include "engine/group/config.h"
#include "engine/group/core.h"
#include "engine/protocol/messages/delete_groups.h"

namespace klamm::group {

// For the length of a call; `body` may be kept.
struct Request {
  Ticket ticket;
  Slice body;       // without header
  Str client_id;    // null if the client gave none
  Str client_host;  // its address as Java writes it, "/127.0.0.1": it is stored and shown so
};

struct Out {
  std::vector<coordinator::Append> appends;
  std::vector<Reply> replies;
};

class Coordinator final {
 public:
  explicit Coordinator(const Config& config);

  // ---- requests
  // JoinGroup, SyncGroup, Heartbeat, LeaveGroup, OffsetCommit, OffsetFetch, OffsetDelete, DescribeGroups, ListGroups,
  // DeleteGroups, in all versions of the api table. FindCoordinator is the node's, by `partition_of`.
  static bool serves(int16_t api);
  void on_request(Ctx& ctx, const Request& request, const Topics& topics, Out& out);
  int32_t partition_of(Str group) const { return protocol::coordinator_partition(group, config_.partitions); }
  // How many partitions the offsets topic has, once it exists. Groups do not move: it may not change while one is led.
  void set_partitions(int32_t n) { config_.partitions = n; }
  // max.message.bytes of the offsets topic: no batch is larger.
  void set_max_batch_bytes(int32_t n);
  // Topics were deleted: their committed offsets go, in shards that are loading once they are active.
  void topics_deleted(Ctx& ctx, const TopicIds& topics, Out& out);

  // ---- the life of a partition; see coordinator::Runtime
  // True: feed the partition's log from the start in chunks of whole batches, then call `loaded`.
  bool elected(int32_t partition, LeaderEpoch epoch) { return runtime_.elected(partition, epoch); }
  // The offset to go on from, or why it cannot be loaded: then the partition is not served until the next election.
  Result<Offset> load(Ctx& ctx, int32_t partition, ByteSpan batches) { return runtime_.load(ctx, partition, batches); }
  void load_failed(int32_t partition) { runtime_.load_failed(partition); }
  void loaded(Ctx& ctx, int32_t partition, Offset end, Offset high_watermark, Out& out);
  void resigned(Ctx& ctx, int32_t partition, Out& out);
  void append_ended(Ctx& ctx, const coordinator::AppendEnd& end, Out& out);
  void high_watermark(Ctx& ctx, int32_t partition, Offset offset, Out& out);

  void on_time(Ctx& ctx, Out& out);
  Instant next_deadline() const { return runtime_.next_deadline(); }

  // For people and checkers.
  const coordinator::Runtime<Core>& runtime() const { return runtime_; }
  template<class V>
  void fields(V& v) const {
    v("config", config_), v("runtime", runtime_), v("gathers", gathers_), v("last_gather", last_gather_),
        v("member_ordinal", member_ordinal_);
  }

 private:
  using Letters = coordinator::Out<Core>;
  // A request about several groups, until all their partitions have spoken.
  struct Gather {
    Ticket ticket;
    Slice request;
    std::vector<Slice> body;        // the answer, if all goes well and it is known
    std::vector<ErrorCode> errors;  // by part
    uint32_t left = 0;
    template<class V>
    void fields(V& v) const {
      v("ticket", ticket), v("request", request), v("body", body), v("errors", errors), v("left", left);
    }
  };
  struct Call;  // one request on its way through

  template<class F>
  void write(Call& call, Str group, F&& operation);
  void join(Call& call);
  void sync(Call& call);
  void heartbeat(Call& call);
  void leave(Call& call);
  void commit_offsets(Call& call);
  void fetch_offsets(Call& call);
  void delete_offsets(Call& call);
  void describe(Call& call);
  void list(Call& call);
  void delete_groups(Call& call);

  uint64_t begin_gather(Call& call, uint32_t parts, std::vector<Slice> body);
  void part_done(Ctx& ctx, uint64_t gather, uint32_t part, ErrorCode error, Out& out);
  void deliver(Ctx& ctx, Letters& letters, Out& out);

  Config config_;
  coordinator::Runtime<Core> runtime_;
  std::map<uint64_t, Gather> gathers_;
  uint64_t last_gather_ = 0;
  uint64_t member_ordinal_ = 0;  // names the next new member
};

}  // namespace klamm::group
