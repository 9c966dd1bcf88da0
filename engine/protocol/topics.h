// Lists of topics in requests as Kafka reads most of them: maps from partitions.
#pragma once
#include <map>

#include "engine/base/arena.h"

namespace klamm::protocol {

// Topics of one key become one, at the place of the first; those of which no partition is named go. A partition may
// still be named twice.
template<class Topic, class KeyOf>
void merge_topics(Arena& arena, List<Topic>& topics, KeyOf key_of) {
  List<Topic> merged;
  std::map<decltype(key_of(*topics.begin())), size_t> places;
  for (const Topic& topic : topics) {
    if (topic.partitions.empty()) continue;
    const auto [at, fresh] = places.emplace(key_of(topic), merged.size());
    if (fresh) {
      merged.push_back(arena, topic);
      continue;
    }
    for (const auto& p : topic.partitions) merged[at->second].partitions.push_back(arena, p);
  }
  topics = merged;
}

}  // namespace klamm::protocol
