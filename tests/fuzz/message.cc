// Any message in any version: byte 0 and 1 choose the message, byte 2 the version, the rest is the body. What decodes
// must encode, and what was encoded must decode to the same bytes again.
#include "engine/base/reader.h"
#include "engine/base/writer.h"
#include "engine/protocol/json.h"
#include "tests/fuzz/check.h"

namespace {

using namespace klamm;
using protocol::MessageDescriptor;

constexpr size_t kMemoryPerByte = 128;
constexpr size_t kMemoryBase = 64 * 1024;

const void* decode(const MessageDescriptor& m, int16_t version, ByteSpan bytes, Arena& arena) {
  Reader r(bytes, UnknownTags::keep);
  void* message = protocol::make_message(m, arena);
  m.decode(r, arena, version, message);
  FUZZ_CHECK(arena.allocated() <= kMemoryBase + kMemoryPerByte * bytes.size());
  return r.finished() ? message : nullptr;
}

Slice encode(const MessageDescriptor& m, int16_t version, const void* message) {
  Writer w;
  m.encode(w, version, message);
  FUZZ_CHECK(w.ok());
  return w.finish_contiguous();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const auto all = protocol::all_messages();
  const MessageDescriptor& m = *all[(data[0] | (data[1] << 8)) % all.size()];
  const auto version = static_cast<int16_t>(m.versions.low + data[2] % (m.versions.high - m.versions.low + 1));
  Arena first, second;
  const void* message = decode(m, version, {data + 3, size - 3}, first);
  if (message == nullptr) return 0;
  const Slice bytes = encode(m, version, message);
  const void* again = decode(m, version, bytes.span(), second);
  FUZZ_CHECK(again != nullptr);
  FUZZ_CHECK(encode(m, version, again) == bytes);
  return 0;
}
