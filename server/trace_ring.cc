#include "server/trace_ring.h"

#include <algorithm>
#include <iterator>

#include "engine/base/error_code.h"
#include "engine/env/event.h"
#include "engine/log/checkpoints.h"
#include "engine/metadata/config_defs.h"
#include "engine/metadata/unused_records.h"
#include "engine/quorum/codec.h"

namespace klamm::server {
namespace {

constexpr const char* kKindNames[] = {
#define KLAMM_X(name) #name,
    KLAMM_TRACE_KINDS(KLAMM_X)
#undef KLAMM_X
};

}  // namespace

std::string trace_text(const TraceEvent& e) {
  std::string out = kKindNames[static_cast<size_t>(e.kind)];
  out += " a=" + std::to_string(e.a) + " b=" + std::to_string(e.b) + " c=" + std::to_string(e.c);
  out += " d=" + std::to_string(e.d);
  if (e.flags) out += " flags=" + std::to_string(e.flags);
  return out;
}

void TraceRing::event(const TraceEvent& e) {
  ring_[count_++ % ring_.size()] = e;
  switch (e.kind) {
    case TraceKind::controller_active:
    case TraceKind::controller_sought:
    case TraceKind::broker_registered:
    case TraceKind::broker_refused:
    case TraceKind::broker_fenced:
    case TraceKind::broker_unfenced:
    case TraceKind::disk_full:
    case TraceKind::config_unused:
    case TraceKind::metadata_unused:
    case TraceKind::log_tail_dropped:
    case TraceKind::log_tails_dropped:
    case TraceKind::checkpoint_damaged:
    case TraceKind::disk_failed: return tell(e);
    default: return;
  }
}

// What operators want to know.
void TraceRing::tell(const TraceEvent& e) const {
  const std::string a = std::to_string(e.a), b = std::to_string(e.b);
  switch (e.kind) {
    case TraceKind::controller_active:
      return log_.info("controller", "Active controller in epoch " + a + " from offset " + b);
    case TraceKind::controller_sought:
      return log_.info("raft", "Looking for the active controller among controller.quorum.voters");
    case TraceKind::broker_registered: return log_.info("controller", "Registered broker " + a + " with epoch " + b);
    case TraceKind::broker_refused:
      return log_.warn("server", "The controller refuses to register this broker, and is asked again: " +
                                     std::string(name(static_cast<ErrorCode>(e.b))));
    case TraceKind::broker_fenced: {
      constexpr const char* kWhy[] = {"its session has expired", "its listener refuses connections", "it asked for it"};
      return log_.info("controller", "Fenced broker " + a + ": " + kWhy[std::clamp<int64_t>(e.b, 0, 2)]);
    }
    case TraceKind::broker_unfenced: return log_.info("controller", "Unfenced broker " + a);
    case TraceKind::disk_failed:
      return log_.error(
          "log", "Log directory " + directory(e) + " has failed and is offline: " + name(static_cast<IoError>(e.b)));
    case TraceKind::disk_full:
      if (e.b) return log_.error("log", "Log directory " + directory(e) + " is nearly full: records are refused");
      return log_.info("log", "Log directory " + directory(e) + " has room again");
    case TraceKind::config_unused: return tell_config(e);
    case TraceKind::metadata_unused: return tell_unused(e);
    case TraceKind::log_tail_dropped:
    case TraceKind::log_tails_dropped:
    case TraceKind::checkpoint_damaged: return tell_recovery(e);
    default: return;
  }
}

void TraceRing::tell_unused(const TraceEvent& e) const {
  constexpr const char* kKinds[] = {"access control entries (ACLs)", "SCRAM credentials", "client quotas",
                                    "delegation tokens"};
  static_assert(std::size(kKinds) == static_cast<size_t>(metadata::UnusedKind::count));
  std::string kinds;
  for (size_t i = 0; i < std::size(kKinds); ++i)
    if (e.a >> i & 1) kinds.append(kinds.empty() ? "" : ", ").append(kKinds[i]);
  if (!kinds.empty())
    log_.warn("metadata", "The metadata has " + kinds +
                              ": they are kept but have NO EFFECT in this version, nobody is refused or slowed down");
  if (e.c)
    log_.warn("metadata",
              "The metadata has too many records without effect in this version, or some that cannot be read: no "
              "snapshots are taken, and the metadata log keeps growing");
}

void TraceRing::tell_config(const TraceEvent& e) const {
  const auto all = metadata::config_defs(metadata::ConfigScope::broker);
  const auto at = static_cast<size_t>(e.a);
  log_.warn("config", "Dynamic configuration without effect in this version: " +
                          (at < all.size() ? std::string(all[at].name) : "a listener's own (listener.name.*)"));
}

std::string TraceRing::directory(const TraceEvent& e) const {
  const auto at = static_cast<size_t>(e.a);
  return at < directories_.size() ? directories_[at] : std::to_string(e.a);
}

// What the files of a former life did not give back.
void TraceRing::tell_recovery(const TraceEvent& e) const {
  if (e.kind == TraceKind::checkpoint_damaged) {
    constexpr const char* kWithout[] = {"all logs of this directory are read whole", "high watermarks begin anew",
                                        "what was deleted may be there again", "compaction begins anew"};
    static_assert(std::size(kWithout) == std::size(log::kOffsetCheckpoints));
    const auto which = static_cast<size_t>(e.b) % std::size(kWithout);
    return log_.warn("log", "Error while reading the checkpoint file " + directory(e) + "/" +
                                log::kOffsetCheckpoints[which] + ", which is damaged: " + kWithout[which]);
  }
  if (e.kind == TraceKind::log_tails_dropped)
    return log_.warn("log", "Found invalid messages at the end of " + std::to_string(e.a) +
                                " more logs: recovery has discarded " + std::to_string(e.c) + " bytes of them");
  const Uuid topic = topic_of_keys(e.b, e.c);
  const std::string of =
      topic == quorum::kMetadataTopicId ? quorum::kMetadataTopic : "the topic with id " + topic.text();
  log_.warn("log", "Found invalid messages at the end of the log of partition " + std::to_string(e.a) + " of " + of +
                       ": recovery has discarded " + std::to_string(e.d) + " bytes");
}

std::string TraceRing::tail(size_t most) const {
  const uint64_t n = std::min<uint64_t>({count_, ring_.size(), most});
  std::string out;
  for (uint64_t i = count_ - n; i < count_; ++i) out += "  " + trace_text(ring_[i % ring_.size()]) + "\n";
  return out;
}

}  // namespace klamm::server
