// max.connections.per.ip.overrides that names hosts: the driver is asked for their addresses.
#include "engine/protocol/messages/incremental_alter_configs.h"
#include "tests/engine/broker/wired_node.h"

namespace klamm::broker {
namespace {

class PeerNamesOfNode : public testing::Test {
 protected:
  PeerNamesOfNode() {
    const auto command = x.node.on_command;
    x.node.on_command = [this, command](const Command& c) {
      command(c);
      if (const auto* a = std::get_if<Answered>(&c); a && a->token == 0) told.emplace_back(a->bytes.text());
      refused += std::holds_alternative<Refuse>(c);
    };
    x.boot();
    client = x.connect();
    told.clear();
  }
  void set(const std::string& value) {
    protocol::IncrementalAlterConfigsRequest q;
    auto& r = q.resources.add(x.arena());
    r.resource_type = 4;
    r.resource_name = "";
    auto& c = r.configs.add(x.arena());
    c.name = "max.connections.per.ip.overrides", c.value = x.arena().copy(value);
    x.ask(client, 1, q);
    x.run_for(milliseconds(100));
    EXPECT_EQ(x.take<protocol::IncrementalAlterConfigsResponse>(client, 1).responses[0].error_code, 0);
  }
  void resolved(const std::string& text) { x.node.turn({Asked{0, "resolved", Slice::copy(text)}}); }
  // Whether one more may come from there.
  bool may_come(const char* address) {
    const int before = refused;
    x.node.turn({Accepted{ListenerId{0}, PendingId{++pending}, address, 5000, ""}});
    return refused == before;
  }
  WiredNode x;
  ConnId client;
  std::vector<std::string> told;
  int refused = 0;
  uint64_t pending = 1'000'000;
};

TEST_F(PeerNamesOfNode, a_name_counts_once_its_address_is_known) {
  set("friend:1,10.0.0.2:1");
  EXPECT_EQ(told, (std::vector<std::string>{"resolve 10.0.0.2", "resolve friend"}));
  EXPECT_TRUE(may_come("10.0.0.2"));
  EXPECT_FALSE(may_come("10.0.0.2")) << "an address holds at once";
  EXPECT_TRUE(may_come("10.0.0.1"));
  EXPECT_TRUE(may_come("10.0.0.1"));
  resolved("friend 10.0.0.1");
  EXPECT_FALSE(may_come("10.0.0.1"));
  EXPECT_TRUE(may_come("10.0.0.3"));
}

TEST_F(PeerNamesOfNode, a_name_that_nobody_knows_counts_for_nobody) {
  set("nobody:0,friend:0");
  resolved("nobody ");
  resolved("friend 10.0.0.1");
  EXPECT_FALSE(may_come("10.0.0.1"));
  EXPECT_TRUE(may_come("10.0.0.2"));
}

TEST_F(PeerNamesOfNode, so_many_are_asked_for_at_once_and_each_anew_when_it_comes_back) {
  std::string many = "a0:1";
  for (int i = 1; i < 40; ++i) many += ",a" + std::to_string(i) + ":1";
  set(many);
  EXPECT_EQ(told.size(), PeerNames::kAtOnce);
  for (size_t i = 0; i < told.size(); ++i) resolved(told[i].substr(8) + " ");
  EXPECT_EQ(told.size(), 40u);
  told.clear();
  set("a1:2");
  EXPECT_TRUE(told.empty()) << "known";
  set("a2:2");
  EXPECT_EQ(told, (std::vector<std::string>{"resolve a2"}));
  resolved("nobody asked 10.0.0.1");
}

}  // namespace
}  // namespace klamm::broker
