// How a config of type list changes by what is appended to it or subtracted from it (KIP-339).
#pragma once
#include <string>
#include <string_view>

namespace klamm::metadata {

// The list `now` with the elements of `with` added where they are not yet, or without the first of each. Elements are
// texts between commas, and not trimmed.
std::string edited_list(std::string_view now, std::string_view with, bool append);

}  // namespace klamm::metadata
