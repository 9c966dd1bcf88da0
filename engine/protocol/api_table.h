// Which APIs there are, who serves which versions, and how their headers look.
#pragma once
#include <span>

#include "engine/protocol/api_keys.h"
#include "engine/protocol/types.h"

namespace klamm::protocol {

struct ApiInfo {
  int16_t key;
  const char* name;
  Versions versions;  // that the codec knows; empty for removed APIs
  int16_t first_flexible;
  Versions broker;  // served on a broker's listeners; empty: not served
  Versions broker_advertised;
  Versions controller;  // served on a controller's listeners
  Versions controller_advertised;
  bool latest_unstable;  // the last version needs unstable.api.versions.enable
  bool cluster_action;   // between brokers and controllers
  bool forwardable;      // a broker may forward it to the controller in an Envelope

  bool flexible(int16_t version) const { return version >= first_flexible; }
  int16_t request_header(int16_t version) const { return flexible(version) ? 2 : 1; }
  // ApiVersions is answered with header 0 in every version: the client may not know ours.
  int16_t response_header(int16_t version) const { return flexible(version) && key != api::kApiVersions ? 1 : 0; }
};

std::span<const ApiInfo> all_apis();  // ascending by key, without gaps: all_apis()[key].key == key
inline const ApiInfo* find_api(int16_t key) {
  return key >= 0 && static_cast<size_t>(key) < all_apis().size() ? &all_apis()[static_cast<size_t>(key)] : nullptr;
}

}  // namespace klamm::protocol
