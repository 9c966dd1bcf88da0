// What one group commits of one topic, and where its members begin. Checks G8: who is given a partition begins no
// earlier than what was committed before; G9: everything before a committed offset was delivered to some member.
#pragma once
#include <cstdint>
#include <map>

#include "sim/checkers/verdicts.h"

namespace klamm::sim {

// Value. A commit counts from its acknowledgement on.
class Commits final {
 public:
  // A consumer was given partitions, or has lost them: it begins anew where the group has committed.
  void reassigned(uint32_t consumer);
  struct Delivery {
    uint32_t consumer = 0;
    int32_t partition = 0;
    int64_t first = 0;  // offset
    int64_t next = 0;   // the position after it
  };
  void delivered(int64_t at, const Delivery& d, Verdicts& out);
  struct Commit {
    int32_t partition = 0;
    int64_t offset = 0;
    int64_t gone = 0;  // of what is before it records may be missing, by deletion or compaction
  };
  void committed(int64_t at, const Commit& c, Verdicts& out);

 private:
  struct Partition {
    int64_t most = 0;                      // acknowledged
    std::map<int64_t, int64_t> delivered;  // from -> to, apart from each other
  };
  struct Consumer {
    std::map<int32_t, int64_t> floors;     // partition -> committed when it was given
    std::map<int32_t, int64_t> positions;  // partition -> what comes next
  };
  static void cover(std::map<int64_t, int64_t>& intervals, int64_t from, int64_t to);

  std::map<int32_t, Partition> partitions_;
  std::map<uint32_t, Consumer> consumers_;
};

}  // namespace klamm::sim
