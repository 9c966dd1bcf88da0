// From one generation to the next: who joins, who is given up, who leads, who is told.
#include <algorithm>

#include "engine/group/core.h"
#include "engine/group/records.h"
#include "engine/group/replies.h"

namespace klamm::group {
namespace {
constexpr int32_t kLookAgainLeastMs = 100;  // a rebalance timeout may be 0, and less
}  // namespace

using protocol::Bytes;
using protocol::SyncGroupResponse;

void Core::rebalance_or_complete(Op& op, Group& g) {
  if (g.state != State::preparing)
    prepare_rebalance(op, g);
  else
    complete_join_if_may(op, g);
}

void Core::prepare_rebalance(Op& op, Group& g) {
  PROBE(op.ctx, group_rebalanced);
  if (g.state == State::completing) {  // those who wait for their assignment join again
    for (auto& [id, m] : g.members) m.assignment = {};
    answer_syncs(op, g, ErrorCode::rebalance_in_progress);
  }
  g.pending_sync.clear();
  timers_.cancel(g.sync_timer);
  g.become(State::preparing, op.ctx.wall.ms);
  tell(op, g);
  if (g.initial) {
    const InitialDelay delay = first_delay(config_.initial_rebalance_delay_ms, g.rebalance_timeout_ms());
    schedule(op, g.join_timer, delay.wait_ms, Timer{Timer::Kind::initial_join, g.id, {}, delay});
  } else if (g.all_joined()) {
    complete_join(op, g);
  } else {
    schedule(op, g.join_timer, g.rebalance_timeout_ms(), Timer{Timer::Kind::join, g.id, {}, {}});
  }
}

// An initial rebalance ends by its timer alone.
void Core::complete_join_if_may(Op& op, Group& g) {
  if (g.state == State::preparing && !g.initial && g.all_joined()) complete_join(op, g);
}

void Core::look_again_at_initial(Op& op, Group& g, const InitialDelay& waited) {
  if (const auto again = next_delay(waited, g.member_came, config_.initial_rebalance_delay_ms)) {
    g.member_came = false;
    schedule(op, g.join_timer, again->wait_ms, Timer{Timer::Kind::initial_join, g.id, {}, *again});
  } else {
    complete_join(op, g);
  }
}

// The join phase is over: dynamic members that did not come are out, static ones stay until their session ends.
void Core::complete_join(Op& op, Group& g) {
  if (g.state != State::preparing) return;
  timers_.cancel(g.join_timer);
  std::vector<std::string> absent;
  for (const auto& [id, m] : g.members)
    if (!m.awaits_join && !m.instance_id) absent.push_back(id);
  for (const std::string& id : absent) drop_member(op, g, id);
  if (!g.elect_joined_leader() && !g.members.empty()) {  // nobody came: sessions decide
    schedule(op, g.join_timer, std::max(g.rebalance_timeout_ms(), kLookAgainLeastMs),
             Timer{Timer::Kind::join, g.id, {}, {}});
    return;
  }
  g.begin_generation(op.ctx.wall.ms, op.ctx.arena());
  tell(op, g);
  if (g.state == State::empty) {
    // Very many groups may become empty in one turn. One that no batch takes is recorded when the sweep finds it.
    (void)op.record_apart(group_record(op.ctx.arena(), g));
    return;
  }
  for (auto& [id, m] : g.members) {
    if (m.awaits_join) {
      const Ticket ticket = *m.awaits_join;
      m.awaits_join.reset();
      answer_with_generation(op, ticket, g, m);
    }
    touch(op, g, m);
    m.is_new = false;
    g.pending_sync.insert(id);
  }
  schedule(op, g.sync_timer, g.rebalance_timeout_ms(), Timer{Timer::Kind::sync, g.id, {}, {}});
}

// A member or pending member goes; whatever it waits for is answered so that a live client joins anew.
void Core::drop_member(Op& op, Group& g, const std::string& member_id) {
  if (Member* m = g.member(member_id)) {
    if (m->awaits_join) refuse_join(op, *m->awaits_join, "", ErrorCode::unknown_member_id);
    if (m->awaits_sync) answer_sync(op, *m->awaits_sync, g, nullptr, ErrorCode::unknown_member_id);
    cancel_session(m->session);
  }
  if (const auto it = g.pending_members.find(member_id); it != g.pending_members.end()) cancel_session(it->second);
  g.remove(member_id);
}

void Core::answer_syncs(Op& op, Group& g, ErrorCode error) {
  for (auto& [id, m] : g.members) {
    if (!m.awaits_sync) continue;
    const Ticket ticket = *m.awaits_sync;
    m.awaits_sync.reset();
    answer_sync(op, ticket, g, error == ErrorCode::none ? &m : nullptr, error);
    touch(op, g, m);  // while it waited its session could not expire
  }
}

void Core::synced(Group& g, std::string_view member_id) {
  if (const auto it = g.pending_sync.find(member_id); it != g.pending_sync.end()) g.pending_sync.erase(it);
  if (g.pending_sync.empty()) timers_.cancel(g.sync_timer);
}

void Core::answer_sync(Op& op, const Ticket& ticket, const Group& g, const Member* m, ErrorCode error) const {
  SyncGroupResponse response;
  response.error_code = code(error);
  if (m) {
    response.protocol_type = text_or_null(g.protocol_type);
    response.protocol_name = text_or_null(g.protocol);
    response.assignment = Bytes::of(m->assignment.span());
  }
  op.reply_now({ticket}, encode_body(ticket, response));
}

}  // namespace klamm::group
