// The image as a file: what a snapshot of the metadata log holds (KIP-630). "<end>-<epoch>.checkpoint" stands for every
// record below offset `end`, the last of which was of leader epoch `epoch`.
//
//   control batch: SnapshotHeader, and what the quorum says of itself · batches of metadata records: features, brokers,
//   controllers, topics with their partitions, configs, what has no effect here, producer ids · control batch:
//   SnapshotFooter
//
// Offsets within the file count from 0 and mean nothing.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/result.h"
#include "engine/metadata/image.h"
#include "engine/protocol/batch_builder.h"

namespace klamm::metadata {

struct SnapshotId {
  Offset end = 0;
  LeaderEpoch epoch = 0;
  friend auto operator<=>(const SnapshotId&, const SnapshotId&) = default;
  template<class V>
  void fields(V& v) const {
    v("end", end), v("epoch", epoch);
  }
};
std::string snapshot_file(const SnapshotId& id);
std::optional<SnapshotId> parse_snapshot_file(std::string_view name);
inline constexpr const char* kDraftSuffix = ".part";  // behind the name while the file is being written
bool is_draft_of_snapshot(std::string_view name);
// The timestamp of the last record that a snapshot contains, by its first batch; nothing if that cannot be read.
std::optional<int64_t> contained_ms(ByteSpan head);

inline constexpr size_t kSnapshotBatchBytes = 64 << 10;  // of records, before a batch is closed
inline constexpr size_t kSnapshotPlainMax = 64 << 20;    // of one batch that is read, unpacked

// A value: writes an image down, one batch at a time, whatever becomes of the image meanwhile.
class SnapshotWriter final {
 public:
  struct Options {
    SnapshotId id;
    int64_t contained_ms = -1;  // timestamp of the last batch contained
    int64_t now_ms = 0;
  };
  SnapshotWriter() = default;
  SnapshotWriter(const Image& image, const Options& options);
  bool done() const { return stage_ == Stage::done; }
  const SnapshotId& id() const { return options_.id; }
  Slice next(Arena& arena);  // the next batch of the file; not when done

  template<class V>
  void fields(V& v) const {
    v("image", image_), v("id", options_.id), v("contained_ms", options_.contained_ms), v("now_ms", options_.now_ms),
        v("stage", stage_), v("topic", topic_), v("partition", partition_), v("key", key_), v("unused", unused_),
        v("offset", offset_);
  }

 private:
  enum class Stage : uint8_t { header, cluster, topics, configs, unused, last, footer, done };
  protocol::BatchBuilder batch(bool control) const;
  Slice finish(protocol::BatchBuilder& batch);
  Slice header();
  Slice footer();
  void add_cluster(Arena& arena, protocol::BatchBuilder& out) const;
  void add_topics(Arena& arena, protocol::BatchBuilder& out);
  void add_configs(protocol::BatchBuilder& out);
  void add_unused(protocol::BatchBuilder& out);

  Image image_;
  Options options_;
  Stage stage_ = Stage::header;
  std::optional<Uuid> topic_;          // begun
  int32_t partition_ = 0;              // of it: the next
  std::optional<ConfigResource> key_;  // the last written
  std::optional<UnusedKey> unused_;    // the last written
  Offset offset_ = 0;
};

// Reads such a file back, some batches at a time.
class SnapshotReader final {
 public:
  SnapshotReader() = default;
  SnapshotReader(const SnapshotId& id, Slice file) : id_(id), file_(std::move(file)) {}
  // Folds in about `most` bytes. Damage, or a record that cannot be folded, is an error; then this is spent.
  Result<void> step(Arena& arena, size_t most, Delta* delta = nullptr);
  bool done() const { return ended_ && file_.empty(); }
  // When done: as if every record below id().end had been applied.
  const Image& image() const { return image_; }
  const SnapshotId& id() const { return id_; }

  template<class V>
  void fields(V& v) const {
    v("id", id_), v("file", file_), v("at", at_), v("begun", begun_), v("ended", ended_), v("image", image_);
  }

 private:
  Result<void> data_record(Arena& arena, const protocol::Record& record, Delta* delta);
  Result<void> control_record(const protocol::Record& record);

  SnapshotId id_;
  Slice file_;
  size_t at_ = 0;
  bool begun_ = false;
  bool ended_ = false;
  Image image_;
};

}  // namespace klamm::metadata
