// The snapshots of the metadata log: files beside its segments, each for all records below an offset (KIP-630). The
// newest is read at the start. Which of the older ones stay is for their owner to say.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "engine/env/io.h"
#include "engine/log/replace_file.h"
#include "engine/metadata/snapshot.h"
#include "engine/quorum/place.h"

namespace klamm::quorum {

inline constexpr uint32_t kMaxSnapshotBytes = 512u << 20;  // a larger one is neither written nor read

class Snapshots final {
 public:
  struct Out {
    bool loaded = false;  // newest() and its bytes are there, if there is one
    bool stored = false;  // what was stored is durable, and newest()
    bool dated = false;   // of the oldest it is known now how old it is
    std::string fatal;    // not empty: unreadable or unwritable
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
  Slice take_bytes() { return std::exchange(bytes_, {}); }  // of the newest that load has found; once
  bool busy() const { return !loaded_ || storing_; }
  // Writes, syncs and names the file. Not while busy.
  void store(Io& io, const metadata::SnapshotId& id, Slice file);
  // Looks how old the oldest is; Out.dated tells.
  void date_oldest(Io& io);
  // Those before it go.
  void remove_before(Io& io, const metadata::SnapshotId& id);
  void on_storage(Io& io, const Owner& owner, const StorageEnd& end, Out& out);

  template<class V>
  void fields(V& v) const {
    v("loaded", loaded_), v("drafts", drafts_), v("files", files_), v("bytes", bytes_), v("storing", storing_),
        v("stored", stored_), v("replace", replace_), v("dating", dating_);
  }

 private:
  enum Step : uint16_t { kList, kSweep, kRead, kReplace, kRemove, kDate };
  struct Dating {
    metadata::SnapshotId id;
    FileId file;
    uint8_t left = 0;  // commands under way
    Slice head;
    template<class V>
    void fields(V& v) const {
      v("id", id), v("file", file), v("left", left), v("head", head);
    }
  };
  Owner owner(Step step) const { return {place_.module, step, place_.key}; }
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
};

}  // namespace klamm::quorum
