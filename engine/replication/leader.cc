// The leader's half of a partition: appends, followers' progress, high watermark, ISR.
#include <algorithm>

#include "engine/replication/partition.h"

namespace klamm::replication {
namespace {

bool contains(const std::vector<NodeId>& nodes, NodeId n) {
  return std::find(nodes.begin(), nodes.end(), n) != nodes.end();
}

BrokerState state_of(const Brokers& brokers, NodeId n) {
  const auto it = brokers.find(n);
  return it == brokers.end() ? BrokerState{} : it->second;
}

}  // namespace

void Partition::become_leader(Io& io, const Common& common, const Brokers& brokers, Moved& moved) {
  role_ = Role::leader;
  moved.role = true;
  epoch_start_ = log_.ends().submitted;
  log_.assign_epoch(at_.leader_epoch);
  proposal_.reset();
  remotes_.clear();
  for (NodeId r : at_.replicas) {
    if (r == common.self) continue;
    Remote& remote = remotes_[r];
    remote.leader_end = epoch_start_;
    // A member of the ISR starts with the benefit of the doubt: it has the whole lag limit to fetch.
    remote.caught_up_at = contains(at_.isr, r) ? io.ctx.now : Instant{INT64_MIN / 2};
  }
  trace_role(io.ctx);
  advance(io.ctx, common, brokers, moved);
}

Result<void> Partition::leads(LeaderEpoch asked) const {
  if (role_ == Role::offline) return fail(ErrorCode::kafka_storage_error);
  if (role_ != Role::leader) {
    const ErrorCode fence = fetch_fence(asked, at_.leader_epoch);
    return fail(fence == ErrorCode::none ? ErrorCode::not_leader_or_follower : fence);
  }
  const ErrorCode fence = fetch_fence(asked, at_.leader_epoch);
  if (fence != ErrorCode::none) return fail(fence);
  return {};
}

ErrorCode Partition::enough_replicas() const {
  return replication::enough_replicas(
      {at_.isr.size(), at_.replicas.size(), static_cast<size_t>(std::max(settings_.min_insync, 1))});
}

Result<log::Appended> Partition::append(Ctx& ctx, const Slice& head, const Slice& records) {
  KLAMM_ASSERT(role_ == Role::leader);
  return log_.append_as_leader(ctx, at_.leader_epoch, head, records);
}

std::optional<OffsetAndEpoch> Partition::diverging(Offset offset, LeaderEpoch last_epoch) const {
  if (last_epoch == kNoEpoch) return std::nullopt;
  const OffsetAndEpoch ours = log_.end_offset_for(last_epoch);
  if (ours.epoch == kNoEpoch) return OffsetAndEpoch{log_.ends().log_start, kNoEpoch};
  if (ours.epoch < last_epoch || ours.offset < offset) return ours;
  return std::nullopt;
}

Result<void> Partition::note_fetch(Ctx& ctx, const Common& common, const Brokers& brokers, const FollowerFetch& fetch,
                                   Moved& moved) {
  const auto it = remotes_.find(fetch.replica);
  if (it == remotes_.end())
    return fail(ErrorCode::unknown_leader_epoch);  // we may not have heard yet that it is a replica
  const BrokerState known = state_of(brokers, fetch.replica);
  if (fetch.broker_epoch >= 0 && known.epoch >= 0 && fetch.broker_epoch < known.epoch)
    return fail(ErrorCode::not_leader_or_follower);
  Remote& r = it->second;
  const Offset end = log_.ends().submitted;
  if (fetch.offset >= end)
    r.caught_up_at = std::max(r.caught_up_at, ctx.now);
  else if (r.end >= 0 && fetch.offset >= r.leader_end)
    r.caught_up_at = std::max(r.caught_up_at, r.fetched_at);
  r.end = fetch.offset;
  r.start = fetch.log_start;
  r.leader_end = end;
  r.fetched_at = ctx.now;
  r.broker_epoch = fetch.broker_epoch;

  if (!contains(at_.isr, fetch.replica) && !proposal_) {
    const Admission a{r.end, high_watermark_, epoch_start_, known.alive,
                      fetch.broker_epoch < 0 || fetch.broker_epoch == known.epoch};
    if (isr_admission(a)) {
      std::vector<NodeId> grown = at_.isr;
      grown.push_back(fetch.replica);
      PROBE(ctx, isr_expanded);
      propose(std::move(grown), moved);
    }
  }
  advance(ctx, common, brokers, moved);
  return {};
}

void Partition::acknowledged(Ctx& ctx, const Common& common, const Brokers& brokers, Moved& moved) {
  if (role_ == Role::leader) advance(ctx, common, brokers, moved);
  if (role_ == Role::follower) follow_high_watermark(ctx, moved);
}

// The high watermark is the least acknowledged end of the maximal ISR, and of followers about to join it.
void Partition::advance(Ctx& ctx, const Common& common, const Brokers& brokers, Moved& moved) {
  KLAMM_ASSERT(role_ == Role::leader);
  const IsrSize size{at_.isr.size(), at_.replicas.size(), static_cast<size_t>(std::max(settings_.min_insync, 1))};
  if (!high_watermark_may_move(size)) return;
  Offset least = acked_end();
  const Offset end = log_.ends().submitted;
  const std::vector<NodeId> members = quorum();
  for (const auto& [id, r] : remotes_) {
    const bool waits = contains(members, id) || (r.end >= 0 && state_of(brokers, id).alive &&
                                                 caught_up({r.end, end, r.caught_up_at, ctx.now, common.lag_max}));
    if (waits) least = std::min(least, r.end < 0 ? Offset{0} : r.end);
  }
  if (least <= high_watermark_) return;
  KLAMM_ASSERT_REL(least, <=, acked_end());
  set_high_watermark(ctx, least, moved);
}

void Partition::shrink_isr(Ctx& ctx, const Common& common, const Brokers&, Moved& moved) {
  if (role_ != Role::leader || proposal_) return;
  const Offset end = log_.ends().submitted;
  std::vector<NodeId> kept;
  for (NodeId id : at_.isr) {
    const auto it = remotes_.find(id);
    if (it == remotes_.end() || caught_up({it->second.end, end, it->second.caught_up_at, ctx.now, common.lag_max}))
      kept.push_back(id);
  }
  if (kept.size() == at_.isr.size()) return;
  KLAMM_ASSERT(contains(kept, common.self));
  PROBE(ctx, isr_shrunk);
  propose(std::move(kept), moved);
}

void Partition::propose(std::vector<NodeId> isr, Moved& moved) {
  KLAMM_ASSERT(!proposal_);
  proposal_ = Proposal{std::move(isr), false};
  moved.wants_alter = true;
}

void Partition::alter_answered(Io& io, const Common& common, const Brokers& brokers, ErrorCode error,
                               const Assignment& now, Moved& moved) {
  if (role_ != Role::leader || !proposal_ || !proposal_->sent) return;  // the metadata was faster
  switch (error) {
    case ErrorCode::none:
      if (now.leader_epoch != at_.leader_epoch || now.partition_epoch < at_.partition_epoch) return;
      at_.isr = now.isr;
      at_.partition_epoch = now.partition_epoch;
      proposal_.reset();
      moved.role = true;
      return advance(io.ctx, common, brokers, moved);
    case ErrorCode::ineligible_replica:
    case ErrorCode::operation_not_attempted:
      PROBE(io.ctx, alter_partition_refused);
      proposal_.reset();
      return advance(io.ctx, common, brokers, moved);  // what waited for a proposed member waits no more
    case ErrorCode::unknown_topic_or_partition:
    case ErrorCode::unknown_topic_id:
    case ErrorCode::invalid_update_version:
    case ErrorCode::fenced_leader_epoch:
    case ErrorCode::not_controller:
    case ErrorCode::new_leader_elected:
    case ErrorCode::invalid_request:
      PROBE(io.ctx, alter_partition_refused);
      // The controller knows more than we do: the metadata that tells us is on its way, and ends this proposal. It may
      // still have been applied, so its members count until then.
      if (error == ErrorCode::not_controller) proposal_->sent = false;
      return;
    default: proposal_->sent = false;
  }
}

const Remote* Partition::remote(NodeId id) const {
  const auto it = remotes_.find(id);
  return it == remotes_.end() ? nullptr : &it->second;
}

}  // namespace klamm::replication
