// The simulated world: hosts with machines, clocks and disks, a network between them, and virtual time.
// A value: a copy is a fork that goes on by itself, to the same digest if nothing else is done to it.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/digest.h"
#include "engine/env/boot.h"
#include "engine/env/machine.h"
#include "sim/clock.h"
#include "sim/network.h"
#include "sim/queue.h"
#include "sim/storage.h"
#include "sim/tape.h"

namespace klamm::sim {

// Makes a host's machine. A plain function: it has no state that a fork would have to copy.
using Factory = std::unique_ptr<Machine> (*)(const Boot&);

struct HostSpec {
  std::string name;  // also its address
  Factory factory = nullptr;
  Boot boot;  // incarnation is the world's
};

enum class HostState : uint8_t { down, off, up };

// What the world tells those who watch: checkers, workload, story. Called in the order of events; changes nothing.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void trace(int64_t, HostId, const TraceEvent&) {}
  virtual void answered(int64_t, HostId, const Answered&) {}
  virtual void exited(int64_t, HostId, const Exit&) {}
  virtual void failed(int64_t, HostId, const std::string&) {}  // an assertion: the host is down for good
  virtual void lifecycle(int64_t, HostId, HostState, uint64_t incarnation) { (void)incarnation; }
};

struct WorldOptions {
  NetModel net;
  DiskModel disk;
  int64_t turn_ns = 1'000;       // what a turn takes, at least 1
  bool draw_turn_share = false;  // not all that is ready shares a turn
};

class World final {
 public:
  World(Tape tape, WorldOptions options, std::vector<HostSpec> hosts);
  static constexpr uint32_t kMaxIdleTurns = 200'000;  // in a row at one host, without an event: it spins

  // ---- time
  int64_t now() const { return now_; }
  int64_t next_at() const;                         // of the next thing that happens by itself
  void step(Observer& observer);                   // one due item or one turn
  void run_until(int64_t at, Observer& observer);  // everything before and at `at`; then now() == at
  uint64_t digest() const { return digest_.value(); }
  uint64_t events() const { return events_; }
  uint64_t turns() const { return turns_; }

  // ---- hosts
  uint32_t hosts() const { return static_cast<uint32_t>(hosts_.size()); }
  HostState state(HostId h) const { return hosts_[h].state; }
  bool paused(HostId h) const { return hosts_[h].paused; }
  const std::string& name(HostId h) const { return hosts_[h].spec.name; }
  const Machine* machine(HostId h) const { return hosts_[h].machine.get(); }
  const Trace& host_trace(HostId h) const { return hosts_[h].trace; }
  const Boot& boot(HostId h) const { return hosts_[h].spec.boot; }
  Storage& storage(HostId h) { return hosts_[h].storage; }
  const Storage& storage(HostId h) const { return hosts_[h].storage; }
  Clock& clock(HostId h) { return hosts_[h].clock; }
  Network& network() { return network_; }
  Tape& tape() { return tape_; }

  void start(HostId h, Observer& o);       // a new process, on the disk as it is
  void kill(HostId h, Observer& o);        // the page cache stays
  void lose_power(HostId h, Observer& o);  // it does not
  void pause(HostId h, bool on);
  void ask(HostId h, Asked what);
  uint32_t reset_connections(HostId a, HostId b, uint32_t most);
  void bend_clock(HostId h);  // call after changing clock(h): its deadline is computed anew
  void space(HostId h);       // tell it the free space of its disks
  void note(HostId h, const TraceEvent& e, Observer& o) { o.trace(now_, h, e); }

 private:
  class HostTrace final : public Trace {
   public:
    void event(const TraceEvent& e) override { observer->trace(now, host, e); }
    Observer* observer = nullptr;  // during a turn
    int64_t now = 0;
    HostId host = 0;
  };
  struct MachineBox {  // a machine that copies
    std::unique_ptr<Machine> machine;
    MachineBox() = default;
    MachineBox(const MachineBox& o) : machine(o.machine ? o.machine->clone() : nullptr) {}
    MachineBox(MachineBox&&) noexcept = default;
    MachineBox& operator=(const MachineBox& o) { return *this = MachineBox(o); }
    MachineBox& operator=(MachineBox&&) noexcept = default;
    Machine* get() const { return machine.get(); }
  };
  struct ScratchBox {  // memory that does not
    std::unique_ptr<Scratch> scratch = std::make_unique<Scratch>();
    ScratchBox() = default;
    ScratchBox(const ScratchBox&) {}
    ScratchBox& operator=(const ScratchBox&) { return *this; }
    ScratchBox(ScratchBox&&) noexcept = default;
    ScratchBox& operator=(ScratchBox&&) noexcept = default;
  };
  struct Host {
    Host(HostId id, HostSpec s)
        : spec(std::move(s)), storage(id, static_cast<uint32_t>(spec.boot.directories.size())) {}
    HostSpec spec;
    HostState state = HostState::down;
    bool paused = false;
    bool broken = false;  // an assertion failed: never touched again
    MachineBox machine;
    Clock clock;
    Storage storage;
    HostTrace trace;
    std::vector<Event> inbox;
    int64_t wake_at = kNeverAt;  // its machine's deadline
    int64_t busy_until = 0;
    int64_t turn_at = kNeverAt;  // derived: when it has its next turn
    uint32_t idle_turns = 0;
    Draws share;
  };
  class Delivery final : public Inboxes {
   public:
    explicit Delivery(World& w) : world_(w) {}
    void deliver(HostId host, Event event) override { world_.deliver(host, std::move(event)); }
    int64_t region_due(HostId host) override {
      return world_.hosts_[host].storage.region_due(world_.now_, world_.tape_);
    }
    Slice region(HostId host, uint64_t inode, int64_t offset, uint32_t size) override {
      return world_.hosts_[host].storage.region(inode, offset, size);
    }

   private:
    World& world_;
  };

  NetIo net(Delivery& d) { return {now_, queue_, tape_, d}; }
  void deliver(HostId h, Event event);
  void plan_turn(Host& h);
  void next_turn(int64_t* at, HostId* host) const;
  void due(const Item& item);
  void turn(HostId id, Observer& o);
  void take_events(Host& h);
  void execute(HostId id, Observer& o);
  void execute_one(HostId id, Command& c, NetIo io, Observer& o);
  void end_process(HostId id, bool power, Observer& o);
  void fail(HostId id, const char* what, Observer& o);

  Tape tape_;
  WorldOptions options_;
  int64_t now_ = 0;
  Queue queue_;
  Network network_;
  std::vector<Host> hosts_;
  Digest digest_;
  uint64_t events_ = 0;
  uint64_t turns_ = 0;
  std::vector<Event> events_now_;
  Commands commands_;
  ScratchBox scratch_;
};

}  // namespace klamm::sim
