// A consumer: partitions assigned by the application or by a group, records handed over as they come.
//
// The position of a partition:
//   committed (ask the group) --none there--> listed (ask the leader) --> ready (fetch) --out of range--> listed
// What is handed over counts as done: positions are what is committed. One fetch a node is under way at a time.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/client/cluster.h"
#include "engine/client/membership.h"
#include "engine/client/verbs.h"
#include "engine/protocol/messages/fetch.h"

namespace klamm::client {

class Consumer final {
 public:
  static constexpr size_t kCommitsMax = 1024;  // that wait for an answer

  Consumer(const ConsumerOpen& options, uint64_t token, Duration retry_backoff);

  void start(Turn& turn);
  void assign(Turn& turn, uint64_t token, const Assign& ask);
  void subscribe(Turn& turn, uint64_t token, const Subscribe& ask);
  void commit(Turn& turn, uint64_t token);
  void pause(bool on) { paused_ = on; }
  // Commits if it does so by itself, leaves the group; then `closed` and the host forgets it.
  void close(Turn& turn, uint64_t token);
  bool closed() const { return closed_; }

  void on_answer(Turn& turn, const net::Answer& answer);
  void pump(Turn& turn);
  Instant next_deadline() const { return deadline_; }

  template<class V>
  void fields(V& v) const {
    v("client", options_.client), v("token", token_), v("membership", membership_), v("positions", positions_),
        v("fetches", fetches_), v("listing", listing_), v("offset_fetch", offset_fetch_), v("commits", commits_),
        v("commits_sent", commits_sent_), v("committing", committing_), v("commit_backoff", commit_backoff_),
        v("next_commit", next_commit_), v("paused", paused_), v("revoking", revoking_), v("failed", failed_),
        v("closing", closing_), v("closed", closed_), v("close_by", close_by_), v("last_call", last_call_),
        v("deadline", deadline_);
  }

 private:
  static constexpr Duration kCloseWait = seconds(1);
  enum Step : uint16_t { kFetch, kListOffsets, kOffsetFetch, kOffsetCommit };

  struct Position {
    enum class State : uint8_t { committed, listed, ready, stuck };  // stuck: no offset, and none may be chosen
    State state = State::committed;
    int64_t offset = -1;               // ready: of the next record to hand over
    int64_t list_at = kFromBeginning;  // listed: which end
    int64_t committed = -1;            // of the group, as far as we know
    Backoff backoff;
    template<class V>
    void fields(V& v) const {
      v("state", state), v("offset", offset), v("list_at", list_at), v("committed", committed), v("backoff", backoff);
    }
  };
  struct Asked {  // of a partition, in a request
    TopicPartition partition;
    int64_t offset = -1;
    template<class V>
    void fields(V& v) const {
      v("partition", partition), v("offset", offset);
    }
  };
  struct Query {  // under way
    uint32_t call = 0;
    std::vector<Asked> asked;
    template<class V>
    void fields(V& v) const {
      v("call", call), v("asked", asked);
    }
  };

  // consumer.cc: life and group
  void take_membership_events(Turn& turn);
  void assigned(Turn& turn, const std::vector<TopicPartition>& partitions);
  void revoke(Turn& turn);
  void set_position(Turn& turn, const TopicPartition& tp, int64_t from);
  void reset(Position& position) const;
  void emit(Turn& turn, ConsumerEvent event, bool last = false);
  void finish_close(Turn& turn);
  Position* waiting_position(const Asked& asked, Position::State state);
  void wake_at(Instant at) { deadline_ = earlier(deadline_, at); }
  bool due(Turn& turn, const Backoff& backoff);

  // consumer_fetch.cc
  void fetch(Turn& turn);
  void fetch_from(Turn& turn, NodeId node, const std::vector<Asked>& wanted);
  void fetched(Turn& turn, const net::Answer& answer);
  void fetched_partition(Turn& turn, const Asked& asked, const Slice& body,
                         const protocol::FetchResponse::PartitionData& data);
  void fetch_failed(Turn& turn, const Asked& asked, ErrorCode error);
  ErrorCode hand_over(Turn& turn, const TopicPartition& tp, Position& position, const Slice& records,
                      int64_t high_watermark);

  // consumer_offsets.cc
  void list_offsets(Turn& turn);
  void offsets_listed(Turn& turn, const net::Answer& answer);
  void fetch_offsets(Turn& turn);
  void offsets_fetched(Turn& turn, const net::Answer& answer);
  void pump_commits(Turn& turn);
  bool send_commit(Turn& turn);
  bool anything_to_commit() const;
  void offsets_committed(Turn& turn, const net::Answer& answer);
  void answer_commits(Turn& turn, ErrorCode error);
  uint64_t coordinator() const { return static_cast<uint64_t>(membership_->coordinator().value); }
  bool may_ask_group() const;
  CallTo to(uint64_t peer, uint16_t channel, int16_t version, Step step);

  ConsumerOpen options_;
  uint64_t token_;
  Duration retry_backoff_;
  std::optional<Membership> membership_;  // if there is a group
  std::map<TopicPartition, Position> positions_;
  std::map<NodeId, Query> fetches_;
  std::map<NodeId, Query> listing_;
  std::optional<Query> offset_fetch_;
  std::vector<uint64_t> commits_;       // tokens that wait for a commit to be sent
  std::vector<uint64_t> commits_sent_;  // tokens that the commit under way will answer
  std::optional<Query> committing_;     // with the offsets that are being committed
  Backoff commit_backoff_;
  Instant next_commit_ = kNever;  // by itself
  bool paused_ = false;
  bool revoking_ = false;  // a rebalance has begun: nothing more is handed over
  bool failed_ = false;    // the group said something final
  std::optional<uint64_t> closing_;
  bool closed_ = false;
  Instant close_by_ = kNever;
  uint32_t last_call_ = 0;
  Instant deadline_ = kNever;
};

}  // namespace klamm::client
