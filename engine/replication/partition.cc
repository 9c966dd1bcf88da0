// Roles of a partition and what both share; leader.cc and follower.cc have the rest.
#include "engine/replication/partition.h"

namespace klamm::replication {

Offset Partition::acked_end() const {
  const log::Ends& e = log_.ends();
  return replication::acked_end({e.written, e.synced}, settings_.unsynced_max);
}

bool Partition::sync_due() const {
  return replication::sync_due(log_.ends().submitted, log_.ends().synced, settings_.unsynced_max);
}

void Partition::flush(Io& io) {
  if (sync_due())
    log_.sync(io);
  else
    log_.flush(io);
}

void Partition::set_settings(Ctx& ctx, const Common& common, const Brokers& brokers, const Settings& settings,
                             Moved& moved) {
  settings_ = settings;
  log_.set_config(settings.log);
  if (role_ == Role::leader) advance(ctx, common, brokers, moved);  // fewer may be enough now
}

void Partition::trace_role(Ctx& ctx) const {
  if (role_ == Role::leader)
    ctx.trace.event({TraceKind::became_leader, 0, id_.partition, topic_key(id_.topic), at_.leader_epoch, epoch_start_});
  else
    ctx.trace.event(
        {TraceKind::became_follower, 0, id_.partition, topic_key(id_.topic), at_.leader_epoch, at_.leader.value});
}

void Partition::assign(Io& io, const Common& common, const Brokers& brokers, const Assignment& to, Moved& moved) {
  if (role_ == Role::offline || to.partition_epoch <= at_.partition_epoch) return;  // the metadata repeats what we know
  KLAMM_ASSERT_REL(to.leader_epoch, >=, at_.leader_epoch);
  const bool new_epoch = to.leader_epoch > at_.leader_epoch || to.leader != at_.leader;
  at_ = to;
  proposal_.reset();
  if (!log_.ready()) {
    waiting_ = true;
    return;
  }
  if (at_.leader == common.self) {
    if (new_epoch || role_ != Role::leader) return become_leader(io, common, brokers, moved);
    for (NodeId r : at_.replicas)
      if (r != common.self) remotes_.try_emplace(r);
    std::erase_if(remotes_, [&](const auto& e) {
      return std::find(at_.replicas.begin(), at_.replicas.end(), e.first) == at_.replicas.end();
    });
    moved.role = true;
    return advance(io.ctx, common, brokers, moved);
  }
  if (new_epoch || role_ != Role::follower) become_follower(io, moved);
}

void Partition::opened(Io& io, const Common& common, const Brokers& brokers, Offset high_watermark, Moved& moved) {
  KLAMM_ASSERT(log_.ready());
  const log::Ends& e = log_.ends();
  if (role_ == Role::none) high_watermark_ = std::clamp(high_watermark, e.log_start, e.submitted);
  high_watermark_ = std::clamp(high_watermark_, e.log_start, e.submitted);
  log_.note_high_watermark(high_watermark_);
  if (!waiting_) return;
  waiting_ = false;
  if (at_.leader == common.self)
    become_leader(io, common, brokers, moved);
  else
    become_follower(io, moved);
}

void Partition::went_offline(Moved& moved) {
  role_ = Role::offline;
  remotes_.clear();
  proposal_.reset();
  moved.role = true;
}

void Partition::set_high_watermark(Ctx& ctx, Offset to, Moved& moved) {
  if (to == high_watermark_) return;
  high_watermark_ = to;
  moved.high_watermark = true;
  moved.last_stable = moved.last_stable || last_stable() != told_stable_;
  told_stable_ = last_stable();
  log_.note_high_watermark(to);
  ctx.trace.event({TraceKind::high_watermark, static_cast<uint16_t>(role_), id_.partition, topic_key(id_.topic), to,
                   at_.leader_epoch});
}

}  // namespace klamm::replication
