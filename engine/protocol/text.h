// Texts of errors. Those that we make of what clients named may come out longer than a message's string can be.
#pragma once
#include "engine/protocol/wire.h"

namespace klamm::protocol {

// What Kafka's clients know INVALID_REQUEST by.
inline constexpr char kInvalidRequestText[] =
    "This most likely occurs because of a request being malformed by the client library or the message was sent to an "
    "incompatible broker. See the broker logs for more details.";

// As much of `s` as fits; a character of UTF-8 is not cut apart.
inline Str fitting(Str s, size_t most = wire::kStringMax) {
  if (s.size() <= most) return s;
  while (most > 0 && (static_cast<uint8_t>(s[most]) & 0xc0) == 0x80) --most;
  return s.substr(0, most);
}

}  // namespace klamm::protocol
