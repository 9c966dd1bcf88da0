// What the logs of a node keep in memory to spare reads from disk, together within one budget. It is counted log by
// log, where it grows. Beyond the budget logs give back in turns, all that they keep, but only a half if they were used
// since their last turn: then they wait for the next. So each turn of a log gives something, and what is idle gives
// most.
#include "engine/replication/replicas.h"

namespace klamm::replication {

namespace {
constexpr size_t kInVain = 200;  // logs a turn that are asked and have nothing to give but what is not written yet
}  // namespace

void Replicas::count(Partition& p) {
  Partition::Counted& c = p.counted();
  const int64_t bytes = p.log().cached_bytes();
  if (bytes == 0) return uncount(p);
  caches_.bytes += bytes - c.bytes;
  c.bytes = bytes;
  if (c.place == 0) caches_.queue.emplace(c.place = ++caches_.last, p.id());
}

void Replicas::uncount(Partition& p) {
  Partition::Counted& c = p.counted();
  caches_.bytes -= c.bytes;
  if (c.place != 0) caches_.queue.erase(c.place);
  c = {};
}

void Replicas::trim_caches() {
  for (size_t in_vain = 0; caches_.bytes > config_.cache_bytes && in_vain < kInVain && !caches_.queue.empty();) {
    Partition& p = *write(caches_.queue.begin()->second);
    const int64_t before = p.counted().bytes;
    p.log().give_back();
    uncount(p);
    count(p);
    if (p.counted().bytes == before) ++in_vain;
  }
}

void Replicas::note_read(const TopicIdPartition& id) {
  if (Partition* p = write(id)) p->log().note_use();
}

void Replicas::forget(Cow<Partition>& partition) {
  if (!partition->log().forgets()) return;
  Partition& p = partition.write();
  p.log().forget_unused();
  count(p);
}

}  // namespace klamm::replication
