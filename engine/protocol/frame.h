// A frame on a connection: int32 size, header, body. These helpers join and split the parts; the size of an incoming
// frame has been read and checked by the connection, so "frame" here starts at the header.
#pragma once
#include "engine/base/reader.h"
#include "engine/base/writer.h"
#include "engine/protocol/api_table.h"
#include "engine/protocol/records/headers.h"

namespace klamm::protocol {

// Reads a request's header, of the version that its api key and version ask for. Fails on an unknown api key; the
// version is the caller's to check: a header that we can read may belong to a version that we do not serve.
bool decode_request_header(Reader& r, Arena& a, RequestHeader& out);

// Reads a response's header, given the request it answers.
struct ResponseTo {
  int16_t api_key;
  int16_t api_version;
};
bool decode_response_header(Reader& r, Arena& a, ResponseTo to, ResponseHeader& out);

// Writes the size (to be patched by `end_frame`) and the header. The writer must be empty; then encode the body.
struct RequestStart {
  int16_t api_key;
  int16_t api_version;
  int32_t correlation_id;
  Str client_id = kNullStr;
};
void begin_request(Writer& w, const RequestStart& start);
void begin_response(Writer& w, ResponseTo to, int32_t correlation_id);
void end_frame(Writer& w);

// A whole request or response, ready for the connection; w.ok() tells whether the version could carry it.
template<class Request>
void encode_request(Writer& w, const RequestStart& start, const Request& request) {
  KLAMM_ASSERT_REL(start.api_key, ==, Request::kApiKey);
  begin_request(w, start);
  encode(w, start.api_version, request);
  end_frame(w);
}
template<class Response>
void encode_response(Writer& w, int16_t api_version, int32_t correlation_id, const Response& response) {
  begin_response(w, {Response::kApiKey, api_version}, correlation_id);
  encode(w, api_version, response);
  end_frame(w);
}

}  // namespace klamm::protocol
