// Where partitions lie: which directory of a name is a partition's, and whose checkpoint files tell of it.
#include <algorithm>

#include "engine/broker/rules.h"
#include "engine/broker/turn.h"
#include "engine/log/checkpoints.h"

namespace klamm::broker {
namespace {

std::vector<Uuid> topics_of(const std::vector<PartitionCopy>& copies) {
  std::vector<Uuid> topics;
  for (const PartitionCopy& c : copies) topics.push_back(c.topic);
  return topics;
}

}  // namespace

void Turn::found_home(const PartitionName& partition, DirId dir) {
  Startup& s = p.startup;
  const auto [home, first] = s.homes.emplace(partition, dir);
  if (first) return;
  std::vector<PartitionCopy>& copies = s.copies[partition];
  if (copies.empty()) copies.push_back({home->second, {}, {}});
  copies.push_back({dir, {}, {}});
}

// What a directory's files say counts for the partitions that lie in it. Of one that lies nowhere they are remembered
// to tell of it.
void Turn::take_lines() {
  Startup& s = p.startup;
  for (auto& [partition, copies] : s.copies) {
    std::sort(copies.begin(), copies.end(), [](const auto& a, const auto& b) { return a.dir < b.dir; });
    for (PartitionCopy& c : copies) c.lines.take(s.found[c.dir.value], partition);
  }
  for (uint32_t i = 0; i < s.found.size(); ++i) {
    s.found[i].erase_if([&](const PartitionName& partition) {
      const auto home = s.homes.find(partition);
      return home != s.homes.end() && (home->second != DirId{i} || s.copies.count(partition));
    });
    s.lines.take_all(s.found[i]);
  }
  s.found = {};
}

std::string Turn::copy_path(const PartitionName& partition, DirId dir) const {
  return p.boot.directories[dir.value] + "/" + log::partition_dir(partition.first, partition.second);
}

// One name after the other: whose the directories of that name are.
void Turn::compare_copies() {
  Startup& s = p.startup;
  s.phase = Phase::comparing;
  if (s.comparing) {
    const std::vector<PartitionCopy>& copies = s.copies.at(*s.comparing);
    if (const auto alike = alike_copies(topics_of(copies)))
      return fatal(2, "Duplicate log directories for " + log::partition_dir(s.comparing->first, s.comparing->second) +
                          " found in both " + copy_path(*s.comparing, copies[alike->first].dir) + " and " +
                          copy_path(*s.comparing, copies[alike->second].dir) +
                          ": remove the one whose records are older, or whose directory has failed");
  }
  const auto next = s.comparing ? s.copies.upper_bound(*s.comparing) : s.copies.begin();
  if (next != s.copies.end()) {
    s.comparing = next->first;
    s.waiting = static_cast<uint32_t>(next->second.size());
    for (const PartitionCopy& c : next->second) load_owner(next->first, c.dir);
    return;
  }
  s.comparing.reset();
  if (s.cluster_id.empty())
    find_cluster_id();
  else
    give_identities();
}

// The image says whose the name is now. The other directories of that name.
std::vector<DirId> Turn::choose_copy(const PartitionName& partition, const Uuid& topic) {
  Startup& s = p.startup;
  auto found = s.copies.extract(partition);
  if (found.empty()) return {};
  std::vector<PartitionCopy>& copies = found.mapped();
  const size_t own = own_copy(topics_of(copies), topic);
  s.homes[partition] = copies[own].dir;
  s.lines.take_all(copies[own].lines);
  std::vector<DirId> others;
  for (size_t i = 0; i < copies.size(); ++i)
    if (i != own) others.push_back(copies[i].dir);
  return others;
}

}  // namespace klamm::broker
