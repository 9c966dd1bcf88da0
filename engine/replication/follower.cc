// The follower's half of a partition: what it fetches, and what it makes of the reply.
#include <algorithm>

#include "engine/replication/partition.h"

namespace klamm::replication {

void Partition::become_follower(Io& io, Moved& moved) {
  role_ = Role::follower;
  moved.role = true;
  leader_high_watermark_ = -1;
  remotes_.clear();
  proposal_.reset();
  const Offset end = log_.ends().submitted;
  const Offset keep = truncation_point(io.ctx.flaws, {high_watermark_, end});
  if (keep < end) log_.truncate_to(io, keep);
  trace_role(io.ctx);
}

bool Partition::wants_fetch() const {
  return role_ == Role::follower && at_.leader != kNoNode && log_.ready() && acked_end() == log_.ends().submitted;
}

Result<void> Partition::fetched(Io& io, const Fetched& reply, Moved& moved) {
  if (role_ != Role::follower || !log_.ready()) return {};
  if (!accept_fetch_reply(reply.asked, next_fetch())) return {};
  if (reply.diverging) {
    PROBE(io.ctx, follower_truncated);
    const OffsetAndEpoch own = log_.end_offset_for(reply.diverging->epoch);
    const Offset to = divergence_point(
        {*reply.diverging, own.epoch == kNoEpoch ? OffsetAndEpoch{log_.ends().log_start, kNoEpoch} : own});
    if (to < log_.ends().log_start)  // nothing here is the leader's
      start_over(io, std::max(to, reply.log_start));
    else
      log_.truncate_to(io, to);
    if (log_.ready()) set_high_watermark(io.ctx, std::min(high_watermark_, log_.ends().submitted), moved);
    return {};  // the rest of such a reply is not for us (KAFKA-14704)
  }
  if (!reply.records.empty()) {
    // The leader's log starts in the middle of a batch (KAFKA-6975).
    if (const auto begin = log_.starts_inside(reply.records)) start_over(io, *begin);
    const Result<Slice> batches = log_.check_follower_batches(reply.records);
    if (!batches) return tl::unexpected(batches.error());
    protocol::BatchCursor cursor(batches->span());
    while (cursor.next())  // epochs rise
      if (protocol::read_batch_header(cursor.batch().data()).partition_leader_epoch > at_.leader_epoch)
        return fail(ErrorCode::corrupt_message, "a batch of a later epoch than the leader's");
    if (!batches->empty()) log_.append_as_follower(io.ctx, *batches);
  }
  if (reply.log_start > log_.ends().log_start) {
    log_.advance_log_start(io.ctx, std::min(reply.log_start, log_.ends().submitted));
    high_watermark_ = std::max(high_watermark_, log_.ends().log_start);
  }
  leader_high_watermark_ = reply.high_watermark;
  follow_high_watermark(io.ctx, moved);
  return {};
}

// Only what is acknowledged here may count as committed here.
void Partition::follow_high_watermark(Ctx& ctx, Moved& moved) {
  const Offset to = std::min(leader_high_watermark_, acked_end());
  if (log_.ready() && to > high_watermark_) set_high_watermark(ctx, to, moved);
}

void Partition::start_over(Io& io, Offset start) {
  KLAMM_ASSERT(role_ == Role::follower);
  log_.truncate_fully_and_start_at(
      io, start,
      io.ctx.chance.uuid(Stream::directory_id, static_cast<uint64_t>(id_.partition), static_cast<uint64_t>(start)));
  high_watermark_ = start;
}

}  // namespace klamm::replication
