// The bodies of runtime.h; included by it alone.
#pragma once

namespace klamm::coordinator {

template<class Core>
Result<Offset> Runtime<Core>::load(Ctx& ctx, int32_t partition, ByteSpan batches) {
  Shard<Core>* s = find(partition);
  if (!s || s->status != Status::loading) return klamm::fail(ErrorCode::not_coordinator);
  const auto damaged = [&] {
    s->status = Status::failed;
    return klamm::fail(ErrorCode::corrupt_message);
  };
  protocol::BatchCursor cursor(batches);
  while (cursor.next()) {
    const Result<protocol::BatchHeader> header = protocol::check_batch(cursor.batch());
    if (!header) return damaged();
    const auto open = protocol::OpenBatch::open(*header, cursor.batch(), protocol::kPlainMost);
    if (!open) return damaged();
    protocol::RecordCursor records = open->records();
    protocol::Record r;
    while (records.next(r)) {
      const ProducerId producer = header->transactional() ? header->producer_id : -1;
      if (header->control()) {
        const auto type = protocol::control_type(r.key);
        if (type == static_cast<int16_t>(protocol::ControlType::commit)) Core::replay_marker(s->latest, producer, true);
        if (type == static_cast<int16_t>(protocol::ControlType::abort)) Core::replay_marker(s->latest, producer, false);
      } else if (!Core::replay(s->latest, ctx.arena(), {r.key, r.value, r.offset, producer})) {
        return damaged();
      }
    }
    if (records.error()) return damaged();
    s->next = header->last_offset() + 1;
  }
  if (cursor.error()) return damaged();
  return s->next;
}

template<class Core>
void Runtime<Core>::resigned(Ctx& ctx, int32_t partition, Out<Core>& out) {
  const auto it = shards_.find(partition);
  if (it == shards_.end()) return;
  Shard<Core> s = *it->second;
  if (s.wake != kNever) calendar_.erase({s.wake, partition});
  shards_.erase(it);
  // What these operations record is dropped with the shard.
  Op op(ctx, partition, s.latest, out, most_records_bytes());
  for (Batch<Core>& b : s.pending) {
    for (HeldEffect<Core>& e : b.effects) s.core.failed(op, e.effect, ErrorCode::not_coordinator);
    for (Held<Core>& h : b.replies) op.refuse_now(std::move(h.to), ErrorCode::not_coordinator);
  }
  if (s.status == Status::active) s.core.deactivated(op);
  for (auto& r : op.replies_) op.refuse_now(std::move(r.to), ErrorCode::not_coordinator);
}

// Takes an operation's outcome: its records join the queue, its replies wait behind them.
template<class Core>
void Runtime<Core>::settle(Ctx& ctx, int32_t partition, Shard<Core>& s, Op& op, Out<Core>& out) {
  const Instant deadline = ctx.now + options_.write_timeout;
  KLAMM_ASSERT(op.effects_.empty() || !op.records_.empty());
  size_t bytes = 0;
  for (const NewRecord& r : op.records_) bytes += record_size(r);
  std::deque<Batch<Core>> refused;
  if (bytes > most_records_bytes()) {
    refused.emplace_back();
    for (auto& r : op.replies_) refused[0].replies.push_back({deadline, std::move(r.to), {}});
    for (auto& e : op.effects_) refused[0].effects.push_back({deadline, std::move(e)});
    op.replies_.clear();
  } else if (!op.records_.empty()) {
    Batch<Core>& batch = take(ctx, s, op.records_, bytes);
    for (auto& e : op.effects_) batch.effects.push_back({deadline, std::move(e)});
  }
  for (NewRecord& r : op.apart_) {
    const size_t size = record_size(r);
    take(ctx, s, {&r, 1}, size);
  }
  for (auto& r : op.replies_) {
    if (!s.pending.empty())
      s.pending.back().replies.push_back({deadline, std::move(r.to), std::move(r.body)});
    else
      out.released.push_back({std::move(r.to), ErrorCode::none, std::move(r.body)});
  }
  send_next(ctx, partition, s, out);
  if (!refused.empty()) fail(ctx, partition, s, std::move(refused), ErrorCode::record_list_too_large, out);
}

template<class Core>
Batch<Core>& Runtime<Core>::take(Ctx& ctx, Shard<Core>& s, std::span<NewRecord> records, size_t bytes) {
  using protocol::Bytes;
  Batch<Core>& batch = batch_for(s, bytes);
  batch.bytes += bytes;
  batch.count += static_cast<int32_t>(records.size());
  for (NewRecord& r : records) {
    const Bytes value = r.tombstone ? Bytes() : Bytes::of(r.value.span());
    const bool ok = Core::replay(s.latest, ctx.arena(), {Bytes::of(r.key.span()), value, s.next++, -1});
    KLAMM_ASSERT(ok);
    batch.records.push_back(std::move(r));
  }
  return batch;
}

// The batch that takes `bytes` more: the open one, or a new one behind a full one.
template<class Core>
Batch<Core>& Runtime<Core>::batch_for(Shard<Core>& s, size_t bytes) {
  if (!s.pending.empty() && s.pending.back().phase == Phase::open) {
    Batch<Core>& b = s.pending.back();
    if (b.bytes + bytes <= most_records_bytes()) return b;
    b.phase = Phase::closed;
    b.root = s.latest;
  }
  return s.pending.emplace_back();
}

template<class Core>
void Runtime<Core>::send_next(Ctx& ctx, int32_t partition, Shard<Core>& s, Out<Core>& out) {
  const auto next = first_unappended(s);
  if (next == s.pending.end() || next->phase == Phase::sent) return;
  if (next->phase == Phase::open) next->root = s.latest;
  next->phase = Phase::sent;
  next->epoch = s.epoch;
  KLAMM_ASSERT(!next->records.empty());
  protocol::BatchBuilder builder({.leader_epoch = s.epoch, .size_hint = protocol::kBatchHeaderSize + next->bytes});
  for (const NewRecord& r : next->records)
    builder.add({.timestamp = ctx.wall.ms,
                 .key = protocol::Bytes::of(r.key.span()),
                 .value = r.tombstone ? protocol::Bytes() : protocol::Bytes::of(r.value.span())});
  next->records.clear();
  next->records.shrink_to_fit();
  out.appends.push_back({partition, s.epoch, next->count, builder.finish()});
}

template<class Core>
void Runtime<Core>::append_ended(Ctx& ctx, const AppendEnd& end, Out<Core>& out) {
  Shard<Core>* s = find(end.partition);
  if (!s || s->status != Status::active) return;
  const auto sent = first_unappended(*s);
  if (sent == s->pending.end() || sent->phase != Phase::sent || sent->epoch != end.epoch) return;
  if (end.error == ErrorCode::none)
    appended(ctx, end.partition, *s, end.base, out);
  else
    revert(ctx, end.partition, *s, end.error, out);
}

template<class Core>
void Runtime<Core>::appended(Ctx& ctx, int32_t partition, Shard<Core>& s, Offset base, Out<Core>& out) {
  const auto sent = first_unappended(s);
  sent->phase = Phase::appended;
  sent->end = base + sent->count;
  s.next = sent->end;
  for (auto b = sent + 1; b != s.pending.end(); ++b) s.next += b->count;
  send_next(ctx, partition, s, out);
  commit(ctx, partition, s, out);
}

// The batch on its way is not in the log: it and all that was built on it are taken back.
template<class Core>
void Runtime<Core>::revert(Ctx& ctx, int32_t partition, Shard<Core>& s, ErrorCode error, Out<Core>& out) {
  PROBE(ctx, uncommitted_reverted);
  const auto sent = first_unappended(s);
  std::deque<Batch<Core>> lost(std::make_move_iterator(sent), std::make_move_iterator(s.pending.end()));
  s.pending.erase(sent, s.pending.end());
  for (const Batch<Core>& b : lost) s.next -= b.count;
  s.latest = s.pending.empty() ? s.committed : s.pending.back().root;
  fail(ctx, partition, s, std::move(lost), error, out);
}

// Everybody who waits for these batches, which are no longer in the queue, learns that they failed.
template<class Core>
void Runtime<Core>::fail(Ctx& ctx, int32_t partition, Shard<Core>& s, std::deque<Batch<Core>> batches, ErrorCode error,
                         Out<Core>& out) {
  const ErrorCode told = error_for_client(error);
  for (Batch<Core>& b : batches) {
    for (Held<Core>& h : b.replies) out.released.push_back({std::move(h.to), told, {}});
    for (HeldEffect<Core>& e : b.effects)
      run(ctx, partition, s, out, [&](Core& core, Op& op) { core.failed(op, e.effect, told); });
  }
  remember_wake(partition, s);
}

template<class Core>
void Runtime<Core>::commit(Ctx& ctx, int32_t partition, Shard<Core>& s, Out<Core>& out) {
  while (!s.pending.empty() && s.pending.front().phase == Phase::appended &&
         coordinator::committed(s.high_watermark, s.pending.front().end)) {
    Batch<Core> b = std::move(s.pending.front());
    s.pending.pop_front();
    s.committed = std::move(b.root);
    for (Held<Core>& h : b.replies) out.released.push_back({std::move(h.to), ErrorCode::none, std::move(h.body)});
    for (HeldEffect<Core>& e : b.effects)
      run(ctx, partition, s, out, [&](Core& core, Op& op) { core.committed(op, e.effect); });
  }
  remember_wake(partition, s);
}

template<class Core>
void Runtime<Core>::on_time(Ctx& ctx, Out<Core>& out) {
  std::vector<int32_t> due;  // first, because a shard may want another turn at once
  for (auto it = calendar_.begin(); it != calendar_.end() && it->first <= ctx.now; ++it) due.push_back(it->second);
  for (const int32_t partition : due) {
    Shard<Core>& s = *find(partition);
    time_out(ctx, partition, s, out);
    run(ctx, partition, s, out, [](Core& core, Op& op) { core.on_time(op); });
  }
}

// Whoever has waited too long is told so; the records may still be committed.
template<class Core>
void Runtime<Core>::time_out(Ctx& ctx, int32_t partition, Shard<Core>& s, Out<Core>& out) {
  std::deque<Batch<Core>> late(1);
  for (Batch<Core>& b : s.pending) {
    while (!b.replies.empty() && b.replies.front().deadline <= ctx.now) {
      late[0].replies.push_back(std::move(b.replies.front()));
      b.replies.pop_front();
    }
    while (!b.effects.empty() && b.effects.front().deadline <= ctx.now) {
      late[0].effects.push_back(std::move(b.effects.front()));
      b.effects.pop_front();
    }
    if (!b.replies.empty() || !b.effects.empty()) break;
  }
  fail(ctx, partition, s, std::move(late), ErrorCode::request_timed_out, out);
}

}  // namespace klamm::coordinator
