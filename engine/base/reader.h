// Reads the primitive types of Kafka's protocol from bytes of the outside world. Bounds are checked, failure is sticky:
// after the first one every read answers zero, and `error` keeps the first reason. Views point into the bytes given.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>

#include "engine/base/bytes.h"
#include "engine/base/ids.h"

namespace klamm {

// What a decoder does with tagged fields that its schema does not know.
enum class UnknownTags : uint8_t { skip, keep };

class Reader final {
 public:
  explicit Reader(ByteSpan bytes, UnknownTags unknown_tags = UnknownTags::skip)
      : at_(bytes.data()), end_(bytes.data() + bytes.size()), begin_(bytes.data()), unknown_tags_(unknown_tags) {}

  bool ok() const { return error_ == nullptr; }
  const char* error() const { return error_; }  // a literal; null while all went well
  void fail(const char* why) {
    if (error_ == nullptr) error_ = why;
    at_ = end_;
  }
  size_t remaining() const { return static_cast<size_t>(end_ - at_); }
  size_t position() const { return static_cast<size_t>(at_ - begin_); }
  const uint8_t* at() const { return at_; }
  bool keeps_unknown_tags() const { return unknown_tags_ == UnknownTags::keep; }
  bool finished() const { return ok() && at_ == end_; }  // all went well and nothing is left

  bool boolean() { return u8() != 0; }
  uint8_t u8() { return number<uint8_t>(); }
  int8_t i8() { return static_cast<int8_t>(number<uint8_t>()); }
  int16_t i16() { return static_cast<int16_t>(number<uint16_t>()); }
  int32_t i32() { return static_cast<int32_t>(number<uint32_t>()); }
  int64_t i64() { return static_cast<int64_t>(number<uint64_t>()); }
  uint16_t u16() { return number<uint16_t>(); }
  uint32_t u32() { return number<uint32_t>(); }
  double f64() { return std::bit_cast<double>(number<uint64_t>()); }
  Uuid uuid() {
    Uuid id;
    if (const uint8_t* p = take(16)) std::memcpy(id.bytes.data(), p, 16);
    return id;
  }
  // At most five bytes; as in Kafka, bits beyond the 32nd are dropped.
  uint32_t uvarint() {
    if (at_ != end_ && *at_ < 0x80) [[likely]]
      return *at_++;
    return static_cast<uint32_t>(uvarint_slow(5));
  }
  uint64_t uvarlong() {
    if (at_ != end_ && *at_ < 0x80) [[likely]]
      return *at_++;
    return uvarint_slow(10);
  }
  int32_t varint() {
    const uint32_t v = uvarint();
    return static_cast<int32_t>((v >> 1) ^ (0 - (v & 1)));
  }
  int64_t varlong() {
    const uint64_t v = uvarlong();
    return static_cast<int64_t>((v >> 1) ^ (0 - (v & 1)));
  }
  // The next n bytes, or null (and failure) when there are fewer.
  const uint8_t* take(size_t n) {
    if (remaining() < n) [[unlikely]] {
      fail("the bytes end too early");
      return nullptr;
    }
    const uint8_t* p = at_;
    at_ += n;
    return p;
  }
  ByteSpan span(size_t n) {
    const uint8_t* p = take(n);
    return p ? ByteSpan{p, n} : ByteSpan{};
  }

 private:
  template<class T>
  T number() {
    if (remaining() < sizeof(T)) [[unlikely]] {
      fail("the bytes end too early");
      return 0;
    }
    T v;
    std::memcpy(&v, at_, sizeof(T));
    at_ += sizeof(T);
    if constexpr (sizeof(T) == 2) v = __builtin_bswap16(v);
    if constexpr (sizeof(T) == 4) v = __builtin_bswap32(v);
    if constexpr (sizeof(T) == 8) v = __builtin_bswap64(v);
    return v;
  }
  uint64_t uvarint_slow(int bytes_max);

  const uint8_t* at_;
  const uint8_t* end_;
  const uint8_t* begin_;
  const char* error_ = nullptr;
  UnknownTags unknown_tags_;
};

}  // namespace klamm
