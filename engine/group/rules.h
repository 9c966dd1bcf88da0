// The law of classic consumer groups and of committed offsets: total, pure functions. They answer what Kafka answers.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/base/error_code.h"
#include "engine/base/ids.h"
#include "engine/base/units.h"
#include "engine/protocol/hashes.h"

namespace klamm::group {

// A classic group on its coordinator.
//
//            join                    all joined, or rebalance timeout             leader's assignment stored
//   empty ---------> preparing ---------------------------------------> completing ---------------------> stable
//     ^                |  ^  ^                                               |                               |
//     '----------------'  |  '-----------------------------------------------'                               |
//       nobody is left    '----------------- join, leave, session expired, sync timeout ---------------------'
enum class State : uint8_t {
  empty,       // no members; may hold offsets
  preparing,   // PreparingRebalance: waits for the members to join
  completing,  // CompletingRebalance: the members know their generation, the leader is to bring the assignment
  stable,
};
inline constexpr std::string_view kStateNames[] = {"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"};
inline std::string_view name(State s) { return kStateNames[static_cast<size_t>(s)]; }

inline bool may_follow(State from, State to) {
  switch (to) {
    case State::empty: return from == State::preparing;
    case State::preparing: return from != State::preparing;
    case State::completing: return from == State::preparing;
    case State::stable: return from == State::completing;
  }
  return false;
}

// Who a request says it comes from. `holder`: the member that has the claimed instance id, if there is one.
struct Claim {
  std::string_view member_id;
  bool with_instance = false;
  std::optional<std::string_view> holder = {};
  bool is_member = false;  // a member of that id exists
};
// A static member is known by its instance id: whoever came back with it last owns it, and the one before is fenced.
// KIP-345; without it two processes of one identity would commit for each other.
inline ErrorCode member_fence(const Claim& c) {
  if (c.with_instance && !c.holder) return ErrorCode::unknown_member_id;
  if (c.with_instance && *c.holder != c.member_id) return ErrorCode::fenced_instance_id;
  return c.is_member ? ErrorCode::none : ErrorCode::unknown_member_id;
}

// Heartbeat and sync come from a member of this generation: the number fences whoever missed a rebalance (KIP-62).
inline ErrorCode generation_fence(ErrorCode member, int32_t claimed, int32_t generation) {
  if (member != ErrorCode::none) return member;
  return claimed == generation ? ErrorCode::none : ErrorCode::illegal_generation;
}

// An offset commit to a group that exists. Outside a generation (-1) only an empty group takes it: an admin's reset, or
// a consumer that assigns itself. A member must be of this generation, and its assignment complete: a zombie's commit
// would move the offset under the partition's new owner (museum M25).
struct CommitClaim {
  int32_t generation = -1;
  bool anonymous = true;  // neither member id nor instance id
  ErrorCode member = ErrorCode::none;
};
inline ErrorCode offset_commit_fence(const CommitClaim& c, State state, int32_t generation) {
  if (c.generation < 0 && state == State::empty) return ErrorCode::none;
  if (c.generation < 0 && c.anonymous) return ErrorCode::unknown_member_id;
  if (const ErrorCode e = generation_fence(c.member, c.generation, generation); e != ErrorCode::none) return e;
  return state == State::completing ? ErrorCode::rebalance_in_progress : ErrorCode::none;
}
// The same for a group that does not exist: a commit outside a generation creates it, one inside is refused.
// GROUP_ID_NOT_FOUND since version 9 (KIP-848), before it what a client of that time understands.
inline ErrorCode unknown_group_commit(int32_t generation, int16_t version) {
  if (generation < 0) return ErrorCode::none;
  return version >= 9 ? ErrorCode::group_id_not_found : ErrorCode::illegal_generation;
}

// group.max.size (KIP-389). While a rebalance is prepared those who wait count, not the members, so that a group above
// a lowered limit sheds the last to rejoin.
struct Capacity {
  State state = State::empty;
  bool is_member = false;
  bool waits_already = false;
  size_t members = 0;
  size_t waiting = 0;
  size_t max_size = 0;
};
inline bool accepts_member(const Capacity& c) {
  switch (c.state) {
    case State::empty: return true;
    case State::preparing: return (c.is_member && c.waits_already) || c.waiting < c.max_size;
    default: return c.is_member || c.members < c.max_size;
  }
}

// The protocol of a generation: of those that all members support the one with the most first choices; `choices[i]` is
// what member i supports, best first. Nothing if there is none in common. A draw goes to whichever comes first in a
// Java hash table: Kafka leaves it to its HashMap, and clients see the result.
inline std::optional<std::string> choose_protocol(std::span<const std::vector<std::string_view>> choices) {
  struct Candidate {
    size_t members = 0;  // that support it
    size_t last = 0;     // of them, counted from 1: a member may name a protocol twice
    size_t votes = 0;
    size_t first = 0;  // member to vote for it
  };
  std::map<std::string_view, Candidate> candidates;  // a member may name very many
  for (size_t i = 0; i < choices.size(); ++i)
    for (const std::string_view p : choices[i])
      if (Candidate& c = candidates[p]; std::exchange(c.last, i + 1) != i + 1) ++c.members;
  for (size_t i = 0; i < choices.size(); ++i) {
    Candidate* vote = nullptr;
    for (size_t k = 0; !vote && k < choices[i].size(); ++k)
      if (Candidate& c = candidates.at(choices[i][k]); c.members == choices.size()) vote = &c;
    if (!vote) return std::nullopt;
    if (vote->votes++ == 0) vote->first = i;
  }
  const auto rank = [](const auto& entry) {
    const auto hash = static_cast<uint32_t>(protocol::java_hash(entry.first));
    const Candidate& c = entry.second;
    return std::tuple(c.votes == 0, -static_cast<int64_t>(c.votes), (hash ^ hash >> 16) & 15, c.first);
  };
  const auto best = std::min_element(candidates.begin(), candidates.end(),
                                     [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return best == candidates.end() ? std::nullopt : std::optional<std::string>(best->first);
}

// group.initial.rebalance.delay.ms (KIP-134): the first rebalance of an empty group waits for more members, and again
// after each pause in which one came, at most as long as the rebalance timeout.
struct InitialDelay {
  int32_t wait_ms = 0;       // before looking again
  int32_t remaining_ms = 0;  // that may be waited after that
};
inline InitialDelay first_delay(int32_t delay_ms, int32_t rebalance_timeout_ms) {
  return {delay_ms, std::max(rebalance_timeout_ms - delay_ms, 0)};
}
inline std::optional<InitialDelay> next_delay(const InitialDelay& waited, bool member_came, int32_t delay_ms) {
  if (!member_came || waited.remaining_ms == 0) return std::nullopt;
  return InitialDelay{std::min(delay_ms, waited.remaining_ms), std::max(waited.remaining_ms - waited.wait_ms, 0)};
}

// When offsets of a group begin to age (KIP-211): once the group is empty, for all; of a group that only stores
// offsets, each since its commit; of a stable group of consumers, each of a topic no longer subscribed, since its
// commit. Otherwise never: an idle topic's offset must not vanish under a live consumer (museum M27).
enum class Ageing : uint8_t { never, since_commit, since_empty };
struct AgeingOf {
  State state = State::empty;
  bool simple = false;         // has no protocol type: offsets without members
  bool knows_topics = false;   // a group of consumers whose subscriptions could be read
  bool has_timestamp = false;  // knows since when it is empty; records of before 2.1 do not
};
inline Ageing ageing(const AgeingOf& g) {
  if (g.simple) return Ageing::since_commit;
  if (g.state == State::empty) return g.has_timestamp ? Ageing::since_empty : Ageing::since_commit;
  return g.knows_topics && g.state == State::stable ? Ageing::since_commit : Ageing::never;
}
struct Age {
  int64_t expires_ms = -1;  // asked for by a commit of version 2 to 4; -1: none
  int64_t base_ms = 0;      // where the retention begins
};
inline bool offset_expired(const Age& age, int64_t now_ms, int64_t retention_ms) {
  if (age.expires_ms >= 0) return now_ms >= age.expires_ms;
  return saturating_subtract(now_ms, age.base_ms) >= retention_ms;
}

// Two topic ids, both known and unlike: the topic was deleted and made anew, the old offset means nothing (KIP-848).
inline bool of_another_topic(const Uuid& committed, const Uuid& asked) {
  return !committed.zero() && !asked.zero() && committed != asked;
}

// Length as Java counts it: UTF-16 units.
inline size_t utf16_length(std::string_view utf8) {
  size_t units = 0;
  for (const char c : utf8) {
    const auto b = static_cast<uint8_t>(c);
    units += (b & 0xc0) != 0x80;  // not a continuation
    units += b >= 0xf0;           // beyond the basic plane: a surrogate pair
  }
  return units;
}

}  // namespace klamm::group
