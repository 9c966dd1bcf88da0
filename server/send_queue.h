// What a connection has still to send: slices in order, gathered into as few writes as the kernel allows.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/base/bytes.h"

namespace klamm::server {

class SendQueue final {
 public:
  void push(Slice bytes, bool tell);
  bool empty() const { return slices_.empty(); }
  uint64_t total() const { return total_; }  // bytes that the kernel has taken, ever

  struct Outcome {
    int error = 0;      // errno; full buffers are none
    bool tell = false;  // a slice that asked for it has left
  };
  // Sends until all has left or the kernel takes no more.
  Outcome send_some(int socket);

 private:
  struct Waiting {
    Slice bytes;
    bool tell;
  };
  bool consume(size_t bytes);  // true: one of them wanted to be told

  std::vector<Waiting> slices_;  // from first_ on
  size_t first_ = 0;
  size_t offset_ = 0;  // bytes of the first that have left
  uint64_t total_ = 0;
};

}  // namespace klamm::server
