#include "sim/disk.h"

#include <algorithm>
#include <set>

#include "engine/base/assert.h"
#include "engine/base/digest.h"

namespace klamm::sim {
namespace {
// Takes the first component off a path.
std::string_view next_component(std::string_view* path) {
  const size_t slash = path->find('/');
  const std::string_view first = path->substr(0, slash);
  *path = slash == std::string_view::npos ? std::string_view{} : path->substr(slash + 1);
  return first;
}
std::string_view last_component(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}
}  // namespace

Disk::Disk(uint32_t directories) : directories_(directories) { wipe(); }

void Disk::wipe() {
  nodes_.clear();
  unsynced_.clear();
  used_ = 0;
  last_ = 0;
  for (uint32_t i = 0; i < directories_; ++i) add(true);
}

Disk::Node& Disk::node(Inode i) {
  const auto it = nodes_.find(i);
  KLAMM_ASSERT(it != nodes_.end());
  return it->second;
}
const Disk::Node& Disk::node(Inode i) const { return const_cast<Disk*>(this)->node(i); }

Inode Disk::add(bool directory) {
  const Inode i = ++last_;
  nodes_[i].directory = directory;
  return i;
}

Inode Disk::find(DirId dir, std::string_view path) const {
  KLAMM_ASSERT_REL(dir.value, <, directories_);
  Inode at = root(dir);
  while (!path.empty()) {
    const Node& n = node(at);
    if (!n.directory) return 0;
    const auto it = n.names.find(next_component(&path));
    if (it == n.names.end()) return 0;
    at = it->second;
  }
  return at;
}

// The directory that holds `path`'s last component, made on the way if wanted.
IoError Disk::parent(DirId dir, std::string_view path, bool make, Inode* out) {
  KLAMM_ASSERT_REL(dir.value, <, directories_);
  Inode at = root(dir);
  while (true) {
    const std::string_view component = next_component(&path);
    if (component.empty()) return IoError::not_found;
    if (path.empty()) break;
    const auto it = node(at).names.find(component);
    if (it != node(at).names.end()) {
      at = it->second;
      if (!node(at).directory) return IoError::not_found;
      continue;
    }
    if (!make) return IoError::not_found;
    const Inode fresh = add(true);
    assign({{at, std::string(component), fresh}});
    at = fresh;
  }
  *out = at;
  return IoError::none;
}

void Disk::assign(NameOp op) {
  for (const Assign& a : op) {
    Node& d = node(a.directory);
    if (a.inode)
      d.names.insert_or_assign(a.name, a.inode);
    else
      d.names.erase(a.name);
  }
  unsynced_.push_back(std::move(op));
}

void Disk::make_names_durable(const NameOp& op) {
  for (const Assign& a : op) {
    Node& d = node(a.directory);
    if (a.inode)
      d.durable_names.insert_or_assign(a.name, a.inode);
    else
      d.durable_names.erase(a.name);
  }
}

IoError Disk::open(DirId dir, std::string_view path, OpenMode mode, Inode* out) {
  *out = find(dir, path);
  if (*out && node(*out).directory) return IoError::failed;
  if (!*out) {
    if (mode == OpenMode::read_write) return IoError::not_found;
    Inode holder = 0;
    if (const IoError e = parent(dir, path, true, &holder); e != IoError::none) return e;
    *out = add(false);
    assign({{holder, std::string(last_component(path)), *out}});
  }
  if (mode == OpenMode::create_empty) truncate(*out, 0);
  return IoError::none;
}

IoError Disk::write(Inode file, int64_t offset, ByteSpan bytes) {
  Content& c = node(file).visible.write();
  const int64_t grown = std::max<int64_t>(0, offset + static_cast<int64_t>(bytes.size()) - c.size());
  if (used_ + grown > capacity_) return IoError::no_space;
  c.write(offset, bytes);
  used_ += grown;
  return IoError::none;
}

void Disk::truncate(Inode file, int64_t size) {
  Node& n = node(file);
  used_ += size - n.visible->size();
  n.visible.write().truncate(size);
}

void Disk::make_durable(Inode file, const Cow<Content>& what) {
  Node& n = node(file);
  if (!n.poisoned) n.durable = what;
}

bool Disk::poisoned() const {
  return std::any_of(nodes_.begin(), nodes_.end(), [](const auto& n) { return n.second.poisoned; });
}

IoError Disk::find_file(DirId dir, std::string_view path, Inode* out) const {
  *out = find(dir, path);
  return *out && !node(*out).directory ? IoError::none : IoError::not_found;
}

IoError Disk::list(DirId dir, std::string_view path, std::vector<DirEntry>* out) const {
  const Inode at = find(dir, path);
  if (!at || !node(at).directory) return IoError::not_found;
  for (const auto& [name, inode] : node(at).names) {
    const Node& n = node(inode);
    out->push_back({name, n.directory, n.directory ? 0 : n.visible->size()});
  }
  return IoError::none;
}

IoError Disk::make_dir(DirId dir, std::string_view path) {
  if (const Inode there = find(dir, path)) return node(there).directory ? IoError::none : IoError::exists;
  Inode holder = 0;
  if (const IoError e = parent(dir, path, true, &holder); e != IoError::none) return e;
  const Inode fresh = add(true);
  assign({{holder, std::string(last_component(path)), fresh}});
  return IoError::none;
}

IoError Disk::rename(DirId dir, std::string_view from, std::string_view to) {
  const Inode what = find(dir, from);
  Inode old_holder = 0, new_holder = 0;
  if (!what || parent(dir, from, false, &old_holder) != IoError::none) return IoError::not_found;
  if (const IoError e = parent(dir, to, false, &new_holder); e != IoError::none) return e;
  if (const Inode there = find(dir, to)) {
    if (there == what) return IoError::none;
    if (node(there).directory && !node(there).names.empty()) return IoError::exists;
    used_ -= node(there).visible->size();
  }
  assign({{old_holder, std::string(last_component(from)), 0}, {new_holder, std::string(last_component(to)), what}});
  return IoError::none;
}

void Disk::remove_tree(Inode directory, const std::string& name) {
  const Inode what = node(directory).names.find(name)->second;
  std::vector<std::string> children;
  for (const auto& [child, inode] : node(what).names) children.push_back(child);
  for (const std::string& child : children) remove_tree(what, child);
  used_ -= node(what).visible->size();
  assign({{directory, name, 0}});
}

IoError Disk::remove(DirId dir, std::string_view path) {
  Inode holder = 0;
  if (!find(dir, path) || parent(dir, path, false, &holder) != IoError::none) return IoError::not_found;
  remove_tree(holder, std::string(last_component(path)));
  return IoError::none;
}

IoError Disk::sync_dir(DirId dir, std::string_view path) {
  const Inode at = find(dir, path);
  if (!at || !node(at).directory) return IoError::not_found;
  std::vector<NameOp> rest;
  for (NameOp& op : unsynced_) {
    const bool touches = std::any_of(op.begin(), op.end(), [&](const Assign& a) { return a.directory == at; });
    if (touches)
      make_names_durable(op);
    else
      rest.push_back(std::move(op));
  }
  unsynced_ = std::move(rest);
  return IoError::none;
}

void Disk::settle_file(Node& file, Draws& draws, Tape& tape) {
  enum : uint64_t { kKeepAll, kLoseAll, kMix, kWays };
  const Content& seen = *file.visible;
  const Content& safe = *file.durable;
  const uint64_t way = draws.below(tape, kWays);
  if (way == kKeepAll && !file.poisoned) {
    file.durable = file.visible;
  } else if (way == kMix) {
    const int64_t least = std::min(seen.size(), safe.size());
    const int64_t most = std::max(seen.size(), safe.size());
    const int64_t size = draws.between(tape, least, most);
    Content left = safe;
    left.set_size(most);
    for (size_t page = 0; page < std::max(seen.pages(), safe.pages()); ++page) {
      if (seen.shares_page(safe, page)) continue;
      const uint64_t fate = draws.below(tape, 4);  // two of four: whole; then lost, torn
      const uint32_t torn = fate == 3 ? static_cast<uint32_t>(draws.below(tape, 256)) : 0;
      left.take_sectors(seen, page, fate <= 1 ? 0xff : torn);
    }
    left.set_size(size);
    file.durable = Cow<Content>(std::move(left));
  }
  file.visible = file.durable;
  file.poisoned = false;
}

void Disk::lose_power(Draws& draws, Tape& tape) {
  enum : uint64_t { kKeepAll, kPrefix, kSubset, kLoseAll, kWays };
  const uint64_t way = draws.below(tape, kWays);
  uint64_t keep = unsynced_.size();
  if (way == kPrefix) keep = draws.below(tape, unsynced_.size() + 1);
  if (way == kLoseAll) keep = 0;
  for (uint64_t i = 0; i < keep; ++i)
    if (way != kSubset || draws.below(tape, 2) == 0) make_names_durable(unsynced_[i]);
  unsynced_.clear();
  for (auto& [inode, n] : nodes_) {
    n.names = n.durable_names;
    if (!n.directory) settle_file(n, draws, tape);
  }
  sweep();
}

void Disk::sweep() {
  std::set<Inode> reached;
  std::vector<Inode> open;
  for (uint32_t i = 0; i < directories_; ++i) open.push_back(i + 1);
  for (const NameOp& op : unsynced_)
    for (const Assign& a : op) {
      open.push_back(a.directory);
      if (a.inode) open.push_back(a.inode);
    }
  while (!open.empty()) {
    const Inode i = open.back();
    open.pop_back();
    if (!reached.insert(i).second) continue;
    for (const auto& [name, inode] : node(i).names) open.push_back(inode);
    for (const auto& [name, inode] : node(i).durable_names) open.push_back(inode);
  }
  used_ = 0;
  for (auto it = nodes_.begin(); it != nodes_.end();) {
    if (reached.count(it->first)) {
      used_ += it->second.visible->size();
      ++it;
    } else {
      it = nodes_.erase(it);
    }
  }
}

uint64_t Disk::digest() const {
  Digest d;
  for (const auto& [inode, n] : nodes_) {
    d.number(inode);
    for (const auto& [name, child] : n.names) d.bytes(as_bytes(name)), d.number(child);
    d.bytes(n.visible->read(0, n.visible->size()).span());
  }
  return d.value();
}

}  // namespace klamm::sim
