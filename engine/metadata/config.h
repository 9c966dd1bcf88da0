// Configurations as typed values. A broker's is read once, at boot; a topic's anew whenever its overrides change.
#pragma once
#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/assert.h"
#include "engine/base/ids.h"
#include "engine/base/units.h"
#include "engine/metadata/config_defs.h"

namespace klamm::metadata {

using Properties = std::map<std::string, std::string>;  // Kafka's names

// A decimal number, saturated.
struct Millionths {
  int64_t value = 0;
  template<class V>
  void fields(V& v) const {
    v("value", value);
  }
};

// X(type, member, name). A Duration takes its unit from the end of the name.
#define KLAMM_TOPIC_CONFIGS(X)                                               \
  X(std::vector<std::string>, cleanup_policy, "cleanup.policy")              \
  X(int32_t, compression_gzip_level, "compression.gzip.level")               \
  X(int32_t, compression_lz4_level, "compression.lz4.level")                 \
  X(std::string, compression_type, "compression.type")                       \
  X(int32_t, compression_zstd_level, "compression.zstd.level")               \
  X(int64_t, delete_retention_ms, "delete.retention.ms")                     \
  X(Duration, file_delete_delay, "file.delete.delay.ms")                     \
  X(int64_t, flush_messages, "flush.messages")                               \
  X(Duration, flush_after, "flush.ms")                                       \
  X(int32_t, index_interval_bytes, "index.interval.bytes")                   \
  X(int64_t, max_compaction_lag_ms, "max.compaction.lag.ms")                 \
  X(int32_t, max_message_bytes, "max.message.bytes")                         \
  X(int64_t, timestamp_after_max_ms, "message.timestamp.after.max.ms")       \
  X(int64_t, timestamp_before_max_ms, "message.timestamp.before.max.ms")     \
  X(std::string, timestamp_type, "message.timestamp.type")                   \
  X(Millionths, min_dirty_ratio, "min.cleanable.dirty.ratio")                \
  X(int64_t, min_compaction_lag_ms, "min.compaction.lag.ms")                 \
  X(int32_t, min_insync_replicas, "min.insync.replicas")                     \
  X(int64_t, retention_bytes, "retention.bytes")                             \
  X(int64_t, retention_ms, "retention.ms")   /* -1: for ever */              \
  X(int32_t, segment_bytes, "segment.bytes") /* or internal.segment.bytes */ \
  X(int32_t, segment_index_bytes, "segment.index.bytes")                     \
  X(Duration, segment_age, "segment.ms")                                     \
  X(Duration, segment_jitter, "segment.jitter.ms")                           \
  X(bool, unclean_leader_election, "unclean.leader.election.enable")

struct TopicConfig {
#define KLAMM_X(type, member, name) type member{};
  KLAMM_TOPIC_CONFIGS(KLAMM_X)
#undef KLAMM_X
  bool compacted() const;
  bool deleted_by_age() const;
  bool log_append_time() const { return timestamp_type == "LogAppendTime"; }
  template<class V>
  void fields(V& v) const {
#define KLAMM_X(type, member, name) v(#member, member);
    KLAMM_TOPIC_CONFIGS(KLAMM_X)
#undef KLAMM_X
  }
};

#define KLAMM_BROKER_CONFIGS(X)                                                             \
  X(int32_t, node_id, "node.id")                                                            \
  X(bool, auto_create_topics, "auto.create.topics.enable")                                  \
  X(bool, auto_leader_rebalance, "auto.leader.rebalance.enable")                            \
  X(bool, delete_topics, "delete.topic.enable")                                             \
  X(int32_t, num_partitions, "num.partitions")                                              \
  X(int32_t, default_replication_factor, "default.replication.factor")                      \
  X(int32_t, min_insync_replicas, "min.insync.replicas")                                    \
  X(int32_t, message_max_bytes, "message.max.bytes")                                        \
  X(Duration, session_timeout, "broker.session.timeout.ms")                                 \
  X(Duration, heartbeat_interval, "broker.heartbeat.interval.ms")                           \
  X(Duration, leader_imbalance_check_interval, "leader.imbalance.check.interval.seconds")   \
  X(Duration, unclean_election_interval, "unclean.leader.election.interval.ms")             \
  X(std::string, rack, "broker.rack")                                                       \
  X(bool, controlled_shutdown, "controlled.shutdown.enable")                                \
  X(Duration, election_timeout, "controller.quorum.election.timeout.ms")                    \
  X(Duration, election_backoff_max, "controller.quorum.election.backoff.max.ms")            \
  X(Duration, quorum_fetch_timeout, "controller.quorum.fetch.timeout.ms")                   \
  X(Duration, quorum_request_timeout, "controller.quorum.request.timeout.ms")               \
  X(int32_t, metadata_segment_bytes, "metadata.log.segment.bytes") /* or internal. */       \
  X(int64_t, metadata_snapshot_bytes, "metadata.log.max.record.bytes.between.snapshots")    \
  X(Duration, metadata_snapshot_interval, "metadata.log.max.snapshot.interval.ms")          \
  X(int64_t, metadata_segment_ms, "metadata.log.segment.ms")                                \
  X(int64_t, metadata_retention_bytes, "metadata.max.retention.bytes")                      \
  X(int64_t, metadata_retention_ms, "metadata.max.retention.ms")                            \
  X(Duration, replica_lag_max, "replica.lag.time.max.ms")                                   \
  X(int32_t, replica_fetch_max_bytes, "replica.fetch.max.bytes")                            \
  X(int32_t, replica_fetch_response_max_bytes, "replica.fetch.response.max.bytes")          \
  X(int32_t, replica_fetch_min_bytes, "replica.fetch.min.bytes")                            \
  X(Duration, replica_fetch_wait_max, "replica.fetch.wait.max.ms")                          \
  X(Duration, replica_socket_timeout, "replica.socket.timeout.ms")                          \
  X(Duration, hw_checkpoint_interval, "replica.high.watermark.checkpoint.interval.ms")      \
  X(int32_t, fetch_max_bytes, "fetch.max.bytes")                                            \
  X(int32_t, fetch_session_slots, "max.incremental.fetch.session.cache.slots")              \
  X(int32_t, request_partition_limit, "max.request.partition.size.limit")                   \
  X(int32_t, request_max_bytes, "socket.request.max.bytes")                                 \
  X(int32_t, telemetry_max_bytes, "telemetry.max.bytes")                                    \
  X(Duration, request_timeout, "request.timeout.ms")                                        \
  X(Duration, connections_max_idle, "connections.max.idle.ms")                              \
  X(int32_t, max_connections, "max.connections")                                            \
  X(int32_t, max_connections_per_ip, "max.connections.per.ip")                              \
  X(Duration, retention_check_interval, "log.retention.check.interval.ms")                  \
  X(Duration, flush_checkpoint_interval, "log.flush.offset.checkpoint.interval.ms")         \
  X(Duration, start_checkpoint_interval, "log.flush.start.offset.checkpoint.interval.ms")   \
  X(Duration, flush_look_interval, "log.flush.scheduler.interval.ms")                       \
  X(int32_t, offsets_partitions, "offsets.topic.num.partitions")                            \
  X(Duration, offsets_retention, "offsets.retention.minutes")                               \
  X(Duration, offsets_retention_check_interval, "offsets.retention.check.interval.ms")      \
  X(Duration, offsets_commit_timeout, "offsets.commit.timeout.ms")                          \
  X(int32_t, offset_metadata_max_bytes, "offset.metadata.max.bytes")                        \
  X(Duration, group_initial_rebalance_delay, "group.initial.rebalance.delay.ms")            \
  X(Duration, group_min_session_timeout, "group.min.session.timeout.ms")                    \
  X(Duration, group_max_session_timeout, "group.max.session.timeout.ms")                    \
  X(int32_t, group_max_size, "group.max.size")                                              \
  X(Duration, producer_id_expiration, "producer.id.expiration.ms")                          \
  X(Duration, producer_id_expiration_check, "producer.id.expiration.check.interval.ms")     \
  X(std::string, flush, "klamm.flush")           /* what acknowledges: written or commit */ \
  X(std::string, cluster_id, "klamm.cluster.id") /* "": the first controller draws one */   \
  X(bool, format_new_directories, "klamm.format.new.directories")                           \
  X(bool, telemetry_advertise, "klamm.telemetry.advertise")                                 \
  X(int64_t, fetch_cache_bytes, "klamm.fetch.cache.bytes")                                  \
  X(int32_t, fetch_region_bytes, "klamm.fetch.region.bytes")                                \
  X(int32_t, fetch_tail_bytes, "klamm.fetch.tail.bytes")                                    \
  X(int64_t, disk_reserve_bytes, "klamm.disk.reserve.bytes")

// What a broker spends on compaction.
#define KLAMM_CLEANER_CONFIGS(X)                                  \
  X(bool, enabled, "log.cleaner.enable")                          \
  X(Duration, backoff, "log.cleaner.backoff.ms")                  \
  X(int64_t, buffer_bytes, "log.cleaner.dedupe.buffer.size")      \
  X(Millionths, load_factor, "log.cleaner.io.buffer.load.factor") \
  X(Millionths, bytes_per_second, "log.cleaner.io.max.bytes.per.second")

struct CleanerConfig {
#define KLAMM_X(type, member, name) type member{};
  KLAMM_CLEANER_CONFIGS(KLAMM_X)
#undef KLAMM_X
};

struct Endpoint {
  std::string listener;
  std::string host;  // "": every interface
  uint16_t port = 0;
  template<class V>
  void fields(V& v) const {
    v("listener", listener), v("host", host), v("port", port);
  }
};

inline constexpr size_t kMostVoters = 63;

struct Voter {
  NodeId id;
  std::string host;
  uint16_t port = 0;
  template<class V>
  void fields(V& v) const {
    v("id", id), v("host", host), v("port", port);
  }
};

struct BrokerConfig {
#define KLAMM_X(type, member, name) type member{};
  KLAMM_BROKER_CONFIGS(KLAMM_X)
#undef KLAMM_X
  bool broker = false;                         // process.roles
  bool controller = false;                     // process.roles; at least one of the two
  std::vector<Endpoint> listeners;             // all, to be bound; an index is a ListenerId
  std::vector<Endpoint> advertised_listeners;  // of the broker role, with what clients are told
  std::vector<std::string> controller_listener_names;
  std::string inter_broker_listener_name;      // one of the listeners where the node is a broker
  std::vector<Voter> voters;                   // controller.quorum.voters, by id; at least one, at most kMostVoters
  std::vector<Endpoint> bootstrap_servers;     // controller.quorum.bootstrap.servers
  std::vector<std::string> log_dirs;           // at least one
  std::vector<std::string> cordoned_log_dirs;  // of log_dirs: take no new partitions (KIP-1066)
  std::string metadata_log_dir;                // one of log_dirs, or a directory of its own
  std::map<std::string, uint32_t> max_connections_overrides;  // max.connections.per.ip.overrides
  TopicConfig topic_defaults;                                 // what a topic without overrides has

  bool sync_before_ack() const { return flush == "commit"; }
  // High watermarks, recovery points and log starts are written down together, as often as any of them is to be.
  Duration checkpoint_interval() const {
    const Duration least = std::min({hw_checkpoint_interval, flush_checkpoint_interval, start_checkpoint_interval});
    return std::max(least, milliseconds(1));
  }
  bool controller_listener(const std::string& name) const;
  bool cordoned(const std::string& log_dir) const;
  template<class V>
  void fields(V& v) const {
#define KLAMM_X(type, member, name) v(#member, member);
    KLAMM_BROKER_CONFIGS(KLAMM_X)
#undef KLAMM_X
    v("broker", broker), v("controller", controller), v("listeners", listeners),
        v("advertised_listeners", advertised_listeners), v("controller_listener_names", controller_listener_names),
        v("inter_broker_listener_name", inter_broker_listener_name), v("voters", voters),
        v("bootstrap_servers", bootstrap_servers), v("log_dirs", log_dirs), v("cordoned_log_dirs", cordoned_log_dirs),
        v("metadata_log_dir", metadata_log_dir), v("max_connections_overrides", max_connections_overrides),
        v("topic_defaults", topic_defaults);
  }
};

// A value that is not allowed. `wanted` ends the sentence "key=value: ...".
struct ConfigProblem {
  std::string key;
  std::string value;
  std::string wanted;
  std::string text() const { return key + "=" + value + ": " + wanted; }
};

struct ConfigReport {
  std::vector<ConfigProblem> errors;
  std::vector<std::string> warnings;  // unknown keys, with near matches
};

// The typed configuration of a node. With errors in the report the value is not to be used.
BrokerConfig parse_broker_config(const Properties& properties, ConfigReport& report);

// The text that holds for a topic: its override, else the first broker synonym set, else the default. Null: no value.
std::optional<std::string> topic_config_value(const ConfigDef& def, const Properties& overrides,
                                              const Properties& broker);

// Takes what may change while a broker runs (KIP-226) from checked properties, with dynamic ones over those of the
// boot.
bool broker_config_has_effect(std::string_view name);
void layer_dynamic_configs(BrokerConfig& config, const Properties& broker);

// Of properties that have been checked; dynamic ones may lie over those of the boot.
CleanerConfig make_cleaner_config(const Properties& broker);

// Overrides must have been checked; a value that is not allowed reads as its default.
TopicConfig make_topic_config(const Properties& overrides, const Properties& broker);
// The same of one config whose text is at hand.
int32_t topic_integer(std::string_view name, const std::string& text);
bool topic_boolean(std::string_view name, const std::string& text);

// What is wrong with all of a topic's overrides, in Kafka's words for CreateTopics and AlterConfigs; nothing if all is
// well.
std::optional<std::string> topic_config_fault(const Properties& overrides, const Properties& broker);

}  // namespace klamm::metadata
