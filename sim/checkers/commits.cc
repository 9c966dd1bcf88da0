#include "sim/checkers/commits.h"

#include <algorithm>
#include <iterator>

namespace klamm::sim {

void Commits::reassigned(uint32_t consumer) {
  Consumer& c = consumers_[consumer];
  c = {};
  for (const auto& [partition, p] : partitions_) c.floors[partition] = p.most;
}

void Commits::cover(std::map<int64_t, int64_t>& intervals, int64_t from, int64_t to) {
  auto at = intervals.upper_bound(from);
  if (at != intervals.begin() && std::prev(at)->second >= from) --at;
  while (at != intervals.end() && at->first <= to) {
    from = std::min(from, at->first);
    to = std::max(to, at->second);
    at = intervals.erase(at);
  }
  intervals.emplace(from, to);
}

void Commits::delivered(int64_t at, const Delivery& d, Verdicts& out) {
  Consumer& c = consumers_[d.consumer];
  const auto [position, begins] = c.positions.emplace(d.partition, d.first);
  const auto floor = c.floors.find(d.partition);
  if (begins && floor != c.floors.end() && d.first < floor->second)
    out.add(at, "G8 committed offset",
            "consumer " + std::to_string(d.consumer) + " begins partition " + std::to_string(d.partition) + " at " +
                std::to_string(d.first) + ", committed was " + std::to_string(floor->second),
            true);
  const int64_t from = std::min(position->second, d.first);
  position->second = d.next;
  if (from < d.next) cover(partitions_[d.partition].delivered, from, d.next);
}

void Commits::committed(int64_t at, const Commit& c, Verdicts& out) {
  Partition& p = partitions_[c.partition];
  p.most = std::max(p.most, c.offset);
  if (c.gone >= c.offset) return;
  const auto after = p.delivered.upper_bound(c.gone);
  const int64_t end = after == p.delivered.begin() ? c.gone : std::max(c.gone, std::prev(after)->second);
  if (end < c.offset)
    out.add(at, "G9 offset gap",
            "offset " + std::to_string(c.offset) + " of partition " + std::to_string(c.partition) +
                " is committed, and nobody was given what is at " + std::to_string(end),
            true);
}

}  // namespace klamm::sim
