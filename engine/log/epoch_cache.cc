#include "engine/log/epoch_cache.h"

#include <algorithm>

#include "engine/base/assert.h"

namespace klamm::log {

bool EpochCache::assign(EpochEntry e) {
  KLAMM_ASSERT_REL(e.epoch, >=, 0);
  KLAMM_ASSERT_REL(e.start, >=, 0);
  if (!entries_.empty() && entries_.back().epoch == e.epoch && entries_.back().start <= e.start) return false;
  while (!entries_.empty() && (entries_.back().epoch >= e.epoch || entries_.back().start >= e.start))
    entries_.pop_back();
  entries_.push_back(e);
  return true;
}

OffsetAndEpoch EpochCache::end_offset_for(LeaderEpoch epoch, Offset log_end) const {
  if (epoch == kNoEpoch || entries_.empty() || epoch > latest()) return {-1, kNoEpoch};
  if (epoch == latest()) return {log_end, epoch};
  const auto higher = std::upper_bound(entries_.begin(), entries_.end(), epoch,
                                       [](LeaderEpoch asked, const EpochEntry& e) { return asked < e.epoch; });
  if (higher == entries_.begin()) return {higher->start, epoch};
  return {higher->start, std::prev(higher)->epoch};
}

LeaderEpoch EpochCache::epoch_at(Offset offset) const {
  const auto after = std::upper_bound(entries_.begin(), entries_.end(), offset,
                                      [](Offset asked, const EpochEntry& e) { return asked < e.start; });
  return after == entries_.begin() ? kNoEpoch : std::prev(after)->epoch;
}

bool EpochCache::truncate_from_end(Offset end) {
  const size_t before = entries_.size();
  while (!entries_.empty() && entries_.back().start >= end) entries_.pop_back();
  return entries_.size() != before;
}

bool EpochCache::truncate_from_start(Offset start) {
  auto after = std::upper_bound(entries_.begin(), entries_.end(), start,
                                [](Offset asked, const EpochEntry& e) { return asked < e.start; });
  if (after == entries_.begin()) return false;
  const auto keeps = std::prev(after);
  if (keeps == entries_.begin() && keeps->start == start) return false;
  keeps->start = start;
  entries_.erase(entries_.begin(), keeps);
  return true;
}

}  // namespace klamm::log
