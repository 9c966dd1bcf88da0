// Who leads, by epoch: K1 one raft leader an epoch, K2 epochs grow, K3 one vote an epoch, K8 and R12 high watermarks
// grow, R3 a leader is in its ISR, and one leader a partition's leader epoch.
#pragma once
#include <cstdint>
#include <map>

#include "engine/base/trace.h"
#include "engine/raft/raft.h"
#include "sim/checkers/verdicts.h"

namespace klamm::sim {

inline constexpr int64_t kRaftLeader = static_cast<int64_t>(raft::Role::leader);

// Value. What a process remembers in memory only is checked within its life: `restarted` begins a new one.
class Leaders final {
 public:
  void trace(int64_t at, HostId host, const TraceEvent& e, Verdicts& out);
  void restarted(HostId host);
  // The ISR of a partition as the controller's newest change has it, committed or not; 0 if unknown.
  uint64_t isr(LogKey log) const;
  bool in_every_isr(int32_t node) const;
  int32_t raft_leader() const { return raft_leader_; }  // host of the newest epoch, -1: none yet
  int32_t leader(LogKey log) const;                     // node id, -1: none

 private:
  struct Partition {
    int32_t leader = -1;
    int32_t leader_epoch = -1;
    uint64_t isr = 0;
    bool isr_known = false;  // else: as the topic was created, all replicas
  };
  struct Mark {
    int64_t epoch = -1;
    int64_t offset = -1;
  };
  void raft_role(int64_t at, HostId host, const TraceEvent& e, Verdicts& out);
  void vote(int64_t at, HostId host, const TraceEvent& e, Verdicts& out);
  void changed(int64_t at, HostId host, const TraceEvent& e, Verdicts& out);
  void fenced(int32_t node);
  void became_leader(int64_t at, HostId host, const TraceEvent& e, Verdicts& out);
  void high_watermark(int64_t at, HostId host, const TraceEvent& e, Verdicts& out);

  std::map<int32_t, HostId> raft_leaders_;  // by epoch
  int32_t raft_leader_ = -1;
  std::map<HostId, int32_t> raft_epochs_;
  std::map<std::pair<HostId, int32_t>, int64_t> votes_;  // (voter, epoch) -> candidate
  std::map<LogKey, Partition> partitions_;
  std::map<std::pair<LogKey, int32_t>, HostId> leaders_by_epoch_;  // (log, leader epoch) -> who led
  std::map<std::pair<LogKey, HostId>, Mark> high_watermarks_;
};

}  // namespace klamm::sim
