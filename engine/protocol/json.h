// Messages as JSON, in the form that Kafka's own tools print: every field of the version, names with a small first
// letter, bytes in base64, uuids as Kafka's text. For people and tests; driven by descriptors, so not for hot paths.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/base/arena.h"
#include "engine/protocol/descriptor.h"

namespace klamm::protocol {

nlohmann::ordered_json to_json(const MessageDescriptor& m, int16_t version, const void* message);

// Fills `message`, which holds the defaults. Text and bytes go to the arena. Absent tagged fields keep their default;
// any other absence, an unknown name or a value that the type cannot hold is an error: "" when there is none, else the
// reason.
std::string from_json(const nlohmann::ordered_json& j, const MessageDescriptor& m, int16_t version, Arena& a,
                      void* message);

// A message with every field at its default.
void* make_message(const MessageDescriptor& m, Arena& a);

// What stands before a stored record's body.
void write_framing(Writer& w, const MessageDescriptor& m, int16_t version);

}  // namespace klamm::protocol
