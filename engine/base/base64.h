// Base64 with padding (RFC 4648, section 4), as JSON carries bytes.
#pragma once
#include <optional>
#include <string>

#include "engine/base/bytes.h"

namespace klamm {

std::string to_base64(ByteSpan bytes);
// Nothing if the text is not base64.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace klamm
