// What a script can do to a cluster, whichever world it lives in. Tokens, nodes and bytes; the words are Python's.
#pragma once
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/units.h"

namespace klamm::bindings {

// The world has ended for the script: an assertion in the engine, a process that ended by itself.
class ClusterFailure final : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct LogBatch {
  int64_t base_offset = 0;
  int64_t last_offset = 0;
  int32_t leader_epoch = 0;
  std::vector<std::pair<std::string, std::string>> records;  // key, value; null is empty
};
// The batches of a partition's segment files, in order; an unfinished one at the end is left out.
std::vector<LogBatch> read_segments(const std::vector<Slice>& segments);

// Nodes are numbered from 1. Owned by one Python object; used by one thread at a time.
class AnyCluster {
 public:
  virtual ~AnyCluster() = default;

  // Asks the host of clients (engine/client/verbs.h). Takes `tokens` numbers for the answers and returns the first.
  virtual uint64_t ask(const std::string& verb, const Slice& bytes, uint64_t tokens) = 0;
  virtual std::vector<std::string> take(uint64_t token) = 0;  // the answers to it that have come
  virtual bool wait(uint64_t token, Duration at_most) = 0;    // until there is one; false: there is none
  virtual void run_for(Duration time) = 0;
  virtual Duration now() const = 0;  // since it began

  virtual int nodes() const = 0;
  virtual bool alive(int node) const = 0;
  virtual void kill(int node) = 0;     // as kill -9 does
  virtual void restart(int node) = 0;  // a dead one, on its data
  // Cuts the nodes of one side from those of the other, both ways; clients reach all of them.
  virtual void partition(const std::vector<int>& side, const std::vector<int>& other) = 0;
  virtual void heal() = 0;
  // The segment files of a replica as they are now, in order.
  virtual std::vector<Slice> segments(int node, const std::string& topic, int32_t partition) = 0;
};

}  // namespace klamm::bindings
