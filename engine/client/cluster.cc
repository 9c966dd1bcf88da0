#include "engine/client/cluster.h"

#include <algorithm>

namespace klamm::client {

namespace {
constexpr protocol::Versions kMetadataVersions{4, 13};
}

Cluster::Cluster(ClusterOptions options) : options_(std::move(options)) { backoff_.first = options_.retry_backoff; }

void Cluster::start(Turn& turn) {
  for (size_t i = 0; i < options_.bootstrap.size(); ++i)
    turn.calls.set_address(turn.net, kBootstrapPeer + i, options_.bootstrap[i], turn.answers);
}

void Cluster::want(const std::string& topic) {
  if (wanted_.size() < kTopicsMax && wanted_.insert(topic).second) stale_ = true;
}

const TopicView* Cluster::topic(const std::string& name) const {
  const auto it = topics_.find(name);
  return it == topics_.end() ? nullptr : &it->second;
}

PartitionView Cluster::leader(const std::string& name, int32_t partition) const {
  const TopicView* t = topic(name);
  if (!t || partition < 0 || static_cast<size_t>(partition) >= t->partitions.size()) return {};
  return t->partitions[static_cast<size_t>(partition)];
}

const std::string* Cluster::topic_name(const Uuid& id) const {
  const auto it = names_.find(id);
  return it == names_.end() ? nullptr : &it->second;
}

// Known nodes first; when all of them have failed, the bootstrap servers.
uint64_t Cluster::any() const {
  KLAMM_ASSERT(candidates() > 0);
  if (!nodes_.empty() && failures_ < nodes_.size())
    return static_cast<uint64_t>(std::next(nodes_.begin(), static_cast<ptrdiff_t>(rotation_ % nodes_.size()))->value);
  if (options_.bootstrap.empty()) return static_cast<uint64_t>(nodes_.begin()->value);
  return kBootstrapPeer + rotation_ % options_.bootstrap.size();
}

void Cluster::failed(Turn& turn, uint64_t peer) {
  if (candidates() == 0 || any() != peer) return;  // somebody else has moved on already
  ++rotation_;
  ++generation_;
  if (++failures_ < candidates()) return;
  failures_ = 0;
  backoff_.failed(turn.now());
}

int16_t Cluster::version(Turn& turn, uint64_t peer, int16_t api, protocol::Versions mine) {
  const auto it = apis_.find(peer);
  if (it == apis_.end()) {
    apis_[peer];
    ask_versions(turn, peer, kAskVersion);
    return kNotYet;
  }
  if (!it->second.known) return kNotYet;
  const std::vector<Range>& ranges = it->second.ranges;
  const auto range =
      std::lower_bound(ranges.begin(), ranges.end(), api, [](const Range& r, int16_t key) { return r.api < key; });
  if (range == ranges.end() || range->api != api) return kUnsupported;
  const int16_t version = std::min(range->versions.high, mine.high);
  return version < std::max(range->versions.low, mine.low) ? kUnsupported : version;
}

void Cluster::learn_node(Turn& turn, NodeId node, const net::Calls::Address& address) {
  if (node.value < 0) return;
  if (nodes_.insert(node).second) ++generation_;
  turn.calls.set_address(turn.net, static_cast<uint64_t>(node.value), address, turn.answers);
}

void Cluster::ask_versions(Turn& turn, uint64_t peer, int16_t version) {
  const Owner owner{static_cast<uint16_t>(Part::cluster), kVersions, 0};
  turn.call({peer, kQuickChannel, version, options_.request_timeout, owner},
            protocol::ApiVersionsRequest{.client_software_name = "klamm", .client_software_version = "1"});
}

void Cluster::on_answer(Turn& turn, const net::Answer& answer) {
  if (answer.owner.step == kVersions) versions_answered(turn, answer);
  if (answer.owner.step == kMetadata) metadata_answered(turn, answer);
}

// A node that does not know our version of the question answers in version 0.
void Cluster::versions_answered(Turn& turn, const net::Answer& answer) {
  const auto it = apis_.find(answer.peer);
  if (it == apis_.end() || it->second.known) return;
  const auto* response = response_of<protocol::ApiVersionsResponse>(turn, answer);
  const bool too_new = answer.error == IoError::none && answer.version > 0 &&
                       (!response || static_cast<ErrorCode>(response->error_code) == ErrorCode::unsupported_version);
  if (too_new) return ask_versions(turn, answer.peer, 0);
  ++generation_;
  if (!response || response->error_code != 0) {
    apis_.erase(it);
    unreachable_.insert(answer.peer);
    failed(turn, answer.peer);
    stale();
    return;
  }
  for (const auto& a : response->api_keys) it->second.ranges.push_back({a.api_key, {a.min_version, a.max_version}});
  std::stable_sort(it->second.ranges.begin(), it->second.ranges.end(),
                   [](const Range& a, const Range& b) { return a.api < b.api; });
  it->second.known = true;
  unreachable_.erase(answer.peer);
}

void Cluster::metadata_answered(Turn& turn, const net::Answer& answer) {
  asking_ = false;
  const auto* response = response_of<protocol::MetadataResponse>(turn, answer);
  if (!response || response->error_code != 0) {
    failed(turn, answer.peer);
    stale_ = true;
    return;
  }
  failures_ = 0;
  ++rotation_;  // a node that is cut off answers, too: the next question goes to another
  backoff_.last = {};
  backoff_.until = turn.now() + options_.retry_backoff;  // not more often than this, whoever finds what stale
  refreshed_ = turn.now();
  last_incomplete_ = false;
  learn(turn, *response);
  for (const std::string& name : wanted_)
    if (!topics_.count(name)) last_incomplete_ = true;
}

void Cluster::learn(Turn& turn, const protocol::MetadataResponse& response) {
  ++generation_;
  std::set<NodeId> seen;
  for (const auto& b : response.brokers) {
    seen.insert(NodeId{b.node_id});
    learn_node(turn, NodeId{b.node_id}, {std::string(b.host), static_cast<uint16_t>(b.port)});
  }
  if (!seen.empty()) nodes_ = std::move(seen);
  for (const auto& t : response.topics)
    if (wanted_.count(std::string(t.name))) take_topic(t);
}

void Cluster::take_topic(const protocol::MetadataResponse::MetadataResponseTopic& t) {
  const std::string name(t.name);
  TopicView& known = topics_[name];
  const auto error = static_cast<ErrorCode>(t.error_code);
  const bool same = known.id == t.topic_id;
  if (error != ErrorCode::none) {
    // A lagging node may not know yet what another has told; what was known stays until it fails in use.
    known.error = known.partitions.empty() ? error : ErrorCode::none;
    last_incomplete_ = true;
    return;
  }
  if (!same) names_.erase(known.id);
  TopicView fresh{ErrorCode::none, t.topic_id, {}};
  for (const auto& p : t.partitions) {
    if (p.partition_index < 0 || static_cast<size_t>(p.partition_index) >= t.partitions.size()) continue;
    if (fresh.partitions.size() < t.partitions.size()) fresh.partitions.resize(t.partitions.size());
    fresh.partitions[static_cast<size_t>(p.partition_index)] = {NodeId{p.leader_id}, p.leader_epoch};
    if (p.leader_id < 0) last_incomplete_ = true;
  }
  // Nor may a lagging node know of all partitions, or of their newest leaders.
  if (same) fresh.partitions.resize(std::max(fresh.partitions.size(), known.partitions.size()));
  for (size_t i = 0; same && i < known.partitions.size(); ++i)
    if (fresh.partitions[i].epoch < known.partitions[i].epoch) fresh.partitions[i] = known.partitions[i];
  known = std::move(fresh);
  if (!known.id.zero()) names_[known.id] = name;
}

void Cluster::pump(Turn& turn) {
  deadline_ = kNever;
  if (asking_ || candidates() == 0) return;
  const bool aged = refreshed_.ns != 0 && turn.now() >= refreshed_ + options_.max_age;
  if (!stale_ && !aged && !last_incomplete_) {
    if (refreshed_.ns != 0) deadline_ = refreshed_ + options_.max_age;
    return;
  }
  if (turn.now() < backoff_.until) {
    deadline_ = backoff_.until;
    return;
  }
  const uint64_t peer = any();
  const int16_t v = version(turn, peer, protocol::MetadataRequest::kApiKey, kMetadataVersions);
  if (v == kUnsupported) {
    failed(turn, peer);
    backoff_.failed(turn.now());
    deadline_ = backoff_.until;
    return;
  }
  if (v == kNotYet) return;
  Arena& arena = turn.ctx().arena();
  protocol::MetadataRequest request;
  for (const std::string& name : wanted_) request.topics.add(arena).name = name;
  request.allow_auto_topic_creation = options_.create_topics;
  turn.call({peer, kQuickChannel, v, options_.request_timeout, {static_cast<uint16_t>(Part::cluster), kMetadata, 0}},
            request);
  asking_ = true;
  stale_ = false;
}

}  // namespace klamm::client
