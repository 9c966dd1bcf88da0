// Reads from disk through memory: bounded blocks of whole batches, checked, kept for those who wait for them and a
// while for who reads on. Or only the way to a batch (log_region.cc).
#include <algorithm>
#include <utility>

#include "engine/log/log.h"

namespace klamm::log {

bool Log::load_cold(Io& io, const ColdWant& want) {
  KLAMM_ASSERT(ready());
  KLAMM_ASSERT_REL(want.offset, <, tail_.from());
  KLAMM_ASSERT_REL(want.offset, >=, ends_.log_start);
  const auto same = [&](const ColdWant& w) {
    return w.offset == want.offset && w.place == want.place && w.times == want.times;
  };
  for (const ColdRead& r : cold_reads_)
    if (same(r.want)) return true;
  for (const ColdWant& w : cold_wants_)
    if (same(w)) return true;
  PROBE(io.ctx, cold_read);
  if (cold_reads_.size() < kColdBlocks && !cold_waits()) {
    start_cold(io, want);
    return true;
  }
  if (cold_wants_.size() == kMaxColdWants) return false;
  cold_wants_.push_back(want);
  return true;
}

const ColdBlock* Log::block_for(Offset offset) const {
  for (const ColdBlock& b : cold_blocks_)
    if (b.from <= offset && offset < b.next) return &b;
  return nullptr;
}

ReadResult Log::read_block(const ColdBlock& block, const ReadFrom& from) const {
  ReadResult r;
  r.next = from.offset;
  size_t begin = 0, end = 0;
  for (size_t at = 0; at < block.bytes.size();) {
    const BatchHeader h = protocol::read_batch_header(block.bytes.data() + at);
    at += h.size();
    KLAMM_ASSERT_REL(at, <=, block.bytes.size());
    if (h.last_offset() < from.offset) {
      begin = end = at;
      continue;
    }
    if (h.last_offset() >= from.limit) {
      if (end == begin) r.next = from.limit;
      break;
    }
    if (at - begin > from.max_bytes && !(from.at_least_one && end == begin)) {
      if (from.fill && end != begin) end = std::max<size_t>(end, begin + from.max_bytes);
      break;
    }
    end = at;
    r.next = h.last_offset() + 1;
  }
  if (end > begin) r.pieces.push_back(block.bytes.part(begin, end - begin));
  r.size = static_cast<uint32_t>(end - begin);
  r.capped = r.next < std::min(from.limit, ends_.submitted);
  return r;
}

// The tail begins there: what lies before is written, what follows need not be.
int64_t Log::cold_end(const Segment& s) const {
  const auto& batches = tail_.batches();
  return !batches.empty() && batches.front().segment == s.base ? batches.front().position : s.size - s.pending_bytes;
}

void Log::start_cold(Io& io, const ColdWant& want) {
  Segment& s = segment_of(want.offset);
  ColdRead r;
  r.number = next_cold_++;
  r.want = want;
  r.segment = s.base;
  cold_reads_.push_back(r);
  if (want.times) {
    Op op{Step::cold_times};
    op.segment = s.base;
    op.number = r.number;
    return io.load(begin(std::move(op)), options_.dir, file_path(s.base, ".timeindex"), kMaxIndexFile);
  }
  if (s.index_loaded && !(want.place && lacks_window(s, want.offset))) return issue_cold(io, cold_reads_.back());
  Op op{Step::cold_index};
  op.segment = s.base;
  op.number = r.number;
  io.load(begin(std::move(op)), options_.dir, file_path(s.base, ".index"), kMaxIndexFile);
}

// Begins at the best place known: behind a block that ended here, else by the index.
void Log::issue_cold(Io& io, ColdRead& r) {
  if (r.want.place) return locate(io, r);
  Segment& s = *find_segment(r.segment);
  r.position = s.index.position_for(r.want.offset);
  for (const ColdBlock& b : cold_blocks_)
    if (b.segment == s.base && b.next == r.want.offset) r.position = b.end_position;
  r.by_index = r.position > 0;
  read_cold(io, r, std::clamp(r.want.max_bytes, kColdLeast, kColdMost));
}

void Log::read_cold(Io& io, ColdRead& r, int64_t size) {
  Segment& s = *find_segment(r.segment);
  if (!s.file) {
    Op op{Step::cold_open};
    op.segment = s.base;
    op.number = r.number;
    s.file = io.open(begin(std::move(op)), options_.dir, file_path(s.base, ".log"), OpenMode::read_write);
  }
  r.size = static_cast<uint32_t>(std::min(size, cold_end(s) - r.position));
  Op op{Step::cold_read};
  op.segment = r.segment;
  op.number = r.number;
  io.read(begin(std::move(op)), s.file, r.position, r.size);
}

void Log::on_cold_open(Io& io, const Op& op, Out& out) {
  if (op.error == IoError::none) return;
  if (Segment* s = find_segment(op.segment); s && op.generation == generation_) close_unread(io, *s);
  end_cold(io, op.number, {-1, op.error}, out);
}

// A file that could not be read is opened anew next time, unless others have a part in it.
void Log::close_unread(Io& io, Segment& s) {
  if (!s.file || &s == &segments_.back() || s.unsynced || cleaning_) return;
  Op closes{Step::close_files};
  closes.files = {s.file};
  io.close(begin(std::move(closes)), s.file);
  s.file = {};
}

void Log::on_cold_index(Io& io, const Op& op, const StorageEnd& end, Out& out) {
  const auto r =
      std::find_if(cold_reads_.begin(), cold_reads_.end(), [&](const ColdRead& c) { return c.number == op.number; });
  if (r == cold_reads_.end()) return;
  if (op.generation != generation_ || !ready()) return end_cold(io, op.number, {}, out);
  Segment* found = find_segment(op.segment);
  if (!found) return end_cold(io, op.number, {}, out);  // put away
  Segment& s = *found;
  if (!s.index_loaded && op.error == IoError::none) s.index.load_offsets(end.bytes.span(), s.size);
  if (r->want.place && op.error == IoError::none) keep_window(s, r->want.offset, end.bytes.span());
  s.index_loaded = true;
  issue_cold(io, *r);
}

void Log::on_cold_times(Io& io, const Op& op, const StorageEnd& end, Out& out) {
  Segment* s = op.generation == generation_ && ready() ? find_segment(op.segment) : nullptr;
  if (s && !s->times_loaded) {
    if (op.error == IoError::none) s->index.load_times(end.bytes.span(), cold_below(*s));
    s->times_loaded = true;
  }
  end_cold(io, op.number, {}, out);
}

void Log::on_cold_read(Io& io, const Op& op, const StorageEnd& end, Out& out) {
  const auto found =
      std::find_if(cold_reads_.begin(), cold_reads_.end(), [&](const ColdRead& c) { return c.number == op.number; });
  if (found == cold_reads_.end()) return;
  ColdRead& r = *found;
  const Offset offset = r.want.offset;
  Segment* segment = find_segment(r.segment);  // none: put away
  if (op.generation != generation_ || !ready() || !segment) return end_cold(io, r.number, {offset}, out);
  if (op.error != IoError::none) {
    close_unread(io, *segment);
    return end_cold(io, r.number, {offset, op.error}, out);
  }
  Segment& s = *segment;
  const Slice& bytes = end.bytes;
  if (std::exchange(r.guess, false)) {
    const auto h = bytes.size() < kBatchHeaderSize ? std::nullopt : read_sane_header(bytes.data());
    if (!h || h->base_offset > offset) return locate(io, r);
  }
  size_t at = 0;
  size_t need = kBatchHeaderSize;
  bool sane = bytes.size() == r.size;
  while (sane && bytes.size() - at >= kBatchHeaderSize) {  // over the batches before the one wanted
    const auto h = read_sane_header(bytes.data() + at);
    sane = h && !(r.by_index && at == 0 && h->base_offset > offset);
    if (!sane) break;
    if (r.want.place && h->last_offset() >= offset)
      return keep_place(io, r, *h, r.position + static_cast<int64_t>(at), out);
    need = h->size();
    if (need > bytes.size() - at && !r.want.place) break;
    if (h->last_offset() >= offset) return keep_block(io, r, bytes.part(at, bytes.size() - at), at, out);
    s.index.note(h->last_offset(), r.position + static_cast<int64_t>(at));
    at += need;
    need = kBatchHeaderSize;
    if (at > bytes.size()) break;  // only its header was wanted
  }
  if (!sane) return damaged_cold(io, r, out);
  r.position += static_cast<int64_t>(at);
  if (r.position == cold_end(s)) {  // nothing at or behind it here: compaction has been there
    const auto next = std::upper_bound(segments_.begin(), segments_.end(), r.segment,
                                       [](Offset base, const Segment& x) { return base < x.base; });
    if (next == segments_.end() || next->base >= tail_.from()) return damaged_cold(io, r, out);
    r.segment = next->base;
    r.position = 0;
    r.by_index = false;
    return read_cold(io, r, kColdMost);
  }
  if (static_cast<int64_t>(need) > cold_end(s) - r.position) return damaged_cold(io, r, out);
  read_cold(io, r, r.want.place ? kPlaceMost : std::max<int64_t>(static_cast<int64_t>(need), kColdMost));
}

// `bytes` begins with the batch wanted, at r.position + skipped. Keeps the good whole batches at its front.
void Log::keep_block(Io& io, ColdRead& r, const Slice& bytes, size_t skipped, Out& out) {
  ColdBlock block;
  block.from = block.next = r.want.offset;
  block.segment = r.segment;
  size_t end = 0;
  while (bytes.size() - end >= kBatchHeaderSize) {
    const auto h = read_sane_header(bytes.data() + end);
    if (!h || h->size() > bytes.size() - end || h->last_offset() < block.next) break;
    if (!protocol::check_batch(bytes.part(end, h->size()).span())) break;
    end += h->size();
    block.next = h->last_offset() + 1;
  }
  if (end == 0) return damaged_cold(io, r, out);
  block.bytes = bytes.part(0, end);
  block.memory = r.size;
  block.end_position = r.position + static_cast<int64_t>(skipped + end);
  if (cold_blocks_.size() == kColdBlocks) cold_blocks_.erase(cold_blocks_.begin());
  cold_blocks_.push_back(std::move(block));
  note_use();
  end_cold(io, r.number, {r.want.offset}, out);
}

// Either the index is wrong, then the segment's start is the place to begin; or the batches are.
void Log::damaged_cold(Io& io, ColdRead& r, Out& out) {
  if (!r.by_index) return end_cold(io, r.number, {r.want.offset, IoError::none, true}, out);
  find_segment(r.segment)->index.forget_offsets();
  std::erase_if(windows_, [&](const IndexWindow& w) { return w.segment == r.segment; });
  r.position = 0;
  r.by_index = false;
  read_cold(io, r, kColdMost);
}

void Log::end_cold(Io& io, uint64_t number, ColdEnd end, Out& out) {
  const auto r =
      std::find_if(cold_reads_.begin(), cold_reads_.end(), [&](const ColdRead& c) { return c.number == number; });
  if (r == cold_reads_.end()) return;
  end.offset = r->want.offset;
  if (end.error != IoError::none || end.corrupt) {
    if (cold_faults_.size() == kColdBlocks) cold_faults_.erase(cold_faults_.begin());
    cold_faults_.push_back({end.offset, end.error});
  }
  cold_reads_.erase(r);
  out.cold.push_back(end);
  start_waiting_cold(io, out);
}

void Log::forget_fault(Offset offset) {
  std::erase_if(cold_faults_, [&](const ColdFault& f) { return f.offset == offset; });
}

void Log::forget_cold() {
  forget_reads();
  cold_faults_.clear();
}

void Log::forget_cold(Offset from, Offset to) {
  const auto concerned = [&](const auto& x) { return x.segment >= from && x.segment < to; };
  std::erase_if(cold_blocks_, concerned);
  cold_faults_.clear();
  std::erase_if(cold_places_, concerned);
  std::erase_if(windows_, concerned);
}

// ---- memory

int64_t Log::cached_bytes() const {
  int64_t bytes = tail_.memory();
  for (const ColdBlock& b : cold_blocks_) bytes += b.memory;
  for (const IndexWindow& w : windows_) bytes += static_cast<int64_t>(w.entries.size() * sizeof(IndexEntry));
  return bytes;
}

void Log::forget_reads() {
  cold_blocks_ = {};
  cold_places_ = {};
  windows_ = {};
}

void Log::give_back() {
  forget_reads();
  tail_.evict(static_cast<uint32_t>(std::exchange(used_, false) ? tail_.bytes() / 2 : 0), ends_.written);
}

void Log::forget_unused() {
  if (!std::exchange(used_, false)) forget_reads();
}

void Log::drop_caches() {
  tail_.evict(0, ends_.written);
  forget_cold();
}

void Log::start_waiting_cold(Io& io, Out& out) {
  while (cold_reads_.size() < kColdBlocks && !cold_wants_.empty() && !cold_waits()) {
    const ColdWant want = cold_wants_.front();
    cold_wants_.pop_front();
    if (!ready() || want.offset >= tail_.from() || want.offset < ends_.log_start || block_for(want.offset))
      out.cold.push_back({want.offset});
    else
      start_cold(io, want);
  }
}

}  // namespace klamm::log
