// Lists of topics in requests and answers as Kafka treats most of them: as maps from partitions.
#pragma once
#include <map>

#include "engine/base/arena.h"

namespace klamm::protocol {

// Topics of one key become one, at the place of the first. A partition may still be named twice.
template<class Topic, class KeyOf>
void join_topics(Arena& arena, List<Topic>& topics, KeyOf key_of) {
  List<Topic> joined;
  std::map<decltype(key_of(*topics.begin())), size_t> places;
  for (const Topic& topic : topics) {
    const auto [at, fresh] = places.emplace(key_of(topic), joined.size());
    if (fresh) {
      joined.push_back(arena, topic);
      continue;
    }
    for (const auto& p : topic.partitions) joined[at->second].partitions.push_back(arena, p);
  }
  topics = joined;
}

// The same, and those of which no partition is named go.
template<class Topic, class KeyOf>
void merge_topics(Arena& arena, List<Topic>& topics, KeyOf key_of) {
  List<Topic> named;
  for (const Topic& topic : topics)
    if (!topic.partitions.empty()) named.push_back(arena, topic);
  topics = named;
  join_topics(arena, topics, key_of);
}

// What a request was answered in two stages: `refused` at once, topic by topic, `rest` by whoever was asked. One topic
// is told of once, unless nothing was refused: then as often as it was asked for.
template<class Topic, class KeyOf>
List<Topic> told_together(Arena& arena, const List<Topic>& refused, const List<Topic>& rest, KeyOf key_of) {
  if (refused.empty()) return rest;
  List<Topic> all;
  for (const Topic& topic : refused) all.push_back(arena, topic);
  for (const Topic& topic : rest) all.push_back(arena, topic);
  join_topics(arena, all, key_of);
  return all;
}

}  // namespace klamm::protocol
