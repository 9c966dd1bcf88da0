// How each kind of metadata record changes the image.
#include "engine/base/reader.h"
#include "engine/metadata/image.h"
#include "engine/metadata/records.h"

namespace klamm::metadata {

namespace {

constexpr int8_t kFence = 1, kUnfence = -1, kInControlledShutdown = 1;  // BrokerRegistrationChangeRecord's codes
constexpr int32_t kLeaderUnchanged = -2;
constexpr int8_t kRecoveryUnchanged = -1;

std::vector<NodeId> nodes(const List<int32_t>& list) {
  std::vector<NodeId> out;
  out.reserve(list.size());
  for (int32_t id : list) out.push_back(NodeId{id});
  return out;
}
std::vector<Uuid> ids_in(const List<Uuid>& list) { return std::vector<Uuid>(list.begin(), list.end()); }

template<class Endpoints>
std::vector<BrokerEndpoint> endpoints(const Endpoints& list) {
  std::vector<BrokerEndpoint> out;
  for (const auto& e : list) out.push_back({std::string(e.name), std::string(e.host), e.port, e.security_protocol});
  return out;
}
template<class Features>
std::vector<FeatureRange> ranges(const Features& list) {
  std::vector<FeatureRange> out;
  for (const auto& f : list) out.push_back({std::string(f.name), f.min_supported_version, f.max_supported_version});
  return out;
}

std::string unify(std::string_view name) {
  std::string out(name);
  for (char& c : out)
    if (c == '.') c = '_';
  return out;
}
bool may_collide(std::string_view name) { return name.find_first_of("._") != std::string_view::npos; }

}  // namespace

// One record on its way into one image. Every `fold` either changes the image as a whole or refuses before it begins.
struct Fold {
  Image& image;
  Delta& delta;

  static tl::unexpected<Error> refuse(const char* why) { return fail(ErrorCode::invalid_record, why); }

  // Moves the partition's entries of the derived index; either state may be null.
  void reindex(const TopicIdPartition& p, const PartitionInfo* before, const PartitionInfo* after) {
    if (before) each_membership(*before, [&](NodeId n) { image.memberships_.erase(Membership{n, p}); });
    if (after) each_membership(*after, [&](NodeId n) { image.memberships_.set(Membership{n, p}, Image::Present{}); });
  }
  template<class F>
  static void each_membership(const PartitionInfo& info, F&& f) {
    for (NodeId n : info.isr) f(n);
    for (NodeId n : info.elr) f(n);
    if (info.leader == kNoNode) f(kLeaderless);
    if (!info.preferred_leader()) f(kNotPreferred);
  }
  void put(const TopicIdPartition& p, PartitionInfo info) {
    Topic& topic = image.topics_.write(p.topic);
    reindex(p, topic.partitions.find(p.partition), &info);
    topic.partitions.set(p.partition, std::move(info));
    delta.partitions.insert(p);
  }
  Result<Broker*> registered(int32_t id, int64_t epoch) {
    const Broker* b = image.brokers_.find(NodeId{id});
    if (!b) return refuse("a record changes a broker that is not registered");
    if (b->epoch != epoch) return refuse("a record changes a broker of another epoch");
    delta.brokers.insert(NodeId{id});
    return &image.brokers_.write(NodeId{id});
  }

  Result<void> fold(const protocol::RegisterBrokerRecord& r) {
    Broker b;
    b.id = NodeId{r.broker_id};
    b.epoch = r.broker_epoch;
    b.incarnation = r.incarnation_id;
    b.endpoints = endpoints(r.end_points);
    b.features = ranges(r.features);
    if (!is_null(r.rack)) b.rack = std::string(r.rack);
    b.fenced = r.fenced;
    b.in_controlled_shutdown = r.in_controlled_shutdown;
    b.log_dirs = ids_in(r.log_dirs);
    b.cordoned_log_dirs = ids_in(r.cordoned_log_dirs);
    delta.brokers.insert(b.id);
    image.brokers_.set(NodeId{r.broker_id}, std::move(b));
    return {};
  }
  Result<void> fold(const protocol::UnregisterBrokerRecord& r) {
    const Result<Broker*> b = registered(r.broker_id, r.broker_epoch);
    if (!b) return tl::unexpected(b.error());
    image.brokers_.erase(NodeId{r.broker_id});
    return {};
  }
  Result<void> fold(const protocol::FenceBrokerRecord& r) {
    const Result<Broker*> b = registered(r.id, r.epoch);
    if (!b) return tl::unexpected(b.error());
    (*b)->fenced = true;
    return {};
  }
  Result<void> fold(const protocol::UnfenceBrokerRecord& r) {
    const Result<Broker*> b = registered(r.id, r.epoch);
    if (!b) return tl::unexpected(b.error());
    (*b)->fenced = false;
    return {};
  }
  Result<void> fold(const protocol::BrokerRegistrationChangeRecord& r) {
    if (r.fenced < kUnfence || r.fenced > kFence || r.in_controlled_shutdown < 0 || r.in_controlled_shutdown > 1)
      return refuse("a broker registration change with an unknown code");
    const Result<Broker*> b = registered(r.broker_id, r.broker_epoch);
    if (!b) return tl::unexpected(b.error());
    if (r.fenced != 0) (*b)->fenced = r.fenced == kFence;
    if (r.in_controlled_shutdown == kInControlledShutdown) (*b)->in_controlled_shutdown = true;
    if (!r.log_dirs.empty()) (*b)->log_dirs = ids_in(r.log_dirs);
    if (!r.cordoned_log_dirs.is_null()) (*b)->cordoned_log_dirs = ids_in(r.cordoned_log_dirs);
    return {};
  }
  Result<void> fold(const protocol::RegisterControllerRecord& r) {
    Controller c;
    c.id = NodeId{r.controller_id};
    c.incarnation = r.incarnation_id;
    c.endpoints = endpoints(r.end_points);
    c.features = ranges(r.features);
    image.controllers_.set(NodeId{r.controller_id}, std::move(c));
    delta.controllers = true;
    return {};
  }

  Result<void> fold(const protocol::TopicRecord& r) {
    if (image.topic(r.name)) return refuse("a second topic of one name");
    if (image.topic(r.topic_id)) return refuse("a second topic of one id");
    Topic& t = image.topics_.write(r.topic_id);
    t.name = std::string(r.name);
    t.id = r.topic_id;
    image.topics_by_name_.set(t.name, r.topic_id);
    if (may_collide(t.name)) image.colliding_.set(std::pair(unify(t.name), t.name), Image::Present{});
    delta.topics.insert(r.topic_id);
    return {};
  }
  Result<void> fold(const protocol::RemoveTopicRecord& r) {
    const Topic* found = image.topic(r.topic_id);
    if (!found) return refuse("an unknown topic is removed");
    const Topic t = *found;
    for (const auto& [index, info] : t.partitions) {
      reindex({t.id, index}, &info, nullptr);
      delta.partitions.erase({t.id, index});
    }
    image.topics_by_name_.erase(t.name);
    if (may_collide(t.name)) image.colliding_.erase(std::pair(unify(t.name), t.name));
    const ConfigResource resource{ResourceType::topic, t.name};
    if (image.configs_.erase(resource)) delta.configs.insert(resource);
    image.topics_.erase(t.id);
    if (delta.topics.erase(t.id) == 0) delta.deleted.insert(t.id);
    return {};
  }
  Result<void> fold(const protocol::PartitionRecord& r) {
    if (!image.topic(r.topic_id)) return refuse("a partition of an unknown topic");
    if (r.leader_recovery_state < 0 || r.leader_recovery_state > 1) return refuse("an unknown leader recovery state");
    PartitionInfo p;
    p.replicas = nodes(r.replicas);
    p.directories = r.directories.empty() ? std::vector<Uuid>(p.replicas.size()) : ids_in(r.directories);
    if (p.directories.size() != p.replicas.size()) return refuse("a partition with another number of directories");
    p.isr = nodes(r.isr);
    p.removing = nodes(r.removing_replicas);
    p.adding = nodes(r.adding_replicas);
    p.elr = nodes(r.eligible_leader_replicas);
    p.last_known_elr = nodes(r.last_known_elr);
    p.leader = NodeId{r.leader};
    p.recovery = static_cast<LeaderRecovery>(r.leader_recovery_state);
    p.leader_epoch = r.leader_epoch;
    p.partition_epoch = r.partition_epoch;
    put({r.topic_id, r.partition_id}, std::move(p));
    return {};
  }
  Result<void> fold(const protocol::PartitionChangeRecord& r) {
    const TopicIdPartition id{r.topic_id, r.partition_id};
    const PartitionInfo* before = image.partition(id);
    if (!before) return refuse("an unknown partition is changed");
    if (r.leader_recovery_state < kRecoveryUnchanged || r.leader_recovery_state > 1)
      return refuse("an unknown leader recovery state");
    PartitionInfo p = *before;
    if (!r.replicas.is_null()) p.replicas = nodes(r.replicas);
    if (!r.directories.is_null()) p.directories = ids_in(r.directories);
    if (p.directories.size() != p.replicas.size()) {
      if (!r.directories.is_null()) return refuse("a partition with another number of directories");
      p.directories.assign(p.replicas.size(), kUnassignedDirectory);
    }
    if (!r.isr.is_null()) p.isr = nodes(r.isr);
    if (!r.removing_replicas.is_null()) p.removing = nodes(r.removing_replicas);
    if (!r.adding_replicas.is_null()) p.adding = nodes(r.adding_replicas);
    if (!r.eligible_leader_replicas.is_null()) p.elr = nodes(r.eligible_leader_replicas);
    if (!r.last_known_elr.is_null()) p.last_known_elr = nodes(r.last_known_elr);
    if (r.leader != kLeaderUnchanged) p.leader = NodeId{r.leader}, ++p.leader_epoch;
    if (r.leader_recovery_state != kRecoveryUnchanged)
      p.recovery = static_cast<LeaderRecovery>(r.leader_recovery_state);
    ++p.partition_epoch;
    put(id, std::move(p));
    return {};
  }
  Result<void> fold(const protocol::ClearElrRecord& r) {  // an empty name: of all topics
    if (!r.topic_name.empty()) {
      const Topic* named = image.topic(r.topic_name);
      if (!named) return refuse("the elr of an unknown topic is cleared");
      clear_elr(Topic(*named));
      return {};
    }
    const Pmap<Uuid, Topic> all = image.topics_;
    for (const auto& [id, topic] : all) clear_elr(topic);
    return {};
  }
  void clear_elr(const Topic& topic) {
    for (const auto& [index, info] : topic.partitions) {
      if (info.elr.empty() && info.last_known_elr.empty()) continue;
      PartitionInfo p = info;
      p.elr.clear();
      p.last_known_elr.clear();
      put({topic.id, index}, std::move(p));
    }
  }

  Result<void> fold(const protocol::ConfigRecord& r) {
    const ConfigResource resource{static_cast<ResourceType>(r.resource_type), std::string(r.resource_name)};
    ConfigMap& configs = image.configs_.write(resource);
    if (is_null(r.value))
      configs.erase(r.name);
    else
      configs.set(r.name, std::string(r.value));
    if (configs.empty()) image.configs_.erase(resource);
    delta.configs.insert(resource);
    return {};
  }
  Result<void> fold(const protocol::FeatureLevelRecord& r) {
    if (r.feature_level < 0) return refuse("a level of a feature below zero");
    if (r.feature_level == 0)
      image.features_.erase(r.name);
    else
      image.features_.set(r.name, r.feature_level);
    delta.features = true;
    return {};
  }
  Result<void> fold(const protocol::ProducerIdsRecord& r) {
    if (r.next_producer_id < image.next_producer_id_) return refuse("producer ids are handed out again");
    image.next_producer_id_ = r.next_producer_id;
    delta.producer_ids = true;
    return {};
  }
  Result<void> fold(const protocol::BeginTransactionRecord&) {
    if (image.in_transaction()) return refuse("a metadata transaction begins within another");
    image.before_.push_back(image);
    return {};
  }
  Result<void> fold(const protocol::EndTransactionRecord&) {
    if (!image.in_transaction()) return refuse("a metadata transaction ends that did not begin");
    image.before_.clear();
    return {};
  }
  Result<void> fold(const protocol::AbortTransactionRecord&) {
    if (!image.in_transaction()) return refuse("a metadata transaction is aborted that did not begin");
    Image before = std::move(image.before_[0]);
    before.quorum_ = std::move(image.quorum_);  // what the quorum says of itself is no part of a transaction
    image = std::move(before);
    delta.aborted = true;
    return {};
  }
  // `frame` is the record with its frame, `body` what follows the frame.
  void keep_unused(Arena& arena, uint32_t type, int16_t version, ByteSpan frame, ByteSpan body) {
    const auto change = unused_change(arena, type, version, body);
    if (!change) return void(image.complete_ = false);
    const auto bytes = [&](size_t record) { return change->key.name.size() + record; };
    if (const std::string* old = image.unused_.find(change->key)) {
      image.unused_bytes_ -= bytes(old->size());
      image.unused_.erase(change->key);
    }
    if (change->remove) return;
    if (image.unused_.size() >= kMaxUnusedRecords || image.unused_bytes_ + bytes(frame.size()) > kMaxUnusedBytes)
      return void(image.complete_ = false);
    image.unused_.set(change->key, std::string(frame.begin(), frame.end()));
    image.unused_bytes_ += bytes(frame.size());
  }

  template<class Record>
  Result<void> decoded(Reader& r, Arena& arena, int16_t version) {
    if (version < Record::kLowest || version > Record::kHighest) return refuse("a record of an unknown version");
    Record record;
    if (!decode(r, arena, version, record) || !r.finished()) return refuse("a record that cannot be read");
    return fold(record);
  }
  Result<void> any(Reader& r, Arena& arena, uint32_t type, int16_t version);
};

Result<void> Fold::any(Reader& r, Arena& arena, uint32_t type, int16_t version) {
  using namespace protocol;
  switch (type) {
    case RegisterBrokerRecord::kId: return decoded<RegisterBrokerRecord>(r, arena, version);
    case UnregisterBrokerRecord::kId: return decoded<UnregisterBrokerRecord>(r, arena, version);
    case TopicRecord::kId: return decoded<TopicRecord>(r, arena, version);
    case PartitionRecord::kId: return decoded<PartitionRecord>(r, arena, version);
    case ConfigRecord::kId: return decoded<ConfigRecord>(r, arena, version);
    case PartitionChangeRecord::kId: return decoded<PartitionChangeRecord>(r, arena, version);
    case FenceBrokerRecord::kId: return decoded<FenceBrokerRecord>(r, arena, version);
    case UnfenceBrokerRecord::kId: return decoded<UnfenceBrokerRecord>(r, arena, version);
    case RemoveTopicRecord::kId: return decoded<RemoveTopicRecord>(r, arena, version);
    case FeatureLevelRecord::kId: return decoded<FeatureLevelRecord>(r, arena, version);
    case ProducerIdsRecord::kId: return decoded<ProducerIdsRecord>(r, arena, version);
    case BrokerRegistrationChangeRecord::kId: return decoded<BrokerRegistrationChangeRecord>(r, arena, version);
    case BeginTransactionRecord::kId: return decoded<BeginTransactionRecord>(r, arena, version);
    case EndTransactionRecord::kId: return decoded<EndTransactionRecord>(r, arena, version);
    case AbortTransactionRecord::kId: return decoded<AbortTransactionRecord>(r, arena, version);
    case RegisterControllerRecord::kId: return decoded<RegisterControllerRecord>(r, arena, version);
    case ClearElrRecord::kId: return decoded<ClearElrRecord>(r, arena, version);
    case NoOpRecord::kId:
    case ZkMigrationStateRecord::kId: return {};
    default: return refuse("a record of an unknown type");
  }
}

Result<void> Image::apply(Arena& arena, Offset offset, ByteSpan frame, Delta* delta) {
  KLAMM_ASSERT_REL(offset, >=, end_);
  Reader r(frame);
  const uint32_t frame_version = r.uvarint(), type = r.uvarint(), version = r.uvarint();
  if (!r.ok() || frame_version != kRecordFrameVersion || version > 0x7fff)
    return Fold::refuse("a metadata record whose frame cannot be read");
  Delta ignored;
  Fold fold{*this, delta ? *delta : ignored};
  if (is_unused_record(type)) {
    fold.keep_unused(arena, type, static_cast<int16_t>(version), frame, frame.last(r.remaining()));
    end_ = offset + 1;
    return {};
  }
  const Result<void> done = fold.any(r, arena, type, static_cast<int16_t>(version));
  if (done) end_ = offset + 1;
  return done;
}

const std::string* Image::colliding_topic(std::string_view name) const {
  if (!may_collide(name)) return nullptr;
  const std::string unified = unify(name);
  const auto it = colliding_.lower_bound(std::pair(unified, std::string()));
  return it.at_end() || it->key.first != unified ? nullptr : &it->key.second;
}

}  // namespace klamm::metadata
