#include "sim/checkers/history.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "engine/base/assert.h"

namespace klamm::sim {
namespace {
constexpr int64_t kMostOffset = 1 << 26;  // of a simulated run; what a client claims beyond is nonsense

template<class T>
bool number(std::string_view* text, T* out) {
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *out);
  if (error != std::errc() || end == text->data() + text->size() || *end != '.') return false;
  *text = text->substr(static_cast<size_t>(end - text->data()) + 1);
  return true;
}
}  // namespace

std::string Written::text() const {
  return "record " + std::to_string(number) + " of producer " + std::to_string(producer) + " for partition " +
         std::to_string(partition);
}

std::string Written::value(size_t size) const {
  std::string v = "v" + std::to_string(producer) + "." + std::to_string(partition) + "." + std::to_string(number) + ".";
  if (v.size() < size) v.append(size - v.size(), 'x');
  return v;
}

std::optional<Written> Written::parse(std::string_view value) {
  Written w;
  if (value.empty() || value[0] != 'v') return std::nullopt;
  value = value.substr(1);
  if (!klamm::sim::number(&value, &w.producer) || !klamm::sim::number(&value, &w.partition) ||
      !klamm::sim::number(&value, &w.number))
    return std::nullopt;
  return w;
}

History::Record* History::find(const Written& w) { return const_cast<Record*>(std::as_const(*this).find(w)); }

const History::Record* History::find(const Written& w) const {
  const auto it = records_.find({w.producer, w.partition});
  if (it == records_.end() || w.number < 0 || w.number >= static_cast<int64_t>(it->second.size())) return nullptr;
  return &it->second[static_cast<size_t>(w.number)];
}

void History::sent(const Written& w) {
  auto& list = records_[{w.producer, w.partition}];
  KLAMM_ASSERT_REL(static_cast<int64_t>(list.size()), ==, w.number);
  list.emplace_back();
  ++pending_;
}

// One record at one offset, and one offset for one record.
void History::place(int64_t at, const Written& w, int64_t offset, const char* how, Verdicts& out) {
  if (offset < 0 || offset >= kMostOffset) return;
  auto& slots = slots_[w.partition];
  if (offset >= static_cast<int64_t>(slots.size())) slots.resize(static_cast<size_t>(offset) + 1);
  Slot& slot = slots[static_cast<size_t>(offset)];
  if (slot.known && !(slot.what == w))
    out.add(at, "J5 inconsistent offsets",
            w.text() + " is " + how + " at offset " + std::to_string(offset) + " where " + slot.what.text() + " was",
            true);
  slot = {true, w};
  Record* r = find(w);
  const auto anew = anew_.find(w.partition);
  const bool forgotten = anew != anew_.end() && r->offset < anew->second;
  if (r->offset >= 0 && r->offset != offset && !forgotten)
    out.add(at, "J4 duplicate",
            w.text() + " is " + how + " at offset " + std::to_string(offset) + " and at " + std::to_string(r->offset),
            true);
  r->offset = offset;
}

void History::ended(int64_t at, const Written& w, Fate fate, int64_t offset, Verdicts& out) {
  Record* r = find(w);
  KLAMM_ASSERT(r != nullptr && fate != Fate::pending);
  if (r->fate != Fate::pending) return out.add(at, "one answer a record", w.text() + " was answered twice");
  r->fate = fate;
  --pending_;
  if (fate != Fate::acked) return;
  ++acked_;
  const auto last = last_acked_.emplace(w.partition, -1).first;
  last->second = std::max(last->second, offset);
  place(at, w, offset, "acknowledged", out);
}

void History::forgotten() {
  for (auto& [who, records] : records_)
    for (Record& r : records)
      if (r.fate == Fate::pending) r.fate = Fate::unknown;
  pending_ = 0;
}

void History::deleted(int32_t partition, int64_t end) {
  int64_t& known = deleted_[partition];
  known = std::max(known, end);
}

void History::began_anew(int32_t partition, int64_t start) {
  int64_t& known = anew_[partition];
  known = std::max(known, start);
}

void History::compacted(int32_t partition, int64_t end, uint32_t keys) {
  Compacted& c = compacted_[partition];
  c.end = std::max(c.end, end);
  c.keys = keys;
}

void History::reassigned(uint32_t consumer) {
  std::erase_if(positions_, [&](const auto& p) { return p.first.first == consumer; });
}

void History::polled(int64_t at, uint32_t consumer, int32_t partition, int64_t offset, std::string_view value,
                     Verdicts& out) {
  ++polls_;
  const std::optional<Written> w = Written::parse(value);
  Record* r = w ? find(*w) : nullptr;
  if (!r)
    return out.add(
        at, "J14 foreign record",
        "partition " + std::to_string(partition) + " offset " + std::to_string(offset) + " holds what nobody wrote");
  if (w->partition != partition)
    return out.add(at, "J14 misrouted record", w->text() + " came from partition " + std::to_string(partition));
  if (r->fate == Fate::failed) out.add(at, "J1 failed but there", w->text() + " failed and was read");
  const auto [position, fresh] = positions_.emplace(std::pair{consumer, partition}, offset);
  const bool passes_deleted = offset > position->second && offset <= deleted_end(partition);
  const auto compacted = compacted_.find(partition);
  const bool passes_compacted =
      offset > position->second && compacted != compacted_.end() && offset <= compacted->second.end;
  for (int64_t o = std::max(position->second, deleted_end(partition)); passes_compacted && o < offset; ++o)
    compacted->second.skipped.insert(o);
  if (!fresh && offset != position->second && !passes_deleted && !passes_compacted)
    out.add(at, offset > position->second ? "J7 poll skip" : "J7 nonmonotonic poll",
            "consumer " + std::to_string(consumer) + " reads offset " + std::to_string(offset) + " of partition " +
                std::to_string(partition) + " and was at " + std::to_string(position->second),
            true);
  position->second = offset + 1;
  place(at, *w, offset, "read", out);
  if (consumer == 0) r->read = true;
}

void History::polled_to(int64_t at, uint32_t consumer, int32_t partition, int64_t next, int64_t high_watermark,
                        Verdicts& out) {
  const int64_t position = History::position(consumer, partition);
  if (next < position)
    out.add(at, "J7 nonmonotonic poll",
            "consumer " + std::to_string(consumer) + " is put back to " + std::to_string(next) + " in partition " +
                std::to_string(partition));
  if (high_watermark >= 0 && high_watermark < position)
    out.add(at, "C3 high watermark",
            "consumer " + std::to_string(consumer) + " has read up to " + std::to_string(position) + " of partition " +
                std::to_string(partition) + " with a high watermark of " + std::to_string(high_watermark),
            true);
}

int64_t History::position(uint32_t consumer, int32_t partition) const {
  const auto p = positions_.find({consumer, partition});
  return p == positions_.end() ? 0 : p->second;
}

int64_t History::deleted_end(int32_t partition) const {
  const auto d = deleted_.find(partition);
  return d == deleted_.end() ? 0 : d->second;
}

int64_t History::last_acked(int32_t partition) const {
  const auto p = last_acked_.find(partition);
  return p == last_acked_.end() ? -1 : p->second;
}

History::NewestRead History::newest_read() const {
  NewestRead newest;
  for (const auto& [partition, c] : compacted_)
    for (const auto& [who, records] : records_)
      for (size_t i = 0; who.second == partition && i < records.size(); ++i) {
        const Record& r = records[i];
        if (!r.read || r.offset >= c.end) continue;
        int64_t& known = newest[{partition, Written{who.first, partition, static_cast<int64_t>(i)}.key(c.keys)}];
        known = std::max(known, r.offset);
      }
  return newest;
}

// Compaction may have taken it, and has left a newer one of its key.
bool History::displaced(const Written& w, int64_t offset, const NewestRead& newest) const {
  const auto c = compacted_.find(w.partition);
  if (c == compacted_.end() || offset >= c->second.end) return false;
  const auto n = newest.find({w.partition, w.key(c->second.keys)});
  return n != newest.end() && n->second > offset;
}

void History::check_skipped(int64_t at, const NewestRead& newest, Verdicts& out) const {
  for (const auto& [partition, c] : compacted_)
    for (const int64_t offset : c.skipped) {
      const auto slots = slots_.find(partition);
      if (slots == slots_.end() || offset >= static_cast<int64_t>(slots->second.size())) continue;
      const Slot& slot = slots->second[static_cast<size_t>(offset)];
      if (!slot.known || offset < deleted_end(partition)) continue;
      const Record* r = find(slot.what);
      if (r->offset != offset || displaced(slot.what, offset, newest)) continue;
      out.add(at, "J7 poll skip",
              "a consumer went past " + slot.what.text() + " at offset " + std::to_string(offset) +
                  ", which no newer one of its key displaces",
              true);
    }
}

void History::finish(int64_t at, uint32_t reader, Verdicts& out) const {
  KLAMM_ASSERT_REL(reader, ==, 0);
  lost_ = 0;
  const NewestRead newest = newest_read();
  check_skipped(at, newest, out);
  for (const auto& [who, records] : records_) {
    int64_t last_offset = -1;
    for (size_t i = 0; i < records.size(); ++i) {
      const Record& r = records[i];
      const Written w{who.first, who.second, static_cast<int64_t>(i)};
      const bool deleted = r.offset >= 0 && (r.offset < deleted_end(who.second) || displaced(w, r.offset, newest));
      if (r.fate == Fate::acked && !r.read && !deleted && lost_++ == 0)
        out.add(at, "J2 lost write",
                w.text() + ", acknowledged at offset " + std::to_string(r.offset) + ", is in no log any more", true);
      if (!r.read) continue;
      if (r.offset <= last_offset)
        out.add(at, "J8 order",
                w.text() + " is at offset " + std::to_string(r.offset) + ", one before it at " +
                    std::to_string(last_offset),
                true);
      last_offset = r.offset;
    }
  }
}

}  // namespace klamm::sim
