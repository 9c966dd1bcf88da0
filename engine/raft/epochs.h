// Which epoch wrote which offsets of a log: the starts of its epochs, ascending in both.
#pragma once
#include <algorithm>
#include <vector>

#include "engine/base/assert.h"
#include "engine/base/ids.h"

namespace klamm::raft {

class Epochs final {
 public:
  Epochs() = default;
  explicit Epochs(std::vector<OffsetAndEpoch> starts) {
    for (const OffsetAndEpoch& s : starts) assign(s);
  }
  // Records from `start.offset` on are of `start.epoch`. A later epoch may begin where the one before it did: then the
  // earlier one has no records.
  void assign(OffsetAndEpoch start) {
    if (!starts_.empty()) {
      KLAMM_ASSERT_REL(starts_.back().epoch, <=, start.epoch);
      KLAMM_ASSERT_REL(starts_.back().offset, <=, start.offset);
      if (starts_.back().epoch == start.epoch) return;
      if (starts_.back().offset == start.offset) starts_.pop_back();
    }
    starts_.push_back(start);
  }
  // The epoch of the last record; 0 for a log without records, as on the wire.
  LeaderEpoch latest() const { return starts_.empty() ? 0 : starts_.back().epoch; }
  // The largest epoch not above `epoch` and the offset after its last record. An epoch before all of ours ends where
  // our first begins (KIP-101).
  OffsetAndEpoch end_of(LeaderEpoch epoch, Offset log_end) const {
    const auto after = std::upper_bound(starts_.begin(), starts_.end(), epoch,
                                        [](LeaderEpoch e, const OffsetAndEpoch& s) { return e < s.epoch; });
    const Offset end = after == starts_.end() ? log_end : after->offset;
    return {end, after == starts_.begin() ? epoch : std::prev(after)->epoch};
  }
  // The log now ends at `end`.
  void truncate(Offset end) {
    while (!starts_.empty() && starts_.back().offset >= end) starts_.pop_back();
  }
  // The log now starts at `start`. The epoch of the record before it stays known.
  void cut_front(Offset start) {
    const auto keep = std::find_if(starts_.begin(), starts_.end(), [&](const auto& s) { return s.offset >= start; });
    if (keep - starts_.begin() > 1) starts_.erase(starts_.begin(), keep - 1);
  }
  const std::vector<OffsetAndEpoch>& starts() const { return starts_; }
  template<class V>
  void fields(V& v) const {
    v("starts", starts_);
  }

 private:
  std::vector<OffsetAndEpoch> starts_;
};

}  // namespace klamm::raft
