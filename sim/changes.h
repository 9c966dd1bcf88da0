// What an operator does to the topic that the load uses, one thing at a time, while faults strike: records are deleted,
// configs set, partitions added. At the end the configs must be put back, and one more deletion carried out.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/checkers/leaders.h"
#include "sim/checkers/replicas.h"
#include "sim/settings.h"
#include "sim/workload.h"
#include "sim/world.h"

namespace klamm::sim {

// Value. Owned by the simulation.
class Changes final {
 public:
  struct Options {
    HostId host = 0;  // a client host that no fault strikes
    bool records = false;
    bool configs = false;
    int32_t most_partitions = 0;  // how many there may come to be
    int64_t every_ns = 300'000'000;
  };
  struct View {  // ground truth, to choose by and to judge the answers
    Workload& load;
    const Replicas& replicas;
    const Leaders& leaders;
  };

  Changes() = default;
  Changes(Options options, Settings settings);

  static bool owns(uint64_t token) { return token >> 60 == kMark; }
  bool any() const { return !kinds_.empty(); }
  int64_t next_at() const { return any() ? next_at_ : kNeverAt; }
  void act(World& world, const View& view);
  void answered(int64_t at, const Answered& a, const View& view, Verdicts& out);
  void settle();  // the last ones, then nothing
  bool settled() const { return !any() || (settling_ && kinds_.empty()); }
  std::string waits_for() const;  // why it is not settled

 private:
  static constexpr uint64_t kMark = 10;
  enum class Kind : uint8_t { configs, records, partitions };
  template<class T>
  void ask(World& world, const char* verb, const T& what);
  void alter_configs(World& world, const View& view, Draws& draw);
  void altered(int64_t at, const Answered& a, Verdicts& out);
  void create_partitions(World& world, const View& view, Draws& draw);
  void partitions_created(int64_t at, const Answered& a, const View& view, Verdicts& out);
  void delete_records(World& world, const View& view, Draws& draw);
  void records_deleted(int64_t at, const Answered& a, const View& view, Verdicts& out);

  Options options_;
  Settings settings_;
  std::vector<Kind> kinds_;    // of changes; while settling, those not yet done for the last time
  std::optional<Kind> asked_;  // and not yet answered
  std::string altering_;       // whose configs
  bool restoring_ = false;     // and whether to what they were
  int32_t growing_to_ = 0;     // partitions
  int32_t partition_ = 0;
  int64_t offset_ = 0;
  bool settling_ = false;
  int64_t next_at_ = 0;
  uint64_t draws_ = 0;
};

}  // namespace klamm::sim
