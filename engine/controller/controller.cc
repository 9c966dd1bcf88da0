#include "engine/controller/controller.h"

#include <algorithm>

#include "engine/base/reader.h"
#include "engine/controller/errors.h"
#include "engine/controller/operation.h"

namespace klamm::controller {

namespace {

constexpr size_t kWaitingMax = 65536;  // requests whose replies wait for the quorum
constexpr size_t kBesideMost = 64;     // what a record has in its batch beside its value, or in that beside a request

size_t in_batch(const Slice& record) { return record.size() + kBesideMost; }
size_t in_batch(const std::vector<Slice>& records) {
  size_t bytes = 0;
  for (const Slice& r : records) bytes += in_batch(r);
  return bytes;
}

// What a client asks for is done whole, in one append, or refused. Brokers come, go and change their isr in as many
// appends as that takes: each record holds by itself.
bool done_whole(int16_t api) {
  switch (api) {
    case protocol::CreateTopicsRequest::kApiKey:
    case protocol::CreatePartitionsRequest::kApiKey:
    case protocol::IncrementalAlterConfigsRequest::kApiKey:
    case protocol::AlterConfigsRequest::kApiKey: return true;
    default: return false;
  }
}

template<class Response>
Reply encode_reply(const Ticket& ticket, const Response& a) {
  Writer w;
  encode(w, ticket.version, a);
  KLAMM_ASSERT(w.ok());
  return Reply{ticket, w.finish(), false};
}

Reply close_reply(const Ticket& ticket) { return Reply{ticket, {}, true}; }

template<class Request>
bool decode_body(Arena& arena, const Ticket& ticket, const Slice& body, Request& q) {
  KLAMM_ASSERT(ticket.version >= Request::kLowest && ticket.version <= Request::kHighest);
  Reader r(body.span());
  return decode(r, arena, ticket.version, q);
}

template<class Request, class Response>
Reply error_of(Arena& arena, const Ticket& ticket, const Slice& body, ErrorCode code) {
  Request q;
  if (!decode_body(arena, ticket, body, q)) return close_reply(ticket);
  Response a;
  refuse_all(arena, q, static_cast<int16_t>(code), a);
  return encode_reply(ticket, a);
}

}  // namespace

Reply error_reply(Arena& arena, const Ticket& ticket, const Slice& body, ErrorCode code) {
  switch (ticket.api) {
#define KLAMM_X(message, operation)         \
  case protocol::message##Request::kApiKey: \
    return error_of<protocol::message##Request, protocol::message##Response>(arena, ticket, body, code);
    KLAMM_CONTROLLER_APIS(KLAMM_X)
#undef KLAMM_X
    default: KLAMM_ASSERT(Controller::serves(ticket.api));
  }
  return close_reply(ticket);
}

bool Controller::serves(int16_t api) {
  switch (api) {
#define KLAMM_X(message, operation) case protocol::message##Request::kApiKey:
    KLAMM_CONTROLLER_APIS(KLAMM_X)
#undef KLAMM_X
    return true;
    default: return false;
  }
}

Controller::Controller(Options options) : options_(std::move(options)) {
  draws_.placement.stream = Stream::placement;
  draws_.placement.entity = static_cast<uint32_t>(options_.node.value);
}

template<class Work>
auto Controller::operate(Ctx& ctx, Out& out, Work&& work) {
  KLAMM_ASSERT(active_);
  Operation op{ctx, options_, latest_, next_, soft_, draws_, {}};
  if constexpr (std::is_void_v<decltype(work(op))>) {
    work(op);
    append(ctx, std::move(op.records), out);
  } else {
    const auto result = work(op);
    append(ctx, std::move(op.records), out);
    return result;
  }
}

void Controller::append(Ctx& ctx, std::vector<Slice> records, Out& out) {
  if (records.empty()) return;
  for (size_t i = 0; i < records.size(); ++i) {
    const Result<void> applied = latest_.apply(ctx.arena(), next_ + static_cast<Offset>(i), records[i].span());
    KLAMM_ASSERT(applied.has_value());
  }
  KLAMM_ASSERT_REL(latest_.end(), ==, next_ + static_cast<Offset>(records.size()));
  KLAMM_ASSERT_REL(committed_, <=, next_);
  for (auto from = records.begin(); from != records.end();) {
    auto to = from;
    size_t bytes = 0;
    do bytes += in_batch(*to++);
    while (to != records.end() && bytes + in_batch(*to) <= kAppendBytesMax);
    out.appends.push_back({epoch_, next_, {std::make_move_iterator(from), std::make_move_iterator(to)}});
    next_ += to - from;
    from = to;
  }
}

void Controller::activate(Ctx& ctx, const Activation& at, const metadata::Image& image, Out& out) {
  KLAMM_ASSERT(!active_);
  KLAMM_ASSERT_REL(image.end(), <=, at.next);
  active_ = true;
  epoch_ = at.epoch;
  next_ = committed_ = at.next;
  latest_ = image;
  soft_ = Soft();
  if (latest_.in_transaction())  // of a controller that died in the middle (KIP-868)
    operate(ctx, out, [](Operation& op) { op.emit(0, protocol::AbortTransactionRecord{}); });
  for (const auto& [id, broker] : latest_.brokers()) {
    Session& s = soft_.sessions[id];  // not heard yet, but given the time to be
    s.epoch = broker.epoch;
    s.last_contact = ctx.now;
  }
  if (options_.auto_leader_rebalance) soft_.balance_at = ctx.now + options_.balance_interval;
  soft_.elect_at = ctx.now + options_.unclean_interval;
  ctx.trace.event({TraceKind::controller_active, 0, at.epoch, at.next});
  if (latest_.features().empty()) operate(ctx, out, [](Operation& op) { bootstrap(op); });
}

void Controller::deactivate(Ctx& ctx, Out& out) {
  if (!active_) return;
  if (committed_ < next_) PROBE(ctx, uncommitted_reverted);
  active_ = false;
  soft_ = Soft();
  latest_ = metadata::Image();
  KLAMM_ASSERT(pending_.empty() || committed_ < next_);
  std::deque<Waiting> waiting = std::move(pending_);
  pending_.clear();
  for (const Waiting& w : waiting)
    out.replies.push_back(error_reply(ctx.arena(), w.reply.ticket, w.request, ErrorCode::not_controller));
}

template<class Request, class Response, class Work>
void Controller::serve(Ctx& ctx, const Ticket& ticket, const Slice& body, Out& out, Work&& work) {
  Request q;
  if (!decode_body(ctx.arena(), ticket, body, q)) {
    out.replies.push_back(close_reply(ticket));
    return;
  }
  // Changes of features are not timed, in Kafka neither.
  if constexpr (
      requires { q.timeout_ms; } && !requires { q.feature_updates; })
    if (q.timeout_ms <= 0) {  // over before it began
      out.replies.push_back(error_reply(ctx.arena(), ticket, body, ErrorCode::request_timed_out));
      return;
    }
  // One record holds no more than the request that it is made of.
  bool too_large = in_batch(body) + kBesideMost > kAppendBytesMax;
  Response a;
  if (!too_large)
    operate(ctx, out, [&](Operation& op) {
      work(op, ticket.version, q, a);
      too_large = done_whole(ticket.api) && in_batch(op.records) > kAppendBytesMax;
      if (too_large) op.records.clear();
    });
  if (too_large) {
    out.replies.push_back(error_reply(ctx.arena(), ticket, body, ErrorCode::policy_violation));
    return;
  }
  Reply reply = encode_reply(ticket, a);
  if (committed_ == next_) {
    out.replies.push_back(std::move(reply));
    return;
  }
  KLAMM_ASSERT(pending_.empty() || pending_.back().end <= next_);
  pending_.push_back({next_, std::move(reply), body});
}

void Controller::on_request(Ctx& ctx, const Ticket& ticket, const Slice& body, Out& out) {
  if (!active_ || pending_.size() >= kWaitingMax) {
    const ErrorCode why = active_ ? ErrorCode::request_timed_out : ErrorCode::not_controller;
    out.replies.push_back(error_reply(ctx.arena(), ticket, body, why));
    return;
  }
  switch (ticket.api) {
#define KLAMM_X(message, operation)         \
  case protocol::message##Request::kApiKey: \
    return serve<protocol::message##Request, protocol::message##Response>(ctx, ticket, body, out, operation);
    KLAMM_CONTROLLER_APIS(KLAMM_X)
#undef KLAMM_X
    default: KLAMM_ASSERT(serves(ticket.api));
  }
}

void Controller::committed(Ctx&, Offset end, Out& out) {
  if (!active_) return;
  KLAMM_ASSERT_REL(end, <=, next_);
  committed_ = std::max(committed_, end);
  while (!pending_.empty() && pending_.front().end <= committed_) {
    out.replies.push_back(std::move(pending_.front().reply));
    pending_.pop_front();
  }
}

void Controller::broker_refused(Ctx& ctx, NodeId broker, Out& out) {
  if (!active_) return;
  const metadata::Broker* b = latest_.broker(broker);
  if (!b || b->fenced) return;
  PROBE(ctx, fenced_by_refused_dial);
  operate(ctx, out, [&](Operation& op) { fence(op, broker, FenceReason::refused); });
}

void Controller::broker_disconnected(NodeId broker) {
  const auto s = soft_.sessions.find(broker);
  if (s != soft_.sessions.end()) s->second.heard = false;
}

Instant Controller::next_deadline() const {
  if (!active_) return kNever;
  Instant at = earlier(soft_.balance_at, soft_.elect_at);
  for (const auto& [id, session] : soft_.sessions) {
    const metadata::Broker* b = latest_.broker(id);
    if (b && !b->fenced) at = earlier(at, session.last_contact + options_.session_timeout);
  }
  return at;
}

void Controller::on_time(Ctx& ctx, Out& out) {
  if (!active_) return;
  std::vector<NodeId> stale;
  for (const auto& [id, session] : soft_.sessions) {
    const metadata::Broker* b = latest_.broker(id);
    if (b && !b->fenced && !session_alive(session.last_contact, options_.session_timeout, ctx.now)) stale.push_back(id);
  }
  for (NodeId id : stale) {  // one at a time, so that each sees what the one before has moved
    PROBE(ctx, fenced_by_session);
    operate(ctx, out, [&](Operation& op) { fence(op, id, FenceReason::session); });
  }
  if (soft_.balance_at <= ctx.now) {
    const bool more = operate(ctx, out, [](Operation& op) { return balance_leaders(op); });
    soft_.balance_at = more ? ctx.now : ctx.now + options_.balance_interval;
  }
  if (soft_.elect_at <= ctx.now) {
    const bool more = operate(ctx, out, [](Operation& op) { return elect_unclean_leaders(op); });
    soft_.elect_at = more ? ctx.now : ctx.now + options_.unclean_interval;
  }
}

}  // namespace klamm::controller
