// Response bodies of group requests, encoded in the version that the ticket carries.
#pragma once
#include <vector>

#include "engine/base/error_code.h"
#include "engine/base/ticket.h"
#include "engine/base/writer.h"

namespace klamm::group {

inline int16_t code(ErrorCode e) { return static_cast<int16_t>(e); }

template<class Message>
std::vector<Slice> encode_body(const Ticket& ticket, const Message& message) {
  KLAMM_ASSERT_REL(ticket.api, ==, Message::kApiKey);
  Writer w;
  encode(w, ticket.version, message);
  KLAMM_ASSERT(w.ok());
  return w.finish();
}

}  // namespace klamm::group
