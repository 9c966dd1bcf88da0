// One partition of a replicated service: the service's soft state, the versions of its hard state, and what waits for
// the log. The runtime's own; see runtime.h.
#pragma once
#include <deque>
#include <vector>

#include "engine/coordinator/operation.h"

namespace klamm::coordinator {

enum class Status : uint8_t {
  loading,  // the log is being replayed, or the high watermark has not come to the end of what was replayed
  active,
  failed,  // the log could not be read: until the next election
};

// What waits for a batch to be committed. In order of deadline.
template<class Core>
struct Held {
  Instant deadline;
  typename Core::Origin to;
  std::vector<Slice> body;
  template<class V>
  void fields(V& v) const {
    v("deadline", deadline), v("to", to), v("body", body);
  }
};
template<class Core>
struct HeldEffect {
  Instant deadline;
  typename Core::Effect effect;
  template<class V>
  void fields(V& v) const {
    v("deadline", deadline), v("effect", effect);
  }
};

// Records that go to the log as one, and whoever waits for them.
//
//   open --(full, or its turn)--> closed --(emitted)--> sent --(appended)--> appended --(high watermark)--> gone
//
// In a shard's queue the phases descend from front to back: appended*, at most one sent, closed*, at most one open.
enum class Phase : uint8_t { open, closed, sent, appended };
template<class Core>
struct Batch {
  Phase phase = Phase::open;
  std::vector<NewRecord> records;  // until sent
  size_t bytes = 0;                // of the encoded records, at most
  int32_t count = 0;
  LeaderEpoch epoch = 0;     // once sent: under which leadership
  Offset end = 0;            // once appended: the offset after its last record
  typename Core::Hard root;  // once closed: the hard state with its records
  std::deque<Held<Core>> replies;
  std::deque<HeldEffect<Core>> effects;
  template<class V>
  void fields(V& v) const {
    v("phase", phase), v("records", records), v("bytes", bytes), v("count", count), v("epoch", epoch), v("end", end),
        v("root", root), v("replies", replies), v("effects", effects);
  }
};

template<class Core>
struct Shard {
  Status status = Status::loading;
  LeaderEpoch epoch = 0;
  bool replayed = false;  // to the end of the log as it was at the election
  Offset next = 0;        // where the next record will lie, if nobody else appends; while loading: the next to replay
  Offset high_watermark = 0;
  Core core;                      // soft state
  typename Core::Hard committed;  // at the high watermark
  typename Core::Hard latest;     // with all records of `pending`
  std::deque<Batch<Core>> pending;
  Instant wake = kNever;  // as entered in the runtime's calendar

  Instant next_deadline() const {
    if (status != Status::active) return kNever;
    Instant at = core.next_deadline();
    for (const Batch<Core>& b : pending) {  // deadlines ascend along the queue: the first ones found are the least
      if (!b.replies.empty()) at = earlier(at, b.replies.front().deadline);
      if (!b.effects.empty()) at = earlier(at, b.effects.front().deadline);
      if (!b.replies.empty() || !b.effects.empty()) break;
    }
    return at;
  }
  template<class V>
  void fields(V& v) const {
    v("status", status), v("epoch", epoch), v("replayed", replayed), v("next", next),
        v("high_watermark", high_watermark), v("core", core), v("committed", committed), v("latest", latest),
        v("pending", pending);
  }
};

}  // namespace klamm::coordinator
