#include "engine/log/clean_transactions.h"

#include <algorithm>

namespace klamm::log {

CleanTransactions::CleanTransactions(std::vector<AbortedTxn> aborted) : aborted_(std::move(aborted)) {
  std::stable_sort(aborted_.begin(), aborted_.end(),
                   [](const AbortedTxn& a, const AbortedTxn& b) { return a.first < b.first; });
}

void CleanTransactions::begin_up_to(Offset last) {
  for (; next_ < aborted_.size() && aborted_[next_].first <= last; ++next_)
    going_.try_emplace(aborted_[next_].producer, Going{aborted_[next_]});
}

bool CleanTransactions::is_aborted(const BatchHeader& batch) {
  begin_up_to(batch.last_offset());
  if (!batch.transactional()) return false;
  const auto it = going_.find(batch.producer_id);
  if (it == going_.end()) {
    committed_.insert(batch.producer_id);
    return false;
  }
  return it->second.seen = true;
}

CleanTransactions::Marker CleanTransactions::on_control(const BatchHeader& batch, ByteSpan bytes) {
  begin_up_to(batch.last_offset());
  if (batch.record_count == 0) return {.needless = true};
  const auto marker = read_end_marker(batch, bytes);
  if (!marker) return {};
  if (marker->commit) return {.needless = committed_.erase(batch.producer_id) == 0};
  const auto it = going_.find(batch.producer_id);
  if (it == going_.end()) return {.needless = true};
  const Going ended = it->second;
  going_.erase(it);
  if (!ended.seen) return {.needless = true};
  return {.needless = false, .still = ended.txn};
}

}  // namespace klamm::log
