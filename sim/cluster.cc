#include "sim/cluster.h"

#include <algorithm>

namespace klamm::sim {
namespace {
constexpr uint16_t kClientPort = 9092;
constexpr uint16_t kControllerPort = 9093;

std::string broker_name(uint32_t i) { return "broker-" + std::to_string(i + 1); }

std::string with_id(std::string value, int32_t id) {
  for (size_t at = value.find("{id}"); at != std::string::npos; at = value.find("{id}"))
    value.replace(at, 4, std::to_string(id));
  return value;
}

HostSpec broker(const ClusterSpec& spec, uint32_t i) {
  const int32_t id = node_of(i);
  const std::string name = broker_name(i);
  const uint32_t controllers = spec.controllers == 0 ? spec.brokers : std::min(spec.controllers, spec.brokers);
  const bool controller = i < controllers;
  std::string voters;
  for (uint32_t k = 0; k < controllers; ++k)
    voters +=
        (k ? "," : "") + std::to_string(node_of(k)) + "@" + broker_name(k) + ":" + std::to_string(kControllerPort);
  const std::string replicas = std::to_string(std::min<uint32_t>(spec.brokers, 3));
  HostSpec h{name, &make_broker, {}};
  h.boot.flaws = spec.flaws;
  h.boot.listeners = {{"PLAINTEXT", name, kClientPort, name, kClientPort}};
  if (controller) h.boot.listeners.push_back({"CONTROLLER", name, kControllerPort, name, kControllerPort});
  h.boot.directories = {"/data"};
  h.boot.properties = {
      {"process.roles", controller ? "broker,controller" : "broker"},
      {"node.id", std::to_string(id)},
      {"controller.quorum.voters", voters},
      {"controller.listener.names", "CONTROLLER"},
      {"inter.broker.listener.name", "PLAINTEXT"},
      {"listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"},
      {"listeners", "PLAINTEXT://" + name + ":9092" + (controller ? ",CONTROLLER://" + name + ":9093" : "")},
      {"advertised.listeners", "PLAINTEXT://" + name + ":9092"},
      {"log.dirs", "/data"},
      {"default.replication.factor", replicas},
      {"min.insync.replicas", spec.brokers >= 3 ? "2" : "1"},
      {"offsets.topic.replication.factor", replicas},
      {"offsets.topic.num.partitions", "5"},
      {"group.initial.rebalance.delay.ms", "0"},
  };
  for (const auto& [key, value] : spec.config) h.boot.properties[key] = with_id(value, id);
  return h;
}
}  // namespace

std::vector<HostSpec> cluster_hosts(const ClusterSpec& spec) {
  std::vector<HostSpec> hosts;
  std::string bootstrap;
  for (uint32_t i = 0; i < spec.brokers; ++i) {
    hosts.push_back(broker(spec, i));
    bootstrap += (i ? "," : "") + broker_name(i) + ":" + std::to_string(kClientPort);
  }
  for (uint32_t i = 0; i < spec.clients; ++i) {
    HostSpec client{"client-" + std::to_string(i + 1), &make_client, {}};
    // A leader that is cut off from the brokers but not from its clients tells them nothing: their metadata must age.
    client.boot.properties = {{"bootstrap.servers", bootstrap},
                              {"client.id", client.name},
                              {"metadata.max.age.ms", "5000"},
                              {"request.timeout.ms", "5000"}};
    hosts.push_back(std::move(client));
  }
  return hosts;
}

}  // namespace klamm::sim
