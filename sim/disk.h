// One host's disk: what its processes see, what would survive a loss of power, and what such a loss leaves.
// Effects are immediate here; when they happen is the business of Storage.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/cow.h"
#include "engine/env/command.h"
#include "engine/env/event.h"
#include "sim/content.h"
#include "sim/tape.h"

namespace klamm::sim {

using Inode = uint64_t;  // 0: none

// Value, forkable. Owned by a host; outlives its processes. Bytes and size of a file become durable by `make_durable`,
// names only by `sync_dir` of the directory that holds them.
class Disk final {
 public:
  explicit Disk(uint32_t directories);
  uint32_t directories() const { return directories_; }

  IoError open(DirId dir, std::string_view path, OpenMode mode, Inode* out);
  IoError write(Inode file, int64_t offset, ByteSpan bytes);
  void truncate(Inode file, int64_t size);
  int64_t size(Inode file) const { return content(file).size(); }
  const Content& content(Inode file) const { return *node(file).visible; }
  Cow<Content> snapshot(Inode file) const { return node(file).visible; }
  void make_durable(Inode file, const Cow<Content>& what);
  // A sync failed: the kernel forgets that the pages were dirty, so that later syncs succeed and mean nothing.
  void poison(Inode file) { node(file).poisoned = true; }

  bool poisoned() const;  // any file: it cannot be made durable any more

  IoError find_file(DirId dir, std::string_view path, Inode* out) const;
  IoError list(DirId dir, std::string_view path, std::vector<DirEntry>* out) const;
  IoError make_dir(DirId dir, std::string_view path);
  IoError rename(DirId dir, std::string_view from, std::string_view to);
  IoError remove(DirId dir, std::string_view path);
  IoError sync_dir(DirId dir, std::string_view path);

  // Of what was not synced any subset of names, pages and sectors stays; afterwards what is visible is durable.
  // Nothing may be open. The dull choice keeps all.
  void lose_power(Draws& draws, Tape& tape);
  void wipe();
  // No process holds a file open: forgets files that have no name left.
  void sweep();

  void set_capacity(int64_t bytes) { capacity_ = bytes; }
  int64_t capacity() const { return capacity_; }
  int64_t free_bytes() const { return capacity_ - used_; }
  int64_t used() const { return used_; }
  uint64_t digest() const;  // over everything visible, for tests

 private:
  struct Node {
    bool directory = false;
    bool poisoned = false;
    std::map<std::string, Inode, std::less<>> names;  // of a directory, as seen
    std::map<std::string, Inode, std::less<>> durable_names;
    Cow<Content> visible;
    Cow<Content> durable;
  };
  struct Assign {  // a directory's entry gets an inode, or none
    Inode directory = 0;
    std::string name;
    Inode inode = 0;
  };
  using NameOp = std::vector<Assign>;  // atomic

  Node& node(Inode i);
  const Node& node(Inode i) const;
  Inode root(DirId dir) const { return dir.value + 1; }
  Inode add(bool directory);
  Inode find(DirId dir, std::string_view path) const;
  IoError parent(DirId dir, std::string_view path, bool make, Inode* out);
  void assign(NameOp op);
  void make_names_durable(const NameOp& op);
  void remove_tree(Inode directory, const std::string& name);
  void settle_file(Node& file, Draws& draws, Tape& tape);

  uint32_t directories_;
  Inode last_ = 0;
  int64_t capacity_ = int64_t{1} << 40;
  int64_t used_ = 0;
  std::map<Inode, Node> nodes_;
  std::vector<NameOp> unsynced_;  // in the order in which they happened
};

}  // namespace klamm::sim
