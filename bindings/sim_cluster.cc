#include "bindings/sim_cluster.h"

#include <utility>

#include "engine/base/flaws.h"

namespace klamm::bindings {

namespace {

Flaws read_flaws(const std::vector<std::string>& names) {
  Flaws flaws;
  for (const std::string& name : names) {
    bool found = false;
    for (const FlawEntry& e : flaw_entries())
      if (name == e.id || name == e.name) flaws.*e.field = found = true;
    if (!found) throw std::invalid_argument("there is no flaw " + name);
  }
  return flaws;
}

sim::LabOptions lab_options(const SimOptions& o) {
  if (o.brokers < 1 || o.brokers > 32) throw std::invalid_argument("brokers must be between 1 and 32");
  return {o.seed, static_cast<uint32_t>(o.brokers), 1, read_flaws(o.flaws), o.config};
}

}  // namespace

SimCluster::SimCluster(const SimOptions& options) : brokers_(options.brokers), lab_(lab_options(options)) {}

int32_t SimCluster::checked(int node) const {
  if (node < 1 || node > brokers_) throw std::invalid_argument("there is no node " + std::to_string(node));
  return node;
}

int32_t SimCluster::running(int node) const {
  if (!alive(node)) throw std::invalid_argument("node " + std::to_string(node) + " is down already");
  return node;
}

void SimCluster::check() {
  const std::vector<std::string> all = violations();
  if (told_ == all.size()) return;
  const size_t first = std::exchange(told_, all.size());
  throw ClusterFailure(all[first]);
}

std::vector<std::string> SimCluster::violations() const {
  std::vector<std::string> out;
  for (const sim::Violation& v : lab_.verdicts().list()) out.push_back(std::string(v.rule) + ": " + v.text);
  return out;
}

uint64_t SimCluster::ask(const std::string& verb, const Slice& bytes, uint64_t tokens) {
  return lab_.ask(0, verb, bytes, tokens);
}

std::vector<std::string> SimCluster::take(uint64_t token) {
  std::vector<std::string> out;
  for (const Slice& s : lab_.take(token)) out.emplace_back(s.text());
  return out;
}

bool SimCluster::wait(uint64_t token, Duration at_most) {
  const bool told = lab_.run_until_told(token, at_most);
  check();
  return told;
}

void SimCluster::run_for(Duration time) {
  lab_.run_for(time);
  check();
}

void SimCluster::kill(int node) { lab_.kill(running(node)); }
void SimCluster::lose_power(int node) { lab_.lose_power(running(node)); }

void SimCluster::restart(int node) {
  if (alive(node)) throw std::invalid_argument("node " + std::to_string(node) + " is running");
  lab_.start(node);
}

void SimCluster::partition(const std::vector<int>& side, const std::vector<int>& other) {
  for (const int n : side) checked(n);
  for (const int n : other) checked(n);
  lab_.partition({side.begin(), side.end()}, {other.begin(), other.end()});
}

std::vector<Slice> SimCluster::segments(int node, const std::string& topic, int32_t partition) {
  const sim::Disk& disk = lab_.world().storage(sim::host_of(checked(node))).disk();
  const std::string dir = topic + "-" + std::to_string(partition);
  std::vector<DirEntry> entries;
  std::vector<Slice> out;
  if (disk.list(DirId{0}, dir, &entries) != IoError::none) return out;
  for (const DirEntry& e : entries) {  // by name: by base offset
    sim::Inode inode = 0;
    if (!e.name.ends_with(".log") || disk.find_file(DirId{0}, dir + "/" + e.name, &inode) != IoError::none) continue;
    out.push_back(disk.content(inode).read(0, disk.content(inode).size()));
  }
  return out;
}

std::string SimCluster::state_text(int node) {
  const Machine* machine = lab_.world().machine(sim::host_of(checked(node)));
  return machine ? klamm::state_text(*machine) : std::string();
}

}  // namespace klamm::bindings
