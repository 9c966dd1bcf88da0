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
// remember at most kPartitionsMost partitions and kNameBytesMost of topics' names, each once a session, for a client
// may name what no topic is called: idle ones make room, then one that would grow beyond ends.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "engine/base/ctx.h"
#include "engine/base/error_code.h"
#include "engine/base/ids.h"
#include "engine/protocol/messages/fetch.h"

namespace klamm::broker {

class FetchSessions final {
 public:
  static constexpr Duration kEvictAfter = seconds(120);  // as Kafka, which fixes it too

  static constexpr size_t kPartitionsMost = 1'000'000;
  static constexpr size_t kSessionPartitionsMost = 200'000;  // an incremental fetch of a few bytes costs all of them
  static constexpr size_t kNameBytesMost = 64 << 20;

  FetchSessions() = default;
  explicit FetchSessions(int32_t slots) : slots_(slots) {}

  // A topic as a session knows it: by id from version 13 of Fetch on, else by name.
  struct TopicView {
    std::string_view name;
    Uuid id;
  };
  struct Topic {
    std::string name;
    Uuid id;
    std::string told;       // by id: the name that the id was found to belong to, once; it may be gone since
    size_t partitions = 0;  // in the session: at least one
    template<class V>
    void fields(V& v) const {
      v("name", name), v("id", id), v("told", told), v("partitions", partitions);
    }
  };
  // A partition, by its topic's number in the session.
  struct Key {
    uint32_t topic = 0;
    int32_t partition = 0;
    friend auto operator<=>(const Key&, const Key&) = default;
    template<class V>
    void fields(V& v) const {
      v("topic", topic), v("partition", partition);
    }
  };
  struct Entry {
    Key key;
    int32_t current_leader_epoch = -1;
    Offset fetch_offset = 0;
    int32_t last_fetched_epoch = -1;
    Offset log_start = -1;
    int32_t max_bytes = 0;
    Offset told_high_watermark = -1, told_log_start = -1;  // of the last answer that named it
    template<class V>
    void fields(V& v) const {
      v("key", key), v("current_leader_epoch", current_leader_epoch), v("fetch_offset", fetch_offset),
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
  size_t name_bytes() const { return name_bytes_; }

  template<class V>
  void fields(V& v) const {
    v("slots", slots_), v("sessions", sessions_), v("drawn", drawn_);
  }

 private:
  struct TopicLess {
    using is_transparent = void;
    template<class A, class B>
    bool operator()(const std::pair<Uuid, A>& a, const std::pair<Uuid, B>& b) const {
      return a.first != b.first ? a.first < b.first : std::string_view(a.second) < std::string_view(b.second);
    }
  };
  struct Session {
    int32_t epoch = 1;  // that the next request must name
    bool by_id = false;
    bool follower = false;
    Instant created, used;
    size_t size = 0;                  // when it was last weighed for eviction
    std::map<uint64_t, Entry> order;  // to be read in this order: who gave records goes to the end
    std::map<Key, uint64_t> places;   // of each partition in `order`
    std::map<uint32_t, Topic> topics;
    std::map<std::pair<Uuid, std::string>, uint32_t, TopicLess> numbers;  // of each in `topics`
    uint64_t last = 0;
    uint32_t last_topic = 0;
    size_t name_bytes = 0;  // of all in `topics`
    template<class V>
    void fields(V& v) const {
      v("epoch", epoch), v("by_id", by_id), v("follower", follower), v("created", created), v("used", used),
          v("size", size), v("order", order), v("topics", topics), v("last", last), v("last_topic", last_topic);
    }
    std::optional<uint32_t> number(const TopicView& topic) const;
    void put(const TopicView& topic, const List<protocol::FetchRequest::FetchPartition>& partitions);
    void drop(const TopicView& topic, const List<int32_t>& partitions);
    void tell_name(uint32_t number, std::string name);
    void move_to_end(uint64_t& place);
  };
  using Sessions = std::map<int32_t, Session>;
  void erase(Sessions::iterator it) {
    uncount(it->second);
    sessions_.erase(it);
  }
  void count(const Session& s) { partitions_ += s.order.size(), name_bytes_ += s.name_bytes; }
  void uncount(const Session& s) { partitions_ -= s.order.size(), name_bytes_ -= s.name_bytes; }
  bool make_room(Instant now, size_t partitions, size_t names);
  bool make_place(Instant now, bool follower, size_t size);
  bool news(Session& s, const Key& key, protocol::FetchResponse::PartitionData& y);

  int32_t slots_ = 1000;
  Sessions sessions_;
  size_t partitions_ = 0;  // of all sessions
  size_t name_bytes_ = 0;
  uint64_t drawn_ = 0;  // ids so far
};

}  // namespace klamm::broker
