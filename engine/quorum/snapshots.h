// The snapshots of the metadata log: files beside its segments, each for all records below an offset (KIP-630). The
// newest is read at the start. Which of the older ones stay is for their owner to say.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/env/io.h"
#include "engine/log/replace_file.h"
#include "engine/metadata/snapshot.h"
#include "engine/quorum/place.h"

namespace klamm::quorum {

inline constexpr uint32_t kMaxSnapshotBytes = 512u << 20;  // a larger one is neither written nor read

class Snapshots final {
 public:
  // The end of a read_part.
  struct Part {
    uint16_t slot = 0;
    IoError error = IoError::none;
    Slice bytes;
  };
  static constexpr size_t kMaxReads = 64;  // of parts, under way
  struct Out {
    bool loaded = false;  // newest() and its bytes are there, if there is one
    bool stored = false;  // what was stored is durable, and newest()
    bool dated = false;   // of the oldest it is known now how old it is
    std::vector<Part> parts;
    std::string fatal;  // not empty: unreadable or unwritable
  };
  struct File {
    int64_t bytes = 0;
    std::optional<int64_t> contained_ms;  // timestamp of the last record contained; nothing: not looked at yet
    template<class V>
    void fields(V& v) const {
      v("bytes", bytes), v("contained_ms", contained_ms);
    }
  };
  using Files = std::map<metadata::SnapshotId, File>;

  explicit Snapshots(Place place) : place_(std::move(place)) {}
  void load(Io& io);  // once
  bool loaded() const { return loaded_; }
  const Files& files() const { return files_; }
  std::optional<metadata::SnapshotId> newest() const {
    return files_.empty() ? std::nullopt : std::optional(files_.rbegin()->first);
  }
  const Slice& bytes() const { return bytes_; }  // what take_bytes will give
  Slice take_bytes() {
    return std::exchange(bytes_, {});
  }  // of the newest that load has found, or that were kept; once
  void keep_bytes(Slice bytes) { bytes_ = std::move(bytes); }  // for take_bytes
  bool busy() const { return !loaded_ || storing_; }
  // Writes, syncs and names the file. Not while busy.
  void store(Io& io, const metadata::SnapshotId& id, Slice file);
  // Looks how old the oldest is; Out.dated tells.
  void date_oldest(Io& io);
  // Reads a part of one for somebody else; Out.parts tells, of the slot. Nothing: too many do.
  std::optional<uint16_t> read_part(Io& io, const metadata::SnapshotId& id, int64_t position, uint32_t size);
  // Those before it go.
  void remove_before(Io& io, const metadata::SnapshotId& id);
  void on_storage(Io& io, const Owner& owner, const StorageEnd& end, Out& out);

  template<class V>
  void fields(V& v) const {
    v("loaded", loaded_), v("drafts", drafts_), v("files", files_), v("bytes", bytes_), v("storing", storing_),
        v("stored", stored_), v("replace", replace_), v("dating", dating_), v("reads", reads_);
  }

 private:
  enum Step : uint16_t { kList, kSweep, kRead, kReplace, kRemove, kDate, kPart };  // kPart and the slot
  // A look into a file: open, read, close.
  struct Look {
    FileId file;
    uint8_t left = 0;  // commands under way
    IoError error = IoError::none;
    Slice bytes;
    template<class V>
    void fields(V& v) const {
      v("file", file), v("left", left), v("error", error), v("bytes", bytes);
    }
  };
  struct Dating {
    metadata::SnapshotId id;
    Look look;
    template<class V>
    void fields(V& v) const {
      v("id", id), v("look", look);
    }
  };
  struct Range {
    int64_t from = 0;
    uint32_t size = 0;
  };
  Owner owner(uint16_t step) const { return {place_.module, step, place_.key}; }
  Look look(Io& io, const Owner& who, const metadata::SnapshotId& id, Range range) const;
  static bool ended(Io& io, Look& look, const StorageEnd& end);
  void end_part(Io& io, uint16_t slot, const StorageEnd& end, Out& out);
  std::string path(const std::string& name) const { return place_.folder + "/" + name; }
  std::string path(const metadata::SnapshotId& id) const { return path(snapshot_file(id)); }
  void listed(Io& io, const StorageEnd& end, Out& out);
  void read_newest(Io& io, Out& out);
  void end_dating(Io& io, const StorageEnd& end, Out& out);

  Place place_;
  bool loaded_ = false;
  size_t drafts_ = 0;  // of a former life, that are being removed
  Files files_;        // complete and named; at most rules::kMaxSnapshots are looked at at the start
  Slice bytes_;
  std::optional<metadata::SnapshotId> storing_;
  File stored_;  // what storing_ will be
  log::ReplaceFile replace_;
  std::optional<Dating> dating_;
  std::map<uint16_t, Look> reads_;  // by slot
};

}  // namespace klamm::quorum
