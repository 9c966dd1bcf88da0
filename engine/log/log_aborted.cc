// Aborted transactions: what recovery reads of .txnindex files, and what a reader is told.
//
// A .txnindex is written with a segment's other indexes and has a durable name before a producer snapshot behind it is
// written. So recovery takes from the files what lies below the snapshot that it begins from, and finds the rest by
// folding the batches. All of it stays in memory: 32 bytes for a transaction that was aborted.
#include <algorithm>
#include <limits>

#include "engine/log/log.h"

namespace klamm::log {

namespace {
constexpr size_t kLoadsAtOnce = 16;
}  // namespace

void Log::load_aborted(Io& io, Out& out) {
  Opening& o = *opening_;
  if (o.refold)
    for (Segment& s : segments_) forget_aborted_from(&s.aborted, o.fold_from);
  for (; !o.again && o.aborted_at < segments_.size() && o.loads < kLoadsAtOnce; ++o.aborted_at) {
    const Segment& s = segments_[o.aborted_at];
    if (!s.txn_file || s.base >= o.fold_from) continue;
    ++o.loads;
    Op op{Step::load_aborted};
    op.segment = s.base;
    io.load(begin(std::move(op)), options_.dir, file_path(s.base, ".txnindex"), kMaxTxnIndexFile);
  }
  if (o.loads == 0) load_newest(io, out);
}

// A file that cannot be right is made anew: states are folded from a snapshot that is not behind its segment's start.
void Log::on_aborted(Io& io, const Op& op, const StorageEnd& end, Out& out) {
  Opening& o = *opening_;
  Segment& s = *find_segment(op.segment);
  const auto next = std::upper_bound(segments_.begin(), segments_.end(), op.segment,
                                     [](Offset asked, const Segment& x) { return asked < x.base; });
  const TxnIndexRange range{s.base, next == segments_.end() ? std::numeric_limits<Offset>::max() : next->base};
  auto aborted = parse_txn_index(end.bytes.span(), range);
  if (op.error == IoError::none && aborted) {
    s.aborted = std::move(*aborted);
  } else {
    o.aborted_damaged = true;
    o.snapshots_to = std::min(o.snapshots_to, s.base);
  }
  if (--o.loads > 0) return;
  if (!std::exchange(o.aborted_damaged, false)) return load_aborted(io, out);
  o.vouched = std::max(o.vouched, o.certain);
  o.may_resume = false;
  choose_snapshot(io, out);
}

Offset Log::last_stable(Offset high_watermark) const {
  const auto first = producers_.first_unstable(high_watermark);
  return first ? std::min(std::max(*first, ends_.log_start), high_watermark) : high_watermark;
}

// Kafka asks its offset index for a batch behind what was read, and takes its last offset; else the segment's end.
Offset Log::bound_behind(Offset next) const {
  const auto after = std::upper_bound(segments_.begin(), segments_.end(), next - 1,
                                      [](Offset asked, const Segment& s) { return asked < s.base; });
  KLAMM_ASSERT(after != segments_.begin());
  const Segment& s = *std::prev(after);
  const auto& entries = s.index.offsets();
  const auto e = std::lower_bound(entries.begin(), entries.end(), next - s.base,
                                  [](const IndexEntry& x, Offset asked) { return x.relative < asked; });
  if (e != entries.end()) return s.base + e->relative;
  return after == segments_.end() ? ends_.submitted : after->base;
}

std::vector<AbortedTxn> Log::aborted_in(Offset from, Offset next) const {
  std::vector<AbortedTxn> found;
  if (next <= from || segments_.empty()) return found;
  const Offset bound = std::max(next, bound_behind(next));
  auto s = std::upper_bound(segments_.begin(), segments_.end(), from,
                            [](Offset asked, const Segment& x) { return asked < x.base; });
  if (s != segments_.begin()) --s;
  for (; s != segments_.end(); ++s) {
    auto a = std::lower_bound(s->aborted.begin(), s->aborted.end(), from,
                              [](const AbortedTxn& x, Offset asked) { return x.last < asked; });
    for (; a != s->aborted.end(); ++a) {
      if (a->first < bound) found.push_back(*a);
      if (a->last_stable >= bound) return found;
    }
  }
  return found;
}

std::vector<AbortedTxn> Log::aborted_by(Offset from) const {
  std::vector<AbortedTxn> all;
  for (const Segment& s : segments_)
    std::copy_if(s.aborted.begin(), s.aborted.end(), std::back_inserter(all),
                 [&](const AbortedTxn& a) { return a.last >= from; });
  return all;
}

}  // namespace klamm::log
