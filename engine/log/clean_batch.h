// What compaction makes of one batch. Pure.
#pragma once
#include "engine/base/result.h"
#include "engine/log/batch.h"
#include "engine/log/key_offsets.h"
#include "engine/log/rules.h"

namespace klamm::log {

// Puts the keys of the batch's records from `from` on. False: there was no room. Not for a batch that was aborted: it
// must not take the place of others. `batch` has passed check_batch, which gave `header`; corrupt_message or
// message_too_large if its records cannot be read.
Result<bool> map_batch(const BatchHeader& header, ByteSpan batch, Offset from, KeyOffsets& keys);

struct CleanRules {
  int64_t now_ms = 0;
  int64_t delete_retention_ms = 0;
  bool keep_header = false;  // even if no record stays: it is the last of its producer, or of the segment
  BatchUse use = BatchUse::data;
};
struct CleanedBatch {
  Slice bytes;  // empty: nothing is left
  int32_t read = 0;
  int32_t kept = 0;        // records
  bool unchanged = false;  // `bytes` are the batch as it was
};
// The batch without the records that have to go. It keeps its offsets, sequence, producer, epoch, codec and kind of
// timestamps; tombstones and needless markers set its delete horizon (KIP-534).
Result<CleanedBatch> clean_batch(const BatchHeader& header, const Slice& batch, const KeyOffsets& keys,
                                 const CleanRules& rules);

}  // namespace klamm::log
