// What a quorum says of itself in control records of its log and snapshots: the version of KRaft, and from version 1 on
// its voters (KIP-853). A value, kept with the image so that snapshots hand it on: Apache Kafka reads the newest
// snapshot and the log behind it, and finds no voter if it is in neither.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/base/arena.h"
#include "engine/base/ids.h"
#include "engine/base/result.h"
#include "engine/protocol/record_batch.h"

namespace klamm::metadata {

inline constexpr size_t kControlPlainMax = 1 << 20;  // of one batch of control records, unpacked

struct QuorumVoter {
  NodeId id;
  Uuid directory;  // zero: not known
  friend bool operator==(const QuorumVoter&, const QuorumVoter&) = default;
};

struct QuorumRecords {
  int16_t kraft_version = 0;  // of the last KRaftVersionRecord; 0: there was none
  std::string voters;         // the value of the last VotersRecord as it was read; empty: there was none

  // Takes over a control record; of other types than these two nothing is taken. An error: it cannot be read.
  Result<void> apply(const protocol::Record& record);
  // All of a batch that has passed check_batch; of one that holds no control records, nothing.
  Result<void> apply_batch(const protocol::BatchHeader& header, ByteSpan batch);
  // All of the batches that `file`, a snapshot, begins with, up to the first of data; damaged ones are not looked into.
  Result<void> apply_head(ByteSpan file);
  std::vector<QuorumVoter> named() const;

  friend bool operator==(const QuorumRecords&, const QuorumRecords&) = default;
  template<class V>
  void fields(V& v) const {
    v("kraft_version", kraft_version), v("voters", voters);
  }
};

}  // namespace klamm::metadata
