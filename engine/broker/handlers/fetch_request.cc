// A Fetch as Kafka reads it: a map from partitions to what is wanted of them, in the order of the first naming.
#include <map>

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
  const FetchRequest::FetchTopic* before = nullptr;
  for (const auto& topic : q.topics) {
    if (!ascending(topic.partitions)) return false;
    if (before && before->topic == topic.topic && before->topic_id == topic.topic_id) return false;
    before = &topic;
  }
  return true;
}

}  // namespace

void make_plain(Arena& arena, FetchRequest& q) {
  for (auto& topic : q.topics)
    for (auto& p : topic.partitions) {
      if (p.current_leader_epoch < 0) p.current_leader_epoch = kNoEpoch;
      if (p.last_fetched_epoch < 0) p.last_fetched_epoch = kNoEpoch;
    }
  if (plain(q)) return;
  List<FetchRequest::FetchTopic> topics;
  std::map<int32_t, size_t> place;  // of the last topic's partitions
  for (const auto& topic : q.topics) {
    if (topic.partitions.empty()) continue;
    if (topics.empty() || topics.back().topic != topic.topic || topics.back().topic_id != topic.topic_id) {
      place.clear();
      auto& out = topics.add(arena);
      out.topic = topic.topic;
      out.topic_id = topic.topic_id;
    }
    List<FetchRequest::FetchPartition>& out = topics.back().partitions;
    for (const auto& p : topic.partitions) {
      const auto [it, fresh] = place.emplace(p.partition, out.size());
      if (fresh)
        out.push_back(arena, p);
      else
        out[it->second] = p;
    }
  }
  q.topics = topics;
}

}  // namespace klamm::broker
