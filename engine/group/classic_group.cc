#include "engine/group/classic_group.h"

#include <algorithm>

#include "engine/base/reader.h"
#include "engine/protocol/records/consumer_protocol.h"

namespace klamm::group {

ByteSpan Member::metadata(std::string_view protocol) const {
  for (const Protocol& p : protocols)
    if (p.name == protocol) return p.metadata.span();
  return {};
}

Group Group::restored(std::string_view id, const StoredGroup& stored, Arena& arena) {
  Group g;
  g.id = id;
  g.state = stored.members.empty() ? State::empty : State::stable;
  g.since_ms = stored.timestamp_ms;
  g.generation = stored.generation;
  if (!stored.protocol_type.empty()) g.protocol_type = stored.protocol_type;
  g.protocol = stored.protocol;
  for (const StoredMember& m : stored.members) {
    Member member;
    member.id = m.id;
    member.instance_id = m.instance_id;
    member.client_id = m.client_id;
    member.client_host = m.client_host;
    member.rebalance_timeout_ms = m.rebalance_timeout_ms;
    member.session_timeout_ms = m.session_timeout_ms;
    member.protocols.push_back({stored.protocol.value_or(""), m.subscription});
    member.assignment = m.assignment;
    member.joined = ++g.joins;
    if (m.instance_id) g.static_members.insert_or_assign(*m.instance_id, m.id);
    g.members.insert_or_assign(m.id, std::move(member));
  }
  if (stored.leader && g.member(*stored.leader))
    g.leader = stored.leader;
  else if (!g.members.empty())
    g.leader = stored.members.front().id;
  g.read_topics(arena);
  return g;
}

const Member* Group::member(std::string_view member_id) const {
  const auto it = members.find(member_id);
  return it == members.end() ? nullptr : &it->second;
}

bool Group::subscribes(std::string_view topic) const { return topics ? topics->contains(topic) : of_consumers(); }

ErrorCode Group::fence(std::string_view member_id, Str instance_id) const {
  Claim claim{
      .member_id = member_id, .with_instance = !is_null(instance_id), .is_member = member(member_id) != nullptr};
  if (claim.with_instance) {
    const auto holder = static_members.find(instance_id);
    if (holder != static_members.end()) claim.holder = holder->second;
  }
  return member_fence(claim);
}

bool Group::supports(std::string_view type, const std::vector<Protocol>& protocols) const {
  if (state == State::empty) return !type.empty() && !protocols.empty();
  if (!protocol_type || *protocol_type != type) return false;
  std::set<std::string_view> common;  // to those asked for and the members looked at
  for (const Protocol& p : protocols) common.insert(p.name);
  for (const auto& [id, m] : members) {
    std::set<std::string_view> also;
    for (const Protocol& p : m.protocols)
      if (common.contains(p.name)) also.insert(p.name);
    common = std::move(also);
  }
  return !common.empty();
}

size_t Group::waiting_to_join() const {
  return static_cast<size_t>(
      std::count_if(members.begin(), members.end(), [](const auto& m) { return m.second.awaits_join.has_value(); }));
}

int32_t Group::rebalance_timeout_ms() const {
  int32_t longest = 0;
  for (const auto& [id, m] : members) longest = std::max(longest, m.rebalance_timeout_ms);
  return longest;
}

std::optional<std::string> Group::next_protocol() const {
  std::vector<std::vector<std::string_view>> choices;
  for (const auto& [id, m] : members) {
    auto& names = choices.emplace_back();
    for (const Protocol& p : m.protocols) names.push_back(p.name);
  }
  return choose_protocol(choices);
}

void Group::become(State to, int64_t now_ms) {
  KLAMM_ASSERT(may_follow(state, to));
  initial = to == State::preparing && state == State::empty;
  member_came = false;
  storing = false;
  state = to;
  since_ms = now_ms;
}

Member& Group::add(Member m) {
  KLAMM_ASSERT(!member(m.id));
  if (m.instance_id) {
    KLAMM_ASSERT(!static_members.contains(*m.instance_id));
    static_members.emplace(*m.instance_id, m.id);
  }
  if (!leader) leader = m.id;
  pending_members.erase(m.id);
  m.joined = ++joins;
  return members.emplace(m.id, std::move(m)).first->second;
}

void Group::remove(std::string_view member_id) {
  const std::string gone(member_id);  // the view may lie in what is removed
  if (const auto it = members.find(gone); it != members.end()) {
    if (it->second.instance_id) static_members.erase(*it->second.instance_id);
    members.erase(it);
  }
  if (is_leader(gone)) {
    const auto first = std::min_element(members.begin(), members.end(),
                                        [](const auto& a, const auto& b) { return a.second.joined < b.second.joined; });
    leader = first == members.end() ? std::nullopt : std::optional<std::string>(first->first);
  }
  if (const auto it = pending_members.find(gone); it != pending_members.end()) pending_members.erase(it);
  if (const auto it = pending_sync.find(gone); it != pending_sync.end()) pending_sync.erase(it);
}

Member Group::replace_static(std::string_view old_id, std::string_view new_id) {
  const auto it = members.find(old_id);
  KLAMM_ASSERT(it != members.end() && it->second.instance_id);
  Member old = std::move(it->second);
  members.erase(it);
  Member fresh = old;
  fresh.id = new_id;
  fresh.awaits_join.reset();
  fresh.awaits_sync.reset();
  fresh.session = {};
  fresh.is_new = false;
  if (is_leader(old.id)) leader = fresh.id;
  if (pending_sync.erase(old.id) > 0) pending_sync.insert(fresh.id);
  static_members.insert_or_assign(*fresh.instance_id, fresh.id);
  members.emplace(fresh.id, std::move(fresh));
  return old;
}

bool Group::elect_joined_leader() {
  if (!leader) return false;
  const Member* current = member(*leader);
  KLAMM_ASSERT(current != nullptr);
  if (current->awaits_join) return true;
  const Member* first = nullptr;
  for (const auto& [id, m] : members)
    if (m.awaits_join && (!first || m.joined < first->joined)) first = &m;
  if (!first) return false;
  leader = first->id;
  return true;
}

void Group::begin_generation(int64_t now_ms, Arena& arena) {
  ++generation;
  protocol = members.empty() ? std::nullopt : next_protocol();
  KLAMM_ASSERT(members.empty() || protocol);
  read_topics(arena);
  become(members.empty() ? State::empty : State::completing, now_ms);
  pending_sync.clear();
}

// Reads the subscriptions of consumers: the part that all versions of their protocol begin with.
void Group::read_topics(Arena& arena) {
  topics.reset();
  if (!of_consumers()) return;
  std::set<std::string, std::less<>> all;
  for (const auto& [id, m] : members) {
    if (!protocol) return;
    Reader r(m.metadata(*protocol));
    protocol::ConsumerProtocolSubscription subscription;
    if (r.i16() < 0 || !r.ok() || !decode(r, arena, 0, subscription) || !r.ok()) return;
    for (const Str topic : subscription.topics) all.emplace(topic);
  }
  topics = std::move(all);
}

}  // namespace klamm::group
