#include "sim/checkers/starts.h"

#include <algorithm>

#include "sim/cluster.h"

namespace klamm::sim {

void Starts::asked(LogKey key, int64_t offset) {
  Log& log = logs_[key];
  log.asked = offset < 0 ? INT64_MAX : std::max(log.asked, offset);
  log.fell = false;
}

void Starts::trace(int64_t at, HostId host, const TraceEvent& e, Verdicts& out) {
  const LogKey key{e.b, e.a};
  switch (e.kind) {
    case TraceKind::log_start_moved: return begins(at, host, key, e.c, out);
    case TraceKind::log_truncated:
      if (!e.flags) return;
      logs_[key].replicas[host].start = 0;  // anew: where its leader's log does, or the batch that holds this
      return begins(at, host, key, e.c, out);
    case TraceKind::log_recovered: logs_[key].replicas[host].start = e.d; return;
    case TraceKind::became_leader: return leads(at, host, key, out);
    default: return;
  }
}

void Starts::begins(int64_t at, HostId host, LogKey key, int64_t start, Verdicts& out) {
  Log& log = logs_[key];
  Replica& r = log.replicas[host];
  if (start < r.start)
    out.add(at, "R14 log start",
            who(host) + " starts " + key.text() + " at " + std::to_string(start) + ", and before at " +
                std::to_string(r.start));
  if (!expires_ && start > log.asked)
    out.add(at, "R17 deleted unasked",
            who(host) + " starts " + key.text() + " at " + std::to_string(start) + ", asked for was " +
                std::to_string(log.asked),
            true);
  r.start = start;
  r.most = std::max(r.most, start);
}

void Starts::leads(int64_t at, HostId host, LogKey key, Verdicts& out) {
  Log& log = logs_[key];
  const Replica& r = log.replicas[host];
  if (r.start >= log.acknowledged) return;
  if (r.most < log.acknowledged)
    out.add(at, "R14 log start",
            who(host) + " leads " + key.text() + " from " + std::to_string(r.start) + ", deleted up to " +
                std::to_string(log.acknowledged),
            true);
  log.acknowledged = r.start;
  log.fell = true;
}

void Starts::acknowledged(int64_t at, LogKey key, const Answer& a, Verdicts& out) {
  Log& log = logs_[key];
  if (a.low < a.wanted)
    out.add(at, "R14 log start",
            "a deletion before " + std::to_string(a.wanted) + " of " + key.text() + " is answered with " +
                std::to_string(a.low));
  for (HostId h = 0; node_of(h) < 64; ++h)
    if (a.isr >> node_of(h) & 1 && log.replicas[h].most < a.low)
      out.add(at, "R14 log start",
              key.text() + " is said to start at " + std::to_string(a.low) + ", in-sync " + who(h) + " starts it at " +
                  std::to_string(log.replicas[h].start));
  if (!log.fell) log.acknowledged = std::max(log.acknowledged, a.low);
}

int64_t Starts::least(LogKey key) const {
  const auto log = logs_.find(key);
  if (log == logs_.end() || log->second.replicas.empty()) return 0;
  int64_t least = INT64_MAX;
  for (const auto& [host, r] : log->second.replicas) least = std::min(least, r.start);
  return least;
}

}  // namespace klamm::sim
