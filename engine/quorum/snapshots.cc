#include "engine/quorum/snapshots.h"

#include "engine/quorum/rules.h"

namespace klamm::quorum {
namespace {
constexpr uint32_t kHeadBytes = 64 << 10;  // of a snapshot: more than its first batch
}  // namespace

void Snapshots::load(Io& io) {
  KLAMM_ASSERT(!loaded_);
  io.list(owner(kList), place_.dir, place_.folder);
}

void Snapshots::listed(Io& io, const StorageEnd& end, Out& out) {
  if (end.error != IoError::none && end.error != IoError::not_found) {
    out.fatal = std::string("the metadata log's folder cannot be listed: ") + name(end.error);
    return;
  }
  if (end.error == IoError::none)
    for (const DirEntry& e : *end.entries) {
      if (metadata::is_draft_of_snapshot(e.name)) ++drafts_, io.remove(owner(kSweep), place_.dir, path(e.name));
      if (const auto id = metadata::parse_snapshot_file(e.name)) files_[*id].bytes = e.size;
      if (files_.size() > rules::kMaxSnapshots) files_.erase(files_.begin());
    }
  if (drafts_ == 0) read_newest(io, out);
}

void Snapshots::read_newest(Io& io, Out& out) {
  loaded_ = out.loaded = files_.empty();
  if (!loaded_) io.load(owner(kRead), place_.dir, path(*newest()), kMaxSnapshotBytes);
}

void Snapshots::store(Io& io, const metadata::SnapshotId& id, Slice file) {
  KLAMM_ASSERT(!busy());
  KLAMM_ASSERT_REL(file.size(), <=, kMaxSnapshotBytes);
  storing_ = id;
  stored_ = {static_cast<int64_t>(file.size()), metadata::contained_ms(file.span())};
  replace_.start(io, owner(kReplace), place_.dir, path(id), std::move(file), metadata::kDraftSuffix);
}

Snapshots::Look Snapshots::look(Io& io, const Owner& who, const metadata::SnapshotId& id, Range range) const {
  const FileId file = io.open(who, place_.dir, path(id), OpenMode::read_write);
  io.read(who, file, range.from, range.size);
  io.close(who, file);
  return {file, 3, IoError::none, {}};
}

bool Snapshots::ended(Io& io, Look& look, const StorageEnd& end) {
  if (!end.bytes.empty()) look.bytes = end.bytes;
  if (look.error == IoError::none) look.error = end.error;
  if (--look.left > 0) return false;
  io.ops.close_file(look.file);
  return true;
}

void Snapshots::date_oldest(Io& io) {
  if (dating_ || files_.empty()) return;
  const metadata::SnapshotId id = files_.begin()->first;
  dating_ = Dating{id, look(io, owner(kDate), id, {0, kHeadBytes})};
}

// One that cannot be read is no use: it counts as being as old as can be.
void Snapshots::end_dating(Io& io, const StorageEnd& end, Out& out) {
  if (!ended(io, dating_->look, end)) return;
  if (const auto file = files_.find(dating_->id); file != files_.end()) {
    file->second.contained_ms = metadata::contained_ms(dating_->look.bytes.span()).value_or(0);
    out.dated = true;
  }
  dating_.reset();
}

std::optional<uint16_t> Snapshots::read_part(Io& io, const metadata::SnapshotId& id, int64_t position, uint32_t size) {
  uint16_t slot = 0;
  while (reads_.count(slot)) ++slot;
  if (slot >= kMaxReads) return std::nullopt;
  reads_[slot] = look(io, owner(static_cast<uint16_t>(kPart + slot)), id, {position, size});
  return slot;
}

void Snapshots::end_part(Io& io, uint16_t slot, const StorageEnd& end, Out& out) {
  Look& look = reads_.at(slot);
  if (!ended(io, look, end)) return;
  out.parts.push_back({slot, look.error, look.bytes});
  reads_.erase(slot);
}

void Snapshots::remove_before(Io& io, const metadata::SnapshotId& id) {
  while (!files_.empty() && files_.begin()->first < id) {
    io.remove(owner(kRemove), place_.dir, path(files_.begin()->first));
    files_.erase(files_.begin());
  }
}

void Snapshots::on_storage(Io& io, const Owner& owner, const StorageEnd& end, Out& out) {
  if (owner.step >= kPart) return end_part(io, static_cast<uint16_t>(owner.step - kPart), end, out);
  switch (static_cast<Step>(owner.step)) {
    case kList: return listed(io, end, out);
    case kSweep:
      if (--drafts_ == 0) read_newest(io, out);
      return;
    case kRead:
      if (end.error != IoError::none) {
        out.fatal = "the snapshot " + snapshot_file(*newest()) + " cannot be read: " + name(end.error);
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
      files_[*std::exchange(storing_, std::nullopt)] = stored_;
      out.stored = true;
      return;
    }
    case kRemove: return;  // what is left is found again at the next start
    case kDate: return end_dating(io, end, out);
    case kPart: return;
  }
}

}  // namespace klamm::quorum
