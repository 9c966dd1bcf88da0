#include "engine/log/producers.h"

#include <algorithm>
#include <utility>

#include "engine/base/assert.h"

namespace klamm::log {

const ProducerEntry* ProducerStates::find(ProducerId id) const {
  const auto it = entries_.find(id);
  return it == entries_.end() ? nullptr : &it->second;
}

AdmissionResult ProducerStates::check(const BatchHeader& batch) const {
  KLAMM_ASSERT_REL(batch.producer_id, >=, 0);
  const ProducerEntry* e = find(batch.producer_id);
  if (!e) return {};
  const int32_t last = batch.last_sequence();
  if (batch.producer_epoch == e->epoch)
    for (size_t i = 0; i < e->count; ++i)
      if (e->batches[i].last_sequence == last && e->batches[i].first_sequence() == batch.base_sequence)
        return {Admission::duplicate, e->batches[i]};
  ProducerView view{true, e->epoch, std::nullopt, e->transaction_first >= 0};
  if (e->newest()) view.last_sequence = e->newest()->last_sequence;
  return {sequence_admission(view, {batch.producer_epoch, batch.base_sequence, batch.transactional()}), {}};
}

std::optional<AbortedTxn> ProducerStates::apply(const AppliedBatch& applied) {
  const BatchHeader& batch = applied.header;
  if (batch.producer_id < 0) return std::nullopt;
  if (batch.control() && !applied.marker) return std::nullopt;  // compaction has emptied it: it ends nothing any more
  ProducerEntry& e = entries_[batch.producer_id];
  if (undo_.size() == kMaxProducerUndo) {
    undo_from_ = undo_.front().last + 1;
    undo_.pop_front();
  }
  undo_.push_back({batch.last_offset(), batch.producer_id, e});
  if (e.epoch != batch.producer_epoch) {
    e.count = 0;
    e.batches = {};
    e.epoch = batch.producer_epoch;
  }
  e.last_timestamp = batch.max_timestamp;
  if (batch.control()) return end_transaction(applied, e);
  if (e.count == kProducerBatches) {
    std::move(e.batches.begin() + 1, e.batches.end(), e.batches.begin());
    --e.count;
  }
  e.batches[e.count++] = {batch.last_sequence(), batch.last_offset_delta, batch.last_offset(), batch.max_timestamp};
  for (size_t i = e.count; i < kProducerBatches; ++i) e.batches[i] = {};
  if (batch.transactional() && e.transaction_first < 0) {
    e.transaction_first = batch.base_offset;
    open_.insert({e.transaction_first, batch.producer_id});
  }
  return std::nullopt;
}

// A marker without a transaction before it only tells epochs.
std::optional<AbortedTxn> ProducerStates::end_transaction(const AppliedBatch& applied, ProducerEntry& e) {
  const BatchHeader& batch = applied.header;
  e.coordinator_epoch = applied.marker->coordinator_epoch;
  const Offset first = std::exchange(e.transaction_first, -1);
  if (first < 0) return std::nullopt;
  open_.erase({first, batch.producer_id});
  const Offset last = batch.base_offset;
  if (ended_.size() == kMaxEndedTxns) {
    const Offset oldest = ended_.front().first;
    ended_.pop_front();
    ended_.front().first = std::min(ended_.front().first, oldest);
  }
  ended_.push_back({first, last});
  if (applied.marker->commit) return std::nullopt;
  return AbortedTxn{batch.producer_id, first, last, open_.empty() ? last + 1 : open_.begin()->first};
}

std::optional<Offset> ProducerStates::first_unstable(Offset high_watermark) const {
  std::optional<Offset> first;
  if (!open_.empty()) first = open_.begin()->first;
  for (auto e = ended_.rbegin(); e != ended_.rend() && e->last >= high_watermark; ++e)
    first = std::min(first.value_or(e->first), e->first);
  return first;
}

void ProducerStates::forget_below(Offset high_watermark) {
  while (!ended_.empty() && ended_.front().last < high_watermark) ended_.pop_front();
  while (!undo_.empty() && undo_.front().last < high_watermark) {
    undo_from_ = undo_.front().last + 1;
    undo_.pop_front();
  }
}

bool ProducerStates::truncate_to(Offset end) {
  if (end < undo_from_) return false;
  while (!undo_.empty() && undo_.back().last >= end) {
    const Undo& u = undo_.back();
    ProducerEntry& e = entries_[u.id];
    if (e.transaction_first >= 0) open_.erase({e.transaction_first, u.id});
    e = u.before;
    if (e.transaction_first >= 0) open_.insert({e.transaction_first, u.id});
    if (e.epoch < 0) entries_.erase(u.id);
    undo_.pop_back();
  }
  while (!ended_.empty() && ended_.back().last >= end) ended_.pop_back();
  return true;
}

void ProducerStates::reset_to(Offset start) { restore({}, start); }

void ProducerStates::restore(std::map<ProducerId, ProducerEntry> entries, Offset at) {
  entries_ = std::move(entries);
  undo_.clear();
  undo_from_ = at;
  ended_.clear();
  open_.clear();
  for (const auto& [id, e] : entries_)
    if (e.transaction_first >= 0) open_.insert({e.transaction_first, id});
}

static bool expired(const ProducerEntry& e, const Expiration& by) {
  return e.transaction_first < 0 && saturating_subtract(by.now_ms, e.last_timestamp) >= by.after_ms;
}

bool ProducerStates::has_expired(const Expiration& by) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const auto& e) { return expired(e.second, by); });
}

void ProducerStates::expire(const Expiration& by) {
  std::erase_if(entries_, [&](const auto& e) { return expired(e.second, by); });
}

}  // namespace klamm::log
