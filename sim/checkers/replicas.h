// Ground truth of every log: what each replica has written, by its own trace, and what has been committed.
// Checks R4 log matching, R6 leader completeness, R16 truncation legality, R17 that only committed records are deleted
// or compacted; for the metadata log K4, K5 and K11.
//
// Compaction: below the furthest offset that a replica's has come to, and only there, batches may be missing or hold
// fewer records. What the records must still say is the history's to check.
#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "engine/base/trace.h"
#include "sim/checkers/verdicts.h"

namespace klamm::sim {

// A batch as a trace tells it. Its checksum does not cover base offset and epoch, so a copy has the same.
struct BatchMark {
  int64_t base = 0;
  int64_t end = 0;
  int32_t epoch = 0;
  uint32_t crc = 0;
  friend bool operator==(const BatchMark&, const BatchMark&) = default;
};

// Value. Fed with trace events in their order.
class Replicas final {
 public:
  void trace(int64_t at, HostId host, const TraceEvent& e, Verdicts& out);
  // A new leader of the log must hold what was committed before its epoch.
  void elected(int64_t at, HostId host, LogKey log, int32_t epoch, Verdicts& out);
  int64_t committed_end(LogKey log) const;
  int64_t log_end(LogKey log, HostId host) const;
  // Up to which records were deleted on purpose, on any replica.
  int64_t deleted_end(LogKey log) const;
  // Up to which compaction may have taken records, on any replica.
  int64_t compacted_end(LogKey log) const;
  // How many replicas have held a record there, in any of their lives.
  int32_t copies(LogKey log, int64_t offset) const;
  // Whether the replica's log holds everything committed.
  bool complete(LogKey log, HostId host) const;
  bool all_complete(HostId host) const;

 private:
  struct Replica {
    std::vector<BatchMark> batches;
    int64_t start = 0;
    int64_t end = 0;
    int64_t most = 0;                            // the largest end of any of its lives
    size_t compared = 0;                         // batches known to equal the committed ones
    std::vector<std::vector<BatchMark>> former;  // what it held before each truncation of this life
  };
  struct Log {
    std::map<HostId, Replica> replicas;
    std::vector<BatchMark> committed;  // what any replica held below its high watermark
    bool removed = false;              // with its topic; some may still have to hear of it
    int64_t deleted_end = 0;
    int64_t compacted_end = 0;  // below it batches may be missing, or not be what they were
    bool same(const BatchMark& a, const BatchMark& b) const {
      return a.base == b.base && a.end == b.end && a.epoch == b.epoch && (a.crc == b.crc || a.end <= compacted_end);
    }
  };
  void appended(HostId host, const TraceEvent& e, LogKey key, int64_t at, Verdicts& out);
  void recovered(HostId host, const TraceEvent& e);
  void cut(Log& log, Replica& r, int64_t to);
  void start_moved(int64_t at, HostId host, LogKey key, int64_t to, Verdicts& out);
  void compacting(int64_t at, HostId host, const TraceEvent& e, Verdicts& out);
  void truncated(int64_t at, HostId host, const TraceEvent& e, Verdicts& out);
  void committed(int64_t at, HostId host, LogKey key, int64_t high_watermark, Verdicts& out);
  static const BatchMark* find(const std::vector<BatchMark>& batches, int64_t base);

  std::map<LogKey, Log> logs_;
};

}  // namespace klamm::sim
