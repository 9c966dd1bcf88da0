// Cold reads that never pass through memory: only the place of their first batch is looked up, and the driver sends the
// file's bytes from there. What follows the first batch is whatever the file holds up to the tail, of which consumers
// take a part of a batch at the end; so a region is given only where all of that lies below the reader's limit.
#include <algorithm>

#include "engine/base/reader.h"
#include "engine/log/log.h"

namespace klamm::log {

// All offsets of the segment's part on disk are below this.
Offset Log::cold_below(const Segment& s) const {
  const auto next = std::upper_bound(segments_.begin(), segments_.end(), s.base,
                                     [](Offset base, const Segment& x) { return base < x.base; });
  return next == segments_.end() ? tail_.from() : std::min(next->base, tail_.from());
}

bool Log::fits_region(const ReadFrom& from, const Segment& s) const {
  // While compaction puts files in the place of others, a file that is opened anew by its name may be another.
  return from.region && from.fill && !cold_waits() && from.max_bytes >= options_.region_least &&
         from.limit >= cold_below(s);
}

ReadResult Log::read_cold_part(const ReadFrom& from) const {
  for (const ColdFault& f : cold_faults_)
    if (f.offset == from.offset) {
      ReadResult r;
      r.status = f.error == IoError::none ? ReadStatus::damaged : ReadStatus::unreadable;
      r.next = from.offset;
      return r;
    }
  if (const ColdBlock* block = block_for(from.offset)) return read_block(*block, from);
  const auto place = std::find_if(cold_places_.begin(), cold_places_.end(),
                                  [&](const ColdPlace& p) { return p.from <= from.offset && from.offset <= p.last; });
  const bool known = place != cold_places_.end();
  const Segment* s = known ? find_segment(place->segment) : nullptr;
  if (s && s->file && fits_region(from, *s)) return read_region(*place, from);
  ReadResult r;
  r.status = ReadStatus::cold;
  r.next = from.offset;
  r.want = {from.offset, std::max<uint32_t>(from.max_bytes, 1), !known && fits_region(from, segment_of(from.offset))};
  return r;
}

ReadResult Log::read_region(const ColdPlace& place, const ReadFrom& from) const {
  ReadResult r;
  r.next = from.offset;
  r.capped = true;
  if (place.size > from.max_bytes && !from.at_least_one) return r;
  const Segment& s = *find_segment(place.segment);
  const int64_t most = std::max(from.max_bytes, place.size);
  r.size = static_cast<uint32_t>(std::min(most, cold_end(s) - place.position));
  r.region = {s.file, place.position, r.size};
  r.next = place.last + 1;
  r.below = cold_below(s);
  return r;
}

// ---- the way to a batch

const IndexWindow* Log::window_for(const Segment& s, Offset offset) const {
  const Offset relative = offset - s.base;
  for (const IndexWindow& w : windows_)
    if (w.segment == s.base && w.entries.front().relative <= relative &&
        (w.to_end || relative < w.entries.back().relative))
      return &w;
  return nullptr;
}

// Memory knows too little of a full segment's index, and its file would tell more.
bool Log::lacks_window(const Segment& s, Offset offset) const {
  if (&s == &segments_.back() || window_for(s, offset)) return false;
  const IndexGap gap = find_gap(s.index.offsets(), offset - s.base);
  return std::min(gap.to, cold_end(s)) - gap.from > kPlaceMost;
}

// Takes the entries around `offset` and a good way on from a file; nothing if they cannot be right.
void Log::keep_window(const Segment& s, Offset offset, ByteSpan file) {
  const size_t count = file.size() / kIndexEntryBytes;
  const auto entry = [&](size_t i) {
    Reader r(file.subspan(i * kIndexEntryBytes, kIndexEntryBytes));
    IndexEntry e;
    e.relative = r.u32();
    e.position = r.u32();
    return e;
  };
  size_t at = 0;  // the first entry behind the offset; a file may end with zeros
  for (size_t end = count; at < end;) {
    const size_t middle = at + (end - at) / 2;
    const IndexEntry e = entry(middle);
    if (e.position == 0 || e.relative > offset - s.base)
      end = middle;
    else
      at = middle + 1;
  }
  IndexWindow w;
  w.segment = s.base;
  w.entries.reserve(std::min(count, kWindowEntries) + 1);
  if (at == 0) w.entries.push_back({});  // the segment's start
  for (size_t i = at > 0 ? at - 1 : 0; i < count && w.entries.size() < kWindowEntries; ++i) {
    const IndexEntry e = entry(i);
    if (e.position == 0 || e.position >= s.size) break;
    if (!w.entries.empty() && (e.relative <= w.entries.back().relative || e.position <= w.entries.back().position))
      return;
    w.entries.push_back(e);
  }
  if (w.entries.empty()) return;
  w.to_end = w.entries.size() < kWindowEntries;
  if (windows_.size() == kIndexWindows) windows_.erase(windows_.begin());
  windows_.push_back(std::move(w));
  note_use();
}

// Reads from the nearest batch that the index knows to the next one. Where batches are large that next one is most
// likely it: readers go on where a batch ended.
void Log::locate(Io& io, ColdRead& r) {
  const Segment& s = *find_segment(r.segment);
  IndexGap gap = find_gap(s.index.offsets(), r.want.offset - s.base);
  if (const IndexWindow* w = window_for(s, r.want.offset)) {
    const IndexGap finer = find_gap(w->entries, r.want.offset - s.base);
    gap = {std::max(gap.from, finer.from), std::min(gap.to, finer.to)};
  }
  r.position = gap.from;
  r.by_index = r.position > 0;
  r.guess = !r.guessed && gap.to < cold_end(s) && gap.to - gap.from > kPlaceMost;
  if (r.guess) {
    r.position = gap.to;
    r.guessed = r.by_index = true;
    return read_cold(io, r, kPlaceLeast);
  }
  const int64_t size = gap.to == kNoGapEnd ? kPlaceLeast : gap.to - gap.from + static_cast<int64_t>(kBatchHeaderSize);
  read_cold(io, r, std::clamp<int64_t>(size, kPlaceLeast, kPlaceMost));
}

// The batch wanted lies there; where no region can begin with it, it is read.
void Log::keep_place(Io& io, ColdRead& r, const BatchHeader& h, int64_t position, Out& out) {
  const int64_t left = cold_end(*find_segment(r.segment)) - position;
  const auto size = static_cast<int64_t>(h.size());
  if (h.size() == kBatchHeaderSize || size > left || left < options_.region_least) {
    r.want.place = false;
    r.position = position;
    return read_cold(io, r, std::clamp(r.want.max_bytes, kColdLeast, kColdMost));
  }
  if (cold_places_.size() == kColdPlaces) cold_places_.erase(cold_places_.begin());
  cold_places_.push_back(
      {std::min(r.want.offset, h.base_offset), h.last_offset(), r.segment, position, static_cast<uint32_t>(h.size())});
  note_use();
  PROBE(io.ctx, cold_region);
  end_cold(io, r.number, {r.want.offset}, out);
}

}  // namespace klamm::log
