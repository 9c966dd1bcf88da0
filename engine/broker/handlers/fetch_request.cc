// A Fetch as Kafka reads it: a map from partitions to what is wanted of them, in the order of the first naming.
#include <algorithm>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/broker/handlers.h"
#include "engine/protocol/messages/fetch.h"

namespace klamm::broker {
namespace {

using protocol::FetchRequest;

bool ascending(const List<FetchRequest::FetchPartition>& partitions) {
  int32_t last = -1;
  for (const auto& p : partitions) {
    if (p.partition <= last) return false;
    last = p.partition;
  }
  return !partitions.empty();
}

// Nothing to merge or to leave out, as in nearly every request.
bool plain(const FetchRequest& q) {
  std::vector<std::pair<Str, Uuid>> topics;
  for (const auto& topic : q.topics) {
    if (!ascending(topic.partitions)) return false;
    topics.push_back({topic.topic, topic.topic_id});
  }
  std::sort(topics.begin(), topics.end());
  return std::adjacent_find(topics.begin(), topics.end()) == topics.end();
}

}  // namespace

void make_plain(Arena& arena, FetchRequest& q) {
  for (auto& topic : q.topics)
    for (auto& p : topic.partitions) {
      if (p.current_leader_epoch < 0) p.current_leader_epoch = kNoEpoch;
      if (p.last_fetched_epoch < 0) p.last_fetched_epoch = kNoEpoch;
    }
  if (plain(q)) return;
  struct Wanted {
    const FetchRequest::FetchTopic* topic;
    const FetchRequest::FetchPartition* partition;
  };
  std::vector<Wanted> wanted;
  std::map<std::tuple<Str, Uuid, int32_t>, size_t> places;  // in `wanted`
  for (const auto& topic : q.topics)
    for (const auto& p : topic.partitions) {
      const auto [it, fresh] = places.emplace(std::tuple{topic.topic, topic.topic_id, p.partition}, wanted.size());
      if (fresh)
        wanted.push_back({&topic, &p});
      else
        wanted[it->second].partition = &p;
    }
  List<FetchRequest::FetchTopic> topics;
  for (const Wanted& w : wanted) {
    if (topics.empty() || topics.back().topic != w.topic->topic || topics.back().topic_id != w.topic->topic_id) {
      auto& out = topics.add(arena);
      out.topic = w.topic->topic;
      out.topic_id = w.topic->topic_id;
    }
    topics.back().partitions.push_back(arena, *w.partition);
  }
  q.topics = topics;
}

}  // namespace klamm::broker
