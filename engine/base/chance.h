// Everything that is not determined enters by name: a choice is keyed by (stream, entity, ordinal), so that a new draw
// in one place never shifts another, and an id is the hash of its key.
#pragma once
#include <cstdint>

#include "engine/base/ids.h"

namespace klamm {

// What a draw or an id is for. Engine streams first; the simulator's own start at 1000.
enum class Stream : uint16_t {
  raft_election = 1,
  raft_backoff,
  client_backoff,
  client_partition,
  fault,
  cluster_id,
  directory_id,
  topic_id,
  incarnation_id,
  member_id,
  fetch_session_id,
  client_instance_id,
  group_jitter,
  placement,
  segment_jitter,
  key_hash,
  simulator = 1000,
};

struct ChoiceKey {
  Stream stream;
  uint64_t entity;
  uint64_t ordinal;
};

class Chance {
 public:
  virtual ~Chance() = default;
  // A choice in [0, n), n > 0. 0 is the dull choice: no fault, least delay, first candidate.
  virtual uint64_t below(ChoiceKey key, uint64_t n) = 0;
  // A name, not a choice: unlike for unlike keys, never zeroed or edited. On sockets: from the operating system's
  // generator.
  virtual uint64_t name(ChoiceKey key) = 0;

  Uuid uuid(Stream stream, uint64_t entity, uint64_t ordinal);  // version 4 shape, never a reserved one
};

// Keeps the ordinal beside what draws.
struct Dice {
  Stream stream = Stream::fault;
  uint64_t entity = 0;
  uint64_t ordinal = 0;
  uint64_t below(Chance& chance, uint64_t n) { return chance.below({stream, entity, ordinal++}, n); }
  template<class V>
  void fields(V& v) const {
    v("entity", entity), v("ordinal", ordinal);
  }
};

}  // namespace klamm
