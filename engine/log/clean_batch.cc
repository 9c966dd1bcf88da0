#include "engine/log/clean_batch.h"

#include <limits>
#include <vector>

#include "engine/log/rules.h"
#include "engine/protocol/batch_builder.h"

namespace klamm::log {
namespace {

using protocol::BatchBuilder;
using protocol::OpenBatch;
using protocol::Record;

// Calls `each(record)` for all records, whose offsets rise and lie in the batch, until it says false.
template<class F>
Result<void> for_each_record(const OpenBatch& open, F&& each) {
  auto cursor = open.records();
  int32_t last = -1;
  for (Record r; cursor.next(r); last = r.offset_delta) {
    if (r.offset_delta <= last || r.offset_delta > open.header().last_offset_delta)
      return fail(ErrorCode::corrupt_message, "a record's offset lies outside of its batch");
    if (!each(r)) return {};
  }
  if (cursor.error() != nullptr) return fail(ErrorCode::corrupt_message, cursor.error());
  return {};
}

BatchBuilder::Options options_of(const BatchHeader& h) {
  BatchBuilder::Options o;
  o.base_offset = h.base_offset;
  o.leader_epoch = h.partition_leader_epoch;
  o.producer_id = h.producer_id;
  o.producer_epoch = h.producer_epoch;
  o.base_sequence = h.base_sequence;
  o.transactional = h.transactional();
  o.control = h.control();
  if (h.timestamp_type() == protocol::TimestampType::log_append_time) o.log_append_time = h.max_timestamp;
  o.empty_max_timestamp = h.max_timestamp;
  return o;
}

Slice finish(BatchBuilder& builder, const BatchHeader& h) {
  builder.cover_to(h.last_offset_delta);
  return builder.finish();
}

void add(BatchBuilder& builder, const Record& r) {
  std::vector<protocol::RecordHeader> headers;
  protocol::HeaderCursor cursor(r);
  for (protocol::RecordHeader header; cursor.next(header);) headers.push_back(header);
  builder.add_at(r.offset_delta, {r.timestamp, r.key, r.value, headers});
}

}  // namespace

Result<bool> map_batch(const BatchHeader& header, ByteSpan batch, Offset from, KeyOffsets& keys) {
  if (header.control() || header.record_count == 0) return true;
  const auto open = OpenBatch::open(header, batch, protocol::kPlainMost);
  if (!open) return tl::unexpected<Error>(open.error());
  bool room = true;
  const auto read = for_each_record(*open, [&](const Record& r) {
    if (!r.key.is_null() && r.offset >= from) room = keys.put(r.key.span(), r.offset);
    return room;
  });
  if (!read) return tl::unexpected<Error>(read.error());
  return room;
}

Result<CleanedBatch> clean_batch(const BatchHeader& h, const Slice& batch, const KeyOffsets& keys,
                                 const CleanRules& rules) {
  CleanedBatch out;
  out.read = out.kept = h.record_count;
  const auto unchanged = [&]() {
    out.bytes = batch;
    out.unchanged = true;
    return out;
  };
  if (rules.use == BatchUse::marker) return unchanged();
  if (h.record_count == 0) return rules.keep_header ? unchanged() : out;

  const auto open = OpenBatch::open(h, batch.span(), protocol::kPlainMost);
  if (!open) return tl::unexpected<Error>(open.error());
  const bool horizon_passed = h.has_delete_horizon() && h.base_timestamp <= rules.now_ms;
  std::vector<bool> stays;
  bool tombstones = rules.use == BatchUse::needless_marker;
  out.kept = 0;
  const auto judged = for_each_record(*open, [&](const Record& r) {
    RecordFate fate{.offset = r.offset, .has_key = !r.key.is_null(), .tombstone = r.value.is_null()};
    if (fate.has_key) fate.newest_of_key = keys.find(r.key.span());
    stays.push_back(record_stays(fate, {keys.end(), horizon_passed, rules.use}));
    if (stays.back()) ++out.kept, tombstones = tombstones || fate.tombstone;
    return true;
  });
  if (!judged) return tl::unexpected<Error>(judged.error());

  const bool begins_horizon = tombstones && !h.has_delete_horizon();
  if (out.kept == h.record_count && !begins_horizon) return unchanged();
  BatchBuilder::Options o = options_of(h);
  if (out.kept == 0) {
    BatchBuilder nothing(o);
    if (rules.keep_header) out.bytes = finish(nothing, h);
    return out;
  }
  o.compression = h.compression();
  if (begins_horizon)
    o.delete_horizon = saturating_add(rules.now_ms, rules.delete_retention_ms);
  else if (h.has_delete_horizon())
    o.delete_horizon = h.base_timestamp;
  o.size_hint = batch.size();
  BatchBuilder builder(o);
  auto cursor = open->records();
  size_t at = 0;
  for (Record r; cursor.next(r);)
    if (stays[at++]) add(builder, r);
  KLAMM_ASSERT_REL(builder.count(), ==, out.kept);
  out.bytes = finish(builder, h);
  return out;
}

}  // namespace klamm::log
