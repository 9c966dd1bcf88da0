// Standing tasks. Retention: every log.retention.check.interval.ms all partitions are looked at, a few a turn.
// Producers that have not written for long are forgotten.
#include "engine/replication/replicas.h"

namespace klamm::replication {

namespace {
constexpr size_t kLooksPerTurn = 200;
constexpr Duration kFirstLook = seconds(30);  // as Kafka, unless the interval is shorter
}  // namespace

void Replicas::begin_retention(Ctx& ctx) {
  wake_at(ctx.now + std::min(config_.retention_check, kFirstLook), Timer::retention);
  wake_at(ctx.now + config_.producer_check, Timer::expire);
}

void Replicas::retain_some(Io& io, Out& out) {
  if (ending_) return;
  auto it = retention_at_ ? partitions_.lower_bound(*retention_at_) : partitions_.begin();
  for (size_t looks = 0; it != partitions_.end() && looks < kLooksPerTurn; ++it, ++looks) {
    if (!it->second->retains_too_much(io.ctx.wall)) continue;
    Partition& p = it->second.write();
    p.retain(io);
    if (p.dirty()) dirty_.insert(it->first);
    out.changed.push_back(it->first);  // followers hear of the log start
  }
  retention_at_.reset();
  if (it != partitions_.end()) {
    retention_at_ = it->first;
    return wake_at(io.ctx.now, Timer::retention);
  }
  wake_at(io.ctx.now + config_.retention_check, Timer::retention);
}

void Replicas::expire_producers(Ctx& ctx) {
  for (auto& [id, partition] : partitions_)
    if (partition->log().producers_expired(ctx)) partition.write().log().expire_producers(ctx);
  wake_at(ctx.now + config_.producer_check, Timer::expire);
}

void Replicas::remove_put_away(Io& io) {
  TopicIdPartition id;
  while (removals_.pop(io.ctx.now, &id))
    if (Partition* p = write(id); p && !ending_) p->log().remove_put_away(io);
}

}  // namespace klamm::replication
