// Brokers beat, serve, shut down, and are fenced.
#include <algorithm>

#include "engine/controller/operation.h"
#include "engine/metadata/features.h"

namespace klamm::controller {

using metadata::Broker;

namespace {

// Of BrokerRegistrationChangeRecord: the lowest version that carries what is changed, as Kafka does.
constexpr int16_t kFencingVersion = 0, kShutdownVersion = 1, kLogDirsVersion = 2, kCordonedVersion = 3;
constexpr int8_t kFence = 1, kUnfence = -1, kShuttingDown = 1;

}  // namespace

ErrorCode check_broker_epoch(const Operation& op, int32_t broker, int64_t epoch) {
  const Broker* b = op.image.broker(NodeId{broker});
  return b && b->epoch == epoch ? ErrorCode::none : ErrorCode::stale_broker_epoch;
}

void fence(Operation& op, NodeId broker, FenceReason reason) {
  const Broker* b = op.image.broker(broker);
  KLAMM_ASSERT(b != nullptr);
  Shift shift;
  shift.removed = broker;
  shift_partitions(op, op.image.memberships(broker), shift);
  protocol::BrokerRegistrationChangeRecord r;
  r.broker_id = broker.value;
  r.broker_epoch = b->epoch;
  r.fenced = kFence;
  op.emit(kFencingVersion, r);
  if (const auto s = op.soft.sessions.find(broker); s != op.soft.sessions.end()) {
    s->second.controlled_shutdown_end = -1;
    s->second.heard = false;  // gone, or it asked to be: a new incarnation may come at once
  }
  op.ctx.trace.event({TraceKind::broker_fenced, 0, broker.value, static_cast<int64_t>(reason)});
}

namespace {

void unfence(Operation& op, const Broker& b) {
  protocol::BrokerRegistrationChangeRecord r;
  r.broker_id = b.id.value;
  r.broker_epoch = b.epoch;
  r.fenced = kUnfence;
  op.emit(kFencingVersion, r);
  Shift shift;
  shift.added = b.id;
  shift_partitions(op, op.image.memberships(metadata::kLeaderless), shift);
  op.ctx.trace.event({TraceKind::broker_unfenced, 0, b.id.value});
}

// It stays unfenced and serves what it leads until that has moved, but leaves every isr and leads nothing new.
void begin_controlled_shutdown(Operation& op, const Broker& b) {
  if (!b.in_controlled_shutdown) {
    protocol::BrokerRegistrationChangeRecord r;
    r.broker_id = b.id.value;
    r.broker_epoch = b.epoch;
    r.in_controlled_shutdown = kShuttingDown;
    op.emit(kShutdownVersion, r);
  }
  Shift shift;
  shift.removed = b.id;
  shift_partitions(op, op.image.memberships(b.id), shift);
}

bool leads_any(const Operation& op, NodeId broker) {
  for (const TopicIdPartition& id : op.image.memberships(broker))
    if (op.image.partition(id)->leader == broker) return true;
  return false;
}

// Whether every active broker has applied the records before `end`.
bool all_reached(const Operation& op, Offset end) {
  for (const auto& [id, session] : op.soft.sessions) {
    if (session.controlled_shutdown_end >= 0 || !op.image.active(id)) continue;
    if (session.metadata_offset < end - 1) return false;
  }
  return true;
}

// Directories that the broker lost: what they held is out of sync, and not led from there.
void lose_directories(Operation& op, const Broker& b, const List<Uuid>& offline) {
  std::vector<Uuid> left;
  for (const Uuid& dir : b.log_dirs)
    if (std::find(offline.begin(), offline.end(), dir) == offline.end()) left.push_back(dir);
  if (left.size() == b.log_dirs.size() || left.empty()) return;  // the last one ends the broker itself
  std::vector<TopicIdPartition> lost;
  for (const TopicIdPartition& id : op.image.memberships(b.id)) {
    const PartitionInfo& p = *op.image.partition(id);
    for (size_t i = 0; i < p.replicas.size(); ++i)
      if (p.replicas[i] == b.id && std::find(offline.begin(), offline.end(), p.directories[i]) != offline.end())
        lost.push_back(id);
  }
  Shift shift;
  shift.removed = b.id;
  shift_partitions(op, lost, shift);
  protocol::BrokerRegistrationChangeRecord r;
  r.broker_id = b.id.value;
  r.broker_epoch = b.epoch;
  for (const Uuid& dir : left) r.log_dirs.push_back(op.ctx.arena(), dir);
  op.emit(kLogDirsVersion, r);
}

void cordon(Operation& op, const Broker& b, const List<Uuid>& cordoned) {
  const int16_t version = op.image.feature(metadata::kMetadataVersion);
  if (cordoned.is_null() || !metadata::knows_cordoned_log_dirs(version) || cordoned.size() > kLogDirsMax ||
      std::equal(cordoned.begin(), cordoned.end(), b.cordoned_log_dirs.begin(), b.cordoned_log_dirs.end()))
    return;
  protocol::BrokerRegistrationChangeRecord r;
  r.broker_id = b.id.value;
  r.broker_epoch = b.epoch;
  r.cordoned_log_dirs = cordoned;
  op.emit(kCordonedVersion, r);
}

}  // namespace

void heartbeat(Operation& op, int16_t, const protocol::BrokerHeartbeatRequest& q,
               protocol::BrokerHeartbeatResponse& a) {
  const ErrorCode fault = check_broker_epoch(op, q.broker_id, q.broker_epoch);
  a.error_code = static_cast<int16_t>(fault);
  if (fault != ErrorCode::none) return;

  const Broker& b = *op.image.broker(NodeId{q.broker_id});
  Session& session = op.soft.sessions[b.id];
  KLAMM_ASSERT_REL(session.epoch, ==, b.epoch);
  HeartbeatFacts facts;
  facts.current = b.fenced                               ? BrokerState::fenced
                  : session.controlled_shutdown_end >= 0 ? BrokerState::controlled_shutdown
                                                         : BrokerState::unfenced;
  facts.want_fence = q.want_fence;
  facts.want_shut_down = q.want_shut_down;
  facts.caught_up = unfence_allowed(q.current_metadata_offset, b.epoch);
  facts.leads_any = (q.want_shut_down || facts.current == BrokerState::controlled_shutdown) && leads_any(op, b.id);
  facts.others_reached = all_reached(op, session.controlled_shutdown_end);
  const BrokerState next = next_state(facts);

  session.last_contact = op.ctx.now;
  session.heard = true;
  session.metadata_offset = q.current_metadata_offset;
  const bool out = next == BrokerState::fenced || next == BrokerState::shutdown_now;
  if (out && !b.fenced)
    fence(op, b.id, FenceReason::asked);
  else if (next == BrokerState::shutdown_now)
    session.heard = false;
  if (next == BrokerState::unfenced && facts.current == BrokerState::fenced) unfence(op, b);
  if (next == BrokerState::controlled_shutdown && facts.current == BrokerState::unfenced) {
    begin_controlled_shutdown(op, b);
    session.controlled_shutdown_end = op.base + static_cast<Offset>(op.records.size());
  }
  if (!out && op.records.empty())  // a partition changes once in a batch; the next heartbeat says it again
    lose_directories(op, b, q.offline_log_dirs);
  cordon(op, b, q.cordoned_log_dirs);
  a.is_caught_up = facts.caught_up;
  a.is_fenced = out;
  a.should_shut_down = next == BrokerState::shutdown_now;
}

}  // namespace klamm::controller
