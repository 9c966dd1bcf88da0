// Turns (operation -> records + replies) and replay(record) into a service that is replicated by a partitioned log:
// consumer groups on __consumer_offsets, transactions on __transaction_state.
//
// - replay is the only mutator of hard state, while loading as well as live: the state is always the fold of the log.
// - Each batch that is not yet committed has its root: hard state with everything up to it. Operations see the latest,
//   reads the root at the high watermark.
// - A reply leaves when the batch of its records is committed; one without records, when all before it is.
// - A failed append takes back its own records and all that were built on them; lost leadership ends the shard.
// - At most one batch of a partition is on its way to the log: what comes meanwhile gathers in the next one.
//
// Owned by the service's front (group::Coordinator). A Core is one partition's soft state and gives:
//   types Hard (a copy must be cheap), Origin (who asked), Effect (what follows a commit); all with fields()
//   static bool replay(Hard&, Arena&, const ReplayedRecord&)        false: malformed
//   static void replay_marker(Hard&, ProducerId, bool commit)       the end of a transaction
//   void activated(Operation&)                  after loading       void deactivated(Operation&): releases all it holds
//   void committed(Operation&, const Effect&)   void failed(Operation&, const Effect&, ErrorCode for the client)
//   void on_time(Operation&)                    Instant next_deadline() const
#pragma once
#include <algorithm>
#include <map>
#include <set>
#include <span>

#include "engine/base/cow.h"
#include "engine/base/result.h"
#include "engine/coordinator/rules.h"
#include "engine/coordinator/shard.h"
#include "engine/protocol/batch_builder.h"

namespace klamm::coordinator {

inline constexpr size_t kMaxPendingBatches = 4096;  // of one partition; then operations are refused

struct Options {
  size_t max_batch_bytes = 1'048'588;   // max.message.bytes of the backing topic, until told anew
  Duration write_timeout = seconds(5);  // offsets.commit.timeout.ms
};

template<class Core>
class Runtime final {
 public:
  using Hard = typename Core::Hard;
  using Op = Operation<Core>;

  // `blank` is what a shard's soft state begins as.
  explicit Runtime(Options options, Core blank = Core()) : options_(options), blank_(std::move(blank)) {}

  // ---- the life of a partition
  // This node leads the partition. True: feed its log from the start with `load`, then call `loaded`.
  bool elected(int32_t partition, LeaderEpoch epoch) {
    const auto it = shards_.find(partition);
    if (it != shards_.end() && it->second->status != Status::failed) {
      KLAMM_ASSERT_REL(epoch, >=, it->second->epoch);
      it->second.write().epoch = epoch;
      return false;
    }
    Shard<Core> s;
    s.epoch = epoch;
    s.core = blank_;
    shards_.insert_or_assign(partition, Cow<Shard<Core>>(std::move(s)));
    return true;
  }
  // Whole batches in order of offset, in chunks as large as the caller likes. Answers the offset to go on from. On
  // damage the shard is failed and the caller stops.
  Result<Offset> load(Ctx& ctx, int32_t partition, ByteSpan batches);
  void loaded(Ctx& ctx, int32_t partition, Offset end, Offset high_watermark, Out<Core>& out) {
    Shard<Core>* s = find(partition);
    if (!s || s->status != Status::loading) return;
    s->replayed = true;
    s->next = end;
    s->high_watermark = std::max(s->high_watermark, high_watermark);
    activate_if_may(ctx, partition, *s, out);
  }
  void load_failed(int32_t partition) {
    if (Shard<Core>* s = find(partition)) s->status = Status::failed;
  }
  void resigned(Ctx& ctx, int32_t partition, Out<Core>& out);

  // ---- what the log says
  // Answers the one append of that partition that is on its way; of another leadership it is ignored.
  void append_ended(Ctx& ctx, const AppendEnd& end, Out<Core>& out);
  void high_watermark(Ctx& ctx, int32_t partition, Offset offset, Out<Core>& out) {
    Shard<Core>* s = find(partition);
    if (!s || offset <= s->high_watermark) return;
    s->high_watermark = offset;
    if (s->status == Status::loading) activate_if_may(ctx, partition, *s, out);
    if (s->status == Status::active) commit(ctx, partition, *s, out);
  }

  // ---- work. The error says why nothing was done: not_coordinator, coordinator_load_in_progress ...
  template<class F>  // (Core&, Operation&)
  ErrorCode write(Ctx& ctx, int32_t partition, Out<Core>& out, F&& operation) {
    if (const ErrorCode e = served(partition); e != ErrorCode::none) return e;
    Shard<Core>& s = *find(partition);
    if (s.pending.size() >= kMaxPendingBatches) return ErrorCode::coordinator_not_available;
    run(ctx, partition, s, out, operation);
    return ErrorCode::none;
  }
  template<class F>  // (const Core&, const Hard&)
  ErrorCode read(int32_t partition, F&& f) const {
    if (const ErrorCode e = served(partition); e != ErrorCode::none) return e;
    const Shard<Core>& s = *shards_.find(partition)->second;
    f(s.core, s.committed);
    return ErrorCode::none;
  }
  template<class F>  // (partition), of every shard in any status
  void for_each(F&& f) const {
    for (const auto& [partition, shard] : shards_) f(partition);
  }
  ErrorCode served(int32_t partition) const {
    const auto it = shards_.find(partition);
    if (it == shards_.end() || it->second->status == Status::failed) return ErrorCode::not_coordinator;
    return it->second->status == Status::active ? ErrorCode::none : ErrorCode::coordinator_load_in_progress;
  }
  const Shard<Core>* shard(int32_t partition) const {
    const auto it = shards_.find(partition);
    return it == shards_.end() ? nullptr : &*it->second;
  }

  // Changes the soft state of a shard that may still be loading; no operation, so nothing is recorded or answered.
  template<class F>  // (Core&)
  void note(int32_t partition, F&& f) {
    Shard<Core>* s = find(partition);
    if (!s || s->status == Status::failed) return;
    f(s->core);
    remember_wake(partition, *s);
  }
  // Of batches begun from now on.
  void set_max_batch_bytes(size_t n) { options_.max_batch_bytes = n; }

  // ---- time
  Instant next_deadline() const { return calendar_.empty() ? kNever : calendar_.begin()->first; }
  void on_time(Ctx& ctx, Out<Core>& out);

  template<class V>
  void fields(V& v) const {
    v("shards", shards_);
  }

 private:
  Shard<Core>* find(int32_t partition) {
    const auto it = shards_.find(partition);
    return it == shards_.end() ? nullptr : &it->second.write();
  }
  void activate_if_may(Ctx& ctx, int32_t partition, Shard<Core>& s, Out<Core>& out) {
    if (!s.replayed || !may_serve(s.high_watermark, s.next)) return;
    s.status = Status::active;
    s.committed = s.latest;
    run(ctx, partition, s, out, [](Core& core, Op& op) { core.activated(op); });
  }
  template<class F>
  void run(Ctx& ctx, int32_t partition, Shard<Core>& s, Out<Core>& out, F&& operation) {
    Op op(ctx, partition, s.latest, out, most_records_bytes());
    operation(s.core, op);
    settle(ctx, partition, s, op, out);
    remember_wake(partition, s);
  }
  void settle(Ctx& ctx, int32_t partition, Shard<Core>& s, Op& op, Out<Core>& out);
  // In one batch.
  Batch<Core>& take(Ctx& ctx, Shard<Core>& s, std::span<NewRecord> records, size_t bytes);
  size_t most_records_bytes() const {
    return options_.max_batch_bytes - std::min(options_.max_batch_bytes, protocol::kBatchHeaderSize);
  }
  Batch<Core>& batch_for(Shard<Core>& s, size_t bytes);
  void appended(Ctx& ctx, int32_t partition, Shard<Core>& s, Offset base, Out<Core>& out);
  void revert(Ctx& ctx, int32_t partition, Shard<Core>& s, ErrorCode error, Out<Core>& out);
  static auto first_unappended(Shard<Core>& s) {
    return std::find_if(s.pending.begin(), s.pending.end(),
                        [](const Batch<Core>& b) { return b.phase != Phase::appended; });
  }
  void send_next(Ctx& ctx, int32_t partition, Shard<Core>& s, Out<Core>& out);
  void commit(Ctx& ctx, int32_t partition, Shard<Core>& s, Out<Core>& out);
  void fail(Ctx& ctx, int32_t partition, Shard<Core>& s, std::deque<Batch<Core>> batches, ErrorCode error,
            Out<Core>& out);
  void time_out(Ctx& ctx, int32_t partition, Shard<Core>& s, Out<Core>& out);
  void remember_wake(int32_t partition, Shard<Core>& s) {
    const Instant at = s.next_deadline();
    if (at == s.wake) return;
    if (s.wake != kNever) calendar_.erase({s.wake, partition});
    if (at != kNever) calendar_.insert({at, partition});
    s.wake = at;
  }

  Options options_;
  Core blank_;
  std::map<int32_t, Cow<Shard<Core>>> shards_;
  std::set<std::pair<Instant, int32_t>> calendar_;  // (wake, partition) of every shard with one
};

}  // namespace klamm::coordinator

#include "engine/coordinator/runtime_impl.h"
