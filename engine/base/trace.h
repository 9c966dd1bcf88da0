// What happened, for people: typed 32-byte events without strings. Renderers live outside the engine; tracing changes
// nothing.
#pragma once
#include <array>
#include <cstdint>

namespace klamm {

// X(name): the arguments are documented beside it as (a, b, c, d).
#define KLAMM_TRACE_KINDS(X)                                                             \
  X(none)                                                                                \
  X(node_started)        /* node, incarnation */                                         \
  X(node_stopping)       /* node */                                                      \
  X(raft_state)          /* node, epoch, state (raft::Role), leader */                   \
  X(raft_vote_granted)   /* node, epoch, candidate, pre-vote */                          \
  X(raft_high_watermark) /* node, epoch, offset */                                       \
  X(controller_active)   /* node, epoch, offset */                                       \
  X(broker_registered)   /* controller, broker, broker epoch */                          \
  X(broker_fenced)       /* controller, broker, reason: 0 session, 1 refused, 2 asked */ \
  X(broker_unfenced)     /* controller, broker */                                        \
  X(topic_created)       /* controller, first 8 bytes of topic id, partitions */         \
  X(leader_elected)      /* controller, partition, leader, leader epoch */               \
  X(isr_changed)         /* controller, partition, isr size, partition epoch */          \
  X(became_leader)       /* node, partition key, leader epoch, start offset */           \
  X(became_follower)     /* node, partition key, leader epoch, leader */                 \
  X(truncated)           /* node, partition key, to offset, from offset */               \
  X(high_watermark)      /* node, partition key, offset, leader epoch */                 \
  X(log_recovered)       /* node, partition key, end offset, bytes dropped */            \
  X(disk_failed)         /* node, directory, error */                                    \
  X(connection_opened)   /* node, conn, 0 in / 1 out */                                  \
  X(connection_closed)   /* node, conn, reason */                                        \
  X(request)             /* node, api, version, correlation */                           \
  X(reply)               /* node, api, error, correlation */                             \
  X(group_state)         /* node, group hash, generation, state */                       \
  X(group_member)        /* node, group hash, generation, members */                     \
  X(client_acknowledged) /* client, partition, offset, records */                        \
  X(client_failed)       /* client, partition, error, records */                         \
  X(client_consumed)     /* client, partition, offset, records */                        \
  X(client_committed)    /* client, partition, offset */                                 \
  X(fault)               /* sim fault kind, node, argument, argument */

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
  X(controller_failed_over)    \
  X(uncommitted_reverted)      \
  X(group_rebalanced)          \
  X(group_member_expired)      \
  X(cold_read)

enum class Probe : uint16_t {
#define KLAMM_X(name) name,
  KLAMM_PROBES(KLAMM_X)
#undef KLAMM_X
      count
};

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
