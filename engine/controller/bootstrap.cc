// What a fresh cluster begins with, and the ids that it hands out.
#include <limits>

#include "engine/controller/operation.h"
#include "engine/metadata/features.h"

namespace klamm::controller {

void bootstrap(Operation& op) {
  op.records = op.options.bootstrap_records;
  const bool given = !op.records.empty();
  for (const metadata::SupportedFeature& f : metadata::supported_features()) {
    if (given || f.fresh == 0 || (f.name == metadata::kElrVersion && !op.options.bootstrap_elr)) continue;
    protocol::FeatureLevelRecord r;
    r.name = f.name;
    r.feature_level = f.fresh;
    op.emit(0, r);
  }
  if (!op.options.bootstrap_elr) return;
  protocol::ConfigRecord r;  // with the elr all brokers must agree on it, so it is the cluster's, not each node's
  r.resource_type = static_cast<int8_t>(metadata::ResourceType::broker);
  r.name = "min.insync.replicas";
  r.value = op.text(std::to_string(op.options.min_insync_replicas));
  op.emit(0, r);
}

void allocate_producer_ids(Operation& op, int16_t, const protocol::AllocateProducerIdsRequest& q,
                           protocol::AllocateProducerIdsResponse& a) {
  constexpr int32_t kBlock = 1000;
  ErrorCode fault = check_broker_epoch(op, q.broker_id, q.broker_epoch);
  const ProducerId first = op.image.next_producer_id();
  if (fault == ErrorCode::none && first > std::numeric_limits<int64_t>::max() - kBlock)
    fault = ErrorCode::unknown_server_error;
  a.error_code = static_cast<int16_t>(fault);
  if (fault != ErrorCode::none) return;
  protocol::ProducerIdsRecord r;
  r.broker_id = q.broker_id;
  r.broker_epoch = q.broker_epoch;
  r.next_producer_id = first + kBlock;
  op.emit(0, r);
  a.producer_id_start = first;
  a.producer_id_len = kBlock;
}

}  // namespace klamm::controller
