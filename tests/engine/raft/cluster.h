// A little world for raft cores: a network that loses, delays and doubles, disks that forget what was not synced, and
// the laws of KRaft checked after every step.
#pragma once
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/base/visit.h"
#include "engine/raft/raft.h"

namespace klamm::raft {

struct ClusterOptions {
  int voters = 3;
  int observers = 0;
  uint64_t seed = 1;
  Flaws flaws;
  int lose_percent = 10;   // of requests and of answers, each
  int double_percent = 5;  // of requests
  Duration delay_most = milliseconds(5);
  Duration sync_most = milliseconds(3);
  bool dull = false;  // every draw of the cores is 0
};

class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Cluster {
 public:
  struct Entry {
    LeaderEpoch epoch = 0;
    int64_t value = 0;
    friend bool operator==(const Entry&, const Entry&) = default;
  };

  explicit Cluster(ClusterOptions o) : options_(o), random_(o.seed), nodes_(o.voters + o.observers) {
    for (size_t i = 0; i < nodes_.size(); ++i) boot(i);
  }

  // ---- faults and work
  enum class Crash { process, power };
  void crash(size_t i, Crash kind) {
    Node& n = nodes_[i];
    if (!n.raft) return;
    n.raft.reset();
    ++n.life;
    n.held.clear();
    for (const auto& [slot, route] : n.tickets) no_answer(route, i, false);  // its connections break
    n.tickets.clear();
    if (kind == Crash::process) {
      n.hard_durable = n.hard_written;  // what was written is visible to the next process
    } else {
      // Of what was not synced, the disk keeps some.
      if (below(2) == 0) n.hard_durable = n.hard_written;
      std::vector<Entry> kept = n.durable;
      if (n.log.size() > kept.size() && std::equal(kept.begin(), kept.end(), n.log.begin()))
        kept.insert(kept.end(), n.log.begin() + kept.size(),
                    n.log.begin() + kept.size() + below(n.log.size() - kept.size() + 1));
      n.log = kept;
    }
    n.hard_written = n.hard_durable;
    n.durable = n.log;  // a restart syncs what it has recovered
  }
  void restart(size_t i) {
    if (!nodes_[i].raft) boot(i);
  }
  void cut(size_t a, size_t b, bool cut) { cuts_[{a, b}] = cut; }  // directed
  void heal() { cuts_.clear(); }
  void calm() { options_.lose_percent = options_.double_percent = 0; }
  std::optional<size_t> leader() const {  // of the highest epoch
    std::optional<size_t> found;
    for (size_t i = 0; i < nodes_.size(); ++i)
      if (nodes_[i].raft && nodes_[i].raft->role() == Role::leader &&
          (!found || nodes_[*found].raft->epoch() < nodes_[i].raft->epoch()))
        found = i;
    return found;
  }
  bool propose() {
    const auto l = leader();
    if (!l) return false;
    propose_value_ = ++last_value_;
    step(*l, Propose{1});
    return true;
  }
  void resign(size_t i, bool stopping) {
    if (nodes_[i].raft) step(i, Resign{stopping});
  }

  // Lets the next thing happen, not later than `until`; false if there was none.
  bool run_one(Instant until) {
    Instant at = events_.empty() ? kNever : Instant{events_.begin()->first};
    size_t who = nodes_.size();
    for (size_t i = 0; i < nodes_.size(); ++i)
      if (nodes_[i].raft && nodes_[i].raft->next_deadline() < at) at = nodes_[i].raft->next_deadline(), who = i;
    if (at > until || at == kNever) {
      now_ = until;
      return false;
    }
    now_ = std::max(now_, at);
    ++steps_;
    if (who < nodes_.size()) {
      const uint64_t before = state_hash(*nodes_[who].raft);
      step(who, Tick{});
      if (nodes_[who].raft && state_hash(*nodes_[who].raft) == before)
        throw Violation("a tick of node " + std::to_string(who + 1) + " changes nothing" + text());
      return true;
    }
    Event e = std::move(events_.begin()->second);
    events_.erase(events_.begin());
    happen(e);
    return true;
  }
  void run_for(Duration d) {
    const Instant until = now_ + d;
    while (run_one(until)) {
    }
  }
  template<class P>
  bool run_until(P done, Duration patience) {
    const Instant until = now_ + patience;
    while (!done())
      if (!run_one(until)) return false;
    return true;
  }

  Instant now() const { return now_; }
  uint64_t steps() const { return steps_; }
  size_t size() const { return nodes_.size(); }
  bool up(size_t i) const { return nodes_[i].raft.has_value(); }
  const Raft& raft(size_t i) const { return *nodes_[i].raft; }
  const std::vector<Entry>& log(size_t i) const { return nodes_[i].log; }
  const std::vector<Entry>& committed() const { return committed_; }
  std::string text() const {  // a line a node
    std::string out = "\n" + std::to_string(committed_.size()) + " committed\n";
    for (size_t i = 0; i < nodes_.size(); ++i) {
      out += std::to_string(i + 1) + ": ";
      if (!nodes_[i].raft) {
        out += "down\n";
        continue;
      }
      const Raft& r = *nodes_[i].raft;
      out += std::string(name(r.role())) + " epoch " + std::to_string(r.epoch()) + " leader " +
             std::to_string(r.leader().value) + " end " + std::to_string(r.log().end) + " synced " +
             std::to_string(r.log().synced) + " committed " + std::to_string(r.committed()) + "\n";
    }
    return out;
  }
  uint64_t below(uint64_t n) { return n == 0 ? 0 : next_random() % n; }
  const std::vector<std::string>& fatals() const { return fatals_; }

 private:
  struct Route {  // who waits for a reply
    size_t from = 0;
    uint64_t life = 0;
    uint64_t call = 0;
  };
  struct Held {
    Needs needs;
    std::optional<Send> send;
    std::optional<SendReply> reply;
    std::vector<Entry> entries;  // with a fetch reply
  };
  struct Node {
    std::optional<Raft> raft;
    uint64_t life = 0;
    std::vector<Entry> log;      // as the process sees it
    std::vector<Entry> durable;  // as it is after a power loss
    HardState hard_written, hard_durable;
    std::vector<Held> held;
    std::map<uint32_t, Route> tickets;
    uint64_t hard_synced = 0;
    bool syncing = false;
    LeaderEpoch highest_epoch = 0;  // told to anybody; over all lives
  };
  struct Event {
    enum Kind { request, answer, log_synced, hard_synced } kind;
    size_t node = 0;
    uint64_t life = 0;  // of the node; 0: any
    size_t from = 0;
    uint64_t from_life = 0;
    uint64_t call = 0;
    RequestBody body;
    AnswerBody answer_body;
    std::vector<Entry> entries;
    uint64_t version = 0;
    HardState hard;
  };
  struct Draws final : Chance {
    explicit Draws(Cluster& c) : cluster(c) {}
    Cluster& cluster;
    uint64_t below(ChoiceKey, uint64_t n) override { return cluster.options_.dull ? 0 : cluster.below(n); }
    uint64_t name(ChoiceKey) override { return cluster.next_random(); }
  };

  uint64_t next_random() {
    uint64_t z = random_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  bool percent(int p) { return below(100) < static_cast<uint64_t>(p); }
  static std::vector<Run> runs(const std::vector<Entry>& entries, Offset base) {
    std::vector<Run> out;
    for (const Entry& e : entries) {
      if (out.empty() || out.back().epoch != e.epoch) out.push_back({base, base, e.epoch});
      out.back().end = ++base;
    }
    return out;
  }

  void boot(size_t i) {
    Node& n = nodes_[i];
    Options o;
    o.self = {NodeId{static_cast<int32_t>(i) + 1}, {}};
    for (int v = 1; v <= options_.voters; ++v) o.voters.push_back(NodeId{v});
    LogState log;
    for (const Run& r : runs(n.log, 0)) log.epochs.assign({r.base, r.epoch});
    log.end = log.synced = static_cast<Offset>(n.log.size());
    n.raft.emplace(o, n.hard_durable, log);
    n.hard_synced = 0;
    n.syncing = false;
    step(i, Start{});
  }

  void step(size_t i, const Input& input, const std::vector<Entry>& carried = {}) {
    Node& n = nodes_[i];
    Draws draws(*this);
    Ctx ctx{now_, Wall{0}, draws, options_.flaws, trace_, scratch_};
    const Offset committed_before = n.raft->committed();
    const bool led = n.raft->role() == Role::leader;
    Ready r = n.raft->step(ctx, input);
    if (r.fatal) {
      fatals_.push_back(r.fatal);
      return crash(i, Crash::process);
    }
    if (r.truncate >= 0) n.log.resize(r.truncate);
    if (r.accept) n.log.insert(n.log.end(), carried.begin(), carried.end());
    for (const Append& a : r.append) {
      for (int k = 0; k < a.records; ++k) n.log.push_back({a.epoch, a.leader_change ? -a.epoch : propose_value_});
    }
    if (static_cast<Offset>(n.log.size()) != n.raft->log().end) throw Violation("the core has lost count of its log");
    if (r.persist) save(i);
    if (r.forget_held) std::erase_if(n.held, [](const Held& h) { return h.send.has_value(); });
    for (Send& s : r.sends) n.held.push_back({s.needs, s, {}, {}});
    for (SendReply& s : r.replies) {
      Held h{s.needs, {}, s, {}};
      if (const auto* f = std::get_if<FetchReply>(&s.body); f && f->read_from >= 0)
        for (size_t at = f->read_from; at < n.log.size() && h.entries.size() < 8; ++at) h.entries.push_back(n.log[at]);
      n.held.push_back(std::move(h));
    }
    check(i, committed_before, led);
    sync(i);
    release(i);
  }

  void save(size_t i) {
    Node& n = nodes_[i];
    n.hard_written = n.raft->hard_state();
    Event e{Event::hard_synced, i, n.life + 1};
    e.version = n.raft->hard_state_version();
    e.hard = n.hard_written;
    if (!options_.flaws.raft_no_flush) later(options_.sync_most, e);
  }
  void sync(size_t i) {
    Node& n = nodes_[i];
    if (n.syncing || options_.flaws.raft_no_flush || n.log == n.durable) return;
    n.syncing = true;
    Event e{Event::log_synced, i, n.life + 1};
    e.entries = n.log;
    later(options_.sync_most, e);
  }
  void later(Duration most, Event e) {
    events_.emplace(now_.ns + 1000 + static_cast<int64_t>(below(most.ns)), std::move(e));
  }

  void release(size_t i) {
    Node& n = nodes_[i];
    std::vector<Held> leaving;
    std::erase_if(n.held, [&](Held& h) {
      if (h.needs.hard_state > n.hard_synced || h.needs.log > n.raft->log().synced) return false;
      leaving.push_back(std::move(h));
      return true;
    });
    for (Held& h : leaving) {
      n.highest_epoch = std::max(n.highest_epoch, n.raft->epoch());
      if (h.send)
        send(i, *h.send);
      else
        send_reply(i, *h.reply, std::move(h.entries));
    }
  }
  void send(size_t i, const Send& s) {
    const size_t to = s.to.value - 1;
    Event e{Event::request, to, 0, i, nodes_[i].life, s.call, s.body};
    if (percent(options_.lose_percent) || cut_off(i, to)) {
      Event none{Event::answer, i, nodes_[i].life + 1, to, 0, s.call};
      none.answer_body = NoAnswer{};
      events_.emplace(now_.ns + milliseconds(50).ns, none);
      if (below(2) == 0 || cut_off(i, to)) return;  // else only the answer is lost
      e.call = 0;
    }
    if (percent(options_.double_percent)) {
      Event twin = e;
      twin.call = 0;
      later(options_.delay_most * 20, twin);
    }
    later(options_.delay_most, e);
  }
  void send_reply(size_t i, const SendReply& s, std::vector<Entry> entries) {
    const auto at = nodes_[i].tickets.find(s.ticket.slot);
    if (at == nodes_[i].tickets.end()) throw Violation("a ticket is answered twice, or nobody's");
    const Route route = at->second;
    nodes_[i].tickets.erase(at);
    if (route.call == 0) return;
    Event e{Event::answer, route.from, route.life + 1, i, 0, route.call};
    e.entries = std::move(entries);
    if (percent(options_.lose_percent) || cut_off(i, route.from)) {
      e.answer_body = NoAnswer{};
    } else if (const auto* f = std::get_if<FetchReply>(&s.body)) {
      FetchAnswer a{f->verdict, f->high_watermark, f->log_start, f->diverging, f->snapshot, {}};
      if (f->read_from >= 0) a.runs = runs(e.entries, f->read_from);
      e.answer_body = a;
    } else if (const auto* v = std::get_if<VoteAnswer>(&s.body)) {
      e.answer_body = *v;
    } else if (const auto* b = std::get_if<BeginAnswer>(&s.body)) {
      e.answer_body = *b;
    } else {
      e.answer_body = std::get<EndAnswer>(s.body);
    }
    later(options_.delay_most, e);
  }
  void no_answer(const Route& route, size_t by, bool refused) {
    if (route.call == 0) return;
    Event e{Event::answer, route.from, route.life + 1, by, 0, route.call};
    e.answer_body = NoAnswer{.refused = refused};
    later(options_.delay_most, e);
  }
  bool cut_off(size_t a, size_t b) const {
    const auto at = cuts_.find({a, b});
    return at != cuts_.end() && at->second;
  }

  void happen(Event& e) {
    Node& n = nodes_[e.node];
    const bool alive = n.raft && (e.life == 0 || e.life == n.life + 1);
    switch (e.kind) {
      case Event::request:
        if (alive) {
          const uint32_t slot = ++last_slot_;
          n.tickets[slot] = {e.from, e.from_life, e.call};
          Ticket t;
          t.slot = slot;
          step(e.node, Request{t, e.body});
        } else if (e.call != 0) {
          no_answer({e.from, e.from_life, e.call}, e.node, true);
        }
        return;
      case Event::answer:
        if (alive) step(e.node, Answer{NodeId{static_cast<int32_t>(e.from) + 1}, e.call, e.answer_body}, e.entries);
        return;
      case Event::log_synced: {
        if (!alive) return;
        n.syncing = false;
        n.durable = e.entries;
        size_t same = 0;
        while (same < n.log.size() && same < e.entries.size() && n.log[same] == e.entries[same]) ++same;
        step(e.node, LogSynced{static_cast<Offset>(same)});
        return;
      }
      case Event::hard_synced:
        if (!alive || e.version <= n.hard_synced) return;
        n.hard_synced = e.version;
        n.hard_durable = e.hard;
        step(e.node, HardStateSynced{e.version});
        return;
    }
  }

  // ---- the laws
  void check(size_t i, Offset committed_before, bool led) {
    const Node& n = nodes_[i];
    const Raft& r = *n.raft;
    const std::string who = "node " + std::to_string(i + 1) + " in epoch " + std::to_string(r.epoch());
    if (r.epoch() < n.highest_epoch) throw Violation("MonotonicEpoch: " + who);
    if (r.leader() != kNoNode) {
      const auto [at, fresh] = leaders_.emplace(r.epoch(), r.leader());
      if (!fresh && at->second != r.leader()) throw Violation("ElectionSafety: " + who);
    }
    if (r.role() == Role::leader && !led) {
      if (n.log.size() < committed_.size() || !std::equal(committed_.begin(), committed_.end(), n.log.begin()))
        throw Violation("LeaderCompleteness: " + who);
    }
    if (r.committed() < committed_before) throw Violation("MonotonicHighWatermark: " + who);
    for (Offset o = std::max<Offset>(committed_before, 0); o < r.committed(); ++o) {
      if (o < static_cast<Offset>(committed_.size())) {
        if (!(committed_[o] == n.log[o])) throw Violation("LogMatching: " + who + " at " + std::to_string(o));
      } else {
        committed_.push_back(n.log[o]);
      }
    }
  }

  ClusterOptions options_;
  uint64_t random_;
  Instant now_{1'000'000};
  uint64_t steps_ = 0;
  std::vector<Node> nodes_;
  std::multimap<int64_t, Event> events_;
  std::map<std::pair<size_t, size_t>, bool> cuts_;
  std::map<LeaderEpoch, NodeId> leaders_;
  std::vector<Entry> committed_;  // what anybody ever knew to be committed
  std::vector<std::string> fatals_;
  int64_t last_value_ = 0;
  int64_t propose_value_ = 0;
  uint32_t last_slot_ = 0;
  NoTrace trace_;
  Scratch scratch_;
};

}  // namespace klamm::raft
