// Which leader epoch wrote which offsets (KIP-101, KIP-279): one entry an epoch that has written, with its first
// offset.
#pragma once
#include <vector>

#include "engine/base/ids.h"

namespace klamm::log {

struct EpochEntry {
  LeaderEpoch epoch = 0;
  Offset start = 0;
  friend bool operator==(const EpochEntry&, const EpochEntry&) = default;
  template<class V>
  void fields(V& v) const {
    v("epoch", epoch), v("start", start);
  }
};

// A value. Invariant: epochs and starts both rise strictly.
class EpochCache final {
 public:
  // Epoch `e.epoch` begins at `e.start`. Entries that contradict it (an epoch or a start not below) go. Says whether
  // anything changed.
  bool assign(EpochEntry e);
  // The largest epoch <= `epoch` and where it ends; {-1, kNoEpoch} if `epoch` is above all or undefined. An epoch below
  // all ends where the first one starts.
  OffsetAndEpoch end_offset_for(LeaderEpoch epoch, Offset log_end) const;
  LeaderEpoch latest() const { return entries_.empty() ? kNoEpoch : entries_.back().epoch; }
  LeaderEpoch epoch_at(Offset offset) const;  // of the record at `offset`; kNoEpoch if before the first entry
  bool truncate_from_end(Offset end);         // forget entries that start at `end` or after
  bool truncate_from_start(Offset start);  // forget what lies wholly before; the entry that holds `start` starts there
  void clear() { entries_.clear(); }
  const std::vector<EpochEntry>& entries() const { return entries_; }
  friend bool operator==(const EpochCache&, const EpochCache&) = default;
  template<class V>
  void fields(V& v) const {
    v("entries", entries_);
  }

 private:
  std::vector<EpochEntry> entries_;
};

}  // namespace klamm::log
