// A classic group as its coordinator sees it live: members, who waits for what, which generation. Soft state: rebuilt
// from the group's record when the partition is loaded. It changes itself, but sets no timers and answers nobody; that
// is the work of the Core.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/ticket.h"
#include "engine/base/timers.h"
#include "engine/group/hard_state.h"
#include "engine/group/rules.h"
#include "engine/protocol/types.h"

namespace klamm::group {

inline constexpr std::string_view kConsumerProtocol = "consumer";  // the protocol type of consumers

inline Str text_or_null(const std::optional<std::string>& s) { return s ? Str(*s) : kNullStr; }

// A deadline that moves often: the timer stays where it is and looks again when it fires.
struct Session {
  Instant expires;
  TimerId timer;
  template<class V>
  void fields(V& v) const {
    v("expires", expires), v("timer", timer);
  }
};

struct Protocol {
  std::string name;
  Slice metadata;
  friend bool operator==(const Protocol&, const Protocol&) = default;
  template<class V>
  void fields(V& v) const {
    v("name", name), v("metadata", metadata);
  }
};

struct Member {
  std::string id;
  std::optional<std::string> instance_id;  // static (KIP-345)
  std::string client_id;
  std::string client_host;
  int32_t rebalance_timeout_ms = 0;
  int32_t session_timeout_ms = 0;
  std::vector<Protocol> protocols;  // best first
  Slice assignment;
  uint64_t joined = 0;  // order of joining
  bool is_new = false;  // has not been in a generation: does not know its id yet, and may expire while it waits
  std::optional<Ticket> awaits_join;  // JoinGroup to be answered when the generation begins
  std::optional<Ticket> awaits_sync;  // SyncGroup to be answered when the assignment is stored
  Session session;

  // Empty if it does not support the protocol.
  ByteSpan metadata(std::string_view protocol) const;
  // Who waits for an answer of ours cannot be blamed for not calling.
  bool excused_from_heartbeat() const { return !is_new && (awaits_join || awaits_sync); }
  template<class V>
  void fields(V& v) const {
    v("id", id), v("instance_id", instance_id), v("client_id", client_id), v("client_host", client_host),
        v("rebalance_timeout_ms", rebalance_timeout_ms), v("session_timeout_ms", session_timeout_ms),
        v("protocols", protocols), v("assignment", assignment), v("joined", joined), v("is_new", is_new),
        v("awaits_join", awaits_join), v("awaits_sync", awaits_sync), v("session", session);
  }
};

struct Group {
  std::string id;
  State state = State::empty;
  int64_t since_ms = -1;  // wall clock of the last change of state; -1: not known
  int32_t generation = 0;
  std::optional<std::string> protocol_type;
  std::optional<std::string> protocol;  // of this generation
  std::optional<std::string> leader;    // a member, while there are any
  std::map<std::string, Member, std::less<>> members;
  std::map<std::string, std::string, std::less<>> static_members;  // instance id -> member id
  std::map<std::string, Session, std::less<>> pending_members;     // were told an id, have not come with it (KIP-394)
  std::set<std::string, std::less<>> pending_sync;                 // members of the generation that have not synced
  std::optional<std::set<std::string, std::less<>>> topics;        // subscribed; nothing if that cannot be known
  bool initial = false;                                            // preparing the first rebalance of an empty group
  bool member_came = false;                                        // during the pause of an initial rebalance
  bool storing = false;  // the assignment of this generation is on its way to the log
  uint64_t joins = 0;
  TimerId join_timer;
  TimerId sync_timer;

  // The group that a record describes. Whoever restores one with members gives them sessions.
  static Group restored(std::string_view id, const StoredGroup& stored, Arena& arena);

  const Member* member(std::string_view id) const;
  Member* member(std::string_view id) { return const_cast<Member*>(std::as_const(*this).member(id)); }
  // A member's under the protocol of the generation. A record may restore members without one: it is as named "".
  ByteSpan metadata(const Member& m) const { return m.metadata(protocol ? std::string_view(*protocol) : ""); }
  bool is_leader(std::string_view member_id) const { return leader && *leader == member_id; }
  bool simple() const { return !protocol_type && state == State::empty && pending_members.empty(); }
  bool of_consumers() const { return protocol_type && *protocol_type == kConsumerProtocol; }
  bool subscribes(std::string_view topic) const;
  ErrorCode fence(std::string_view member_id, Str instance_id) const;  // rules.h, member_fence
  bool supports(std::string_view type, const std::vector<Protocol>& protocols) const;
  size_t waiting_to_join() const;
  bool all_joined() const { return pending_members.empty() && waiting_to_join() == members.size(); }
  int32_t rebalance_timeout_ms() const;  // the longest of its members
  std::optional<std::string> next_protocol() const;

  void become(State to, int64_t now_ms);
  // The member must support what the others do; the first one sets the protocol type and leads.
  Member& add(Member member);
  void remove(std::string_view member_id);  // a member or a pending one; a leader is replaced by the earliest other
  // The same member under a new id; the old one is given back. Both must be answered for by the caller.
  Member replace_static(std::string_view old_id, std::string_view new_id);
  // If the leader does not wait to join, the earliest of those who do leads. False: nobody does.
  bool elect_joined_leader();
  void begin_generation(int64_t now_ms, Arena& arena);

  template<class V>
  void fields(V& v) const {
    v("id", id), v("state", state), v("since_ms", since_ms), v("generation", generation),
        v("protocol_type", protocol_type), v("protocol", protocol), v("leader", leader), v("members", members),
        v("static_members", static_members), v("pending_members", pending_members), v("pending_sync", pending_sync),
        v("topics", topics), v("initial", initial), v("member_came", member_came), v("storing", storing),
        v("joins", joins), v("join_timer", join_timer), v("sync_timer", sync_timer);
  }

 private:
  void read_topics(Arena& arena);
};

}  // namespace klamm::group
