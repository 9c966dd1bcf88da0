#include "engine/replication/replicas.h"

#include <algorithm>

#include "engine/protocol/messages/alter_partition.h"

namespace klamm::replication {

namespace {
constexpr Duration kAlterRetry = milliseconds(50);
constexpr size_t kOpensAtOnce = 128;  // each reads up to a MiB at a time
constexpr size_t kClosesAtOnce = 64;  // each has some five files open
constexpr int8_t kRecovered = 0;      // a leader's log is open: what an unclean election left to do is done (KIP-704)
}  // namespace

const Partition* Replicas::find(const TopicIdPartition& id) const {
  const auto it = partitions_.find(id);
  return it == partitions_.end() ? nullptr : &*it->second;
}

Partition* Replicas::write(const TopicIdPartition& id) {
  const auto it = partitions_.find(id);
  return it == partitions_.end() ? nullptr : &it->second.write();
}

void Replicas::wake_at(Instant at, Timer what) { timers_.set(at, what); }

// Carries what a partition's step changed to the node, and to the fetchers.
void Replicas::moved(const TopicIdPartition& id, const Moved& m, Out& out) {
  if (m.high_watermark) out.committed.push_back(id);
  if (m.last_stable) out.stable.push_back(id);
  if (m.wants_alter) wants_alter_.insert(id);
  if (m.role) {
    out.changed.push_back(id);
    refile(id);
  }
}

void Replicas::refile(const TopicIdPartition& id) {
  const Partition* p = find(id);
  const NodeId leader = p && p->role() == Role::follower ? p->assignment().leader : kNoNode;
  for (auto& [node, f] : fetchers_)
    if (node != leader) f.follows.erase(id), f.missing.erase(id), f.delayed.erase(id);
  if (leader == kNoNode) return;
  Fetcher& f = fetchers_[leader];
  f.follows.insert(id);
  f.missing.insert(id);
  f.delayed.erase(id);
}

void Replicas::set_brokers(Ctx& ctx, Brokers brokers, BrokerEpoch own_epoch) {
  brokers_ = std::move(brokers);
  own_epoch_ = own_epoch;
  if (std::exchange(started_, true)) return;
  begin_standing_tasks(ctx);
}

void Replicas::assign(Io& io, const Wanted& w, Out& out) {
  if (ending_) return;
  Moved m;
  if (Partition* p = write(w.id)) {
    p->set_settings(io.ctx, config_.common, brokers_, w.settings, m);
    p->assign(io, config_.common, brokers_, w.assignment, m);
    if (p->dirty()) dirty_.insert(w.id);
    return moved(w.id, m, out);
  }
  KLAMM_ASSERT_REL(partitions_.size(), <, kPartitionsMax);
  log::LogOptions o = log_options(w, w.place.dir);
  keys_[o.key] = w.id;
  Partition& p =
      partitions_.emplace(w.id, Cow<Partition>(Partition(w.id, std::move(o), w.settings))).first->second.write();
  opening_marks_[w.id] = w.place;
  ++opening_;
  if (w.place.stale) forget_name(p.log().path());
  for (const DirId dir : w.strays) set_aside(io, w, dir);
  opening_marks_[w.id].behind_strays = !w.strays.empty();
  // A topic of the same name may just have been deleted: two logs must not share a directory, nor a checkpoint's line.
  (name_waits(p.log().path()) ? postponed_ : open_due_)[w.id] = w.place.from;
  open_some(io);
  p.assign(io, config_.common, brokers_, w.assignment, m);
  moved(w.id, m, out);
}

log::LogOptions Replicas::log_options(const Wanted& w, DirId dir) {
  log::LogOptions o;
  o.module = config_.module;
  o.key = ++last_key_;
  o.dir = dir;
  o.topic = w.id.topic;
  o.topic_name = w.topic;
  o.partition = w.id.partition;
  o.config = w.settings.log;
  o.tail_bytes = config_.tail_bytes;
  o.region_least = config_.region_least;
  return o;
}

void Replicas::set_aside(Io& io, const Wanted& w, DirId dir) {
  log::LogOptions o = log_options(w, dir);
  const uint64_t key = o.key;
  log::Log& stray = leaving_.emplace(key, log::Log(std::move(o))).first->second;
  ++leaving_paths_[stray.path()];
  stray.set_aside(io, io.ctx.chance.uuid(Stream::directory_id, key, 0));
}

void Replicas::configure(Ctx& ctx, const TopicIdPartition& id, const Settings& settings, Out& out) {
  Partition* p = write(id);
  if (!p) return;
  Moved m;
  if (p->settings().flush_after != settings.flush_after) forget_flush(id);
  p->set_settings(ctx, config_.common, brokers_, settings, m);
  plan_flush(ctx, *p);
  if (p->log().ready() && p->dirty()) dirty_.insert(id);
  moved(id, m, out);
}

void Replicas::remove(Io& io, const TopicIdPartition& id) {
  Partition* p = write(id);
  if (!p) return;
  io.ctx.trace.event({TraceKind::log_removed, 0, id.partition, topic_key(id.topic)});
  const uint64_t key = p->log().options().key;
  uncount(*p);
  p->log().drop_caches();
  const auto mark = opening_marks_.find(id);
  const bool behind_strays = mark != opening_marks_.end() && mark->second.behind_strays;
  if (mark != opening_marks_.end()) opening_marks_.erase(mark), --opening_;
  forget_name(p->log().path());
  open_due_.erase(id);
  if ((!postponed_.erase(id) || behind_strays) && !p->log().failed()) {
    const auto leaving = leaving_.emplace(key, std::move(p->log())).first;
    if (leaving->second.remove(io, io.ctx.chance.uuid(Stream::directory_id, key, 0)))
      leaving_.erase(leaving);
    else
      ++leaving_paths_[leaving->second.path()];
  }
  for (auto& [node, f] : fetchers_) f.follows.erase(id), f.missing.erase(id), f.delayed.erase(id);
  dirty_.erase(id), wants_alter_.erase(id);
  forget_flush(id);
  partitions_.erase(id);
  keys_.erase(key);
  mark_some(io);
  closed(io, id);
  open_some(io);
}

// Those whose names wait for nothing any more.
void Replicas::open_postponed(Io& io) {
  for (auto it = postponed_.begin(); it != postponed_.end();)
    if (name_waits(find(it->first)->log().path()))
      ++it;
    else
      open_due_.insert(postponed_.extract(it++));
  open_some(io);
}

void Replicas::tell_dropped(Ctx& ctx, const log::Log& log) {
  if (log.dropped_bytes() > 0 && dropped_.named < Dropped::kNamedMost)
    ++dropped_.named, log.tell_dropped(ctx);
  else if (log.dropped_bytes() > 0)
    ++dropped_.logs, dropped_.bytes += log.dropped_bytes();
  if (opening_ > 0 || dropped_.logs == 0) return;
  ctx.trace.event({TraceKind::log_tails_dropped, 0, dropped_.logs, 0, dropped_.bytes, 0});
  dropped_.logs = 0, dropped_.bytes = 0;
}

void Replicas::open_some(Io& io) {
  while (!open_due_.empty() && !ending_ &&
         opening_marks_.size() - postponed_.size() - open_due_.size() < kOpensAtOnce) {
    const auto next = open_due_.extract(open_due_.begin());
    write(next.key())->log().open(io, next.mapped());
  }
}

void Replicas::set_full(Io& io, DirId dir, bool full) {
  if (full ? !full_.insert(dir).second : full_.erase(dir) == 0) return;
  if (full) abandon_compaction(io, dir);
  io.ctx.trace.event({TraceKind::disk_full, 0, static_cast<int32_t>(dir.value), full, 0, 0});
}

void Replicas::on_storage(Io& io, const Owner& owner, const StorageEnd& end, Out& out) {
  log::Out said;
  if (const auto it = leaving_.find(owner.key); it != leaving_.end()) {
    it->second.on_storage(io, owner, end, said);
    if (!said.removed && said.failed == IoError::none) return;
    const std::string path = it->second.path();
    leaving_.erase(it);
    if (const auto left = leaving_paths_.find(path); --left->second == 0) leaving_paths_.erase(left);
    if (!name_waits(path)) open_postponed(io);
    return;
  }
  const auto key = keys_.find(owner.key);
  if (key == keys_.end()) return;
  const TopicIdPartition id = key->second;
  Partition& p = *write(id);
  p.log().on_storage(io, owner, end, said);
  count(p);
  if (marking_.count(id)) mark_some(io);
  Moved m;
  if (said.failed != IoError::none) {
    if (opening_marks_.erase(id)) --opening_;
    open_some(io);
    closed(io, id);
    p.went_offline(m);
    out.failed_dirs.push_back(p.log().options().dir);
    io.ctx.trace.event({TraceKind::disk_failed, 0, static_cast<int32_t>(p.log().options().dir.value),
                        static_cast<int64_t>(said.failed), 0, 0});
    return moved(id, m, out);
  }
  if (said.strayed) {
    Place& mark = opening_marks_.at(id);
    mark = {.dir = mark.dir};
    forget_name(p.log().path());
    postponed_[id] = {};
    if (ending_) closed(io, id);
    open_some(io);
  }
  if (said.ready) {
    const auto mark = opening_marks_.find(id);
    p.opened(io, config_.common, brokers_,
             mark == opening_marks_.end() ? p.high_watermark() : mark->second.high_watermark, m);
    if (mark != opening_marks_.end()) {
      opening_marks_.erase(mark);
      --opening_;
      tell_dropped(io.ctx, p.log());
      open_some(io);
    }
    out.opened.push_back(id);
    plan_flush(io.ctx, p);
    if (closing_.count(id)) close_due_.insert(id), close_some(io);
  }
  if (said.written || said.synced) {
    out.grown.push_back(id);
    p.acknowledged(io.ctx, config_.common, brokers_, m);
  }
  if (!said.cold.empty()) out.changed.push_back(id);
  if (said.closed) closed(io, id);
  compaction_said(io.ctx, id, said);
  if (said.remove_at) removals_.set(*said.remove_at, id);
  if (p.log().ready() && p.dirty()) dirty_.insert(id);
  moved(id, m, out);
}

Result<log::Appended> Replicas::append(Ctx& ctx, const TopicIdPartition& id, const Slice& batch) {
  const size_t head = protocol::kBatchHeaderSize;
  return append(ctx, id, batch.part(0, head), batch.part(head, batch.size() - head));
}

Result<log::Appended> Replicas::append(Ctx& ctx, const TopicIdPartition& id, const Slice& head, const Slice& records) {
  Partition* p = write(id);
  KLAMM_ASSERT(p != nullptr);
  if (full_.count(p->log().options().dir)) return fail(ErrorCode::kafka_storage_error, "the disk is full");
  auto appended = p->append(ctx, head, records);
  if (appended) dirty_.insert(id);
  return appended;
}

Result<void> Replicas::note_fetch(Ctx& ctx, const TopicIdPartition& id, const FollowerFetch& fetch, Out& out) {
  Partition* p = write(id);
  if (!p) return fail(ErrorCode::unknown_topic_or_partition);
  Moved m;
  const Result<void> r = p->note_fetch(ctx, config_.common, brokers_, fetch, m);
  moved(id, m, out);
  return r;
}

void Replicas::load_cold(Io& io, const TopicIdPartition& id, const log::ColdWant& want) {
  Partition* p = write(id);
  KLAMM_ASSERT(p != nullptr);
  p->log().load_cold(io, want);
}

void Replicas::forget_fault(const TopicIdPartition& id, Offset offset) {
  if (Partition* p = write(id)) p->log().forget_fault(offset);
}

void Replicas::flush(Io& io, Out& out) {
  for (const TopicIdPartition& id : dirty_)
    if (Partition* p = write(id); p && p->log().ready()) {
      p->flush(io);
      plan_flush(io.ctx, *p);
      count(*p);
    }
  dirty_.clear();
  trim_caches();
  for (auto& [leader, fetcher] : fetchers_) send_fetch(io, leader, fetcher, out);
  send_alter(io, out);
}

void Replicas::close_all(Io& io) {
  ending_ = true;
  walk_ = {};
  begin_task(Task::close);
  Out nothing;
  walk(io, nothing);
}

void Replicas::close_some(Io& io) {
  while (!close_due_.empty() && close_running_.size() < kClosesAtOnce) {
    const TopicIdPartition id = *close_due_.begin();
    close_due_.erase(close_due_.begin());
    log::Log& log = write(id)->log();
    if (!log.ready()) continue;  // opening again: it comes back
    if (log.close(io))
      closing_.erase(id);
    else
      close_running_.insert(id);
  }
}

void Replicas::closed(Io& io, const TopicIdPartition& id) {
  closing_.erase(id), close_due_.erase(id), close_running_.erase(id);
  close_some(io);
}

// ---- changes of the ISR

void Replicas::send_alter(Io& io, Out& out) {
  if (alter_in_flight_ || wants_alter_.empty() || io.ctx.now < alter_not_before_) return;
  protocol::AlterPartitionRequest m;
  m.broker_id = config_.common.self.value;
  m.broker_epoch = own_epoch_;
  altering_.clear();
  for (const TopicIdPartition& id : wants_alter_) {
    Partition* p = write(id);
    if (!p || p->role() != Role::leader || !p->proposal() || p->proposal()->sent) continue;
    if (m.topics.empty() || m.topics.back().topic_id != id.topic) m.topics.add(io.ctx.arena()).topic_id = id.topic;
    auto& x = m.topics.back().partitions.add(io.ctx.arena());
    x.partition_index = id.partition;
    x.leader_epoch = p->assignment().leader_epoch;
    x.partition_epoch = p->assignment().partition_epoch;
    x.leader_recovery_state = kRecovered;
    for (NodeId n : p->proposal()->isr) {
      auto& member = x.new_isr_with_epochs.add(io.ctx.arena());
      member.broker_id = n.value;
      const Remote* r = p->remote(n);
      member.broker_epoch = n == config_.common.self ? own_epoch_ : r ? r->broker_epoch : -1;
    }
    p->proposal_sent();
    altering_.push_back(id);
  }
  wants_alter_.clear();
  if (altering_.empty()) return;
  Writer w;
  encode(w, 3, m);
  KLAMM_ASSERT(w.ok());
  out.alter = w.finish();
  alter_in_flight_ = true;
}

void Replicas::on_alter_answer(Io& io, IoError error, const Slice& body, Out& out) {
  KLAMM_ASSERT(alter_in_flight_);
  alter_in_flight_ = false;
  std::map<TopicIdPartition, std::pair<ErrorCode, Assignment>> told;
  ErrorCode whole = ErrorCode::unknown_server_error;
  protocol::AlterPartitionResponse m;
  Reader reader(body.span());
  if (error == IoError::none && decode(reader, io.ctx.arena(), 3, m)) {
    whole = static_cast<ErrorCode>(m.error_code);
    for (const auto& t : m.topics)
      for (const auto& x : t.partitions) {
        Assignment a;
        a.leader_epoch = x.leader_epoch, a.partition_epoch = x.partition_epoch, a.leader = NodeId{x.leader_id};
        for (int32_t n : x.isr) a.isr.push_back(NodeId{n});
        told[{t.topic_id, x.partition_index}] = {static_cast<ErrorCode>(x.error_code), std::move(a)};
      }
  }
  bool refused = whole != ErrorCode::none;
  for (const TopicIdPartition& id : altering_) {
    Partition* p = write(id);
    if (!p) continue;
    const auto it = told.find(id);
    Moved m2;
    if (whole != ErrorCode::none || it == told.end())
      p->alter_answered(io, config_.common, brokers_, ErrorCode::not_controller, {}, m2);
    else
      p->alter_answered(io, config_.common, brokers_, it->second.first, it->second.second, m2);
    refused = refused || it == told.end() || it->second.first != ErrorCode::none;
    if (p->proposal() && !p->proposal()->sent) wants_alter_.insert(id);
    moved(id, m2, out);
  }
  altering_.clear();
  if (refused && !wants_alter_.empty()) {
    alter_not_before_ = io.ctx.now + kAlterRetry;
    wake_at(alter_not_before_, Timer::alter);
  }
}

void Replicas::on_time(Io& io, Out& out) {
  for (Timer what; timers_.pop(io.ctx.now, &what);) {
    if (what == Timer::fetch || what == Timer::alter) continue;  // flush sends what is due
    if (ending_) continue;
    if (what == Timer::compact)
      compact_on(io);
    else if (what == Timer::mark && !mark_due_.empty())  // nobody is marked twice before all are marked once
      end_task(io, Task::mark, out);
    else
      begin_task(static_cast<Task>(what));
  }
  walk(io, out);
  remove_put_away(io);
  flush_due(io);
}

bool Replicas::delete_before(Ctx& ctx, const TopicIdPartition& id, Offset offset, Out& out) {
  Partition* p = write(id);
  if (!p || p->role() != Role::leader || offset > p->high_watermark()) return false;
  p->log().advance_log_start(ctx, offset);
  PROBE(ctx, records_deleted);
  out.changed.push_back(id);
  return true;
}

}  // namespace klamm::replication
