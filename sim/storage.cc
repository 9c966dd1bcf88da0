#include "sim/storage.h"

#include <algorithm>
#include <map>

namespace klamm::sim {

Storage::Storage(HostId host, uint32_t directories)
    : host_(host),
      disk_(directories),
      latency_{stream(kDiskLatency), host},
      sampling_{stream(kDiskSample), host},
      crash_{stream(kCrash), host} {}

uint32_t Storage::add_op(Token token, What what) {
  KLAMM_ASSERT_REL(ops_in_use_, <, kMaxUnderWay);
  uint32_t slot;
  if (free_ops_.empty()) {
    slot = static_cast<uint32_t>(ops_.size());
    ops_.emplace_back();
  } else {
    slot = free_ops_.back();
    free_ops_.pop_back();
  }
  Op& op = ops_[slot];
  op.used = true;
  op.number = ++submitted_;
  op.token = token;
  op.what = std::move(what);
  ++ops_in_use_;
  return slot;
}

void Storage::schedule(uint32_t op, int64_t at, Due due, Queue& q) {
  q.push(std::max(at, after_stall()), host_, due, op, ops_[op].generation);
}

Storage::File& Storage::file(FileId id) {
  KLAMM_ASSERT(id.slot < files_.size());
  File& f = files_[id.slot];
  KLAMM_ASSERT(f.open && f.generation == id.generation);
  return f;
}

void Storage::submit(OpenFile&& c, int64_t now, Queue& q, Tape& t) {
  if (c.file.slot >= files_.size()) files_.resize(c.file.slot + 1);
  File& f = files_[c.file.slot];
  KLAMM_ASSERT(!f.open);  // the id is free after the end of its CloseFile
  f = File{};
  f.generation = c.file.generation;
  f.open = true;
  f.writes_end = std::max(now + model_.name.draw(latency_, t), after_stall());
  schedule(add_op(c.token, OpenOp{c.file, c.dir, std::move(c.path), c.mode}), f.writes_end, Due::storage, q);
}

void Storage::submit(WriteFile&& c, int64_t now, Queue& q, Tape& t) {
  File& f = file(c.file);
  if (turn_write_latency_ < 0) turn_write_latency_ = model_.write.draw(latency_, t);
  f.writes_end = std::max({f.writes_end, now + turn_write_latency_, after_stall()});
  const bool fails = model_.fail_writes > 0;
  if (fails) --model_.fail_writes, failing_ = true;
  schedule(add_op(c.token, WriteOp{c.file, c.offset, std::move(c.bytes), fails}), f.writes_end, Due::storage, q);
}

void Storage::submit(TruncateFile&& c, int64_t now, Queue& q, Tape& t) {
  File& f = file(c.file);
  if (turn_write_latency_ < 0) turn_write_latency_ = model_.write.draw(latency_, t);
  f.writes_end = std::max({f.writes_end, now + turn_write_latency_, after_stall()});
  schedule(add_op(c.token, TruncateOp{c.file, c.size}), f.writes_end, Due::storage, q);
}

void Storage::submit(SyncFile&& c, int64_t now, Queue& q, Tape& t) {
  File& f = file(c.file);
  const int64_t barrier = std::max(f.writes_end, now);
  f.syncs_end = std::max({f.syncs_end, barrier + model_.sync.draw(latency_, t), after_stall()});
  const bool fails = model_.fail_syncs > 0;
  if (fails) --model_.fail_syncs, failing_ = true;
  const uint32_t op = add_op(c.token, SyncOp{c.file, fails, false, {}});
  schedule(op, barrier, Due::barrier, q);
  schedule(op, f.syncs_end, Due::storage, q);
}

void Storage::submit(CloseFile&& c, int64_t now, Queue& q, Tape&) {
  File& f = file(c.file);
  f.writes_end = std::max({f.writes_end, f.syncs_end, f.reads_end, now});
  schedule(add_op(c.token, CloseOp{c.file}), f.writes_end, Due::storage, q);
}

void Storage::submit(ReadFile&& c, int64_t now, Queue& q, Tape& t) {
  File& f = file(c.file);
  ReadOp r{c.file, c.offset, c.size, false, model_.fail_reads > 0, IoError::none, {}};
  if (r.fails) --model_.fail_reads;
  // It sees every write that ended before; whether it sees later ones is open. Before its open has ended it must wait.
  const bool early = f.inode && sampling_.below(t, 2) == 0;
  if (early) sample(r);
  const int64_t from = f.inode ? now : std::max(now, f.writes_end);
  const int64_t at = std::max(from + model_.read.draw(latency_, t), after_stall());
  f.reads_end = std::max(f.reads_end, at);
  schedule(add_op(c.token, std::move(r)), at, Due::storage, q);
}

void Storage::submit(LoadFile&& c, int64_t now, Queue& q, Tape& t) {
  LoadOp load{IoError::none, {}};
  Inode inode = 0;
  load.error = disk_.find_file(c.dir, c.path, &inode);
  if (load.error == IoError::none) {
    if (disk_.size(inode) > c.most)
      load.error = IoError::failed;
    else
      load.bytes = disk_.content(inode).read(0, c.most);
  }
  schedule(add_op(c.token, std::move(load)), now + model_.read.draw(latency_, t), Due::storage, q);
}

void Storage::submit(ListDir&& c, int64_t now, Queue& q, Tape& t) {
  ListOp list{IoError::none, {}};
  list.error = disk_.list(c.dir, c.path, &list.entries);
  schedule(add_op(c.token, std::move(list)), now + model_.name.draw(latency_, t), Due::storage, q);
}

void Storage::submit_name(std::variant<MakeDir, Rename, Remove, SyncDir, LockDir> what, int64_t now, Queue& q,
                          Tape& t) {
  const Token token = std::visit([](const auto& x) { return x.token; }, what);
  const Delay& delay = std::holds_alternative<SyncDir>(what) ? model_.sync : model_.name;
  const int64_t at = now + delay.draw(latency_, t);
  schedule(add_op(token, NameOp{std::move(what)}), at, Due::storage, q);
}

IoError Storage::write_bytes(const WriteOp& w, int64_t most) {
  const File& f = file(w.file);
  int64_t offset = w.offset;
  for (const Slice& s : w.bytes) {
    const int64_t n = std::min(static_cast<int64_t>(s.size()), most);
    if (const IoError e = disk_.write(f.inode, offset, s.span().first(static_cast<size_t>(n))); e != IoError::none)
      return e;
    offset += n;
    most -= n;
  }
  return IoError::none;
}

void Storage::sample(ReadOp& r) {
  const File& f = file(r.file);
  r.sampled = true;
  r.error = f.error != IoError::none ? f.error : r.fails ? IoError::failed : IoError::none;
  if (r.error == IoError::none) r.bytes = disk_.content(f.inode).read(r.offset, r.size);
}

Slice Storage::region(uint64_t inode, int64_t offset, uint32_t size) {
  if (model_.fail_reads > 0) return --model_.fail_reads, Slice();
  return disk_.content(inode).read(offset, size);
}

IoError Storage::do_name(const NameOp& op) {
  if (const auto* x = std::get_if<MakeDir>(&op.what)) return disk_.make_dir(x->dir, x->path);
  if (const auto* x = std::get_if<Rename>(&op.what)) return disk_.rename(x->dir, x->from, x->to);
  if (const auto* x = std::get_if<Remove>(&op.what)) return disk_.remove(x->dir, x->path);
  if (const auto* x = std::get_if<SyncDir>(&op.what)) return disk_.sync_dir(x->dir, x->path);
  return IoError::none;  // LockDir: one process a host, and its lock ends with it
}

// What comes later for the same file must not overtake it, even if the stall is ended before its time.
void Storage::delay_file(const Op& op, int64_t until) {
  const auto wait = [&](FileId id, int64_t File::*end) { file(id).*end = std::max(file(id).*end, until); };
  if (const auto* x = std::get_if<OpenOp>(&op.what)) wait(x->file, &File::writes_end);
  if (const auto* x = std::get_if<WriteOp>(&op.what)) wait(x->file, &File::writes_end);
  if (const auto* x = std::get_if<TruncateOp>(&op.what)) wait(x->file, &File::writes_end);
  if (const auto* x = std::get_if<SyncOp>(&op.what)) wait(x->file, &File::syncs_end);
  if (const auto* x = std::get_if<ReadOp>(&op.what)) wait(x->file, &File::reads_end);
}

bool Storage::due(const Item& item, int64_t now, Queue& q, Tape& t, Event* out) {
  Op& op = ops_[item.index];
  if (!op.used || op.generation != item.generation) return false;
  if (now < model_.stalled_until) {
    delay_file(op, model_.stalled_until);
    q.push(model_.stalled_until, host_, item.due, item.index, item.generation);
    return false;
  }
  if (item.due == Due::barrier) {
    SyncOp& sync = std::get<SyncOp>(op.what);
    const File& f = file(sync.file);
    if (!sync.taken && f.inode) sync.what = disk_.snapshot(f.inode);
    sync.taken = true;
    return false;
  }
  *out = end(op, t);
  op.used = false;
  op.what = CloseOp{};
  ++op.generation;
  free_ops_.push_back(item.index);
  --ops_in_use_;
  return true;
}

// Nothing was done, but for a sync: what it should have saved is never saved.
Event Storage::fail(const Op& op) {
  if (std::holds_alternative<ReadOp>(op.what) || std::holds_alternative<LoadOp>(op.what))
    return ReadEnded{op.token, IoError::failed, {}};
  if (std::holds_alternative<ListOp>(op.what)) return Listed{op.token, IoError::failed, {}};
  if (const auto* x = std::get_if<OpenOp>(&op.what)) file(x->file).error = IoError::failed;
  if (const auto* x = std::get_if<CloseOp>(&op.what)) file(x->file).open = false;
  if (const auto* x = std::get_if<SyncOp>(&op.what))
    if (const File& f = file(x->file); f.error == IoError::none) disk_.poison(f.inode);
  return Ended{op.token, IoError::failed, 0};
}

Event Storage::end(Op& op, Tape&) {
  if (op.number == model_.fail_operation) return fail(op);
  if (auto* x = std::get_if<OpenOp>(&op.what)) {
    File& f = file(x->file);
    f.error = disk_.open(x->dir, x->path, x->mode, &f.inode);
    return Ended{op.token, f.error, f.error == IoError::none ? disk_.size(f.inode) : 0};
  }
  if (auto* x = std::get_if<ReadOp>(&op.what)) {
    if (!x->sampled) sample(*x);
    return ReadEnded{op.token, x->error, std::move(x->bytes)};
  }
  if (auto* x = std::get_if<LoadOp>(&op.what)) return ReadEnded{op.token, x->error, std::move(x->bytes)};
  if (auto* x = std::get_if<ListOp>(&op.what)) return Listed{op.token, x->error, std::move(x->entries)};
  if (auto* x = std::get_if<NameOp>(&op.what)) return Ended{op.token, do_name(*x), 0};
  if (auto* x = std::get_if<CloseOp>(&op.what)) {
    File& f = file(x->file);
    f.open = false;
    return Ended{op.token, f.error, 0};
  }
  if (auto* x = std::get_if<WriteOp>(&op.what)) {
    const IoError open_error = file(x->file).error;
    if (open_error != IoError::none) return Ended{op.token, open_error, 0};
    return Ended{op.token, x->fails ? IoError::failed : write_bytes(*x, INT64_MAX), 0};
  }
  if (auto* x = std::get_if<TruncateOp>(&op.what)) {
    const File& f = file(x->file);
    if (f.error == IoError::none) disk_.truncate(f.inode, x->size);
    return Ended{op.token, f.error, x->size};
  }
  SyncOp& sync = std::get<SyncOp>(op.what);
  const File& f = file(sync.file);
  if (f.error != IoError::none) return Ended{op.token, f.error, 0};
  KLAMM_ASSERT(sync.taken);
  if (sync.fails) return fail(op);
  disk_.make_durable(f.inode, sync.what);
  return Ended{op.token, IoError::none, 0};
}

void Storage::crash_file_ops(const std::vector<Op*>& ops, Tape& t) {
  uint64_t units = 0;  // a byte of a write, or a truncate
  for (const Op* op : ops) {
    if (const auto* w = std::get_if<WriteOp>(&op->what))
      for (const Slice& s : w->bytes) units += s.size();
    else
      units += 1;
  }
  const FileId id = std::holds_alternative<WriteOp>(ops[0]->what) ? std::get<WriteOp>(ops[0]->what).file
                                                                  : std::get<TruncateOp>(ops[0]->what).file;
  const File& f = file(id);
  if (!f.inode) return;  // its open had not ended: nothing of this happened
  int64_t left = static_cast<int64_t>(crash_.below(t, units + 1));
  for (const Op* op : ops) {
    if (left <= 0) return;
    if (const auto* w = std::get_if<WriteOp>(&op->what)) {
      if (w->fails || write_bytes(*w, left) != IoError::none) return;
      for (const Slice& s : w->bytes) left -= static_cast<int64_t>(s.size());
    } else {
      disk_.truncate(f.inode, std::get<TruncateOp>(op->what).size);
      left -= 1;
    }
  }
}

void Storage::crash(Tape& t) {
  std::vector<Op*> pending;
  for (Op& op : ops_)
    if (op.used) pending.push_back(&op);
  std::sort(pending.begin(), pending.end(), [](const Op* a, const Op* b) { return a->number < b->number; });
  std::map<uint32_t, std::vector<Op*>> by_file;
  for (Op* op : pending) {
    if (const auto* w = std::get_if<WriteOp>(&op->what)) by_file[w->file.slot].push_back(op);
    if (const auto* c = std::get_if<TruncateOp>(&op->what)) by_file[c->file.slot].push_back(op);
  }
  for (const auto& [slot, ops] : by_file) crash_file_ops(ops, t);
  for (Op* op : pending) {
    const auto* name = std::get_if<NameOp>(&op->what);
    if (!name || std::holds_alternative<SyncDir>(name->what)) continue;
    if (crash_.below(t, 2) == 1) do_name(*name);
  }
  for (uint32_t i = 0; i < ops_.size(); ++i) {
    if (!ops_[i].used) continue;
    ops_[i].used = false;
    ops_[i].what = CloseOp{};
    ++ops_[i].generation;
    free_ops_.push_back(i);
  }
  ops_in_use_ = 0;
  files_.clear();
  model_.fail_writes = model_.fail_syncs = model_.fail_reads = 0;
  failing_ = false;
  disk_.sweep();
}

void Storage::lose_power(Tape& t) {
  crash(t);
  disk_.lose_power(crash_, t);
}

}  // namespace klamm::sim
