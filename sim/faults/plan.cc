#include "sim/faults/plan.h"

#include <algorithm>

#include "engine/base/assert.h"

namespace klamm::sim {
namespace {
constexpr int64_t kMs = 1'000'000;
constexpr int64_t kRoom = int64_t{1} << 40;
constexpr int64_t kLittleRoom = 1 << 20;
}  // namespace

Plan::Plan(FaultOptions options, Tape& tape) : options_(std::move(options)) {
  Draws swarm{stream(kSwarm), 1, 0};
  for (size_t i = 0; i < kFaults; ++i) {
    ticks_[i] = {stream(kFaultTick), i, 0};
    // A run has a third of the kinds, each at a rate of its own.
    if (swarm.below(tape, 3) == 2)
      per_mille_[i] = kFaultEntries[i].per_mille * static_cast<uint32_t>(1 + swarm.below(tape, 5));
    else
      swarm.ordinal += 1;
  }
  if (options_.over_promise)
    for (const Fault f : {Fault::power_loss, Fault::power_loss_all})
      per_mille_[static_cast<size_t>(f)] = kFaultEntries[static_cast<size_t>(f)].per_mille * 2;
  most_impaired_ = static_cast<uint32_t>(1 + swarm.below(tape, 3));
  target_ = {stream(kFaultTarget), 0, 0};
  length_ = {stream(kFaultLength), 0, 0};
  next_tick_ = options_.from;
}

int64_t Plan::next_at() const { return std::min(next_tick_, due_.empty() ? kNeverAt : due_.front().at); }

void Plan::later(int64_t at, End what, HostId host, HostId other) {
  const auto place = std::upper_bound(due_.begin(), due_.end(), at, [](int64_t t, const Due& d) { return t < d.at; });
  due_.insert(place, Due{at, what, host, other});
}

void Plan::act(World& w, const Standing& standing, Observer& o) {
  while (!due_.empty() && due_.front().at <= w.now()) {
    const Due due = due_.front();
    due_.erase(due_.begin());
    end(due, w, o);
  }
  if (w.now() >= next_tick_) {
    tick(w, standing, o);
    next_tick_ = next_tick_ + kTick > options_.until ? kNeverAt : next_tick_ + kTick;
  }
}

void Plan::tick(World& w, const Standing& standing, Observer& o) {
  std::erase_if(losers_, [&](HostId h) { return w.state(h) == HostState::up && standing.caught_up(h); });
  for (size_t i = 0; i < kFaults; ++i) {
    const Fault f = static_cast<Fault>(i);
    if (f != Fault::kill_new_leader && ticks_[i].hits(w.tape(), per_mille_[i])) strike(f, w, standing, o);
  }
}

HostId Plan::draw_host(World& w, const std::vector<HostId>& from) {
  KLAMM_ASSERT(!from.empty());
  return from[target_.below(w.tape(), from.size())];
}

// Mostly short, sometimes long.
int64_t Plan::draw_length(World& w, int64_t least, int64_t most) {
  const int64_t ceiling = length_.below(w.tape(), 4) == 3 ? most : least + (most - least) / 8;
  return length_.between(w.tape(), least, ceiling);
}

bool Plan::impaired(World& w, HostId h) const {
  return w.state(h) != HostState::up || w.paused(h) || (h < cut_.size() && cut_[h] > 0);
}

bool Plan::may_impair(World& w, HostId host) const {
  if (options_.over_promise) return true;
  if (!losers_.empty() && losers_[0] != host) return false;
  uint32_t others = 0;
  for (const HostId b : options_.brokers) others += b != host && impaired(w, b);
  return others < most_impaired_;
}

void Plan::fired(Fault f, World& w, HostId host, int64_t a, int64_t b, Observer& o) {
  ++fired_[static_cast<size_t>(f)];
  w.note(host, {TraceKind::fault, 0, static_cast<int32_t>(f), host, a, b}, o);
}

void Plan::block(World& w, HostId from, HostId to, int64_t until) {
  w.network().block(from, to, true);
  cut_.resize(w.hosts());
  ++cut_[from], ++cut_[to];
  later(until, End::unblock, from, to);
}

void Plan::lose_power(World& w, HostId h, const Standing& standing, Observer& o) {
  if (!options_.over_promise) {
    if (!losers_.empty() || !standing.others_complete(h) || w.storage(h).disk().poisoned()) return;
    for (const HostId b : options_.brokers)
      if (impaired(w, b)) return;
    for (const HostId b : options_.brokers)  // no other may die of a failure that is still to come
      w.storage(b).model().fail_syncs = w.storage(b).model().fail_writes = 0;
  }
  fired(Fault::power_loss, w, h, 0, 0, o);
  losers_.push_back(h);
  w.lose_power(h, o);
  later(w.now() + draw_length(w, 10 * kMs, 12'000 * kMs), End::start, h);
}

void Plan::lose_all_power(World& w, Observer& o) {
  if (!options_.over_promise) return;
  for (const HostId h : options_.brokers) {
    fired(Fault::power_loss_all, w, h, 0, 0, o);
    w.lose_power(h, o);
    later(w.now() + draw_length(w, 10 * kMs, 5'000 * kMs), End::start, h);
  }
}

void Plan::strike(Fault f, World& w, const Standing& standing, Observer& o) {
  const HostId h = draw_host(w, options_.brokers);
  const HostId other =
      options_.brokers[(h + 1 + target_.below(w.tape(), options_.brokers.size() - 1)) % options_.brokers.size()];
  const int64_t now = w.now();
  switch (f) {
    case Fault::kill:
    case Fault::kill_new_leader: {
      if (w.state(h) != HostState::up || !may_impair(w, h)) return;
      const int64_t length = draw_length(w, 5 * kMs, 12'000 * kMs);
      fired(f, w, h, length, 0, o);
      w.kill(h, o);
      return later(now + length, End::start, h);
    }
    case Fault::power_loss: return lose_power(w, h, standing, o);
    case Fault::power_loss_all: return lose_all_power(w, o);
    case Fault::pause: {
      if (impaired(w, h) || !may_impair(w, h)) return;
      const int64_t length = draw_length(w, 20 * kMs, 15'000 * kMs);
      fired(f, w, h, length, 0, o);
      w.pause(h, true);
      return later(now + length, End::resume, h);
    }
    case Fault::isolate:
    case Fault::cut_from_brokers: {
      if (!may_impair(w, h)) return;
      const int64_t length = draw_length(w, 50 * kMs, 15'000 * kMs);
      fired(f, w, h, length, 0, o);
      for (HostId x = 0; x < w.hosts(); ++x) {
        const bool is_client = std::find(options_.clients.begin(), options_.clients.end(), x) != options_.clients.end();
        if (x == h || (is_client && f == Fault::cut_from_brokers)) continue;
        block(w, h, x, now + length), block(w, x, h, now + length);
      }
      return;
    }
    case Fault::one_way: {
      if (!may_impair(w, h) || !may_impair(w, other)) return;
      const int64_t length = draw_length(w, 50 * kMs, 15'000 * kMs);
      fired(f, w, h, length, other, o);
      return block(w, h, other, now + length);
    }
    case Fault::bridge: {
      if (!may_impair(w, h) || !may_impair(w, other)) return;
      const int64_t length = draw_length(w, 50 * kMs, 15'000 * kMs);
      fired(f, w, h, length, other, o);
      return block(w, h, other, now + length), block(w, other, h, now + length);
    }
    case Fault::reset: {
      const uint32_t most = static_cast<uint32_t>(1 + target_.below(w.tape(), 4));
      if (w.reset_connections(h, other, most) > 0) fired(f, w, h, other, most, o);
      return;
    }
    case Fault::client_reset: {
      const HostId client = draw_host(w, options_.clients);
      if (w.reset_connections(h, client, 8) > 0) fired(f, w, client, h, 8, o);
      return;
    }
    case Fault::delay_spike: {
      const HostId to = static_cast<HostId>(target_.below(w.tape(), w.hosts()));
      const int64_t extra = draw_length(w, kMs, 1'000 * kMs);
      const int64_t until = now + draw_length(w, 50 * kMs, 5'000 * kMs);
      fired(f, w, h, to, extra, o);
      return w.network().slow_link(h, to, extra, until);
    }
    case Fault::clock_jump: {
      const int64_t by = target_.between(w.tape(), -3'600'000, 3'600'000);
      fired(f, w, h, by, 0, o);
      w.clock(h).jump_wall(milliseconds(by));
      return w.bend_clock(h);
    }
    case Fault::clock_drift: {
      const int64_t ppm = target_.between(w.tape(), -50'000, 50'000);
      fired(f, w, h, ppm, 0, o);
      w.clock(h).drift(now, ppm);
      w.bend_clock(h);
      return later(now + draw_length(w, 100 * kMs, 10'000 * kMs), End::undrift, h);
    }
    case Fault::disk_stall: {
      if (!may_impair(w, h)) return;
      const int64_t length = draw_length(w, 10 * kMs, 8'000 * kMs);
      fired(f, w, h, length, 0, o);
      w.storage(h).model().stalled_until = std::max(w.storage(h).model().stalled_until, now + length);
      return;
    }
    case Fault::failed_sync:
    case Fault::failed_write: {
      if (w.state(h) != HostState::up || !may_impair(w, h)) return;
      // With a loss of power after it this is a disk that lies: no quorum survives as many of them as it likes.
      if (f == Fault::failed_sync && options_.over_promise) return;
      fired(f, w, h, 0, 0, o);
      ++(f == Fault::failed_sync ? w.storage(h).model().fail_syncs : w.storage(h).model().fail_writes);
      return;
    }
    case Fault::client_pause: {
      const HostId client = draw_host(w, options_.clients);
      if (w.paused(client)) return;
      const int64_t length = draw_length(w, 50 * kMs, 15'000 * kMs);
      fired(f, w, client, length, 0, o);
      w.pause(client, true);
      return later(now + length, End::resume, client);
    }
    case Fault::clock_freeze: {
      if (!may_impair(w, h)) return;
      const int64_t length = draw_length(w, 20 * kMs, 10'000 * kMs);
      fired(f, w, h, length, 0, o);
      w.clock(h).freeze(now, true);
      w.bend_clock(h);
      return later(now + length, End::thaw, h);
    }
    case Fault::disk_full: {
      if (w.state(h) != HostState::up || !may_impair(w, h)) return;
      const int64_t length = draw_length(w, 50 * kMs, 8'000 * kMs);
      fired(f, w, h, length, 0, o);
      Disk& disk = w.storage(h).disk();
      disk.set_capacity(kRoom - disk.free_bytes() + kLittleRoom);
      w.space(h);
      return later(now + length, End::room, h);
    }
    case Fault::client_kill: {
      const HostId client = draw_host(w, options_.clients);
      if (w.state(client) != HostState::up) return;
      const int64_t length = draw_length(w, 5 * kMs, 8'000 * kMs);
      fired(f, w, client, length, 0, o);
      w.kill(client, o);
      return later(now + length, End::start, client);
    }
    case Fault::lasting:
    case Fault::count: break;
  }
  KLAMM_ASSERT(false);
}

void Plan::end(const Due& due, World& w, Observer& o) {
  switch (due.end) {
    case End::start: return w.start(due.host, o);
    case End::resume: return w.pause(due.host, false);
    case End::unblock: --cut_[due.host], --cut_[due.other]; return w.network().block(due.host, due.other, false);
    case End::crash:
      later(w.now() + 500 * kMs, End::start, due.host);
      if (w.state(due.host) != HostState::up) return;
      fired(Fault::kill, w, due.host, 500 * kMs, 0, o);
      return w.kill(due.host, o);
    case End::undrift: w.clock(due.host).drift(w.now(), 0); return w.bend_clock(due.host);
    case End::thaw: w.clock(due.host).freeze(w.now(), false); return w.bend_clock(due.host);
    case End::room: w.storage(due.host).disk().set_capacity(kRoom); return w.space(due.host);
    case End::kill:
      if (w.state(due.host) != HostState::up || !may_impair(w, due.host)) return;
      fired(Fault::kill_new_leader, w, due.host, 0, 0, o);
      w.kill(due.host, o);
      return later(w.now() + draw_length(w, 5 * kMs, 12'000 * kMs), End::start, due.host);
  }
}

void Plan::trace(int64_t at, HostId host, const TraceEvent& e, World& world) {
  const size_t i = static_cast<size_t>(Fault::kill_new_leader);
  if (e.kind != TraceKind::became_leader || at < options_.from || at >= options_.until || per_mille_[i] == 0) return;
  if (!ticks_[i].hits(world.tape(), std::min<uint32_t>(per_mille_[i], 900))) return;
  for (const Due& d : due_)
    if (d.end == End::kill && d.host == host) return;
  later(at + length_.between(world.tape(), 1'000, 30 * kMs), End::kill, host);
}

void Plan::exited(int64_t at, HostId host) {
  for (const Due& d : due_)
    if (d.end == End::start && d.host == host) return;
  later(at + 100 * kMs, End::start, host);
}

void Plan::crash_at(int64_t at, HostId host) { later(at, End::crash, host); }

// Liveness must not hang on the heal of everything: a majority that hears itself is enough.
void Plan::keep_one_out(World& w, const Standing& standing, Observer& o) {
  if (options_.over_promise || target_.below(w.tape(), 4) != 3) return;
  const HostId h = draw_host(w, options_.brokers);
  if (!standing.others_complete(h)) return;
  enum : uint64_t { kDead, kCutOff, kDeaf, kMute, kWays };
  const uint64_t way = target_.below(w.tape(), kWays);
  fired(Fault::lasting, w, h, static_cast<int64_t>(way), 0, o);
  if (way == kDead) return w.kill(h, o);
  for (const HostId b : options_.brokers) {
    if (b == h) continue;
    if (way != kDeaf) w.network().block(h, b, true);
    if (way != kMute) w.network().block(b, h, true);
  }
}

void Plan::heal(World& w, const Standing& standing, Observer& o) {
  next_tick_ = kNeverAt;
  std::erase_if(due_, [](const Due& d) { return d.end == End::kill; });
  while (!due_.empty()) {
    const Due due = due_.front();
    due_.erase(due_.begin());
    end(due, w, o);
  }
  for (const HostId b : options_.brokers) {
    w.storage(b).model().stalled_until = std::min(w.storage(b).model().stalled_until, w.now());
    w.storage(b).model().fail_syncs = w.storage(b).model().fail_writes = w.storage(b).model().fail_reads = 0;
    w.start(b, o);
  }
  keep_one_out(w, standing, o);
  options_.until = w.now();
}

}  // namespace klamm::sim
