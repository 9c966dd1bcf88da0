#include "bench/load/client.h"

#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace bench {

int64_t now_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

void sleep_until(int64_t at_ns) {
  const timespec t{.tv_sec = at_ns / 1'000'000'000, .tv_nsec = at_ns % 1'000'000'000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr) != 0) {
  }
}

void fail(const std::string& what) {
  std::fprintf(stderr, "load: %s\n", what.c_str());
  std::exit(1);
}

Client open_client(rd_kafka_type_t type, const Options& options, const Properties& properties) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char error[512];
  const auto set = [&](const std::string& key, const std::string& value) {
    if (rd_kafka_conf_set(conf, key.c_str(), value.c_str(), error, sizeof error) != RD_KAFKA_CONF_OK) fail(error);
  };
  set("bootstrap.servers", options.brokers);
  set("log_level", "2");  // a killed broker is no news here
  for (const auto& [key, value] : properties) set(key, value);
  for (const std::string& pair : options.config) {
    const size_t equals = pair.find('=');
    if (equals == std::string::npos) fail("--config wants key=value, not '" + pair + "'");
    set(pair.substr(0, equals), pair.substr(equals + 1));
  }
  if (type == RD_KAFKA_PRODUCER) rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR);
  rd_kafka_t* rk = rd_kafka_new(type, conf, error, sizeof error);
  if (rk == nullptr) fail(error);
  return Client(rk);
}

Topic open_topic(const Client& client, const Options& options) {
  rd_kafka_topic_t* rkt = rd_kafka_topic_new(client.get(), options.topic.c_str(), nullptr);
  if (rkt == nullptr) fail(rd_kafka_err2str(rd_kafka_last_error()));
  return Topic(rkt);
}

double own_cpu() {
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

nlohmann::json percentiles(std::vector<int64_t> samples) {
  if (samples.empty()) return nullptr;
  std::sort(samples.begin(), samples.end());
  const auto at = [&](double share) {
    const auto i = static_cast<size_t>(std::ceil(share * static_cast<double>(samples.size()))) - 1;
    return static_cast<double>(samples[std::min(i, samples.size() - 1)]) / 1e6;
  };
  double sum = 0;
  for (const int64_t s : samples) sum += static_cast<double>(s);
  return {{"p50", at(0.5)},
          {"p99", at(0.99)},
          {"p99.9", at(0.999)},
          {"max", at(1)},
          {"mean", sum / static_cast<double>(samples.size()) / 1e6}};
}

}  // namespace bench
