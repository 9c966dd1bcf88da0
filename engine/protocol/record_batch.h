// Record batches, format 2: views of bytes that lie elsewhere (a produce request, a segment), read lazily and in
// bounds.
//
//   0 base offset i64 · 8 length i32 (of what follows) · 12 partition leader epoch i32 · 16 magic i8 · 17 CRC-32C u32
//   21 attributes i16 · 23 last offset delta i32 · 27 base timestamp i64 · 35 max timestamp i64 · 43 producer id i64
//   51 producer epoch i16 · 53 base sequence i32 · 57 record count i32 · 61 records, compressed as one
//
// The checksum covers 21 to the end: base offset and leader epoch can be set anew without touching it.
#pragma once
#include "engine/base/reader.h"
#include "engine/base/result.h"
#include "engine/protocol/compression.h"
#include "engine/protocol/types.h"

namespace klamm::protocol {

inline constexpr size_t kBatchHeaderSize = 61;
inline constexpr size_t kBatchLogOverhead = 12;  // base offset and length, in front of what `length` counts
inline constexpr size_t kBatchCrcFrom = 21;      // the checksum covers from here to the end
inline constexpr size_t kLegacyBatchMin = 14;    // the least `length` of any format
inline constexpr int8_t kCurrentMagic = 2;
inline constexpr int64_t kNoTimestamp = -1;
inline constexpr ProducerId kNoProducerId = -1;
inline constexpr ProducerEpoch kNoProducerEpoch = -1;
inline constexpr int32_t kNoSequence = -1;

enum class TimestampType : uint8_t { create_time = 0, log_append_time = 1 };

// Sequences count from 0 to 2^31 - 1 and start again.
constexpr int32_t add_sequence(int32_t sequence, int32_t n) {
  return static_cast<int32_t>((static_cast<uint32_t>(sequence) + static_cast<uint32_t>(n)) & 0x7fffffffu);
}

struct BatchHeader {
  Offset base_offset = 0;
  int32_t length = 0;
  LeaderEpoch partition_leader_epoch = kNoEpoch;
  int8_t magic = kCurrentMagic;
  uint32_t crc = 0;
  int16_t attributes = 0;
  int32_t last_offset_delta = 0;
  int64_t base_timestamp = kNoTimestamp;  // the delete horizon, when the attributes say so
  int64_t max_timestamp = kNoTimestamp;
  ProducerId producer_id = kNoProducerId;
  ProducerEpoch producer_epoch = kNoProducerEpoch;
  int32_t base_sequence = kNoSequence;
  int32_t record_count = 0;

  static constexpr int16_t kLogAppendTime = 8, kTransactional = 16, kControl = 32, kDeleteHorizon = 64;
  size_t size() const { return static_cast<size_t>(length) + kBatchLogOverhead; }
  Offset last_offset() const { return base_offset + last_offset_delta; }
  int32_t last_sequence() const {
    return base_sequence < 0 ? kNoSequence : add_sequence(base_sequence, last_offset_delta);
  }
  bool known_compression() const { return (attributes & kCompressionMask) <= 4; }
  Compression compression() const { return static_cast<Compression>(attributes & kCompressionMask); }
  TimestampType timestamp_type() const { return static_cast<TimestampType>((attributes & kLogAppendTime) != 0); }
  bool transactional() const { return (attributes & kTransactional) != 0; }
  bool control() const { return (attributes & kControl) != 0; }
  bool has_delete_horizon() const { return (attributes & kDeleteHorizon) != 0; }
  bool has_producer() const { return producer_id >= 0; }
};

// The 61 bytes at p, whatever they hold.
BatchHeader read_batch_header(const uint8_t* p);
void write_batch_header(uint8_t* p, const BatchHeader& header);
// The checksum of a batch whose header and records may lie apart.
uint32_t batch_crc(const uint8_t* header, std::span<const Slice> records);

// What the leader decides when it appends; none of it is covered by the checksum.
struct BatchPlace {
  Offset base_offset;
  LeaderEpoch leader_epoch;
};
// The header at `from`, with a new place, to `to`: the fresh header of an append that shares the records.
void place_batch(uint8_t* to, const uint8_t* from, BatchPlace place);
// Sets LOG_APPEND_TIME (all records then carry `now`) in the header at p, and its checksum anew over `records` too.
void stamp_batch(uint8_t* p, int64_t now, std::span<const Slice> records);

// Exactly one batch of format 2: sizes, magic and checksum hold. Records are not looked at. corrupt_message otherwise.
Result<BatchHeader> check_batch(ByteSpan batch);

// Walks over the batches of a record set, of any format, by their lengths alone. An unfinished batch at the end (what a
// fetch cut off) ends the walk without an error.
class BatchCursor final {
 public:
  explicit BatchCursor(ByteSpan records) : rest_(records) {}
  bool next();
  ByteSpan batch() const { return batch_; }
  int8_t magic() const { return static_cast<int8_t>(batch_[16]); }
  const char* error() const { return error_; }  // null: none
  ByteSpan rest() const { return rest_; }       // after the end: the unfinished batch

 private:
  ByteSpan rest_;
  ByteSpan batch_;
  const char* error_ = nullptr;
};

// What Kafka says of the bytes at which a cursor has stopped with an error.
std::string framing_fault(ByteSpan rest);

// One record; views into the batch, or into the memory it was unpacked to.
struct Record {
  Offset offset = 0;
  int64_t timestamp = kNoTimestamp;
  int64_t timestamp_delta = 0;  // as stored
  int32_t offset_delta = 0;
  int32_t sequence = kNoSequence;
  Bytes key;
  Bytes value;
  int32_t header_count = 0;
  ByteSpan headers;  // for HeaderCursor
};

struct RecordHeader {
  Str key = "";
  Bytes value;
};

// The headers of a record, which a RecordCursor has checked.
class HeaderCursor final {
 public:
  explicit HeaderCursor(const Record& record) : reader_(record.headers), left_(record.header_count) {}
  bool next(RecordHeader& out);

 private:
  Reader reader_;
  int32_t left_;
};

// Walks over the records of one batch; `plain` are its records, unpacked.
class RecordCursor final {
 public:
  RecordCursor(const BatchHeader& header, ByteSpan plain)
      : header_(header), reader_(plain), left_(header.record_count) {
    if (left_ < 0) reader_.fail("a negative record count");
  }
  // False at the end and on damage: ask `error`.
  bool next(Record& out);
  const char* error() const { return reader_.error(); }

 private:
  BatchHeader header_;
  Reader reader_;
  int32_t left_;
};

// A batch with its records unpacked. The bytes it was opened on must outlive it.
class OpenBatch final {
 public:
  // `batch` has passed check_batch, which gave `header`. Unpacking stops at `plain_max` bytes.
  static Result<OpenBatch> open(const BatchHeader& header, ByteSpan batch, size_t plain_max);
  const BatchHeader& header() const { return header_; }
  RecordCursor records() const { return RecordCursor(header_, plain_); }
  ByteSpan plain() const { return plain_; }

 private:
  BatchHeader header_;
  Slice unpacked_;
  ByteSpan plain_;  // into unpacked_, or into the batch
};

}  // namespace klamm::protocol
