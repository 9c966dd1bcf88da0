// Writes steadily with a client's default settings, to all partitions in turn as most producers do, kills the given
// process, and tells how long it took until a message sent after that to a partition that it led was acknowledged.
// (To one partition alone would often measure librdkafka: with no other broker connected it asks nobody for a second.)
#include <signal.h>

#include <algorithm>

#include "bench/load/client.h"

namespace bench {

nlohmann::json failover(const Options& options) {
  const Client client = open_client(RD_KAFKA_PRODUCER, options, {});
  const Topic topic = open_topic(client, options);
  const Queue reports(rd_kafka_queue_get_main(client.get()));
  const double rate = options.rate > 0 ? options.rate : 200;
  const auto limit = static_cast<int64_t>(options.seconds * 1e9);

  std::vector<int64_t> sent_at;
  int64_t acked = 0;
  int64_t failed = 0;
  int64_t last_ack = 0;
  int64_t largest_gap = 0;
  int64_t killed_at = 0;
  int64_t back_at = 0;  // the first acknowledgement of a message sent after the kill
  const auto report = [&](const rd_kafka_message_t& m) {
    if (m.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      ++failed;
      return;
    }
    ++acked;
    if (m.partition != options.partition) return;
    const int64_t now = now_ns();
    if (last_ack > 0) largest_gap = std::max(largest_gap, now - last_ack);
    last_ack = now;
    const auto number = static_cast<size_t>(reinterpret_cast<intptr_t>(m._private));
    if (killed_at != 0 && back_at == 0 && sent_at[number] >= killed_at) back_at = now;
  };
  const auto send = [&] {
    const size_t number = sent_at.size();
    sent_at.push_back(now_ns());
    const std::string bytes = std::to_string(number);
    // Half of them to the partition that is looked at.
    const auto other = static_cast<int32_t>(number / 2 % static_cast<size_t>(options.partitions));
    rd_kafka_produce(topic.get(), number % 2 == 0 ? options.partition : other, RD_KAFKA_MSG_F_COPY,
                     const_cast<char*>(bytes.data()), bytes.size(), nullptr, 0,
                     reinterpret_cast<void*>(static_cast<intptr_t>(number)));
  };

  send();
  while (acked == 0 && failed == 0) drain_reports(reports, 100, report);
  const int64_t start = now_ns();
  const int64_t kill_at = start + static_cast<int64_t>(options.kill_after * 1e9);
  for (int64_t due = start; due < kill_at + limit; due += static_cast<int64_t>(1e9 / rate)) {
    while (now_ns() < due) drain_reports(reports, 1, report);
    if (killed_at == 0 && due >= kill_at) {
      killed_at = now_ns();
      if (options.victim > 0 && kill(options.victim, SIGKILL) != 0) fail("cannot kill the leader");
    }
    send();
    if (back_at != 0 && now_ns() > back_at + 1'000'000'000) break;
  }
  const auto total = static_cast<int64_t>(sent_at.size());
  for (const int64_t until = now_ns() + 20'000'000'000; acked + failed < total && now_ns() < until;) {
    drain_reports(reports, 100, report);
  }
  nlohmann::json out{{"sent", total},
                     {"acked", acked},
                     {"failed", failed},
                     {"largest_gap_ms", static_cast<double>(largest_gap) / 1e6},
                     {"gap_ms", nullptr}};
  if (back_at != 0) out["gap_ms"] = static_cast<double>(back_at - killed_at) / 1e6;
  return out;
}

}  // namespace bench
