#include "sim/story.h"

#include <cstdio>

#include "engine/broker/node.h"
#include "engine/env/event.h"
#include "engine/group/rules.h"
#include "engine/raft/raft.h"
#include "sim/checkers/verdicts.h"
#include "sim/faults/kinds.h"

namespace klamm::sim {
namespace {
std::string n(int64_t v) { return std::to_string(v); }
std::string length(int64_t ns) {
  char text[32];
  std::snprintf(text, sizeof text, "%lld.%03lld s", static_cast<long long>(ns / 1'000'000'000),
                static_cast<long long>(ns / 1'000'000 % 1'000));
  return text;
}
std::string nodes(int64_t mask) {
  std::string text;
  for (int i = 0; i < 64; ++i)
    if (mask >> i & 1) text += (text.empty() ? "" : ",") + n(i);
  return "{" + text + "}";
}
// As LogKey tells its partitions.
std::string by_key(int64_t key) {
  const std::string text = LogKey{key, 0}.text();
  return text.substr(0, text.size() - 1);
}
}  // namespace

void Story::name_topics(const World& world) {
  for (HostId h = 0; h < world.hosts(); ++h) {
    const auto* node = dynamic_cast<const broker::Node*>(world.machine(h));
    if (!node) continue;
    for (const auto& [id, topic] : node->parts().image.topics()) {
      if (!topics_.emplace(topic_key(id), topic.name).second) continue;
      const std::string unnamed = by_key(topic_key(id));
      for (size_t at = text_.find(unnamed); at != std::string::npos; at = text_.find(unnamed, at + topic.name.size()))
        text_.replace(at, unnamed.size(), topic.name + "-");
    }
  }
}

std::string Story::take(const World& world) {
  if (std::exchange(unnamed_, false)) name_topics(world);
  return std::exchange(text_, {});
}

void Story::tell(int64_t at, const std::string& who, const std::string& what) {
  char head[64];
  std::snprintf(head, sizeof head, "%5lld.%06lld  %-10s ", static_cast<long long>(at / 1'000'000'000),
                static_cast<long long>(at / 1'000 % 1'000'000), who.c_str());
  text_ += head + what + "\n";
}

std::string Story::host(int64_t h) const {
  return h >= 0 && h < static_cast<int64_t>(hosts_.size()) ? hosts_[static_cast<size_t>(h)] : "host " + n(h);
}

std::string Story::log(const TraceEvent& e) {
  if (e.b == 0) return "the metadata log";
  const auto name = topics_.find(e.b);
  unnamed_ = unnamed_ || name == topics_.end();
  return name == topics_.end() ? LogKey{e.b, e.a}.text() : name->second + "-" + n(e.a);
}

void Story::trace(int64_t at, HostId h, const TraceEvent& e) {
  const std::string line = render(e);
  if (!line.empty()) tell(at, host(h), line);
}

void Story::exited(int64_t at, HostId h, const Exit& e) {
  tell(at, host(h), "exits with " + n(e.code) + ": " + e.reason);
}
void Story::failed(int64_t at, HostId h, const std::string& text) { tell(at, host(h), "ASSERTION FAILED: " + text); }
void Story::lifecycle(int64_t at, HostId h, HostState state, uint64_t incarnation) {
  if (state == HostState::up) tell(at, host(h), "starts, life " + n(static_cast<int64_t>(incarnation)));
  if (state == HostState::down) tell(at, host(h), "is dead");
  if (state == HostState::off) tell(at, host(h), "has lost power");
}

std::string Story::render_fault(const TraceEvent& e) const {
  const Fault f = static_cast<Fault>(e.a);
  std::string text = "FAULT " + std::string(kFaultEntries[static_cast<size_t>(e.a)].name);
  switch (f) {
    case Fault::kill:
    case Fault::pause:
    case Fault::isolate:
    case Fault::cut_from_brokers:
    case Fault::disk_stall:
    case Fault::disk_full:
    case Fault::clock_freeze:
    case Fault::client_kill:
    case Fault::client_pause: return text + " for " + length(e.c);
    case Fault::one_way: return text + " towards " + host(e.d) + " for " + length(e.c);
    case Fault::bridge: return text + " with " + host(e.d) + " for " + length(e.c);
    case Fault::reset:
    case Fault::client_reset: return text + " of connections with " + host(e.c);
    case Fault::delay_spike: return text + " of " + length(e.d) + " towards " + host(e.c);
    case Fault::clock_jump: return text + " by " + n(e.c) + " ms";
    case Fault::clock_drift: return text + " of " + n(e.c) + " ppm";
    case Fault::lasting: {
      static constexpr const char* kWays[] = {"dead", "cut off", "deaf", "mute"};
      return text + ": stays " + kWays[e.c & 3];
    }
    default: return text;
  }
}

std::string Story::render(const TraceEvent& e) {
  switch (e.kind) {
    case TraceKind::node_started: return "node " + n(e.a) + " serves";
    case TraceKind::node_stopping: return "node " + n(e.a) + " stops";
    case TraceKind::raft_role:
      return "quorum epoch " + n(e.a) + ": is " + raft::name(static_cast<raft::Role>(e.b)) +
             (e.c >= 0 ? ", leader " + n(e.c) : std::string()) + ", log end " + n(e.d);
    case TraceKind::raft_vote_granted:
      return std::string(e.c ? "would vote" : "votes") + " for " + n(e.b) + " in epoch " + n(e.a);
    case TraceKind::controller_active: return "is the active controller in epoch " + n(e.a);
    case TraceKind::controller_sought: return "looks for the active controller";
    case TraceKind::broker_registered: return "registers broker " + n(e.a) + " with broker epoch " + n(e.b);
    case TraceKind::broker_fenced: {
      static constexpr const char* kWhy[] = {"its session ended", "its process is gone", "it asked"};
      return "fences broker " + n(e.a) + (e.b >= 0 && e.b < 3 ? std::string(": ") + kWhy[e.b] : std::string());
    }
    case TraceKind::broker_unfenced: return "unfences broker " + n(e.a);
    case TraceKind::partition_changed:
      return "decides for " + log(e) + ": leader " + n(e.c >> 32) + ", epoch " + n(static_cast<int32_t>(e.c)) +
             ", ISR " + nodes(e.d);
    case TraceKind::became_leader: return "leads " + log(e) + " in epoch " + n(e.c) + " from offset " + n(e.d);
    case TraceKind::became_follower: return "follows " + n(e.d) + " in " + log(e) + ", epoch " + n(e.c);
    case TraceKind::log_removed: return "removes " + log(e);
    case TraceKind::log_truncated: return "cuts " + log(e) + " from " + n(e.d) + " to " + n(e.c);
    case TraceKind::log_recovered: return "has recovered " + log(e) + " up to " + n(e.c);
    case TraceKind::log_tail_dropped: return "discards " + n(e.d) + " damaged bytes at the end of " + log(e);
    case TraceKind::log_start_moved: return log(e) + " now starts at " + n(e.c);
    case TraceKind::log_compacting: return "compacts " + log(e) + " up to " + n(e.c);
    case TraceKind::disk_failed: return "cannot write to directory " + n(e.a) + ": " + name(static_cast<IoError>(e.b));
    case TraceKind::disk_full:
      return (e.b ? "takes no records in directory " + n(e.a) + ": too little room"
                  : "has room in directory " + n(e.a) + " again");
    case TraceKind::group_state:
      return "group of " + n(e.a) + " members, generation " + n(e.c) + ", is " +
             std::string(group::name(static_cast<group::State>(e.d)));
    case TraceKind::fault: return render_fault(e);
    case TraceKind::client_failed:
      return "fails to write " + n(e.d) + " records to partition " + n(e.a) + ", error " + n(e.c);
    default: break;
  }
  if (!all_) return {};
  switch (e.kind) {
    case TraceKind::batch_appended:
      return "appends " + n(e.flags) + " records at " + n(e.c) + " of epoch " + n(e.d >> 32) + " to " + log(e);
    case TraceKind::durable: return log(e) + " is durable up to " + n(e.c);
    case TraceKind::high_watermark: return "high watermark of " + log(e) + " is " + n(e.c) + ", epoch " + n(e.d);
    case TraceKind::connection_opened: return std::string(e.a ? "has dialed " : "accepts ") + n(e.c);
    case TraceKind::connection_closed: return "a connection ends, reason " + n(e.a);
    case TraceKind::request: return "request " + n(e.a) + " version " + n(e.c) + " number " + n(e.d);
    case TraceKind::reply: return "reply " + n(e.a) + " error " + n(e.c) + " number " + n(e.d);
    case TraceKind::client_acknowledged:
      return n(e.d) + " records acknowledged in partition " + n(e.a) + " at " + n(e.c);
    case TraceKind::client_consumed: return n(e.d) + " records read from partition " + n(e.a) + " at " + n(e.c);
    case TraceKind::client_committed: return "commits " + n(e.c) + " in partition " + n(e.a);
    default: return {};
  }
}

}  // namespace klamm::sim
