// SyncGroup 0 to 5, Heartbeat 0 to 4, LeaveGroup 0 to 5: what members of a generation say.
#include "engine/group/core.h"
#include "engine/group/records.h"
#include "engine/group/replies.h"

namespace klamm::group {

using protocol::HeartbeatRequest;
using protocol::HeartbeatResponse;
using protocol::LeaveGroupRequest;
using protocol::LeaveGroupResponse;
using protocol::SyncGroupRequest;

namespace {

// Named in the request and unlike the group's (KIP-559).
bool differs(Str named, const std::optional<std::string>& own) { return !is_null(named) && own && *own != named; }

ErrorCode sync_fence(const Group& g, const SyncGroupRequest& request) {
  const ErrorCode member = g.fence(request.member_id, request.group_instance_id);
  if (const ErrorCode e = generation_fence(member, request.generation_id, g.generation); e != ErrorCode::none) return e;
  return differs(request.protocol_type, g.protocol_type) || differs(request.protocol_name, g.protocol)
             ? ErrorCode::inconsistent_group_protocol
             : ErrorCode::none;
}

}  // namespace

void Core::sync(Op& op, const Caller& caller, const SyncGroupRequest& request) {
  const Ticket& ticket = caller.ticket();
  Group* found = find(op, request.group_id);
  if (!found || found->state == State::empty) {
    answer_sync(op, ticket, Group(), nullptr, ErrorCode::unknown_member_id);
    return;
  }
  Group& g = *found;
  ErrorCode error = sync_fence(g, request);
  if (error == ErrorCode::none && g.state == State::preparing) error = ErrorCode::rebalance_in_progress;
  if (error != ErrorCode::none) {
    answer_sync(op, ticket, g, nullptr, error);
    return;
  }
  Member& m = *g.member(request.member_id);
  synced(g, m.id);
  if (g.state == State::stable) {
    answer_sync(op, ticket, g, &m, ErrorCode::none);
    return;
  }
  // A second call while the first one waits: whoever sent that has most likely gone.
  if (m.awaits_sync) answer_sync(op, *m.awaits_sync, g, nullptr, ErrorCode::rebalance_in_progress);
  m.awaits_sync = ticket;
  if (!g.is_leader(m.id) || g.storing) return;
  // The record holds the assignment; the members get it from there, once it cannot be lost any more.
  Group assigned = g;
  for (auto& [id, member] : assigned.members) member.assignment = {};
  for (const auto& a : request.assignments)
    if (Member* there = assigned.member(a.member_id)) there->assignment = Slice::copy(a.assignment.span());
  op.record(group_record(op.ctx.arena(), assigned));
  op.then({.kind = Effect::Kind::stored, .group = g.id, .generation = g.generation});
  g.storing = true;
}

void Core::heartbeat(Op& op, const Caller& caller, const HeartbeatRequest& request) {
  Group* g = find(op, request.group_id);
  ErrorCode error = ErrorCode::unknown_member_id;
  if (g) {
    error =
        generation_fence(g->fence(request.member_id, request.group_instance_id), request.generation_id, g->generation);
    if (error == ErrorCode::none) {
      touch(op, *g, *g->member(request.member_id));
      if (g->state == State::preparing) error = ErrorCode::rebalance_in_progress;
    }
  }
  HeartbeatResponse response;
  response.error_code = code(error);
  op.reply(caller.origin, encode_body(caller.ticket(), response));
}

// Before version 3 a request names one member, and its error is the answer's.
void Core::leave(Op& op, const Caller& caller, const LeaveGroupRequest& request) {
  using Identity = LeaveGroupRequest::MemberIdentity;
  const bool single = caller.ticket().version < 3;
  List<Identity> leaving = request.members;
  if (single) {
    leaving = {};
    leaving.add(op.ctx.arena()).member_id = request.member_id;
  }
  Group* g = find(op, request.group_id);
  LeaveGroupResponse response;
  bool somebody_left = false;
  for (const Identity& who : leaving) {
    std::string id(who.member_id);
    ErrorCode error = ErrorCode::unknown_member_id;
    if (g && id.empty()) {  // an administrator names the instance alone
      const auto holder = g->static_members.find(who.group_instance_id);
      if (!is_null(who.group_instance_id) && holder != g->static_members.end()) {
        id = holder->second;
        error = ErrorCode::none;
      }
    } else if (g) {
      const bool pending = g->pending_members.contains(id);
      error = pending ? ErrorCode::none : g->fence(id, who.group_instance_id);
    }
    if (error == ErrorCode::none) {
      drop_member(op, *g, id);
      somebody_left = true;
    }
    if (single) {
      response.error_code = code(error);
    } else {
      auto& answer = response.members.add(op.ctx.arena());
      answer.member_id = who.member_id;
      answer.group_instance_id = who.group_instance_id;
      answer.error_code = code(error);
    }
  }
  if (somebody_left && g->state != State::empty) rebalance_or_complete(op, *g);
  op.reply(caller.origin, encode_body(caller.ticket(), response));
}

}  // namespace klamm::group
