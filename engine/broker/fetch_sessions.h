// Incremental fetch sessions (KIP-227): what a client or follower fetches is remembered, so that its requests name only
// what changed and its answers only what is news.
//
//   none ──full fetch, epoch 0──> session, epoch 1 ──epoch n──> epoch n+1 ...      ──epoch -1, emptied, evicted──> none
//
// One that a full fetch opened without partitions lives until its next fetch, which may bring some.
//
// Owned by the node. At most `slots` sessions; a new one takes the place of the one that was idle the longest, if that
// is longer than kEvictAfter, else of an older one that matters less: of a consumer before one of a follower, with
// fewer partitions before more. Without a place the fetch is answered in full, with session id 0. All sessions together
// remember at most kPartitionsMost partitions: one that would grow beyond ends.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/ctx.h"
#include "engine/base/error_code.h"
#include "engine/base/ids.h"
#include "engine/protocol/messages/fetch.h"

namespace klamm::broker {

class FetchSessions final {
 public:
  static constexpr Duration kEvictAfter = seconds(120);  // as Kafka, which fixes it too

  static constexpr size_t kPartitionsMost = 1'000'000;

  FetchSessions() = default;
  explicit FetchSessions(int32_t slots) : slots_(slots) {}

  // A partition as a session knows it: by topic id from version 13 of Fetch on, else by name.
  struct Key {
    std::string topic;
    Uuid topic_id;
    int32_t partition = 0;
    friend auto operator<=>(const Key&, const Key&) = default;
    template<class V>
    void fields(V& v) const {
      v("topic", topic), v("topic_id", topic_id), v("partition", partition);
    }
  };
  struct Entry {
    Key key;
    std::string name;  // of the topic that the id of the key was found to belong to, once; it may be gone since
    int32_t current_leader_epoch = -1;
    Offset fetch_offset = 0;
    int32_t last_fetched_epoch = -1;
    Offset log_start = -1;
    int32_t max_bytes = 0;
    Offset told_high_watermark = -1, told_log_start = -1;  // of the last answer that named it
    template<class V>
    void fields(V& v) const {
      v("key", key), v("name", name), v("current_leader_epoch", current_leader_epoch), v("fetch_offset", fetch_offset),
          v("last_fetched_epoch", last_fetched_epoch), v("log_start", log_start), v("max_bytes", max_bytes),
          v("told_high_watermark", told_high_watermark), v("told_log_start", told_log_start);
    }
  };

  // A full fetch ends the session that it names.
  void end(int32_t id) {
    if (const auto it = sessions_.find(id); it != sessions_.end()) erase(it);
  }
  // An incremental fetch arrives: its partitions join or change the session, its forgotten ones leave, the epoch goes
  // on. A session that is left empty ends: what the fetch names is served without one.
  ErrorCode advance(Ctx& ctx, int16_t version, const protocol::FetchRequest& request);
  // The request, with every partition of the session in the order in which they are to be read. The session is the one
  // that `advance` let pass, perhaps long ago; nothing if it is gone or has gone on without this request.
  std::optional<ErrorCode> expand(Arena& arena, int16_t version, protocol::FetchRequest& request) const;
  // The answer to an incremental fetch: leaves in it what is news, and remembers that.
  void answered(Arena& arena, int16_t version, int32_t id, protocol::FetchResponse& response);
  // The answer to a full fetch: opens a session if there is a place, with its partitions in their order there. Its id,
  // or 0.
  int32_t open(Ctx& ctx, int16_t version, bool follower, const protocol::FetchRequest& request,
               const protocol::FetchResponse& response);
  bool has(int32_t id) const { return sessions_.count(id) != 0; }
  size_t size() const { return sessions_.size(); }
  size_t partitions() const { return partitions_; }

  template<class V>
  void fields(V& v) const {
    v("slots", slots_), v("sessions", sessions_), v("drawn", drawn_);
  }

 private:
  struct Session {
    int32_t epoch = 1;  // that the next request must name
    bool by_id = false;
    bool follower = false;
    Instant created, used;
    size_t size = 0;                  // when it was last weighed for eviction
    std::map<uint64_t, Entry> order;  // to be read in this order: who gave records goes to the end
    std::map<Key, uint64_t> places;   // of each partition in `order`
    uint64_t last = 0;
    template<class V>
    void fields(V& v) const {
      v("epoch", epoch), v("by_id", by_id), v("follower", follower), v("created", created), v("used", used),
          v("size", size), v("order", order), v("last", last);
    }
    void put(const Key& key, const protocol::FetchRequest::FetchPartition& x);
    void drop(const Key& key);
  };
  using Sessions = std::map<int32_t, Session>;
  void erase(Sessions::iterator it) {
    partitions_ -= it->second.order.size();
    sessions_.erase(it);
  }
  bool make_place(Instant now, bool follower, size_t size);
  bool news(Session& s, const Key& key, protocol::FetchResponse::PartitionData& y);

  int32_t slots_ = 1000;
  Sessions sessions_;
  size_t partitions_ = 0;  // of all sessions
  uint64_t drawn_ = 0;     // ids so far
};

}  // namespace klamm::broker
