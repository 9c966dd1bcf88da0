// Brokers come, beat, are fenced and leave.
#include <algorithm>
#include <limits>

#include "engine/controller/operation.h"

namespace klamm::controller {

using metadata::Broker;

namespace {

constexpr int16_t kRegisterBrokerVersion = 4;                 // since 4.3-IV0
constexpr int16_t kFencingVersion = 0, kShutdownVersion = 1;  // BrokerRegistrationChange: the lowest that carries
constexpr int16_t kLogDirsVersion = 2, kCordonedVersion = 3;  // what is changed, as Kafka does
constexpr int8_t kFence = 1, kUnfence = -1, kShuttingDown = 1;

std::vector<metadata::FeatureRange> ranges(const List<protocol::BrokerRegistrationRequest::Feature>& features) {
  std::vector<metadata::FeatureRange> out;
  for (const auto& f : features) out.push_back({std::string(f.name), f.min_supported_version, f.max_supported_version});
  return out;
}

ErrorCode directories_fault(const Operation& op, const protocol::BrokerRegistrationRequest& q) {
  if (q.log_dirs.empty()) return ErrorCode::invalid_registration;
  for (size_t i = 0; i < q.log_dirs.size(); ++i) {
    if (reserved_directory(q.log_dirs[i])) return ErrorCode::invalid_registration;
    for (size_t j = 0; j < i; ++j)
      if (q.log_dirs[i] == q.log_dirs[j]) return ErrorCode::invalid_registration;
  }
  for (const auto& [id, broker] : op.image.brokers()) {
    if (id.value == q.broker_id) continue;
    for (const Uuid& dir : broker.log_dirs)
      if (std::find(q.log_dirs.begin(), q.log_dirs.end(), dir) != q.log_dirs.end())
        return ErrorCode::invalid_registration;
  }
  return ErrorCode::none;
}

ErrorCode registration_fault(const Operation& op, const protocol::BrokerRegistrationRequest& q) {
  if (q.cluster_id != op.options.cluster_id) return ErrorCode::inconsistent_cluster_id;
  const Broker* existing = op.image.broker(NodeId{q.broker_id});
  if (existing && existing->incarnation != q.incarnation_id && !existing->in_controlled_shutdown) {
    const auto s = op.soft.sessions.find(existing->id);
    if (s != op.soft.sessions.end() && s->second.heard &&
        session_alive(s->second.last_contact, op.options.session_timeout, op.ctx.now))
      return ErrorCode::duplicate_broker_registration;
  }
  if (q.is_migrating_zk_broker) return ErrorCode::broker_id_not_registered;
  if (const ErrorCode fault = directories_fault(op, q); fault != ErrorCode::none) return fault;
  const bool names_version = std::any_of(q.features.begin(), q.features.end(),
                                         [](const auto& f) { return f.name == metadata::kMetadataVersion; });
  if (!names_version) return ErrorCode::invalid_registration;
  if (feature_fault(op.image.features(), ranges(q.features))) return ErrorCode::unsupported_version;
  return ErrorCode::none;
}

template<class To, class From>
void copy_endpoints(Arena& arena, To& to, const From& from) {
  for (const auto& l : from) {
    auto& e = to.add(arena);
    e.name = l.name, e.host = l.host, e.port = l.port, e.security_protocol = l.security_protocol;
  }
}
template<class To, class From>
void copy_features(Arena& arena, To& to, const From& from) {
  for (const auto& l : from) {
    auto& f = to.add(arena);
    f.name = l.name, f.min_supported_version = l.min_supported_version,
    f.max_supported_version = l.max_supported_version;
  }
}

// A new incarnation: the one before is gone. If it did not shut down cleanly its logs may have lost their ends, so it
// is no candidate any more, however alone (KIP-966).
void forget_incarnation(Operation& op, NodeId broker, bool clean) {
  Shift shift;
  (clean || !op.elr_enabled() ? shift.removed : shift.lossy) = broker;
  shift_partitions(op, op.image.memberships(broker), shift);
}

}  // namespace

ErrorCode check_broker_epoch(const Operation& op, int32_t broker, int64_t epoch) {
  const Broker* b = op.image.broker(NodeId{broker});
  return b && b->epoch == epoch ? ErrorCode::none : ErrorCode::stale_broker_epoch;
}

void register_broker(Operation& op, int16_t, const protocol::BrokerRegistrationRequest& q,
                     protocol::BrokerRegistrationResponse& a) {
  const ErrorCode fault = registration_fault(op, q);
  a.error_code = static_cast<int16_t>(fault);
  if (fault != ErrorCode::none) return;

  const NodeId id{q.broker_id};
  const Broker* existing = op.image.broker(id);
  const bool amended = existing && existing->incarnation == q.incarnation_id;
  if (!amended && existing) forget_incarnation(op, id, existing->epoch == q.previous_broker_epoch);

  Arena& arena = op.ctx.arena();
  protocol::RegisterBrokerRecord r;
  r.broker_id = q.broker_id;
  r.incarnation_id = q.incarnation_id;
  r.broker_epoch = amended ? existing->epoch : op.base;
  copy_endpoints(arena, r.end_points, q.listeners);
  copy_features(arena, r.features, q.features);
  r.rack = q.rack;
  r.log_dirs = q.log_dirs;
  r.fenced = amended ? existing->fenced : true;
  r.in_controlled_shutdown = amended && existing->in_controlled_shutdown;
  op.emit(kRegisterBrokerVersion, r);

  Session& session = op.soft.sessions[id];
  if (!amended) session = Session();
  session.epoch = r.broker_epoch;
  session.last_contact = op.ctx.now;
  session.heard = true;
  a.broker_epoch = r.broker_epoch;
  op.ctx.trace.event({TraceKind::broker_registered, 0, q.broker_id, r.broker_epoch});
}

void register_controller(Operation& op, int16_t, const protocol::ControllerRegistrationRequest& q,
                         protocol::ControllerRegistrationResponse& a) {
  protocol::RegisterControllerRecord r;
  r.controller_id = q.controller_id;
  r.incarnation_id = q.incarnation_id;
  copy_endpoints(op.ctx.arena(), r.end_points, q.listeners);
  copy_features(op.ctx.arena(), r.features, q.features);
  op.emit(0, r);
  a.error_message = kNullStr;
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
  if (cordoned.is_null() ||
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
  HeartbeatFacts facts;
  facts.current = b.fenced                               ? BrokerState::fenced
                  : session.controlled_shutdown_end >= 0 ? BrokerState::controlled_shutdown
                                                         : BrokerState::unfenced;
  facts.want_fence = q.want_fence;
  facts.want_shut_down = q.want_shut_down;
  facts.caught_up = unfence_allowed(q.current_metadata_offset, b.epoch);
  facts.leads_any = facts.want_shut_down && leads_any(op, b.id);
  facts.others_reached = all_reached(op, session.controlled_shutdown_end);
  const BrokerState next = next_state(facts);

  session.epoch = b.epoch;
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
  if (!out && op.records.empty()) {  // a partition changes once in a batch; the next heartbeat says it again
    lose_directories(op, b, q.offline_log_dirs);
    cordon(op, b, q.cordoned_log_dirs);
  }
  a.is_caught_up = facts.caught_up;
  a.is_fenced = out;
  a.should_shut_down = next == BrokerState::shutdown_now;
}

void unregister_broker(Operation& op, int16_t, const protocol::UnregisterBrokerRequest& q,
                       protocol::UnregisterBrokerResponse& a) {
  const Broker* b = op.image.broker(NodeId{q.broker_id});
  a.error_message = kNullStr;
  if (!b) {
    a.error_code = static_cast<int16_t>(ErrorCode::broker_id_not_registered);
    a.error_message = op.text("Broker ID " + std::to_string(q.broker_id) + " is not currently registered");
    return;
  }
  Shift shift;
  shift.lossy = b->id;  // out of isr and elr
  shift_partitions(op, op.image.memberships(b->id), shift);
  protocol::UnregisterBrokerRecord r;
  r.broker_id = q.broker_id;
  r.broker_epoch = b->epoch;
  op.emit(0, r);
  op.soft.sessions.erase(b->id);
}

void allocate_producer_ids(Operation& op, int16_t, const protocol::AllocateProducerIdsRequest& q,
                           protocol::AllocateProducerIdsResponse& a) {
  constexpr int32_t kBlock = 1000;
  ErrorCode fault = check_broker_epoch(op, q.broker_id, q.broker_epoch);
  const ProducerId first = op.image.next_producer_id();
  if (fault == ErrorCode::none && first > std::numeric_limits<int64_t>::max() - kBlock)
    fault = ErrorCode::unknown_server_error;
  a.error_code = static_cast<int16_t>(fault);
  if (fault != ErrorCode::none) return;
  protocol::ProducerIdsRecord r;
  r.broker_id = q.broker_id;
  r.broker_epoch = q.broker_epoch;
  r.next_producer_id = first + kBlock;
  op.emit(0, r);
  a.producer_id_start = first;
  a.producer_id_len = kBlock;
}

void bootstrap(Operation& op) {
  constexpr struct {
    const char* name;
    int16_t level;
  } kLevels[] = {{metadata::kMetadataVersion, 30},  // 4.3-IV0
                 {metadata::kElrVersion, 1},       {metadata::kGroupVersion, 1},      {"share.version", 1},
                 {"streams.version", 1},           {metadata::kTransactionVersion, 2}};
  for (const auto& [name, level] : kLevels) {
    if (name == std::string_view(metadata::kElrVersion) && !op.options.bootstrap_elr) continue;
    protocol::FeatureLevelRecord r;
    r.name = name;
    r.feature_level = level;
    op.emit(0, r);
  }
  if (!op.options.bootstrap_elr) return;
  protocol::ConfigRecord r;  // with the elr all brokers must agree on it, so it is the cluster's, not each node's
  r.resource_type = static_cast<int8_t>(metadata::ResourceType::broker);
  r.name = "min.insync.replicas";
  r.value = op.text(std::to_string(op.options.min_insync_replicas));
  op.emit(0, r);
}

}  // namespace klamm::controller
