// A record set of any format, with checksums made to fit, so that the records behind them are reached.
#include <vector>

#include "engine/protocol/legacy_batch.h"
#include "engine/protocol/record_batch.h"
#include "tests/fuzz/check.h"

namespace {

using namespace klamm;
using namespace klamm::protocol;

constexpr size_t kPlainMax = 1 << 20;

void read_records(const BatchHeader& header, ByteSpan batch) {
  const Result<OpenBatch> open = OpenBatch::open(header, batch, kPlainMax);
  if (!open) return;
  RecordCursor records = open->records();
  int64_t n = 0;
  for (Record r; records.next(r); ++n) {
    HeaderCursor headers(r);
    int32_t seen = 0;
    for (RecordHeader h; headers.next(h);) ++seen;
    FUZZ_CHECK(seen == r.header_count);
  }
  FUZZ_CHECK(records.error() != nullptr || n == std::max(header.record_count, 0));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  BatchCursor cursor({data, size});
  while (cursor.next()) {
    const ByteSpan batch = cursor.batch();
    if (cursor.magic() != kCurrentMagic) {
      const Result<LegacyBatch> legacy = read_legacy_batch(batch, kPlainMax);
      FUZZ_CHECK(!legacy || !legacy->records.empty());
      continue;
    }
    if (batch.size() < kBatchHeaderSize) continue;
    std::vector<uint8_t> fitting(batch.begin(), batch.end());
    BatchHeader header = read_batch_header(fitting.data());
    const Slice records = Slice::copy(batch.subspan(kBatchHeaderSize));
    header.crc = batch_crc(fitting.data(), std::span(&records, 1));
    write_batch_header(fitting.data(), header);
    const Result<BatchHeader> checked = check_batch(fitting);
    FUZZ_CHECK(checked.has_value());
    read_records(*checked, fitting);
  }
  return 0;
}
