// JoinGroup, versions 0 to 9. Versions: 1 rebalance timeout, 4 member id required (KIP-394), 5 static members
// (KIP-345), 7 protocol type in the answer (KIP-559), 8 reason (KIP-800), 9 skip assignment (KIP-814).
#include "engine/group/core.h"
#include "engine/group/records.h"
#include "engine/group/replies.h"
#include "engine/protocol/text.h"

namespace klamm::group {

using protocol::JoinGroupRequest;
using protocol::JoinGroupResponse;

namespace {

constexpr int16_t kKnownMemberId = 4;   // first version in which a dynamic member is told its id before it joins
constexpr int16_t kSkipAssignment = 9;  // first version in which a static leader may be told to assign nothing
constexpr int16_t kNullProtocol = 7;    // first version that may leave the protocol's name out

constexpr size_t kMemberIdTail = 37;  // "-<uuid>"

// "<prefix>-<uuid>", as Kafka's ids look; operators read them. The longest of prefixes are cut.
std::string new_member_id(Core::Op& op, Str prefix, uint64_t ordinal) {
  const Uuid uuid = op.ctx.chance.uuid(Stream::member_id, static_cast<uint64_t>(op.partition()), ordinal);
  std::string id(protocol::fitting(prefix, protocol::wire::kStringMax - kMemberIdTail));
  constexpr char kHex[] = "0123456789abcdef";
  for (size_t i = 0; i < uuid.bytes.size(); ++i) {
    if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) id += '-';
    id += kHex[uuid.bytes[i] >> 4];
    id += kHex[uuid.bytes[i] & 15];
  }
  return id;
}

std::vector<Protocol> protocols_of(const JoinGroupRequest& request) {
  std::vector<Protocol> out;
  for (const auto& p : request.protocols) out.push_back({std::string(p.name), Slice::copy(p.metadata.span())});
  return out;
}

// Version 0 has no rebalance timeout.
int32_t rebalance_timeout(const Ticket& ticket, const JoinGroupRequest& request) {
  return ticket.version == 0 ? request.session_timeout_ms : request.rebalance_timeout_ms;
}

}  // namespace

struct Core::JoinReply {
  Str member_id = "";
  ErrorCode error = ErrorCode::none;
  int32_t generation = -1;
  Str protocol_type = kNullStr;
  Str protocol = kNullStr;
  Str leader = "";
  bool skip_assignment = false;
  const Group* members_of = nullptr;  // for the leader
  bool after_records = false;         // that were made before are committed
};

void Core::answer_join(Op& op, const Ticket& ticket, const JoinReply& reply) const {
  JoinGroupResponse response;
  response.error_code = code(reply.error);
  response.generation_id = reply.generation;
  response.protocol_type = reply.protocol_type;
  response.protocol_name = is_null(reply.protocol) && ticket.version < kNullProtocol ? Str("") : reply.protocol;
  response.leader = reply.leader;
  response.skip_assignment = reply.skip_assignment;
  response.member_id = reply.member_id;
  if (const Group* g = reply.members_of)
    for (const auto& [id, m] : g->members) {
      auto& member = response.members.add(op.ctx.arena());
      member.member_id = id;
      member.group_instance_id = text_or_null(m.instance_id);
      member.metadata = protocol::Bytes::of(g->metadata(m));
    }
  if (reply.after_records)
    op.reply({ticket}, encode_body(ticket, response));
  else
    op.reply_now({ticket}, encode_body(ticket, response));
}

void Core::refuse_join(Op& op, const Ticket& ticket, Str member_id, ErrorCode error) const {
  answer_join(op, ticket, {.member_id = member_id, .error = error});
}

void Core::answer_with_generation(Op& op, const Ticket& ticket, const Group& g, const Member& m) const {
  answer_join(op, ticket,
              {.member_id = m.id,
               .generation = g.generation,
               .protocol_type = text_or_null(g.protocol_type),
               .protocol = text_or_null(g.protocol),
               .leader = g.leader ? Str(*g.leader) : Str(""),
               .members_of = g.is_leader(m.id) ? &g : nullptr});
}

// The new id of a static member is in the log. Its generation goes on; from version 9 on a leader is told all members
// and not to assign again, before it a leader's name that is not its own keeps it from assigning.
void Core::answer_take_over(Op& op, const Group& g, const Member& m, const Effect& e) const {
  const bool modern = e.ticket.version >= kSkipAssignment;
  const bool leads = modern && g.is_leader(m.id);
  answer_join(op, e.ticket,
              {.member_id = m.id,
               .generation = g.generation,
               .protocol_type = text_or_null(g.protocol_type),
               .protocol = text_or_null(g.protocol),
               .leader = modern ? Str(*g.leader) : Str(e.old_leader),
               .skip_assignment = leads,
               .members_of = leads ? &g : nullptr});
}

// It is not: the old id stands.
void Core::undo_take_over(Op& op, Group& g, const Effect& e, ErrorCode told) {
  Member& m = *g.member(e.member);
  answer_join(op, e.ticket,
              {.error = told,
               .generation = g.generation,
               .protocol_type = text_or_null(g.protocol_type),
               .protocol = text_or_null(g.protocol),
               .leader = e.old_leader});
  cancel_session(m.session);
  (void)g.replace_static(e.member, e.old->id);
  Member& back = *g.member(e.old->id);
  back.protocols = e.old->protocols;
  back.rebalance_timeout_ms = e.old->rebalance_timeout_ms;
  back.session_timeout_ms = e.old->session_timeout_ms;
  touch(op, g, back);
}

void Core::join(Op& op, const Caller& caller, const JoinGroupRequest& request, uint64_t ordinal) {
  const bool unknown = request.member_id.empty();
  Group* found = find(op, request.group_id);
  if (!found && !unknown) {
    refuse_join(op, caller.ticket(), request.member_id, ErrorCode::unknown_member_id);
    return;
  }
  const bool created = !found;
  if (created) {
    found = &groups_[std::string(request.group_id)];
    found->id = request.group_id;
    found->since_ms = op.ctx.wall.ms;
  }
  Group& g = *found;
  const Member* known = g.member(request.member_id);
  if (!accepts_member({.state = g.state,
                       .is_member = known != nullptr,
                       .waits_already = known && known->awaits_join,
                       .members = g.members.size(),
                       .waiting = g.waiting_to_join(),
                       .max_size = static_cast<size_t>(config_.max_size)})) {
    drop_member(op, g, std::string(request.member_id));
    refuse_join(op, caller.ticket(), "", ErrorCode::group_max_size_reached);
  } else if (!g.supports(request.protocol_type, protocols_of(request))) {
    refuse_join(op, caller.ticket(), request.member_id, ErrorCode::inconsistent_group_protocol);
  } else if (unknown) {
    join_new(op, caller, request, g, ordinal);
  } else {
    join_again(op, caller, request, g);
  }
  if (created && !op.has_records()) {
    op.record(new_group_record(request.group_id, op.ctx.wall.ms));
    op.then({.kind = Effect::Kind::created, .group = std::string(request.group_id)});
  }
}

void Core::join_new(Op& op, const Caller& caller, const JoinGroupRequest& request, Group& g, uint64_t ordinal) {
  const bool is_static = !is_null(request.group_instance_id);
  const std::string id = new_member_id(op, is_static ? request.group_instance_id : caller.client_id, ordinal);
  if (is_static) {
    const auto holder = g.static_members.find(request.group_instance_id);
    if (holder != g.static_members.end()) {
      const std::string old_id = holder->second;
      take_over(op, caller, request, g, old_id, id);
    } else {
      add_member(op, caller, request, g, id);
    }
  } else if (caller.ticket().version >= kKnownMemberId) {
    // It joins with this id; a first call that timed out leaves no member behind (KIP-394, museum S05). A group that is
    // new must be in the log before: who is told of it then finds it described.
    touch(op, g, id, g.pending_members[id], request.session_timeout_ms);
    answer_join(op, caller.ticket(), {.member_id = id, .error = ErrorCode::member_id_required, .after_records = true});
  } else {
    add_member(op, caller, request, g, id);
  }
}

void Core::join_again(Op& op, const Caller& caller, const JoinGroupRequest& request, Group& g) {
  const Ticket& ticket = caller.ticket();
  if (g.pending_members.contains(request.member_id)) {
    if (is_null(request.group_instance_id))
      add_member(op, caller, request, g, std::string(request.member_id));
    else  // only dynamic members are told an id before they join: as Kafka answers, who has not foreseen it
      refuse_join(op, ticket, "", ErrorCode::unknown_server_error);
    return;
  }
  if (const ErrorCode e = g.fence(request.member_id, request.group_instance_id); e != ErrorCode::none) {
    refuse_join(op, ticket, request.member_id, e);
    return;
  }
  Member& m = *g.member(request.member_id);
  const bool unchanged = m.protocols == protocols_of(request);
  switch (g.state) {
    case State::empty: refuse_join(op, ticket, request.member_id, ErrorCode::unknown_member_id); return;
    case State::completing:
      if (unchanged) {  // most likely it has not received the answer
        answer_with_generation(op, ticket, g, m);
        return;
      }
      break;
    case State::stable:
      // A leader that joins again wants a rebalance: what it assigns by has changed.
      if (unchanged && !g.is_leader(m.id)) {
        answer_with_generation(op, ticket, g, m);
        return;
      }
      break;
    case State::preparing: break;
  }
  update_member(op, request, m, ticket);
  rebalance_or_complete(op, g);
}

void Core::add_member(Op& op, const Caller& caller, const JoinGroupRequest& request, Group& g, std::string member_id) {
  Member m;
  m.id = std::move(member_id);
  if (!is_null(request.group_instance_id)) m.instance_id = std::string(request.group_instance_id);
  m.client_id = caller.client_id;
  m.client_host = caller.client_host;
  m.rebalance_timeout_ms = rebalance_timeout(caller.ticket(), request);
  m.session_timeout_ms = request.session_timeout_ms;
  m.protocols = protocols_of(request);
  m.is_new = true;
  m.awaits_join = caller.ticket();
  if (const auto it = g.pending_members.find(m.id); it != g.pending_members.end()) cancel_session(it->second);
  if (g.members.empty()) g.protocol_type = std::string(request.protocol_type);
  if (g.initial) g.member_came = true;
  Member& member = g.add(std::move(m));
  // It cannot send heartbeats before it is answered, and it may be gone: it waits for so long and no longer.
  touch(op, g, member.id, member.session, config_.new_member_join_timeout_ms);
  rebalance_or_complete(op, g);
}

void Core::update_member(Op& op, const JoinGroupRequest& request, Member& m, const Ticket& ticket) {
  // A second call while the first one waits: whoever sent that has most likely gone.
  if (m.awaits_join) refuse_join(op, *m.awaits_join, m.id, ErrorCode::rebalance_in_progress);
  m.protocols = protocols_of(request);
  m.rebalance_timeout_ms = rebalance_timeout(ticket, request);
  m.session_timeout_ms = request.session_timeout_ms;
  m.awaits_join = ticket;
}

// A static member is back under a new id. A stable group need not rebalance if its protocol stays (KIP-345); but the
// new id must be in the log before it is told, or a failover would fence the live one (museum S04).
void Core::take_over(Op& op, const Caller& caller, const JoinGroupRequest& request, Group& g, const std::string& old_id,
                     const std::string& new_id) {
  const std::string old_leader = g.leader.value_or("");
  Member old = g.replace_static(old_id, new_id);
  cancel_session(old.session);
  if (old.awaits_join) refuse_join(op, *old.awaits_join, old_id, ErrorCode::fenced_instance_id);
  if (old.awaits_sync) answer_sync(op, *old.awaits_sync, g, nullptr, ErrorCode::fenced_instance_id);
  old.awaits_join.reset();
  old.awaits_sync.reset();
  Member& m = *g.member(new_id);
  touch(op, g, m);  // by the session timeout it had
  update_member(op, request, m, caller.ticket());
  if (g.state == State::stable && g.next_protocol() == g.protocol) {
    op.record(group_record(op.ctx.arena(), g));
    op.then({.kind = Effect::Kind::static_replaced,
             .group = g.id,
             .generation = g.generation,
             .member = new_id,
             .old_leader = old_leader,
             .old = std::move(old),
             .ticket = caller.ticket()});
  } else {
    // In CompletingRebalance the leader may already assign to the old id: that generation is void.
    rebalance_or_complete(op, g);
  }
}

}  // namespace klamm::group
