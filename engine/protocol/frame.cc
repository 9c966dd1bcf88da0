#include "engine/protocol/frame.h"

namespace klamm::protocol {
bool decode_request_header(Reader& r, Arena& a, RequestHeader& out) {
  Reader peek = r;
  const int16_t api_key = peek.i16();
  const int16_t api_version = peek.i16();
  const ApiInfo* api = find_api(api_key);
  if (!peek.ok()) r.fail("the bytes end too early");
  if (api == nullptr || api->versions.empty()) r.fail("unknown api key");
  if (!r.ok()) return false;
  // A version above ours is flexible, so its header is, too: clients newer than us ask for ApiVersions so (KIP-511).
  return decode(r, a, api->request_header(api_version), out);
}

bool decode_response_header(Reader& r, Arena& a, ResponseTo to, ResponseHeader& out) {
  const ApiInfo* api = find_api(to.api_key);
  KLAMM_ASSERT(api != nullptr);
  return decode(r, a, api->response_header(to.api_version), out);
}

void begin_request(Writer& w, const RequestStart& start) {
  const ApiInfo* api = find_api(start.api_key);
  KLAMM_ASSERT(api != nullptr);
  KLAMM_ASSERT_REL(w.size(), ==, size_t{0});
  RequestHeader header;
  header.request_api_key = start.api_key;
  header.request_api_version = start.api_version;
  header.correlation_id = start.correlation_id;
  header.client_id = start.client_id;
  w.i32(0);
  encode(w, api->request_header(start.api_version), header);
}

void begin_response(Writer& w, ResponseTo to, int32_t correlation_id) {
  const ApiInfo* api = find_api(to.api_key);
  KLAMM_ASSERT(api != nullptr);
  KLAMM_ASSERT_REL(w.size(), ==, size_t{0});
  ResponseHeader header;
  header.correlation_id = correlation_id;
  w.i32(0);
  encode(w, api->response_header(to.api_version), header);
}

void end_frame(Writer& w) {
  const size_t size = w.size() - 4;
  if (size > std::numeric_limits<int32_t>::max()) return w.fail("a frame is too long");
  w.patch_i32(0, static_cast<int32_t>(size));
}

}  // namespace klamm::protocol
