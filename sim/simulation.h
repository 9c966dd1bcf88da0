// A run: the world with a cluster in it, a workload, faults, and the checkers that watch. A value: a copy is a fork.
//
//   boot ──> topic made ──> faults and load ──> heal ──> load goes on a little ──> everything answered and read ──>
//   done
//                                                 └──────────── within the liveness bound ─────────────┘
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "engine/base/trace.h"
#include "sim/changes.h"
#include "sim/checkers/history.h"
#include "sim/checkers/leaders.h"
#include "sim/checkers/replicas.h"
#include "sim/checkers/verdicts.h"
#include "sim/cluster.h"
#include "sim/crowd.h"
#include "sim/errands.h"
#include "sim/faults/plan.h"
#include "sim/workload.h"
#include "sim/world.h"

namespace klamm::sim {

// Within: faults that the settings survive. Beyond: more than those. Synced: as many, but every record is synced before
// it is acknowledged, so that nothing may be lost all the same. Drawn: one run in eight goes beyond, one is synced.
enum class Promise : uint8_t { drawn, within, beyond, synced };

struct RunOptions {
  uint64_t seed = 1;
  TapeMode tape_mode = TapeMode::seeded;
  Flaws flaws;
  bool faults = true;
  // Instead of drawn faults: one broker stops once and dies once, and one operation of its disk fails. The seed says
  // whose and which: of broker seed % brokers the operation seed / brokers + 1.
  bool fail_disk = false;
  bool rough = true;  // the swarm draws delays, cuts, slow disks; else a calm world
  Promise promise = Promise::drawn;
  uint32_t brokers = 3;      // a swarm's run may add some that are no controllers
  uint32_t controllers = 0;  // the first so many brokers; 0: all
  int32_t partitions = 6;
  uint32_t producers = 1;
  uint32_t consumers = 2;
  int64_t records_per_second = 1'000;
  int64_t boot_limit_ns = 60'000'000'000;      // from the start until the workload runs
  int64_t faults_ns = 10'000'000'000;          // length of the safety phase
  int64_t after_heal_ns = 1'000'000'000;       // load goes on
  int64_t liveness_limit_ns = 60'000'000'000;  // from the heal until all is answered and read
  bool log_choices = false;
  std::map<std::string, std::string> config;  // of every broker
};

class Simulation final : public Observer, public Standing {
 public:
  explicit Simulation(RunOptions options);
  enum class Phase : uint8_t { boot, faults, healed, draining, done };
  static constexpr size_t kMaxViolations = 16;  // then a run ends early

  // One due item, turn, fault or step of the load. False: the run is over.
  bool step(Observer* listener = nullptr);
  void run(Observer* listener = nullptr) {
    while (step(listener)) {
    }
  }
  Phase phase() const { return phase_; }
  World& world() { return world_; }
  const World& world() const { return world_; }
  const Workload& workload() const { return load_; }
  const Plan& plan() const { return plan_; }
  const Replicas& replicas() const { return replicas_; }
  const Leaders& leaders() const { return leaders_; }
  const Verdicts& verdicts() const { return verdicts_; }
  int64_t healed_at() const { return healed_at_; }
  bool beyond_promise() const { return promise_ == Promise::beyond; }
  // With fail_disk: whether the run came as far as the operation that was to fail.
  bool disk_failed() const;

  // ---- Observer
  void trace(int64_t at, HostId host, const TraceEvent& e) override;
  void answered(int64_t at, HostId host, const Answered& a) override;
  void exited(int64_t at, HostId host, const Exit& e) override;
  void failed(int64_t at, HostId host, const std::string& text) override;
  void lifecycle(int64_t at, HostId host, HostState state, uint64_t incarnation) override;
  // ---- Standing
  bool others_complete(HostId broker) const override;
  bool caught_up(HostId broker) const override;

 private:
  bool is_broker(HostId h) const { return h < options_.brokers; }
  HostId failing() const { return static_cast<HostId>(options_.seed % options_.brokers); }
  void begin_faults();
  bool all_back() const;
  void advance_phase();
  void finish();
  bool all_read() const;
  int64_t end_of(int32_t partition) const;
  Changes::View view() { return {load_, replicas_, leaders_}; }
  int64_t changes_at() const { return phase_ == Phase::boot ? kNeverAt : changes_.next_at(); }
  int64_t crowd_at() const { return phase_ == Phase::boot ? kNeverAt : crowd_.next_at(); }
  int64_t errands_at() const { return phase_ == Phase::boot ? kNeverAt : errands_.next_at(); }
  void stuck(const char* rule, const std::string& text);

  RunOptions options_;
  World world_;
  Promise promise_;
  Plan plan_;
  Workload load_;
  Errands errands_;
  Changes changes_;
  Crowd crowd_;
  Replicas replicas_;
  Leaders leaders_;
  Verdicts verdicts_;
  Phase phase_ = Phase::boot;
  uint64_t unfenced_ = 0;  // node ids that have been unfenced once
  uint64_t standing_ = 0;  // node ids whose present life has been
  int64_t phase_ends_ = 0;
  int64_t healed_at_ = 0;
  Observer* listener_ = nullptr;  // during a step
};

}  // namespace klamm::sim
