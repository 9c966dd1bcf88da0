// What a connection has still to send, in order: slices, gathered into as few writes as the kernel allows, and regions
// of files, which somebody else sends.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/base/bytes.h"
#include "server/posix.h"

namespace klamm::server {

class SendQueue final {
 public:
  // A part of a file, which the lease keeps.
  struct Region {
    Lease file;
    int64_t offset = 0;
    size_t size = 0;
  };
  void push(Slice bytes, bool tell) { tells_ += tell, pieces_.push_back({std::move(bytes), {}, tell}); }
  void push(Region region, bool tell) { tells_ += tell, pieces_.push_back({Slice(), std::move(region), tell}); }
  bool empty() const { return pieces_.empty(); }
  // What is to be sent next, if it is a region, and what is left of it.
  const Region* region() const { return !empty() && pieces_[first_].region.file ? &pieces_[first_].region : nullptr; }
  bool has_region(const Descriptor* file, int64_t beyond) const;  // one that has bytes behind `beyond`
  bool tells() const { return tells_ > 0; }                       // a piece that waits asked for it
  uint64_t total() const { return total_; }                       // bytes that the kernel has taken, ever

  struct Outcome {
    int error = 0;       // errno; full buffers are none
    bool full = false;   // the kernel takes no more now
    bool tell = false;   // a piece that asked for it has left
    bool moved = false;  // bytes have left
  };
  // Sends slices, until a region comes or all has left or the kernel takes no more.
  Outcome send_some(int socket);
  // That many bytes of the region have left, and the lease if those were the last. True: it wanted to be told.
  bool region_sent(size_t bytes, Lease* ended);
  std::vector<Lease> take_leases();  // the connection has ended

 private:
  struct Waiting {
    Slice bytes;
    Region region;
    bool tell;
  };
  bool consume(size_t bytes);  // true: one of them wanted to be told
  void drop_front();

  std::vector<Waiting> pieces_;  // from first_ on
  size_t first_ = 0;
  size_t offset_ = 0;  // bytes of the first that have left
  uint64_t total_ = 0;
  size_t tells_ = 0;  // pieces that wait and asked to be told of
};

}  // namespace klamm::server
