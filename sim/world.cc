#include "sim/world.h"

#include <algorithm>

#include "engine/base/assert.h"
#include "sim/fold.h"

namespace klamm::sim {
namespace {

// The tape as one incarnation of a host sees it.
class HostChance final : public Chance {
 public:
  HostChance(Tape& tape, uint64_t life) : tape_(tape), life_(life) {}
  uint64_t below(ChoiceKey key, uint64_t n) override { return tape_.below(own(key), n); }
  uint64_t name(ChoiceKey key) override { return tape_.name(own(key)); }

 private:
  ChoiceKey own(ChoiceKey key) const { return {key.stream, mix(life_, key.entity), key.ordinal}; }
  Tape& tape_;
  uint64_t life_;
};

Space space_of(const Disk& disk, uint32_t dir) { return {DirId{dir}, disk.free_bytes(), disk.capacity()}; }

std::vector<std::string> names(const std::vector<HostSpec>& hosts) {
  std::vector<std::string> out;
  for (const HostSpec& h : hosts) out.push_back(h.name);
  return out;
}

}  // namespace

World::World(Tape tape, WorldOptions options, std::vector<HostSpec> hosts)
    : tape_(std::move(tape)), options_(options), network_(names(hosts)) {
  KLAMM_ASSERT_REL(options_.turn_ns, >=, 1);
  network_.model() = options.net;
  for (HostSpec& spec : hosts) {
    const HostId id = static_cast<HostId>(hosts_.size());
    hosts_.emplace_back(id, std::move(spec));
    Host& h = hosts_.back();
    h.trace.host = id;
    h.share = {stream(kTurnShare), id, 0};
    h.storage.model() = options.disk;
    for (uint32_t i = 0; i < h.spec.boot.listeners.size(); ++i)
      network_.bind(id, ListenerId{i}, h.spec.boot.listeners[i].host, h.spec.boot.listeners[i].port);
  }
}

// ---- time

void World::next_turn(int64_t* at, HostId* host) const {
  *at = kNeverAt;
  for (const Host& h : hosts_) {
    if (h.turn_at >= *at) continue;
    *at = h.turn_at;
    *host = h.trace.host;
  }
}

int64_t World::next_at() const {
  int64_t at;
  HostId host = 0;
  next_turn(&at, &host);
  return std::min(at, queue_.next_at());
}

void World::step(Observer& observer) {
  int64_t turn_at;
  HostId host = 0;
  next_turn(&turn_at, &host);
  if (queue_.next_at() <= turn_at) {
    if (queue_.next_at() == kNeverAt) return;
    const Item item = queue_.pop();
    now_ = std::max(now_, item.at);
    return due(item);
  }
  now_ = std::max(now_, turn_at);
  turn(host, observer);
}

void World::run_until(int64_t at, Observer& observer) {
  while (next_at() <= at) step(observer);
  now_ = std::max(now_, at);
}

void World::due(const Item& item) {
  Delivery delivery(*this);
  switch (item.due) {
    case Due::arrival: return network_.arrival(item, net(delivery));
    case Due::syn: return network_.syn(item, net(delivery));
    case Due::syn_ack: return network_.syn_ack(item, net(delivery));
    case Due::region: {
      const int64_t stalled_until = hosts_[item.host()].storage.model().stalled_until;
      if (now_ >= stalled_until) return network_.region(item, net(delivery));
      return queue_.push(stalled_until, item.host(), item.due, item.index, item.generation);
    }
    case Due::storage:
    case Due::barrier: {
      Event end;
      if (hosts_[item.host()].storage.due(item, now_, queue_, tape_, &end)) deliver(item.host(), std::move(end));
    }
  }
}

void World::deliver(HostId id, Event event) {
  Host& h = hosts_[id];
  if (h.state != HostState::up) return;
  if (const auto* sent = std::get_if<Sent>(&event)) {  // at most one a connection a turn
    for (Event& e : h.inbox)
      if (auto* earlier = std::get_if<Sent>(&e); earlier && earlier->conn == sent->conn) {
        earlier->total = sent->total;
        return;
      }
  }
  h.inbox.push_back(std::move(event));
  plan_turn(h);
}

void World::plan_turn(Host& h) {
  if (h.state != HostState::up || h.paused) {
    h.turn_at = kNeverAt;
    return;
  }
  const int64_t wanted = h.inbox.empty() ? h.wake_at : now_;
  h.turn_at = wanted == kNeverAt ? kNeverAt : std::max(wanted, h.busy_until);
}

// ---- turns

void World::take_events(Host& h) {
  events_now_.clear();
  size_t n = h.inbox.size();
  if (options_.draw_turn_share && n > 1 && h.share.below(tape_, 4) == 3) n = 1 + h.share.below(tape_, n);
  if (n >= h.inbox.size()) {
    events_now_.swap(h.inbox);
    return;
  }
  const auto end = h.inbox.begin() + static_cast<ptrdiff_t>(n);
  std::move(h.inbox.begin(), end, std::back_inserter(events_now_));
  h.inbox.erase(h.inbox.begin(), end);
}

void World::turn(HostId id, Observer& o) {
  Host& h = hosts_[id];
  take_events(h);
  h.idle_turns = events_now_.empty() ? h.idle_turns + 1 : 0;
  ++turns_;
  events_ += events_now_.size();
  const Instant local = h.clock.local(now_);
  const Wall wall = h.clock.wall(now_);
  digest_.number(id);
  digest_.number(static_cast<uint64_t>(local.ns));
  digest_.number(static_cast<uint64_t>(wall.ms));
  for (const Event& e : events_now_) fold(digest_, e);

  HostChance chance(tape_, uint64_t{id} << 32 | h.spec.boot.incarnation);
  h.trace.observer = &o;
  h.trace.now = now_;
  commands_.clear();
  scratch_.scratch->arena.reset();
  const int64_t begun = now_;
  try {
    KLAMM_ASSERT_REL(h.idle_turns, <, kMaxIdleTurns);
    Ctx ctx{local, wall, chance, h.spec.boot.flaws, h.trace, *scratch_.scratch};
    h.machine.get()->turn(ctx, events_now_, commands_);
    fold(digest_, commands_);
    now_ = begun + options_.turn_ns;  // commands leave when the turn ends
    execute(id, o);
    now_ = begun;
    if (h.state != HostState::up) return;
    h.busy_until = begun + options_.turn_ns;
    h.wake_at = h.clock.first_at(h.machine.get()->next_deadline(), h.busy_until);
  } catch (const AssertionFailure& e) {
    now_ = begun;
    fail(id, e.what(), o);
  }
  plan_turn(h);
}

void World::execute(HostId id, Observer& o) {
  Delivery delivery(*this);
  hosts_[id].storage.begin_turn();
  for (Command& c : commands_) execute_one(id, c, net(delivery), o);
  if (hosts_[id].state == HostState::up) network_.flush(id, net(delivery));
}

void World::execute_one(HostId id, Command& c, NetIo io, Observer& o) {
  Host& h = hosts_[id];
  if (h.state != HostState::up) return;  // it has exited earlier in this turn
  const auto store = [&](auto& command) { h.storage.submit(std::move(command), now_, queue_, tape_); };
  struct Run {
    World& w;
    HostId id;
    NetIo io;
    Observer& o;
    decltype(store)& to_storage;
    void operator()(Listen& x) { w.network_.listen(id, x.listener); }
    void operator()(Adopt& x) { w.network_.adopt(id, x, io); }
    void operator()(Refuse& x) { w.network_.refuse(id, x, io); }
    void operator()(Dial& x) { w.network_.dial(id, x, io); }
    void operator()(Send& x) { w.network_.send(id, std::move(x)); }
    void operator()(SendRegion& x) { w.network_.send(id, x, w.hosts_[id].storage.lease(x.region.file)); }
    void operator()(Close& x) { w.network_.close(id, x, io); }
    void operator()(Pause& x) { w.network_.pause(id, x, true, io); }
    void operator()(Resume& x) { w.network_.pause(id, Pause{x.conn}, false, io); }
    void operator()(Room&) {}
    void operator()(OpenFile& x) { to_storage(x); }
    void operator()(CloseFile& x) { to_storage(x); }
    void operator()(WriteFile& x) { to_storage(x); }
    void operator()(TruncateFile& x) {
      w.network_.cut(id, w.hosts_[id].storage.lease(x.file), x.size, io);
      to_storage(x);
    }
    void operator()(SyncFile& x) { to_storage(x); }
    void operator()(ReadFile& x) { to_storage(x); }
    void operator()(LoadFile& x) { to_storage(x); }
    void operator()(ListDir& x) { to_storage(x); }
    void operator()(MakeDir& x) { to_storage(x); }
    void operator()(Rename& x) { to_storage(x); }
    void operator()(Remove& x) { to_storage(x); }
    void operator()(SyncDir& x) { to_storage(x); }
    void operator()(LockDir& x) { to_storage(x); }
    void operator()(Answered& x) { o.answered(w.now_, id, x); }
    void operator()(Compute& x) { w.deliver(id, ReadEnded{x.token, IoError::failed, {}}); }
    void operator()(Exit& x) {
      w.network_.flush(id, io);
      o.exited(w.now_, id, x);
      w.end_process(id, false, o);
    }
  };
  std::visit(Run{*this, id, io, o, store}, c);
}

// ---- hosts

void World::start(HostId id, Observer& o) {
  Host& h = hosts_[id];
  if (h.state == HostState::up || h.broken) return;
  if (h.state == HostState::off) h.clock.reboot(now_);
  h.state = HostState::up;
  h.paused = false;
  ++h.spec.boot.incarnation;
  try {
    h.machine.machine = h.spec.factory(h.spec.boot);
  } catch (const AssertionFailure& e) {
    return fail(id, e.what(), o);
  }
  h.inbox.clear();
  h.idle_turns = 0;
  network_.set_host(id, HostNet::running);
  for (uint32_t i = 0; i < h.storage.disk().directories(); ++i) h.inbox.push_back(space_of(h.storage.disk(), i));
  h.busy_until = now_;
  h.wake_at = now_;
  plan_turn(h);
  o.lifecycle(now_, id, HostState::up, h.spec.boot.incarnation);
}

void World::end_process(HostId id, bool power, Observer& o) {
  Host& h = hosts_[id];
  Delivery delivery(*this);
  if (power) {
    network_.power_lost(id);
    h.storage.lose_power(tape_);
  } else if (h.state == HostState::up) {
    network_.process_ended(id, net(delivery));
    h.storage.crash(tape_);
  }
  h.state = power ? HostState::off : HostState::down;
  h.machine.machine.reset();
  h.inbox.clear();
  h.wake_at = h.turn_at = kNeverAt;
  o.lifecycle(now_, id, h.state, h.spec.boot.incarnation);
}

void World::kill(HostId id, Observer& o) {
  if (hosts_[id].state == HostState::up) end_process(id, false, o);
}

void World::lose_power(HostId id, Observer& o) {
  if (hosts_[id].state != HostState::off) end_process(id, true, o);
}

void World::fail(HostId id, const char* what, Observer& o) {
  hosts_[id].broken = true;
  end_process(id, false, o);
  o.failed(now_, id, what);
}

void World::pause(HostId id, bool on) {
  Host& h = hosts_[id];
  h.paused = on;
  plan_turn(h);
}

void World::ask(HostId id, Asked what) { deliver(id, std::move(what)); }

uint32_t World::reset_connections(HostId a, HostId b, uint32_t most) {
  Delivery delivery(*this);
  return network_.reset(a, b, most, net(delivery));
}

void World::bend_clock(HostId id) {
  Host& h = hosts_[id];
  if (h.state != HostState::up) return;
  h.wake_at = h.clock.first_at(h.machine.get()->next_deadline(), std::max(now_, h.busy_until));
  plan_turn(h);
}

void World::space(HostId id) {
  const Disk& disk = hosts_[id].storage.disk();
  for (uint32_t i = 0; i < disk.directories(); ++i) deliver(id, space_of(disk, i));
}

}  // namespace klamm::sim
