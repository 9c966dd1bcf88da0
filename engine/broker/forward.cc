// What only the active controller can do goes there in an Envelope; what it answers goes back to the client (KIP-590).
#include "engine/broker/handlers.h"
#include "engine/protocol/api_table.h"
#include "engine/protocol/frame.h"
#include "engine/protocol/messages/create_topics.h"
#include "engine/protocol/messages/describe_quorum.h"
#include "engine/protocol/messages/envelope.h"
#include "engine/protocol/records/principal.h"

namespace klamm::broker {
namespace {

constexpr Duration kRetry = milliseconds(20);

Slice principal() {
  protocol::DefaultPrincipalData who;
  who.type = "User";
  who.name = "ANONYMOUS";
  Writer w;
  w.i16(0);
  encode(w, 0, who);
  return w.finish_contiguous();
}

// What a coordinator keeps its state in. A value that names a broker property stands for that property's.
struct InternalTopic {
  const char* name;
  const char* partitions;
  const char* replication_factor;
  std::pair<const char*, const char*> configs[5];
};
constexpr InternalTopic kInternal[] = {
    {"__consumer_offsets",
     "offsets.topic.num.partitions",
     "offsets.topic.replication.factor",
     {{"cleanup.policy", "compact"},
      {"compression.type", "producer"},
      {"segment.bytes", "offsets.topic.segment.bytes"}}},
    {"__transaction_state",
     "transaction.state.log.num.partitions",
     "transaction.state.log.replication.factor",
     {{"cleanup.policy", "compact"},
      {"compression.type", "uncompressed"},
      {"min.insync.replicas", "transaction.state.log.min.isr"},
      {"segment.bytes", "transaction.state.log.segment.bytes"},
      {"unclean.leader.election.enable", "false"}}},
    {"__share_group_state",
     "share.coordinator.state.topic.num.partitions",
     "share.coordinator.state.topic.replication.factor",
     {{"cleanup.policy", "delete"},
      {"compression.type", "uncompressed"},
      {"min.insync.replicas", "share.coordinator.state.topic.min.isr"},
      {"retention.ms", "-1"},
      {"segment.bytes", "share.coordinator.state.topic.segment.bytes"}}},
};

const InternalTopic* find_internal(const std::string& name) {
  for (const InternalTopic& t : kInternal)
    if (name == t.name) return &t;
  return nullptr;
}

bool well_formed(Turn& t, const Request& request) {
  protocol::DescribeQuorumRequest quorum;
  return request.ticket.api == quorum.kApiKey
             ? decode_body(request, t.arena(), quorum)
             : !controller::error_reply(t.arena(), request.ticket, request.frame.of(request.body()), ErrorCode::none)
                    .close;
}

bool is_principal(Arena& arena, ByteSpan bytes) {
  Reader reader(bytes);
  const int16_t version = reader.i16();
  protocol::DefaultPrincipalData who;
  return reader.ok() && version == 0 && decode(reader, arena, version, who);
}

// Of the request within an Envelope; none: the active controller serves it.
ErrorCode refuse_inner(const protocol::RequestHeader& header) {
  const protocol::ApiInfo* api = protocol::find_api(header.request_api_key);
  if (!api || !api->forwardable) return ErrorCode::invalid_request;
  const bool served = controller::Controller::serves(header.request_api_key) ||
                      header.request_api_key == protocol::DescribeQuorumRequest::kApiKey;
  return served && api->controller.contains(header.request_api_version) ? ErrorCode::none
                                                                        : ErrorCode::unsupported_version;
}

}  // namespace

// The error in the request's own shape.
void Turn::forward_failed(const Request& request, ErrorCode error) {
  if (request.ticket.api == protocol::DescribeQuorumRequest::kApiKey) {
    protocol::DescribeQuorumResponse m;
    m.error_code = code(error);
    return answer(request.ticket, m);
  }
  reply(controller::error_reply(arena(), request.ticket, request.frame.of(request.body()), error));
}

void Turn::forward(const Request& request, ForwardAs as) {
  if (!well_formed(*this, request)) return close(request.ticket);
  if (p.forwards.waiting.size() >= Forwards::kMost) return forward_failed(request, ErrorCode::request_timed_out);
  const uint64_t id = ++p.forwards.last;
  if (!as.creates.empty()) p.forwards.creating.insert(as.creates);
  p.forwards.waiting[id] = {request, std::move(as), ctx().now + p.config.request_timeout, false};
  forward_send(id);
}

void Turn::forward_send(uint64_t id) {
  const auto it = p.forwards.waiting.find(id);
  if (it == p.forwards.waiting.end() || it->second.under_way) return;
  Forwarded& f = it->second;
  if (ctx().now >= f.deadline) return forward_failed(p.forwards.take(id), ErrorCode::request_timed_out);
  const NodeId leader = active_controller();
  const Duration left = f.deadline - ctx().now;
  const Owner owner{kForward, 0, id};
  if (leader == NodeId{p.config.node_id}) {
    f.under_way = true;
    return call(controller_peer(leader), kForwardChannel, leader, f.request.ticket.api, f.request.ticket.version,
                {f.body()}, owner, left);
  }
  protocol::EnvelopeRequest m;
  const Slice frame = f.frame();
  m.request_data = protocol::Bytes::of(frame.span());
  const Slice who = principal();
  m.request_principal = protocol::Bytes::of(who.span());
  const uint8_t address[4] = {127, 0, 0, 1};
  m.client_host_address = protocol::Bytes::of(address);
  Writer w(frame.size() + 64);
  encode(w, 0, m);
  KLAMM_ASSERT(w.ok());
  f.under_way = call_controller(protocol::EnvelopeRequest::kApiKey, 0, w.finish(), owner, left);
  if (!f.under_way) p.forwards.retries.set(ctx().now + kRetry, id);
}

void Turn::forward_answered(const net::Answer& a) {
  const auto it = p.forwards.waiting.find(a.owner.key);
  if (it == p.forwards.waiting.end()) return;
  Forwarded& f = it->second;
  f.under_way = false;
  const auto again = [&] { p.forwards.retries.set(ctx().now + kRetry, a.owner.key); };
  if (a.error != IoError::none) return again();
  const Ticket ticket = f.request.ticket;
  Slice body = a.body;
  if (a.api == protocol::EnvelopeRequest::kApiKey) {
    protocol::EnvelopeResponse m;
    Reader reader(a.body.span());
    if (!decode(reader, arena(), 0, m)) return again();
    const ErrorCode error = static_cast<ErrorCode>(m.error_code);
    if (error == ErrorCode::not_controller) return again();
    Reader inner(m.response_data.span());
    protocol::ResponseHeader header;
    const bool whole = error == ErrorCode::none && !m.response_data.is_null() &&
                       protocol::decode_response_header(inner, arena(), {ticket.api, ticket.version}, header) &&
                       header.correlation_id == ticket.correlation;
    if (!whole) {
      const Request request = p.forwards.take(a.owner.key);
      // Its version is not the controller's: the client is to ask anew what is served.
      if (error == ErrorCode::unsupported_version) return close(ticket);
      return forward_failed(request, ErrorCode::unknown_server_error);
    }
    body = a.body.of(m.response_data.span().subspan(inner.position()));
  }
  if (f.as.part) {
    std::optional<Slice> all = complete_alter_configs(arena(), f.request, *f.as.part, body);
    if (!all) return forward_failed(p.forwards.take(a.owner.key), ErrorCode::unknown_server_error);
    body = std::move(*all);
  }
  p.forwards.take(a.owner.key);
  reply(Reply{ticket, {body}, false});
}

void Turn::forward_on_time() {
  uint64_t id;
  while (p.forwards.retries.pop(ctx().now, &id)) forward_send(id);
}

// Asks the controller for a topic that a client named; nobody waits for it. As large as this broker's properties say:
// those of a controller that is none of the brokers are not meant.
void Turn::create_topic_for(const std::string& topic) {
  if (p.forwards.creating.size() >= Forwards::kCreatingMost || p.forwards.creating.count(topic)) return;
  protocol::CreateTopicsRequest m;
  auto& t = m.topics.add(arena());
  t.name = arena().copy(topic);
  t.num_partitions = p.config.num_partitions;
  t.replication_factor = static_cast<int16_t>(p.config.default_replication_factor);
  if (const InternalTopic* internal = find_internal(topic)) {
    const auto number = [&](const char* name) { return metadata::parse_integer(p.property(name)).value_or(-1); };
    t.num_partitions = static_cast<int32_t>(number(internal->partitions));
    t.replication_factor = static_cast<int16_t>(number(internal->replication_factor));
    for (const auto& [name, value] : internal->configs) {
      if (!name) continue;
      auto& c = t.configs.add(arena());
      c.name = name;
      c.value = metadata::find_config(metadata::ConfigScope::broker, value) ? arena().copy(p.property(value)) : value;
    }
  }
  m.timeout_ms = static_cast<int32_t>(p.config.request_timeout.ms());
  Writer w;
  protocol::RequestHeader header;
  header.request_api_key = protocol::CreateTopicsRequest::kApiKey;
  header.request_api_version = 7;
  header.client_id = kNullStr;
  encode(w, 2, header);
  const size_t body_at = w.size();
  encode(w, 7, m);
  KLAMM_ASSERT(w.ok());
  Request r;
  r.ticket = Ticket{ConnId{}, 0, 0, protocol::CreateTopicsRequest::kApiKey, 7, false};
  r.frame = w.finish_contiguous();
  r.body_at = static_cast<uint32_t>(body_at);
  forward(r, {topic, std::nullopt});
}

// The controller's side: the inner request is served as if it had come by itself, for the principal that it names.
void Turn::on_envelope(Request& request) {
  protocol::EnvelopeRequest m;
  if (!decode_body(request, arena(), m) || m.request_data.is_null()) return close(request.ticket);
  const auto refuse = [&](ErrorCode error) {
    protocol::EnvelopeResponse r;
    r.error_code = code(error);
    answer(request.ticket, r);
  };
  if (!p.controller || !p.controller->active()) return refuse(ErrorCode::not_controller);
  if (!is_principal(arena(), m.request_principal.span())) return refuse(ErrorCode::principal_deserialization_failure);
  const size_t address = m.client_host_address.span().size();
  if (address != 4 && address != 16) return refuse(ErrorCode::invalid_request);
  Reader reader(m.request_data.span());
  protocol::RequestHeader header;
  if (!protocol::decode_request_header(reader, arena(), header)) return refuse(ErrorCode::unsupported_version);
  if (const ErrorCode error = refuse_inner(header); error != ErrorCode::none) return refuse(error);
  Request inner;
  inner.ticket = Ticket{request.ticket.conn,    request.ticket.slot,        header.correlation_id,
                        header.request_api_key, header.request_api_version, true};
  inner.kind = ListenerKind::controller;
  inner.frame = request.frame.of(m.request_data.span());
  inner.body_at = static_cast<uint32_t>(reader.position());
  p.envelopes.outer[inner.ticket] = request.ticket;
  serve(inner);
}

}  // namespace klamm::broker
