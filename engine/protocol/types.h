// The value types of message fields. All are views: they hold as long as the frame (and the arena) they came from.
#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>

#include "engine/base/arena.h"
#include "engine/base/bytes.h"
#include "engine/base/file_region.h"
#include "engine/base/ids.h"

namespace klamm {
class Reader;
class Writer;
}  // namespace klamm

namespace klamm::protocol {

inline constexpr uint8_t kNoBytes[1] = {0};  // what an empty value that is not null points to

// A closed range of versions; empty when low > high.
struct Versions {
  int16_t low = 0;
  int16_t high = -1;
  constexpr bool contains(int16_t v) const { return low <= v && v <= high; }
  constexpr bool empty() const { return low > high; }
  friend constexpr bool operator==(Versions, Versions) = default;
};
inline constexpr int16_t kNeverFlexible = std::numeric_limits<int16_t>::max();

// Kafka's bytes. Null (without data) is distinct from empty.
struct Bytes {
  const uint8_t* data = nullptr;
  size_t size = 0;
  static constexpr Bytes empty() { return {kNoBytes, 0}; }
  static constexpr Bytes of(ByteSpan s) { return s.data() ? Bytes{s.data(), s.size()} : empty(); }
  constexpr bool is_null() const { return data == nullptr; }
  constexpr ByteSpan span() const { return {data, size}; }
};

// Kafka's records: record batches, one after the other. Decoding gives the one view `data`; for encoding the content
// may be slices instead, which the writer attaches without a copy, or a region of a file. Either must outlive the
// encoding.
struct Records {
  const uint8_t* data = nullptr;
  size_t size = 0;  // of `data` or of all parts
  const Slice* parts = nullptr;
  size_t part_count = 0;
  const FileRegion* region = nullptr;
  static constexpr Records empty() { return {kNoBytes, 0, nullptr, 0}; }
  static constexpr Records of(ByteSpan s) { return {s.data() ? s.data() : kNoBytes, s.size(), nullptr, 0}; }
  static Records of(std::span<const Slice> parts) {
    if (parts.empty()) return empty();
    Records r{nullptr, 0, parts.data(), parts.size()};
    for (const Slice& s : parts) r.size += s.size();
    return r;
  }
  static Records of(const FileRegion& region) { return {kNoBytes, region.size, nullptr, 0, &region}; }
  constexpr bool is_null() const { return data == nullptr && parts == nullptr; }
  constexpr ByteSpan span() const { return {data, size}; }  // only without parts or a region
};

// A struct that may be null; while it is, `value` means nothing.
template<class T>
struct Nullable {
  T value{};
  bool null = false;
  constexpr bool has_value() const { return !null; }
  T& emplace() {
    null = false;
    return value = T{};
  }
  T* operator->() { return &value; }
  const T* operator->() const { return &value; }
  T& operator*() { return value; }
  const T& operator*() const { return value; }
};

// Tagged fields that the schema does not know, in ascending order of tag; kept only when the reader was told so.
struct RawTag {
  uint32_t tag = 0;
  Bytes value;
  const RawTag* next = nullptr;
};

}  // namespace klamm::protocol
