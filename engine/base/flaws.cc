#include "engine/base/flaws.h"

namespace klamm {
namespace {
constexpr FlawEntry kEntries[] = {
    {"M01", "replica.truncate_to_high_watermark", "a new follower cuts its log at its own high watermark (KIP-101)",
     &Flaws::replica_truncate_to_high_watermark},
    {"M15", "raft.no_flush", "no flush before a vote or an acknowledgement counts (KAFKA-10533)",
     &Flaws::raft_no_flush},
};
}  // namespace

std::span<const FlawEntry> flaw_entries() { return kEntries; }

}  // namespace klamm
