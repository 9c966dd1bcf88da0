#include "engine/metadata/bootstrap.h"

#include "engine/base/reader.h"
#include "engine/metadata/records.h"
#include "engine/metadata/snapshot.h"
#include "engine/metadata/unused_records.h"
#include "engine/protocol/record_batch.h"

namespace klamm::metadata {

namespace {

// Such records can be folded into any image; nobody writes others into this file.
bool belongs(ByteSpan frame) {
  Reader r(frame);
  const uint32_t frame_version = r.uvarint(), type = r.uvarint();
  return r.ok() && frame_version == kRecordFrameVersion &&
         (type == static_cast<uint32_t>(protocol::FeatureLevelRecord::kId) || is_unused_record(type));
}

}  // namespace

Result<Bootstrap> read_bootstrap(Arena& arena, const Slice& file) {
  Bootstrap out;
  SnapshotReader whole({}, file);
  if (const auto read = whole.step(arena, file.size()); !read) return tl::unexpected(read.error());
  out.image = whole.image();
  if (out.image.feature(kMetadataVersion) == 0) return fail(ErrorCode::corrupt_message, "it names no metadata.version");
  protocol::BatchCursor cursor(file.span());
  while (cursor.next()) {
    const protocol::BatchHeader header = protocol::read_batch_header(cursor.batch().data());
    if (header.control()) continue;
    const auto open = protocol::OpenBatch::open(header, cursor.batch(), kBootstrapPlainMost);
    if (!open) return tl::unexpected(open.error());
    protocol::RecordCursor records = open->records();
    for (protocol::Record r; records.next(r);) {
      if (out.records.size() == kBootstrapRecordsMost)
        return fail(ErrorCode::corrupt_message, "it has too many records");
      const ByteSpan frame = r.value.is_null() ? ByteSpan{} : r.value.span();
      if (!belongs(frame)) return fail(ErrorCode::corrupt_message, "it has records that no cluster begins with");
      out.records.push_back(Slice::copy(frame));
    }
  }
  return out;
}

}  // namespace klamm::metadata
