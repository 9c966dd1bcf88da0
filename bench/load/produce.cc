// Produces flat out or at a rate, round robin over the partitions, and reads a topic as fast as it comes.
#include <algorithm>
#include <cstdio>

#include "bench/load/client.h"

namespace bench {
namespace {

// Bytes that do not compress and need no copy: every message points at the same ones.
std::string payload(size_t size) {
  std::string bytes(size, '\0');
  uint64_t state = 0x9e3779b97f4a7c15;
  for (char& b : bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    b = static_cast<char>(state >> 56);
  }
  return bytes;
}

struct Tally {
  int64_t offered = 0;
  int64_t acked = 0;
  int64_t failed = 0;
  int64_t refused = 0;  // the client's own queue was full when a message was due
  void count(const rd_kafka_message_t& m) { ++(m.err == RD_KAFKA_RESP_ERR_NO_ERROR ? acked : failed); }
};

class Producing final {
 public:
  explicit Producing(const Options& options)
      : options_(options),
        bytes_(payload(options.size)),
        client_(open_client(RD_KAFKA_PRODUCER, options, {{"acks", "all"}, {"queue.buffering.max.messages", "200000"}})),
        topic_(open_topic(client_, options)),
        reports_(rd_kafka_queue_get_main(client_.get())) {}

  nlohmann::json run() {
    send();  // connections and metadata are there before the clock starts
    while (tally_.acked + tally_.failed < 1) collect(100);
    tally_ = {};
    const int64_t start = now_ns();
    const double cpu = own_cpu();
    const int64_t until = start + static_cast<int64_t>(options_.seconds * 1e9);
    options_.rate > 0 ? at_rate(start, until) : flat_out(until);
    while (tally_.acked + tally_.failed < tally_.offered) collect(100);
    const double took = static_cast<double>(now_ns() - start) / 1e9;
    return {{"offered", tally_.offered + tally_.refused},
            {"acked", tally_.acked},
            {"failed", tally_.failed},
            {"refused", tally_.refused},
            {"seconds", took},
            {"rate", static_cast<double>(tally_.acked) / took},
            {"client_cpu", own_cpu() - cpu}};
  }

 private:
  static constexpr int kBurst = 500;

  bool send() {
    const int32_t partition = static_cast<int32_t>(next_++ % options_.partitions);
    char key[24];
    const size_t key_size =
        options_.keys > 0 ? static_cast<size_t>(std::snprintf(key, sizeof key, "%lld", draw_key())) : 0;
    if (rd_kafka_produce(topic_.get(), partition, 0, bytes_.data(), bytes_.size(), key_size ? key : nullptr, key_size,
                         nullptr) != 0)
      return false;
    ++tally_.offered;
    return true;
  }
  long long draw_key() {
    draws_ = draws_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<long long>((draws_ >> 33) % static_cast<uint64_t>(options_.keys));
  }
  size_t collect(int timeout_ms) {
    return drain_reports(reports_, timeout_ms, [this](const rd_kafka_message_t& m) { tally_.count(m); });
  }
  void flat_out(int64_t until) {
    const auto more = [&] { return options_.messages == 0 || tally_.offered < options_.messages; };
    while (now_ns() < until && more()) {
      bool full = false;
      for (int i = 0; i < kBurst && !full && more(); ++i) full = !send();
      collect(full ? 10 : 0);
    }
  }
  void at_rate(int64_t start, int64_t until) {
    const int64_t backlog_max = std::max<int64_t>(100, static_cast<int64_t>(options_.rate));  // a second's worth
    for (int64_t i = 0;; ++i) {
      const int64_t due = start + static_cast<int64_t>(static_cast<double>(i) * 1e9 / options_.rate);
      if (due >= until) return;
      if (due > now_ns()) {
        collect(0);
        sleep_until(due);
      }
      if (tally_.offered - tally_.acked - tally_.failed >= backlog_max) collect(0);
      const bool room = tally_.offered - tally_.acked - tally_.failed < backlog_max;
      if (!room || !send()) ++tally_.refused;
    }
  }

  const Options& options_;
  std::string bytes_;  // librdkafka points at it and does not write
  Client client_;
  Topic topic_;
  Queue reports_;
  Tally tally_;
  int64_t next_ = 0;
  uint64_t draws_ = 1;
};

}  // namespace

nlohmann::json produce(const Options& options) {
  const auto producing = std::make_unique<Producing>(options);
  return producing->run();
}

nlohmann::json consume(const Options& options) {
  const Client client = open_client(RD_KAFKA_CONSUMER, options, {{"queued.min.messages", "500000"}});
  const Topic topic = open_topic(client, options);
  const Queue queue(rd_kafka_queue_new(client.get()));
  const int64_t start = now_ns();
  const double cpu = own_cpu();
  for (int p = 0; p < options.partitions; ++p) {
    rd_kafka_consume_start_queue(topic.get(), p, RD_KAFKA_OFFSET_BEGINNING, queue.get());
  }
  int64_t count = 0;
  int64_t bytes = 0;
  int64_t failed = 0;
  std::vector<rd_kafka_message_t*> batch(1000);
  const int64_t give_up = start + static_cast<int64_t>(options.seconds * 1e9);
  while (count < options.messages && now_ns() < give_up) {
    const ssize_t got = rd_kafka_consume_batch_queue(queue.get(), 100, batch.data(), batch.size());
    for (ssize_t i = 0; i < got; ++i) {
      batch[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR ? ++count : ++failed;
      bytes += static_cast<int64_t>(batch[i]->len);
      rd_kafka_message_destroy(batch[i]);
    }
  }
  const double took = static_cast<double>(now_ns() - start) / 1e9;
  for (int p = 0; p < options.partitions; ++p) rd_kafka_consume_stop(topic.get(), p);
  return {{"messages", count},
          {"bytes", bytes},
          {"failed", failed},
          {"seconds", took},
          {"rate", static_cast<double>(count) / took},
          {"client_cpu", own_cpu() - cpu}};
}

}  // namespace bench
