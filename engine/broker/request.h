// A request on its way through the node, and the encoding of its reply.
#pragma once
#include <functional>
#include <string_view>

#include "engine/base/ctx.h"
#include "engine/base/error_code.h"
#include "engine/base/reader.h"
#include "engine/base/ticket.h"
#include "engine/base/writer.h"
#include "engine/protocol/types.h"

namespace klamm::broker {

// Which set of APIs a connection is served.
enum class ListenerKind : uint8_t { broker, controller };

// Valid for the turn; `frame` may be kept, and `body` found again in it by `body_at`.
struct Request {
  Ticket ticket;
  ListenerKind kind = ListenerKind::broker;
  ListenerId listener;
  Slice frame;                 // header and body; for a request that never was on a wire only the body
  uint32_t body_at = 0;        // where the body begins in frame
  std::string_view client_id;  // in `frame` or `mended`; null if the client gave none
  Slice mended;                // a client id that was no UTF-8
  ByteSpan body() const { return frame.span().subspan(body_at); }
  // `id` may lie in memory of the turn.
  void name_client(std::string_view id) {
    const ByteSpan whole = frame.span();
    const auto* at = reinterpret_cast<const uint8_t*>(id.data());
    const std::less<> before;
    const bool within = !before(at, whole.data()) && before(at, whole.data() + whole.size());
    if (!id.empty() && !within) {
      mended = Slice::copy(as_bytes(id));
      id = mended.text();
    }
    client_id = id;
  }
  template<class V>
  void fields(V& v) const {
    v("ticket", ticket), v("frame", frame);
  }
};

// Of what a body is decoded into. The smallest elements of lists grow some twentyfold.
inline constexpr size_t kDecodedMost = 256 << 20;

// Decodes the body in the ticket's version; false if it is malformed or takes too much, and then the connection is
// closed, as Kafka does with the former.
template<class Message>
bool decode_body(const Request& request, Arena& arena, Message& out) {
  Reader reader(request.body());
  const size_t before = arena.taken();
  return decode(reader, arena, request.ticket.version, out) && reader.ok() && arena.taken() - before <= kDecodedMost;
}

// The body of a reply in the ticket's version. A value that the version cannot carry is our own bug.
template<class Message>
Reply encode_reply(const Ticket& ticket, const Message& message, size_t hint = 256) {
  Writer w(hint);
  encode(w, ticket.version, message);
  KLAMM_ASSERT(w.ok());
  std::vector<PlacedRegion> regions = w.take_regions();
  return Reply{ticket, w.finish(), false, std::move(regions)};
}

inline int16_t code(ErrorCode e) { return static_cast<int16_t>(e); }

}  // namespace klamm::broker
