#include "engine/protocol/descriptor.h"

#include <algorithm>

namespace klamm::protocol {

const MessageDescriptor* find_message(Str name) {
  const auto all = all_messages();
  const auto at =
      std::lower_bound(all.begin(), all.end(), name, [](const MessageDescriptor* m, Str n) { return m->name < n; });
  return at != all.end() && (*at)->name == name ? *at : nullptr;
}

const MessageDescriptor* find_message(MessageKind kind, int16_t id) {
  for (const MessageDescriptor* m : all_messages()) {
    if (m->kind == kind && m->id == id) return m;
  }
  return nullptr;
}

}  // namespace klamm::protocol
