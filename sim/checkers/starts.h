// Where the logs of a topic begin, by their replicas' own traces. Checks R14 and R17 for DeleteRecords (KIP-107):
// nobody deletes what nobody asked to delete; what is acknowledged is gone from every in-sync replica, and no leader
// begins its log before it again.
//
// A log's start is written down now and then only, as Kafka's: who dies may come back with an older one, and if it then
// leads, the log's start goes back for all. Who has never begun so late must not lead.
#pragma once
#include <cstdint>
#include <map>

#include "engine/base/trace.h"
#include "sim/checkers/verdicts.h"

namespace klamm::sim {

// Value. Fed with the trace events of one topic's logs, in their order.
class Starts final {
 public:
  // The topic has records that expire: its logs start later by themselves.
  void expires() { expires_ = true; }
  // Somebody asks for a deletion before `offset`; -1: before the high watermark.
  void asked(LogKey log, int64_t offset);
  struct Answer {
    int64_t wanted = -1;  // as asked
    int64_t low = 0;      // the low watermark told
    uint64_t isr = 0;     // node ids, a bit each
  };
  void acknowledged(int64_t at, LogKey log, const Answer& a, Verdicts& out);
  void trace(int64_t at, HostId host, const TraceEvent& e, Verdicts& out);
  // Where the replica with the most begins now.
  int64_t least(LogKey log) const;

 private:
  struct Replica {
    int64_t start = 0;
    int64_t most = 0;  // in any of its lives
  };
  struct Log {
    std::map<HostId, Replica> replicas;
    int64_t asked = 0;
    int64_t acknowledged = 0;
    bool fell = false;  // went back since the last question
  };
  void begins(int64_t at, HostId host, LogKey key, int64_t start, Verdicts& out);
  void leads(int64_t at, HostId host, LogKey key, Verdicts& out);

  std::map<LogKey, Log> logs_;
  bool expires_ = false;
};

}  // namespace klamm::sim
