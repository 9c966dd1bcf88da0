// What happened, for people: typed 32-byte events without strings. Renderers live outside the engine; tracing changes
// nothing.
#pragma once
#include <array>
#include <cstdint>

#include "engine/base/ids.h"

namespace klamm {

// X(name): the arguments are documented beside it in the order (a, b, c, d). Logs are named by (partition in a,
// topic_key in b).
#define KLAMM_TRACE_KINDS(X)                                                                                      \
  X(none)                                                                                                         \
  X(node_started)        /* node id, incarnation */                                                               \
  X(node_stopping)       /* node id */                                                                            \
  X(raft_role)           /* epoch, role (raft::Role), leader, log end */                                          \
  X(raft_vote_granted)   /* epoch, candidate, pre-vote */                                                         \
  X(controller_active)   /* epoch, offset */                                                                      \
  X(controller_sought)   /* node id: it knows no leader of the quorum, or hears none, for a while */              \
  X(broker_registered)   /* broker, broker epoch */                                                               \
  X(broker_refused)      /* node id, error: the controller does not register it */                                \
  X(broker_fenced)       /* broker, reason: 0 session, 1 refused, 2 asked */                                      \
  X(broker_unfenced)     /* broker */                                                                             \
  X(partition_changed)   /* partition, topic key, leader << 32 | leader epoch, isr mask */                        \
  X(became_leader)       /* partition, topic key, leader epoch, start offset */                                   \
  X(became_follower)     /* partition, topic key, leader epoch, leader */                                         \
  X(batch_appended)      /* partition, topic key, base offset, epoch << 32 | crc; flags = offsets (capped) */     \
  X(log_removed)         /* partition, topic key */                                                               \
  X(log_truncated)       /* partition, topic key, to offset, from offset; flags = 1: and begins anew there */     \
  X(log_recovered)       /* partition, topic key, end offset, start offset */                                     \
  X(log_tail_dropped)    /* partition, topic key, rest of the topic id, bytes found damaged */                    \
  X(log_tails_dropped)   /* of how many more logs; 0; bytes */                                                    \
  X(checkpoint_damaged)  /* directory, which of log::kOffsetCheckpoints: it counts for nothing */                 \
  X(log_start_moved)     /* partition, topic key, start offset */                                                 \
  X(log_compacting)      /* partition, topic key, offset: what is below may go for what is below */               \
  X(durable)             /* partition, topic key, synced offset */                                                \
  X(high_watermark)      /* partition, topic key, offset, leader epoch */                                         \
  X(disk_failed)         /* directory, error */                                                                   \
  X(disk_full)           /* directory, 1: records are refused, 0: no longer */                                    \
  X(config_unused)       /* a dynamic broker config without effect: its place in the table, -1 of one listener */ \
  X(metadata_unused)     /* kinds (bits of metadata::UnusedKind), records, 1: not all are kept */                 \
  X(connection_opened)   /* 0 in / 1 out, conn, peer */                                                           \
  X(connection_closed)   /* reason, conn */                                                                       \
  X(request)             /* api, conn, version, correlation */                                                    \
  X(reply)               /* api, conn, error, correlation */                                                      \
  X(group_state)         /* members, group hash, generation, state */                                             \
  X(client_acknowledged) /* partition, topic hash, base offset, records */                                        \
  X(client_failed)       /* partition, topic hash, error, records */                                              \
  X(client_consumed)     /* partition, topic hash, base offset, records */                                        \
  X(client_committed)    /* partition, topic hash, offset */                                                      \
  X(fault)               /* the simulator's fault kind, host, argument, argument */

enum class TraceKind : uint16_t {
#define KLAMM_X(name) name,
  KLAMM_TRACE_KINDS(KLAMM_X)
#undef KLAMM_X
};

struct TraceEvent {
  TraceKind kind = TraceKind::none;
  uint16_t flags = 0;
  int32_t a = 0;
  int64_t b = 0, c = 0, d = 0;
};
static_assert(sizeof(TraceEvent) == 32);

// Rare branches worth knowing that a campaign reached; one list.
#define KLAMM_PROBES(X)        \
  X(raft_prospective)          \
  X(log_retained)              \
  X(log_cleaned)               \
  X(records_deleted)           \
  X(log_swap_completed)        \
  X(raft_election_lost)        \
  X(raft_divergence)           \
  X(raft_resigned)             \
  X(isr_shrunk)                \
  X(isr_expanded)              \
  X(alter_partition_refused)   \
  X(follower_truncated)        \
  X(fetch_fenced_epoch)        \
  X(fetch_unknown_epoch)       \
  X(produce_duplicate)         \
  X(produce_out_of_order)      \
  X(not_enough_replicas)       \
  X(not_enough_replicas_after) \
  X(log_torn_tail)             \
  X(log_rolled)                \
  X(fenced_by_refused_dial)    \
  X(fenced_by_session)         \
  X(answer_in_doubt)           \
  X(metadata_snapshot)         \
  X(metadata_log_cut)          \
  X(controller_failed_over)    \
  X(uncommitted_reverted)      \
  X(group_rebalanced)          \
  X(group_member_expired)      \
  X(waits_to_lead)             \
  X(cold_read)                 \
  X(cold_region)               \
  X(flushed_by_time)           \
  X(partition_looked_at)

enum class Probe : uint16_t {
#define KLAMM_X(name) name,
  KLAMM_PROBES(KLAMM_X)
#undef KLAMM_X
      count
};

// The first eight bytes of a topic id: enough to name a log in a trace.
inline int64_t topic_key(const Uuid& topic, size_t from = 0) {
  uint64_t key = 0;
  for (size_t i = 0; i < 8; ++i) key = key << 8 | topic.bytes[from + i];
  return static_cast<int64_t>(key);
}
// The others: for those who look a topic up.
inline int64_t topic_key_rest(const Uuid& topic) { return topic_key(topic, 8); }
inline Uuid topic_of_keys(int64_t key, int64_t rest) {
  Uuid topic;
  for (size_t i = 0; i < 16; ++i)
    topic.bytes[i] = static_cast<uint8_t>(static_cast<uint64_t>(i < 8 ? key : rest) >> (56 - 8 * (i % 8)));
  return topic;
}

class Trace {
 public:
  virtual ~Trace() = default;
  virtual void event(const TraceEvent& e) = 0;
  std::array<uint64_t, static_cast<size_t>(Probe::count)> probes{};
};

class NoTrace final : public Trace {
 public:
  void event(const TraceEvent&) override {}
};

}  // namespace klamm

#define PROBE(ctx, name) (++(ctx).trace.probes[static_cast<size_t>(::klamm::Probe::name)])
