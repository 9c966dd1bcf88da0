#include "bindings/any_cluster.h"
#include "engine/protocol/record_batch.h"

namespace klamm::bindings {

std::vector<LogBatch> read_segments(const std::vector<Slice>& segments) {
  constexpr size_t kPlainMax = 256 << 20;
  std::vector<LogBatch> out;
  const auto text = [](const protocol::Bytes& b) {
    return b.is_null() ? std::string() : std::string(as_text(b.span()));
  };
  for (const Slice& segment : segments) {
    protocol::BatchCursor cursor(segment.span());
    while (cursor.next()) {
      const auto header = protocol::check_batch(cursor.batch());
      if (!header) break;
      LogBatch& batch = out.emplace_back();
      batch.base_offset = header->base_offset;
      batch.last_offset = header->last_offset();
      batch.leader_epoch = header->partition_leader_epoch;
      if (header->control()) continue;
      const auto open = protocol::OpenBatch::open(*header, cursor.batch(), kPlainMax);
      if (!open) break;
      protocol::RecordCursor records = open->records();
      for (protocol::Record r; records.next(r);) batch.records.emplace_back(text(r.key), text(r.value));
    }
  }
  return out;
}

}  // namespace klamm::bindings
