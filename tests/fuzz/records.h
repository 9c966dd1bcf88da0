// What the target `records` and its seeds agree on: the first byte says which reader is given the rest.
#pragma once
#include <cstdint>

namespace klamm::fuzz {

enum class Reader : uint8_t {
  metadata_records,
  metadata_snapshot,
  group_records,
  quorum_state,
  producer_snapshot,
  offset_checkpoint,
  epoch_checkpoint,
  partition_metadata,
  clean_shutdown,
  directory_name,
  snapshot_name,
  meta_properties,
  broker_properties,
  topic_properties,
  pattern,
  client_match,
  txn_index,
  count,
};

}  // namespace klamm::fuzz
