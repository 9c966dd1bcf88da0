// Topics made and removed.
#include <functional>

#include "bench/load/client.h"

namespace bench {
namespace {

constexpr int kWaitMs = 20'000;

// Runs one admin call and returns the first topic's error.
rd_kafka_resp_err_t ask(const Client& client, rd_kafka_event_type_t kind,
                        const std::function<void(rd_kafka_queue_t*)>& call) {
  const Queue queue(rd_kafka_queue_new(client.get()));
  call(queue.get());
  const Event event(rd_kafka_queue_poll(queue.get(), kWaitMs));
  if (!event || rd_kafka_event_type(event.get()) != kind) return RD_KAFKA_RESP_ERR__TIMED_OUT;
  if (rd_kafka_event_error(event.get()) != RD_KAFKA_RESP_ERR_NO_ERROR) return rd_kafka_event_error(event.get());
  size_t count = 0;
  const rd_kafka_topic_result_t** results =
      kind == RD_KAFKA_EVENT_CREATETOPICS_RESULT
          ? rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count)
          : rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event.get()), &count);
  return count == 1 ? rd_kafka_topic_result_error(results[0]) : RD_KAFKA_RESP_ERR__BAD_MSG;
}

nlohmann::json look(const Client& client, const Topic& topic) {
  const rd_kafka_metadata_t* found = nullptr;
  const auto error = rd_kafka_metadata(client.get(), 0, topic.get(), &found, kWaitMs);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) fail(rd_kafka_err2str(error));
  nlohmann::json out{{"brokers", nlohmann::json::array()}, {"leaders", nlohmann::json::object()}, {"in_sync", 1 << 20}};
  for (int i = 0; i < found->broker_cnt; ++i) out["brokers"].push_back(found->brokers[i].id);
  for (int t = 0; t < found->topic_cnt; ++t) {
    for (int p = 0; p < found->topics[t].partition_cnt; ++p) {
      const auto& partition = found->topics[t].partitions[p];
      out["leaders"][std::to_string(partition.id)] = partition.leader;
      out["in_sync"] = std::min(out["in_sync"].get<int>(), partition.isr_cnt);
    }
  }
  rd_kafka_metadata_destroy(found);
  return out;
}

}  // namespace

nlohmann::json create_topic(const Options& options) {
  const Client client = open_client(RD_KAFKA_PRODUCER, options, {});
  char text[256];
  rd_kafka_NewTopic_t* wanted =
      rd_kafka_NewTopic_new(options.topic.c_str(), options.partitions, options.replicas, text, sizeof text);
  if (wanted == nullptr) fail(text);
  const auto error = ask(client, RD_KAFKA_EVENT_CREATETOPICS_RESULT,
                         [&](rd_kafka_queue_t* q) { rd_kafka_CreateTopics(client.get(), &wanted, 1, nullptr, q); });
  rd_kafka_NewTopic_destroy(wanted);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) fail("create " + options.topic + ": " + rd_kafka_err2str(error));
  const Topic topic = open_topic(client, options);
  for (int64_t until = now_ns() + 20'000'000'000; now_ns() < until; sleep_until(now_ns() + 10'000'000)) {
    nlohmann::json seen = look(client, topic);
    bool led = static_cast<int>(seen["leaders"].size()) == options.partitions;
    for (const auto& [partition, leader] : seen["leaders"].items()) led &= leader.get<int>() >= 0;
    if (led && seen["in_sync"].get<int>() == options.replicas) return seen;
  }
  fail("create " + options.topic + ": not every partition got a leader and all replicas in sync");
}

nlohmann::json delete_topic(const Options& options) {
  const Client client = open_client(RD_KAFKA_PRODUCER, options, {});
  rd_kafka_DeleteTopic_t* unwanted = rd_kafka_DeleteTopic_new(options.topic.c_str());
  const auto error = ask(client, RD_KAFKA_EVENT_DELETETOPICS_RESULT,
                         [&](rd_kafka_queue_t* q) { rd_kafka_DeleteTopics(client.get(), &unwanted, 1, nullptr, q); });
  rd_kafka_DeleteTopic_destroy(unwanted);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) fail("delete " + options.topic + ": " + rd_kafka_err2str(error));
  return {{"deleted", options.topic}};
}

nlohmann::json alter_topic(const Options& options) {
  const Client client = open_client(RD_KAFKA_PRODUCER, options, {});
  rd_kafka_ConfigResource_t* topic = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, options.topic.c_str());
  for (const std::string& pair : options.set) {
    const size_t at = pair.find('=');
    if (at == std::string::npos) fail("not key=value: " + pair);
    rd_kafka_ConfigResource_set_config(topic, pair.substr(0, at).c_str(), pair.substr(at + 1).c_str());
  }
  const Queue queue(rd_kafka_queue_new(client.get()));
  rd_kafka_AlterConfigs(client.get(), &topic, 1, nullptr, queue.get());
  rd_kafka_ConfigResource_destroy(topic);
  const Event event(rd_kafka_queue_poll(queue.get(), kWaitMs));
  const rd_kafka_AlterConfigs_result_t* result = event ? rd_kafka_event_AlterConfigs_result(event.get()) : nullptr;
  if (result == nullptr) fail("alter " + options.topic + ": no answer");
  size_t count = 0;
  const auto* resources = rd_kafka_AlterConfigs_result_resources(result, &count);
  if (count != 1 || rd_kafka_ConfigResource_error(resources[0]) != RD_KAFKA_RESP_ERR_NO_ERROR)
    fail("alter " + options.topic + ": refused");
  return {{"altered", options.topic}};
}

}  // namespace bench
