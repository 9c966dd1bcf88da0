// The snapshots of the metadata log: files beside its segments, each for all records below an offset (KIP-630). The
// newest is read at the start; a new one replaces it whole.
#pragma once
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
  struct Out {
    bool loaded = false;  // newest() and its bytes are there, if there is one
    bool stored = false;  // what was stored is durable, and newest()
    std::string fatal;    // not empty: unreadable or unwritable
  };

  explicit Snapshots(Place place) : place_(std::move(place)) {}
  void load(Io& io);  // once
  bool loaded() const { return loaded_; }
  const std::optional<metadata::SnapshotId>& newest() const { return newest_; }
  Slice take_bytes() { return std::exchange(bytes_, {}); }  // of the newest that load has found; once
  bool busy() const { return !loaded_ || storing_; }
  // Writes, syncs and names the file; then removes the older ones. Not while busy.
  void store(Io& io, const metadata::SnapshotId& id, Slice file);
  void on_storage(Io& io, const Owner& owner, const StorageEnd& end, Out& out);

  template<class V>
  void fields(V& v) const {
    v("loaded", loaded_), v("newest", newest_), v("bytes", bytes_), v("storing", storing_), v("replace", replace_);
    v("older", older_);
  }

 private:
  enum Step : uint16_t { kList, kRead, kReplace, kRemove };
  static constexpr size_t kMaxFiles = 1024;  // of snapshots, in the folder
  Owner owner(Step step) const { return {place_.module, step, place_.key}; }
  std::string path(const metadata::SnapshotId& id) const { return place_.folder + "/" + snapshot_file(id); }
  void listed(Io& io, const StorageEnd& end, Out& out);
  void remove_older(Io& io);

  Place place_;
  bool loaded_ = false;
  std::optional<metadata::SnapshotId> newest_;
  Slice bytes_;
  std::optional<metadata::SnapshotId> storing_;
  log::ReplaceFile replace_;
  std::vector<metadata::SnapshotId> older_;  // files that are left
};

}  // namespace klamm::quorum
