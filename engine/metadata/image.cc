#include "engine/metadata/image.h"

#include <algorithm>

namespace klamm::metadata {

bool contains(const std::vector<NodeId>& nodes, NodeId node) {
  return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
}

const BrokerEndpoint* Broker::endpoint(std::string_view listener) const {
  for (const BrokerEndpoint& e : endpoints)
    if (e.name == listener) return &e;
  return nullptr;
}

int16_t Image::feature(std::string_view name) const {
  const int16_t* level = features_.find(name);
  return level ? *level : 0;
}

bool Image::active(NodeId id) const {
  const Broker* b = broker(id);
  return b && b->active();
}

const Topic* Image::topic(std::string_view name) const {
  const Uuid* id = topics_by_name_.find(name);
  if (!id) return nullptr;
  const Topic* t = topics_.find(*id);
  KLAMM_ASSERT(t != nullptr);
  return t;
}

const PartitionInfo* Image::partition(const TopicIdPartition& p) const {
  const Topic* t = topic(p.topic);
  return t ? t->partitions.find(p.partition) : nullptr;
}

std::vector<TopicIdPartition> Image::memberships(NodeId node) const {
  std::vector<TopicIdPartition> out;
  for (auto it = memberships_.lower_bound(Membership{node, {Uuid{}, std::numeric_limits<int32_t>::min()}});
       !it.at_end() && it->key.node == node; ++it)
    out.push_back(it->key.partition);
  return out;
}

bool Image::has_membership(NodeId node) const {
  const auto it = memberships_.lower_bound(Membership{node, {Uuid{}, std::numeric_limits<int32_t>::min()}});
  return !it.at_end() && it->key.node == node;
}

const std::string* Image::config(const ConfigResource& resource, std::string_view name) const {
  const ConfigMap* configs = configs_.find(resource);
  return configs ? configs->find(name) : nullptr;
}

uint32_t Image::unused_kinds() const {
  uint32_t kinds = 0;
  for (uint32_t k = 0; k < static_cast<uint32_t>(UnusedKind::count); ++k) {
    const auto first = unused_.lower_bound(UnusedKey{static_cast<UnusedKind>(k), {}});
    if (!first.at_end() && first->key.kind == static_cast<UnusedKind>(k)) kinds |= 1u << k;
  }
  return kinds;
}

bool operator==(const Image& a, const Image& b) {
  return a.end_ == b.end_ && a.complete_ == b.complete_ && a.features_ == b.features_ && a.brokers_ == b.brokers_ &&
         a.controllers_ == b.controllers_ && a.topics_ == b.topics_ && a.configs_ == b.configs_ &&
         a.next_producer_id_ == b.next_producer_id_ && a.quorum_ == b.quorum_ && a.unused_ == b.unused_ &&
         a.before_ == b.before_ && a.memberships_ == b.memberships_ && a.colliding_ == b.colliding_ &&
         a.topics_by_name_ == b.topics_by_name_;
}

}  // namespace klamm::metadata
