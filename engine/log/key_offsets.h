// For each key the offset of its newest record, in bounded memory: what compaction goes by.
//
// A value. Keys are known by 128 bits of a keyed hash: two keys that share them would count as one, which nobody who
// does not know the hash's key can arrange. Many small tables instead of a large one, so that none takes long to grow.
#pragma once
#include <algorithm>
#include <array>
#include <vector>

#include "engine/base/ids.h"
#include "engine/base/sip_hash.h"

namespace klamm::log {

struct KeyOffsetsOptions {
  SipKey key{};
  int64_t bytes_max = 128 << 20;  // log.cleaner.dedupe.buffer.size
  uint32_t full_percent = 90;     // log.cleaner.io.buffer.load.factor: so full may the tables be that cannot grow
};

class KeyOffsets final {
 public:
  KeyOffsets() = default;
  explicit KeyOffsets(const KeyOffsetsOptions& options)
      : key_(options.key), bytes_max_(options.bytes_max), full_percent_(std::clamp(options.full_percent, 1u, 95u)) {}
  // A record of the key. False, and nothing changes, if there is no room for a new key.
  bool put(ByteSpan key, Offset offset);
  Offset find(ByteSpan key) const;  // -1: never put
  // All records below have been put.
  void cover_to(Offset end) { end_ = std::max(end_, end); }
  Offset end() const { return end_; }
  size_t size() const { return size_; }
  int64_t bytes() const { return bytes_; }
  template<class V>
  void fields(V& v) const {
    v("key", key_), v("bytes_max", bytes_max_), v("full_percent", full_percent_), v("tables", tables_);
    v("end", end_), v("size", size_), v("bytes", bytes_);
  }

 private:
  static constexpr size_t kTables = 256;
  static constexpr size_t kLeastSlots = 8;
  struct Entry {
    Hash128 hash;
    Offset offset = -1;  // -1: free
    template<class V>
    void fields(V& v) const {
      v("hash", hash), v("offset", offset);
    }
  };
  struct Table {
    std::vector<Entry> slots;  // a power of two, never all in use
    size_t used = 0;
    template<class V>
    void fields(V& v) const {
      v("slots", slots), v("used", used);
    }
  };
  // Where the hash is, or the free slot where it would be.
  static size_t place(const std::vector<Entry>& slots, const Hash128& hash);
  bool has_room(Table& table);

  SipKey key_{};
  int64_t bytes_max_ = 0;
  uint32_t full_percent_ = 90;
  std::vector<Table> tables_;  // none, or kTables
  Offset end_ = 0;
  size_t size_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace klamm::log
