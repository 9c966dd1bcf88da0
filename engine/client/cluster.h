// What a host knows of the cluster: nodes and their API versions, topics and their leaders. Shared by its clients.
//
// Metadata is asked of one node at a time, in rotation, when something is found stale or has aged. A leader is never
// taken back to an older epoch: an answer of a node that lags does not undo what another has told.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/base/error_code.h"
#include "engine/client/turn.h"
#include "engine/protocol/messages/api_versions.h"
#include "engine/protocol/messages/metadata.h"
#include "engine/protocol/types.h"

namespace klamm::client {

struct ClusterOptions {
  std::vector<net::Calls::Address> bootstrap;
  Duration request_timeout = seconds(30);
  Duration retry_backoff = milliseconds(100);
  Duration max_age = seconds(300);
  bool create_topics = false;  // let metadata requests make unknown topics, where the broker allows it
};

struct PartitionView {
  NodeId leader = kNoNode;
  LeaderEpoch epoch = kNoEpoch;
  template<class V>
  void fields(V& v) const {
    v("leader", leader), v("epoch", epoch);
  }
};

struct TopicView {
  ErrorCode error = ErrorCode::none;  // then there are no partitions
  Uuid id;
  std::vector<PartitionView> partitions;
  template<class V>
  void fields(V& v) const {
    v("error", error), v("id", id), v("partitions", partitions);
  }
};

class Cluster final {
 public:
  static constexpr size_t kTopicsMax = 100'000;
  static constexpr int16_t kNotYet = -1;       // the node has not said which versions it knows; it has been asked
  static constexpr int16_t kUnsupported = -2;  // it knows none of those given

  explicit Cluster(ClusterOptions options);
  void start(Turn& turn);  // at the first turn

  void want(const std::string& topic);  // keep its leaders known from now on
  void stale() { stale_ = true; }
  // Null: not known yet.
  const TopicView* topic(const std::string& name) const;
  PartitionView leader(const std::string& topic, int32_t partition) const;
  const std::string* topic_name(const Uuid& id) const;

  bool usable() const { return candidates() > 0; }  // there is somebody to ask
  // A node to ask what any node can answer; `failed` moves on to another.
  uint64_t any() const;
  void failed(Turn& turn, uint64_t peer);
  // The newest version of an API that both sides know.
  int16_t version(Turn& turn, uint64_t peer, int16_t api, protocol::Versions mine);
  void forget_versions(uint64_t peer) { apis_.erase(peer); }
  // It did not even say which versions it knows when it was last asked.
  bool unreachable(uint64_t peer) const { return unreachable_.count(peer) > 0; }
  void learn_node(Turn& turn, NodeId node, const net::Calls::Address& address);

  // What any answer to a metadata request tells of nodes and of the topics wanted here.
  void learn(Turn& turn, const protocol::MetadataResponse& response);

  void on_answer(Turn& turn, const net::Answer& answer);
  void pump(Turn& turn);
  Instant next_deadline() const { return deadline_; }
  uint64_t generation() const { return generation_; }  // grows whenever something here has changed

  template<class V>
  void fields(V& v) const {
    v("nodes", nodes_), v("apis", apis_), v("unreachable", unreachable_), v("wanted", wanted_), v("topics", topics_),
        v("names", names_), v("stale", stale_), v("asking", asking_), v("backoff", backoff_),
        v("refreshed", refreshed_), v("rotation", rotation_), v("last_incomplete", last_incomplete_),
        v("failures", failures_), v("generation", generation_), v("deadline", deadline_);
  }

 private:
  static constexpr uint64_t kBootstrapPeer = uint64_t{1} << 32;
  static constexpr int16_t kAskVersion = 3;  // of ApiVersions: the newest whose body all brokers that know it share
  enum Step : uint16_t { kVersions, kMetadata };
  struct Range {
    int16_t api = 0;
    protocol::Versions versions;
    template<class V>
    void fields(V& v) const {
      v("api", api), v("low", versions.low), v("high", versions.high);
    }
  };
  struct Apis {
    bool known = false;
    std::vector<Range> ranges;  // ascending by api
    template<class V>
    void fields(V& v) const {
      v("known", known), v("ranges", ranges);
    }
  };
  void ask_versions(Turn& turn, uint64_t peer, int16_t version);
  void versions_answered(Turn& turn, const net::Answer& answer);
  void metadata_answered(Turn& turn, const net::Answer& answer);
  void take_topic(const protocol::MetadataResponse::MetadataResponseTopic& topic);
  size_t candidates() const { return nodes_.size() + options_.bootstrap.size(); }

  ClusterOptions options_;
  std::set<NodeId> nodes_;
  std::map<uint64_t, Apis> apis_;
  std::set<uint64_t> unreachable_;
  std::set<std::string> wanted_;
  std::map<std::string, TopicView> topics_;
  std::map<Uuid, std::string> names_;  // of the topics above
  bool stale_ = true;
  bool asking_ = false;
  bool last_incomplete_ = false;  // the last answer lacked a leader: ask again after the backoff
  Backoff backoff_;
  Instant refreshed_;
  uint64_t rotation_ = 0;
  size_t failures_ = 0;  // since the last answer
  uint64_t generation_ = 0;
  Instant deadline_;
};

}  // namespace klamm::client
