#include "engine/group/core.h"

#include <algorithm>

#include "engine/base/digest.h"
#include "engine/group/records.h"
#include "engine/group/replies.h"

namespace klamm::group {

namespace {
constexpr size_t kRestoredGroups = 2'000, kRestoredMembers = 2'000;  // looked at in one turn after an election
constexpr size_t kTimersOfTurn = 1'000;                              // sessions of very many may end at one instant
}  // namespace

// ---- life of the shard

void Core::activated(Op& op) {
  restored_.clear();
  restore(op);
  timers_.set(op.ctx.now + milliseconds(config_.retention_check_ms), Timer{});
}

// Groups with members get sessions, so that members that are gone end: some in a turn. Whoever asks for one finds it
// before.
void Core::restore(Op& op) {
  auto it = op.hard().groups.lower_bound(restored_);
  if (!it.at_end() && !restored_.empty() && it->key == restored_) ++it;
  size_t members = 0;
  for (size_t groups = 0; !it.at_end(); ++it, ++groups) {
    if (groups >= kRestoredGroups || members >= kRestoredMembers) {
      timers_.set(op.ctx.now, Timer{Timer::Kind::restore, {}, {}, {}});
      return;
    }
    restored_ = it->key;
    members += it->value.members.size();
    if (it->value.members.empty()) continue;
    Group& g = *find(op, it->key);
    // A limit lowered since then: the members rejoin, and the last of them are shed.
    const bool settled = g.state == State::stable;
    if (settled && g.members.size() > static_cast<size_t>(config_.max_size)) prepare_rebalance(op, g);
  }
}

void Core::deactivated(Op& op) {
  for (auto& [id, g] : groups_)
    for (auto& [member_id, m] : g.members) {
      if (m.awaits_join) refuse_join(op, *m.awaits_join, member_id, ErrorCode::not_coordinator);
      if (m.awaits_sync) answer_sync(op, *m.awaits_sync, g, nullptr, ErrorCode::not_coordinator);
    }
  groups_.clear();
}

void Core::committed(Op& op, const Effect& effect) {
  const auto it = groups_.find(effect.group);
  if (it == groups_.end()) return;
  Group& g = it->second;
  switch (effect.kind) {
    case Effect::Kind::created:
    case Effect::Kind::deleted: break;
    case Effect::Kind::stored: {
      // Somebody may have joined meanwhile; then this assignment is history.
      if (g.state != State::completing || g.generation != effect.generation) break;
      const StoredGroup* stored = op.hard().groups.find(effect.group);
      KLAMM_ASSERT(stored != nullptr);
      KLAMM_ASSERT_REL(stored->generation, ==, g.generation);
      for (const StoredMember& m : stored->members)
        if (Member* there = g.member(m.id)) there->assignment = m.assignment;
      answer_syncs(op, g, ErrorCode::none);
      g.become(State::stable, op.ctx.wall.ms);
      tell(op, g);
      break;
    }
    case Effect::Kind::static_replaced: {
      // Once the group rebalances, the rebalance answers it.
      Member* m = g.member(effect.member);
      if (!m || m->awaits_join != effect.ticket || g.state != State::stable) break;
      m->awaits_join.reset();
      answer_take_over(op, g, *m, effect);
      break;
    }
  }
}

void Core::failed(Op& op, const Effect& effect, ErrorCode told) {
  if (effect.kind == Effect::Kind::deleted) return put_back(op, *effect.gone);
  const auto it = groups_.find(effect.group);
  if (it == groups_.end()) return;
  Group& g = it->second;
  switch (effect.kind) {
    case Effect::Kind::created:
      if (op.hard().groups.contains(effect.group)) break;  // written by something else since
      for (auto& [id, m] : g.members) {
        cancel_session(m.session);
        if (m.awaits_join) refuse_join(op, *m.awaits_join, "", told);
        if (m.awaits_sync) answer_sync(op, *m.awaits_sync, g, nullptr, told);
      }
      for (auto& [id, session] : g.pending_members) cancel_session(session);
      timers_.cancel(g.join_timer);
      timers_.cancel(g.sync_timer);
      groups_.erase(it);
      break;
    case Effect::Kind::stored:
      if (g.state != State::completing || g.generation != effect.generation) break;
      answer_syncs(op, g, told);
      prepare_rebalance(op, g);
      break;
    case Effect::Kind::static_replaced: {
      Member* m = g.member(effect.member);
      if (!m || m->awaits_join != effect.ticket || g.state != State::stable) break;
      undo_take_over(op, g, effect, told);
      break;
    }
    case Effect::Kind::deleted: break;
  }
}

// A deletion failed, so the group is what it was. Its record may be older than that, and tell of members who have left:
// it is not restored from there.
void Core::put_back(Op& op, const Group& gone) {
  if (!op.hard().groups.contains(gone.id) || groups_.contains(gone.id)) return;
  Group& g = groups_.emplace(gone.id, gone).first->second;
  for (auto& [member_id, session] : g.pending_members)
    session.timer =
        timers_.set(std::max(session.expires, op.ctx.now), Timer{Timer::Kind::session, g.id, member_id, {}});
}

// ---- finding groups

Group* Core::find(Op& op, std::string_view id) {
  if (const auto it = groups_.find(id); it != groups_.end()) return &it->second;
  const StoredGroup* stored = op.hard().groups.find(id);
  if (!stored) return nullptr;
  Group& g = groups_.emplace(id, Group::restored(id, *stored, op.ctx.arena())).first->second;
  for (auto& [member_id, m] : g.members) touch(op, g, m);
  return &g;
}

// ---- time

void Core::touch(Op& op, const Group& g, std::string_view member_id, Session& session, int32_t timeout_ms) {
  session.expires = op.ctx.now + milliseconds(timeout_ms);
  if (session.timer && session.timer.at <= session.expires.ns) return;  // it will look again
  timers_.cancel(session.timer);
  session.timer = timers_.set(session.expires, Timer{Timer::Kind::session, g.id, std::string(member_id), {}});
}

void Core::schedule(Op& op, TimerId& timer, int32_t after_ms, Timer what) {
  timers_.cancel(timer);
  timer = timers_.set(op.ctx.now + milliseconds(after_ms), std::move(what));
}

void Core::on_time(Op& op) {
  const Instant now = op.ctx.now;
  for (size_t due = std::min(timers_.size(), kTimersOfTurn); due > 0 && timers_.next() <= now; --due) {
    Timer timer;
    timers_.pop(now, &timer);
    if (timer.kind == Timer::Kind::sweep) sweep(op);
    // These may go on at once: with the next turn.
    if (timer.kind == Timer::Kind::purge) return purge(op);
    if (timer.kind == Timer::Kind::restore) return restore(op);
    const auto it = groups_.find(timer.group);
    if (it == groups_.end()) continue;
    Group& g = it->second;
    switch (timer.kind) {
      case Timer::Kind::session: session_expired(op, g, timer.member); break;
      case Timer::Kind::join: g.join_timer = {}, complete_join(op, g); break;
      case Timer::Kind::initial_join: g.join_timer = {}, look_again_at_initial(op, g, timer.delay); break;
      case Timer::Kind::sync: g.sync_timer = {}, sync_expired(op, g); break;
      case Timer::Kind::sweep:
      case Timer::Kind::purge:
      case Timer::Kind::restore: break;
    }
  }
}

void Core::session_expired(Op& op, Group& g, const std::string& member_id) {
  Member* m = g.member(member_id);
  const auto pending = g.pending_members.find(member_id);
  Session* session = m ? &m->session : pending != g.pending_members.end() ? &pending->second : nullptr;
  if (!session) return;
  session->timer = {};
  if (session->expires > op.ctx.now) {  // a sign of life since the timer was set
    session->timer = timers_.set(session->expires, Timer{Timer::Kind::session, g.id, member_id, {}});
    return;
  }
  if (m && m->excused_from_heartbeat()) return;
  const bool was_member = m != nullptr;
  PROBE(op.ctx, group_member_expired);
  drop_member(op, g, member_id);
  if (g.state == State::preparing) {
    if (g.all_joined()) complete_join(op, g);
  } else if (was_member && g.state != State::empty) {
    prepare_rebalance(op, g);
  }
}

// Members of the generation that never asked for their assignment are out.
void Core::sync_expired(Op& op, Group& g) {
  if (g.state != State::completing && g.state != State::stable) return;
  if (g.pending_sync.empty()) return;
  const std::vector<std::string> silent(g.pending_sync.begin(), g.pending_sync.end());
  for (const std::string& id : silent) drop_member(op, g, id);
  prepare_rebalance(op, g);
}

void Core::tell(Op& op, const Group& g) const {
  op.ctx.trace.event({.kind = TraceKind::group_state,
                      .a = static_cast<int32_t>(g.members.size()),
                      .b = static_cast<int64_t>(hash_bytes(as_bytes(g.id))),
                      .c = g.generation,
                      .d = static_cast<int64_t>(g.state)});
}

}  // namespace klamm::group
