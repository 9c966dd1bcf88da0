// Kafka's wire by hand, for loads that must cost little beside the broker. Layouts: Kafka's protocol guide, Produce
// version 8, Fetch version 8, and record batches of format 2.
#pragma once
#include <cstdint>
#include <string>

namespace bench {

inline constexpr size_t kSizeBytes = 4;        // a frame's length
inline constexpr size_t kCorrelationAt = 8;    // in a request, with its length
inline constexpr size_t kBatchPrefix = 8 + 4;  // a batch's base offset and the length of the rest

class Bytes final {
 public:
  template<class Int>
  Bytes& put(Int value) {
    for (int shift = static_cast<int>(sizeof value) * 8 - 8; shift >= 0; shift -= 8) {
      text += static_cast<char>(static_cast<uint64_t>(value) >> shift);
    }
    return *this;
  }
  Bytes& put(const std::string& s) {
    text += s;
    return *this;
  }
  Bytes& put_varint(int64_t value);
  Bytes& put_string(const std::string& s) { return put(static_cast<int16_t>(s.size())).put(s); }

  std::string text;
};

int64_t read_int(const char* at, size_t bytes);  // big-endian, signed

// Whole requests, length first, with correlation id 0.
std::string produce_request(const std::string& topic, int32_t partition, size_t value_size);
std::string fetch_request(const std::string& topic, int32_t partition, int64_t offset);
void set_correlation(std::string& requests, size_t at, int32_t id);

// Where the first partition's error lies in their answers, behind the length.
size_t produce_error_at(const std::string& topic);
size_t fetch_error_at(const std::string& topic);
inline constexpr size_t kFetchRecordsAfterError = 2 + 3 * 8 + 4;  // the size of the records, if none was aborted

// A connection to the first broker of the list.
int connect_to(const std::string& brokers);
void send_all(int descriptor, const std::string& bytes);

}  // namespace bench
