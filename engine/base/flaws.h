// The museum's switches: each puts one historic flaw back into an otherwise correct engine. A value fixed at boot; read
// in rules.h only.
#pragma once
#include <span>
#include <string_view>

namespace klamm {

struct Flaws {
  bool replica_truncate_to_high_watermark = false;  // M01, KIP-101
  bool raft_no_flush = false;                       // M15 (a), KAFKA-10533
  friend bool operator==(const Flaws&, const Flaws&) = default;
  template<class V>
  void fields(V& v) const {
    v("replica_truncate_to_high_watermark", replica_truncate_to_high_watermark), v("raft_no_flush", raft_no_flush);
  }
};

struct FlawEntry {
  std::string_view id;     // the museum's, "M01"
  std::string_view name;   // the switch, "replica.truncate_to_high_watermark"
  std::string_view about;  // one line
  bool Flaws::*field;
};
std::span<const FlawEntry> flaw_entries();

}  // namespace klamm
