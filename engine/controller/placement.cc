#include "engine/controller/placement.h"

#include <algorithm>

#include "engine/base/assert.h"

namespace klamm::controller {

Placement::Placement(Chance& chance, Dice& dice, const std::vector<UsableBroker>& brokers)
    : chance_(chance), dice_(dice) {
  for (const UsableBroker& b : brokers) {
    auto rack = std::find_if(racks_.begin(), racks_.end(), [&](const Rack& r) { return r.name == b.rack; });
    if (rack == racks_.end()) {
      racks_.push_back({b.rack, {}, {}});
      rack = racks_.end() - 1;
    }
    (b.fenced ? rack->fenced : rack->unfenced).brokers.push_back(b.id);
    ++total_;
    if (!b.fenced) ++unfenced_;
  }
  std::sort(racks_.begin(), racks_.end(), [](const Rack& a, const Rack& b) { return a.name < b.name; });
  for (Rack& r : racks_)
    for (Ring* ring : {&r.unfenced, &r.fenced}) {
      std::sort(ring->brokers.begin(), ring->brokers.end());
      if (!ring->brokers.empty()) ring->offset = dice_.below(chance_, ring->brokers.size());
    }
  if (!racks_.empty()) offset_ = dice_.below(chance_, racks_.size());
}

NodeId Placement::Ring::next(uint64_t now) {
  if (brokers.empty()) return kNoNode;
  if (round != now) {
    round = now;
    taken = 0;
    offset = (offset + 1) % brokers.size();
  }
  if (taken == brokers.size()) return kNoNode;
  return brokers[(offset + taken++) % brokers.size()];
}

std::optional<std::string> Placement::fault(int32_t factor) const {
  if (factor <= 0)
    return "Invalid replication factor " + std::to_string(factor) + ": the replication factor must be positive.";
  if (unfenced_ == 0) return "All brokers are currently fenced, or have all their log directories cordoned.";
  if (static_cast<size_t>(factor) > total_)
    return "The target replication factor of " + std::to_string(factor) + " cannot be reached because only " +
           std::to_string(total_) +
           " broker(s) are registered or some brokers have all their log directories cordoned.";
  return std::nullopt;
}

std::vector<NodeId> Placement::next(int32_t factor) {
  KLAMM_ASSERT(!fault(factor));
  if (round_ > 0 && round_ % unfenced_ == 0 && unfenced_ > 1) {
    shuffle(racks_);
    for (Rack& r : racks_) shuffle(r.unfenced.brokers), shuffle(r.fenced.brokers);
  }
  if (offset_ >= racks_.size()) offset_ = 0;

  std::vector<NodeId> replicas;
  size_t first = offset_;
  NodeId leader = racks_[first].unfenced.next(round_);
  while (leader == kNoNode) {  // ends: some rack has an unfenced broker
    first = (first + 1) % racks_.size();
    leader = racks_[first].unfenced.next(round_);
  }
  replicas.push_back(leader);
  bool skip_first = true;  // the leader's rack has given one already in the first walk over the racks
  for (size_t rack = offset_; replicas.size() < static_cast<size_t>(factor); rack = (rack + 1) % racks_.size()) {
    if (rack == first && skip_first) {
      skip_first = false;
      continue;
    }
    NodeId n = racks_[rack].unfenced.next(round_);
    if (n == kNoNode) n = racks_[rack].fenced.next(round_);
    if (n != kNoNode) replicas.push_back(n);
  }
  ++round_;
  ++offset_;
  return replicas;
}

template<class T>
void Placement::shuffle(std::vector<T>& items) {
  for (size_t i = items.size(); i > 1; --i) {
    const size_t j = dice_.below(chance_, i);
    std::swap(items[i - 1], items[j]);
  }
}

}  // namespace klamm::controller
