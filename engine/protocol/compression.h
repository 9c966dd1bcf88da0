// The codecs of record batches: gzip, snappy in the framing of Java's library, lz4 frames, zstd.
#pragma once
#include "engine/base/bytes.h"
#include "engine/base/result.h"
#include "engine/base/writer.h"

namespace klamm::protocol {

enum class Compression : uint8_t { none = 0, gzip = 1, snappy = 2, lz4 = 3, zstd = 4 };
inline constexpr uint8_t kCompressionMask = 7;  // of a batch's attributes; 5 to 7 are nobody's
const char* name(Compression c);

// Kafka's default levels; the codecs clamp others to what they know.
struct CompressionLevel {
  int gzip = -1;
  int lz4 = 9;
  int zstd = 3;
};

// Appends the compressed bytes. `none` copies.
void compress(Compression c, ByteSpan in, Writer& out, CompressionLevel level = {});

struct Decompression {
  size_t output_max;                     // more than that is an error: a small batch must not become a large one
  bool first_stream_only = false;        // what follows a gzip member or an lz4 frame is not looked at
  bool old_lz4_header_checksum = false;  // magic 0: the checksum covers the frame's magic number, too
};
// The plain bytes; corrupt_message for a damaged or unfinished stream, message_too_large past the limit.
Result<Slice> decompress(Compression c, ByteSpan in, Decompression options);

}  // namespace klamm::protocol
