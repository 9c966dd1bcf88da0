// What clients saw. Values are unique, so every record that a poll returns tells who wrote it, where and as what.
// Checks J2 and J3 lost, J4 duplicate, J5 inconsistent offsets, J7 skipping and returning polls, J8 order of one
// producer, J14 misrouted records, and records that definitely failed but are there.
// Of a compacted log each key's last record must be there, and nobody may go past a record but for a newer one of its
// key. (Replicas compact on their own: one may still have what another has no more.)
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sim/checkers/verdicts.h"

namespace klamm::sim {

struct Written {
  uint32_t producer = 0;
  int32_t partition = 0;
  int64_t number = 0;  // of this producer in this partition, from 0
  friend bool operator==(const Written&, const Written&) = default;
  std::string value(size_t size) const;  // what is produced: unique, padded
  static std::optional<Written> parse(std::string_view value);
  uint64_t key(uint32_t keys) const { return (static_cast<uint64_t>(number) * 7 + producer) % keys; }
  std::string text() const;
};

// Value. One topic's history.
class History final {
 public:
  enum class Fate : uint8_t { pending, acked, failed, unknown };

  void sent(const Written& w);
  void ended(int64_t at, const Written& w, Fate fate, int64_t offset, Verdicts& out);
  // The producers' host died: nobody will say what became of what was under way.
  void forgotten();
  // Records before `end` were deleted on purpose: who has not read them may go on there.
  void deleted(int32_t partition, int64_t end);
  // A replica's log begins at `start` with nothing of what was before, nor of the producers that wrote it: as a leader
  // it takes for new what was written before (Kafka's idempotence reaches as far back as the log does).
  void began_anew(int32_t partition, int64_t start);
  // The records have so many keys, and those before `end` that have a newer one of their key before `end` may be gone.
  void compacted(int32_t partition, int64_t end, uint32_t keys);
  // A consumer was given other partitions: its positions start anew.
  void reassigned(uint32_t consumer);
  void polled(int64_t at, uint32_t consumer, int32_t partition, int64_t offset, std::string_view value, Verdicts& out);
  void polled_to(int64_t at, uint32_t consumer, int32_t partition, int64_t next, int64_t high_watermark, Verdicts& out);
  // The reader has read everything: whatever was acknowledged is among it, in its producer's order.
  void finish(int64_t at, uint32_t reader, Verdicts& out) const;

  int64_t position(uint32_t consumer, int32_t partition) const;
  int64_t deleted_end(int32_t partition) const;
  int64_t last_acked(int32_t partition) const;  // largest acknowledged offset, -1: none
  uint64_t acked() const { return acked_; }
  uint64_t pending() const { return pending_; }
  uint64_t lost() const { return lost_; }  // found by finish
  uint64_t polls() const { return polls_; }

 private:
  struct Record {
    Fate fate = Fate::pending;
    int64_t offset = -1;
    bool read = false;  // by the final reader
  };
  struct Slot {
    bool known = false;
    Written what;
  };
  // Of one partition's compaction.
  struct Compacted {
    int64_t end = 0;
    uint32_t keys = 1;
    std::set<int64_t> skipped;  // by some consumer
  };
  using NewestRead = std::map<std::pair<int32_t, uint64_t>, int64_t>;  // (partition, key) -> offset, by the reader
  Record* find(const Written& w);
  const Record* find(const Written& w) const;
  NewestRead newest_read() const;
  bool displaced(const Written& w, int64_t offset, const NewestRead& newest) const;
  void check_skipped(int64_t at, const NewestRead& newest, Verdicts& out) const;
  void place(int64_t at, const Written& w, int64_t offset, const char* how, Verdicts& out);

  std::map<std::pair<uint32_t, int32_t>, std::vector<Record>> records_;  // (producer, partition)
  std::map<int32_t, std::vector<Slot>> slots_;                           // partition -> by offset
  std::map<std::pair<uint32_t, int32_t>, int64_t> positions_;            // (consumer, partition)
  std::map<int32_t, int64_t> last_acked_;
  std::map<int32_t, int64_t> deleted_;  // partition -> end of what is gone
  std::map<int32_t, int64_t> anew_;     // partition -> where a replica began anew last
  std::map<int32_t, Compacted> compacted_;
  uint64_t acked_ = 0;
  uint64_t pending_ = 0;
  uint64_t polls_ = 0;
  mutable uint64_t lost_ = 0;
};

}  // namespace klamm::sim
