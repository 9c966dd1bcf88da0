// Builds a record batch of format 2, record by record, into memory of its own.
#pragma once
#include <optional>

#include "engine/base/writer.h"
#include "engine/protocol/record_batch.h"

namespace klamm::protocol {

// The type of a control record, in its key (int16 version 0, int16 type).
enum class ControlType : int16_t {
  abort = 0,
  commit = 1,
  leader_change = 2,
  snapshot_header = 3,
  snapshot_footer = 4,
  kraft_version = 5,
  kraft_voters = 6,
};
// The type that a control record's key states; nothing if it is too short.
std::optional<int16_t> control_type(const Bytes& key);

// What a batch may ever unpack to: built anew, even its worst records still have their size in 31 bits.
inline constexpr size_t kPlainMost = 512 << 20;

class BatchBuilder final {
 public:
  struct Options {
    Offset base_offset = 0;
    LeaderEpoch leader_epoch = kNoEpoch;
    Compression compression = Compression::none;
    CompressionLevel level = {};
    ProducerId producer_id = kNoProducerId;
    ProducerEpoch producer_epoch = kNoProducerEpoch;
    int32_t base_sequence = kNoSequence;
    bool transactional = false;
    bool control = false;
    std::optional<int64_t> base_timestamp = {};   // else the first record's
    std::optional<int64_t> log_append_time = {};  // what all records carry; their own timestamps only make the deltas
    std::optional<int64_t> delete_horizon = {};   // compaction: goes where the base timestamp stands
    int64_t empty_max_timestamp = kNoTimestamp;   // of a batch that compaction left without records
    size_t size_hint = 512;
  };
  struct NewRecord {
    int64_t timestamp = kNoTimestamp;
    Bytes key;    // null unless set
    Bytes value;  // null unless set
    std::span<const RecordHeader> headers = {};
  };

  BatchBuilder() : BatchBuilder(Options()) {}
  explicit BatchBuilder(const Options& options);

  // The record gets the next offset.
  void add(const NewRecord& record) { add_at(next_delta_, record); }
  // Deltas ascend; gaps are what compaction leaves.
  void add_at(int32_t offset_delta, const NewRecord& record);
  // A record of another batch gets the next offset; key, value and headers as they are.
  void add_again(const Record& record);
  void add_control(ControlType type, int64_t timestamp, ByteSpan value);
  // For the metadata log: the caller has encoded the value itself.
  void add_value(int64_t timestamp, ByteSpan value) { add({.timestamp = timestamp, .value = Bytes::of(value)}); }
  // The batch covers offsets up to this delta although its last records are gone (compaction).
  void cover_to(int32_t last_offset_delta);

  int32_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  size_t plain_size() const { return records_.size(); }  // header included, before compression

  // The batch as one slice. The builder is spent afterwards.
  Slice finish();

 private:
  struct Place {
    int32_t offset_delta;
    int64_t timestamp;
  };
  // A record up to its headers, of which `headers` bytes must follow. Says where it will end.
  size_t begin_record(Place place, const Bytes& key, const Bytes& value, size_t headers);
  void end_record(size_t end);

  Options options_;
  Writer records_;  // the header's place, then the records
  int32_t count_ = 0;
  int32_t next_delta_ = 0;
  int64_t base_timestamp_ = kNoTimestamp;
  int64_t max_timestamp_ = kNoTimestamp;
};

// The size that a record takes in a batch, at most: for deciding whether one more fits.
size_t record_size_max(const BatchBuilder::NewRecord& record);

}  // namespace klamm::protocol
