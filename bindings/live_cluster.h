// A cluster on real sockets and files, a thread a node, in this process; and a host of clients beside it.
#pragma once
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "bindings/any_cluster.h"
#include "server/cluster_plan.h"
#include "server/node_host.h"
#include "server/posix.h"

namespace klamm::bindings {

struct LiveOptions {
  int brokers = 3;
  std::string dir;                  // of the data; empty: a temporary one
  std::vector<std::string> config;  // "key=value" for every broker
};

class LiveCluster final : public AnyCluster {
 public:
  explicit LiveCluster(const LiveOptions& options);  // returns once all nodes serve
  ~LiveCluster() override;
  void close();  // ends all nodes; idempotent
  std::string brokers() const { return plan_.brokers(); }

  uint64_t ask(const std::string& verb, const Slice& bytes, uint64_t tokens) override;
  std::vector<std::string> take(uint64_t token) override;
  bool wait(uint64_t token, Duration at_most) override;
  void run_for(Duration time) override;
  Duration now() const override;
  int nodes() const override { return static_cast<int>(nodes_.size()); }
  bool alive(int node) const override;
  void kill(int node) override;
  void restart(int node) override;
  void partition(const std::vector<int>& side, const std::vector<int>& other) override;
  void heal() override;
  std::vector<Slice> segments(int node, const std::string& topic, int32_t partition) override;

 private:
  static constexpr Duration kReady = seconds(30);
  void cut(int a, int b, bool on);
  void block(int from, int to, bool on);
  size_t index(int node) const;
  void start(size_t i);
  void await_ready(size_t i);
  void start_clients();
  void answered(uint64_t token, std::string bytes);
  void ended(size_t i, const server::DriverEnd& end);
  // A node or the clients' host that died of a failed assertion is told once, by the next call that looks.
  void check();

  server::ClusterPlan plan_;
  std::vector<server::Descriptor> log_files_;             // of the nodes; they outlive them
  std::vector<std::unique_ptr<server::NodeHost>> nodes_;  // null: dead
  std::set<std::pair<int, int>> cuts_;                    // (smaller, larger)
  Instant began_;
  uint64_t next_token_ = 1;
  mutable std::mutex mutex_;  // guards the answers and how nodes ended
  std::condition_variable changed_;
  std::map<uint64_t, std::vector<std::string>> answers_;
  std::set<size_t> died_;  // of an assertion: still in nodes_, but gone
  std::string failure_;    // not told yet
  server::LogLines log_;
  std::unique_ptr<server::Driver> clients_;
  std::thread thread_;  // of clients_
};

}  // namespace klamm::bindings
