// Clients that do anything in any order, over a log that takes, delays, refuses and moves to another node. Whatever
// happens: state is the fold of the log, nobody is answered twice, nobody is forgotten, and a generation has one leader
// and one assignment (invariants G7, G8, G10, G11).
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/engine/group/rig.h"

namespace klamm::group {
namespace {

using namespace protocol;

struct World {
  static Config never_sweeping() {  // a group that is deleted begins again at generation 0
    Config c = Rig::quick();
    c.retention_check_ms = 1'000'000'000;
    return c;
  }
  Rig rig{never_sweeping()};
  std::vector<std::string> ids = {"", "nobody"};  // member ids ever told, and two that are none
  std::map<uint32_t, std::string> joins;          // under way: who asked
  std::map<uint32_t, int32_t> syncs;              // under way: for which generation
  std::vector<uint32_t> others;
  std::map<std::pair<int, int32_t>, std::string> leaders;  // by life of the coordinator and generation
  std::map<int32_t, std::string> assignments;              // by generation: the plan that its members were told
  int life = 0;
  uint64_t plans = 0;

  std::string pick(int n) const { return ids[static_cast<size_t>(n) % ids.size()]; }
  int32_t generation() const {
    const auto* shard = rig.coordinator.runtime().shard(rig.coordinator.partition_of("g"));
    const auto it = shard->core.groups().find("g");
    return it == shard->core.groups().end() ? 0 : it->second.generation;
  }

  void join(int n) {
    Joining j;
    j.member = pick(n);
    if (n % 5 == 0) j.instance = n % 2 ? "i1" : "i2";
    if (n % 7 == 0) j.protocols.push_back({"sticky", "s" + std::to_string(n % 3)});
    j.session_ms = 6'000 + n % 20'000;
    j.rebalance_ms = n % 9'000;
    j.version = static_cast<int16_t>(n % 10);
    if (j.version < 5) j.instance = nullptr;
    joins[rig.send_join(j)] = j.member;
  }
  void sync(int n) {
    const std::string who = pick(n);
    std::vector<std::pair<std::string, std::string>> plan;
    const std::string name = "plan-" + std::to_string(++plans);
    for (const std::string& id : ids) plan.push_back({id, name});
    const int32_t claimed = generation() - (n % 6 == 0);
    syncs[rig.send_sync(who, claimed, plan)] = claimed;
  }
  void commit(int n) {
    others.push_back(rig.send_commit({.member = n % 3 ? pick(n) : "",
                                      .generation = n % 3 ? generation() : -1,
                                      .offset = n,
                                      .partition = n % 2,
                                      .version = static_cast<int16_t>(2 + n % 9)}));
  }
  // Takes in what has been answered.
  void listen() {
    for (auto it = joins.begin(); it != joins.end();) {
      if (!rig.answered(it->first)) {
        ++it;
        continue;
      }
      const auto r = rig.joined(it->first);
      if (!r.member_id.empty() && std::find(ids.begin(), ids.end(), r.member_id) == ids.end())
        ids.emplace_back(r.member_id);
      if (r.error_code == 0 && !r.members.empty()) {
        RC_ASSERT(r.leader == r.member_id);
        std::string& leader = leaders[{life, r.generation_id}];
        if (leader.empty() || r.skip_assignment) leader = r.leader;  // a static leader may return under a new id
        RC_ASSERT(leader == r.leader);
      }
      it = joins.erase(it);
    }
    for (auto it = syncs.begin(); it != syncs.end();) {
      if (!rig.answered(it->first)) {
        ++it;
        continue;
      }
      const auto r = rig.synced(it->first);
      if (r.error_code == 0 && r.assignment.size > 0) {
        const std::string plan(as_text(r.assignment.span()));
        const auto [known, fresh] = assignments.insert({it->second, plan});
        RC_ASSERT(known->second == plan);
      }
      it = syncs.erase(it);
    }
  }
  void check_group(const Group& g) const {
    RC_ASSERT(g.members.empty() == !g.leader);
    if (g.leader) RC_ASSERT(g.member(*g.leader) != nullptr);
    RC_ASSERT((g.state == State::empty) <= g.members.empty());
    size_t with_instance = 0;
    for (const auto& [id, m] : g.members) {
      RC_ASSERT(m.id == id);
      if (g.state == State::stable) RC_ASSERT(!m.awaits_sync);
      if (g.state != State::completing) RC_ASSERT(!m.awaits_sync);
      RC_ASSERT(m.session.timer || m.awaits_join || m.awaits_sync);
      if (!m.instance_id) continue;
      ++with_instance;
      RC_ASSERT(g.static_members.at(*m.instance_id) == id);
    }
    RC_ASSERT(with_instance == g.static_members.size());
    for (const std::string& id : g.pending_sync) RC_ASSERT(g.member(id) != nullptr);
    if (g.state == State::preparing) RC_ASSERT(static_cast<bool>(g.join_timer));
    if (g.state == State::completing && !g.pending_sync.empty()) RC_ASSERT(static_cast<bool>(g.sync_timer));
  }
  void check() {
    for (const auto& [p, log] : rig.logs) {
      const auto* shard = rig.coordinator.runtime().shard(p);
      for (const auto& [id, g] : shard->core.groups()) check_group(g);
    }
    // Appends are answered at once, so the latest state has nothing that is not in the log.
    RC_ASSERT(state_hash(rig.hard()) == state_hash(rig.fold()));
    const Coordinator fork = rig.coordinator;
    RC_ASSERT(state_hash(fork) == state_hash(rig.coordinator));
  }
};

RC_GTEST_PROP(Groups, whatever_clients_do, ()) {
  World w;
  Rig& rig = w.rig;
  const auto steps = *rc::gen::resize(300, rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 1'000'000)));
  for (const int step : steps) {
    const int n = step / 16;
    switch (step % 16) {
      case 0:
      case 1:
      case 2:
      case 3: w.join(n); break;
      case 4:
      case 5:
      case 6: w.sync(n); break;
      case 7: w.others.push_back(rig.send_heartbeat(w.pick(n), w.generation())); break;
      case 8:
        if (n % 3 == 0) w.others.push_back(rig.send_leave(w.pick(n)));
        break;
      case 9:
      case 10: w.commit(n); break;
      case 11: rig.settle(); break;
      case 12: rig.pass(n % 4'000); break;
      case 13:
        rig.committing = n % 3 != 0;
        if (rig.committing) rig.commit_all();
        break;
      case 14: rig.refusing = n % 4 == 0 ? ErrorCode::not_enough_replicas : ErrorCode::none; break;
      case 15:
        if (n % 8 == 0) {
          ++w.life;
          rig.commit_all();
          rig.fail_over();
        }
        break;
    }
    w.listen();
    w.check();
  }
  auto c = rig.ctx();
  for (const auto& [p, log] : rig.logs) rig.coordinator.resigned(c, p, rig.out);
  rig.carry();
  for (const auto& [request, who] : w.joins) RC_ASSERT(rig.answered(request));
  for (const auto& [request, generation] : w.syncs) RC_ASSERT(rig.answered(request));
  for (const uint32_t request : w.others) RC_ASSERT(rig.answered(request));
  RC_ASSERT(rig.coordinator.next_deadline() == kNever);
}

}  // namespace
}  // namespace klamm::group
