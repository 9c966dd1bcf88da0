// End to end: a message carries the instant at which it was due, a consumer in the same process tells how long it took.
// Open loop: a message that had to wait because an earlier one was slow counts its waiting.
#include <atomic>
#include <cstring>
#include <thread>

#include "bench/load/client.h"

namespace bench {
namespace {

struct Stamp {
  int64_t due_ns = 0;
  int64_t number = 0;
};
static_assert(sizeof(Stamp) == 16);

// Reads all partitions from their ends on; owned and run by one thread.
class Reader final {
 public:
  explicit Reader(const Options& options)
      : options_(options),
        client_(open_client(RD_KAFKA_CONSUMER, options, {{"fetch.error.backoff.ms", "10"}})),
        topic_(open_topic(client_, options)),
        queue_(rd_kafka_queue_new(client_.get())) {
    for (int p = 0; p < options_.partitions; ++p) {
      rd_kafka_consume_start_queue(topic_.get(), p, RD_KAFKA_OFFSET_BEGINNING, queue_.get());
    }
  }
  ~Reader() {
    for (int p = 0; p < options_.partitions; ++p) rd_kafka_consume_stop(topic_.get(), p);
  }

  void run(int64_t count_from_ns, const std::atomic<bool>& stop) {
    rd_kafka_message_t* batch[64];
    while (!stop) {
      const ssize_t got = rd_kafka_consume_batch_queue(queue_.get(), 50, batch, 1);
      const int64_t now = now_ns();
      for (ssize_t i = 0; i < got; ++i) {
        if (batch[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR && batch[i]->len >= sizeof(Stamp)) {
          Stamp s;
          std::memcpy(&s, batch[i]->payload, sizeof s);
          ++seen;
          if (s.due_ns >= count_from_ns) samples.push_back(now - s.due_ns);
        }
        rd_kafka_message_destroy(batch[i]);
      }
    }
  }

  std::vector<int64_t> samples;
  std::atomic<int64_t> seen = 0;

 private:
  const Options& options_;
  Client client_;
  Topic topic_;
  Queue queue_;
};

}  // namespace

nlohmann::json latency(const Options& options) {
  if (options.rate <= 0 || options.size < sizeof(Stamp)) fail("latency wants --rate and a --size of 16 or more");
  const Client client =
      open_client(RD_KAFKA_PRODUCER, options, {{"acks", "all"}, {"linger.ms", "0"}, {"socket.nagle.disable", "true"}});
  const Topic topic = open_topic(client, options);
  const Queue reports(rd_kafka_queue_get_main(client.get()));
  Reader reader(options);
  std::atomic<bool> stop = false;
  const int64_t start = now_ns() + 500'000'000;
  const int64_t count_from = start + static_cast<int64_t>(options.warm_up * 1e9);
  const auto total = static_cast<int64_t>((options.warm_up + options.seconds) * options.rate);
  std::thread reading([&] { reader.run(count_from, stop); });

  std::string bytes(options.size, 'x');
  int64_t failed = 0;
  int64_t late = 0;  // how far the sender itself fell behind, at worst
  const auto count = [&](const rd_kafka_message_t& m) { failed += m.err != RD_KAFKA_RESP_ERR_NO_ERROR; };
  for (int64_t i = 0; i < total; ++i) {
    const Stamp stamp{start + static_cast<int64_t>(static_cast<double>(i) * 1e9 / options.rate), i};
    drain_reports(reports, 0, count);
    sleep_until(stamp.due_ns);
    if (stamp.due_ns >= count_from) late = std::max(late, now_ns() - stamp.due_ns);
    std::memcpy(bytes.data(), &stamp, sizeof stamp);
    const auto partition = static_cast<int32_t>(i % options.partitions);
    if (rd_kafka_produce(topic.get(), partition, RD_KAFKA_MSG_F_COPY, bytes.data(), bytes.size(), nullptr, 0,
                         nullptr) != 0) {
      ++failed;
    }
  }
  for (const int64_t until = now_ns() + 5'000'000'000; reader.seen + failed < total && now_ns() < until;) {
    drain_reports(reports, 10, count);
  }
  stop = true;
  reading.join();
  nlohmann::json out = percentiles(reader.samples);
  out["samples"] = reader.samples.size();
  out["missing"] = total - reader.seen;
  out["failed"] = failed;
  out["sender_late_ms"] = static_cast<double>(late) / 1e6;
  return out;
}

}  // namespace bench
