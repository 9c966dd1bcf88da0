// Compaction, second part: a new segment takes the place of old ones, in files and in memory; and how recovery brings
// that to its end.
//
// First <base>.log.swap and its indexes are durable. Then the old segments go but the first, durably; then the new file
// is renamed over the first one's. So whatever a crash leaves, either the old segments are all there, or the swap file
// is and its last batch tells which of them it replaces. As Kafka, which can open each of these states.
#include <algorithm>

#include "engine/log/log.h"

namespace klamm::log {

namespace {
constexpr const char* kCleaned = ".cleaned";
constexpr const char* kSwap = ".swap";
constexpr const char* kFiles[] = {".log", ".index", ".timeindex", ".txnindex"};
}  // namespace

Owner Log::begin_clean(Step step, uint32_t commands) {
  ++cleaning_->running;
  Op op{step, commands};
  op.number = cleaning_->number;
  return begin(std::move(op));
}

void Log::on_clean(Io& io, const Op& op, const StorageEnd& end, Out& out) {
  if (!cleaning_ || cleaning_->number != op.number) return;
  Cleaning& c = *cleaning_;
  KLAMM_ASSERT_REL(c.running, >, 0);
  if (--c.running > 0) return;
  switch (c.stage) {
    case Stage::mapping:
    case Stage::rewriting:
      if (op.step == Step::clean_read) on_clean_read(io, op, end, out);
      return;  // it is read on, or what was done is dropped
    case Stage::sealing: return c.abandoned ? drop_target(io, out) : name_swap(io);
    case Stage::naming: return sync_names_of_clean(io, Stage::name_sync);
    case Stage::name_sync: c.stage = Stage::waiting; return;
    case Stage::waiting: KLAMM_ASSERT(false); return;
    case Stage::clearing: return sync_names_of_clean(io, Stage::clear_sync);
    case Stage::clear_sync: return swap_log(io);
    case Stage::swapping: return swapped(io);
    case Stage::swap_sync: return begin_group(io, out);
    case Stage::closing: return remove_target(io);
    case Stage::removing: return begin_group(io, out);
  }
}

void Log::sync_names_of_clean(Io& io, Stage stage) {
  cleaning_->stage = stage;
  io.sync_dir(begin_clean(Step::clean_write), options_.dir, path_);
}

// ---- the new files

void Log::seal_group(Io& io) {
  Cleaning& c = *cleaning_;
  c.stage = Stage::sealing;
  c.index.seal();
  const auto write = [&](const char* suffix, std::vector<Slice> content) {
    const Owner owner = begin_clean(Step::clean_write, content.empty() ? 3 : 4);
    const FileId file = io.open(owner, options_.dir, file_path(c.group, suffix) + kCleaned, OpenMode::create_empty);
    if (!content.empty()) io.write(owner, file, 0, std::move(content));
    io.sync(owner, file);
    io.close(owner, file);
    ops_.at(owner.step).files = {file};
  };
  write(".index", c.index.encode_offsets());
  write(".timeindex", c.index.encode_times());
  // Also an empty one, over the file of an old segment that told something.
  c.txn_file = !c.aborted.empty();
  for (const Segment& s : segments_)
    c.txn_file = c.txn_file || (s.txn_file && s.base >= c.group && s.base < c.group_end);
  if (c.txn_file)
    write(".txnindex", c.aborted.empty() ? std::vector<Slice>() : std::vector{encode_txn_index(c.aborted)});
  c.index.thin();
  const Owner owner = begin_clean(Step::clean_write, 2);
  io.sync(owner, c.target);
  io.close(owner, c.target);
  ops_.at(owner.step).files = {c.target};
  c.target = {};
}

// Abandoned, or not worth having.
void Log::drop_target(Io& io, Out& out) {
  Cleaning& c = *cleaning_;
  close_source(io);
  if (c.stage == Stage::mapping) return end_cleaning(io, out);
  if (!c.target) return remove_target(io);
  c.stage = Stage::closing;
  const Owner owner = begin_clean(Step::clean_write);
  io.close(owner, c.target);
  ops_.at(owner.step).files = {c.target};
  c.target = {};
}

void Log::remove_target(Io& io) {
  Cleaning& c = *cleaning_;
  c.stage = Stage::removing;
  const Owner owner = begin_clean(Step::clean_remove, std::size(kFiles));
  for (const char* suffix : kFiles) io.remove(owner, options_.dir, file_path(c.group, suffix) + kCleaned);
}

// ---- their names

// From here on a crash may complete it.
void Log::name_swap(Io& io) {
  Cleaning& c = *cleaning_;
  c.stage = Stage::naming;
  KLAMM_ASSERT_REL(c.group_end, <=, ends_.written);
  tail_.forget_before(c.group_end);  // it knows where batches lie in the old files
  const std::vector<const char*> named = c.new_files();
  const Owner owner = begin_clean(Step::clean_write, static_cast<uint32_t>(named.size()));
  for (const char* suffix : named) {
    const std::string path = file_path(c.group, suffix);
    io.rename(owner, options_.dir, {path + kCleaned, path + kSwap});
  }
}

// Nobody reads from disk until the new file is in its place.
void Log::clear_group(Io& io) {
  Cleaning& c = *cleaning_;
  c.stage = Stage::clearing;
  std::vector<std::string> old;
  for (const Segment& s : segments_)
    if (s.base > c.group && s.base < c.group_end)
      for (const char* suffix : kFiles) old.push_back(file_path(s.base, suffix));
  if (!old.empty()) {
    const Owner removes = begin_clean(Step::clean_remove, static_cast<uint32_t>(old.size()));
    for (std::string& path : old) io.remove(removes, options_.dir, std::move(path));
  }
  std::vector<const char*> indexes = c.new_files();
  indexes.erase(indexes.begin());  // not yet the log's
  const Owner owner = begin_clean(Step::clean_write, static_cast<uint32_t>(indexes.size()));
  for (const char* suffix : indexes) {
    const std::string path = file_path(c.group, suffix);
    io.rename(owner, options_.dir, {path + kSwap, path});
  }
}

void Log::swap_log(Io& io) {
  Cleaning& c = *cleaning_;
  c.stage = Stage::swapping;
  const std::string path = file_path(c.group, ".log");
  io.rename(begin_clean(Step::clean_write), options_.dir, {path + kSwap, path});
}

void Log::swapped(Io& io) {
  Cleaning& c = *cleaning_;
  const auto first =
      std::find_if(segments_.begin(), segments_.end(), [&](const Segment& s) { return s.base == c.group; });
  KLAMM_ASSERT(first != segments_.end());
  Segment fresh(c.group);
  auto last = first;
  for (; last != segments_.end() && last->base < c.group_end; ++last) {
    KLAMM_ASSERT_REL(last->pending_bytes, ==, 0);
    fresh.created_ms = last->created_ms;
    if (!last->file) continue;
    Op closes{Step::close_files};
    closes.files = {last->file};
    io.close(begin(std::move(closes)), last->file);
  }
  fresh.size = c.target_size;
  fresh.named = fresh.name_durable = true;
  fresh.first_timestamp = c.first_timestamp;
  fresh.jitter_ms = first->jitter_ms;
  fresh.index = std::move(c.index);
  fresh.aborted = std::move(c.aborted);
  fresh.txn_file = fresh.txn_named = c.txn_file;
  *first = std::move(fresh);
  segments_.erase(first + 1, last);
  forget_cold(c.group, c.group_end);
  sweep_snapshots(io);
  sync_names_of_clean(io, Stage::swap_sync);
}

// ---- recovery

// True: there is something to complete; the directory is listed again afterwards.
bool Log::complete_swaps(Io& io, const std::vector<DirEntry>& entries) {
  Swaps swaps;
  Offset cleaned = std::numeric_limits<Offset>::max();
  std::vector<std::pair<Offset, const DirEntry*>> found;
  for (const DirEntry& e : entries) {
    Offset base = 0;
    for (const char* suffix : kFiles) {
      if (parse_segment_file(e.name, (std::string(suffix) + kCleaned).c_str(), &base))
        cleaned = std::min(cleaned, base);
      if (parse_segment_file(e.name, (std::string(suffix) + kSwap).c_str(), &base)) found.push_back({base, &e});
    }
    if (parse_segment_file(e.name, ".log", &base)) swaps.segments.push_back(base);
  }
  if (found.empty()) return false;
  for (const auto& [base, e] : found) {
    const std::string name = e->name.substr(0, e->name.size() - std::char_traits<char>::length(kSwap));
    if (base >= cleaned) {  // a cleaned file before it: not all were named when it ended, so no old one had gone
      swaps.doomed.push_back(e->name);
    } else if (name.ends_with(".log")) {
      swaps.logs.push_back(base);
      swaps.sizes.push_back(e->size);
    } else {
      swaps.indexes.push_back(name);
    }
  }
  PROBE(io.ctx, log_swap_completed);
  opening_->swaps = std::move(swaps);
  scan_swap(io);
  return true;
}

void Log::scan_swap(Io& io) {
  Swaps& s = *opening_->swaps;
  if (s.at == s.logs.size()) return remove_replaced(io);
  const Offset base = s.logs[s.at];
  ScanOptions scan;
  scan.file_size = s.sizes[s.at];
  scan.base = scan.expect = base;
  scan.limit = std::numeric_limits<Offset>::max();
  s.scanner = BatchScanner(scan);
  s.read_at = 0;
  s.file = io.open(begin(Step::close_files), options_.dir, file_path(base, ".log") + kSwap, OpenMode::read_write);
  io.read(begin(Step::swap_scan), s.file, 0, kScanBytes);
}

void Log::on_swap_scan(Io& io, const StorageEnd& end) {
  Swaps& s = *opening_->swaps;
  const auto verdict = s.scanner.feed(end.bytes.span(), [](const BatchHeader&, int64_t, ByteSpan) {});
  s.read_at += static_cast<int64_t>(end.bytes.size());
  if (verdict == BatchScanner::Verdict::more && !end.bytes.empty() && s.read_at < s.sizes[s.at])
    return io.read(begin(Step::swap_scan), s.file, s.read_at, kScanBytes);
  Op closes{Step::close_files};
  closes.files = {s.file};
  io.close(begin(std::move(closes)), s.file);
  const Offset base = s.logs[s.at];
  if (s.scanner.position() == 0 && s.sizes[s.at] > 0) {  // nothing good in it
    s.doomed.push_back(segment_file(base, ".log") + kSwap);
    s.logs.erase(s.logs.begin() + static_cast<int64_t>(s.at));
    s.sizes.erase(s.sizes.begin() + static_cast<int64_t>(s.at));
    return scan_swap(io);
  }
  for (const Offset old : s.segments)
    if (old > base && old < s.scanner.expect())
      for (const char* suffix : kFiles) s.doomed.push_back(segment_file(old, suffix));
  ++s.at;
  scan_swap(io);
}

// Some at a time; then the indexes get their names, and all that becomes durable before the segments get theirs.
void Log::remove_replaced(Io& io) {
  Swaps& s = *opening_->swaps;
  constexpr size_t kMost = 1'000;
  const size_t n = std::min(s.doomed.size(), kMost);
  const size_t renames = n == s.doomed.size() ? s.indexes.size() : 0;
  if (n + renames == 0) return on_swap_step(io, Step::swap_remove);
  const Owner owner = begin(Step::swap_remove, static_cast<uint32_t>(n + renames));
  for (size_t i = 0; i < n; ++i) io.remove(owner, options_.dir, path_ + "/" + s.doomed[i]);
  s.doomed.erase(s.doomed.begin(), s.doomed.begin() + static_cast<int64_t>(n));
  for (size_t i = 0; i < renames; ++i)
    io.rename(owner, options_.dir, {path_ + "/" + s.indexes[i] + kSwap, path_ + "/" + s.indexes[i]});
  if (renames > 0) s.indexes.clear();
}

void Log::on_swap_step(Io& io, Step ended) {
  Swaps& s = *opening_->swaps;
  if (ended == Step::swap_remove) {
    if (!s.doomed.empty() || !s.indexes.empty()) return remove_replaced(io);
    return io.sync_dir(begin(Step::swap_names), options_.dir, path_);
  }
  if (s.logs.empty()) {
    opening_->swaps.reset();
    return io.list(begin(Step::list), options_.dir, path_);
  }
  const Owner owner = begin(Step::swap_remove, static_cast<uint32_t>(s.logs.size()));
  for (const Offset base : s.logs) {
    const std::string path = file_path(base, ".log");
    io.rename(owner, options_.dir, {path + kSwap, path});
  }
  s.logs.clear();
}

}  // namespace klamm::log
