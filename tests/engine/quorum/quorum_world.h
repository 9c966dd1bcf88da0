// Quorums of several nodes on fake disks, with a network that carries their encoded messages.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/protocol/record_batch.h"
#include "engine/quorum/quorum.h"
#include "tests/support/fake_storage.h"
#include "tests/support/turns.h"

namespace klamm::quorum {

struct WorldOptions {
  int voters = 3;
  int observers = 0;
  uint64_t seed = 0;  // 0: nothing is lost, the least delay, storage in order
  Flaws flaws;
  int stranger = -1;  // a node of another cluster, by number
};

class World {
 public:
  explicit World(WorldOptions o) : options_(o), random_(o.seed) {
    world_.flaws = o.flaws;
    for (int i = 0; i < o.voters + o.observers; ++i) nodes_.push_back(std::make_unique<Node>());
    for (size_t i = 0; i < nodes_.size(); ++i) boot(i);
  }

  struct Node {
    FakeStorage disk;
    std::unique_ptr<Quorum> quorum;  // none: down
    OpTable ops;
    uint64_t life = 0;
    std::vector<std::string> values;  // read from committed batches, in order
    Offset read_to = 0;
    std::vector<Reply> replies;  // to requests of the test itself
    bool resigned = false;
    std::string fatal;
    bool foreign = false;
    std::vector<Leadership> told;
    bool reads_stall = false;  // of its log
    std::vector<std::pair<Owner, Event>> stalled;
  };
  Node& node(size_t i) { return *nodes_[i]; }
  Quorum& quorum(size_t i) { return *nodes_[i]->quorum; }
  bool up(size_t i) const { return nodes_[i]->quorum != nullptr; }
  size_t size() const { return nodes_.size(); }
  TestWorld& world() { return world_; }
  uint64_t below(uint64_t n) { return options_.seed == 0 || n == 0 ? 0 : next_random() % n; }

  Options quorum_options(size_t i) const {
    Options o;
    o.self = NodeId{static_cast<int32_t>(i) + 1};
    o.directory.bytes[0] = static_cast<uint8_t>(i + 1);
    o.cluster_id = static_cast<int>(i) == options_.stranger ? "another" : "a-cluster";
    o.listener = "CONTROLLER";
    for (int v = 1; v <= options_.voters; ++v)
      o.voters.push_back({NodeId{v}, "host" + std::to_string(v), static_cast<uint16_t>(9000 + v)});
    o.module = 7;
    o.log.segment_bytes = 2'000;
    return o;
  }
  void boot(size_t i) {
    Node& n = *nodes_[i];
    n.quorum = std::make_unique<Quorum>(quorum_options(i));
    n.ops = OpTable();
    ++n.life;
    n.values.clear();
    n.read_to = 0;
    turn(i, [](Quorum& q, Io& io, Out& out) { q.start(io, out); });
  }
  void kill(size_t i, bool power) {
    Node& n = *nodes_[i];
    if (!n.quorum) return;
    n.quorum.reset();
    const auto choose = [this](uint64_t k) { return below(k); };
    if (power)
      n.disk.lose_power(choose);
    else
      n.disk.kill(choose);
    // Those who waited for it learn that it is gone.
    for (const auto& [slot, call] : tickets_[i]) answer_later(call, IoError::aborted, {});
    tickets_[i].clear();
  }

  template<class F>
  void turn(size_t i, F&& f) {
    Node& n = *nodes_[i];
    if (!n.quorum) return;
    Ctx ctx = world_.ctx();
    Commands commands;
    Io io{ctx, commands, n.ops};
    Out out;
    f(*n.quorum, io, out);
    n.quorum->end_turn(io, out);
    read_committed(n, io);
    n.disk.submit(commands);
    for (Call& c : out.calls) carry(i, std::move(c));
    for (Reply& r : out.replies) reply(i, std::move(r));
    if (out.leadership) n.told.push_back(*out.leadership);
    n.resigned |= out.resigned;
    n.foreign |= out.foreign;
    if (!out.fatal.empty()) n.fatal = out.fatal, kill(i, false);
    world_.scratch.arena.reset();
  }

  // ---- the test's own doings
  std::optional<size_t> active() const {
    std::optional<size_t> found;
    for (size_t i = 0; i < nodes_.size(); ++i)
      if (nodes_[i]->quorum && nodes_[i]->quorum->leadership().active &&
          (!found || nodes_[*found]->quorum->leadership().epoch < nodes_[i]->quorum->leadership().epoch))
        found = i;
    return found;
  }
  Result<Offset> propose(size_t i, const std::string& value) {
    Result<Offset> r = fail(ErrorCode::not_controller);
    turn(i, [&](Quorum& q, Io& io, Out& out) {
      const Slice record = Slice::copy(value);
      r = q.propose(io, q.leadership().epoch, {&record, 1}, out);
    });
    return r;
  }
  Ticket ticket(int16_t api, int16_t version) {
    Ticket t;
    t.slot = ++last_slot_;
    t.api = api;
    t.version = version;
    return t;
  }

  // One thing happens: the end of a storage command, a message, or a deadline. False: nothing until `until`.
  bool run_one(Instant until) {
    size_t ready = 0;
    for (const auto& n : nodes_) ready += n->quorum ? n->disk.ready() : 0;
    if (ready > 0 && (messages_.empty() || below(3) != 0)) {
      uint64_t which = below(ready);
      for (size_t i = 0; i < nodes_.size(); ++i) {
        Node& n = *nodes_[i];
        const size_t here = n.quorum ? n.disk.ready() : 0;
        if (which < here) {
          world_.now = world_.now + microseconds(20);
          if (const auto e = n.disk.step(which)) deliver(i, *e);
          return true;
        }
        which -= here;
      }
    }
    Instant at = messages_.empty() ? kNever : Instant{messages_.begin()->first};
    size_t who = nodes_.size();
    for (size_t i = 0; i < nodes_.size(); ++i)
      if (up(i) && quorum(i).next_deadline() < at) at = quorum(i).next_deadline(), who = i;
    if (at == kNever || at > until) {
      world_.now = std::max(world_.now, until);
      return false;
    }
    world_.now = std::max(world_.now, at);
    if (who < nodes_.size()) {
      turn(who, [](Quorum& q, Io& io, Out& out) { q.on_time(io, out); });
      return true;
    }
    const Message m = std::move(messages_.begin()->second);
    messages_.erase(messages_.begin());
    happen(m);
    return true;
  }
  void run_for(Duration d) {
    const Instant until = world_.now + d;
    while (run_one(until)) {
    }
  }
  template<class P>
  bool run_until(P done, Duration patience = seconds(20)) {
    const Instant until = world_.now + patience;
    while (!done())
      if (!run_one(until)) return false;
    return true;
  }
  void calm() { options_.seed = 0; }
  void release(size_t i) {
    for (const auto& [owner, e] : std::exchange(nodes_[i]->stalled, {})) ended(i, owner, e);
  }

 private:
  struct Caller {
    size_t from = 0;
    uint64_t life = 0;
    int16_t api = 0, version = 0;
    Owner owner;
    size_t to = 0;
  };
  struct Message {
    bool answer = false;
    Caller caller;
    Slice body;
    IoError error = IoError::none;
  };

  uint64_t next_random() {
    uint64_t z = random_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  static Slice joined(const std::vector<Slice>& body) {
    Writer w;
    for (const Slice& s : body) w.raw(s.span());
    return w.finish_contiguous();
  }
  void later(Message m) {
    const Duration delay = microseconds(100 + static_cast<int64_t>(below(3000)));
    messages_.emplace((world_.now + delay).ns, std::move(m));
  }
  void answer_later(const Caller& c, IoError error, Slice body) { later({true, c, std::move(body), error}); }

  void carry(size_t from, Call c) {
    Message m;
    m.caller = {from, nodes_[from]->life, c.api, c.version, c.owner, static_cast<size_t>(c.to.value - 1)};
    m.body = joined(c.body);
    if (options_.seed != 0 && below(12) == 0) {  // lost, this way or the other
      messages_.emplace((world_.now + milliseconds(30)).ns, Message{true, m.caller, {}, IoError::timed_out});
      if (below(2) == 0) return;
      m.caller.from = nodes_.size();  // its answer goes nowhere
    }
    later(std::move(m));
  }
  void reply(size_t i, Reply r) {
    const auto at = tickets_[i].find(r.ticket.slot);
    if (at == tickets_[i].end()) return nodes_[i]->replies.push_back(std::move(r));
    const Caller c = at->second;
    tickets_[i].erase(at);
    answer_later(c, r.close ? IoError::aborted : IoError::none, joined(r.body));
  }
  void happen(const Message& m) {
    const Caller& c = m.caller;
    if (m.answer) {
      if (c.from >= nodes_.size() || !up(c.from) || nodes_[c.from]->life != c.life) return;
      net::Answer a;
      a.owner = c.owner;
      a.peer = c.to + 1;
      a.api = c.api;
      a.version = c.version;
      a.error = m.error;
      a.body = m.body;
      return turn(c.from, [&](Quorum& q, Io& io, Out& out) { q.on_answer(io, a, out); });
    }
    if (!up(c.to)) return answer_later(c, IoError::refused, {});
    const Ticket t = ticket(c.api, c.version);
    tickets_[c.to][t.slot] = c;
    turn(c.to, [&](Quorum& q, Io& io, Out& out) { q.on_request(io, t, m.body.span(), out); });
  }
  void deliver(size_t i, const Event& e) {
    Token token;
    if (const auto* x = std::get_if<Ended>(&e)) token = x->token;
    if (const auto* x = std::get_if<ReadEnded>(&e)) token = x->token;
    if (const auto* x = std::get_if<Listed>(&e)) token = x->token;
    const auto owner = nodes_[i]->ops.end(token);
    KLAMM_ASSERT(owner.has_value());
    if (nodes_[i]->reads_stall && std::holds_alternative<ReadEnded>(e))
      nodes_[i]->stalled.emplace_back(*owner, e);
    else
      ended(i, *owner, e);
  }
  void ended(size_t i, const Owner& owner, const Event& e) {
    const StorageEnd end = end_of_command(e).end;
    turn(i, [&](Quorum& q, Io& io, Out& out) { q.on_storage(io, owner, end, out); });
  }
  static void read_committed(Node& n, Io& io) {
    while (n.read_to < n.quorum->committed()) {
      const CommittedRead r = n.quorum->read(io, n.read_to);
      if (r.wait) return;
      KLAMM_ASSERT(r.next > n.read_to);
      for (protocol::BatchCursor batches(r.batches.span()); batches.next();) {
        const auto header = protocol::check_batch(batches.batch());
        KLAMM_ASSERT(header.has_value());
        KLAMM_ASSERT_REL(header->base_offset, ==, n.read_to);
        n.read_to = header->last_offset() + 1;
        if (header->control()) continue;
        const auto open = protocol::OpenBatch::open(*header, batches.batch(), 1 << 20);
        protocol::RecordCursor records = open->records();
        for (protocol::Record rec; records.next(rec);) n.values.emplace_back(as_text(rec.value.span()));
      }
    }
  }

  WorldOptions options_;
  uint64_t random_;
  TestWorld world_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::multimap<int64_t, Message> messages_;
  std::map<size_t, std::map<uint32_t, Caller>> tickets_;
  uint32_t last_slot_ = 0;
};

}  // namespace klamm::quorum
