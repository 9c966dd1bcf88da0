// Nodes register, and are struck off.
#include <algorithm>

#include "engine/controller/operation.h"

namespace klamm::controller {

using metadata::Broker;

namespace {

std::vector<metadata::FeatureRange> ranges(const List<protocol::BrokerRegistrationRequest::Feature>& features) {
  std::vector<metadata::FeatureRange> out;
  for (const auto& f : features) out.push_back({std::string(f.name), f.min_supported_version, f.max_supported_version});
  return out;
}

// What a broker names comes from outside: no work that grows with the square of it.
ErrorCode directories_fault(const Operation& op, const protocol::BrokerRegistrationRequest& q) {
  if (q.log_dirs.empty() || q.log_dirs.size() > kLogDirsMax) return ErrorCode::invalid_registration;
  std::vector<Uuid> dirs(q.log_dirs.begin(), q.log_dirs.end());
  std::sort(dirs.begin(), dirs.end());
  if (std::adjacent_find(dirs.begin(), dirs.end()) != dirs.end()) return ErrorCode::invalid_registration;
  if (std::any_of(dirs.begin(), dirs.end(), reserved_directory)) return ErrorCode::invalid_registration;
  for (const auto& [id, broker] : op.image.brokers()) {
    if (id.value == q.broker_id) continue;
    for (const Uuid& dir : broker.log_dirs)
      if (std::binary_search(dirs.begin(), dirs.end(), dir)) return ErrorCode::invalid_registration;
  }
  return ErrorCode::none;
}

ErrorCode registration_fault(const Operation& op, const protocol::BrokerRegistrationRequest& q) {
  if (q.cluster_id != op.options.cluster_id) return ErrorCode::inconsistent_cluster_id;
  if (q.broker_id < 0) return ErrorCode::invalid_registration;  // -1 stands for none
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

void register_broker(Operation& op, int16_t, const protocol::BrokerRegistrationRequest& q,
                     protocol::BrokerRegistrationResponse& a) {
  const ErrorCode fault = registration_fault(op, q);
  a.error_code = static_cast<int16_t>(fault);
  if (fault != ErrorCode::none) return;

  const NodeId id{q.broker_id};
  const Broker* existing = op.image.broker(id);
  const bool amended = existing && existing->incarnation == q.incarnation_id;
  if (!amended) forget_incarnation(op, id, existing && existing->epoch == q.previous_broker_epoch);

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
  KLAMM_ASSERT(amended || r.broker_epoch > (existing ? existing->epoch : -1));
  op.emit(metadata::kRegisterBrokerVersion, r);

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
  shift.removed = b->id;  // it may stay eligible (KIP-966), until a registration says that it lost its end
  shift_partitions(op, op.image.memberships(b->id), shift);
  protocol::UnregisterBrokerRecord r;
  r.broker_id = q.broker_id;
  r.broker_epoch = b->epoch;
  op.emit(0, r);
  op.soft.sessions.erase(b->id);
}

}  // namespace klamm::controller
