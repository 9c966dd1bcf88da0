// What checkers say: which rule was broken, where, when, in one line.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/ids.h"
#include "sim/queue.h"

namespace klamm::sim {

// Names a log: the first bytes of its topic id and the partition. The metadata log is {0, 0}.
struct LogKey {
  int64_t topic = 0;
  int32_t partition = 0;
  friend constexpr auto operator<=>(const LogKey&, const LogKey&) = default;
  std::string text() const;
};

inline std::string who(HostId host) { return "host " + std::to_string(host); }

struct Violation {
  int64_t at = 0;
  std::string_view rule;  // a literal, as in invariants.md, "R6 leader completeness"
  std::string text;
  bool loss = false;  // acknowledged or committed records are gone: legal beyond what the settings promise
};

class Verdicts final {
 public:
  static constexpr size_t kMax = 32;
  static constexpr size_t kMaxOfRule = 2;  // the first ones tell the story; others show what came of it
  void add(int64_t at, std::string_view rule, std::string text, bool loss = false) {
    size_t same = 0;
    for (const Violation& v : list_) same += v.rule == rule;
    if (same < kMaxOfRule && list_.size() < kMax) list_.push_back({at, rule, std::move(text), loss});
  }
  const std::vector<Violation>& list() const { return list_; }
  bool empty() const { return list_.empty(); }

 private:
  std::vector<Violation> list_;
};

}  // namespace klamm::sim
