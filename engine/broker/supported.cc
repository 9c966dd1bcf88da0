// What is served, and by whom: one row an API. The versions are Kafka's own: an API is here once all of them are
// complete.
#include "engine/broker/supported.h"

#include <algorithm>
#include <array>

#include "engine/broker/handlers.h"

namespace klamm::broker {
namespace {

namespace api = protocol::api;

void fetch(Turn& t, Request& r) { handle_fetch(t, r); }
void list_offsets(Turn& t, Request& r) { handle_list_offsets(t, r); }
void metadata_of(Turn& t, Request& r) { handle_metadata(t, r); }
void find_coordinator(Turn& t, Request& r) { handle_find_coordinator(t, r); }
void to_groups(Turn& t, Request& r) { t.on_group_request(r); }
void forward(Turn& t, Request& r) { t.forward(r); }
void envelope(Turn& t, Request& r) { t.on_envelope(r); }

void to_quorum(Turn& t, Request& r) {
  if (!t.p.quorum) return t.close(r.ticket);
  quorum::Out out;
  t.p.quorum->on_request(t.io, r.ticket, r.body(), out);
  t.drain(out);
}

void to_controller(Turn& t, Request& r) {
  if (!t.p.controller) return t.close(r.ticket);
  controller::Out out;
  t.p.controller->on_request(t.ctx(), r.ticket, r.frame.of(r.body()), out);
  t.drain(out);
}

// While that connection lives, so does the broker: its end is a reason to look.
void from_broker(Turn& t, Request& r) {
  t.note_broker_connection(r);
  to_controller(t, r);
}

struct Row {
  int16_t api;
  Handler handler;
};
// Of a broker's listeners; ascending.
constexpr Row kBroker[] = {
    {api::kProduce, handle_produce},
    {api::kFetch, fetch},
    {api::kListOffsets, list_offsets},
    {api::kMetadata, metadata_of},
    {api::kOffsetCommit, to_groups},
    {api::kOffsetFetch, to_groups},
    {api::kFindCoordinator, find_coordinator},
    {api::kJoinGroup, to_groups},
    {api::kHeartbeat, to_groups},
    {api::kLeaveGroup, to_groups},
    {api::kSyncGroup, to_groups},
    {api::kDescribeGroups, to_groups},
    {api::kListGroups, to_groups},
    {api::kSaslHandshake, handle_security_off},
    {api::kApiVersions, handle_api_versions},
    {api::kCreateTopics, forward},
    {api::kDeleteTopics, forward},
    {api::kDeleteRecords, handle_delete_records},
    {api::kInitProducerId, handle_init_producer_id},
    {api::kOffsetForLeaderEpoch, handle_offset_for_leader_epoch},
    {api::kDescribeAcls, handle_security_off},
    {api::kCreateAcls, handle_security_off},
    {api::kDeleteAcls, handle_security_off},
    {api::kDescribeConfigs, handle_describe_configs},
    {api::kAlterConfigs, handle_alter_configs},
    {api::kDescribeLogDirs, handle_describe_log_dirs},
    {api::kSaslAuthenticate, handle_security_off},
    {api::kCreatePartitions, forward},
    {api::kCreateDelegationToken, handle_security_off},
    {api::kRenewDelegationToken, handle_security_off},
    {api::kExpireDelegationToken, handle_security_off},
    {api::kDescribeDelegationToken, handle_security_off},
    {api::kDeleteGroups, to_groups},
    {api::kIncrementalAlterConfigs, handle_alter_configs},
    {api::kOffsetDelete, to_groups},
    {api::kDescribeQuorum, forward},
    {api::kUpdateFeatures, forward},
    {api::kDescribeCluster, handle_describe_cluster},
    {api::kDescribeProducers, handle_describe_producers},
    {api::kUnregisterBroker, forward},
    {api::kGetTelemetrySubscriptions, handle_get_telemetry_subscriptions},
    {api::kPushTelemetry, handle_push_telemetry},
    {api::kListConfigResources, handle_list_config_resources},
    {api::kDescribeTopicPartitions, handle_describe_topic_partitions},
    {api::kAddRaftVoter, handle_raft_voters},
    {api::kRemoveRaftVoter, handle_raft_voters},
};
// Of a controller's listeners; ascending.
constexpr Row kController[] = {
    {api::kFetch, to_quorum},
    {api::kSaslHandshake, handle_security_off},
    {api::kApiVersions, handle_api_versions},
    {api::kCreateTopics, to_controller},
    {api::kDeleteTopics, to_controller},
    {api::kDescribeAcls, handle_security_off},
    {api::kCreateAcls, handle_security_off},
    {api::kDeleteAcls, handle_security_off},
    {api::kAlterConfigs, to_controller},
    {api::kSaslAuthenticate, handle_security_off},
    {api::kCreatePartitions, to_controller},
    {api::kCreateDelegationToken, handle_security_off},
    {api::kRenewDelegationToken, handle_security_off},
    {api::kExpireDelegationToken, handle_security_off},
    {api::kDescribeDelegationToken, handle_security_off},
    {api::kIncrementalAlterConfigs, to_controller},
    {api::kVote, to_quorum},
    {api::kBeginQuorumEpoch, to_quorum},
    {api::kEndQuorumEpoch, to_quorum},
    {api::kDescribeQuorum, to_quorum},
    {api::kAlterPartition, to_controller},
    {api::kUpdateFeatures, to_controller},
    {api::kEnvelope, envelope},
    {api::kFetchSnapshot, to_quorum},
    {api::kDescribeCluster, handle_describe_cluster},
    {api::kBrokerRegistration, from_broker},
    {api::kBrokerHeartbeat, from_broker},
    {api::kUnregisterBroker, to_controller},
    {api::kAllocateProducerIds, to_controller},
    {api::kControllerRegistration, to_controller},
    {api::kAddRaftVoter, handle_raft_voters},
    {api::kRemoveRaftVoter, handle_raft_voters},
};

Served row(const Row& r, ListenerKind kind) {
  const protocol::ApiInfo* info = protocol::find_api(r.api);
  KLAMM_ASSERT(info != nullptr);
  const bool broker = kind == ListenerKind::broker;
  const Served s{r.api, broker ? info->broker : info->controller,
                 broker ? info->broker_advertised : info->controller_advertised, r.handler};
  KLAMM_ASSERT(!s.versions.empty());
  KLAMM_ASSERT(r.handler != forward || info->forwardable);
  return s;
}

template<size_t N>
std::array<Served, N> table(const Row (&rows)[N], ListenerKind kind) {
  std::array<Served, N> out{};
  for (size_t i = 0; i < N; ++i) out[i] = row(rows[i], kind);
  KLAMM_ASSERT(std::is_sorted(out.begin(), out.end(), [](auto& a, auto& b) { return a.api < b.api; }));
  return out;
}

}  // namespace

std::span<const Served> served(ListenerKind kind) {
  static const auto broker = table(kBroker, ListenerKind::broker);
  static const auto controller = table(kController, ListenerKind::controller);
  if (kind == ListenerKind::broker) return broker;
  return controller;
}

const Served* find_served(ListenerKind kind, int16_t api) {
  const std::span<const Served> all = served(kind);
  const auto at = std::lower_bound(all.begin(), all.end(), api, [](const Served& s, int16_t a) { return s.api < a; });
  return at != all.end() && at->api == api ? &*at : nullptr;
}

}  // namespace klamm::broker
