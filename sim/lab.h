// A simulated cluster in somebody's hands: a test, a scenario, a Python session. Nothing fails here unless it is told
// to, and time passes only when asked for. A value: a copy is a fork.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/client/pack.h"
#include "sim/checkers/leaders.h"
#include "sim/checkers/replicas.h"
#include "sim/cluster.h"
#include "sim/world.h"

namespace klamm::sim {

struct LabOptions {
  uint64_t seed = 1;
  uint32_t brokers = 3;
  uint32_t clients = 1;
  Flaws flaws;
  std::map<std::string, std::string> config;  // of every broker
  uint32_t controllers = 0;                   // the first so many brokers; 0: all
};

class Lab final : public Observer {
 public:
  explicit Lab(const LabOptions& options);

  World& world() { return world_; }
  int64_t now() const { return world_.now(); }
  uint64_t digest() const { return world_.digest(); }
  void run_for(Duration d) { world_.run_until(world_.now() + d.ns, *this); }

  // ---- clients, by number from 0; verbs and bytes are those of engine/client/verbs.h
  uint64_t ask(uint32_t client, const std::string& verb, Slice bytes, uint64_t tokens = 1);
  template<class T>
  uint64_t ask(uint32_t client, const std::string& verb, const T& what, uint64_t tokens = 1) {
    return ask(client, verb, client::pack(what), tokens);
  }
  // Runs until `token` has its last answer, or the time is over: then false.
  bool run_until_answered(uint64_t token, Duration limit);
  // ... until it has any answer that was not yet taken.
  bool run_until_told(uint64_t token, Duration limit);
  // The answers since the last call.
  std::vector<Slice> take(uint64_t token);

  // ---- brokers, by node id from 1
  bool is_up(int32_t node) const { return world_.state(host_of(node)) == HostState::up; }
  void kill(int32_t node) { world_.kill(host_of(node), *this); }
  void lose_power(int32_t node) { world_.lose_power(host_of(node), *this); }
  void start(int32_t node) { world_.start(host_of(node), *this); }
  void pause(int32_t node, bool on) { world_.pause(host_of(node), on); }
  void stop(int32_t node);  // as SIGTERM would
  // The two sides do not hear each other; who is on neither hears both. Clients are hosts of no node id: 0, -1, ...
  void partition(const std::vector<int32_t>& side, const std::vector<int32_t>& other);
  void heal();
  static int32_t client_id(uint32_t client) { return -static_cast<int32_t>(client); }

  // ---- ground truth
  const Replicas& replicas() const { return replicas_; }
  const Leaders& leaders() const { return leaders_; }
  const Verdicts& verdicts() const { return verdicts_; }

  // ---- Observer
  void trace(int64_t at, HostId host, const TraceEvent& e) override;
  void answered(int64_t at, HostId host, const Answered& a) override;
  void exited(int64_t at, HostId host, const Exit& e) override;
  void failed(int64_t at, HostId host, const std::string& text) override;
  void lifecycle(int64_t at, HostId host, HostState state, uint64_t incarnation) override;

 private:
  struct Answers {
    std::vector<Slice> bytes;
    bool last = false;
  };
  HostId host(int32_t node_or_client) const;

  LabOptions options_;
  World world_;
  uint64_t next_token_ = 1;
  std::map<uint64_t, Answers> answers_;  // of tokens asked and not yet done
  std::vector<std::pair<HostId, HostId>> blocked_;
  Replicas replicas_;
  Leaders leaders_;
  Verdicts verdicts_;
};

}  // namespace klamm::sim
