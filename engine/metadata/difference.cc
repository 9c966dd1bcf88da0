#include "engine/metadata/difference.h"

namespace klamm::metadata {
namespace {

// Calls `each` for every key that only one of the maps has, or that has another value in the other one.
template<class Map, class Each>
void differing(const Map& before, const Map& after, Each&& each) {
  for (auto it = after.begin(); !it.at_end(); ++it)
    if (const auto* was = before.find(it->key); !was || !(*was == it->value)) each(it->key);
  for (auto it = before.begin(); !it.at_end(); ++it)
    if (!after.find(it->key)) each(it->key);
}

}  // namespace

Delta difference(const Image& before, const Image& after) {
  Delta d;
  differing(before.topics(), after.topics(), [&](const Uuid& id) {
    const Topic* was = before.topic(id);
    const Topic* is = after.topic(id);
    if (!is) return void(d.deleted.insert(id));
    if (!was) d.topics.insert(id);
    const Pmap<int32_t, PartitionInfo> none;
    differing(was ? was->partitions : none, is->partitions, [&](int32_t partition) {
      d.partitions.insert({id, partition});
    });
  });
  differing(before.brokers(), after.brokers(), [&](NodeId id) { d.brokers.insert(id); });
  differing(before.configs(), after.configs(), [&](const ConfigResource& r) { d.configs.insert(r); });
  differing(before.controllers(), after.controllers(), [&](NodeId) { d.controllers = true; });
  differing(before.features(), after.features(), [&](const std::string&) { d.features = true; });
  d.producer_ids = before.next_producer_id() != after.next_producer_id();
  return d;
}

void settle(Delta& delta, const Image& before, const Image& after) {
  if (delta.aborted) delta = difference(before, after);
}

const char* contradiction(const Image& before, const Image& after) {
  for (auto topic = before.topics().begin(); !topic.at_end(); ++topic) {
    const Topic* now = after.topic(topic->key);
    if (!now) continue;
    for (auto p = topic->value.partitions.begin(); !p.at_end(); ++p) {
      const PartitionInfo* is = now->partitions.find(p->key);
      if (!is) return "a partition is missing";
      if (is->leader_epoch < p->value.leader_epoch || is->partition_epoch < p->value.partition_epoch)
        return "the epoch of a partition went back";
    }
  }
  return nullptr;
}

}  // namespace klamm::metadata
