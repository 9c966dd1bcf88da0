#include "server/disk.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>

namespace klamm::server {

Disk::Disk(Options options, Pool& pool, std::vector<Event>& events)
    : options_(std::move(options)), pool_(pool), events_(events), told_free_(options_.directories.size(), -1) {}
Disk::~Disk() = default;

std::string Disk::path_of(DirId dir, const std::string& path) const {
  const std::string& root = options_.directories.at(dir.value);
  return path.empty() ? root : root + "/" + path;
}

// ---- files

Disk::File& Disk::file(FileId id) {
  KLAMM_ASSERT(id.slot < files_.size() && files_[id.slot] && files_[id.slot]->id == id);
  return *files_[id.slot];
}

void Disk::execute(OpenFile& c) {
  if (c.file.slot >= files_.size()) files_.resize(c.file.slot + 1);
  KLAMM_ASSERT(!files_[c.file.slot]);
  files_[c.file.slot] = std::make_unique<File>();
  File& f = *files_[c.file.slot];
  f.id = c.file;
  f.path = path_of(c.dir, c.path);
  paths_.insert({f.path, c.file.slot});
  f.busy = true;
  pool_.submit([path = f.path, mode = c.mode] { return open_file(path, mode); },
               [this, id = c.file, token = c.token](Opened opened) {
                 File& f = file(id);
                 f.busy = false;
                 f.broken = opened.error;
                 if (opened.descriptor) f.descriptor = std::make_shared<Descriptor>(std::move(opened.descriptor));
                 if (f.descriptor) f.recent = recent_.insert(recent_.begin(), id.slot);
                 end(token, opened.error, opened.size);
                 advance(f);
               });
}

void Disk::execute(WriteFile& c) {
  for (const Slice& piece : c.bytes) written_since_look_ += static_cast<int64_t>(piece.size());
  enqueue(c.file, {Step::write, c.token, c.offset, 0, std::move(c.bytes)});
}

void Disk::enqueue(FileId id, Op op) {
  File& f = file(id);
  f.ops.push_back(std::move(op));
  mark(f);
}

void Disk::mark(File& f) {
  if (!f.dirty) dirty_.push_back(f.id.slot);
  f.dirty = true;
}

void Disk::flush() {
  std::vector<uint32_t> dirty;
  dirty.swap(dirty_);
  for (const uint32_t slot : dirty) {
    File& f = *files_[slot];
    f.dirty = false;
    advance(f);
  }
  dirty.clear();
  if (dirty_.empty()) dirty_.swap(dirty);  // keep the memory
  give_up_descriptors();
}

// Starts operations in order for as long as the next one may start. May end the file.
void Disk::advance(File& f) {
  while (!f.ops.empty() && !f.busy) {
    if (f.ops.front().step == Step::close) {
      if (!f.syncing && !f.syncs.empty()) start_sync(f);
      close(f, f.ops.front().token);
      return;
    }
    if (f.ops.front().step == Step::write) {
      if (!write(f)) return;
      continue;
    }
    const Op op = std::move(f.ops.front());
    f.ops.pop_front();
    start(f, op);
  }
  if (!f.busy && !f.syncing && !f.syncs.empty()) start_sync(f);
}

void Disk::start(File& f, const Op& op) {
  const bool open = ready(f);
  if (op.step == Step::read)
    open ? read(f, op) : void(events_.push_back(ReadEnded{op.token, f.broken, {}}));
  else if (f.broken != IoError::none)
    end(op.token, f.broken);
  else if (op.step == Step::truncate)
    truncate(f, op);
  else
    f.syncs.push_back(op.token);
}

// All writes at the front of the queue: pieces that touch are one call. True: they have ended.
bool Disk::write(File& f) {
  struct Run {
    int64_t offset;
    std::vector<iovec> pieces;
  };
  std::vector<Run> runs;
  std::vector<Op> ops;
  size_t bytes = 0;
  int64_t at = -1;
  for (; !f.ops.empty() && f.ops.front().step == Step::write; f.ops.pop_front()) {
    Op& op = f.ops.front();
    if (op.offset != at) runs.push_back({op.offset, {}});
    at = op.offset;
    for (const Slice& s : op.bytes) {
      if (s.empty()) continue;
      runs.back().pieces.push_back({const_cast<uint8_t*>(s.data()), s.size()});
      at += static_cast<int64_t>(s.size());
      bytes += s.size();
    }
    ops.push_back(std::move(op));
  }
  const auto work = [descriptor = ready(f) ? f.descriptor->get() : -1, runs = std::move(runs)] {
    for (const Run& r : runs)
      if (const IoError e = write_all(descriptor, r.offset, r.pieces); e != IoError::none) return e;
    return IoError::none;
  };
  if (f.broken != IoError::none || bytes <= kMaxInlineWrite) {
    if (f.broken == IoError::none) f.broken = work();
    for (const Op& op : ops) end(op.token, f.broken);
    return true;
  }
  f.busy = true;
  pool_.submit(work, [this, id = f.id, ops = std::move(ops)](IoError error) {
    File& f = file(id);
    f.busy = false;
    if (f.broken == IoError::none) f.broken = error;  // a sync beside it may have failed
    for (const Op& op : ops) end(op.token, f.broken);
    advance(f);
  });
  return false;
}

void Disk::truncate(File& f, const Op& op) {
  f.busy = true;
  pool_.submit([descriptor = f.descriptor->get(), size = op.offset] { return truncate_file(descriptor, size); },
               [this, id = f.id, token = op.token, size = op.offset](IoError error) {
                 File& f = file(id);
                 f.busy = false;
                 if (f.broken == IoError::none) f.broken = error;
                 end(token, f.broken, size);
                 advance(f);
               });
}

void Disk::start_sync(File& f) {
  f.syncing = true;
  pool_.submit([descriptor = f.descriptor->get()] { return sync_file(descriptor); },
               [this, id = f.id, tokens = std::move(f.syncs)](IoError error) {
                 File& f = file(id);
                 f.syncing = false;
                 if (error != IoError::none) f.broken = error;
                 for (const Token t : tokens) end(t, f.broken);
                 if (f.broken != IoError::none) {
                   for (const Token t : f.syncs) end(t, f.broken);
                   f.syncs.clear();
                 }
                 advance(f);
               });
  f.syncs.clear();
}

void Disk::read(File& f, const Op& op) {
  ++f.reads;
  BufferRef buffer = BufferRef::make(op.size);
  pool_.submit([descriptor = f.descriptor->get(), offset = op.offset, size = op.size,
                into = buffer->data()] { return read_at(descriptor, offset, into, size); },
               [this, id = f.id, token = op.token, buffer](ReadBytes r) {
                 File& f = file(id);
                 --f.reads;
                 Slice bytes;
                 if (r.size > 0) bytes = Slice(buffer, buffer->data(), r.size);
                 events_.push_back(ReadEnded{token, r.error, std::move(bytes)});
                 advance(f);
               });
}

bool Disk::close(File& f, Token token) {
  if (!f.idle() || !f.syncs.empty()) return false;
  if (f.descriptor) recent_.erase(f.recent);
  end(token, IoError::none);
  if (f.dirty) std::erase(dirty_, f.id.slot);
  paths_.erase({f.path, f.id.slot});
  files_[f.id.slot].reset();
  return true;
}

Lease Disk::lease(FileId id) {
  File& f = file(id);
  if (!f.descriptor && f.busy) return nullptr;  // it is being opened
  return ready(f) ? f.descriptor : nullptr;
}

Lease Disk::held(FileId id) {
  const File& f = file(id);
  return f.leased() ? f.descriptor : nullptr;
}

bool Disk::ready(File& f) {
  if (f.descriptor) {
    recent_.splice(recent_.begin(), recent_, f.recent);
    return true;
  }
  if (f.broken != IoError::none) return false;
  Opened again = open_file(f.path, OpenMode::read_write);
  f.broken = again.error;
  if (again.descriptor) f.descriptor = std::make_shared<Descriptor>(std::move(again.descriptor));
  if (f.descriptor) f.recent = recent_.insert(recent_.begin(), f.id.slot);
  return static_cast<bool>(f.descriptor);
}

void Disk::give_up_descriptors() {
  for (auto at = recent_.end(); recent_.size() > options_.most_descriptors && at != recent_.begin();) {
    --at;
    File& f = *files_[*at];
    if (!f.idle() || f.leased() || !f.syncs.empty()) continue;
    f.descriptor.reset();
    at = recent_.erase(at);
  }
}

// ---- names

void Disk::execute(const LoadFile& c) {
  pool_.submit([path = path_of(c.dir, c.path), most = c.most] { return load_file(path, most); },
               [this, token = c.token](const Loaded& l) {
                 events_.push_back(ReadEnded{token, l.error, Slice::copy(l.bytes)});
               });
}

void Disk::execute(const ListDir& c) {
  pool_.submit([path = path_of(c.dir, c.path)] { return list_directory(path); },
               [this, token = c.token](Listing l) {
                 events_.push_back(Listed{token, l.error, std::move(l.entries)});
               });
}

void Disk::execute(const MakeDir& c) {
  pool_.submit([path = path_of(c.dir, c.path)] { return make_directories(path); },
               [this, token = c.token](IoError e) { end(token, e); });
}

// At once, so that no file is opened anew under a name that is about to change.
void Disk::execute(const Rename& c) {
  const std::string from = path_of(c.dir, c.from), to = path_of(c.dir, c.to);
  const IoError error = rename_path(from, to);
  end(c.token, error);
  if (error != IoError::none) return;
  std::vector<uint32_t> moved;
  for (auto at = paths_.lower_bound({from, 0}); at != paths_.end() && at->first.starts_with(from);) {
    const bool inside = at->first.size() == from.size() || at->first[from.size()] == '/';
    if (inside) moved.push_back(at->second);
    at = inside ? paths_.erase(at) : std::next(at);
  }
  for (const uint32_t slot : moved) {
    File& f = *files_[slot];
    f.path = to + f.path.substr(from.size());
    paths_.insert({f.path, slot});
  }
}

void Disk::execute(const Remove& c) {
  pool_.submit([path = path_of(c.dir, c.path)] { return remove_tree(path); },
               [this, token = c.token](IoError e) { end(token, e); });
}

void Disk::execute(const SyncDir& c) {
  const std::string path = path_of(c.dir, c.path);
  const auto [it, first] = names_.try_emplace(path);
  it->second.push_back(c.token);
  if (first) sync_names(path);
}

// Answers for all that wait for it when it starts.
void Disk::sync_names(const std::string& path) {
  pool_.submit([path] { return sync_directory(path); },
               [this, path, answered = std::exchange(names_.at(path), {})](IoError e) {
                 for (const Token token : answered) end(token, e);
                 if (names_.at(path).empty())
                   names_.erase(path);
                 else
                   sync_names(path);
               });
}

// A process that was killed just now may hold its lock for some milliseconds yet.
void Disk::execute(const LockDir& c) {
  const auto work = [path = path_of(c.dir, "")] {
    constexpr int kTries = 30;
    for (int i = 1;; ++i) {
      Opened lock = lock_directory(path);
      if (lock.error != IoError::locked || i == kTries) return lock;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  };
  pool_.submit(work, [this, token = c.token](Opened lock) {
    end(token, lock.error);
    if (lock.error == IoError::none) locks_.push_back(std::move(lock.descriptor));
  });
}

void Disk::look_at_space() {
  written_since_look_ = 0;
  for (uint32_t i = 0; i < options_.directories.size(); ++i) {
    const std::optional<DiskBytes> disk = disk_bytes(options_.directories[i]);
    if (!disk) continue;
    const int64_t free = disk->free;
    const int64_t told = told_free_[i];
    constexpr int64_t kMuch = 16 << 20;
    if (told >= 0 && std::abs(free - told) < std::min(kMuch, told / 16 + 1)) continue;
    told_free_[i] = free;
    events_.push_back(Space{DirId{i}, free, disk->total});
  }
}

bool Disk::space_in_doubt() const {
  constexpr int64_t kUnseen = 8 << 20;
  return written_since_look_ >= kUnseen || std::count(told_free_.begin(), told_free_.end(), -1) > 0;
}

}  // namespace klamm::server
