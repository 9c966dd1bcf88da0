// Where the replicas of new partitions go.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/base/chance.h"
#include "engine/base/ids.h"

namespace klamm::controller {

struct UsableBroker {
  NodeId id;
  std::optional<std::string> rack;
  bool fenced = false;
};

// Places partitions one after the other over racks, and over the brokers of a rack, round robin from drawn starts; so
// leaders and replicas spread, and replicas of a partition share a rack only when there are fewer racks than replicas.
// Fenced brokers come last and never first. After as many partitions as there are unfenced brokers the orders are
// shuffled, so that not the same brokers stand beside each other again (as Kafka's striped placement).
class Placement final {
 public:
  Placement(Chance& chance, Dice& dice, const std::vector<UsableBroker>& brokers);

  // Why a partition cannot have `factor` replicas, as Kafka words it; nothing if it can.
  std::optional<std::string> fault(int32_t factor) const;
  // The replicas of the next partition, leader first. Without a fault.
  std::vector<NodeId> next(int32_t factor);

 private:
  // Gives the brokers in turn, each once in a round; a new round starts one further.
  struct Ring {
    std::vector<NodeId> brokers;
    size_t offset = 0;
    size_t taken = 0;
    uint64_t round = 0;
    NodeId next(uint64_t now);  // kNoNode: all were taken in this round
  };
  struct Rack {
    std::optional<std::string> name;
    Ring unfenced, fenced;
  };
  template<class T>
  void shuffle(std::vector<T>& items);

  Chance& chance_;
  Dice& dice_;
  std::vector<Rack> racks_;  // by name; those of brokers without one first
  size_t unfenced_ = 0;
  size_t total_ = 0;
  size_t offset_ = 0;  // the rack of the next leader
  uint64_t round_ = 0;
};

}  // namespace klamm::controller
