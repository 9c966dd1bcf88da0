#include "engine/log/key_offsets.h"

#include "engine/base/assert.h"

namespace klamm::log {

size_t KeyOffsets::place(const std::vector<Entry>& slots, const Hash128& hash) {
  const size_t mask = slots.size() - 1;
  size_t at = hash.low & mask;
  while (slots[at].offset >= 0 && !(slots[at].hash == hash)) at = (at + 1) & mask;
  return at;
}

// Grows where memory allows, and else is filled further.
bool KeyOffsets::has_room(Table& table) {
  const size_t slots = table.slots.size();
  if (table.used + 1 <= slots * 3 / 4) return true;
  const size_t larger = std::max(kLeastSlots, slots * 2);
  const auto more = static_cast<int64_t>((larger - slots) * sizeof(Entry));
  if (bytes_ + more > bytes_max_) return slots > 0 && table.used + 1 <= slots * full_percent_ / 100;
  std::vector<Entry> grown(larger);
  for (const Entry& e : table.slots)
    if (e.offset >= 0) grown[place(grown, e.hash)] = e;
  table.slots = std::move(grown);
  bytes_ += more;
  return true;
}

bool KeyOffsets::put(ByteSpan key, Offset offset) {
  KLAMM_ASSERT_REL(offset, >=, 0);
  if (tables_.empty()) tables_.resize(kTables);
  const Hash128 hash = sip_hash128(key_, key);
  Table& table = tables_[hash.high % kTables];
  if (!table.slots.empty()) {
    Entry& known = table.slots[place(table.slots, hash)];
    if (known.offset >= 0) {
      known.offset = std::max(known.offset, offset);
      return true;
    }
  }
  if (!has_room(table)) return false;
  table.slots[place(table.slots, hash)] = {hash, offset};
  ++table.used;
  ++size_;
  KLAMM_ASSERT_REL(table.used, <, table.slots.size());
  return true;
}

Offset KeyOffsets::find(ByteSpan key) const {
  if (tables_.empty()) return -1;
  const Hash128 hash = sip_hash128(key_, key);
  const Table& table = tables_[hash.high % kTables];
  return table.slots.empty() ? -1 : table.slots[place(table.slots, hash)].offset;
}

}  // namespace klamm::log
