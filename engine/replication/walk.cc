// Standing tasks, of which each looks at every partition now and then: one cursor goes round for all that are due, a
// bounded number of looks a turn. A task that becomes due meanwhile waits for the next round.
#include "engine/replication/replicas.h"

namespace klamm::replication {

namespace {
constexpr size_t kLooksPerTurn = 200;
constexpr size_t kRetentionCosts = kLooksPerTurn / 8;  // looks, where there is something to let go
constexpr Duration kUnused = seconds(60);              // what nobody has used for so long is forgotten within as much
constexpr Duration kFirstLook = seconds(30);           // as Kafka, unless the interval is shorter
}  // namespace

void Replicas::begin_standing_tasks(Ctx& ctx) {
  static_assert(static_cast<int>(Timer::shrink) == static_cast<int>(Task::shrink) &&
                static_cast<int>(Timer::retain) == static_cast<int>(Task::retain) &&
                static_cast<int>(Timer::expire) == static_cast<int>(Task::expire) &&
                static_cast<int>(Timer::mark) == static_cast<int>(Task::mark) &&
                static_cast<int>(Timer::forget) == static_cast<int>(Task::forget));
  wake_at(ctx.now + config_.common.lag_max / 2, Timer::shrink);
  wake_at(ctx.now + std::min(config_.retention_check, kFirstLook), Timer::retain);
  wake_at(ctx.now + config_.producer_check, Timer::expire);
  if (config_.mark > Duration{}) wake_at(ctx.now + config_.mark, Timer::mark);
  wake_at(ctx.now + kUnused, Timer::forget);
  if (config_.compaction.enabled) compact_at(ctx.now + config_.compaction.backoff);
}

void Replicas::walk(Io& io, Out& out) {
  if (walk_.idle()) return;
  if (walk_.running == 0) {
    walk_.running = std::exchange(walk_.wanted, uint8_t{0});
    if (walk_.running & bit(Task::checkpoint)) names_.walked.merge(names_.due);
  }
  auto it = walk_.at ? partitions_.lower_bound(*walk_.at) : partitions_.begin();
  for (size_t looks = 0; it != partitions_.end() && looks < kLooksPerTurn; ++it) {
    PROBE(io.ctx, partition_looked_at);
    looks += look(io, it->first, it->second, out);
  }
  walk_.at.reset();
  if (walk_.running & bit(Task::close)) close_some(io);
  if (it != partitions_.end()) {
    walk_.at = it->first;
    return;
  }
  const uint8_t done = std::exchange(walk_.running, uint8_t{0});
  for (uint8_t task = 0; task < static_cast<uint8_t>(Task::count); ++task)
    if (done & bit(static_cast<Task>(task))) end_task(io, static_cast<Task>(task), out);
}

// What it cost, in looks.
size_t Replicas::look(Io& io, const TopicIdPartition& id, Cow<Partition>& partition, Out& out) {
  const auto due = [&](Task task) { return (walk_.running & bit(task)) != 0; };
  size_t cost = 1;
  if (due(Task::shrink)) shrink_isr(io.ctx, id, partition, out);
  if (due(Task::retain) && retain(io, partition, out)) cost += kRetentionCosts;
  if (due(Task::expire) && partition->log().producers_expired(io.ctx)) partition.write().log().expire_producers(io.ctx);
  if (due(Task::mark) && wants_mark(*partition)) mark_due_.insert(id);
  if (due(Task::forget)) forget(partition);
  if (due(Task::compact)) look_for_dirt(io.ctx, *partition);
  if (due(Task::checkpoint)) note_checkpoint(id, *partition);
  if (due(Task::close) && !postponed_.count(id) && !open_due_.count(id) && !partition->log().failed()) {
    closing_.insert(id);
    if (partition->log().ready()) close_due_.insert(id);
  }
  return cost;
}

// The round has seen all partitions.
void Replicas::end_task(Io& io, Task task, Out& out) {
  const Instant now = io.ctx.now;
  switch (task) {
    case Task::shrink: return wake_at(now + config_.common.lag_max / 2, Timer::shrink);
    case Task::retain: return wake_at(now + config_.retention_check, Timer::retain);
    case Task::expire: return wake_at(now + config_.producer_check, Timer::expire);
    case Task::mark: mark_some(io); return wake_at(now + config_.mark, Timer::mark);
    case Task::forget: return wake_at(now + kUnused, Timer::forget);
    case Task::compact: return compact_dirtiest(io);
    case Task::checkpoint: out.checkpoints = std::exchange(walk_.checkpoints, {}); return;
    case Task::close:
    case Task::count: return;
  }
}

// ---- names of partitions that have gone

void Replicas::forget_name(const std::string& path) {
  if (ending_) return;  // the last checkpoint does not know it
  names_.due.insert(path);
  begin_task(Task::checkpoint);
}

void Replicas::checkpoint_begun(bool all) {
  if (all)
    names_.writing.merge(names_.walked);
  else
    names_.due.merge(names_.walked), names_.again = true;
  names_.walked.clear();
}

void Replicas::checkpoint_file_ended(Io& io, bool good, bool last) {
  names_.failed = names_.failed || !good;
  if (!last) return;
  std::set<std::string> written = std::exchange(names_.writing, {});
  if (std::exchange(names_.failed, false))  // it is written again at its next time
    names_.due.merge(written);
  else
    open_postponed(io);
  if (std::exchange(names_.again, false) && !names_.due.empty() && !ending_) begin_task(Task::checkpoint);
}

// A log that is being opened keeps what was known of it.
void Replicas::note_checkpoint(const TopicIdPartition& id, const Partition& p) {
  const log::Log& log = p.log();
  if (log.failed()) return;
  Place now{
      log.options().dir, {log.recovery_point(), log.ends().log_start, false, log.cleaned_to()}, p.high_watermark()};
  const auto opening = opening_marks_.find(id);
  if (opening != opening_marks_.end()) now = opening->second;
  const std::string& topic = p.topic_name();
  Checkpoint& c = walk_.checkpoints[now.dir];
  c.recovery_points.add(topic, id.partition, now.from.recovery_point);
  c.high_watermarks.add(topic, id.partition, now.high_watermark);
  if (now.from.log_start > 0) c.log_starts.add(topic, id.partition, now.from.log_start);
  if (now.from.cleaned_to > now.from.log_start) c.cleaned_to.add(topic, id.partition, now.from.cleaned_to);
  if (opening == opening_marks_.end() && log.options().config.compacted)
    c.compacted.push_back({id, log.recovery_point()});
}

}  // namespace klamm::replication
