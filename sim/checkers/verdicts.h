// What checkers say: which rule was broken, where, when, in one line.
#pragma once
#include <cstdint>
#include <string>
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

struct Violation {
  int64_t at = 0;
  const char* rule = "";  // as in invariants.md, "R6 leader completeness"
  std::string text;
  bool loss = false;  // acknowledged or committed records are gone: legal beyond what the settings promise
};

class Verdicts final {
 public:
  static constexpr size_t kMax = 32;  // the first ones tell the story
  void add(int64_t at, const char* rule, std::string text, bool loss = false) {
    if (list_.size() < kMax) list_.push_back({at, rule, std::move(text), loss});
  }
  const std::vector<Violation>& list() const { return list_; }
  bool empty() const { return list_.empty(); }

 private:
  std::vector<Violation> list_;
};

}  // namespace klamm::sim
