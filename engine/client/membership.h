// Membership of one consumer in a classic group, eager: finds the coordinator, joins, assigns when it leads, beats.
//
//   seeking --coordinator--> joining --members--> syncing --assignment--> stable
//      ^                        ^  |                 |                     |  rebalance in progress: the consumer
//      |    error: elsewhere    |  +-- id required --+-- rebalance --------+  commits, then calls `rejoin`
//      +------------------------+------------------------------------------+
//
// The consumer owns one and passes its group's traffic through it. It never waits for itself: what it wants of the
// consumer is in `take_events`.
#pragma once
#include <string>
#include <vector>

#include "engine/client/cluster.h"
#include "engine/client/rules.h"
#include "engine/client/verbs.h"

namespace klamm::client {

struct MembershipOptions {
  uint32_t client = 0;
  std::string group;
  std::string instance;
  Duration session_timeout;
  Duration heartbeat;
  Duration rebalance_timeout;
  Duration request_timeout;
  Duration retry_backoff;
};

struct MembershipEvent {
  enum class Kind : uint8_t {
    assigned,   // `partitions` are ours in this generation
    rebalance,  // commit what has been done, then call `rejoin`
    lost,       // the partitions are no longer ours, it is too late to commit
    fatal,      // `error`; nothing more will happen
  };
  Kind kind = Kind::assigned;
  ErrorCode error = ErrorCode::none;
  std::vector<TopicPartition> partitions;
};

class Membership final {
 public:
  explicit Membership(MembershipOptions options);

  // Topics sorted. Joins, or joins again, when it wants other topics than before; with none, it only finds the
  // coordinator, for offsets.
  void subscribe(Turn& turn, std::vector<std::string> topics);
  void rejoin();
  void leave(Turn& turn);
  std::vector<MembershipEvent> take_events() { return std::exchange(events_, {}); }

  // For requests about the group's offsets: the coordinator, if it is known and may be asked in this state.
  bool has_coordinator() const { return coordinator_ != kNoNode; }
  NodeId coordinator() const { return coordinator_; }
  const std::string& member_id() const { return member_id_; }
  int32_t generation() const { return generation_; }
  bool assigned() const { return assigned_; }
  // One of those requests has failed so.
  void failed(Turn& turn, ErrorCode error);

  void on_answer(Turn& turn, const net::Answer& answer);
  void pump(Turn& turn);
  Instant next_deadline() const { return deadline_; }
  static bool owns(uint16_t step) { return step >= kFirstStep; }

  template<class V>
  void fields(V& v) const {
    v("group", options_.group), v("state", state_), v("coordinator", coordinator_), v("member_id", member_id_),
        v("generation", generation_), v("topics", topics_), v("protocol", protocol_), v("assignments", assignments_),
        v("group_topics", group_topics_), v("counts", counts_), v("waiting", waiting_), v("assigned", assigned_),
        v("leading", leading_), v("beating", beating_), v("next_beat", next_beat_), v("last_heard", last_heard_),
        v("backoff", backoff_), v("deadline", deadline_), v("final", final_), v("last_call", last_call_),
        v("current_call", current_call_);
  }

 private:
  static constexpr uint16_t kFirstStep = 100;
  enum Step : uint16_t { kFind = kFirstStep, kJoin, kSync, kBeat, kLeave };
  enum class State : uint8_t { seeking, joining, syncing, stable, preparing };  // preparing: the consumer commits
  struct Member {
    std::string id;
    std::string instance;
    std::vector<std::string> topics;
    template<class V>
    void fields(V& v) const {
      v("id", id), v("instance", instance), v("topics", topics);
    }
  };

  template<class Request>
  bool call(Turn& turn, Step step, protocol::Versions versions, Duration timeout, const Request& request);
  void find(Turn& turn);
  void join(Turn& turn);
  void sync(Turn& turn);
  void beat(Turn& turn);
  void found(Turn& turn, const net::Answer& answer);
  void joined(Turn& turn, const net::Answer& answer);
  void synced(Turn& turn, const net::Answer& answer);
  void beaten(Turn& turn, const net::Answer& answer);
  void act_on(Turn& turn, GroupVerdict verdict, ErrorCode error);
  void become(State state);
  void lose();
  void prepare();
  bool count_partitions(Turn& turn, std::map<std::string, int32_t>& counts) const;
  bool wants_membership() const { return !topics_.empty(); }

  MembershipOptions options_;
  State state_ = State::seeking;
  NodeId coordinator_ = kNoNode;
  std::string member_id_;
  int32_t generation_ = -1;
  std::vector<std::string> topics_;
  std::string protocol_;
  std::vector<Member> assignments_;        // the members, while we lead and have not yet synced
  std::set<std::string> group_topics_;     // of all members, while we lead
  std::map<std::string, int32_t> counts_;  // of partitions, as we last assigned them: others mean a new assignment
  bool leading_ = false;
  bool assigned_ =
      false;              // what was assigned is ours: in stable and preparing, and while a moved coordinator is sought
  bool waiting_ = false;  // for the answer to find, join or sync
  bool beating_ = false;
  bool final_ = false;  // left, or a fatal error
  Instant next_beat_;
  Instant last_heard_;  // of the coordinator, as a member
  Backoff backoff_;
  Instant deadline_ = kNever;
  uint32_t last_call_ = 0;
  uint32_t current_call_ = 0;  // answers to older ones of find, join and sync are ignored
  std::vector<MembershipEvent> events_;
};

}  // namespace klamm::client
