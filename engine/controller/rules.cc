#include "engine/controller/rules.h"

#include <algorithm>

namespace klamm::controller {

using metadata::contains;

Elected elect(const Electorate& e, Election kind) {
  const auto clean = [&](NodeId n) {
    return (contains(e.isr, n) || (e.isr.empty() && contains(e.elr, n))) && contains(e.live, n);
  };
  if (kind == Election::preferred && !e.replicas.empty() && clean(e.replicas[0])) return {e.replicas[0], false};
  if (clean(e.leader)) return {e.leader, false};
  for (NodeId n : e.replicas)
    if (clean(n)) return {n, false};
  if (e.elr_enabled && e.isr.empty() && e.elr.empty() && e.last_known_elr.size() == 1 &&
      contains(e.live, e.last_known_elr[0]))
    return {e.last_known_elr[0], true};
  if (kind == Election::unclean)
    for (NodeId n : e.replicas)
      if (contains(e.live, n)) return {n, true};
  return {kNoNode, false};
}

std::vector<NodeId> next_elr(const ElrChange& c) {
  std::vector<NodeId> out;
  if (c.target_isr.size() >= c.min_isr) return out;
  const auto add = [&](NodeId n) {
    if (n != c.lossy && !contains(c.target_isr, n) && !contains(out, n)) out.push_back(n);
  };
  for (NodeId n : c.elr) add(n);
  for (NodeId n : c.isr) add(n);
  std::sort(out.begin(), out.end());
  return out;
}

size_t effective_min_isr(int32_t configured, size_t replicas) {
  return std::min<size_t>(configured < 1 ? 1 : static_cast<size_t>(configured), replicas);
}

ErrorCode alter_partition_validate(const metadata::Image& image, const PartitionInfo* partition, const IsrProposal& p) {
  if (!partition) return ErrorCode::unknown_topic_or_partition;
  if (p.leader_epoch > partition->leader_epoch) return ErrorCode::not_controller;
  if (p.partition_epoch > partition->partition_epoch) return ErrorCode::not_controller;
  if (p.leader_epoch < partition->leader_epoch) return ErrorCode::fenced_leader_epoch;
  if (p.from != partition->leader) return ErrorCode::invalid_request;
  if (p.partition_epoch < partition->partition_epoch) return ErrorCode::invalid_update_version;

  bool has_leader = false;
  for (size_t i = 0; i < p.isr.size(); ++i) {
    const NodeId n = p.isr[i].node;
    has_leader = has_leader || n == partition->leader;
    if (!contains(partition->replicas, n)) return ErrorCode::invalid_request;
    for (size_t j = 0; j < i; ++j)
      if (p.isr[j].node == n) return ErrorCode::invalid_request;
  }
  if (!has_leader) return ErrorCode::invalid_request;
  if (p.recovery != static_cast<int8_t>(LeaderRecovery::recovered)) {
    if (p.recovery != static_cast<int8_t>(LeaderRecovery::recovering)) return ErrorCode::invalid_request;
    if (p.isr.size() > 1 || partition->recovery == LeaderRecovery::recovered) return ErrorCode::invalid_request;
  }
  for (const IsrMember& m : p.isr) {
    const metadata::Broker* b = image.broker(m.node);
    if (!b || !b->active()) return ErrorCode::ineligible_replica;
    if (m.epoch != -1 && m.epoch != b->epoch) return ErrorCode::ineligible_replica;
  }
  return ErrorCode::none;
}

BrokerState next_state(const HeartbeatFacts& f) {
  switch (f.current) {
    case BrokerState::fenced:
      if (f.want_shut_down) return BrokerState::shutdown_now;
      return !f.want_fence && f.caught_up ? BrokerState::unfenced : BrokerState::fenced;
    case BrokerState::unfenced:
      if (f.want_fence) return f.want_shut_down ? BrokerState::shutdown_now : BrokerState::fenced;
      if (!f.want_shut_down) return BrokerState::unfenced;
      return f.leads_any ? BrokerState::controlled_shutdown : BrokerState::shutdown_now;
    case BrokerState::controlled_shutdown:
      return f.leads_any || !f.others_reached ? BrokerState::controlled_shutdown : BrokerState::shutdown_now;
    case BrokerState::shutdown_now: return BrokerState::shutdown_now;
  }
  return BrokerState::shutdown_now;
}

namespace {
std::optional<std::string> level_fault(std::string_view name, int16_t level, int16_t min, int16_t max) {
  if (min <= level && level <= max) return std::nullopt;
  return "Unable to register because the broker does not support finalized version " + std::to_string(level) + " of " +
         std::string(name) + ". The broker wants a version between " + std::to_string(min) + " and " +
         std::to_string(max) + ", inclusive.";
}
}  // namespace

std::optional<std::string> feature_fault(const Pmap<std::string, int16_t>& finalized,
                                         const std::vector<metadata::FeatureRange>& supported) {
  for (const metadata::FeatureRange& f : supported) {
    const int16_t* level = finalized.find(f.name);
    if (auto fault = level_fault(f.name, level ? *level : 0, f.min, f.max)) return fault;
  }
  for (const auto& [name, level] : finalized) {
    const auto named = std::find_if(supported.begin(), supported.end(), [&](const auto& f) { return f.name == name; });
    if (named == supported.end())
      if (auto fault = level_fault(name, level, 0, 0)) return fault;
  }
  return std::nullopt;
}

bool reserved_directory(const Uuid& id) {
  for (int i = 0; i < 15; ++i)
    if (id.bytes[i] != 0) return false;
  return id.bytes[15] < 100;
}

std::optional<std::string> topic_name_fault(std::string_view name) {
  constexpr size_t kTopicNameMax = 249;
  const std::string text(name);
  if (name.empty()) return "Topic name is invalid: the empty string is not allowed";
  if (name == "." || name == "..") return "Topic name is invalid: '" + text + "' is not allowed";
  if (name.size() > kTopicNameMax)
    return "Topic name is invalid: the length of '" + text + "' is longer than the max allowed length " +
           std::to_string(kTopicNameMax);
  for (char c : name) {
    const bool legal =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    if (!legal)
      return "Topic name is invalid: '" + text +
             "' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'";
  }
  return std::nullopt;
}

}  // namespace klamm::controller
