// Strong identifiers. An id of one kind is not an id of another, and none is an integer by accident.
#pragma once
#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>
#include <string>

namespace klamm {

template<class Tag, class Rep>
struct Id {
  Rep value{};
  constexpr Id() = default;
  constexpr explicit Id(Rep v) : value(v) {}
  friend constexpr auto operator<=>(Id, Id) = default;
};

// A slot of a slab and the generation of its use: an answer to a former use is recognised and ignored.
template<class Tag>
struct Handle {
  uint32_t slot = 0;
  uint32_t generation = 0;  // 0 is never handed out: the default handle is nobody's
  friend constexpr auto operator<=>(Handle, Handle) = default;
  constexpr explicit operator bool() const { return generation != 0; }
  constexpr uint64_t packed() const { return (uint64_t{generation} << 32) | slot; }
  static constexpr Handle unpack(uint64_t v) { return {static_cast<uint32_t>(v), static_cast<uint32_t>(v >> 32)}; }
};

using ConnId = Handle<struct ConnTag>;  // a byte stream; allocated by the engine for dialed and adopted ones alike
using FileId = Handle<struct FileTag>;  // a logical open file; the driver keeps a bounded cache of descriptors
using Token = Handle<struct TokenTag>;  // one command under way that ends in exactly one terminal event
using ListenerId = Id<struct ListenerTag, uint32_t>;  // index into the boot value's listeners
using PendingId = Id<struct PendingTag, uint64_t>;    // an accepted connection not yet adopted or refused; the driver's
using DirId = Id<struct DirTag, uint32_t>;            // index into the boot value's directories
using NodeId = Id<struct NodeTag, int32_t>;           // node.id; -1 means none on the wire
inline constexpr NodeId kNoNode{-1};

using Offset = int64_t;       // of a record in one partition's log
using LeaderEpoch = int32_t;  // of a partition, or the raft epoch in the metadata log
using BrokerEpoch = int64_t;  // of one registration of a broker (KIP-903)
using ProducerId = int64_t;
using ProducerEpoch = int16_t;
inline constexpr LeaderEpoch kNoEpoch = -1;

struct OffsetAndEpoch {
  Offset offset = 0;
  LeaderEpoch epoch = 0;
  friend constexpr bool operator==(OffsetAndEpoch, OffsetAndEpoch) = default;
};

struct Uuid {
  std::array<uint8_t, 16> bytes{};
  // The order of the bytes, but as two words and without a call: maps of partitions compare them all the time.
  friend constexpr std::strong_ordering operator<=>(const Uuid& a, const Uuid& b) {
    const auto x = a.words(), y = b.words();
    return x[0] != y[0] ? x[0] <=> y[0] : x[1] <=> y[1];
  }
  friend constexpr bool operator==(const Uuid& a, const Uuid& b) { return a.words() == b.words(); }
  constexpr bool zero() const { return *this == Uuid{}; }
  // Kafka's text form: base64url without padding, 22 characters.
  std::string text() const;
  static bool parse(const char* text, size_t size, Uuid* out);

 private:
  constexpr std::array<uint64_t, 2> words() const {  // big-endian
    auto w = std::bit_cast<std::array<uint64_t, 2>>(bytes);
    if constexpr (std::endian::native == std::endian::little)
      for (uint64_t& x : w) x = __builtin_bswap64(x);
    return w;
  }
};

struct TopicIdPartition {
  Uuid topic;
  int32_t partition = 0;
  friend constexpr auto operator<=>(const TopicIdPartition&, const TopicIdPartition&) = default;
};

}  // namespace klamm
