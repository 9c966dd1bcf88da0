#include "server/driver.h"

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "engine/base/assert.h"
#include "server/clock.h"
#include "server/disk.h"
#include "server/listeners.h"
#include "server/loop.h"
#include "server/network.h"
#include "server/os_chance.h"
#include "server/pool.h"
#include "server/trace_ring.h"

namespace klamm::server {
namespace {

// Idle files keep at most half of what connections leave them.
constexpr int64_t kFilesMost = 512, kFilesLeast = 8;

constexpr std::string_view kResolve = "resolve ";  // a machine asks its driver, as Answered says

size_t most_files(int64_t descriptors) {
  return static_cast<size_t>(std::clamp(descriptors_for_files(descriptors) / 2, kFilesLeast, kFilesMost));
}

}  // namespace

struct Driver::Impl {
  explicit Impl(DriverOptions o);
  DriverEnd run();
  void wait();
  void turn();
  void execute(Commands& commands);
  void tell_crowd();
  void finish_sends();
  void give_up(const AssertionFailure& failure);

  template<class Storage>
  void execute_one(Storage& c) {
    disk->execute(c);
  }
  void execute_one(Listen& c);
  void execute_one(Answered& c);
  void look_up(const std::string& host);
  void execute_one(Compute& c) { events.push_back(ReadEnded{c.token, IoError::failed, {}}); }
  void execute_one(Exit& c) { end = {c.code, c.reason}; }
  void execute_one(Adopt& c) { network->execute(c); }
  void execute_one(Refuse& c) { network->execute(c); }
  void execute_one(Dial& c) { network->execute(c); }
  void execute_one(Send& c) { network->execute(c); }
  void execute_one(SendRegion& c) { network->execute(c, disk->lease(c.region.file)); }
  void execute_one(TruncateFile& c) {
    network->cut(disk->held(c.file), c.size);
    disk->execute(c);
  }
  void execute_one(Close& c) { network->execute(c); }
  void execute_one(Pause& c) { network->execute(c); }
  void execute_one(Resume& c) { network->execute(c); }
  void execute_one(Room& c) { network->execute(c); }

  DriverOptions options;
  OsChance chance;
  TraceRing trace;
  Scratch scratch;
  Loop loop;
  std::vector<Event> events;  // what has happened since the last turn
  std::vector<Event> now_taken;
  Commands commands;
  Pool pool;
  Pool senders;              // of regions
  Pool lookups;              // of names, one after the other: each may wait for a server
  std::optional<Disk> disk;  // both end with the run: sockets close, locks are released
  std::optional<Network> network;
  std::unique_ptr<Machine> machine;
  Instant next_look_at_space;
  std::optional<DriverEnd> end;
  bool killed = false;
  bool hurried = false;  // this turn came without waiting
  size_t most_connections = 0;
  bool told_crowd = false;
};

Driver::Impl::Impl(DriverOptions o)
    : options(std::move(o)),
      trace(*options.log, options.boot.directories),
      pool([this] { loop.post([this] { pool.finish(); }); }),
      senders([this] { loop.post([this] { senders.finish(); }); }, 2),
      lookups([this] { loop.post([this] { lookups.finish(); }); }, 1) {
  const int64_t all = options.descriptors > 0 ? options.descriptors : descriptor_limit();
  disk.emplace(Disk::Options{options.boot.directories, most_files(all)}, pool, events);
  most_connections = static_cast<size_t>(all - descriptors_for_files(all));
  network.emplace(loop, senders, Network::Options{std::move(options.sockets), most_connections}, events);
}

DriverEnd Driver::Impl::run() {
  try {
    machine = options.make(options.boot);
    while (!end) {
      wait();
      if (!end) turn();
    }
  } catch (const AssertionFailure& failure) {
    give_up(failure);
  }
  if (!killed) finish_sends();
  pool.stop();
  senders.stop();
  disk.reset();
  network.reset();
  lookups.stop();  // it may wait for a name server: nobody waits for this node meanwhile
  return *end;
}

// Writes that ended with the last turn are told at once, without a look at the sockets; but not twice in a row.
void Driver::Impl::wait() {
  hurried = !events.empty() && !hurried;
  if (hurried) return;
  loop.run_ready(events.empty() ? machine->next_deadline() : Instant{0});
}

void Driver::Impl::turn() {
  const Instant now = monotonic_now();
  if (now >= next_look_at_space || disk->space_in_doubt()) {
    disk->look_at_space();
    next_look_at_space = now + kSpaceInterval;
  }
  now_taken.swap(events);
  Ctx ctx{now, wall_now(), chance, options.boot.flaws, trace, scratch};
  if (!told_crowd && network->turned_away() > 0) tell_crowd();
  machine->turn(ctx, now_taken, commands);
  scratch.arena.reset();
  now_taken.clear();
  execute(commands);
  commands.clear();
}

// Replies leave before the disk is written: no order binds them.
void Driver::Impl::execute(Commands& list) {
  for (Command& command : list) std::visit([this](auto& c) { execute_one(c); }, command);
  network->flush();
  disk->flush();
}

void Driver::Impl::execute_one(Listen& c) {
  if (network->execute(c)) return;
  const BoundListener& l = options.boot.listeners.at(c.listener.value);
  end = {2, l.host + ":" + std::to_string(l.port) + " cannot be listened on: another process has taken it"};
}

void Driver::Impl::execute_one(Answered& c) {
  const std::string_view text = c.bytes.text();
  if (c.token == 0 && text.starts_with(kResolve)) return look_up(std::string(text.substr(kResolve.size())));
  options.answered(c.token, c.last, std::string(text));
}

void Driver::Impl::look_up(const std::string& host) {
  lookups.submit([host] { return numeric_address(host); },
                 [this, host](const std::string& address) {
                   if (address.empty())
                     options.log->warn("server", "max.connections.per.ip.overrides: no address is known for " + host +
                                                     ": it counts for nobody");
                   events.push_back(Asked{0, "resolved", Slice::copy(host + " " + address)});
                 });
}

void Driver::Impl::tell_crowd() {
  told_crowd = true;
  options.log->warn("server", "More than " + std::to_string(most_connections) +
                                  " connections at once, which is what the limit of open files (ulimit -n) leaves "
                                  "room for: others are closed as they come");
}

void Driver::Impl::finish_sends() {
  const Instant until = monotonic_now() + kLastSends;
  while (network->sending() && monotonic_now() < until) loop.run_ready(until);
}

void Driver::Impl::give_up(const AssertionFailure& failure) {
  options.log->error("engine", std::string("Assertion failed: ") + failure.what());
  options.log->error("engine", "The last of the trace:\n" + trace.tail(64));
  if (options.abort_on_assertion) std::abort();
  killed = true;
  end = DriverEnd{kAsserted, std::string("assertion failed: ") + failure.what()};
}

Driver::Driver(DriverOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Driver::~Driver() = default;
DriverEnd Driver::run() { return impl_->run(); }

void Driver::ask(uint64_t token, std::string verb, std::string bytes) {
  impl_->loop.post([impl = impl_.get(), token, verb = std::move(verb), bytes = std::move(bytes)] {
    impl->events.push_back(Asked{token, verb, Slice::copy(bytes)});
  });
}

void Driver::kill() {
  impl_->loop.post([impl = impl_.get()] {
    impl->killed = true;
    impl->end = DriverEnd{kKilled, "killed"};
  });
}

void Driver::block(uint16_t port, bool on) {
  impl_->loop.post([impl = impl_.get(), port, on] { impl->network->block(port, on); });
}

void Driver::inspect(std::function<void(const Machine&)> look) {
  impl_->loop.post([impl = impl_.get(), look = std::move(look)] { look(*impl->machine); });
}

}  // namespace klamm::server
