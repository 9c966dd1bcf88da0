#include "engine/log/producers.h"

#include <algorithm>

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
  ProducerView view{true, e->epoch, std::nullopt};
  if (e->newest()) view.last_sequence = e->newest()->last_sequence;
  return {sequence_admission(view, {batch.producer_epoch, batch.base_sequence}), {}};
}

void ProducerStates::apply(const BatchHeader& batch) {
  if (batch.producer_id < 0) return;
  ProducerEntry& e = entries_[batch.producer_id];
  if (undo_.size() == kMaxProducerUndo) {
    undo_from_ = undo_.front().last + 1;
    undo_.pop_front();
  }
  undo_.push_back({batch.last_offset(), batch.producer_id, e});
  if (e.epoch != batch.producer_epoch) {
    e.count = 0;
    e.epoch = batch.producer_epoch;
  }
  e.last_timestamp = batch.max_timestamp;
  if (batch.control()) {
    e.transaction_first = -1;
    return;
  }
  if (e.count == kProducerBatches) {
    std::move(e.batches.begin() + 1, e.batches.end(), e.batches.begin());
    --e.count;
  }
  e.batches[e.count++] = {batch.last_sequence(), batch.last_offset_delta, batch.last_offset(), batch.max_timestamp};
  for (size_t i = e.count; i < kProducerBatches; ++i) e.batches[i] = {};
  if (batch.transactional() && e.transaction_first < 0) e.transaction_first = batch.base_offset;
}

bool ProducerStates::truncate_to(Offset end) {
  if (end < undo_from_) return false;
  while (!undo_.empty() && undo_.back().last >= end) {
    const Undo& u = undo_.back();
    if (u.before.epoch < 0)
      entries_.erase(u.id);
    else
      entries_[u.id] = u.before;
    undo_.pop_back();
  }
  return true;
}

void ProducerStates::reset_to(Offset start) { restore({}, start); }

void ProducerStates::restore(std::map<ProducerId, ProducerEntry> entries, Offset at) {
  entries_ = std::move(entries);
  undo_.clear();
  undo_from_ = at;
}

static bool expired(const ProducerEntry& e, const Expiration& by) {
  return e.transaction_first < 0 && by.now_ms - e.last_timestamp >= by.after_ms;
}

bool ProducerStates::has_expired(const Expiration& by) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const auto& e) { return expired(e.second, by); });
}

void ProducerStates::expire(const Expiration& by) {
  std::erase_if(entries_, [&](const auto& e) { return expired(e.second, by); });
}

}  // namespace klamm::log
