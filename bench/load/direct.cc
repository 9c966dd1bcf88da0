// End to end through the broker alone: one connection writes a message when it is due, another waits for it in a Fetch,
// and neither costs more than its system calls. Open loop, as `latency`, which has librdkafka at both ends.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <thread>

#include "bench/load/client.h"
#include "bench/load/wire.h"

namespace bench {
namespace {

// The answers on one connection, one after another.
class Answers final {
 public:
  explicit Answers(int descriptor) : descriptor_(descriptor) {}

  std::string next() {
    std::array<char, 16384> buffer;
    while (!whole()) {
      const ssize_t n = recv(descriptor_, buffer.data(), buffer.size(), 0);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail("the broker closed a connection");
      received_.append(buffer.data(), static_cast<size_t>(n));
    }
    std::string body = received_.substr(kSizeBytes, size());
    received_.erase(0, kSizeBytes + body.size());
    return body;
  }

 private:
  size_t size() const { return static_cast<size_t>(read_int(received_.data(), kSizeBytes)); }
  bool whole() const { return received_.size() >= kSizeBytes && received_.size() - kSizeBytes >= size(); }

  const int descriptor_;
  std::string received_;
};

// Of a topic of one partition that was empty: the offset tells which message it is.
class Direct final {
 public:
  explicit Direct(const Options& options)
      : options_(options),
        total_(static_cast<int64_t>((options.warm_up + options.seconds) * options.rate)),
        first_counted_(static_cast<int64_t>(options.warm_up * options.rate)),
        start_(now_ns() + 200'000'000) {}

  nlohmann::json run() {
    std::thread reader([this] { read(); });
    const int out = connect_to(options_.brokers);
    const std::string request = produce_request(options_.topic, 0, options_.size);
    std::thread answers([this, out] {
      Answers all(out);
      for (int64_t i = 0; i < total_; ++i)
        failed_ += read_int(all.next().data() + produce_error_at(options_.topic), 2) != 0;
    });
    for (int64_t i = 0; i < total_; ++i) {
      sleep_until(due(i));
      send_all(out, request);
    }
    answers.join();
    reader.join();
    close(out);
    nlohmann::json result = percentiles(samples_);
    result["samples"] = samples_.size();
    result["missing"] = total_ - next_;
    result["failed"] = failed_.load();
    return result;
  }

 private:
  int64_t due(int64_t message) const {
    return start_ + static_cast<int64_t>(static_cast<double>(message) * 1e9 / options_.rate);
  }
  void read() {
    const int in = connect_to(options_.brokers);
    Answers answers(in);
    const size_t error_at = fetch_error_at(options_.topic);
    const int64_t give_up = due(total_) + 5'000'000'000;
    while (next_ + failed_ < total_ && now_ns() < give_up) {
      send_all(in, fetch_request(options_.topic, 0, next_));
      const std::string answer = answers.next();
      const int64_t now = now_ns();
      if (read_int(answer.data() + error_at, 2) != 0) fail("a fetch was refused");
      size_t at = error_at + kFetchRecordsAfterError;
      at += 4;
      while (answer.size() - at >= kBatchPrefix) {
        const int64_t offset = read_int(answer.data() + at, 8);
        if (offset >= first_counted_) samples_.push_back(now - due(offset));
        next_ = offset + 1;
        at += kBatchPrefix + static_cast<size_t>(read_int(answer.data() + at + 8, 4));
      }
    }
    close(in);
  }

  const Options& options_;
  const int64_t total_, first_counted_, start_;
  int64_t next_ = 0;  // of the reader
  std::vector<int64_t> samples_;
  std::atomic<int64_t> failed_ = 0;
};

}  // namespace

nlohmann::json direct(const Options& options) {
  if (options.rate <= 0) fail("direct wants --rate");
  return Direct(options).run();
}

}  // namespace bench
