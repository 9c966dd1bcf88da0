#include "engine/raft/rules.h"

#include <algorithm>
#include <functional>

namespace klamm::raft::rules {
namespace {

constexpr int32_t kMostDoublings = 10;
constexpr Duration kBackoffBase = milliseconds(100);
constexpr Duration kRetryFirst = milliseconds(1);
constexpr Duration kRetryMost = milliseconds(100);
constexpr Duration kStagger = milliseconds(10);  // well above a round trip and a sync

constexpr uint32_t bit(Role r) { return 1u << static_cast<uint32_t>(r); }

// Where each role may go, itself included where it may begin anew.
constexpr uint32_t kNext[] = {
    /* unattached */ bit(Role::unattached) | bit(Role::prospective) | bit(Role::candidate) | bit(Role::follower),
    /* prospective */ bit(Role::unattached) | bit(Role::candidate) | bit(Role::follower),
    /* candidate */ bit(Role::unattached) | bit(Role::prospective) | bit(Role::leader) | bit(Role::follower),
    /* leader */ bit(Role::unattached) | bit(Role::resigned) | bit(Role::follower),
    /* resigned */ bit(Role::unattached) | bit(Role::follower),
    /* follower */ bit(Role::unattached) | bit(Role::prospective) | bit(Role::follower),
};

}  // namespace

bool legal(Role from, Role to, bool voter) {
  const uint32_t observer = bit(Role::unattached) | bit(Role::follower);
  if (!voter && (bit(to) & observer) == 0) return false;
  return (kNext[static_cast<size_t>(from)] & bit(to)) != 0;
}

bool up_to_date(OffsetAndEpoch candidate, OffsetAndEpoch own) {
  return candidate.epoch != own.epoch ? candidate.epoch > own.epoch : candidate.offset >= own.offset;
}

VoteReason vote_granted(const VoteView& view, const ReplicaKey& candidate) {
  if (view.role == Role::leader || view.role == Role::resigned) return VoteReason::leads;
  if (view.voted.id != kNoNode) return view.voted == candidate ? VoteReason::granted : VoteReason::voted_other;
  if (view.leader_known) return VoteReason::has_leader;
  return view.up_to_date ? VoteReason::granted : VoteReason::log_behind;
}

VoteReason pre_vote_granted(const VoteView& view) {
  if (!view.up_to_date) return VoteReason::log_behind;
  if (view.role == Role::leader && view.leads_committing) return VoteReason::leads;
  if (view.role == Role::follower && view.fetched) return VoteReason::has_leader;
  return VoteReason::granted;
}

Offset commit_index(std::vector<Offset> ends, Offset epoch_start, Offset current) {
  KLAMM_ASSERT(!ends.empty());
  std::sort(ends.begin(), ends.end(), std::greater<>());
  const Offset majority = ends[ends.size() / 2];
  return majority > epoch_start ? std::max(majority, current) : current;
}

FlushPolicy flush_policy(const Flaws& flaws) { return {.flush = !flaws.raft_no_flush}; }

Restart on_restart(const Options& options, const HardState& stored, LeaderEpoch last_epoch) {
  // The log can be ahead of the file: records of an epoch are durable before we have promised anything in it.
  if (stored.epoch < last_epoch) return {Role::unattached, {.epoch = last_epoch}};
  if (stored.leader == kNoNode) return {Role::unattached, stored};
  if (options.voters.size() == 1 && options.voters[0] == options.self.id)
    return {Role::unattached, {.epoch = stored.epoch}};  // stands at once, in the next epoch
  const bool voter = std::binary_search(options.voters.begin(), options.voters.end(), options.self.id);
  if (stored.leader == options.self.id) {
    if (voter) return {Role::resigned, stored};
    return {Role::unattached, {.epoch = stored.epoch + 1}};
  }
  if (std::binary_search(options.voters.begin(), options.voters.end(), stored.leader)) return {Role::follower, stored};
  return {Role::unattached, {.epoch = stored.epoch, .voted = stored.voted}};  // led by somebody we cannot reach
}

bool campaigns_at_once(int32_t rank, const HardState& hard, const LogState& log) {
  return rank == 0 && hard == HardState{} && log.end == 0;
}

FetchPoint check_fetch(const LogState& log, OffsetAndEpoch from) {
  if (from.offset == 0 && log.start == 0 && !log.snapshots) return {};
  if (log.snapshots) {
    const OffsetAndEpoch oldest = log.snapshots->oldest;
    const bool before = from.offset == 0 || from.offset < log.start || from.epoch < oldest.epoch;
    if (before) return {.check = FetchCheck::snapshot};
  }
  const OffsetAndEpoch end = log.epochs.end_of(from.epoch, log.end);
  if (end.epoch == from.epoch && from.offset <= end.offset) return {};
  return {.check = FetchCheck::diverging, .diverging = end};
}

bool supersedes(OffsetAndEpoch snapshot, OffsetAndEpoch end) {
  return snapshot.epoch != end.epoch ? snapshot.epoch > end.epoch : snapshot.offset > end.offset;
}

Offset truncation_point(const LogState& log, OffsetAndEpoch diverging) {
  const OffsetAndEpoch own = log.epochs.end_of(diverging.epoch, log.end);
  const Offset to = own.epoch == diverging.epoch ? std::min(own.offset, diverging.offset) : own.offset;
  return std::clamp(to, log.start, log.end);
}

Spread election_timeout(const Options& options, int32_t rank) {
  const int64_t voters = static_cast<int64_t>(options.voters.size());
  const Duration step = options.election_timeout / voters;
  return {.at_least = options.election_timeout + step * rank, .draw = step};
}

Spread lost_election_backoff(const Options& options, int32_t rank, int32_t attempts) {
  const int64_t voters = static_cast<int64_t>(options.voters.size());
  const Duration window = kBackoffBase * (int64_t{1} << std::clamp(attempts - 1, 0, kMostDoublings));
  const Duration most = window < options.election_backoff_max ? window : options.election_backoff_max;
  return {.at_least = (most / voters) * rank, .draw = most / voters};
}

Duration stagger(int32_t rank) { return kStagger * std::max(rank, 0); }

Duration successor_wait(const Options& options, int32_t rank, const std::vector<ReplicaKey>& successors) {
  if (successors.empty()) return stagger(rank);
  const auto own = std::find_if(successors.begin(), successors.end(),
                                [&](const ReplicaKey& key) { return key.id == options.self.id; });
  const int64_t position = own - successors.begin();
  if (position == 0) return {};
  if (own == successors.end()) return options.election_backoff_max;
  const int64_t later = std::min<int64_t>(static_cast<int64_t>(successors.size()) - 1, 30);
  const Duration first = options.election_backoff_max / (int64_t{1} << later);
  const Duration wait = first * (int64_t{1} << std::min<int64_t>(position - 1, 30));
  return wait < options.election_backoff_max ? wait : options.election_backoff_max;
}

Duration retry_backoff(int32_t failures) {
  if (failures <= 0) return {};
  const Duration wait = kRetryFirst * (int64_t{1} << std::min(failures - 1, kMostDoublings));
  return wait < kRetryMost ? wait : kRetryMost;
}

}  // namespace klamm::raft::rules
