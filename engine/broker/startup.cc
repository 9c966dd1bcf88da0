// From directories to a running node, and back in good order.
//
//   fresh ──> locking ──> loading (meta.properties, checkpoints, listing) ──> formatting (what was empty) ──> running
//             loading ──> comparing (directories of one name, where there are any)
//             loading ──> asking (for the id of the cluster, where nobody has given one) ──> formatting
//   running ──stop──> leaving (controlled shutdown) ──> closing (logs, checkpoints, quorum) ──> ended
#include <algorithm>
#include <iterator>

#include "engine/broker/meta_file.h"
#include "engine/broker/supported.h"
#include "engine/broker/turn.h"
#include "engine/log/checkpoints.h"
#include "engine/metadata/bootstrap.h"
#include "engine/metadata/features.h"
#include "engine/quorum/codec.h"

namespace klamm::broker {
namespace {

enum Step : uint16_t {
  kLock,
  kMeta,
  kRecovery,
  kHighWatermark,
  kLogStart,
  kCleaner,
  kClean,
  kList,
  kDropClean,
  kSweep,
  kFile,
  kCopy,
  kBootstrap
};
constexpr uint32_t kRecoveryFile = 1, kCleanerFileNumber = 5;  // of those that replace_file keeps apart
static_assert(std::size(log::kOffsetCheckpoints) == kCleaner - kRecovery + 1);
constexpr uint32_t kMetaMost = 64 * 1024;
static_assert(metadata::kMostVoters <= raft::kMaxVoters);
constexpr const char* kMetaFile = "meta.properties";
constexpr Duration kLeavePatience = milliseconds(500);   // for the controller to move leaders away
constexpr Duration kResignPatience = milliseconds(400);  // for the quorum to hear that its leader stops
constexpr Duration kClosePatience = milliseconds(400);   // with a disk that answers nothing when the logs are to close
constexpr Duration kStallPatience = seconds(5);          // with one that has answered

replication::ReplicasConfig replicas_config(const metadata::BrokerConfig& c) {
  replication::ReplicasConfig r;
  r.common = {NodeId{c.node_id}, c.replica_lag_max};
  r.module = kReplicas;
  r.fetch_wait = c.replica_fetch_wait_max;
  r.fetch_min_bytes = c.replica_fetch_min_bytes;
  r.fetch_max_bytes = c.replica_fetch_max_bytes;
  r.fetch_response_max_bytes = c.replica_fetch_response_max_bytes;
  r.request_timeout = c.replica_socket_timeout;
  r.retention_check = c.retention_check_interval;
  r.producer_check = c.producer_id_expiration_check;
  r.cache_bytes = c.fetch_cache_bytes;
  r.tail_bytes = static_cast<uint32_t>(c.fetch_tail_bytes);
  r.region_least = static_cast<uint32_t>(c.fetch_region_bytes);
  r.mark = c.flush_checkpoint_interval;
  r.flush_look = c.flush_look_interval;
  return r;
}

}  // namespace

void Turn::start() {
  p.replicas = replication::Replicas(replicas_config(p.config));
  p.replicas.set_compaction(compaction_config());
  Startup& s = p.startup;
  s.phase = Phase::locking;
  s.waiting = static_cast<uint32_t>(p.boot.directories.size());
  KLAMM_ASSERT(s.waiting > 0);
  for (uint32_t i = 0; i < s.waiting; ++i) io.lock_dir({kStartup, kLock, i}, DirId{i});
}

// They are all ours: until then nothing in them is touched.
void Turn::load_directories() {
  Startup& s = p.startup;
  s.phase = Phase::loading;
  const size_t n = p.boot.directories.size();
  s.meta.resize(n);
  s.used.resize(n);
  s.metadata.resize(n);
  s.directory_ids.resize(n);
  s.found.resize(n);
  for (uint32_t i = 0; i < n; ++i) {
    const DirId dir{i};
    io.load({kStartup, kMeta, i}, dir, kMetaFile, kMetaMost);
    io.load({kStartup, kRecovery, i}, dir, log::kRecoveryPointFile, log::kMaxCheckpointBytes);
    io.load({kStartup, kHighWatermark, i}, dir, log::kHighWatermarkFile, log::kMaxCheckpointBytes);
    io.load({kStartup, kLogStart, i}, dir, log::kLogStartFile, log::kMaxCheckpointBytes);
    io.load({kStartup, kCleaner, i}, dir, log::kCleanerFile, log::kMaxCheckpointBytes);
    io.load({kStartup, kClean, i}, dir, log::kCleanShutdownFile, kMetaMost);
    io.list({kStartup, kList, i}, dir, "");
  }
  s.waiting = static_cast<uint32_t>(7 * n);
  if (!p.config.controller) return;
  const uint32_t at = metadata_directory();
  io.load({kStartup, kBootstrap, at}, DirId{at}, metadata::kBootstrapFile, metadata::kBootstrapMost);
  ++s.waiting;
}

void Turn::startup_ended(const Owner& owner, const StorageEnd& end) {
  Startup& s = p.startup;
  const uint32_t i = static_cast<uint32_t>(owner.key & 0xffff);
  const std::string& directory = p.boot.directories[std::min<size_t>(i, p.boot.directories.size() - 1)];
  const bool found = end.error == IoError::none;
  const auto offsets = [&](log::OffsetCheckpoint CheckpointLines::*into) {
    if (!found) return;
    s.used[i] = true;
    // A damaged checkpoint tells nothing; recovery then reads more than it had to.
    if (auto parsed = log::parse_offset_checkpoint(end.bytes.text()))
      s.found[i].*into = *std::move(parsed);
    else
      ctx().trace.event({TraceKind::checkpoint_damaged, 0, static_cast<int32_t>(i), owner.step - kRecovery});
  };
  if (!found && end.error != IoError::not_found && owner.step >= kRecovery && owner.step <= kCleaner)
    return fatal(2, "cannot read the checkpoint files of " + directory + ": " + name(end.error));
  switch (owner.step) {
    case kLock:
      if (end.error == IoError::locked) return fatal(2, "the directory " + directory + " is locked by another process");
      if (!found) return fatal(2, "cannot use the directory " + directory + ": " + name(end.error));
      break;
    case kMeta:
      if (found)
        s.meta[i] = std::string(end.bytes.text());
      else if (end.error != IoError::not_found)
        return fatal(2, "cannot read " + directory + "/" + kMetaFile + ": " + name(end.error));
      break;
    case kRecovery: offsets(&CheckpointLines::recovery_points); break;
    case kHighWatermark: offsets(&CheckpointLines::high_watermarks); break;
    case kLogStart: offsets(&CheckpointLines::log_starts); break;
    case kCleaner:
      offsets(&CheckpointLines::cleaned_to);
      if (found) p.files[i | uint64_t{kCleanerFileNumber} << 16];  // so that it is written anew
      break;
    case kClean:
      if (found) {
        s.used[i] = true;
        if (auto epoch = log::parse_clean_shutdown(end.bytes.text())) s.clean_epoch = *epoch;
        if (i < p.config.log_dirs.size()) ++s.clean_files;
        io.remove({kStartup, kDropClean, i}, DirId{i}, log::kCleanShutdownFile);
        ++s.waiting;
      }
      break;
    case kBootstrap:
      if (!found && end.error != IoError::not_found)
        return fatal(2, "cannot read " + directory + "/" + metadata::kBootstrapFile + ": " + name(end.error));
      if (found && !take_bootstrap(directory, end.bytes)) return;
      break;
    case kList:
      if (!found && end.error != IoError::not_found)
        return fatal(2, "cannot list the directory " + directory + ": " + name(end.error));
      if (found && end.entries)
        for (const DirEntry& e : *end.entries) {
          const auto d = log::parse_partition_dir(e.name);
          if (!e.directory || !d) continue;
          s.used[i] = true;
          if (d->topic == quorum::kMetadataTopic) s.metadata[i] = true;
          const bool named_so = e.name == log::partition_dir(d->topic, d->partition);  // not "t-01"
          if (d->kind == log::PartitionDirKind::live && named_so && i < p.config.log_dirs.size())
            found_home({d->topic, d->partition}, DirId{i});
          if (d->kind == log::PartitionDirKind::deleted) {  // a former life had no time to remove it
            io.remove({kStartup, kSweep, i}, DirId{i}, e.name);
            ++s.waiting;
          }
        }
      break;
    case kDropClean:  // durably, or a later loss of power would look like an orderly end
      io.sync_dir({kStartup, kSweep, i}, DirId{i}, "");
      return;
    case kSweep: break;
    case kCopy:
      if (!found && end.error != IoError::not_found)
        return fatal(2, "cannot read " + copy_path(*s.comparing, DirId{i}) + ": " + name(end.error));
      if (const auto topic = log::parse_partition_metadata(end.bytes.text()); found && topic)
        for (PartitionCopy& c : s.copies.at(*s.comparing))
          if (c.dir == DirId{i}) c.topic = *topic;
      break;
    case kFile: {
      const auto it = p.files.find(owner.key);
      KLAMM_ASSERT(it != p.files.end());
      const auto done = it->second.on_storage(io, owner, end);
      if (!done) return;
      if (s.phase == Phase::formatting && *done != IoError::none)
        return fatal(2, "cannot write " + directory + "/" + kMetaFile + ": " + name(*done));
      if (const uint64_t which = owner.key >> 16; which == kRecoveryFile && *done == IoError::none)
        p.replicas.checkpoint_ended(DirId{i});
      p.replicas.checkpoint_file_ended(
          io, *done == IoError::none,
          std::none_of(p.files.begin(), p.files.end(), [](const auto& f) { return f.second.busy(); }));
      if (s.phase != Phase::formatting) return;  // a checkpoint that failed is written again at its next time
      break;
    }
    default: KLAMM_ASSERT(false);
  }
  KLAMM_ASSERT(s.waiting > 0);
  if (--s.waiting > 0) return;
  if (s.phase == Phase::locking)
    load_directories();
  else if (s.phase == Phase::loading)
    look_at_directories();
  else if (s.phase == Phase::comparing)
    compare_copies();
  else if (s.phase == Phase::formatting)
    give_identities();
}

// False: the node has ended.
bool Turn::take_bootstrap(const std::string& directory, const Slice& file) {
  const std::string path = directory + "/" + metadata::kBootstrapFile;
  const auto read = metadata::read_bootstrap(arena(), file);
  if (!read) {
    fatal(2, path + " is damaged: " + (read.error().reason ? read.error().reason : "a checksum"));
    return false;
  }
  const std::string beyond = metadata::unsupported_levels(read->image.features());
  if (!beyond.empty()) {
    fatal(2, path + " asks for levels that this node does not support: " + beyond);
    return false;
  }
  Startup::Bootstrap& b = p.startup.bootstrap;
  b.records = read->records;
  b.elr = read->image.feature(metadata::kElrVersion) > 0;
  return true;
}

uint32_t Turn::metadata_directory() const {
  const auto& all = p.boot.directories;
  const auto at = std::find(all.begin(), all.end(), p.config.metadata_log_dir);
  return at == all.end() ? 0 : static_cast<uint32_t>(at - all.begin());
}

// False: the node has ended.
bool Turn::directories_go_together() {
  const Startup& s = p.startup;
  std::vector<DirectoryFound> found(s.meta.size());
  for (size_t i = 0; i < found.size(); ++i) found[i] = {s.meta[i].has_value(), s.used[i], s.metadata[i]};
  const DirectoryVerdict v = judge_directories(found, metadata_directory(), p.config.format_new_directories);
  const std::string& directory = p.boot.directories[v.at];
  if (v.fault == DirectoryFault::metadata_elsewhere)
    fatal(2, "Found unexpected metadata location in data directory " + directory + "/__cluster_metadata-0 (the " +
                 "configured metadata directory is " + p.config.metadata_log_dir + ")");
  if (v.fault == DirectoryFault::no_identity)
    fatal(2, "No meta.properties found in " + directory + ", though this node has served before: it is not mounted, " +
                 "or new. With klamm.format.new.directories=true a new one is taken");
  return v.fault == DirectoryFault::none;
}

// All directories must belong to this node and to one cluster; those without meta.properties are given one.
void Turn::look_at_directories() {
  Startup& s = p.startup;
  if (!directories_go_together()) return;
  s.clean = s.clean_files == p.config.log_dirs.size();
  if (!s.clean) s.clean_epoch = -1;
  const std::string own = std::to_string(p.config.node_id);
  s.cluster_id = p.config.cluster_id;
  for (size_t i = 0; i < s.meta.size(); ++i) {
    if (!s.meta[i]) continue;
    const std::string& directory = p.boot.directories[i];
    const auto meta = parse_meta_file(*s.meta[i]);
    if (!meta) return fatal(2, directory + "/meta.properties is damaged: " + meta.error().reason);
    if (meta->node_id != own)
      return fatal(2, "the directory " + directory + " belongs to node " + meta->node_id + ", not to node.id=" + own);
    if (!s.cluster_id.empty() && meta->cluster_id != s.cluster_id)
      return fatal(
          2, "the directory " + directory + " belongs to cluster " + meta->cluster_id + ", not to " + s.cluster_id);
    s.cluster_id = meta->cluster_id;
    s.directory_ids[i] = meta->directory_id;
  }
  take_lines();
  compare_copies();
}

void Turn::load_owner(const PartitionName& partition, DirId dir) {
  io.load({kStartup, kCopy, dir.value}, dir,
          log::partition_dir(partition.first, partition.second) + "/" + log::kPartitionMetadataFile, kMetaMost);
}

// To the directories that have none, as those of a Kafka before 3.7; to the metadata's once the others have theirs.
void Turn::give_identities() {
  Startup& s = p.startup;
  const uint32_t last = metadata_directory();
  const auto give = [&](uint32_t i) {
    if (!s.directory_ids[i].zero()) return;
    s.directory_ids[i] = ctx().chance.uuid(Stream::directory_id, i, 1);
    ++s.waiting;
    replace_file(i, 0, kMetaFile,
                 encode_meta_file({s.cluster_id, std::to_string(p.config.node_id), s.directory_ids[i]}));
  };
  s.phase = Phase::formatting;
  for (uint32_t i = 0; i < s.directory_ids.size(); ++i)
    if (i != last) give(i);
  if (s.waiting == 0) give(last);
  if (s.waiting > 0) return;
  s.meta.clear(), s.used.clear(), s.metadata.clear();
  run_node();
}

bool Turn::replace_file(uint32_t dir, uint32_t which, const char* path, const std::string& content) {
  const uint64_t key = dir | uint64_t{which} << 16;
  log::ReplaceFile& file = p.files[key];
  if (file.busy()) return false;
  file.start(io, {kStartup, kFile, key}, DirId{dir}, path, Slice::copy(content));
  return true;
}

void Turn::run_node() {
  Startup& s = p.startup;
  const metadata::BrokerConfig& c = p.config;
  s.phase = Phase::running;
  const uint32_t metadata_dir = metadata_directory();

  quorum::Options q;
  q.self = NodeId{c.node_id};
  q.directory = s.directory_ids[metadata_dir];
  q.cluster_id = s.cluster_id;
  q.listener = c.controller_listener_names.empty() ? "CONTROLLER" : c.controller_listener_names[0];
  for (const auto& v : c.voters) q.voters.push_back({v.id, v.host, v.port});
  q.dir = DirId{metadata_dir};
  q.module = kQuorum;
  q.election_timeout = c.election_timeout;
  q.election_backoff_max = c.election_backoff_max;
  q.fetch_timeout = c.quorum_fetch_timeout;
  q.request_timeout = c.quorum_request_timeout;
  q.log.segment_bytes = c.metadata_segment_bytes;
  q.log.segment_ms = c.metadata_segment_ms;
  q.log.retention_ms = -1;  // what goes is cut below a snapshot
  q.retention = {c.metadata_retention_bytes, c.metadata_retention_ms};
  std::vector<net::Answer> none;
  for (const auto& v : c.voters)
    if (v.id != q.self) p.calls.set_address(net(), controller_peer(v.id), {v.host, v.port}, none);

  LifecycleConfig l;
  l.node = q.self;
  l.cluster_id = s.cluster_id;
  l.rack = c.rack;
  l.incarnation = ctx().chance.uuid(Stream::incarnation_id, p.boot.incarnation, 0);
  l.log_dirs.assign(s.directory_ids.begin(), s.directory_ids.begin() + static_cast<ptrdiff_t>(c.log_dirs.size()));
  l.heartbeat_interval = c.heartbeat_interval;
  l.previous_epoch = s.clean_epoch;
  for (size_t i = 0; i < p.boot.listeners.size(); ++i) {
    const BoundListener& b = p.boot.listeners[i];
    if (c.controller_listener(b.name)) continue;
    l.endpoints.push_back({b.name, b.advertised_host.empty() ? b.host : b.advertised_host,
                           b.advertised_port ? b.advertised_port : b.port, 0});
  }
  for (const auto& f : metadata::supported_features()) l.features.push_back({std::string(f.name), f.min, f.max});
  p.lifecycle = Lifecycle(std::move(l));

  if (c.controller) {
    controller::Options o;
    o.node = q.self;
    o.cluster_id = s.cluster_id;
    o.session_timeout = c.session_timeout;
    o.default_partitions = c.num_partitions;
    o.default_replication_factor = static_cast<int16_t>(c.default_replication_factor);
    o.min_insync_replicas = c.min_insync_replicas;
    o.unclean_leader_election = c.topic_defaults.unclean_leader_election;
    o.delete_topic_enable = c.delete_topics;
    o.auto_leader_rebalance = c.auto_leader_rebalance;
    o.balance_interval = c.leader_imbalance_check_interval;
    o.unclean_interval = c.unclean_election_interval;
    o.properties = p.boot.properties;
    if (!s.bootstrap.records.empty()) o.bootstrap_elr = s.bootstrap.elr;
    o.bootstrap_records = std::move(s.bootstrap.records);
    p.controller.emplace(o);
  }
  p.quorum.emplace(std::move(q));
  quorum::Out out;
  p.quorum->start(io, out);
  drain(out);
  for (uint32_t i = 0; i < p.boot.listeners.size(); ++i)
    if (c.controller_listener(p.boot.listeners[i].name)) io.out.push_back(Listen{ListenerId{i}});
  p.checkpoint_at = ctx().now + c.checkpoint_interval();
  ctx().trace.event({TraceKind::node_started, 0, c.node_id, static_cast<int64_t>(p.boot.incarnation), 0, 0});
}

// Clients are let in once the cluster counts on us: then all that they ask for is answered.
void Turn::maybe_ready() {
  Startup& s = p.startup;
  if (s.ready_told || s.phase != Phase::running) return;
  if (p.config.broker ? p.lifecycle.standing() != Standing::running : active_controller() == kNoNode) return;
  s.ready_told = true;
  for (uint32_t i = 0; i < p.boot.listeners.size(); ++i)
    if (!p.config.controller_listener(p.boot.listeners[i].name)) io.out.push_back(Listen{ListenerId{i}});
  io.out.push_back(Answered{0, false, Slice::copy("ready")});
}

void Turn::stop() {
  Startup& s = p.startup;
  if (s.phase >= Phase::leaving) return;
  ctx().trace.event({TraceKind::node_stopping, 0, p.config.node_id, 0, 0, 0});
  if (s.phase != Phase::running) {
    s.phase = Phase::ended;
    io.out.push_back(Exit{0, "stopped before it had started"});
    return;
  }
  s.phase = Phase::leaving;
  s.give_up = ctx().now + kLeavePatience;
  if (p.config.broker && p.config.controlled_shutdown) p.lifecycle.stop(ctx().now, kLeavePatience);
  poll_shutdown();
}

void Turn::poll_shutdown() {
  Startup& s = p.startup;
  if (s.phase == Phase::leaving) {
    const bool left = !p.config.broker || !p.config.controlled_shutdown || p.lifecycle.standing() == Standing::gone;
    if (!left && ctx().now < s.give_up) return;
    leave();
  }
  if (s.phase != Phase::closing) return;
  bool files_done = true;
  for (const auto& [key, file] : p.files) files_done = files_done && !file.busy();
  if (p.replicas.all_closed() && !p.clean_wanted && files_done) {
    p.clean_wanted = true;
    p.replicas.want_checkpoint();
  }
  if (ctx().now >= s.give_up) s.give_up = kNever, p.resigned = true;
  const bool done = p.clean_written && files_done && p.resigned;
  if (!done && (s.closes_on || ctx().now < s.close_by)) return;
  s.phase = Phase::ended;
  io.out.push_back(Exit{0, "stopped"});
}

// Thousands of logs have much to write: while the disk answers they are waited for. Time counts from the turn after the
// one that asked or heard, for turns take time too.
void Turn::wait_for_logs() {
  Startup& s = p.startup;
  if (s.phase != Phase::closing || !std::exchange(s.closes_on, false)) return;
  s.close_by = ctx().now + (s.close_by == kNever ? kClosePatience : kStallPatience);
}

void Turn::leave() {
  Startup& s = p.startup;
  s.phase = Phase::closing;
  s.give_up = ctx().now + kResignPatience;
  s.closes_on = true;
  p.replicas.close_all(io);
  quorum::Out out;
  if (p.config.controller && p.quorum && p.quorum->started())
    p.quorum->resign(io, true, out);
  else
    p.resigned = true;
  drain(out);
}

// `found` is of all logs that are open. What this life has not opened, or not yet, keeps what is known of it.
void Turn::write_checkpoints(replication::Checkpoints found, bool clean) {
  const Startup& s = p.startup;
  const auto keep = [&](log::OffsetCheckpoint CheckpointLines::*known,
                        log::OffsetLines replication::Checkpoint::*into) {
    for (const auto& [key, offset] : s.lines.*known)
      if (const auto home = s.homes.find(key); home != s.homes.end())
        (found[home->second].*into).add(key.first, key.second, offset);
    for (const auto& [partition, copies] : s.copies)
      for (const PartitionCopy& c : copies)
        for (const auto& [key, offset] : c.lines.*known) (found[c.dir].*into).add(key.first, key.second, offset);
  };
  if (s.clean || !clean)  // else a later life would take them for the logs' ends
    keep(&CheckpointLines::recovery_points, &replication::Checkpoint::recovery_points);
  keep(&CheckpointLines::high_watermarks, &replication::Checkpoint::high_watermarks);
  keep(&CheckpointLines::log_starts, &replication::Checkpoint::log_starts);
  keep(&CheckpointLines::cleaned_to, &replication::Checkpoint::cleaned_to);
  // A life that never registered has touched no log: what the one before it said still holds.
  const BrokerEpoch epoch = p.lifecycle.epoch() >= 0 ? p.lifecycle.epoch() : s.clean_epoch;
  bool all = true;
  for (uint32_t i = 0; i < p.boot.directories.size(); ++i) {
    replication::Checkpoint& c = found[DirId{i}];
    if (replace_file(i, kRecoveryFile, log::kRecoveryPointFile, c.recovery_points.file()))
      p.replicas.checkpoint_begins(DirId{i}, std::move(c.compacted));
    else
      all = false;
    all = replace_file(i, 2, log::kHighWatermarkFile, c.high_watermarks.file()) && all;
    all = replace_file(i, 3, log::kLogStartFile, c.log_starts.file()) && all;
    if (!c.cleaned_to.empty() || p.files.count(i | uint64_t{kCleanerFileNumber} << 16))
      all = replace_file(i, kCleanerFileNumber, log::kCleanerFile, c.cleaned_to.file()) && all;
    if (clean) replace_file(i, 4, log::kCleanShutdownFile, log::encode_clean_shutdown(epoch));
  }
  p.replicas.checkpoint_begun(all);
}

}  // namespace klamm::broker
