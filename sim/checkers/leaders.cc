#include "sim/checkers/leaders.h"

namespace klamm::sim {

void Leaders::trace(int64_t at, HostId host, const TraceEvent& e, Verdicts& out) {
  switch (e.kind) {
    case TraceKind::raft_role: return raft_role(at, host, e, out);
    case TraceKind::raft_vote_granted: return vote(at, host, e, out);
    case TraceKind::partition_changed: return changed(at, host, e, out);
    case TraceKind::broker_fenced: return fenced(e.a);
    case TraceKind::became_leader: return became_leader(at, host, e, out);
    case TraceKind::high_watermark: return high_watermark(at, host, e, out);
    case TraceKind::log_removed: partitions_.erase(LogKey{e.b, e.a}); return;
    default: return;
  }
}

void Leaders::restarted(HostId host) {
  raft_epochs_.erase(host);
  std::erase_if(votes_, [&](const auto& v) { return v.first.first == host; });
  std::erase_if(high_watermarks_, [&](const auto& m) { return m.first.second == host; });
}

void Leaders::raft_role(int64_t at, HostId host, const TraceEvent& e, Verdicts& out) {
  int32_t& epoch = raft_epochs_[host];
  if (e.a < epoch)
    out.add(at, "K2 monotonic epoch",
            who(host) + " goes from epoch " + std::to_string(epoch) + " to " + std::to_string(e.a));
  epoch = e.a;
  if (e.b != kRaftLeader) return;
  const auto [leader, fresh] = raft_leaders_.emplace(e.a, host);
  if (!fresh && leader->second != host)
    out.add(at, "K1 election safety",
            who(host) + " and " + who(leader->second) + " both lead the quorum in epoch " + std::to_string(e.a));
  if (e.a >= raft_leaders_.rbegin()->first) raft_leader_ = static_cast<int32_t>(host);
}

void Leaders::vote(int64_t at, HostId host, const TraceEvent& e, Verdicts& out) {
  const bool pre_vote = e.c != 0;
  if (pre_vote) return;
  const auto [vote, fresh] = votes_.emplace(std::pair{host, e.a}, e.b);
  if (!fresh && vote->second != e.b)
    out.add(at, "K3 one vote",
            who(host) + " votes for " + std::to_string(e.b) + " in epoch " + std::to_string(e.a) + " after " +
                std::to_string(vote->second));
}

void Leaders::changed(int64_t at, HostId, const TraceEvent& e, Verdicts& out) {
  const LogKey log{e.b, e.a};
  const int32_t leader = static_cast<int32_t>(e.c >> 32);
  const int32_t epoch = static_cast<int32_t>(e.c);
  const uint64_t isr = static_cast<uint64_t>(e.d);
  if (leader >= 0 && !(isr >> leader & 1))
    out.add(at, "R3 leader in ISR", log.text() + ": " + std::to_string(leader) + " leads outside its ISR");
  Partition& p = partitions_[log];
  if (epoch >= p.leader_epoch) p = {leader, epoch, isr, true};
}

void Leaders::became_leader(int64_t at, HostId host, const TraceEvent& e, Verdicts& out) {
  const LogKey log{e.b, e.a};
  const auto [known, fresh] = leaders_by_epoch_.emplace(std::pair{log, static_cast<int32_t>(e.c)}, host);
  if (!fresh && known->second != host)
    out.add(at, "R5 one leader an epoch",
            who(host) + " and " + who(known->second) + " both lead " + log.text() + " in epoch " + std::to_string(e.c));
  Partition& p = partitions_[log];
  if (e.c >= p.leader_epoch) p.leader = static_cast<int32_t>(host) + 1, p.leader_epoch = static_cast<int32_t>(e.c);
}

void Leaders::high_watermark(int64_t at, HostId host, const TraceEvent& e, Verdicts& out) {
  const LogKey log{e.b, e.a};
  Mark& mark = high_watermarks_[{log, host}];
  if (mark.epoch == e.d && e.c < mark.offset)
    out.add(at, log.topic == 0 ? "K8 monotonic high watermark" : "R12 monotonic high watermark",
            who(host) + ": " + log.text() + " goes back from " + std::to_string(mark.offset) + " to " +
                std::to_string(e.c) + " in epoch " + std::to_string(e.d));
  mark = {e.d, e.c};
}

uint64_t Leaders::isr(LogKey log) const {
  const auto p = partitions_.find(log);
  return p == partitions_.end() ? 0 : p->second.isr;
}

int32_t Leaders::leader(LogKey log) const {
  const auto p = partitions_.find(log);
  return p == partitions_.end() ? -1 : p->second.leader;
}

// What the log of a controller that died had put it in may never have been committed.
void Leaders::fenced(int32_t node) {
  for (auto& [log, p] : partitions_)
    if (p.isr != uint64_t{1} << node) p.isr &= ~(uint64_t{1} << node);
}

bool Leaders::in_every_isr(int32_t node) const {
  for (const auto& [log, p] : partitions_)
    if (p.isr_known && !(p.isr >> node & 1)) return false;
  return true;
}

}  // namespace klamm::sim
