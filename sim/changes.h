// What an operator does to the topic that the load uses, one thing at a time, while faults strike: records are deleted.
// At the end one more deletion must be carried out.
#pragma once
#include <cstdint>
#include <string>

#include "sim/checkers/leaders.h"
#include "sim/checkers/replicas.h"
#include "sim/workload.h"
#include "sim/world.h"

namespace klamm::sim {

// Value. Owned by the simulation.
class Changes final {
 public:
  struct Options {
    HostId host = 0;  // a client host that no fault strikes
    bool records = false;
    int64_t every_ns = 300'000'000;
  };
  struct View {  // ground truth, to choose by and to judge the answers
    Workload& load;
    const Replicas& replicas;
    const Leaders& leaders;
  };

  Changes() = default;
  explicit Changes(Options options) : options_(options) {}

  static bool owns(uint64_t token) { return token >> 60 == kMark; }
  bool any() const { return options_.records; }
  int64_t next_at() const { return any() ? next_at_ : kNeverAt; }
  void act(World& world, const View& view);
  void answered(int64_t at, const Answered& a, const View& view, Verdicts& out);
  void settle() { settling_ = true; }  // the last one, then nothing
  bool settled() const { return !any() || settled_; }
  std::string waits_for() const;  // why it is not settled

 private:
  static constexpr uint64_t kMark = 10;
  template<class T>
  void ask(World& world, const char* verb, const T& what);
  void delete_records(World& world, const View& view, Draws& draw);
  void records_deleted(int64_t at, const Answered& a, const View& view, Verdicts& out);

  Options options_;
  bool asked_ = false;  // and not yet answered
  int32_t partition_ = 0;
  int64_t offset_ = 0;
  bool settling_ = false;
  bool settled_ = false;
  int64_t next_at_ = 0;
  uint64_t draws_ = 0;
};

}  // namespace klamm::sim
