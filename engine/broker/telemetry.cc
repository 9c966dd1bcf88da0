#include "engine/broker/telemetry.h"

#include "engine/metadata/config_defs.h"
#include "engine/protocol/compression.h"

namespace klamm::broker {

using metadata::ClientAttribute;
using metadata::ClientFacts;

namespace {

// What a client says of itself, unless it is too long to be kept.
std::optional<std::string> fact(Str s) {
  if (is_null(s) || s.size() > Telemetry::kFactMost) return std::nullopt;
  return std::string(s);
}

}  // namespace

void Telemetry::subscribe(const metadata::Image& image) {
  ++changes_;
  subscriptions_.clear();
  for (const auto& [resource, configs] : image.configs()) {
    if (resource.type != metadata::ResourceType::client_metrics) continue;
    if (subscriptions_.size() == kSubscriptionsMost) break;
    const auto value = [&](const char* name) { return configs.find(std::string(name)); };
    const std::string* match = value("match");
    auto parsed = metadata::ClientMatch::parse(match ? *match : "");
    if (!parsed) continue;  // written by a Kafka that knows more patterns: for nobody here
    Subscription s{kIntervalDefault, {}, std::move(*parsed)};
    if (const std::string* interval = value("interval.ms"))
      if (const auto ms = metadata::parse_integer(metadata::trimmed(*interval)))
        s.interval = std::clamp(milliseconds(*ms), metadata::kPushIntervalLeast, metadata::kPushIntervalMost);
    if (const std::string* metrics = value("metrics"))
      for (std::string_view m : metadata::config_list(*metrics)) s.metrics.emplace_back(m);
    subscriptions_.push_back(std::move(s));
  }
}

void Telemetry::note_software(ConnId conn, Str name, Str version) {
  Client& client = clients_[conn];
  client.software_name = fact(name.empty() ? Str("unknown") : name);
  client.software_version = fact(version.empty() ? Str("unknown") : version);
}

void Telemetry::closed(ConnId conn) {
  const auto it = clients_.find(conn);
  if (it == clients_.end()) return;
  if (it->second.instance)
    if (const auto i = instances_.find(*it->second.instance); i != instances_.end()) erase(i);
  clients_.erase(it);
}

void Telemetry::erase(Instances::iterator it) {
  by_expiry_.erase({it->second.expires, it->first});
  by_use_.erase(it->second.used);
  instances_.erase(it);
}

void Telemetry::on_time(Instant now) {
  while (!by_expiry_.empty() && by_expiry_.begin()->first <= now) {
    const auto it = instances_.find(by_expiry_.begin()->second);
    KLAMM_ASSERT(it != instances_.end());
    if (const auto c = clients_.find(it->second.conn); c != clients_.end()) c->second.instance.reset();
    erase(it);
  }
}

ClientFacts Telemetry::facts(const Asker& asker, const Uuid& id) const {
  ClientFacts out;
  out[ClientAttribute::instance_id] = id.text();
  out[ClientAttribute::client_id] = fact(asker.client_id);
  const auto client = clients_.find(asker.conn);
  const Client known = client == clients_.end() ? Client{} : client->second;
  out[ClientAttribute::software_name] = known.software_name;
  out[ClientAttribute::software_version] = known.software_version;
  if (asker.address) out[ClientAttribute::source_address] = *asker.address;
  if (asker.port) out[ClientAttribute::source_port] = std::to_string(asker.port);
  return out;
}

// The union of what the subscriptions that match ask for, at the least of their intervals.
Telemetry::Selected Telemetry::selected(const ClientFacts& facts) const {
  Selected out;
  int64_t steps = kStepsMost;
  for (const Subscription& s : subscriptions_) {
    if (!s.match.matches(facts, steps)) continue;
    out.metrics.insert(s.metrics.begin(), s.metrics.end());
    out.interval = std::min(out.interval, s.interval);
  }
  if (out.metrics.count("*")) out.metrics = {"*"};
  return out;
}

Telemetry::Instance& Telemetry::instance(Ctx& ctx, const Asker& asker, const Uuid& id) {
  auto it = instances_.find(id);
  const bool known = it != instances_.end();
  if (!known && instances_.size() == kInstancesMost) erase(instances_.find(by_use_.begin()->second));
  if (!known) it = instances_.emplace(id, Instance{}).first, it->second.facts = facts(asker, id);
  Instance& i = it->second;
  if (!known || i.changes != changes_) {
    const Selected s = selected(i.facts);
    i.client = {.interval = s.interval};
    i.subscription = telemetry_subscription_id(s.metrics, s.interval, id);
    i.changes = changes_;
    clients_[asker.conn].instance = id;
  }
  by_expiry_.erase({i.expires, id});
  by_use_.erase(i.used);
  i.conn = asker.conn;
  i.expires = ctx.now + std::max(kIdleLeast, i.client.interval * kIdleIntervals);
  i.used = ++uses_;
  by_expiry_.insert({i.expires, id});
  by_use_.insert({i.used, id});
  return i;
}

protocol::GetTelemetrySubscriptionsResponse Telemetry::asked(Ctx& ctx, const Asker& asker, const Uuid& asked) {
  Uuid id = asked;
  while (id.zero() || (asked.zero() && instances_.count(id)))
    id = ctx.chance.uuid(Stream::client_instance_id, 0, drawn_++);
  Instance& i = instance(ctx, asker, id);
  protocol::GetTelemetrySubscriptionsResponse m;
  if (!telemetry_question_admitted(i.client, ctx.now)) {
    m.error_code = static_cast<int16_t>(ErrorCode::throttling_quota_exceeded);
    return m;
  }
  if (telemetry_question_due(i.client, ctx.now)) i.client.asked = ctx.now;
  i.client.last_error = ErrorCode::none;
  m.client_instance_id = id;
  m.subscription_id = i.subscription;
  using protocol::Compression;
  for (Compression c : {Compression::zstd, Compression::lz4, Compression::gzip, Compression::snappy})
    m.accepted_compression_types.push_back(ctx.arena(), static_cast<int8_t>(c));
  m.push_interval_ms = static_cast<int32_t>(i.client.interval.ms());
  m.telemetry_max_bytes = bytes_max_;
  m.delta_temporality = true;
  for (std::string_view metric : selected(i.facts).metrics) m.requested_metrics.push_back(ctx.arena(), metric);
  return m;
}

ErrorCode Telemetry::pushed(Ctx& ctx, const Asker& asker, const protocol::PushTelemetryRequest& q) {
  constexpr Uuid kOne{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  if (q.client_instance_id.zero() || q.client_instance_id == kOne) return ErrorCode::invalid_request;
  Instance& i = instance(ctx, asker, q.client_instance_id);
  const size_t size = q.metrics.size;
  TelemetryPush push;
  push.due = telemetry_push_due(i.client, ctx.now);
  push.terminating = q.terminating;
  push.subscription_known = q.subscription_id == i.subscription;
  push.compression_known = q.compression_type >= 0 && q.compression_type <= 4;
  push.fits = size <= static_cast<size_t>(bytes_max_);
  ErrorCode error = telemetry_push_refusal(i.client, push);
  if (push.due && !i.client.terminating) i.client.pushed = ctx.now;
  i.client.terminating = q.terminating;
  if (error == ErrorCode::none && size > 0) {
    const auto codec = static_cast<protocol::Compression>(q.compression_type);
    const protocol::Decompression limits{.output_max = static_cast<size_t>(bytes_max_), .first_stream_only = true};
    if (!protocol::decompress(codec, {q.metrics.data, size}, limits)) error = ErrorCode::invalid_record;
  }
  i.client.last_error = error;
  if (error == ErrorCode::none) ++pushes_, pushed_bytes_ += size;
  return error;
}

}  // namespace klamm::broker
