#include "bench/load/wire.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "bench/load/client.h"

namespace bench {
namespace {

constexpr int16_t kProduce = 0, kFetch = 1, kVersion = 8, kAcksAll = -1;

uint32_t crc32c(const std::string& bytes) {
  uint32_t crc = ~0u;
  for (const char b : bytes) {
    crc ^= static_cast<uint8_t>(b);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

std::string batch_of_one(size_t value_size) {
  Bytes record;
  record.put<int8_t>(0).put_varint(0).put_varint(0).put_varint(-1);  // attributes, deltas, no key
  record.put_varint(static_cast<int64_t>(value_size)).put(std::string(value_size, 'x')).put_varint(0);
  Bytes checked;
  checked.put<int16_t>(0).put<int32_t>(0).put<int64_t>(1'700'000'000'000).put<int64_t>(1'700'000'000'000);
  checked.put<int64_t>(-1).put<int16_t>(-1).put<int32_t>(-1).put<int32_t>(1);  // no producer, one record
  checked.put_varint(static_cast<int64_t>(record.text.size())).put(record.text);
  Bytes batch;
  batch.put<int64_t>(0).put(static_cast<int32_t>(checked.text.size() + 9)).put<int32_t>(-1).put<int8_t>(2);
  return batch.put(crc32c(checked.text)).put(checked.text).text;
}

Bytes begin_request(int16_t api) { return Bytes().put(api).put(kVersion).put<int32_t>(0).put_string("klamm-load"); }

std::string framed(const Bytes& body) {
  return Bytes().put(static_cast<int32_t>(body.text.size())).put(body.text).text;
}

}  // namespace

Bytes& Bytes::put_varint(int64_t value) {
  uint64_t left = (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
  for (; left >= 0x80; left >>= 7) text += static_cast<char>(left | 0x80);
  text += static_cast<char>(left);
  return *this;
}

int64_t read_int(const char* at, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value = value << 8 | static_cast<uint8_t>(at[i]);
  const size_t shift = 64 - 8 * bytes;
  return static_cast<int64_t>(value << shift) >> shift;
}

std::string produce_request(const std::string& topic, int32_t partition, size_t value_size) {
  const std::string batch = batch_of_one(value_size);
  Bytes body = begin_request(kProduce);
  body.put<int16_t>(-1).put(kAcksAll).put<int32_t>(30'000).put<int32_t>(1).put_string(topic);
  return framed(body.put<int32_t>(1).put(partition).put(static_cast<int32_t>(batch.size())).put(batch));
}

std::string fetch_request(const std::string& topic, int32_t partition, int64_t offset) {
  constexpr int32_t kWaitMs = 500, kMostBytes = 1 << 20;
  Bytes body = begin_request(kFetch);
  body.put<int32_t>(-1).put(kWaitMs).put<int32_t>(1).put(kMostBytes).put<int8_t>(0);
  body.put<int32_t>(0).put<int32_t>(-1);  // no session
  body.put<int32_t>(1).put_string(topic).put<int32_t>(1).put(partition).put(offset).put<int64_t>(-1).put(kMostBytes);
  return framed(body.put<int32_t>(0));  // no forgotten topics
}

void set_correlation(std::string& requests, size_t at, int32_t id) {
  const Bytes bytes = Bytes().put(id);
  requests.replace(at + kCorrelationAt, bytes.text.size(), bytes.text);
}

size_t produce_error_at(const std::string& topic) { return 4 + 4 + 2 + topic.size() + 4 + 4; }
size_t fetch_error_at(const std::string& topic) { return 4 + 4 + 2 + 4 + 4 + 2 + topic.size() + 4 + 4; }

int connect_to(const std::string& brokers) {
  const std::string first = brokers.substr(0, brokers.find(','));
  const size_t colon = first.rfind(':');
  addrinfo* found = nullptr;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(first.substr(0, colon).c_str(), first.substr(colon + 1).c_str(), &hints, &found) != 0) {
    fail("no such address: " + first);
  }
  const int descriptor = socket(found->ai_family, SOCK_STREAM, 0);
  if (connect(descriptor, found->ai_addr, found->ai_addrlen) != 0) fail("cannot connect to " + first);
  freeaddrinfo(found);
  const int on = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return descriptor;
}

void send_all(int descriptor, const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t n = ::send(descriptor, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (n < 0 && errno != EINTR) fail("a send failed");
    at += n < 0 ? 0 : static_cast<size_t>(n);
  }
}

}  // namespace bench
