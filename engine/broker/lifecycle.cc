#include "engine/broker/lifecycle.h"

#include "engine/protocol/messages/broker_heartbeat.h"
#include "engine/protocol/messages/broker_registration.h"

namespace klamm::broker {
namespace {

template<class Message>
ToController encoded(const Message& message) {
  Writer w;
  encode(w, Message::kHighest, message);
  KLAMM_ASSERT(w.ok());
  return {Message::kApiKey, Message::kHighest, w.finish()};
}

}  // namespace

ToController Lifecycle::registration(Ctx& ctx) const {
  protocol::BrokerRegistrationRequest m;
  m.broker_id = config_.node.value;
  m.cluster_id = config_.cluster_id;
  m.incarnation_id = config_.incarnation;
  for (const auto& e : config_.endpoints) {
    auto& l = m.listeners.add(ctx.arena());
    l.name = e.name, l.host = e.host, l.port = e.port, l.security_protocol = e.security_protocol;
  }
  for (const auto& f : config_.features) {
    auto& x = m.features.add(ctx.arena());
    x.name = f.name, x.min_supported_version = f.low, x.max_supported_version = f.high;
  }
  m.rack = config_.rack.empty() ? kNullStr : Str(config_.rack);
  for (const Uuid& dir : config_.log_dirs) m.log_dirs.push_back(ctx.arena(), dir);
  m.previous_broker_epoch = config_.previous_epoch;
  return encoded(m);
}

ToController Lifecycle::heartbeat(Ctx& ctx, Offset metadata_offset) const {
  protocol::BrokerHeartbeatRequest m;
  m.broker_id = config_.node.value;
  m.broker_epoch = epoch_;
  m.current_metadata_offset = metadata_offset;
  m.want_shut_down = standing_ == Standing::leaving;
  if (cordoned_) m.cordoned_log_dirs = {};
  for (const Uuid& dir : cordoned_.value_or(std::vector<Uuid>())) m.cordoned_log_dirs.push_back(ctx.arena(), dir);
  return encoded(m);
}

bool Lifecycle::poll(Ctx& ctx, Offset metadata_offset, ToController* out) {
  if (in_flight_ || standing_ == Standing::gone || ctx.now < next_) return false;
  in_flight_ = true;
  *out = epoch_ < 0 ? registration(ctx) : heartbeat(ctx, metadata_offset);
  return true;
}

void Lifecycle::failed(Instant now) {
  next_ = now + retry_;
  retry_ = std::min(retry_ * 2, kRetryMost);
}

void Lifecycle::on_registered(Ctx& ctx, bool ok, ErrorCode error, BrokerEpoch epoch) {
  KLAMM_ASSERT(in_flight_);
  in_flight_ = false;
  if (!ok || error != ErrorCode::none) return failed(ctx.now);
  epoch_ = epoch;
  retry_ = kRetryFirst;
  if (standing_ == Standing::unregistered) standing_ = Standing::fenced;
  next_ = ctx.now;
}

void Lifecycle::on_heartbeat(Ctx& ctx, bool ok, Beat beat) {
  KLAMM_ASSERT(in_flight_);
  in_flight_ = false;
  if (!ok) return failed(ctx.now);
  if (beat.error == ErrorCode::stale_broker_epoch || beat.error == ErrorCode::broker_id_not_registered) {
    epoch_ = -1;  // the cluster forgot us, or knows a newer life of ours: register anew, unless we were leaving
    standing_ = standing_ == Standing::leaving ? Standing::gone : Standing::unregistered;
    return failed(ctx.now);
  }
  if (beat.error != ErrorCode::none) return failed(ctx.now);
  if (standing_ == Standing::leaving) {
    if (beat.should_shut_down) standing_ = Standing::gone;
    next_ = ctx.now + kRetryFirst;
    return;
  }
  standing_ = beat.fenced ? Standing::fenced : Standing::running;
  if (beat.fenced) return failed(ctx.now);
  ever_unfenced_ = true;
  retry_ = kRetryFirst;
  next_ = std::exchange(hurry_, false) ? ctx.now : ctx.now + config_.heartbeat_interval;
}

void Lifecycle::set_cordoned(Instant now, std::vector<Uuid> log_dirs) {
  const bool same = cordoned_.value_or(std::vector<Uuid>()) == log_dirs;
  cordoned_ = std::move(log_dirs);
  if (!same) beat_now(now);
}

void Lifecycle::stop(Instant now, Duration patience) {
  if (standing_ == Standing::gone || standing_ == Standing::leaving) return;
  standing_ = epoch_ < 0 ? Standing::gone : Standing::leaving;
  next_ = now;
  give_up_ = now + patience;
}

void Lifecycle::on_time(Instant now) {
  if (standing_ == Standing::leaving && now >= give_up_) standing_ = Standing::gone, give_up_ = kNever;
}

}  // namespace klamm::broker
