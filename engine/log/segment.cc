#include "engine/log/segment.h"

#include <algorithm>
#include <cstdio>

#include "engine/base/reader.h"

namespace klamm::log {
namespace {

void put_u32(uint8_t* p, uint32_t v) {
  for (int i = 0; i < 4; ++i) p[i] = static_cast<uint8_t>(v >> (24 - 8 * i));
}

}  // namespace

void SegmentIndex::add(const BatchHeader& batch, int64_t position, int32_t interval_bytes) {
  // What compaction has emptied has nothing to find.
  if (batch.record_count > 0 && batch.max_timestamp > newest_.timestamp)
    newest_ = {batch.max_timestamp, batch.last_offset()};
  if (since_ > interval_bytes) {
    const auto relative = static_cast<uint32_t>(batch.last_offset() - base_);
    offsets_.push_back({relative, static_cast<uint32_t>(position)});
    if (newest_.timestamp >= 0 && (times_.empty() || newest_.timestamp > times_.back().timestamp))
      times_.push_back({newest_.timestamp, static_cast<uint32_t>(newest_.offset - base_)});
    since_ = 0;
  }
  since_ += static_cast<int64_t>(batch.size());
}

void SegmentIndex::seal() {
  if (newest_.timestamp >= 0 && (times_.empty() || newest_.timestamp > times_.back().timestamp))
    times_.push_back({newest_.timestamp, static_cast<uint32_t>(newest_.offset - base_)});
}

void SegmentIndex::thin() {
  const auto every = [](auto* entries) {
    const size_t step = entries->size() / kSealedIndexEntries + 1;
    size_t kept = 0;
    for (size_t i = 0; i < entries->size(); i += step) (*entries)[kept++] = (*entries)[i];
    entries->resize(kept);
    entries->shrink_to_fit();
  };
  every(&offsets_);
  every(&times_);
}

void SegmentIndex::truncate(Offset end, int64_t position) {
  while (!offsets_.empty() && (base_ + offsets_.back().relative >= end || offsets_.back().position >= position))
    offsets_.pop_back();
  while (!times_.empty() && base_ + times_.back().relative >= end) times_.pop_back();
  since_ = position - last_position();
  if (newest_.offset < end) return;
  newest_ = {};
  if (!times_.empty()) newest_ = {times_.back().timestamp, base_ + times_.back().relative};
}

void SegmentIndex::note(Offset last, int64_t position) {
  if (offsets_.size() >= 2 * kSealedIndexEntries) return;
  const IndexEntry e{static_cast<uint32_t>(last - base_), static_cast<uint32_t>(position)};
  const auto at = std::upper_bound(offsets_.begin(), offsets_.end(), e,
                                   [](const IndexEntry& a, const IndexEntry& b) { return a.relative < b.relative; });
  if (at != offsets_.begin() && (std::prev(at)->relative == e.relative || std::prev(at)->position >= e.position))
    return;
  if (at != offsets_.end() && at->position <= e.position) return;
  offsets_.insert(at, e);
}

IndexGap find_gap(const std::vector<IndexEntry>& entries, Offset relative) {
  const auto after = std::upper_bound(entries.begin(), entries.end(), relative,
                                      [](Offset asked, const IndexEntry& e) { return asked < e.relative; });
  return {after == entries.begin() ? 0 : std::prev(after)->position,
          after == entries.end() ? kNoGapEnd : int64_t{after->position}};
}

Offset SegmentIndex::offset_before(int64_t timestamp) const {
  const auto from = std::lower_bound(times_.begin(), times_.end(), timestamp,
                                     [](const TimeEntry& e, int64_t asked) { return e.timestamp < asked; });
  return from == times_.begin() ? base_ : base_ + std::prev(from)->relative + 1;
}

std::vector<Slice> SegmentIndex::encode_offsets() const {
  if (offsets_.empty()) return {};
  const auto size = static_cast<uint32_t>(offsets_.size() * kIndexEntryBytes);
  BufferRef b = BufferRef::make(size);
  for (size_t i = 0; i < offsets_.size(); ++i) {
    put_u32(b->data() + i * kIndexEntryBytes, offsets_[i].relative);
    put_u32(b->data() + i * kIndexEntryBytes + 4, offsets_[i].position);
  }
  return {Slice(b, b->data(), size)};
}

std::vector<Slice> SegmentIndex::encode_times() const {
  if (times_.empty()) return {};
  const auto size = static_cast<uint32_t>(times_.size() * kTimeEntryBytes);
  BufferRef b = BufferRef::make(size);
  for (size_t i = 0; i < times_.size(); ++i) {
    uint8_t* p = b->data() + i * kTimeEntryBytes;
    put_u32(p, static_cast<uint32_t>(static_cast<uint64_t>(times_[i].timestamp) >> 32));
    put_u32(p + 4, static_cast<uint32_t>(times_[i].timestamp));
    put_u32(p + 8, times_[i].relative);
  }
  return {Slice(b, b->data(), size)};
}

std::optional<TimeEntry> read_time_entry(ByteSpan bytes) {
  if (bytes.size() != kTimeEntryBytes) return std::nullopt;
  Reader r(bytes);
  TimeEntry e;
  e.timestamp = r.i64();
  e.relative = r.u32();
  return e;
}

void SegmentIndex::load_offsets(ByteSpan file, int64_t size) {
  std::vector<IndexEntry> entries;
  entries.reserve(file.size() / kIndexEntryBytes);
  for (Reader r(file); r.remaining() >= kIndexEntryBytes;) {
    IndexEntry e;
    e.relative = r.u32();
    e.position = r.u32();
    if (e.position >= size) return;
    if (!entries.empty() && (e.relative <= entries.back().relative || e.position <= entries.back().position)) return;
    entries.push_back(e);
  }
  offsets_ = std::move(entries);
  thin();
}

void SegmentIndex::load_times(ByteSpan file, Offset end) {
  std::vector<TimeEntry> entries;
  entries.reserve(file.size() / kTimeEntryBytes);
  for (Reader r(file); r.remaining() >= kTimeEntryBytes;) {
    TimeEntry e;
    e.timestamp = r.i64();
    e.relative = r.u32();
    if (e.timestamp < 0 || base_ + e.relative >= end) break;
    if (!entries.empty() && (e.timestamp <= entries.back().timestamp || e.relative <= entries.back().relative)) break;
    entries.push_back(e);
  }
  times_ = std::move(entries);
  thin();
}

std::optional<ResumePoint> SegmentIndex::resume(const IndexFiles& files, const ResumeBound& bound) {
  offsets_.clear(), times_.clear();
  newest_ = {}, since_ = 0;
  for (Reader r(files.offsets); r.remaining() >= kIndexEntryBytes;) {
    const IndexEntry last = offsets_.empty() ? IndexEntry{} : offsets_.back();
    IndexEntry e;
    e.relative = r.u32();
    e.position = r.u32();
    if (e.position <= last.position || e.relative <= last.relative) break;
    if (e.position >= bound.size || base_ + e.relative >= bound.below) break;
    offsets_.push_back(e);
  }
  if (offsets_.empty()) return std::nullopt;
  const IndexEntry at = offsets_.back();
  offsets_.pop_back();  // `add` gives it again
  for (Reader r(files.times); r.remaining() >= kTimeEntryBytes;) {
    TimeEntry e;
    e.timestamp = r.i64();
    e.relative = r.u32();
    if (e.relative > at.relative) break;
    if (!times_.empty() && (e.timestamp <= times_.back().timestamp || e.relative <= times_.back().relative)) break;
    times_.push_back(e);
  }
  if (times_.empty() || times_.back().timestamp <= 0) {  // zeros, or records without times
    offsets_.clear(), times_.clear();
    return std::nullopt;
  }
  newest_ = {times_.back().timestamp, base_ + times_.back().relative};
  since_ = at.position - last_position();
  return ResumePoint{at.position, offsets_.empty() ? base_ : base_ + offsets_.back().relative + 1};
}

void add_piece(std::vector<Slice>* pieces, const Slice& piece) {
  if (piece.empty()) return;
  if (!pieces->empty()) {
    Slice& last = pieces->back();
    if (last.owner().get() == piece.owner().get() && last.data() + last.size() == piece.data()) {
      last = Slice(last.owner(), last.data(), last.size() + piece.size());
      return;
    }
  }
  pieces->push_back(piece);
}

std::string segment_file(Offset base, const char* suffix) {
  char text[48];
  std::snprintf(text, sizeof text, "%020lld%s", static_cast<long long>(base), suffix);
  return text;
}

bool parse_segment_file(const std::string& name, const char* suffix, Offset* base) {
  constexpr size_t kDigits = 20;
  if (name.size() <= kDigits || name.compare(kDigits, std::string::npos, suffix) != 0) return false;
  uint64_t v = 0;
  for (size_t i = 0; i < kDigits; ++i) {
    if (name[i] < '0' || name[i] > '9') return false;
    const uint64_t digit = static_cast<uint64_t>(name[i] - '0');
    if (v > (static_cast<uint64_t>(INT64_MAX) - digit) / 10) return false;
    v = v * 10 + digit;
  }
  *base = static_cast<Offset>(v);
  return true;
}

}  // namespace klamm::log
