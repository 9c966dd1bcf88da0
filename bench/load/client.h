// What the load generator's modes share: options, a clock, and librdkafka's handles with their owners.
#pragma once
#include <librdkafka/rdkafka.h>

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace bench {

struct Options {
  std::string brokers;
  std::string topic;
  int partitions = 1;
  int replicas = 1;
  int partition = 0;
  size_t size = 100;
  double seconds = 5;
  double warm_up = 2;
  double rate = 0;                  // messages a second; 0: as many as the client can
  int64_t messages = 0;             // consume: how many; produce flat out: at most, 0 for as many as there is time
  int connections = 1;              // requests
  int in_flight = 5;                // requests: on a connection
  int64_t keys = 0;                 // produce: messages have keys, drawn from so many; 0: none
  int victim = 0;                   // failover: the process to kill
  double kill_after = 2;            // failover: seconds of writing before that
  std::vector<std::string> config;  // librdkafka properties, key=value
  std::vector<std::string> set;     // alter: configs of the topic, key=value
};

// CLOCK_MONOTONIC: the same in every process of the machine.
int64_t now_ns();
void sleep_until(int64_t at_ns);

[[noreturn]] void fail(const std::string& what);

struct Free {
  void operator()(rd_kafka_t* p) const { rd_kafka_destroy(p); }
  void operator()(rd_kafka_topic_t* p) const { rd_kafka_topic_destroy(p); }
  void operator()(rd_kafka_queue_t* p) const { rd_kafka_queue_destroy(p); }
  void operator()(rd_kafka_event_t* p) const { rd_kafka_event_destroy(p); }
};
using Client = std::unique_ptr<rd_kafka_t, Free>;
using Topic = std::unique_ptr<rd_kafka_topic_t, Free>;
using Queue = std::unique_ptr<rd_kafka_queue_t, Free>;
using Event = std::unique_ptr<rd_kafka_event_t, Free>;

using Properties = std::map<std::string, std::string>;
// A client with librdkafka's defaults, changed by `properties` and then by the command line's.
Client open_client(rd_kafka_type_t type, const Options& options, const Properties& properties);
Topic open_topic(const Client& client, const Options& options);

// Delivery reports, counted: `on_each` sees every message with its error.
template<class F>
size_t drain_reports(const Queue& queue, int timeout_ms, F&& on_each) {
  size_t count = 0;
  for (Event e(rd_kafka_queue_poll(queue.get(), timeout_ms)); e; e.reset(rd_kafka_queue_poll(queue.get(), 0))) {
    while (const rd_kafka_message_t* m = rd_kafka_event_message_next(e.get())) {
      on_each(*m);
      ++count;
    }
  }
  return count;
}

// Seconds of CPU that this process has used.
double own_cpu();
// {"p50", "p99", ...} in milliseconds of samples in nanoseconds.
nlohmann::json percentiles(std::vector<int64_t> samples);

// The modes. Each returns what is printed.
nlohmann::json create_topic(const Options& options);
nlohmann::json delete_topic(const Options& options);
nlohmann::json alter_topic(const Options& options);
nlohmann::json produce(const Options& options);
nlohmann::json consume(const Options& options);
nlohmann::json latency(const Options& options);
nlohmann::json failover(const Options& options);
nlohmann::json requests(const Options& options);  // of one node
nlohmann::json direct(const Options& options);    // of one node and one partition

}  // namespace bench
