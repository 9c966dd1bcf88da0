#include "engine/client/membership.h"

#include "engine/client/assignor.h"
#include "engine/protocol/messages/find_coordinator.h"
#include "engine/protocol/messages/heartbeat.h"
#include "engine/protocol/messages/join_group.h"
#include "engine/protocol/messages/leave_group.h"
#include "engine/protocol/messages/sync_group.h"
#include "engine/protocol/records/consumer_protocol.h"

namespace klamm::client {

namespace {

constexpr int16_t kEmbeddedVersion = 0;  // of subscription and assignment: all that eager range needs
constexpr const char* kProtocolType = "consumer";
constexpr const char* kRange = "range";

Str or_null(const std::string& s) { return s.empty() ? kNullStr : Str(s); }

// The bytes of a subscription or assignment, version in front; they live in the turn's arena.
template<class T>
protocol::Bytes embed(Arena& arena, const T& value) {
  Writer w;
  w.i16(kEmbeddedVersion);
  encode(w, kEmbeddedVersion, value);
  const Slice bytes = w.finish_contiguous();
  return protocol::Bytes::of(as_bytes(arena.copy(bytes.text())));
}
template<class T>
bool extract(Arena& arena, const protocol::Bytes& bytes, T& out) {
  Reader r(bytes.span());
  const int16_t version = r.i16();
  return r.ok() && version >= 0 && decode(r, arena, std::min<int16_t>(version, T::kHighest), out);
}

}  // namespace

Membership::Membership(MembershipOptions options) : options_(std::move(options)) {
  backoff_.first = options_.retry_backoff;
}

void Membership::subscribe(Turn& turn, std::vector<std::string> topics) {
  if (topics == topics_) return;
  const bool was_member = wants_membership();
  topics_ = std::move(topics);
  for (const std::string& t : topics_) turn.cluster.want(t);
  if (!wants_membership()) return leave(turn);
  if (was_member && assigned_) return prepare();
  if (state_ == State::syncing) become(State::joining);
}

void Membership::prepare() {
  become(State::preparing);
  events_.push_back({MembershipEvent::Kind::rebalance});
}

void Membership::rejoin() {
  if (state_ != State::preparing) return;
  assigned_ = false;
  become(coordinator_ == kNoNode ? State::seeking : State::joining);
}

void Membership::leave(Turn& turn) {
  using protocol::LeaveGroupRequest;
  if (final_) return;
  if (coordinator_ != kNoNode && !member_id_.empty() && options_.instance.empty()) {
    Arena& arena = turn.ctx().arena();
    const auto peer = static_cast<uint64_t>(coordinator_.value);
    const int16_t v = turn.cluster.version(turn, peer, LeaveGroupRequest::kApiKey, {0, 5});
    LeaveGroupRequest request;
    request.group_id = options_.group;
    if (v >= 3)
      request.members.add(arena).member_id = member_id_;
    else
      request.member_id = member_id_;
    // On the quick channel: ours is about to be closed, and the answer changes nothing.
    const Owner owner{static_cast<uint16_t>(Part::consumer), kLeave, owner_key(options_.client, 0)};
    if (v >= 0) turn.call({peer, kQuickChannel, v, options_.request_timeout, owner}, request);
  }
  member_id_.clear();
  generation_ = -1;
  topics_.clear();
  assigned_ = false;
  become(coordinator_ == kNoNode ? State::seeking : State::joining);
}

void Membership::become(State state) {
  state_ = state;
  waiting_ = false;
  current_call_ = 0;
}

void Membership::lose() {
  if (std::exchange(assigned_, false)) events_.push_back({MembershipEvent::Kind::lost});
}

template<class Request>
bool Membership::call(Turn& turn, Step step, protocol::Versions versions, Duration timeout, const Request& request) {
  const bool finding = step == kFind;
  const uint64_t peer = finding ? turn.cluster.any() : static_cast<uint64_t>(coordinator_.value);
  const int16_t v = turn.cluster.version(turn, peer, Request::kApiKey, versions);
  if (v == Cluster::kUnsupported) act_on(turn, GroupVerdict::fatal, ErrorCode::unsupported_version);
  if (v == Cluster::kNotYet && !finding && turn.cluster.unreachable(peer)) {  // it may be dead: who coordinates now?
    coordinator_ = kNoNode;
    become(State::seeking);
    backoff_.failed(turn.now());
    deadline_ = earlier(deadline_, backoff_.until);
  }
  if (v < 0) return false;
  const Owner owner{static_cast<uint16_t>(Part::consumer), step, owner_key(options_.client, ++last_call_)};
  turn.call({peer, finding ? kQuickChannel : group_channel(options_.client), v, timeout, owner}, request);
  if (step == kBeat) {
    beating_ = true;
  } else {
    waiting_ = true;
    current_call_ = last_call_;
  }
  return true;
}

void Membership::pump(Turn& turn) {
  deadline_ = kNever;
  if (final_) return;
  const auto wait_until = [&](Instant at) { deadline_ = earlier(deadline_, at); };
  if (assigned_ && turn.now() >= last_heard_ + options_.session_timeout) {  // by now the group goes on without us
    lose();
    coordinator_ = kNoNode;
    become(State::seeking);
  }
  if (assigned_) wait_until(last_heard_ + options_.session_timeout);
  if (state_ == State::stable || state_ == State::preparing) {
    std::map<std::string, int32_t> counts;
    if (state_ == State::stable && leading_ && count_partitions(turn, counts) && counts != counts_) prepare();
    if (coordinator_ != kNoNode && !beating_ && turn.now() >= next_beat_) beat(turn);
    if (!beating_ && next_beat_ > turn.now()) wait_until(next_beat_);
    return;
  }
  if (waiting_) return;
  if (turn.now() < backoff_.until) return wait_until(backoff_.until);
  if (state_ == State::seeking) return find(turn);
  if (!wants_membership()) return;
  if (state_ == State::joining) return join(turn);
  if (state_ == State::syncing) return sync(turn);
}

void Membership::find(Turn& turn) {
  protocol::FindCoordinatorRequest request;
  Arena& arena = turn.ctx().arena();
  const int16_t v = turn.cluster.version(turn, turn.cluster.any(), protocol::FindCoordinatorRequest::kApiKey, {0, 6});
  if (v >= 4)
    request.coordinator_keys.add(arena) = options_.group;
  else
    request.key = options_.group;
  call(turn, kFind, {0, 6}, options_.request_timeout, request);
}

void Membership::join(Turn& turn) {
  protocol::JoinGroupRequest request;
  Arena& arena = turn.ctx().arena();
  request.group_id = options_.group;
  request.session_timeout_ms = static_cast<int32_t>(options_.session_timeout.ms());
  request.rebalance_timeout_ms = static_cast<int32_t>(options_.rebalance_timeout.ms());
  request.member_id = member_id_;
  request.group_instance_id = or_null(options_.instance);
  request.protocol_type = kProtocolType;
  protocol::ConsumerProtocolSubscription subscription;
  for (const std::string& t : topics_) subscription.topics.add(arena) = t;
  auto& p = request.protocols.add(arena);
  p.name = kRange;
  p.metadata = embed(arena, subscription);
  // The coordinator answers when all members have joined, or the rebalance timeout has passed.
  const Duration timeout = std::max(options_.request_timeout, options_.rebalance_timeout + seconds(5));
  call(turn, kJoin, {options_.instance.empty() ? int16_t{0} : int16_t{5}, 9}, timeout, request);
}

// Of all topics that members want; false while one has not been looked up.
bool Membership::count_partitions(Turn& turn, std::map<std::string, int32_t>& counts) const {
  counts.clear();
  for (const std::string& t : group_topics_) {
    turn.cluster.want(t);
    const TopicView* view = turn.cluster.topic(t);
    if (!view) return false;
    if (!view->partitions.empty()) counts[t] = static_cast<int32_t>(view->partitions.size());
  }
  return true;
}

void Membership::sync(Turn& turn) {
  if (leading_ && !count_partitions(turn, counts_)) return;  // goes on when metadata has come
  protocol::SyncGroupRequest request;
  Arena& arena = turn.ctx().arena();
  request.group_id = options_.group;
  request.generation_id = generation_;
  request.member_id = member_id_;
  request.group_instance_id = or_null(options_.instance);
  request.protocol_type = kProtocolType;
  request.protocol_name = protocol_;
  if (leading_) {
    std::vector<AssignorMember> members;
    for (const Member& m : assignments_) members.push_back({m.id, m.instance, m.topics});
    for (const auto& [member, partitions] : assign_range(members, counts_)) {
      protocol::ConsumerProtocolAssignment assignment;
      for (const TopicPartition& tp : partitions) {
        auto& list = assignment.assigned_partitions;
        if (list.empty() || list.back().topic != tp.topic) list.add(arena).topic = arena.copy(tp.topic);
        list.back().partitions.add(arena) = tp.partition;
      }
      auto& a = request.assignments.add(arena);
      a.member_id = arena.copy(member);
      a.assignment = embed(arena, assignment);
    }
  }
  call(turn, kSync, {options_.instance.empty() ? int16_t{0} : int16_t{3}, 5}, options_.request_timeout, request);
}

void Membership::beat(Turn& turn) {
  protocol::HeartbeatRequest request;
  request.group_id = options_.group;
  request.generation_id = generation_;
  request.member_id = member_id_;
  request.group_instance_id = or_null(options_.instance);
  call(turn, kBeat, {options_.instance.empty() ? int16_t{0} : int16_t{3}, 4}, options_.session_timeout, request);
}

void Membership::on_answer(Turn& turn, const net::Answer& answer) {
  if (final_ || answer.owner.step == kLeave) return;
  if (answer.owner.step == kBeat) return beaten(turn, answer);
  if (!waiting_ || own_of(answer.owner.key) != current_call_) return;
  waiting_ = false;
  switch (answer.owner.step) {
    case kFind: return found(turn, answer);
    case kJoin: return joined(turn, answer);
    case kSync: return synced(turn, answer);
  }
}

void Membership::found(Turn& turn, const net::Answer& answer) {
  const auto* r = response_of<protocol::FindCoordinatorResponse>(turn, answer);
  if (!r) turn.cluster.failed(turn, answer.peer);
  auto error = r ? static_cast<ErrorCode>(r->error_code) : ErrorCode::network_exception;
  protocol::FindCoordinatorResponse::Coordinator c;
  if (r && answer.version >= 4) {
    if (!r->coordinators.empty()) c = r->coordinators[0];
    error = r->coordinators.empty() ? ErrorCode::coordinator_not_available : static_cast<ErrorCode>(c.error_code);
  } else if (r) {
    c.node_id = r->node_id, c.host = r->host, c.port = r->port;
  }
  if (error == ErrorCode::none && c.node_id >= 0) {
    coordinator_ = NodeId{c.node_id};
    turn.cluster.learn_node(turn, coordinator_, {std::string(c.host), static_cast<uint16_t>(c.port)});
    backoff_.succeeded();
    if (assigned_) next_beat_ = turn.now();
    return become(assigned_ ? State::stable : State::joining);
  }
  if (!retriable(error) && r) return act_on(turn, GroupVerdict::fatal, error);
  backoff_.failed(turn.now());
}

void Membership::joined(Turn& turn, const net::Answer& answer) {
  const auto* r = response_of<protocol::JoinGroupResponse>(turn, answer);
  const auto error = r ? static_cast<ErrorCode>(r->error_code) : ErrorCode::network_exception;
  if (error == ErrorCode::member_id_required) member_id_ = std::string(r->member_id);
  if (error != ErrorCode::none) return act_on(turn, group_verdict(error), error);
  backoff_.succeeded();
  member_id_ = std::string(r->member_id);
  generation_ = r->generation_id;
  protocol_ = std::string(r->protocol_name);
  leading_ = r->leader == r->member_id && !r->skip_assignment;
  assignments_.clear();
  group_topics_.clear();
  for (const auto& m : r->members) {
    protocol::ConsumerProtocolSubscription subscription;
    Member member{std::string(m.member_id), std::string(m.group_instance_id), {}};
    if (extract(turn.ctx().arena(), m.metadata, subscription))
      for (const Str t : subscription.topics) member.topics.emplace_back(t), group_topics_.emplace(t);
    assignments_.push_back(std::move(member));
  }
  become(State::syncing);
}

void Membership::synced(Turn& turn, const net::Answer& answer) {
  const auto* r = response_of<protocol::SyncGroupResponse>(turn, answer);
  const auto error = r ? static_cast<ErrorCode>(r->error_code) : ErrorCode::network_exception;
  if (error != ErrorCode::none) return act_on(turn, group_verdict(error), error);
  backoff_.succeeded();
  assignments_.clear();
  MembershipEvent event{MembershipEvent::Kind::assigned};
  protocol::ConsumerProtocolAssignment assignment;
  if (r->assignment.size > 0 && extract(turn.ctx().arena(), r->assignment, assignment))
    for (const auto& t : assignment.assigned_partitions)
      for (const int32_t p : t.partitions) event.partitions.push_back({std::string(t.topic), p});
  become(State::stable);
  assigned_ = true;
  beating_ = false;
  last_heard_ = turn.now();
  next_beat_ = turn.now() + options_.heartbeat;
  events_.push_back(std::move(event));
}

void Membership::beaten(Turn& turn, const net::Answer& answer) {
  beating_ = false;
  next_beat_ = turn.now() + options_.heartbeat;
  if (state_ == State::preparing && answer.error == IoError::none) last_heard_ = turn.now();
  if (state_ != State::stable) return;
  const auto* r = response_of<protocol::HeartbeatResponse>(turn, answer);
  const auto error = r ? static_cast<ErrorCode>(r->error_code) : ErrorCode::network_exception;
  next_beat_ = turn.now() + (r ? options_.heartbeat : options_.retry_backoff);
  if (error == ErrorCode::none || error == ErrorCode::rebalance_in_progress) last_heard_ = turn.now();
  act_on(turn, group_verdict(error), error);
}

void Membership::failed(Turn& turn, ErrorCode error) {
  if (state_ == State::stable || !wants_membership()) act_on(turn, group_verdict(error), error);
}

void Membership::act_on(Turn& turn, GroupVerdict verdict, ErrorCode error) {
  switch (verdict) {
    case GroupVerdict::ok: return;
    case GroupVerdict::retry: return backoff_.failed(turn.now());
    case GroupVerdict::find_coordinator:
      coordinator_ = kNoNode;  // a member stays one: the group moves as it is
      backoff_.failed(turn.now());
      return become(State::seeking);
    case GroupVerdict::rejoin_with_id: return become(State::joining);
    case GroupVerdict::rejoin: return assigned_ ? prepare() : become(State::joining);
    case GroupVerdict::rejoin_as_new:
      lose();
      member_id_.clear();
      generation_ = -1;
      return become(State::joining);
    case GroupVerdict::fatal:
      lose();
      final_ = true;
      events_.push_back({MembershipEvent::Kind::fatal, error, {}});
      return;
  }
}

}  // namespace klamm::client
