#include "engine/quorum/snapshots.h"

#include <algorithm>

namespace klamm::quorum {

void Snapshots::load(Io& io) {
  KLAMM_ASSERT(!loaded_);
  io.list(owner(kList), place_.dir, place_.folder);
}

void Snapshots::listed(Io& io, const StorageEnd& end, Out& out) {
  if (end.error == IoError::not_found) {
    loaded_ = out.loaded = true;
    return;
  }
  if (end.error != IoError::none) {
    out.fatal = std::string("the metadata log's folder cannot be listed: ") + name(end.error);
    return;
  }
  for (const DirEntry& e : *end.entries)
    if (const auto id = metadata::parse_snapshot_file(e.name); id && older_.size() < kMaxFiles) older_.push_back(*id);
  if (older_.empty()) {
    loaded_ = out.loaded = true;
    return;
  }
  std::sort(older_.begin(), older_.end());
  newest_ = older_.back();
  older_.pop_back();
  io.load(owner(kRead), place_.dir, path(*newest_), kMaxSnapshotBytes);
}

void Snapshots::store(Io& io, const metadata::SnapshotId& id, Slice file) {
  KLAMM_ASSERT(!busy());
  KLAMM_ASSERT(!newest_ || *newest_ < id);
  KLAMM_ASSERT_REL(file.size(), <=, kMaxSnapshotBytes);
  storing_ = id;
  replace_.start(io, owner(kReplace), place_.dir, path(id), std::move(file));
}

void Snapshots::on_storage(Io& io, const Owner& owner, const StorageEnd& end, Out& out) {
  switch (static_cast<Step>(owner.step)) {
    case kList: return listed(io, end, out);
    case kRead:
      if (end.error != IoError::none) {
        out.fatal = "the snapshot " + snapshot_file(*newest_) + " cannot be read: " + name(end.error);
        return;
      }
      bytes_ = end.bytes;
      loaded_ = out.loaded = true;
      return;
    case kReplace: {
      const auto done = replace_.on_storage(io, owner, end);
      if (!done) return;
      if (*done != IoError::none) {
        out.fatal = std::string("a snapshot of the metadata cannot be written: ") + name(*done);
        return;
      }
      if (newest_) older_.push_back(*newest_);
      newest_ = std::exchange(storing_, std::nullopt);
      out.stored = true;
      return remove_older(io);
    }
    case kRemove: return;  // what is left is found again at the next start
  }
}

void Snapshots::remove_older(Io& io) {
  for (const metadata::SnapshotId& id : std::exchange(older_, {})) io.remove(owner(kRemove), place_.dir, path(id));
}

}  // namespace klamm::quorum
