// The groups of one partition of __consumer_offsets: every operation of the classic protocol and of offsets, as
// (request -> records + replies), and its timers. Run by coordinator::Runtime, which replicates what is recorded.
//
// Soft: groups with members and whatever else was touched since loading. A group that is only in the hard state is
// restored from there when it is needed.
#pragma once
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/base/ctx.h"
#include "engine/coordinator/operation.h"
#include "engine/group/classic_group.h"
#include "engine/group/config.h"
#include "engine/protocol/messages/describe_groups.h"
#include "engine/protocol/messages/heartbeat.h"
#include "engine/protocol/messages/join_group.h"
#include "engine/protocol/messages/leave_group.h"
#include "engine/protocol/messages/list_groups.h"
#include "engine/protocol/messages/offset_commit.h"
#include "engine/protocol/messages/offset_delete.h"
#include "engine/protocol/messages/offset_fetch.h"
#include "engine/protocol/messages/sync_group.h"

namespace klamm::group {

// One step of a search for offsets that have to go.
inline constexpr size_t kGroupsPerSweep = 1000;
inline constexpr size_t kOffsetsPerSweep = 2000;  // looked at
inline constexpr size_t kRecordsPerSweep = 1000;
inline constexpr size_t kBytesPerSweep = 1 << 20;           // of records, by one that may be larger
inline constexpr Duration kSweepPause = milliseconds(100);  // between steps that the log may have taken back

// The ids of topics, by name: several of one name were made and deleted one after another.
using TopicIds = std::map<std::string, std::set<Uuid>, std::less<>>;

// Who is to be answered: a request alone, or one part of a request that concerns several groups.
struct Origin {
  Ticket ticket;
  Slice request;        // the body, for an answer that must repeat what was asked
  uint64_t gather = 0;  // 0: the request is answered by this alone
  uint32_t part = 0;
  template<class V>
  void fields(V& v) const {
    v("ticket", ticket), v("request", request), v("gather", gather), v("part", part);
  }
};

// A request's caller, for the length of an operation.
struct Caller {
  Origin origin;
  Str client_id;
  Str client_host;
  const Ticket& ticket() const { return origin.ticket; }
};

class Core final {
 public:
  using Hard = HardState;
  using Origin = group::Origin;

  // What follows once records are committed, or have failed.
  struct Effect {
    enum class Kind : uint8_t {
      created,          // a new group's first record
      stored,           // the assignment of `generation`
      static_replaced,  // `member` has taken over from `old`; `ticket` is its JoinGroup
      deleted,          // `gone` has no record any more
    };
    Kind kind = Kind::created;
    std::string group;
    int32_t generation = 0;
    std::string member;
    std::string old_leader;
    std::optional<Member> old;
    Ticket ticket;
    std::optional<Group> gone;
    template<class V>
    void fields(V& v) const {
      v("kind", kind), v("group", group), v("generation", generation), v("member", member), v("old_leader", old_leader),
          v("old", old), v("ticket", ticket), v("gone", gone);
    }
  };
  using Op = coordinator::Operation<Core>;

  explicit Core(const Config& config = {}) : config_(config) {}

  // ---- the runtime's side
  static bool replay(Hard& hard, Arena& arena, const coordinator::ReplayedRecord& record) {
    return group::replay(hard, arena, record);
  }
  static void replay_marker(Hard& hard, ProducerId producer, bool commit) {
    group::replay_marker(hard, producer, commit);
  }
  void activated(Op& op);
  void deactivated(Op& op);
  void committed(Op& op, const Effect& effect);
  void failed(Op& op, const Effect& effect, ErrorCode told);
  void on_time(Op& op);
  Instant next_deadline() const { return timers_.next(); }

  // ---- operations. Requests have been checked for what needs no group: ids, ranges, topics.
  // `ordinal` names the member id that a new member gets.
  void join(Op& op, const Caller& caller, const protocol::JoinGroupRequest& request, uint64_t ordinal);
  void sync(Op& op, const Caller& caller, const protocol::SyncGroupRequest& request);
  void heartbeat(Op& op, const Caller& caller, const protocol::HeartbeatRequest& request);
  void leave(Op& op, const Caller& caller, const protocol::LeaveGroupRequest& request);
  // `response` mirrors the request, without errors yet; `refused` holds what of it never came here.
  void commit_offsets(Op& op, const Caller& caller, const protocol::OffsetCommitRequest& request,
                      const protocol::OffsetCommitResponse& refused, protocol::OffsetCommitResponse& response);
  void delete_offsets(Op& op, const Caller& caller, const protocol::OffsetDeleteRequest& request,
                      const protocol::OffsetDeleteResponse& refused, protocol::OffsetDeleteResponse& response);
  // What tells topics of a commit apart: the id is set from version 10 on.
  static constexpr auto committed_topic = [](const auto& t) { return std::pair(t.name, t.topic_id); };
  ErrorCode delete_group(Op& op, Str group);
  // Topics are gone, and their offsets have to: `purge` makes a step now, and goes on at each turn until it is done.
  void forget_topics(Instant now, const TopicIds& topics);
  void purge(Op& op);

  // ---- reads, of groups that exist in `hard`
  // The offsets asked for, or with null topics all there are. With `stable`, those of open transactions are refused.
  static protocol::OffsetFetchResponse::OffsetFetchResponseGroup fetch_offsets(
      Arena& arena, const Hard& hard, const protocol::OffsetFetchRequest::OffsetFetchRequestGroup& asked, bool stable);
  protocol::DescribeGroupsResponse::DescribedGroup describe(Arena& arena, const Hard& hard, Str group,
                                                            int16_t version) const;
  void list(Arena& arena, const Hard& hard, const protocol::ListGroupsRequest& filter,
            List<protocol::ListGroupsResponse::ListedGroup>& out) const;
  const std::map<std::string, Group, std::less<>>& groups() const { return groups_; }

  template<class V>
  void fields(V& v) const {
    v("groups", groups_), v("timers", timers_), v("restored", restored_), v("sweep", sweep_),
        v("sweep_next", sweep_next_), v("purge", purge_), v("purge_timer", purge_timer_);
  }

 private:
  struct Timer {
    enum class Kind : uint8_t { session, join, initial_join, sync, sweep, purge, restore };
    Kind kind = Kind::sweep;
    std::string group;
    std::string member;
    InitialDelay delay;
    template<class V>
    void fields(V& v) const {
      v("kind", kind), v("group", group), v("member", member), v("wait_ms", delay.wait_ms),
          v("remaining_ms", delay.remaining_ms);
    }
  };
  // The search for offsets of deleted topics: first in open transactions, so that none can slip into the others behind
  // its back. What is committed meanwhile is of topics made anew, by their ids.
  struct Purge {
    TopicIds topics;
    TopicIds later;                                                // deleted since it began: another search
    bool stable = false;                                           // the transactions are done
    ProducerId producer = std::numeric_limits<ProducerId>::min();  // where it is
    OffsetKey next;                                                // the next to be looked at there
    bool dooms(const HardState::Offsets::Entry& entry) const;
    template<class V>
    void fields(V& v) const {
      v("topics", topics), v("later", later), v("stable", stable), v("producer", producer), v("next", next);
    }
  };
  struct Step;  // what is left of its bounds
  struct JoinReply;

  // core.cc: finding groups, sessions, timers
  Group* find(Op& op, std::string_view id);  // null: there is no such group
  void put_back(Op& op, const Group& gone);
  void restore(Op& op);
  void touch(Op& op, const Group& g, std::string_view member_id, Session& session, int32_t timeout_ms);
  void touch(Op& op, const Group& g, Member& m) { touch(op, g, m.id, m.session, m.session_timeout_ms); }
  void schedule(Op& op, TimerId& timer, int32_t after_ms, Timer what);
  void session_expired(Op& op, Group& g, const std::string& member_id);
  void sync_expired(Op& op, Group& g);
  void sweep(Op& op);
  bool sweep_group(Op& op, std::string_view id, Step& step);
  bool purge_among(Op& op, const HardState::Offsets& offsets, Step& step);
  void tell(Op& op, const Group& g) const;  // the trace

  // join.cc
  void join_new(Op& op, const Caller& caller, const protocol::JoinGroupRequest& request, Group& g, uint64_t ordinal);
  void join_again(Op& op, const Caller& caller, const protocol::JoinGroupRequest& request, Group& g);
  void add_member(Op& op, const Caller& caller, const protocol::JoinGroupRequest& request, Group& g,
                  std::string member_id);
  void update_member(Op& op, const protocol::JoinGroupRequest& request, Member& m, const Ticket& ticket);
  void take_over(Op& op, const Caller& caller, const protocol::JoinGroupRequest& request, Group& g,
                 const std::string& old_id, const std::string& new_id);
  void answer_take_over(Op& op, const Group& g, const Member& m, const Effect& e) const;
  void undo_take_over(Op& op, Group& g, const Effect& e, ErrorCode told);
  void answer_join(Op& op, const Ticket& ticket, const JoinReply& reply) const;
  void refuse_join(Op& op, const Ticket& ticket, Str member_id, ErrorCode error) const;
  void answer_with_generation(Op& op, const Ticket& ticket, const Group& g, const Member& m) const;

  // rebalance.cc
  void rebalance_or_complete(Op& op, Group& g);
  void prepare_rebalance(Op& op, Group& g);
  void complete_join_if_may(Op& op, Group& g);
  void complete_join(Op& op, Group& g);
  void look_again_at_initial(Op& op, Group& g, const InitialDelay& waited);
  void drop_member(Op& op, Group& g, const std::string& member_id);  // answers and forgets; no rebalance
  void cancel_session(Session& session) { timers_.cancel(session.timer); }
  void answer_syncs(Op& op, Group& g, ErrorCode error);
  void synced(Group& g, std::string_view member_id);
  void answer_sync(Op& op, const Ticket& ticket, const Group& g, const Member* m, ErrorCode error) const;

  Config config_;
  std::map<std::string, Group, std::less<>> groups_;
  Timers<Timer> timers_;
  std::string restored_;  // the last group that has been looked at since the election
  std::string sweep_;     // while one is under way: the last group it has done
  OffsetKey sweep_next_;  // and where it goes on in the one behind it
  Purge purge_;
  TimerId purge_timer_;  // set while `purge_` has topics
};

}  // namespace klamm::group
