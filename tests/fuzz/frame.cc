// What a connection gives to the engine: a request's header, then its body in the version that the header names.
#include "engine/protocol/frame.h"

#include "engine/protocol/json.h"
#include "tests/fuzz/check.h"

using namespace klamm;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Arena arena;
  Reader r({data, size});
  protocol::RequestHeader header;
  if (!protocol::decode_request_header(r, arena, header)) return 0;
  const protocol::MessageDescriptor* m = protocol::find_message(protocol::MessageKind::request, header.request_api_key);
  FUZZ_CHECK(m != nullptr);
  void* message = protocol::make_message(*m, arena);
  const bool known = m->versions.contains(header.request_api_version);
  const bool decoded = m->decode(r, arena, header.request_api_version, message);
  FUZZ_CHECK(known || !decoded);
  FUZZ_CHECK(arena.allocated() <= 64 * 1024 + 128 * size);
  return 0;
}
