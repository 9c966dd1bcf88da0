// What clients do in a run: idempotent producers of unique records, a group that consumes them, and at the end one
// reader who has seen everything. Drives client hosts by their verbs and writes the history.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/base/ids.h"
#include "engine/base/trace.h"
#include "sim/checkers/commits.h"
#include "sim/checkers/history.h"
#include "sim/checkers/replicas.h"
#include "sim/checkers/starts.h"
#include "sim/world.h"

namespace klamm::sim {

struct WorkloadOptions {
  HostId producer_host = 0;
  HostId consumer_host = 0;
  HostId reader_host = 0;
  int32_t partitions = 6;
  uint32_t producers = 1;
  uint32_t consumers = 2;
  int64_t records_per_second = 1'000;
  int64_t batch_ns = 20'000'000;
  size_t record_bytes = 100;
  uint32_t keys = 0;          // 0: the records have none
  int32_t least_in_sync = 1;  // no less is ever asked for as min.insync.replicas
  int8_t compression = 0;     // as in a batch's attributes
  std::map<std::string, std::string> topic_config;
};

// Value. Owned by the simulation. Clients are told only what applications could tell them.
class Workload final {
 public:
  static constexpr uint64_t kMaxPending = 2'000;  // unanswered records; beyond it the producers wait
  static constexpr const char* kTopic = "orders";
  static constexpr const char* kGroup = "readers";

  Workload() = default;
  explicit Workload(WorkloadOptions options);

  // A client host has a new life: its clients are made anew, the fate of what they had under way is unknown.
  void restarted(HostId host);
  void cluster_is_whole() { whole_ = true; }  // all brokers can be given replicas
  int64_t next_at() const { return next_at_; }
  void act(World& world);
  void stop_producing() { producing_ = false; }
  // The topic has so many partitions now; what nobody produces to any more is not looked at.
  void grow(int32_t partitions) {
    if (producing_) partitions_ = std::max(partitions_, partitions);
  }
  int32_t partitions() const { return partitions_; }
  void read_all(World& world);  // the reader begins
  void answered(int64_t at, const Answered& a, const Replicas& replicas, Verdicts& out);

  History& history() { return history_; }
  const History& history() const { return history_; }
  Starts& starts() { return starts_; }
  // A consumer of the group that comes and goes.
  struct Member {
    uint32_t consumer = 0;  // its number, of the history and on its host
    std::string instance;   // empty: none
  };
  void join(World& world, HostId host, const Member& member);
  void leave(World& world, HostId host, uint32_t consumer);
  // A client's trace tells that the group has committed.
  void committed(int64_t at, const TraceEvent& e, const Replicas& replicas, Verdicts& out);
  const Uuid& topic() const { return topic_; }
  LogKey log(int32_t partition) const;
  bool running() const { return open_producers_ == options_.producers; }
  const WorkloadOptions& options() const { return options_; }
  // Largest position that anyone of the group has reached, by partition.
  int64_t group_position(int32_t partition) const;
  int64_t reader_position(int32_t partition) const {
    return std::max(history_.position(0, partition), history_.deleted_end(partition));
  }
  void trace(int64_t at, HostId host, const TraceEvent& e, Verdicts& out);  // of a broker
  int64_t acked_last_at() const { return acked_last_at_; }
  // A record's token is its name; the records of one Produce are numbered on.
  static uint64_t record_token(const Written& w);

 private:
  enum class Verb : uint64_t { create = 1, open, produce, consume, subscribe, assign };
  static uint64_t token(Verb v, uint64_t who) { return static_cast<uint64_t>(v) << 60 | who; }
  static Written record_of(uint64_t token);
  std::optional<Slice> key_of(const Written& w) const;

  template<class T>
  void ask(World& world, HostId host, uint64_t token, const char* verb, const T& what);
  void create_topic(World& world);
  void open_producer(World& world, uint32_t producer);
  void open_consumers(World& world);
  void produce(World& world);
  void produced(int64_t at, uint64_t token, const Slice& bytes, const Replicas& replicas, Verdicts& out);
  void consumed(int64_t at, uint64_t token, const Slice& bytes, Verdicts& out);
  void reassigned(uint32_t consumer);

  WorkloadOptions options_;
  History history_;
  Starts starts_;
  Commits commits_;
  std::map<int32_t, int64_t> reader_floor_;  // no log had anything before it when the reader began
  Uuid topic_;
  int32_t partitions_ = 0;
  int64_t next_at_ = 0;
  int64_t acked_last_at_ = 0;
  bool whole_ = false;
  bool creating_ = false;
  bool created_ = false;
  bool producing_ = true;
  bool consumers_open_ = false;
  bool consumers_again_ = false;
  uint32_t open_producers_ = 0;
  uint32_t producer_life_ = 0;
  std::vector<uint32_t> reopen_;  // producers whose opening failed
  std::map<std::pair<uint32_t, int32_t>, int64_t> next_number_;
  std::map<int32_t, int64_t> group_positions_;
  int64_t owed_ = 0;  // records of the rate not yet produced, times the number of partitions
  uint32_t turn_ = 0;
};

}  // namespace klamm::sim
