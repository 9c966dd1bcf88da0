// The last trace events of a node, kept for the moment when an assertion fails; the ones that operators want become
// log lines.
#pragma once
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/trace.h"
#include "server/log_lines.h"

namespace klamm::server {

// One line without its end: the kind's name and its arguments.
std::string trace_text(const TraceEvent& e);

class TraceRing final : public Trace {
 public:
  // `directories`: the node's, by number.
  explicit TraceRing(const LogLines& log, std::vector<std::string> directories = {})
      : log_(log), directories_(std::move(directories)) {}
  void event(const TraceEvent& e) override;
  // The newest events, oldest first, a line each.
  std::string tail(size_t most) const;

 private:
  void tell(const TraceEvent& e) const;
  void tell_unused(const TraceEvent& e) const;
  void tell_config(const TraceEvent& e) const;
  void tell_recovery(const TraceEvent& e) const;
  std::string directory(const TraceEvent& e) const;

  const LogLines& log_;
  const std::vector<std::string> directories_;
  std::array<TraceEvent, 1024> ring_{};
  uint64_t count_ = 0;
};

}  // namespace klamm::server
