// DescribeGroups 0 to 6, ListGroups 0 to 5, DeleteGroups 0 to 2, of one partition's groups.
#include <algorithm>

#include "engine/group/core.h"
#include "engine/group/records.h"
#include "engine/group/replies.h"
#include "engine/protocol/text.h"

namespace klamm::group {

using protocol::Bytes;
using protocol::DescribeGroupsResponse;
using protocol::ListGroupsRequest;
using protocol::ListGroupsResponse;

namespace {

constexpr std::string_view kDead = "Dead";  // what a group that does not exist is described as
constexpr std::string_view kClassic = "classic";
constexpr int16_t kNotFoundVersion = 6;  // before it such a group is no error (KIP-1043)

// Filters of states and types do not mind case, those of states no blanks around them either.
bool same_word(Str a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

// Without blanks and control characters around it.
Str trimmed(Str s) {
  const auto blank = [](char c) { return static_cast<uint8_t>(c) <= ' '; };
  while (!s.empty() && blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && blank(s.back())) s.remove_suffix(1);
  return s;
}

Str as_it_is(Str s) { return s; }

bool listed_in(const List<Str>& filter, std::string_view word, Str (*read)(Str)) {
  return filter.empty() || std::any_of(filter.begin(), filter.end(), [&](Str s) { return same_word(read(s), word); });
}

Str text(Arena& arena, const std::optional<std::string>& s) { return s ? arena.copy(*s) : Str(""); }

}  // namespace

DescribeGroupsResponse::DescribedGroup Core::describe(Arena& arena, const Hard& hard, Str id, int16_t version) const {
  DescribeGroupsResponse::DescribedGroup out;
  out.group_id = id;
  const StoredGroup* stored = hard.groups.find(id);
  if (!stored) {
    out.group_state = kDead;
    if (version >= kNotFoundVersion) {
      out.error_code = code(ErrorCode::group_id_not_found);
      out.error_message = arena.copy(protocol::fitting("Group " + std::string(id) + " not found."));
    }
    return out;
  }
  const auto live = groups_.find(id);
  std::optional<Group> restored;
  if (live == groups_.end()) restored = Group::restored(id, *stored, arena);
  const Group& g = restored ? *restored : live->second;
  out.group_state = name(g.state);
  out.protocol_type = text(arena, g.protocol_type);
  if (g.state == State::stable) out.protocol_data = text(arena, g.protocol);
  for (const auto& [member_id, m] : g.members) {
    auto& member = out.members.add(arena);
    member.member_id = arena.copy(member_id);
    member.group_instance_id = m.instance_id ? arena.copy(*m.instance_id) : kNullStr;
    member.client_id = arena.copy(m.client_id);
    member.client_host = arena.copy(m.client_host);
    if (g.state == State::stable) member.member_metadata = Bytes::of(as_bytes(arena.copy(as_text(g.metadata(m)))));
    member.member_assignment = Bytes::of(as_bytes(arena.copy(m.assignment.text())));
  }
  return out;
}

void Core::list(Arena& arena, const Hard& hard, const ListGroupsRequest& filter,
                List<ListGroupsResponse::ListedGroup>& out) const {
  if (!listed_in(filter.types_filter, kClassic, as_it_is)) return;
  for (const auto& entry : hard.groups) {
    const auto live = groups_.find(entry.key);
    const bool soft = live != groups_.end();
    const State state = soft ? live->second.state : entry.value.members.empty() ? State::empty : State::stable;
    if (!listed_in(filter.states_filter, name(state), trimmed)) continue;
    auto& g = out.add(arena);
    g.group_id = entry.key;
    g.protocol_type = soft ? text(arena, live->second.protocol_type) : Str(entry.value.protocol_type);
    g.group_state = name(state);
    g.group_type = kClassic;
  }
}

ErrorCode Core::delete_group(Op& op, Str id) {
  const Group* g = find(op, id);
  if (!g) return ErrorCode::group_id_not_found;
  if (g->state != State::empty) return ErrorCode::non_empty_group;
  for_each_offset(op.hard().offsets, id, [&](const auto& entry) {
    op.record(offset_tombstone(entry.key.view()));
    return true;
  });
  for (const auto& open : op.hard().open_transactions)
    for_each_offset(open.value, id, [&](const auto& entry) {
      if (!op.hard().offsets.contains(entry.key)) op.record(offset_tombstone(entry.key.view()));
      return true;
    });
  op.record(group_tombstone(id));
  const auto it = groups_.find(id);
  for (auto& [member_id, session] : it->second.pending_members) cancel_session(session);
  op.then({.kind = Effect::Kind::deleted, .group = std::string(id), .gone = std::move(it->second)});
  groups_.erase(it);
  return ErrorCode::none;
}

}  // namespace klamm::group
