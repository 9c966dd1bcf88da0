// A cluster in virtual time. A value: a copy is a fork that goes on by itself.
#pragma once
#include <memory>

#include "bindings/any_cluster.h"
#include "sim/lab.h"

namespace klamm::bindings {

struct SimOptions {
  uint64_t seed = 1;
  int brokers = 3;
  std::map<std::string, std::string> config;  // of every broker
  std::vector<std::string> flaws;             // the museum's ids or names
};

// Calls that let time pass throw ClusterFailure once for everything new that the checkers object to.
class SimCluster final : public AnyCluster {
 public:
  explicit SimCluster(const SimOptions& options);
  std::unique_ptr<SimCluster> fork() const { return std::make_unique<SimCluster>(*this); }
  uint64_t digest() const { return lab_.digest(); }
  uint64_t events() { return lab_.world().events(); }
  void lose_power(int node);
  std::string state_text(int node);             // every member of its state, a line each
  std::vector<std::string> violations() const;  // all that the checkers have objected to

  uint64_t ask(const std::string& verb, const Slice& bytes, uint64_t tokens) override;
  std::vector<std::string> take(uint64_t token) override;
  bool wait(uint64_t token, Duration at_most) override;
  void run_for(Duration time) override;
  Duration now() const override { return {lab_.now()}; }
  int nodes() const override { return brokers_; }
  bool alive(int node) const override { return lab_.is_up(checked(node)); }
  void kill(int node) override;
  void restart(int node) override;
  void partition(const std::vector<int>& side, const std::vector<int>& other) override;
  void heal() override { lab_.heal(); }
  std::vector<Slice> segments(int node, const std::string& topic, int32_t partition) override;

 private:
  int32_t checked(int node) const;
  int32_t running(int node) const;
  void check();

  int brokers_;
  sim::Lab lab_;
  size_t told_ = 0;  // of the violations
};

}  // namespace klamm::bindings
