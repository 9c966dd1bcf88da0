// What an operator does beside the load, while faults strike: small topics are made, written, removed, and made again
// under the same names. At the end every partition of those that are there must serve.
//
//   absent ──create──> making ──it is there──> present ──write──> present ──remove──> removing ──it is gone──> absent
//
// What ends without a certain answer is asked again. Nobody can say for certain which of them are there: a request that
// was thought lost may still be carried out.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "sim/checkers/verdicts.h"
#include "sim/world.h"

namespace klamm::sim {

// Value. Owned by the simulation.
class Errands final {
 public:
  struct Options {
    HostId host = 0;      // a client host that no fault strikes
    uint32_t topics = 0;  // 0: there are no errands
    int64_t every_ns = 250'000'000;
  };
  static constexpr const char* kPrefix = "side-";

  Errands() = default;
  explicit Errands(Options options) : options_(options), topics_(options.topics) {}

  static bool owns(uint64_t token) { return token >> 60 == kMark; }
  int64_t next_at() const { return topics_.empty() ? kNeverAt : next_at_; }
  void act(World& world);
  void answered(int64_t at, const Answered& a, Verdicts& out);
  // Nothing new is begun; what is there is looked at, once all is certain.
  void settle() { settling_ = true; }
  bool settled() const { return topics_.empty() || (settling_ && looked_ && unserved_.empty()); }
  std::string waits_for() const;  // for whom it is not settled

 private:
  static constexpr uint64_t kMark = 9;
  enum class Stage : uint8_t { absent, making, present, removing };
  enum class Verb : uint8_t { create, remove, open, produce, describe, offset };
  struct Topic {
    Stage stage = Stage::absent;
    bool asked = false;
  };
  struct Place {
    std::string topic;
    int32_t partition = 0;
  };
  static std::string name(uint64_t index) { return kPrefix + std::to_string(index); }
  template<class T>
  void ask(World& world, Verb verb, uint64_t which, const T& what);
  void go_on(World& world, uint64_t which);
  void write(World& world, uint64_t which);
  void look(World& world);
  bool certain() const;

  Options options_;
  std::vector<Topic> topics_;
  std::vector<Place> unserved_;  // partitions that have not yet said where they end; without a topic: it has
  uint64_t asked_ = 0;           // of them, and not yet answered
  bool opened_ = false;
  bool settling_ = false;
  bool describing_ = false;
  bool looked_ = false;
  int64_t next_at_ = 0;
  uint64_t draws_ = 0;
};

}  // namespace klamm::sim
