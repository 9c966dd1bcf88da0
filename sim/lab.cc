#include "sim/lab.h"

#include "engine/base/assert.h"

namespace klamm::sim {

Lab::Lab(const LabOptions& options)
    : options_(options),
      world_(Tape(options.seed), {},
             cluster_hosts({options.brokers, options.clients, options.flaws, options.config, options.controllers})) {
  for (HostId h = 0; h < world_.hosts(); ++h) world_.start(h, *this);
}

HostId Lab::host(int32_t id) const {
  const HostId h = id > 0 ? host_of(id) : options_.brokers + static_cast<HostId>(-id);
  KLAMM_ASSERT_REL(h, <, world_.hosts());
  return h;
}

uint64_t Lab::ask(uint32_t client, const std::string& verb, Slice bytes, uint64_t tokens) {
  KLAMM_ASSERT_REL(client, <, options_.clients);
  const uint64_t token = next_token_;
  next_token_ += tokens;
  for (uint64_t t = token; t < next_token_; ++t) answers_[t];
  world_.ask(options_.brokers + client, Asked{token, verb, std::move(bytes)});
  return token;
}

bool Lab::run_until_answered(uint64_t token, Duration limit) {
  const int64_t until = world_.now() + limit.ns;
  while (!answers_[token].last && world_.next_at() <= until) world_.step(*this);
  if (!answers_[token].last) world_.run_until(until, *this);
  return answers_[token].last;
}

bool Lab::run_until_told(uint64_t token, Duration limit) {
  const int64_t until = world_.now() + limit.ns;
  while (answers_[token].bytes.empty() && world_.next_at() <= until) world_.step(*this);
  if (answers_[token].bytes.empty()) world_.run_until(until, *this);
  return !answers_[token].bytes.empty();
}

std::vector<Slice> Lab::take(uint64_t token) {
  const auto it = answers_.find(token);
  if (it == answers_.end()) return {};
  std::vector<Slice> bytes = std::move(it->second.bytes);
  it->second.bytes.clear();
  if (it->second.last) answers_.erase(it);
  return bytes;
}

void Lab::stop(int32_t node) { world_.ask(host_of(node), Asked{0, "stop", {}}); }

void Lab::partition(const std::vector<int32_t>& side, const std::vector<int32_t>& other) {
  for (const int32_t a : side)
    for (const int32_t b : other)
      for (const auto& [from, to] : {std::pair{host(a), host(b)}, std::pair{host(b), host(a)}}) {
        world_.network().block(from, to, true);
        blocked_.emplace_back(from, to);
      }
}

void Lab::heal() {
  for (const auto& [from, to] : blocked_) world_.network().block(from, to, false);
  blocked_.clear();
}

void Lab::trace(int64_t at, HostId host, const TraceEvent& e) {
  if (host >= options_.brokers) return;
  replicas_.trace(at, host, e, verdicts_);
  leaders_.trace(at, host, e, verdicts_);
  if (e.kind == TraceKind::raft_role && e.b == kRaftLeader) replicas_.elected(at, host, LogKey{}, e.a, verdicts_);
}

void Lab::answered(int64_t, HostId, const Answered& a) {
  const auto it = answers_.find(a.token);
  if (it == answers_.end()) return;
  it->second.bytes.push_back(a.bytes);
  it->second.last = it->second.last || a.last;
}

void Lab::exited(int64_t at, HostId host, const Exit& e) {
  if (e.code != 0) verdicts_.add(at, "exit", world_.name(host) + ": " + e.reason);
}

void Lab::failed(int64_t at, HostId host, const std::string& text) {
  verdicts_.add(at, "assertion", world_.name(host) + ": " + text);
}

void Lab::lifecycle(int64_t, HostId host, HostState state, uint64_t) {
  if (state == HostState::up) leaders_.restarted(host);
}

}  // namespace klamm::sim
