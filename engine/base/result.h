// What the world or a client does to us is a value, not an exception and not an assertion.
#pragma once
#include <tl/expected.hpp>

#include "engine/base/error_code.h"

namespace klamm {

// `reason` is a static text for logs and for Kafka's error_message fields, or null.
struct Error {
  ErrorCode code = ErrorCode::unknown_server_error;
  const char* reason = nullptr;
};

template<class T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(ErrorCode code, const char* reason = nullptr) {
  return tl::unexpected<Error>(Error{code, reason});
}

}  // namespace klamm
