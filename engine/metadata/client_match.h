// Which clients a client metrics subscription is for: its config `match` (KIP-714).
#pragma once
#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/pattern.h"
#include "engine/base/units.h"

namespace klamm::metadata {

// What `interval.ms` may be.
inline constexpr Duration kPushIntervalLeast = milliseconds(100), kPushIntervalMost = seconds(3600);

enum class ClientAttribute : uint8_t {
  instance_id,
  client_id,
  software_name,
  software_version,
  source_address,
  source_port,
};
inline constexpr std::array<std::string_view, 6> kClientAttributes = {
    "client_instance_id",    "client_id",         "client_software_name", "client_software_version",
    "client_source_address", "client_source_port"};

// What is known of a client. One that is not known is matched by no pattern.
struct ClientFacts {
  std::array<std::optional<std::string>, kClientAttributes.size()> by_attribute;
  std::optional<std::string>& operator[](ClientAttribute a) { return by_attribute[static_cast<size_t>(a)]; }
  template<class V>
  void fields(V& v) const {
    v("by_attribute", by_attribute);
  }
};

// A list of ATTRIBUTE=PATTERN: all must match, each the whole of its attribute. An empty list is for every client. Of
// two for one attribute the later one counts, as in Kafka.
class ClientMatch final {
 public:
  // Nothing if a part of the list is none that Kafka takes, or has a pattern that is not known here (base/pattern.h);
  // `wrong` is then that part.
  static std::optional<ClientMatch> parse(std::string_view list, std::string_view* wrong = nullptr);
  // Takes from `steps` what the patterns take; without any left the answer is no.
  bool matches(const ClientFacts& facts, int64_t& steps) const;

 private:
  std::map<ClientAttribute, Pattern> patterns_;
};

}  // namespace klamm::metadata
