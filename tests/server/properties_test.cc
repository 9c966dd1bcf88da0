#include "server/properties.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "server/cluster_plan.h"

namespace klamm::server {
namespace {

TEST(Properties, file_in_javas_format) {
  const std::string path = "/tmp/klamm-properties-" + std::to_string(getpid());
  std::ofstream(path) << "# comment\n! comment\n\nnode.id=1\n listeners = A://:1,\\\n   B://:2\nlog.dirs: /tmp/a b\n"
                         "empty=\nback\\=slash=x\\\\y\nrack=K\\u00f6ln\\u20ac\\u00\n";
  Properties p;
  EXPECT_EQ(read_properties(path, p), "");
  const Properties wanted{{"node.id", "1"}, {"listeners", "A://:1,B://:2"}, {"log.dirs", "/tmp/a b"},
                          {"empty", ""},    {"back=slash", "x\\y"},         {"rack", "K\xc3\xb6ln\xe2\x82\xacu00"}};
  EXPECT_EQ(p, wanted);
  std::remove(path.c_str());
  EXPECT_NE(read_properties(path, p), "");
}

TEST(Properties, comments_end_with_their_line_and_lines_may_end_as_in_windows) {
  std::istringstream in(
      "# log.dirs=C:\\kafka\\\nnode.id=1\r\n  !\\\r\nlisteners=A://:1,\\\r\n  #B://:2\r\n\\\r\n x=\\\\\r\ny=1\\");
  Properties p;
  read_properties(in, p);
  EXPECT_EQ(p, (Properties{{"node.id", "1"}, {"listeners", "A://:1,#B://:2"}, {"x", "\\"}, {"y", "1"}}));
}

TEST(Properties, environment_as_in_kafkas_image) {
  const char* environment[] = {"KAFKA_NODE_ID=7", "KAFKA_A__B___C=x=y", "KAFKA_OPTS=-X", "KAFKA_LOG_DIR=/vol",
                               "HOME=/",          "CLUSTER_ID=abc",     nullptr};
  Properties p;
  read_environment(environment, p);
  EXPECT_EQ(p, (Properties{{"node.id", "7"}, {"a_b-c", "x=y"}, {"log.dir", "/vol"}, {"klamm.cluster.id", "abc"}}));
}

TEST(Properties, assignments_know_the_node) {
  Properties p;
  EXPECT_EQ(read_assignments({"broker.rack=r{id}-{id}", "x=a=b"}, "12", p), "");
  EXPECT_EQ(p, (Properties{{"broker.rack", "r12-12"}, {"x", "a=b"}}));
  EXPECT_NE(read_assignments({"novalue"}, "1", p), "");
}

TEST(Properties, single_node_defaults_make_a_valid_node) {
  for (const char* listeners : {"", "PLAINTEXT://:19092,CONTROLLER://:19093"}) {
    Properties p;
    if (*listeners) p["listeners"] = listeners;
    add_single_node_defaults(p);
    metadata::ConfigReport report;
    const metadata::BrokerConfig c = metadata::parse_broker_config(p, report);
    ASSERT_TRUE(report.errors.empty()) << report.errors[0].text();
    EXPECT_EQ(c.voters[0].port, *listeners ? 19093 : 9093);
  }
}

TEST(Properties, the_id_of_old_is_the_nodes) {
  Properties p{{"broker.id", "5"}};
  add_single_node_defaults(p);
  metadata::ConfigReport report;
  const metadata::BrokerConfig c = metadata::parse_broker_config(p, report);
  ASSERT_TRUE(report.errors.empty()) << report.errors[0].text();
  EXPECT_EQ(c.node_id, 5);
  EXPECT_EQ(c.voters[0].id, NodeId{5});
}

TEST(ClusterPlan, nodes_agree_and_a_kept_directory_remembers_its_cluster) {
  const std::string dir = "/tmp/klamm-plan-" + std::to_string(getpid());
  std::string cluster_id;
  for (int round = 0; round < 2; ++round) {
    const ClusterPlan plan({4, dir, {"broker.rack=r{id}"}});
    ASSERT_TRUE(plan.problems.empty()) << plan.problems[0];
    EXPECT_EQ(plan.nodes[3].properties.at("process.roles"), "broker");
    EXPECT_EQ(plan.nodes[3].properties.at("broker.rack"), "r4");
    if (round == 1) {
      EXPECT_EQ(plan.nodes[2].properties.at("klamm.cluster.id"), cluster_id);
    }
    cluster_id = plan.nodes[0].properties.at("klamm.cluster.id");
  }
  EXPECT_EQ(remove_tree(dir), IoError::none);
  EXPECT_FALSE(ClusterPlan({3, "", {"num.partitions=0"}}).problems.empty());
}

}  // namespace
}  // namespace klamm::server
