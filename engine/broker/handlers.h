// What a broker answers. One file per API in handlers/; each opens with what it serves and the KIPs behind it.
#pragma once
#include "engine/broker/turn.h"

namespace klamm::broker {

// `until`: the request has waited, and is answered by then.
void handle_produce(Turn& t, Request& request);
// A Fetch as Kafka reads it: partitions and topics named twice become one, topics without partitions go.
void make_plain(Arena& arena, protocol::FetchRequest& q);
// `unknown`: of one that was parked, see ParkedFetch.
void handle_fetch(Turn& t, Request& request, std::optional<Instant> until = std::nullopt,
                  const std::vector<uint32_t>* unknown = nullptr);
// `searches`: what was found before it waited for the disk, or for its turn.
void handle_list_offsets(Turn& t, Request& request, TimeSearches searches = {});
void handle_metadata(Turn& t, Request& request, std::optional<Instant> until = std::nullopt);
void handle_find_coordinator(Turn& t, Request& request, std::optional<Instant> until = std::nullopt);
void handle_api_versions(Turn& t, Request& request);
void handle_init_producer_id(Turn& t, Request& request);
void handle_offset_for_leader_epoch(Turn& t, Request& request);
void handle_describe_cluster(Turn& t, Request& request);
void handle_delete_records(Turn& t, Request& request);
void handle_describe_topic_partitions(Turn& t, Request& request);
void handle_describe_log_dirs(Turn& t, Request& request);
void handle_describe_producers(Turn& t, Request& request);
void handle_security_off(Turn& t, Request& request);
void handle_raft_voters(Turn& t, Request& request);
void handle_describe_configs(Turn& t, Request& request);
void handle_alter_configs(Turn& t, Request& request);
void handle_list_config_resources(Turn& t, Request& request);
void handle_get_telemetry_subscriptions(Turn& t, Request& request);
void handle_push_telemetry(Turn& t, Request& request);

// The answer to all of a request that was altered by the controller in part; nothing: the controller's makes no sense.
std::optional<Slice> complete_alter_configs(Arena& arena, const Request& request, const Part& part, const Slice& body);

// Deletions that wait for other replicas.
void deletes_on_time(Turn& t);

// Goes on with a Produce that took more than a turn.
void produce_goes_on(Turn& t);
// The watch on `key` of a parked Produce fired.
void produce_woken(Turn& t, parked::ParkedId id, const WaitKey& key);
void produce_expired(Turn& t, parked::ParkedId id);
// A parked request may go on, or its time is over.
void serve_parked(Turn& t, ParkedFetch& parked);

// Producer ids came from the controller, or did not.
void producer_ids_answered(Turn& t, const net::Answer& answer);
void producer_ids_on_time(Turn& t);

// ---- shared by handlers
// Where a partition that a request names is: by topic id or by name, and what to say if it is nowhere.
struct Located {
  TopicIdPartition id;
  const metadata::Topic* topic = nullptr;
  const replication::Partition* replica = nullptr;  // of this broker
  ErrorCode error = ErrorCode::none;
};
Located locate(Turn& t, Str topic, const Uuid& id, bool by_id, int32_t partition);
// A partition that this broker will lead once its log is open.
bool opens_to_lead(const Turn& t, const Located& at);
// Where a request came from, for as long as the answer takes.
struct Asker {
  Asker(const Ticket& t, ListenerId l) : ticket(t), listener(l) {}
  Asker(const Request& r) : ticket(r.ticket), listener(r.listener) {}  // NOLINT: a request is asked by somebody
  Ticket ticket;
  ListenerId listener;
};
// A broker's endpoint for clients of this listener; null: none of that name.
const metadata::BrokerEndpoint* endpoint_of(Turn& t, const Asker& asker, const metadata::Broker& broker);
// Whether clients of this listener cannot reach a replica: it is out of service, or has no endpoint for them.
bool offline(Turn& t, const Asker& asker, NodeId replica);
bool internal_topic(Str name);
// All operations that a principal may do where nobody is refused, as Kafka's bit field (KIP-430).
int32_t topic_operations();
int32_t cluster_operations();

}  // namespace klamm::broker
