#include "engine/protocol/compression.h"

#include <lz4frame.h>
#include <snappy.h>
#include <xxhash.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <memory>
#include <string>

#include "engine/base/reader.h"

namespace klamm::protocol {
namespace {

// Output of unknown size: grows by doubling, never past `most`.
class Output final {
 public:
  Output(size_t input, size_t most) : most_(std::min<size_t>(most, std::numeric_limits<uint32_t>::max())) {
    grow(std::max<size_t>(4 * input, 4096));
  }
  uint8_t* at() { return buffer_->data() + size_; }
  size_t room() const { return buffer_->capacity - size_; }
  void advance(size_t n) { size_ += n; }
  // False when the limit is reached.
  bool more() {
    if (buffer_->capacity >= most_) return false;
    grow(2 * size_t{buffer_->capacity});
    return true;
  }
  Slice finish() {
    buffer_->fill = static_cast<uint32_t>(size_);
    const uint8_t* data = buffer_->data();
    return Slice(std::move(buffer_), data, size_);
  }

 private:
  void grow(size_t capacity) {
    BufferRef larger = BufferRef::make(static_cast<uint32_t>(std::min(capacity, most_)));
    if (size_ != 0) std::memcpy(larger->data(), buffer_->data(), size_);
    buffer_ = std::move(larger);
  }
  size_t most_;
  size_t size_ = 0;
  BufferRef buffer_;
};

tl::unexpected<Error> corrupt(const char* why) { return fail(ErrorCode::corrupt_message, why); }
tl::unexpected<Error> too_large() {
  return fail(ErrorCode::message_too_large, "the plain size of a batch exceeds the limit");
}

// ---- gzip

void compress_gzip(ByteSpan in, Writer& out, int level) {
  z_stream z{};
  const int clamped = level == -1 ? level : std::clamp(level, 1, 9);
  KLAMM_ASSERT(deflateInit2(&z, clamped, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  z.next_in = const_cast<uint8_t*>(in.data());
  z.avail_in = static_cast<uInt>(in.size());
  uint8_t piece[16 * 1024];
  int state = Z_OK;
  while (state == Z_OK) {
    z.next_out = piece;
    z.avail_out = sizeof piece;
    state = deflate(&z, Z_FINISH);
    out.raw({piece, sizeof piece - z.avail_out});
  }
  deflateEnd(&z);
  KLAMM_ASSERT_REL(state, ==, Z_STREAM_END);
}

// What follows a member is another one if it is long enough and begins like one, else Java passes over it.
constexpr size_t kGzipMemberLeast = 19;

Result<Slice> decompress_gzip(ByteSpan in, Decompression options) {
  z_stream z{};
  gz_header next{};
  next.done = 1;  // of the first member's header nothing is forgiven
  if (inflateInit2(&z, 15 + 16) != Z_OK) return corrupt("gzip: no memory");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> closer(&z, inflateEnd);
  z.next_in = const_cast<uint8_t*>(in.data());
  z.avail_in = static_cast<uInt>(in.size());
  Output out(in.size(), options.output_max);
  for (;;) {
    z.next_out = out.at();
    z.avail_out = static_cast<uInt>(out.room());
    const int state = inflate(&z, Z_NO_FLUSH);
    out.advance(out.room() - z.avail_out);
    if (state == Z_STREAM_END) {
      if (z.avail_in < kGzipMemberLeast || options.first_stream_only) return out.finish();
      if (inflateReset(&z) != Z_OK || inflateGetHeader(&z, &next) != Z_OK) return corrupt("gzip: cannot go on");
    } else if (next.done != 1 && (state != Z_OK || z.avail_in == 0)) {
      return out.finish();
    } else if (state != Z_OK && state != Z_BUF_ERROR) {
      return corrupt("gzip: damaged stream");
    } else if (z.avail_out != 0) {
      return corrupt("gzip: the stream is unfinished");
    } else if (!out.more()) {
      return too_large();
    }
  }
}

// ---- snappy, framed: 82 "SNAPPY" 0, int32 version, int32 compatible version, then int32 length and raw block,
// repeated

constexpr uint8_t kSnappyMagic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
constexpr size_t kSnappyBlock = 32 * 1024;
constexpr size_t kSnappyHeader = 16;
constexpr size_t kSnappyLength = 4;  // what is left beyond the blocks and shorter is passed over

void compress_snappy(ByteSpan in, Writer& out) {
  out.raw(kSnappyMagic);
  out.i32(1);
  out.i32(1);
  std::string block;
  for (size_t at = 0; at < in.size(); at += kSnappyBlock) {
    const std::string_view part = as_text(in.subspan(at, std::min(kSnappyBlock, in.size() - at)));
    snappy::Compress(part.data(), part.size(), &block);
    out.i32(static_cast<int32_t>(block.size()));
    out.raw(as_bytes(block));
  }
}

// Appends one raw block; null when all went well, "" when the limit is reached, else the reason.
const char* snappy_block(ByteSpan block, size_t most, Writer& out) {
  const std::string_view text = as_text(block);
  size_t plain = 0;
  if (!snappy::GetUncompressedLength(text.data(), text.size(), &plain)) return "snappy: damaged block";
  if (plain > most - out.size()) return "";
  // A block of n bytes cannot describe more than about 64 n: a copy of 64 bytes takes three.
  if (plain > 64 * text.size() + 64) return "snappy: damaged block";
  if (!snappy::RawUncompress(text.data(), text.size(), reinterpret_cast<char*>(out.need(plain))))
    return "snappy: damaged block";
  return nullptr;
}

bool starts_with_head(const Reader& r) { return std::equal(kSnappyMagic, kSnappyMagic + kSnappyLength, r.at()); }

Result<Slice> decompress_snappy(ByteSpan in, size_t most) {
  Writer out(std::min(2 * in.size() + 64, most));
  Reader r(in);
  const bool framed =
      in.size() >= sizeof kSnappyMagic && std::equal(std::begin(kSnappyMagic), std::end(kSnappyMagic), in.begin());
  if (framed) r.span(kSnappyHeader);
  bool more = framed ? r.remaining() >= kSnappyLength : true;
  for (; more; more = framed && r.remaining() >= kSnappyLength) {
    if (framed && starts_with_head(r)) {  // another stream follows
      const uint8_t* header = r.take(kSnappyHeader);
      if (!header) return corrupt("snappy: the stream is unfinished");
      if (!std::equal(std::begin(kSnappyMagic), std::end(kSnappyMagic), header)) break;
      Reader versions({header + sizeof kSnappyMagic, kSnappyHeader - sizeof kSnappyMagic});
      versions.i32();
      if (versions.i32() < 1) return corrupt("snappy: an unknown version");
      continue;
    }
    const ByteSpan block = framed ? r.span(r.u32()) : r.span(r.remaining());
    if (!r.ok()) return corrupt("snappy: the stream is unfinished");
    if (const char* why = snappy_block(block, most, out)) {
      if (*why == 0) return too_large();
      return corrupt(why);
    }
  }
  return out.finish_contiguous();
}

// ---- lz4 frames

void compress_lz4(ByteSpan in, Writer& out, int level) {
  LZ4F_preferences_t options{};
  options.frameInfo.blockSizeID = LZ4F_max64KB;
  options.frameInfo.blockMode = LZ4F_blockIndependent;
  // Kafka's default level stands for the fast compressor; every other is the slow one's.
  options.compressionLevel = std::clamp(level, 1, 17) == 9 ? 0 : std::clamp(level, 1, 17);
  const size_t bound = LZ4F_compressFrameBound(in.size(), &options);
  const auto block = std::make_unique<uint8_t[]>(bound);
  const size_t n = LZ4F_compressFrame(block.get(), bound, in.data(), in.size(), &options);
  KLAMM_ASSERT(!LZ4F_isError(n));
  out.raw({block.get(), n});
}

// The header of a frame, with its checksum as the format wants it instead of magic 0's.
bool repair_lz4_header(uint8_t* header, size_t size) {
  constexpr size_t kMagic = 4;
  if (size < kMagic + 3) return false;
  const bool has_size = (header[kMagic] & 0x08) != 0;
  const size_t checksum = kMagic + 2 + (has_size ? 8 : 0);
  if (size <= checksum || header[checksum] != ((XXH32(header, checksum, 0) >> 8) & 0xff)) return false;
  header[checksum] = (XXH32(header + kMagic, checksum - kMagic, 0) >> 8) & 0xff;
  return true;
}

// Kafka knows no blocks that depend on each other, and does not look at the checksum of the content: takes the flag of
// one from the header, and says how many bytes it is.
Result<size_t> plain_lz4_header(uint8_t* header, size_t size) {
  constexpr size_t kFlags = 4;
  constexpr uint8_t kIndependent = 0x20, kHasSize = 0x08, kHasChecksum = 0x04;
  if (size < kFlags + 3) return corrupt("lz4: damaged header");
  if (!(header[kFlags] & kIndependent)) return corrupt("lz4: blocks depend on each other");
  if (!(header[kFlags] & kHasChecksum)) return 0;
  const size_t fields = 2 + (header[kFlags] & kHasSize ? 8 : 0);
  const auto checksum = [&] { return static_cast<uint8_t>(XXH32(header + kFlags, fields, 0) >> 8); };
  if (size <= kFlags + fields || header[kFlags + fields] != checksum()) return corrupt("lz4: damaged header");
  header[kFlags] = static_cast<uint8_t>(header[kFlags] & ~kHasChecksum);
  header[kFlags + fields] = checksum();
  return 4;
}

// One frame; what follows it is passed over.
Result<Slice> decompress_lz4(ByteSpan in, Decompression options) {
  constexpr size_t kHeaderMax = 19;
  uint8_t header[kHeaderMax];
  const size_t header_size = std::min(in.size(), kHeaderMax);
  std::copy_n(in.begin(), header_size, header);
  if (options.old_lz4_header_checksum && !repair_lz4_header(header, header_size)) return corrupt("lz4: damaged header");
  const Result<size_t> checksum = plain_lz4_header(header, header_size);
  if (!checksum) return tl::unexpected(checksum.error());
  LZ4F_dctx* context = nullptr;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION))) return corrupt("lz4: no memory");
  const std::unique_ptr<LZ4F_dctx, decltype(&LZ4F_freeDecompressionContext)> closer(context,
                                                                                    LZ4F_freeDecompressionContext);
  Output out(in.size(), options.output_max);
  size_t at = 0;
  size_t expected = 1;
  while (expected != 0) {
    const bool in_header = at < header_size;
    const uint8_t* from = in_header ? header + at : in.data() + at;
    size_t read = (in_header ? header_size : in.size()) - at;
    size_t written = out.room();
    const bool starved = read == 0;
    expected = LZ4F_decompress(context, out.at(), &written, from, &read, nullptr);
    if (LZ4F_isError(expected)) return corrupt("lz4: damaged frame");
    at += read;
    out.advance(written);
    if (expected == 0) break;
    if (out.room() == 0) {
      if (!out.more()) return too_large();
    } else if (starved && written == 0) {
      return corrupt("lz4: the frame is unfinished");
    }
  }
  if (in.size() - at < *checksum) return corrupt("lz4: the frame is unfinished");
  return out.finish();
}

// ---- zstd

void compress_zstd(ByteSpan in, Writer& out, int level) {
  const size_t bound = ZSTD_compressBound(in.size());
  const auto block = std::make_unique<uint8_t[]>(bound);
  const int clamped = std::clamp(level, ZSTD_minCLevel(), ZSTD_maxCLevel());
  const size_t n = ZSTD_compress(block.get(), bound, in.data(), in.size(), clamped);
  KLAMM_ASSERT(!ZSTD_isError(n));
  out.raw({block.get(), n});
}

Result<Slice> decompress_zstd(ByteSpan in, size_t most) {
  if (in.empty()) return Slice{};  // no frame is a stream of nothing
  const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  if (!context) return corrupt("zstd: no memory");
  // A window larger than the limit would only cost memory.
  const int window_log = std::clamp(static_cast<int>(std::bit_width(most)), 20, 27);
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, window_log);
  Output out(in.size(), most);
  ZSTD_inBuffer from{in.data(), in.size(), 0};
  for (;;) {
    ZSTD_outBuffer to{out.at(), out.room(), 0};
    const size_t left = ZSTD_decompressStream(context.get(), &to, &from);
    if (ZSTD_isError(left)) return corrupt("zstd: damaged frame");
    out.advance(to.pos);
    if (left == 0 && from.pos == from.size) return out.finish();
    if (out.room() == 0) {
      if (!out.more()) return too_large();
    } else if (from.pos == from.size) {
      return corrupt("zstd: the frame is unfinished");
    }
  }
}

}  // namespace

const char* name(Compression c) {
  switch (c) {
    case Compression::none: return "none";
    case Compression::gzip: return "gzip";
    case Compression::snappy: return "snappy";
    case Compression::lz4: return "lz4";
    case Compression::zstd: return "zstd";
  }
  return "unknown";
}

void compress(Compression c, ByteSpan in, Writer& out, CompressionLevel level) {
  switch (c) {
    case Compression::none: return out.raw(in);
    case Compression::gzip: return compress_gzip(in, out, level.gzip);
    case Compression::snappy: return compress_snappy(in, out);
    case Compression::lz4: return compress_lz4(in, out, level.lz4);
    case Compression::zstd: return compress_zstd(in, out, level.zstd);
  }
}

Result<Slice> decompress(Compression c, ByteSpan in, Decompression options) {
  switch (c) {
    case Compression::none: return in.size() <= options.output_max ? Result<Slice>(Slice::copy(in)) : too_large();
    case Compression::gzip: return decompress_gzip(in, options);
    case Compression::snappy: return decompress_snappy(in, options.output_max);
    case Compression::lz4: return decompress_lz4(in, options);
    case Compression::zstd: return decompress_zstd(in, options.output_max);
  }
  return corrupt("an unknown codec");
}

}  // namespace klamm::protocol
