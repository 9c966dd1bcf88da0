// Random lives of a cluster: whatever brokers, clients and time do, the invariants hold after every step (Lab::check)
// and the image is the fold of the log.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/engine/controller/lab.h"

namespace klamm::controller {
namespace {

struct Step {
  uint8_t what, a, b;
};

class Life {
 public:
  explicit Life(Lab& lab) : lab_(lab) {}

  void step(const Step& s) {
    const int32_t broker = 1 + s.a % 4;
    const bool known = lab_.controller.latest().broker(NodeId{broker}) != nullptr;
    switch (s.what % 12) {
      case 0: lab_.register_broker(broker, ++incarnation_, s.b % 2 ? lab_.epoch_of(broker) : -1); break;
      case 1:
      case 2:
        if (known) lab_.beat(broker);
        break;
      case 3:
        if (known) lab_.beat(broker, {.fence = s.b % 3 == 0, .shut_down = s.b % 2 == 0, .reached = s.b % 5 ? -1 : 0});
        break;
      case 4: lab_.refused(broker); break;
      case 5: lab_.wait(seconds(1 + s.b % 6)); break;
      case 6: create(s); break;
      case 7: remove(s); break;
      case 8:
      case 9: alter(s); break;
      case 10: fail_over(s); break;
      case 11:
        if (s.b % 8 == 0 && known) {
          protocol::UnregisterBrokerRequest q;
          q.broker_id = broker;
          lab_.ask<protocol::UnregisterBrokerResponse>(q, 0);
        }
        break;
    }
  }

 private:
  std::string name(const Step& s) { return "t" + std::to_string(s.a % 3); }
  void create(const Step& s) {
    Lab::NewTopic t{.name = name(s), .partitions = 1 + s.b % 3, .factor = static_cast<int16_t>(1 + s.b % 4)};
    if (s.b % 2) t.configs.push_back({"min.insync.replicas", "2"});
    if (s.b % 7 == 0) t.configs.push_back({"unclean.leader.election.enable", "true"});
    lab_.create({t});
  }
  void remove(const Step& s) {
    if (s.b % 4) return;
    protocol::DeleteTopicsRequest q;
    q.timeout_ms = 1000;
    q.topic_names.push_back(lab_.scratch.arena, lab_.scratch.arena.copy(name(s)));
    lab_.ask<protocol::DeleteTopicsResponse>(q, 5);
  }
  void alter(const Step& s) {
    const metadata::Topic* t = lab_.controller.latest().topic(name(s));
    if (!t || lab_.partition(t->name).leader == kNoNode) return;
    const PartitionInfo& p = lab_.partition(t->name);
    std::vector<int32_t> isr;
    for (size_t i = 0; i < p.replicas.size(); ++i)
      if ((s.b >> i & 1) || p.replicas[i] == p.leader) isr.push_back(p.replicas[i].value);
    lab_.alter_isr({.topic = t->name, .isr = isr});
  }
  // Something under way is lost with the leadership; nobody may hear that it was done.
  void fail_over(const Step& s) {
    lab_.ask<protocol::CreateTopicsResponse>(lab_.creation({{.name = name(s)}}), 7, s.b % 2);
    lab_.deactivate();
    lab_.activate(++epoch_);
  }
  Lab& lab_;
  uint64_t incarnation_ = 0;
  LeaderEpoch epoch_ = 1;
};

RC_GTEST_PROP(Controller, keeps_its_invariants_in_any_life,
              (const std::vector<std::tuple<uint8_t, uint8_t, uint8_t>>& life)) {
  Lab lab;
  lab.commit();
  Life l(lab);
  for (int32_t id : {1, 2, 3}) lab.start_broker(id, 1000);
  for (const auto& [what, a, b] : life) l.step({what, a, b});
}

}  // namespace
}  // namespace klamm::controller
