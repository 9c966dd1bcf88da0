// Produce requests of one message each on many connections at once, some in flight on each, closed loop: as many as the
// broker can take. Written to cost little beside the broker; librdkafka's own work would be the limit.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "bench/load/client.h"
#include "bench/load/wire.h"

namespace bench {
namespace {

struct Connection {
  int descriptor = -1;
  std::string request;
  std::string received;            // the beginning of an answer
  std::vector<int64_t> sent_at;    // by correlation id modulo the number in flight
  int32_t sent = 0, answered = 0;  // correlation ids
};

class Requests final {
 public:
  explicit Requests(const Options& options)
      : options_(options), poll_(epoll_create1(0)), error_at_(produce_error_at(options.topic)) {
    for (int i = 0; i < options.connections; ++i) {
      Connection c;
      c.descriptor = connect_to(options.brokers);
      c.request = produce_request(options.topic, i % options.partitions, options.size);
      c.sent_at.resize(static_cast<size_t>(options.in_flight));
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u32 = static_cast<uint32_t>(i);
      epoll_ctl(poll_, EPOLL_CTL_ADD, c.descriptor, &event);
      connections_.push_back(std::move(c));
    }
  }
  ~Requests() {
    for (const Connection& c : connections_) close(c.descriptor);
    close(poll_);
  }

  nlohmann::json run() {
    const int64_t start = now_ns();
    const double cpu = own_cpu();
    until_ = start + static_cast<int64_t>(options_.seconds * 1e9);
    for (Connection& c : connections_) send(c, options_.in_flight);
    std::array<epoll_event, 64> ready;
    while (answered_ < sent_) {
      const int count = epoll_wait(poll_, ready.data(), ready.size(), 10'000);
      if (count == 0) fail("no answer for ten seconds");
      for (int i = 0; i < count; ++i) receive(connections_[ready[static_cast<size_t>(i)].data.u32]);
    }
    const double took = static_cast<double>(now_ns() - start) / 1e9;
    nlohmann::json out = percentiles(samples_);
    out["acked"] = answered_ - failed_;
    out["failed"] = failed_;
    out["seconds"] = took;
    out["rate"] = static_cast<double>(answered_) / took;
    out["client_cpu"] = own_cpu() - cpu;
    return out;
  }

 private:
  void send(Connection& c, int count) {
    const int64_t now = now_ns();
    if (now >= until_) return;
    std::string bytes;
    for (int i = 0; i < count; ++i) {
      c.sent_at[static_cast<size_t>(c.sent % options_.in_flight)] = now;
      bytes += c.request;
      set_correlation(bytes, bytes.size() - c.request.size(), c.sent++);
    }
    sent_ += count;
    send_all(c.descriptor, bytes);
  }
  void receive(Connection& c) {
    std::array<char, 16384> buffer;
    const ssize_t n = recv(c.descriptor, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) fail("the broker closed a connection");
    c.received.append(buffer.data(), static_cast<size_t>(n));
    size_t at = 0;
    int count = 0;
    const int64_t now = now_ns();
    for (; c.received.size() - at >= kSizeBytes; ++count) {
      const auto size = static_cast<size_t>(read_int(c.received.data() + at, kSizeBytes));
      if (c.received.size() - at - kSizeBytes < size) break;
      failed_ += size < error_at_ + 2 || read_int(c.received.data() + at + kSizeBytes + error_at_, 2) != 0;
      samples_.push_back(now - c.sent_at[static_cast<size_t>(c.answered++ % options_.in_flight)]);
      at += kSizeBytes + size;
    }
    c.received.erase(0, at);
    answered_ += count;
    send(c, count);
  }

  const Options& options_;
  const int poll_;
  const size_t error_at_;  // in an answer
  std::vector<Connection> connections_;
  std::vector<int64_t> samples_;
  int64_t until_ = 0, sent_ = 0, answered_ = 0, failed_ = 0;
};

}  // namespace

nlohmann::json requests(const Options& options) { return Requests(options).run(); }

}  // namespace bench
