#include "sim/checkers/replicas.h"

#include <algorithm>

namespace klamm::sim {
namespace {
std::string describe(const BatchMark& b) {
  return "[" + std::to_string(b.base) + "," + std::to_string(b.end) + ") of epoch " + std::to_string(b.epoch) +
         " crc " + std::to_string(b.crc);
}
LogKey key_of(const TraceEvent& e) { return {e.b, e.a}; }
}  // namespace

std::string LogKey::text() const {
  if (topic == 0) return "the metadata log";
  static constexpr char kHex[] = "0123456789abcdef";
  std::string id;
  for (int i = 60; i >= 32; i -= 4) id.push_back(kHex[static_cast<uint64_t>(topic) >> i & 15]);
  return "log " + id + "-" + std::to_string(partition);
}

const BatchMark* Replicas::find(const std::vector<BatchMark>& batches, int64_t base) {
  const auto it = std::lower_bound(batches.begin(), batches.end(), base,
                                   [](const BatchMark& b, int64_t at) { return b.base < at; });
  return it != batches.end() && it->base == base ? &*it : nullptr;
}

void Replicas::trace(int64_t at, HostId host, const TraceEvent& e, Verdicts& out) {
  switch (e.kind) {
    case TraceKind::batch_appended: return appended(host, e, key_of(e), at, out);
    case TraceKind::log_truncated: return truncated(at, host, e, out);
    case TraceKind::log_start_moved: return start_moved(at, host, key_of(e), e.c, out);
    case TraceKind::log_compacting: return compacting(at, host, e, out);
    case TraceKind::log_removed: logs_[key_of(e)].removed = true; return;
    case TraceKind::high_watermark: return committed(at, host, key_of(e), e.c, out);
    case TraceKind::became_leader: return elected(at, host, key_of(e), static_cast<int32_t>(e.c), out);
    case TraceKind::log_recovered: return recovered(host, e);
    default: return;
  }
}

void Replicas::appended(HostId host, const TraceEvent& e, LogKey key, int64_t at, Verdicts& out) {
  const Log& log = logs_[key];
  Replica& r = logs_[key].replicas[host];
  const BatchMark b{e.c, e.c + e.flags, static_cast<int32_t>(e.d >> 32), static_cast<uint32_t>(e.d)};
  if (r.batches.empty() && b.base != r.end) r.start = r.end = b.base;
  const bool passes_compacted = b.base > r.end && b.base <= log.compacted_end;
  if (b.base != r.end && !passes_compacted)
    out.add(at, "R5 contiguous log",
            who(host) + " appends " + describe(b) + " to " + key.text() + " that ends at " + std::to_string(r.end));
  if (!r.batches.empty() && r.batches.back().epoch > b.epoch)
    out.add(at, "R5 epoch order",
            who(host) + " appends " + describe(b) + " to " + key.text() + " after epoch " +
                std::to_string(r.batches.back().epoch));
  r.batches.push_back(b);
  r.end = b.end;
  r.most = std::max(r.most, r.end);
}

// Who dies before a truncation has reached the disk has back what it held before: then that ends where the log does.
void Replicas::recovered(HostId host, const TraceEvent& e) {
  const int64_t end = e.c, start = e.d;
  const auto ends_there = [&](const std::vector<BatchMark>& batches) {
    return end == start ||
           std::any_of(batches.begin(), batches.end(), [&](const BatchMark& b) { return b.end == end; });
  };
  Log& log = logs_[key_of(e)];
  Replica& r = log.replicas[host];
  if (!ends_there(r.batches)) {
    const auto back = std::find_if(r.former.rbegin(), r.former.rend(), ends_there);
    if (back != r.former.rend()) r.batches = *back;
  }
  r.former.clear();
  r.start = start;
  cut(log, r, end);
  r.most = std::max(r.most, r.end);
  r.compared = 0;
}

// A log start beyond what is committed could not be kept by the next leader.
void Replicas::start_moved(int64_t at, HostId host, LogKey key, int64_t to, Verdicts& out) {
  if (to > committed_end(key))
    out.add(at, "R17 deleted before committed",
            who(host) + " starts " + key.text() + " at " + std::to_string(to) + ", committed up to " +
                std::to_string(committed_end(key)),
            true);
  Log& log = logs_[key];
  log.replicas[host].start = to;
  log.deleted_end = std::max(log.deleted_end, to);
}

// What displaces others must not be truncated itself.
void Replicas::compacting(int64_t at, HostId host, const TraceEvent& e, Verdicts& out) {
  const LogKey key = key_of(e);
  if (e.c > committed_end(key))
    out.add(at, "R17 compacted before committed",
            who(host) + " compacts " + key.text() + " up to " + std::to_string(e.c) + ", committed up to " +
                std::to_string(committed_end(key)),
            true);
  Log& log = logs_[key];
  log.compacted_end = std::max(log.compacted_end, e.c);
}

void Replicas::cut(Log&, Replica& r, int64_t to) {
  while (!r.batches.empty() && r.batches.back().end > to) r.batches.pop_back();
  r.end = r.batches.empty() ? std::max(r.start, to) : r.batches.back().end;
  r.compared = std::min(r.compared, r.batches.size());
}

void Replicas::truncated(int64_t at, HostId host, const TraceEvent& e, Verdicts& out) {
  const LogKey key = key_of(e);
  const int64_t to = e.c;
  Log& log = logs_[key];
  Replica& r = log.replicas[host];
  for (const BatchMark& b : r.batches) {
    if (b.end <= to || b.end <= r.start) continue;
    const BatchMark* committed = find(log.committed, b.base);
    if (!committed || !log.same(*committed, b)) break;
    out.add(at, "R16 truncation",
            who(host) + " cuts " + key.text() + " to " + std::to_string(to) + " and drops committed " + describe(b),
            key.topic != 0);
    break;
  }
  r.former.push_back(r.batches);
  if (e.flags) r.batches.clear();  // it begins anew where its leader's log does
  cut(log, r, to);
  if (r.batches.empty()) r.start = r.end = to;
  r.most = std::max(r.most, r.end);
}

// Everything that this replica holds below its high watermark is committed, and must be what others hold there.
void Replicas::committed(int64_t at, HostId host, LogKey key, int64_t high_watermark, Verdicts& out) {
  Log& log = logs_[key];
  Replica& r = log.replicas[host];
  for (; r.compared < r.batches.size() && r.batches[r.compared].end <= high_watermark; ++r.compared) {
    const BatchMark& mine = r.batches[r.compared];
    if (mine.end <= r.start) continue;  // deleted before it could be compared: its leader no longer knew that epoch
    const int64_t known_end = log.committed.empty() ? mine.base : log.committed.back().end;
    if (mine.base >= known_end) {
      if (mine.base > known_end)
        out.add(at, "R4 log matching",
                who(host) + " commits " + describe(mine) + " of " + key.text() + " after a hole from " +
                    std::to_string(known_end),
                key.topic != 0);
      log.committed.push_back(mine);
      continue;
    }
    const BatchMark* other = find(log.committed, mine.base);
    if (mine.end <= log.committed.front().base) continue;  // older than anything we saw
    if (!other || !log.same(*other, mine))
      out.add(at, key.topic == 0 ? "K11 consistent committed data" : "R4 log matching",
              who(host) + " holds " + describe(mine) + " of " + key.text() + " below its high watermark " +
                  std::to_string(high_watermark) +
                  ", elsewhere committed: " + (other ? describe(*other) : "other bounds"),
              key.topic != 0);
  }
}

void Replicas::elected(int64_t at, HostId host, LogKey key, int32_t epoch, Verdicts& out) {
  Log& log = logs_[key];
  const Replica& r = log.replicas[host];
  for (auto b = log.committed.rbegin(); b != log.committed.rend(); ++b) {
    if (b->epoch >= epoch || b->end <= r.start) continue;
    const BatchMark* mine = find(r.batches, b->base);
    if (mine && log.same(*mine, *b)) return;  // below it the logs match, or R4 says so
    if (!mine && b->end <= log.compacted_end && b->end <= r.end) continue;
    out.add(at, key.topic == 0 ? "K5 leader completeness" : "R6 leader completeness",
            who(host) + " leads " + key.text() + " in epoch " + std::to_string(epoch) + " up to " +
                std::to_string(r.end) + " without committed " + describe(*b),
            key.topic != 0);
    return;
  }
}

int64_t Replicas::committed_end(LogKey key) const {
  const auto log = logs_.find(key);
  return log == logs_.end() || log->second.committed.empty() ? 0 : log->second.committed.back().end;
}

int64_t Replicas::deleted_end(LogKey key) const {
  const auto log = logs_.find(key);
  return log == logs_.end() ? 0 : log->second.deleted_end;
}

int64_t Replicas::compacted_end(LogKey key) const {
  const auto log = logs_.find(key);
  return log == logs_.end() ? 0 : log->second.compacted_end;
}

int64_t Replicas::log_end(LogKey key, HostId host) const {
  const auto log = logs_.find(key);
  if (log == logs_.end()) return 0;
  const auto r = log->second.replicas.find(host);
  return r == log->second.replicas.end() ? 0 : r->second.end;
}

int32_t Replicas::copies(LogKey key, int64_t offset) const {
  const auto log = logs_.find(key);
  if (log == logs_.end()) return 0;
  const auto& all = log->second.replicas;
  return static_cast<int32_t>(
      std::count_if(all.begin(), all.end(), [&](const auto& r) { return r.second.most > offset; }));
}

bool Replicas::complete(LogKey key, HostId host) const {
  const auto log = logs_.find(key);
  if (log == logs_.end() || log->second.committed.empty()) return true;
  const auto r = log->second.replicas.find(host);
  if (r == log->second.replicas.end()) return false;
  if (r->second.start >= log->second.committed.back().end) return true;  // all was deleted
  const BatchMark* mine = find(r->second.batches, log->second.committed.back().base);
  return mine && log->second.same(*mine, log->second.committed.back());
}

bool Replicas::all_complete(HostId host) const {
  for (const auto& [key, log] : logs_)
    if (!log.removed && !complete(key, host)) return false;
  return true;
}

}  // namespace klamm::sim
