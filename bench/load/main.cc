// The load generator of the side-by-side runs: one mode a process, one JSON line as its result.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "bench/load/client.h"

int main(int argc, char** argv) {
  CLI::App app{"Load on a Kafka cluster, by librdkafka; prints one JSON line"};
  app.require_subcommand(1);
  bench::Options options;
  nlohmann::json (*mode)(const bench::Options&) = nullptr;
  const auto add = [&](const char* name, const char* help, nlohmann::json (*run)(const bench::Options&)) {
    CLI::App* sub = app.add_subcommand(name, help);
    sub->add_option("--brokers", options.brokers, "host:port,...")->required();
    sub->add_option("--topic", options.topic)->required();
    sub->add_option("--partitions", options.partitions);
    sub->add_option("--config", options.config, "librdkafka's key=value; repeatable");
    sub->callback([&mode, run] { mode = run; });
    return sub;
  };
  add("create", "make a topic and wait until it is led", bench::create_topic)
      ->add_option("--replicas", options.replicas);
  add("delete", "remove a topic", bench::delete_topic);
  add("alter", "set configs of a topic, all others to their defaults", bench::alter_topic)
      ->add_option("--set", options.set, "key=value; repeatable");
  CLI::App* produce = add("produce", "produce flat out, or at --rate", bench::produce);
  CLI::App* consume = add("consume", "read from the beginning until --messages came", bench::consume);
  CLI::App* latency = add("latency", "end-to-end latency at --rate, open loop", bench::latency);
  CLI::App* failover = add("failover", "kill a process under steady writes", bench::failover);
  CLI::App* direct = add("direct", "end-to-end latency of the broker alone, at --rate", bench::direct);
  CLI::App* requests = add("requests", "a message a request on many connections, closed loop", bench::requests);
  requests->add_option("--connections", options.connections);
  requests->add_option("--in-flight", options.in_flight, "on each connection");
  for (CLI::App* sub : {produce, latency, direct, requests})
    sub->add_option("--size", options.size, "bytes of a message");
  for (CLI::App* sub : {produce, consume, latency, failover, direct, requests})
    sub->add_option("--seconds", options.seconds);
  for (CLI::App* sub : {produce, latency, direct, failover})
    sub->add_option("--rate", options.rate, "messages a second");
  produce->add_option("--keys", options.keys, "draw each message's key from so many");
  produce->add_option("--messages", options.messages, "flat out: at most");
  consume->add_option("--messages", options.messages)->required();
  for (CLI::App* sub : {latency, direct}) {
    sub->add_option("--warm-up", options.warm_up, "seconds whose messages do not count");
  }
  failover->add_option("--partition", options.partition);
  failover->add_option("--victim", options.victim, "process to kill");
  failover->add_option("--kill-after", options.kill_after, "seconds");
  CLI11_PARSE(app, argc, argv);
  std::printf("%s\n", mode(options).dump().c_str());
  return 0;
}
