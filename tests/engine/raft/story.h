// Cores that a story steers by hand: it says when messages arrive, when disks have synced and when time passes, and the
// cores say what they do. All draws are zero.
//
//   boot ID...            the voters of the quorum start (all that are ever named by a `boot`)
//   observe ID...         observers start, or start again
//   deliver [ID -> ID]    messages arrive: all under way now, or those of one direction
//   sync [ID...]          what these (or all) have written becomes durable
//   settle                deliver and sync until nothing is left to do without time
//   wait MS               time passes, for all; nothing arrives
//   live MS               time passes, and everything is settled all the while
//   propose ID VALUE...   as one batch
//   drop ID -> ID         messages of this direction are lost from now on; `heal` ends all that
//   crash ID              with a loss of power: what is not durable is gone
//   stop ID               the replica gives up its leadership and ends
//   show                  a line a replica
//   quiet COMMAND         the same, untold
#pragma once
#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "engine/raft/raft.h"
#include "tests/support/turns.h"

namespace klamm::raft {

class Story {
 public:
  // Carries out one command; returns what happened, a line each.
  std::string run(const std::string& line) {
    out_.str({});
    std::istringstream in(line);
    std::string verb, word;
    in >> verb;
    if (verb == "quiet") {
      run(line.substr(line.find("quiet") + 6));
      return "";
    }
    std::vector<std::string> words;
    while (in >> word)
      if (word != "->") words.push_back(word);
    const auto id = [&](size_t i) { return std::stoi(words.at(i)); };
    if (verb == "boot") {
      for (const std::string& w : words) voters_.insert(NodeId{std::stoi(w)});
      for (size_t i = 0; i < words.size(); ++i) boot(id(i));
    } else if (verb == "observe") {
      for (size_t i = 0; i < words.size(); ++i) boot(id(i));
    } else if (verb == "deliver") {
      deliver(words.empty() ? 0 : id(0), words.empty() ? 0 : id(1));
    } else if (verb == "sync") {
      for (auto& [n, node] : nodes_)
        if (words.empty() || std::count(words.begin(), words.end(), std::to_string(n))) sync(n);
    } else if (verb == "settle") {
      settle();
    } else if (verb == "wait" || verb == "live") {
      wait(milliseconds(id(0)), verb == "live");
    } else if (verb == "propose") {
      for (size_t i = 1; i < words.size(); ++i) values_.push_back(words[i]);
      step(id(0), Propose{static_cast<int32_t>(words.size()) - 1});
      values_.clear();
    } else if (verb == "drop") {
      dropped_.insert({id(0), id(1)});
    } else if (verb == "heal") {
      dropped_.clear();
    } else if (verb == "crash") {
      crash(id(0));
    } else if (verb == "stop") {
      step(id(0), Resign{true});
    } else if (verb == "show") {
      for (auto& [n, node] : nodes_) show(n);
    } else {
      out_ << "? " << line << "\n";
    }
    return out_.str().empty() ? "nothing\n" : out_.str();
  }

 private:
  struct Record {
    LeaderEpoch epoch;
    std::string value;
  };
  struct Held {
    Needs needs;
    std::optional<Send> send;
    std::optional<SendReply> reply;
    std::vector<Record> records;
  };
  struct Node {
    std::optional<Raft> raft;
    std::vector<Record> log;
    Offset durable = 0;  // the log up to here
    HardState hard;      // durable
    uint64_t hard_synced = 0;
    std::deque<Held> held;
  };
  struct Message {
    int from, to;
    uint64_t call;
    bool reply;
    RequestBody request;
    AnswerBody answer;
    std::vector<Record> records;
    std::string text;
  };

  void boot(int n) {
    Node& node = nodes_[n];
    Options o;
    o.self.id = NodeId{n};
    o.voters.assign(voters_.begin(), voters_.end());
    LogState log;
    log.end = log.synced = static_cast<Offset>(node.log.size());
    for (size_t i = 0; i < node.log.size(); ++i) log.epochs.assign({static_cast<Offset>(i), node.log[i].epoch});
    node.raft.emplace(o, node.hard, log);
    node.hard_synced = 0;
    step(n, Start{});
  }
  void crash(int n) {
    Node& node = nodes_[n];
    node.raft.reset();
    node.log.resize(static_cast<size_t>(node.durable));
    node.held.clear();
    out_ << n << " is down\n";
    std::erase_if(messages_, [&](const Message& m) { return m.from == n || m.to == n; });
    std::erase_if(calls_, [&](const auto& c) { return c.second.from == n; });
    for (const auto& [key, call] : calls_)  // whoever waits for its answer sees the connection end
      if (call.to == n) answer_gone(call.from, n, call.call, false);
  }
  void answer_gone(int caller, int gone, uint64_t call, bool refused) {
    Message m{gone, caller, call, true, {}, NoAnswer{.refused = refused}, {}, {}};
    messages_.push_back(std::move(m));
  }

  void step(int n, const Input& input, const std::vector<Record>& records = {}) {
    Node& node = nodes_[n];
    if (!node.raft) return;
    const Role role = node.raft->role();
    const LeaderEpoch epoch = node.raft->epoch();
    const NodeId leader = node.raft->leader();
    Ctx ctx = world_.ctx();
    const Ready r = node.raft->step(ctx, input);
    if (std::holds_alternative<Start>(input) || role != node.raft->role() || epoch != node.raft->epoch() ||
        leader != node.raft->leader())
      out_ << n << " is " << name(node.raft->role()) << " in epoch " << node.raft->epoch() << named_leader(*node.raft)
           << "\n";
    if (r.truncate >= 0) {
      node.log.resize(static_cast<size_t>(r.truncate));
      node.durable = std::min(node.durable, r.truncate);
      out_ << n << " cuts its log at " << r.truncate << "\n";
    }
    if (r.accept) append(n, records);
    for (const Append& a : r.append) {
      std::vector<Record> added;
      if (a.leader_change)
        added.push_back({a.epoch, "leads"});
      else
        for (const std::string& v : values_) added.push_back({a.epoch, v});
      append(n, added);
    }
    if (r.committed) out_ << n << " knows as committed: " << text(node.log, 0, node.raft->committed()) << "\n";
    if (r.fatal) out_ << n << " must end: " << r.fatal << "\n";
    if (r.forget_held) std::erase_if(node.held, [](const Held& h) { return h.send.has_value(); });
    for (const Send& s : r.sends) node.held.push_back({s.needs, s, {}, {}});
    for (const SendReply& s : r.replies) {
      Held h{s.needs, {}, s, {}};
      if (const auto* f = std::get_if<FetchReply>(&s.body); f && f->read_from >= 0)
        h.records.assign(node.log.begin() + f->read_from, node.log.end());
      node.held.push_back(std::move(h));
    }
    release(n);
  }
  void append(int n, const std::vector<Record>& records) {
    Node& node = nodes_[n];
    const size_t from = node.log.size();
    node.log.insert(node.log.end(), records.begin(), records.end());
    out_ << n << " appends " << text(node.log, from, static_cast<Offset>(node.log.size())) << "\n";
  }

  void release(int n) {
    Node& node = nodes_[n];
    std::deque<Held> all = std::move(node.held);
    node.held.clear();
    for (Held& h : all) {
      if (h.needs.hard_state > node.hard_synced || h.needs.log > node.raft->log().synced)
        node.held.push_back(std::move(h));
      else if (h.send)
        send(n, *h.send);
      else
        send_reply(n, *h.reply, std::move(h.records));
    }
  }
  void send(int n, const Send& s) {
    const int to = s.to.value;
    calls_[{n, s.call}] = {n, to, s.call};
    if (!nodes_[to].raft) {
      out_ << n << " -> " << to << " " << text(s.body) << ", refused\n";
      return answer_gone(n, to, s.call, true);
    }
    post({n, to, s.call, false, s.body, {}, {}, text(s.body)});
  }
  void send_reply(int n, const SendReply& r, std::vector<Record> records) {
    const auto at = asked_.find(r.ticket.slot);
    const Asked asked = at->second;
    asked_.erase(at);
    Message m{n, asked.from, asked.call, true, {}, {}, std::move(records), {}};
    if (const auto* f = std::get_if<FetchReply>(&r.body)) {
      FetchAnswer a{f->verdict, f->high_watermark, f->log_start, f->diverging, {}};
      for (size_t i = 0; i < m.records.size(); ++i) {
        const Offset o = f->read_from + static_cast<Offset>(i);
        a.runs.push_back({o, o + 1, m.records[i].epoch});
      }
      m.text = text(f->verdict, "records " + text(m.records, 0, static_cast<Offset>(m.records.size())) +
                                    ", high watermark " + std::to_string(f->high_watermark));
      if (f->diverging)
        m.text = "diverging: epoch " + std::to_string(f->diverging->epoch) + " ends at " +
                 std::to_string(f->diverging->offset);
      m.answer = std::move(a);
    } else if (const auto* v = std::get_if<VoteAnswer>(&r.body)) {
      m.text = text(v->verdict, v->granted ? "granted" : "rejected");
      m.answer = *v;
    } else if (const auto* b = std::get_if<BeginAnswer>(&r.body)) {
      m.text = text(b->verdict, "so be it");
      m.answer = *b;
    } else {
      m.answer = std::get<EndAnswer>(r.body);
      m.text = text(std::get<EndAnswer>(r.body).verdict, "so be it");
    }
    post(std::move(m));
  }
  void post(Message m) {
    const bool lost = dropped_.count({m.from, m.to}) != 0;
    out_ << m.from << " -> " << m.to << " " << m.text << (lost ? ", lost" : "") << "\n";
    if (!lost) messages_.push_back(std::move(m));
  }
  void deliver(int from, int to) {
    std::deque<Message> now;
    std::deque<Message> rest;
    for (Message& m : messages_) ((from == 0 || (m.from == from && m.to == to)) ? now : rest).push_back(std::move(m));
    messages_ = std::move(rest);
    for (Message& m : now) {
      if (!nodes_[m.to].raft) continue;
      if (m.reply) {
        calls_.erase({m.to, m.call});
        step(m.to, Answer{NodeId{m.from}, m.call, m.answer}, m.records);
      } else {
        Ticket t;
        t.slot = ++last_slot_;
        asked_[t.slot] = {m.from, m.call};
        step(m.to, Request{t, m.request});
      }
    }
  }
  bool wants_sync(int n) {
    const Node& node = nodes_[n];
    return node.raft && (node.durable != static_cast<Offset>(node.log.size()) ||
                         node.hard_synced != node.raft->hard_state_version());
  }
  bool busy() {
    if (!messages_.empty()) return true;
    return std::any_of(nodes_.begin(), nodes_.end(), [&](auto& n) { return wants_sync(n.first); });
  }
  void sync(int n) {
    Node& node = nodes_[n];
    if (!wants_sync(n)) return;
    node.durable = static_cast<Offset>(node.log.size());
    node.hard = node.raft->hard_state();
    node.hard_synced = node.raft->hard_state_version();
    step(n, HardStateSynced{node.hard_synced});
    if (node.durable != node.raft->log().synced) step(n, LogSynced{node.durable});
  }
  void settle() {
    for (int round = 0; round < 100 && busy(); ++round) {
      deliver(0, 0);
      for (auto& [n, node] : nodes_) sync(n);
    }
  }
  void wait(Duration d, bool live) {
    const Instant until = world_.now + d;
    while (true) {
      if (live) settle();
      Instant at = until;
      for (auto& [n, node] : nodes_)
        if (node.raft) at = earlier(at, node.raft->next_deadline());
      world_.now = std::max(world_.now, at);
      if (at >= until) break;
      for (auto& [n, node] : nodes_)
        if (node.raft && node.raft->next_deadline() <= at) step(n, Tick{});
    }
    world_.now = until;
  }
  void show(int n) {
    const Node& node = nodes_[n];
    if (!node.raft) {
      out_ << n << " is down, on its disk: " << text(node.log, 0, static_cast<Offset>(node.log.size())) << "\n";
      return;
    }
    out_ << n << " is " << name(node.raft->role()) << " in epoch " << node.raft->epoch() << named_leader(*node.raft)
         << ": " << text(node.log, 0, static_cast<Offset>(node.log.size())) << ", committed up to "
         << node.raft->committed() << "\n";
  }

  // ---- words
  static std::string named_leader(const Raft& r) {
    return r.leader() == kNoNode || r.leader() == r.options().self.id ? ""
                                                                      : ", led by " + std::to_string(r.leader().value);
  }
  static std::string text(const std::vector<Record>& log, size_t from, Offset to) {
    std::string s;
    for (size_t i = from; i < static_cast<size_t>(to); ++i)
      s += (s.empty() ? "" : " ") + log[i].value + "@" + std::to_string(log[i].epoch);
    return s.empty() ? "none" : s;
  }
  static std::string text(const Verdict& v, const std::string& good) {
    if (v.error == ErrorCode::none) return good;
    return std::string(klamm::name(v.error)) + " (epoch " + std::to_string(v.epoch) +
           (v.leader == kNoNode ? "" : ", led by " + std::to_string(v.leader.value)) + ")";
  }
  static std::string text(const RequestBody& body) {
    std::ostringstream s;
    if (const auto* v = std::get_if<VoteRequest>(&body))
      s << (v->pre_vote ? "PreVote" : "Vote") << " in epoch " << v->epoch << " with log end " << v->last.offset << "@"
        << v->last.epoch;
    else if (const auto* b = std::get_if<BeginRequest>(&body))
      s << "BeginQuorumEpoch " << b->epoch;
    else if (const auto* e = std::get_if<EndRequest>(&body))
      s << "EndQuorumEpoch " << e->epoch;
    else if (const auto* f = std::get_if<FetchRequest>(&body))
      s << "Fetch in epoch " << f->epoch << " from " << f->from.offset << "@" << f->from.epoch;
    return s.str();
  }

  struct Call {
    int from, to;
    uint64_t call;
  };
  struct Asked {
    int from;
    uint64_t call;
  };
  std::set<NodeId> voters_;
  std::map<int, Node> nodes_;
  std::deque<Message> messages_;
  std::map<std::pair<int, uint64_t>, Call> calls_;
  std::map<uint32_t, Asked> asked_;
  uint32_t last_slot_ = 0;
  std::set<std::pair<int, int>> dropped_;
  std::vector<std::string> values_;
  TestWorld world_;
  std::ostringstream out_;
};

}  // namespace klamm::raft
