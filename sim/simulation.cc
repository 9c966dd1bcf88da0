#include "sim/simulation.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

namespace klamm::sim {
namespace {
constexpr int64_t kUs = 1'000;
constexpr int64_t kMs = 1'000'000;

// What the links, disks and processors of this run are like.
WorldOptions draw_world(const RunOptions& options, Tape& tape) {
  WorldOptions w;
  if (!options.rough) return w;
  Draws d{stream(kSwarm), 2, 0};
  constexpr int64_t kDelays[] = {50 * kUs, 5 * kUs, 500 * kUs, 3 * kMs};
  constexpr Delay::Shape kShapes[] = {Delay::Shape::uniform, Delay::Shape::exponential, Delay::Shape::bimodal};
  const int64_t delay = kDelays[d.below(tape, 4)];
  w.net.delay = {delay, d.between(tape, 0, 4 * delay), 0, kShapes[d.below(tape, 3)]};
  if (w.net.delay.shape == Delay::Shape::bimodal) w.net.delay.far_ns = d.between(tape, 0, 40 * delay);
  w.net.cut_per_mille = d.below(tape, 3) == 2 ? static_cast<uint32_t>(d.below(tape, 500)) : 0;
  if (d.below(tape, 4) == 3) w.net.bytes_per_second = d.between(tape, 5'000'000, 100'000'000);
  constexpr int64_t kSyncs[] = {100 * kUs, 20 * kUs, kMs, 8 * kMs};
  const int64_t sync = kSyncs[d.below(tape, 4)];
  w.disk.sync = {sync, d.between(tape, 0, 2 * sync), 0, Delay::Shape::exponential};
  constexpr int64_t kWrites[] = {3 * kUs, 30 * kUs, 300 * kUs};
  w.disk.write = {kWrites[d.below(tape, 3)], d.between(tape, 0, 10 * kUs)};
  constexpr int64_t kTurns[] = {kUs, 1, 10 * kUs, 50 * kUs};
  w.turn_ns = kTurns[d.below(tape, 4)];
  w.draw_turn_share = d.below(tape, 2) == 1;
  return w;
}

// Some runs keep little: records expire while they are read, and files go while they are written.
bool keeps_little(const RunOptions& o, Tape& tape) {
  return o.rough && Draws{stream(kSwarm), 4, 0}.below(tape, 4) == 3;
}

std::map<std::string, std::string> draw_retention(Tape& tape) {
  Draws d{stream(kSwarm), 5, 0};
  std::map<std::string, std::string> config;
  config["internal.segment.bytes"] = std::to_string(4'096 << d.below(tape, 4));
  config["file.delete.delay.ms"] = std::to_string(1'000 * d.below(tape, 3));
  if (d.below(tape, 2) == 1) config["segment.ms"] = std::to_string(d.between(tape, 200, 3'000));
  if (d.below(tape, 2) == 1) config["segment.jitter.ms"] = std::to_string(d.between(tape, 1, 1'000));
  const uint64_t way = d.below(tape, 3);
  if (way != 1) config["retention.bytes"] = std::to_string(d.between(tape, 0, 100'000));
  if (way != 0) config["retention.ms"] = std::to_string(d.between(tape, 500, 8'000));
  return config;
}

Promise draw_promise(const RunOptions& o, Tape& tape) {
  if (o.promise != Promise::drawn) return o.promise;
  if (!o.rough) return Promise::within;
  Draws d{stream(kSwarm), 3, 0};
  if (d.below(tape, 4) != 3) return Promise::within;
  return d.below(tape, 2) == 1 ? Promise::synced : Promise::beyond;
}

// And some compact what they write.
bool compacts(const RunOptions& o, Tape& tape) { return o.rough && Draws{stream(kSwarm), 7, 0}.below(tape, 4) == 3; }

void draw_compaction(Tape& tape, WorkloadOptions& w) {
  Draws d{stream(kSwarm), 8, 0};
  const bool deletes = !w.topic_config.empty();
  w.topic_config["cleanup.policy"] = deletes ? "compact,delete" : "compact";
  w.topic_config.emplace("internal.segment.bytes", std::to_string(4'096 << d.below(tape, 3)));
  w.topic_config["min.cleanable.dirty.ratio"] = d.below(tape, 2) == 1 ? "0.01" : "0.3";
  if (d.below(tape, 3) == 2) w.topic_config["max.compaction.lag.ms"] = "1000";
  constexpr uint32_t kKeys[] = {40, 5, 1, 1'000};
  w.keys = kKeys[d.below(tape, 4)];
}

// In some most of what consumers read comes from disk, as regions of files.
bool reads_regions(const RunOptions& o, Tape& tape) {
  return o.rough && Draws{stream(kSwarm), 11, 0}.below(tape, 3) == 2;
}

// In a third an operator makes and removes topics.
Errands::Options draw_errands(const RunOptions& o, Tape& tape) {
  Draws d{stream(kSwarm), 10, 0};
  const bool any = o.rough && d.below(tape, 3) == 2;
  return {.host = o.brokers + 2, .topics = any ? static_cast<uint32_t>(1 + d.below(tape, 3)) : 0};
}

// In a third somebody sets configs, of the topic that the load uses and of brokers.
bool sets_configs(const RunOptions& o, Tape& tape) {
  return o.rough && Draws{stream(kSwarm), 15, 0}.below(tape, 3) == 2;
}

// In a fourth one deletes records of that topic, in another fourth one gives it more partitions.
Changes::Options draw_changes(const RunOptions& o, Tape& tape) {
  Draws d{stream(kSwarm), 12, 0};
  Draws growth{stream(kSwarm), 16, 0};
  const bool grows = o.rough && growth.below(tape, 4) == 3;
  return {.host = o.brokers + 2,
          .records = o.rough && d.below(tape, 4) == 3,
          .configs = sets_configs(o, tape),
          .most_partitions = grows ? o.partitions + static_cast<int32_t>(growth.between(tape, 1, 8)) : 0};
}

// What the brokers have as min.insync.replicas; see cluster.cc.
int32_t min_in_sync(const RunOptions& o) {
  const auto own = o.config.find("min.insync.replicas");
  return own != o.config.end() ? std::atoi(own->second.c_str()) : o.brokers >= 3 ? 2 : 1;
}

// With less than the promise wants in sync a failed sync may lose what was acknowledged.
int32_t least_in_sync(const RunOptions& o, Tape& tape) {
  const bool any = sets_configs(o, tape) && draw_promise(o, tape) != Promise::within;
  return any ? 1 : min_in_sync(o);
}

Settings make_settings(const RunOptions& o, Tape& tape, const WorkloadOptions& load) {
  return Settings({.topic = Workload::kTopic,
                   .created_with = load.topic_config,
                   .least_in_sync = least_in_sync(o, tape),
                   .replicas = static_cast<int32_t>(std::min(o.brokers, 3u)),
                   .keyed = load.keys > 0});
}

// In a fourth more members come into the group and go.
Crowd::Options draw_crowd(const RunOptions& o, Tape& tape) {
  Draws d{stream(kSwarm), 18, 0};
  const bool any = o.rough && d.below(tape, 4) == 3;
  return {.host = o.brokers + 3, .members = any ? static_cast<uint32_t>(1 + d.below(tape, 4)) : 0};
}

// In half the records are compressed; then in a third of the topics by the brokers, or to something else by them.
void draw_compression(Tape& tape, WorkloadOptions& w) {
  constexpr const char* kTypes[] = {"producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"};
  Draws d{stream(kSwarm), 17, 0};
  if (d.below(tape, 2) == 0) return;
  w.compression = static_cast<int8_t>(d.below(tape, 5));
  if (d.below(tape, 3) == 2) w.topic_config["compression.type"] = kTypes[d.below(tape, 6)];
}

// In an eighth not every broker is a controller: who has no vote must find the leader of the quorum that others chose.
void draw_roles(RunOptions& o, Tape& tape) {
  Draws d{stream(kSwarm), 13, 0};
  if (!o.rough || o.fail_disk || o.controllers != 0 || o.brokers != 3 || d.below(tape, 8) != 7) return;
  o.controllers = o.brokers;
  o.brokers += static_cast<uint32_t>(1 + d.below(tape, 2));
}

// The metadata is written down every few records, so that lives begin with a snapshot. In two of three such runs the
// log behind it goes soon, so that who was away must load one.
void snapshots(const RunOptions& o, Tape& tape, std::map<std::string, std::string>& config) {
  config.emplace("metadata.log.max.record.bytes.between.snapshots", "2000");
  if (Draws{stream(kSwarm), 14, 0}.below(tape, 3) == 0 && !o.fail_disk) return;
  config.emplace("metadata.max.retention.bytes", "4000");
  config.emplace("internal.metadata.log.segment.bytes", "3000");
}

// May change how many brokers there are.
World make_world(RunOptions& options) {
  Tape tape(options.seed, options.tape_mode);
  tape.keep_log(options.log_choices);
  draw_roles(options, tape);
  const WorldOptions world = draw_world(options, tape);
  std::map<std::string, std::string> config = options.config;
  if (options.fail_disk) config.emplace("log.roll.ms", "700");  // so that segments end while one looks
  // In half of the runs snapshots of the metadata matter.
  if (options.fail_disk || (options.rough && Draws{stream(kSwarm), 6, 0}.below(tape, 2) == 1))
    snapshots(options, tape, config);
  if (draw_promise(options, tape) == Promise::synced) config.emplace("klamm.flush", "commit");
  if (reads_regions(options, tape)) {
    config.emplace("klamm.fetch.tail.bytes", "1500");
    config.emplace("klamm.fetch.region.bytes", "1");
  }
  if (keeps_little(options, tape) || sets_configs(options, tape))
    config.emplace("log.retention.check.interval.ms", "300");
  if (compacts(options, tape)) {  // the groups' offsets too
    config.emplace("log.cleaner.backoff.ms", "150");
    config.emplace("replica.high.watermark.checkpoint.interval.ms", "400");
    config.emplace("log.roll.ms", "900");
    if (Draws{stream(kSwarm), 9, 0}.below(tape, 3) == 2) {
      config.emplace("log.cleaner.threads", "0");  // each would want a MiB
      config.emplace("log.cleaner.dedupe.buffer.size", "30000");
    }
  }
  return World(std::move(tape), world,
               cluster_hosts({options.brokers, draw_crowd(options, tape).members > 0 ? 4u : 3u, options.flaws,
                              std::move(config), options.controllers}));
}

WorkloadOptions make_load(const RunOptions& o, Tape& tape) {
  WorkloadOptions w;
  w.producer_host = o.brokers;
  w.consumer_host = o.brokers + 1;
  w.reader_host = o.brokers + 2;
  w.partitions = o.partitions;
  w.producers = o.producers;
  w.consumers = o.consumers;
  w.records_per_second = o.records_per_second;
  w.least_in_sync = least_in_sync(o, tape);
  if (keeps_little(o, tape)) w.topic_config = draw_retention(tape);
  if (compacts(o, tape)) draw_compaction(tape, w);
  if (o.rough) draw_compression(tape, w);
  return w;
}
}  // namespace

Simulation::Simulation(RunOptions options)
    : options_(std::move(options)),
      world_(make_world(options_)),
      promise_(draw_promise(options_, world_.tape())),
      load_(make_load(options_, world_.tape())),
      errands_(draw_errands(options_, world_.tape())),
      changes_(draw_changes(options_, world_.tape()), make_settings(options_, world_.tape(), load_.options())),
      crowd_(draw_crowd(options_, world_.tape())) {
  if (options_.fail_disk) world_.storage(failing()).model().fail_operation = options_.seed / options_.brokers + 1;
  for (HostId h = 0; h < world_.hosts(); ++h) world_.start(h, *this);
  phase_ends_ = options_.boot_limit_ns;
}

// ---- phases

bool Simulation::step(Observer* listener) {
  if (phase_ == Phase::done) return false;
  listener_ = listener;
  const int64_t world_at = world_.next_at();
  const int64_t outside_at =
      std::min({plan_.next_at(), load_.next_at(), errands_at(), changes_at(), crowd_at(), phase_ends_});
  if (outside_at <= world_at) {
    world_.run_until(outside_at, *this);  // only moves the clock
    if (plan_.next_at() <= world_.now()) plan_.act(world_, *this, *this);
    if (errands_at() <= world_.now()) errands_.act(world_);
    if (changes_at() <= world_.now()) changes_.act(world_, view());
    if (crowd_at() <= world_.now()) crowd_.act(world_, load_);
    if (load_.next_at() <= world_.now()) {
      load_.act(world_);
      advance_phase();
    }
    if (phase_ends_ <= world_.now() && phase_ != Phase::done) advance_phase();
  } else {
    world_.step(*this);
  }
  if (verdicts_.list().size() >= kMaxViolations) phase_ = Phase::done;
  listener_ = nullptr;
  return phase_ != Phase::done;
}

void Simulation::advance_phase() {
  const int64_t now = world_.now();
  const bool over = now >= phase_ends_;
  switch (phase_) {
    case Phase::boot:
      if (load_.running() && load_.history().acked() > 0) {
        begin_faults();
      } else if (over) {
        stuck("V boot", "no record was acknowledged within the time to boot");
      }
      return;
    case Phase::faults:
      if (!over) return;
      if (options_.faults) plan_.heal(world_, *this, *this);
      healed_at_ = now;
      phase_ = Phase::healed;
      phase_ends_ = now + options_.after_heal_ns;
      return;
    case Phase::healed:
      if (!over) return;
      load_.stop_producing();
      errands_.settle();
      changes_.settle();
      crowd_.settle();
      load_.read_all(world_);
      phase_ = Phase::draining;
      phase_ends_ = healed_at_ + options_.liveness_limit_ns;
      return;
    case Phase::draining:
      if (load_.history().pending() == 0 && all_read() && all_back() && errands_.settled() && changes_.settled())
        return finish();
      if (over) {
        std::string text = std::to_string(load_.history().pending()) + " records without an answer";
        for (int32_t p = 0; p < load_.partitions(); ++p)
          text += "; partition " + std::to_string(p) + ": committed " +
                  std::to_string(replicas_.committed_end(load_.log(p))) + ", reader " +
                  std::to_string(load_.reader_position(p)) + ", group " + std::to_string(load_.group_position(p));
        stuck("V liveness", text + errands_.waits_for() + changes_.waits_for());
      }
      return;
    case Phase::done: return;
  }
}

void Simulation::begin_faults() {
  const int64_t now = world_.now();
  phase_ = Phase::faults;
  phase_ends_ = now + options_.faults_ns;
  if (options_.fail_disk) {
    world_.ask(failing(), Asked{0, "stop", {}});
    plan_.crash_at(now + options_.faults_ns / 2, failing());
  } else if (options_.faults) {
    FaultOptions f;
    for (HostId h = 0; h < world_.hosts(); ++h) (is_broker(h) ? f.brokers : f.clients).push_back(h);
    std::erase(f.clients, load_.options().reader_host);  // the judge
    f.from = now;
    f.until = phase_ends_;
    f.over_promise = promise_ != Promise::within;
    plan_ = Plan(std::move(f), world_.tape());
  }
}

// Where nothing stays broken every broker must come back and hold all.
bool Simulation::all_back() const {
  for (HostId b = 0; b < options_.brokers && !options_.faults; ++b)
    if (!caught_up(b)) return false;
  return true;
}

bool Simulation::disk_failed() const {
  const Storage& s = world_.storage(failing());
  return options_.fail_disk && s.submitted() >= options_.seed / options_.brokers + 1;
}

// Where the partition's log ends for its readers. Beyond the promise what was committed may be gone.
int64_t Simulation::end_of(int32_t partition) const {
  const LogKey log = load_.log(partition);
  const int32_t leader = leaders_.leader(log);
  if (beyond_promise()) return leader < 0 ? INT64_MAX : replicas_.log_end(log, host_of(leader));
  return std::max(replicas_.committed_end(log), load_.history().last_acked(partition) + 1);
}

bool Simulation::all_read() const {
  for (int32_t p = 0; p < load_.partitions(); ++p) {
    const int64_t end = end_of(p);
    if (load_.reader_position(p) < end || (options_.consumers > 0 && load_.group_position(p) < end)) return false;
  }
  return true;
}

void Simulation::finish() {
  load_.history().finish(world_.now(), 0, verdicts_);
  phase_ = Phase::done;
}

void Simulation::stuck(const char* rule, const std::string& text) {
  verdicts_.add(world_.now(), rule, text);
  if (phase_ == Phase::draining) load_.history().finish(world_.now(), 0, verdicts_);
  phase_ = Phase::done;
}

// ---- what the world tells

void Simulation::trace(int64_t at, HostId host, const TraceEvent& e) {
  if (is_broker(host)) {
    replicas_.trace(at, host, e, verdicts_);
    leaders_.trace(at, host, e, verdicts_);
    load_.trace(at, host, e, verdicts_);
    if (e.kind == TraceKind::raft_role && e.b == kRaftLeader) replicas_.elected(at, host, LogKey{}, e.a, verdicts_);
    plan_.trace(at, host, e, world_);
    if (e.kind == TraceKind::broker_unfenced) {
      unfenced_ |= uint64_t{1} << e.a;
      standing_ |= uint64_t{1} << e.a;
      if (std::popcount(unfenced_) == static_cast<int>(options_.brokers)) load_.cluster_is_whole();
    }
  }
  if (!is_broker(host) && e.kind == TraceKind::client_committed) load_.committed(at, e, replicas_, verdicts_);
  if (listener_) listener_->trace(at, host, e);
}

void Simulation::answered(int64_t at, HostId host, const Answered& a) {
  if (!is_broker(host) && Errands::owns(a.token))
    errands_.answered(at, a, verdicts_);
  else if (!is_broker(host) && Changes::owns(a.token))
    changes_.answered(at, a, view(), verdicts_);
  else if (!is_broker(host))  // a node says that it is ready
    load_.answered(at, a, replicas_, verdicts_);
  if (listener_) listener_->answered(at, host, a);
}

void Simulation::exited(int64_t at, HostId host, const Exit& e) {
  if (is_broker(host) && (phase_ == Phase::faults || options_.fail_disk || world_.storage(host).failing()))
    plan_.exited(at, host);
  else
    verdicts_.add(at, "a process ends by itself",
                  world_.name(host) + " exits with " + std::to_string(e.code) + ": " + e.reason);
  if (listener_) listener_->exited(at, host, e);
}

void Simulation::failed(int64_t at, HostId host, const std::string& text) {
  verdicts_.add(at, "assertion", world_.name(host) + ": " + text);
  if (listener_) listener_->failed(at, host, text);
}

void Simulation::lifecycle(int64_t at, HostId host, HostState state, uint64_t incarnation) {
  if (state == HostState::up) leaders_.restarted(host);
  if (state == HostState::up && !is_broker(host)) load_.restarted(host);
  if (state == HostState::up && host > load_.options().reader_host) crowd_.restarted();
  if (is_broker(host)) standing_ &= ~(uint64_t{1} << node_of(host));
  if (listener_) listener_->lifecycle(at, host, state, incarnation);
}

// ---- what the plan asks

bool Simulation::others_complete(HostId broker) const {
  for (HostId b = 0; b < options_.brokers; ++b)
    if (b != broker && !caught_up(b)) return false;
  return true;
}

bool Simulation::caught_up(HostId broker) const {
  if (world_.state(broker) != HostState::up || !(standing_ >> node_of(broker) & 1)) return false;
  if (!leaders_.in_every_isr(node_of(broker))) return false;
  return replicas_.all_complete(broker);
}

}  // namespace klamm::sim
