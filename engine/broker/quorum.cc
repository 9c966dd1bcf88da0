// The metadata quorum, the controller on it, and the image that its committed records make.
#include "engine/broker/turn.h"
#include "engine/controller/operation.h"
#include "engine/metadata/difference.h"
#include "engine/metadata/features.h"
#include "engine/protocol/api_keys.h"
#include "engine/protocol/messages/controller_registration.h"

namespace klamm::broker {
namespace {

static_assert(controller::kAppendBytesMax <= quorum::kMaxBatchBytes);
constexpr int kBatchesPerTurn = 4096;  // of committed records, then another turn goes on

}  // namespace

void Turn::drain(quorum::Out& out) {
  for (quorum::Call& c : out.calls) {
    const bool fetches = c.api == protocol::api::kFetch || c.api == protocol::api::kFetchSnapshot;
    const Channel channel = fetches ? kQuorumFetch : kVotes;
    call(controller_peer(c.to), channel, c.to, c.api, c.version, std::move(c.body), c.owner, c.timeout);
  }
  for (Reply& r : out.replies) reply(std::move(r));
  if (!out.fatal.empty()) return fatal(1, out.fatal);
  if (!out.refused.empty()) return fatal(2, out.refused);
  if (out.foreign)
    return fatal(
        2, "the controllers belong to another cluster than this node, whose cluster.id is " + p.startup.cluster_id);
  if (out.replaced) {
    const Instant due = p.snapshots.due_at;
    p.snapshots = {};
    p.snapshots.due_at = due;
  }
  if (out.leadership) {
    const quorum::Leadership& now = *out.leadership;
    if (p.controller && p.controller->active() && (!now.active || now.epoch != p.controller->epoch())) {
      controller::Out c;
      p.controller->deactivate(ctx(), c);
      drain(c);
    }
    if (now.leader != kNoNode) {
      p.lifecycle.controller_changed(ctx().now);
      for (auto it = p.forwards.waiting.begin(); it != p.forwards.waiting.end();)
        forward_send((it++)->first);  // which may end it
      p.controller_registered = p.controller_registered && now.leader == active_controller();
    }
  }
  p.resigned = p.resigned || out.resigned;
  if (out.committed || out.readable || out.started) publish();
  maybe_ready();
}

// Reads what was committed, folds it into the image and carries the changes to the other parts.
void Turn::publish() {
  const bool begun = p.snapshots.read;
  if (!read_snapshot()) return;
  bool moved = !begun;
  for (int i = 0; p.published < p.quorum->committed(); ++i) {
    if (i >= kBatchesPerTurn) {
      p.again = p.reads_on = true;
      break;
    }
    const quorum::CommittedRead read = p.quorum->read(io, p.published);
    if (read.wait || read.batches.empty()) break;
    protocol::BatchCursor cursor(read.batches.span());
    while (cursor.next()) {
      const protocol::BatchHeader header = protocol::read_batch_header(cursor.batch().data());
      if (header.last_offset() < p.published) continue;
      p.snapshots.bytes += static_cast<int64_t>(header.size());
      p.snapshots.last_ms = header.max_timestamp;
      const auto open = protocol::OpenBatch::open(header, cursor.batch(), 64 * 1024 * 1024);
      if (!open) return fatal(1, "a committed metadata batch cannot be read");
      protocol::RecordCursor records = open->records();
      for (protocol::Record record; records.next(record);) {
        if (record.offset < p.published) continue;
        const auto applied = header.control()
                                 ? p.image.apply_control(record)
                                 : p.image.apply(arena(), record.offset, record.value.span(), &p.unpublished);
        if (!applied)
          return fatal(1, std::string("a committed metadata record was refused: ") +
                              (applied.error().reason ? applied.error().reason : ""));
      }
    }
    p.published = read.next;
    moved = true;
  }
  if (p.unpublished.features && !p.image.in_transaction())
    if (const std::string beyond = metadata::unsupported_levels(p.image.features()); !beyond.empty())
      return fatal(2, "the metadata has levels of features that this node does not support: " + beyond);
  tell_unused();
  carry_if_joined();
  if (moved) p.lifecycle.metadata_moved(ctx().now);
  activate_controller();
  if (moved && p.controller && p.controller->active()) {
    controller::Out out;
    p.controller->committed(ctx(), p.quorum->committed(), out);
    drain(out);
  }
}

// A former life of this broker may still be a leader in the metadata. What it led must not be led again by a log that
// may have lost its end, so nothing is carried before the registration of this life, which fences it, is in the image.
void Turn::carry_if_joined() {
  if (p.image.in_transaction() || p.unpublished.empty()) return;
  if (p.startup.phase >= Phase::closing) return;  // no log opens any more, and what checkpoints say is written down
  if (p.config.broker && !p.joined) {
    const metadata::Broker* self = p.image.broker(NodeId{p.config.node_id});
    if (!self || p.lifecycle.epoch() < 0 || self->epoch != p.lifecycle.epoch()) return;
    p.joined = true;
  }
  metadata::Delta delta = std::exchange(p.unpublished, {});
  metadata::settle(delta, p.carried, p.image);
  carry(delta);
}

// Whoever wrote access rights, credentials or quotas counts on them: once for each kind, and once when they are too
// many to be kept.
void Turn::tell_unused() {
  if (p.image.in_transaction() || p.published < p.quorum->committed()) return;
  const uint32_t kinds = p.image.unused_kinds() & ~p.unused_told;
  const bool incomplete = !p.image.complete() && !p.incomplete_told;
  if (kinds == 0 && !incomplete) return;
  p.unused_told |= kinds;
  p.incomplete_told = p.incomplete_told || incomplete;
  ctx().trace.event({TraceKind::metadata_unused, 0, static_cast<int32_t>(kinds),
                     static_cast<int64_t>(p.image.unused().size()), incomplete ? 1 : 0, 0});
}

// Brokers that died with the controller before us would stay unfenced for a whole session: find out now.
void Turn::probe_brokers() {
  std::vector<net::Answer> lost;
  for (const auto& [id, broker] : p.image.brokers()) {
    const metadata::BrokerEndpoint* e = broker.endpoint(p.config.inter_broker_listener_name);
    if (id == NodeId{p.config.node_id} || broker.fenced || !e) continue;
    p.calls.set_address(net(), broker_peer(id), {e->host, e->port}, lost);
    p.calls.probe(net(), broker_peer(id));
  }
  for (net::Answer& a : lost) p.mailbox.push_back(std::move(a));
}

void Turn::activate_controller() {
  const quorum::Leadership& l = p.quorum->leadership();
  if (!p.controller || p.controller->active() || !l.active || p.published < p.quorum->log_end()) return;
  KLAMM_ASSERT_REL(p.published, ==, p.quorum->committed());
  controller::Out out;
  p.controller->activate(ctx(), {l.epoch, p.quorum->log_end()}, p.image, out);
  drain(out);
  probe_brokers();
}

void Turn::drain(controller::Out& out) {
  for (controller::Append& a : out.appends) {
    quorum::Out q;
    const Result<Offset> last = p.quorum->propose(io, a.epoch, a.records, q);
    if (!last) {
      controller::Out rest;
      p.controller->deactivate(ctx(), rest);
      for (Reply& r : rest.replies) reply(std::move(r));
      drain(q);
      break;
    }
    KLAMM_ASSERT_REL(*last, ==, a.base + static_cast<Offset>(a.records.size()) - 1);
    drain(q);
  }
  for (Reply& r : out.replies) reply(std::move(r));
}

void Turn::carry(const metadata::Delta& delta) {
  if (!p.config.broker) return;
  const metadata::Image before = std::exchange(p.carried, p.image);
  groups_carry(delta);
  groups_topics_deleted(before, delta);
  if (!delta.brokers.empty()) update_brokers();
  for (NodeId id : delta.brokers)
    if (const metadata::Broker* b = p.image.broker(id); b && b->in_controlled_shutdown && !b->fenced)
      p.lifecycle.beat_now(ctx().now);
  std::vector<TopicIdPartition> gone;
  for (const Uuid& topic : delta.deleted)
    p.replicas.each_of(topic, [&](const TopicIdPartition& id) { gone.push_back(id); });
  for (const TopicIdPartition& id : gone) p.replicas.remove(io, id);
  const auto configures = [&](metadata::ResourceType type) {
    return std::any_of(delta.configs.begin(), delta.configs.end(), [&](const auto& r) { return r.type == type; });
  };
  if (configures(metadata::ResourceType::broker)) layer_broker_configs();
  if (configures(metadata::ResourceType::broker) || delta.features) tell_cordoned();
  if (!delta.configs.empty()) groups_configured();
  if (configures(metadata::ResourceType::client_metrics)) p.telemetry.subscribe(p.image);
  std::vector<size_t> held;
  for (const TopicIdPartition& id : delta.partitions) assign_partition(id, held);
  replication::Out out;
  for (const metadata::ConfigResource& r : delta.configs) {
    if (r.type != metadata::ResourceType::topic) continue;
    const metadata::Topic* topic = p.image.topic(r.name);
    if (!topic) continue;
    const replication::Settings settings = settings_of(topic->name);
    p.replicas.each_of(topic->id, [&](const auto& id) { p.replicas.configure(ctx(), id, settings, out); });
  }
  drain(out);
  p.stirred.insert({{}, Wait::doubt});
  for (const TopicIdPartition& id : gone) {
    wake_produces({id, Wait::changed}, parked::kAnyValue);
    p.stirred.insert({id, Wait::changed});
    groups_moved(id);
  }
}

void Turn::update_brokers() {
  replication::Brokers brokers;
  std::vector<net::Answer> lost;
  const std::string& listener = p.config.inter_broker_listener_name;
  for (const auto& [id, b] : p.image.brokers()) {
    brokers[id] = {b.epoch, b.active()};
    if (id == NodeId{p.config.node_id}) continue;
    if (const metadata::BrokerEndpoint* e = b.endpoint(listener))
      p.calls.set_address(net(), broker_peer(id), {e->host, e->port}, lost);
  }
  p.replicas.set_brokers(ctx(), std::move(brokers), p.lifecycle.epoch());
  for (net::Answer& a : lost) p.mailbox.push_back(std::move(a));
}

// `held`: how many partitions each directory holds, those that will be opened among them; counted once for all of a
// change.
DirId Turn::directory_for_new(std::vector<size_t>& held) const {
  if (held.empty()) {
    held.resize(p.config.log_dirs.size());
    const auto count = [&](DirId dir) {
      if (dir.value < held.size()) ++held[dir.value];
    };
    for (const auto& [id, partition] : p.replicas.all()) count(partition->log().options().dir);
    for (const auto& [name, dir] : p.startup.homes) count(dir);
  }
  std::vector<bool> cordoned;
  for (const std::string& dir : p.config.log_dirs) cordoned.push_back(p.config.cordoned(dir));
  const size_t at = broker::directory_for_new(held, cordoned);
  ++held[at];
  return DirId{static_cast<uint32_t>(at)};
}

// A controller of an older metadata.version has no word for it.
void Turn::tell_cordoned() {
  if (!metadata::knows_cordoned_log_dirs(p.image.feature(metadata::kMetadataVersion))) return;
  std::vector<Uuid> cordoned;
  for (size_t i = 0; i < p.config.log_dirs.size(); ++i)
    if (p.config.cordoned(p.config.log_dirs[i])) cordoned.push_back(p.startup.directory_ids[i]);
  p.lifecycle.set_cordoned(ctx().now, std::move(cordoned));
}

void Turn::assign_partition(const TopicIdPartition& id, std::vector<size_t>& held) {
  const metadata::Topic* topic = p.image.topic(id.topic);
  const metadata::PartitionInfo* info = p.image.partition(id);
  KLAMM_ASSERT(topic != nullptr && info != nullptr);
  const NodeId self{p.config.node_id};
  if (!metadata::contains(info->replicas, self)) return p.replicas.remove(io, id);
  replication::Replicas::Wanted w;
  w.id = id;
  w.topic = topic->name;
  w.assignment = {info->leader_epoch, info->partition_epoch, info->leader, info->replicas, info->isr};
  w.settings = settings_of(topic->name);
  const auto key = std::make_pair(topic->name, id.partition);
  w.strays = choose_copy(key, id.topic);
  const CheckpointLines& lines = p.startup.lines;
  const auto look = [&](const log::OffsetCheckpoint& map) {
    const auto it = map.find(key);
    return it == map.end() || !p.startup.homes.count(key) ? Offset{0} : it->second;
  };
  const auto home = p.startup.homes.find(key);
  if (home != p.startup.homes.end())
    w.place.dir = home->second;
  else if (!p.replicas.find(id))
    w.place.dir = directory_for_new(held);
  w.place.from = {look(lines.recovery_points), look(lines.log_starts), p.startup.clean, look(lines.cleaned_to)};
  w.place.high_watermark = look(lines.high_watermarks);
  w.place.stale = home == p.startup.homes.end() && lines.tells_of(key);
  replication::Out out;
  p.replicas.assign(io, w, out);
  p.startup.forget(key);  // a later one of this name is another
  drain(out);
}

// Once in a life: whoever throttles something counts on it.
void Turn::tell_without_effect(const std::string& key) {
  if (metadata::broker_config_has_effect(key) || !p.configs_told.insert(key).second) return;
  const std::span<const metadata::ConfigDef> all = metadata::config_defs(metadata::ConfigScope::broker);
  const metadata::ConfigDef* def = metadata::find_config(metadata::ConfigScope::broker, key);
  ctx().trace.event({TraceKind::config_unused, 0, def ? static_cast<int32_t>(def - all.data()) : -1});
}

// Dynamic configs of brokers, the cluster's under this one's own, hold from now on, as the defaults of topics too.
void Turn::layer_broker_configs() {
  p.properties = p.boot.properties;
  for (const std::string& name : {std::string(), std::to_string(p.config.node_id)})
    if (const metadata::ConfigMap* map = p.image.config({metadata::ResourceType::broker, name}))
      for (const auto& [key, value] : *map) {
        p.properties[key] = value;
        tell_without_effect(key);
      }
  metadata::layer_dynamic_configs(p.config, p.properties);
  resolve_peers();
  p.server.set_limits(io, server_limits(p.boot, p.config, p.peer_names));
  for (const auto& [dir, disk] : p.disks) p.replicas.set_full(io, dir, disk.free < p.config.disk_reserve_bytes);
  p.replicas.set_compaction(compaction_config());
  replication::Out out;
  for (const auto& [id, partition] : p.replicas.all())
    if (const metadata::Topic* topic = p.image.topic(id.topic))
      p.replicas.configure(ctx(), id, settings_of(topic->name), out);
  drain(out);
}

void Turn::resolve_peers() {
  const auto& named = p.config.max_connections_overrides;
  std::erase_if(p.peer_names.known, [&](const auto& x) { return !named.count(x.first); });
  for (const auto& [host, most] : named) {
    if (p.peer_names.asked.size() == PeerNames::kAtOnce) return;
    if (p.peer_names.known.count(host) || !p.peer_names.asked.insert(host).second) continue;
    io.out.push_back(Answered{0, false, Slice::copy("resolve " + host)});
  }
}

// "HOST ADDRESS"; without an address none is known.
void Turn::peer_resolved(std::string_view told) {
  const size_t blank = std::min(told.rfind(' '), told.size());
  const std::string host(told.substr(0, blank));
  if (!p.peer_names.asked.erase(host) || blank == told.size()) return;
  p.peer_names.known[host] = std::string(told.substr(blank + 1));
  resolve_peers();
  p.server.set_limits(io, server_limits(p.boot, p.config, p.peer_names));
}

replication::CompactionConfig Turn::compaction_config() const {
  const metadata::CleanerConfig c = metadata::make_cleaner_config(p.properties);
  constexpr int64_t kMillion = 1'000'000, kAny = int64_t{1} << 40;  // bytes a second that nothing reaches
  replication::CompactionConfig compaction;
  compaction.enabled = c.enabled;
  compaction.backoff = std::max(c.backoff, milliseconds(1));
  compaction.by.keys_bytes = c.buffer_bytes;
  compaction.by.keys_percent = static_cast<uint32_t>(std::clamp<int64_t>(c.load_factor.value / 10'000, 1, 100));
  const int64_t rate = c.bytes_per_second.value / kMillion;
  compaction.by.bytes_per_second = rate >= kAny ? 0 : std::max<int64_t>(rate, 1);
  return compaction;
}

metadata::TopicConfig Turn::topic_config(const std::string& topic) const {
  metadata::Properties overrides;
  if (const metadata::ConfigMap* map = p.image.config({metadata::ResourceType::topic, topic}))
    for (const auto& [key, value] : *map) overrides[key] = value;
  return overrides.empty() ? p.config.topic_defaults : metadata::make_topic_config(overrides, p.properties);
}

replication::Settings Turn::settings_of(const std::string& topic) const {
  const metadata::TopicConfig c = topic_config(topic);
  replication::Settings s;
  s.admission.max_message_bytes = c.max_message_bytes;
  s.admission.compacted = c.compacted();
  s.admission.timestamp_type =
      c.log_append_time() ? protocol::TimestampType::log_append_time : protocol::TimestampType::create_time;
  s.admission.timestamp_before_max_ms = c.timestamp_before_max_ms;
  s.admission.timestamp_after_max_ms = c.timestamp_after_max_ms;
  s.admission.keeps_compression = c.compression_type == "producer";
  s.admission.compression = c.compression_type == "gzip"     ? protocol::Compression::gzip
                            : c.compression_type == "snappy" ? protocol::Compression::snappy
                            : c.compression_type == "lz4"    ? protocol::Compression::lz4
                            : c.compression_type == "zstd"   ? protocol::Compression::zstd
                                                             : protocol::Compression::none;
  s.admission.level = {c.compression_gzip_level, c.compression_lz4_level, c.compression_zstd_level};
  s.admission.segment_bytes = c.segment_bytes;
  s.log.segment_bytes = c.segment_bytes;
  s.log.segment_ms = c.segment_age.ms();
  s.log.segment_jitter_ms = c.segment_jitter.ms();
  s.log.segment_index_bytes = c.segment_index_bytes;
  s.log.index_interval_bytes = c.index_interval_bytes;
  s.log.compacted = c.compacted();
  s.log.deletes = c.deleted_by_age();
  s.log.retention_bytes = c.retention_bytes;
  s.log.retention_ms = c.retention_ms;
  s.log.file_delete_delay_ms = c.file_delete_delay.ms();
  s.log.min_dirty_ppm = c.min_dirty_ratio.value;
  s.log.min_compaction_lag_ms = c.min_compaction_lag_ms;
  s.log.max_compaction_lag_ms = c.max_compaction_lag_ms;
  s.log.delete_retention_ms = c.delete_retention_ms;
  s.log.producer_expiration_ms = p.config.producer_id_expiration.ms();
  s.min_insync = c.min_insync_replicas;
  s.unsynced_max = p.config.sync_before_ack() ? 0 : c.flush_messages - 1;
  s.flush_after = c.flush_after;
  return s;
}

// A controller makes itself known to the active one (KIP-919).
void Turn::register_controller() {
  if (!p.config.controller || p.controller_registered || p.controller_registering || p.startup.phase != Phase::running)
    return;
  if (ctx().now < p.controller_registration_at || active_controller() == kNoNode) return;
  protocol::ControllerRegistrationRequest m;
  m.controller_id = p.config.node_id;
  m.incarnation_id = ctx().chance.uuid(Stream::incarnation_id, p.boot.incarnation, 0);
  for (const BoundListener& b : p.boot.listeners) {
    if (!p.config.controller_listener(b.name)) continue;
    auto& l = m.listeners.add(arena());
    l.name = b.name;
    l.host = b.advertised_host.empty() ? Str(b.host) : Str(b.advertised_host);
    l.port = b.advertised_port ? b.advertised_port : b.port;
  }
  for (const auto& f : metadata::supported_features()) {
    auto& x = m.features.add(arena());
    x.name = arena().copy(f.name), x.min_supported_version = f.min, x.max_supported_version = f.max;
  }
  Writer w;
  encode(w, 0, m);
  KLAMM_ASSERT(w.ok());
  p.controller_registering =
      call_controller(m.kApiKey, 0, w.finish(), Owner{kControllerRegistration, 0, 0}, p.config.quorum_request_timeout);
}

}  // namespace klamm::broker
