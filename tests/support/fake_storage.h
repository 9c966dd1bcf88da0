// A disk for tests of one part: executes storage commands in any legal order and says what a crash leaves.
//
// Visible is what a process sees; durable is what survives a loss of power for sure. Of the difference a crash keeps
// what the test chooses: any subset of sectors, a size in between, any subset of the changes of names.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/env/command.h"
#include "engine/env/event.h"

namespace klamm {

class FakeStorage final {
 public:
  using Choose = std::function<uint64_t(uint64_t)>;  // in [0, n)
  using Content = std::vector<uint8_t>;
  static constexpr size_t kSector = 64;  // small, so that small tests tear

  FakeStorage() { nodes_[kRoot].directory = true; }

  // Takes the storage commands of a turn; nothing is done yet.
  void submit(const Commands& commands) {
    for (Command c : commands) {
      into_directory(&c);
      if (const auto* x = std::get_if<OpenFile>(&c)) files_[x->file] = {};
      const FileId* f = file_of(c);
      const bool opened = f && files_.count(*f) && files_.at(*f).node;
      if (f && !(std::holds_alternative<ReadFile>(c) && opened))  // reads keep no order once the file is open
        files_.at(*f).queue.push_back(c);
      else if (has_token(c))
        loose_.push_back(c);
    }
  }
  // How many things could be done next, in any order.
  size_t ready() const {
    size_t n = loose_.size() + syncing_.size();
    for (const auto& [id, h] : files_) n += h.queue.empty() ? 0 : 1;
    return n;
  }
  // Does one of them; gives the event that it causes (a sync begins and ends in steps of their own).
  std::optional<Event> step(uint64_t which) {
    if (which < syncing_.size()) return finish_sync(take(syncing_, which));
    which -= syncing_.size();
    if (which < loose_.size()) return loose(take(loose_, which));
    which -= loose_.size();
    for (auto it = files_.begin(); it != files_.end(); ++it)
      if (!it->second.queue.empty() && which-- == 0) return queued(it);
    return std::nullopt;
  }
  void fail_in(uint64_t k) { fail_in_ = k; }  // the k-th end from now on says failed; 1 is the next
  uint64_t ended() const { return ended_; }
  uint64_t bytes_read() const { return bytes_read_; }  // of files, by ReadFile and LoadFile

  // The machine is gone. Nothing more is done, but for the first bytes of writes that were next.
  void kill(const Choose& choose) {
    for (auto& [id, h] : files_) {
      if (!h.node || h.queue.empty()) continue;
      if (const auto* w = std::get_if<WriteFile>(&h.queue.front())) {
        Content all = joined(w->bytes);
        all.resize(choose(all.size() + 1));
        put(&nodes_.at(*h.node).visible, w->offset, all);
      }
    }
    files_.clear();
    loose_.clear();
    syncing_.clear();
  }
  // And the power with it.
  void lose_power(const Choose& choose) {
    kill(choose);
    for (auto& [id, n] : nodes_) {
      if (!n.directory) n.durable = survivor(n, choose);
      for (const Change& c : n.changes)
        if (choose(2) == 1) apply(&n.durable_names, c);
      n.changes.clear();
      n.visible = n.durable;
      n.names = n.durable_names;
    }
  }

  // What is visible.
  const Content* content(const std::string& path) const {
    const auto id = find(path);
    return id ? &nodes_.at(*id).visible : nullptr;
  }
  // What a region of an open file would send; short where the file ends.
  Content region(const FileRegion& r) const {
    const Content& all = nodes_.at(*files_.at(r.file).node).visible;
    const size_t from = std::min(all.size(), static_cast<size_t>(r.offset));
    const size_t size = std::min<size_t>(all.size() - from, r.size);
    const auto begin = all.begin() + static_cast<int64_t>(from);
    return Content(begin, begin + static_cast<int64_t>(size));
  }
  std::vector<std::string> names(const std::string& dir) const {
    std::vector<std::string> all;
    if (const auto id = find(dir))
      for (const auto& [name, node] : nodes_.at(*id).names) all.push_back(name);
    return all;
  }
  // A file that was always there.
  void set_content(const std::string& path, Content bytes) {
    const uint64_t id = make(path, false);
    nodes_.at(id).visible = nodes_.at(id).durable = std::move(bytes);
    for (std::string p = path; !p.empty(); p = parent(p)) sync_names(*find(parent(p)));
  }

 private:
  static constexpr uint64_t kRoot = 0;
  using Names = std::map<std::string, uint64_t>;
  // From a name or none to a name or none.
  struct Change {
    std::string from, to;
    uint64_t node = 0;
  };
  struct Node {
    bool directory = false;
    Content visible, durable;
    uint64_t sync_number = 0;
    Names names, durable_names;
    std::vector<Change> changes;  // between them, in order
  };
  struct Handle {
    std::optional<uint64_t> node;  // once opened
    IoError error = IoError::none;
    std::vector<Command> queue;
  };
  struct Sync {
    Token token;
    uint64_t node = 0, number = 0;
    Content content;
  };

  template<class T>
  static T take(std::vector<T>& all, uint64_t at) {
    T x = std::move(all[at]);
    all.erase(all.begin() + static_cast<int64_t>(at));
    return x;
  }
  static const FileId* file_of(const Command& c) {
    return std::visit(
        [](const auto& x) -> const FileId* {
          if constexpr (requires { x.file; }) return &x.file;
          return nullptr;
        },
        c);
  }
  static bool has_token(const Command& c) {
    return std::visit([](const auto& x) { return requires { x.token.slot; }; }, c);
  }
  // What lies in the n-th directory lies below "@n" here, but for the first.
  static void into_directory(Command* c) {
    std::visit(
        [](auto& x) {
          if constexpr (requires { x.dir.value; }) {
            if (x.dir.value == 0) return;
            const auto into = [&](std::string& path) {
              path = "@" + std::to_string(x.dir.value) + (path.empty() ? "" : "/") + path;
            };
            if constexpr (requires { x.path; }) into(x.path);
            if constexpr (requires { x.from; }) into(x.from), into(x.to);
          }
        },
        *c);
  }
  static std::string parent(const std::string& path) {
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? "" : path.substr(0, slash);
  }
  static std::string leaf(const std::string& path) { return path.substr(path.rfind('/') + 1); }
  static Content joined(const std::vector<Slice>& pieces) {
    Content all;
    for (const Slice& s : pieces) all.insert(all.end(), s.data(), s.data() + s.size());
    return all;
  }
  static void put(Content* file, int64_t offset, const Content& bytes) {
    const size_t end = static_cast<size_t>(offset) + bytes.size();
    if (!bytes.empty() && file->size() < end) file->resize(end);
    std::copy(bytes.begin(), bytes.end(), file->begin() + offset);
  }
  static void apply(Names* names, const Change& c) {
    if (const auto it = names->find(c.from); it != names->end() && it->second == c.node) names->erase(it);
    if (!c.to.empty()) (*names)[c.to] = c.node;
  }
  static Content survivor(const Node& n, const Choose& choose) {
    const size_t low = std::min(n.visible.size(), n.durable.size());
    const size_t more = std::max(n.visible.size(), n.durable.size()) - low;
    const size_t chosen = choose(more + 1);  // 0: the durable size
    Content out(n.visible.size() >= n.durable.size() ? low + chosen : low + more - chosen);
    for (size_t at = 0; at < out.size(); at += kSector) {
      const Content& from = choose(2) == 1 ? n.visible : n.durable;
      for (size_t i = at; i < std::min(at + kSector, out.size()); ++i) out[i] = i < from.size() ? from[i] : 0;
    }
    return out;
  }

  std::optional<uint64_t> find(const std::string& path) const {
    if (path.empty()) return kRoot;
    const auto dir = find(parent(path));
    if (!dir) return std::nullopt;
    const Names& names = nodes_.at(*dir).names;
    const auto it = names.find(leaf(path));
    return it == names.end() ? std::nullopt : std::optional(it->second);
  }
  void change(uint64_t dir, Change c) {
    apply(&nodes_.at(dir).names, c);
    nodes_.at(dir).changes.push_back(std::move(c));
  }
  uint64_t make(const std::string& path, bool directory) {
    if (const auto id = find(path)) return *id;
    const uint64_t dir = make(parent(path), true);
    const uint64_t id = ++last_node_;
    nodes_[id].directory = directory;
    change(dir, {"", leaf(path), id});
    return id;
  }
  void sync_names(uint64_t dir) {
    Node& n = nodes_.at(dir);
    n.durable_names = n.names;
    n.changes.clear();
  }
  IoError outcome(IoError error = IoError::none) {
    ++ended_;
    return fail_in_ > 0 && --fail_in_ == 0 ? IoError::failed : error;
  }

  Event finish_sync(const Sync& s) {
    Node& n = nodes_.at(s.node);
    const IoError error = outcome();
    if (error == IoError::none && s.number > n.sync_number) n.durable = s.content, n.sync_number = s.number;
    return Ended{s.token, error};
  }

  std::optional<Event> queued(std::map<FileId, Handle>::iterator it) {
    Handle& h = it->second;
    const Command c = take(h.queue, 0);
    if (const auto* x = std::get_if<OpenFile>(&c)) {
      const auto there = find(x->path);
      h.error = outcome(!there && x->mode == OpenMode::read_write ? IoError::not_found : IoError::none);
      if (h.error != IoError::none) return Ended{x->token, h.error};
      h.node = make(x->path, false);
      Node& n = nodes_.at(*h.node);
      if (x->mode == OpenMode::create_empty) n.visible.clear();
      return Ended{x->token, IoError::none, static_cast<int64_t>(n.visible.size())};
    }
    if (const auto* x = std::get_if<ReadFile>(&c)) return read(*x);
    if (const auto* x = std::get_if<SyncFile>(&c); x && h.error == IoError::none) {
      syncing_.push_back({x->token, *h.node, ++sync_number_, nodes_.at(*h.node).visible});
      return std::nullopt;
    }
    Token token;
    std::visit(
        [&](const auto& x) {
          if constexpr (requires { x.token.slot; }) token = x.token;
        },
        c);
    const IoError error = outcome(h.error);
    if (error == IoError::none) {
      Content& bytes = nodes_.at(*h.node).visible;
      if (const auto* x = std::get_if<WriteFile>(&c)) put(&bytes, x->offset, joined(x->bytes));
      if (const auto* x = std::get_if<TruncateFile>(&c)) bytes.resize(static_cast<size_t>(x->size));
    }
    if (std::holds_alternative<CloseFile>(c)) files_.erase(it);
    return Ended{token, error};
  }

  Event loose(const Command& c) {
    if (const auto* x = std::get_if<ReadFile>(&c)) return read(*x);
    if (const auto* x = std::get_if<LoadFile>(&c)) {
      const auto id = find(x->path);
      const bool large = id && nodes_.at(*id).visible.size() > x->most;
      const IoError error = outcome(!id ? IoError::not_found : large ? IoError::failed : IoError::none);
      if (error == IoError::none) bytes_read_ += nodes_.at(*id).visible.size();
      return ReadEnded{x->token, error, error == IoError::none ? Slice::copy(nodes_.at(*id).visible) : Slice()};
    }
    if (const auto* x = std::get_if<ListDir>(&c)) {
      const auto id = find(x->path);
      Listed listed{x->token, outcome(id ? IoError::none : IoError::not_found), {}};
      if (listed.error == IoError::none)
        for (const auto& [name, node] : nodes_.at(*id).names)
          listed.entries.push_back(
              {name, nodes_.at(node).directory, static_cast<int64_t>(nodes_.at(node).visible.size())});
      return listed;
    }
    if (const auto* x = std::get_if<MakeDir>(&c)) {
      make(x->path, true);
      return Ended{x->token, outcome()};
    }
    if (const auto* x = std::get_if<Rename>(&c)) {
      const auto id = find(x->from);
      const IoError error = outcome(id ? IoError::none : IoError::not_found);
      if (error == IoError::none) change(*find(parent(x->from)), {leaf(x->from), leaf(x->to), *id});
      return Ended{x->token, error};
    }
    if (const auto* x = std::get_if<Remove>(&c)) {
      const auto id = find(x->path);
      const IoError error = outcome(id ? IoError::none : IoError::not_found);
      if (error == IoError::none) change(*find(parent(x->path)), {leaf(x->path), "", *id});
      return Ended{x->token, error};
    }
    if (const auto* x = std::get_if<SyncDir>(&c)) {
      const auto id = find(x->path);
      const IoError error = outcome(id ? IoError::none : IoError::not_found);
      if (error == IoError::none) sync_names(*id);
      return Ended{x->token, error};
    }
    return Ended{std::get<LockDir>(c).token, outcome()};
  }
  Event read(const ReadFile& x) {
    const auto h = files_.find(x.file);
    if (h == files_.end() || !h->second.node) return ReadEnded{x.token, outcome(IoError::not_found), {}};
    const Content& bytes = nodes_.at(*h->second.node).visible;
    const size_t from = std::min(bytes.size(), static_cast<size_t>(x.offset));
    const size_t size = std::min<size_t>(bytes.size() - from, x.size);
    const IoError error = outcome();
    bytes_read_ += size;
    return ReadEnded{x.token, error,
                     error == IoError::none ? Slice::copy(ByteSpan(bytes).subspan(from, size)) : Slice()};
  }

  std::map<uint64_t, Node> nodes_;
  uint64_t last_node_ = kRoot;
  std::map<FileId, Handle> files_;
  std::vector<Command> loose_;
  std::vector<Sync> syncing_;
  uint64_t sync_number_ = 0, fail_in_ = 0, ended_ = 0, bytes_read_ = 0;
};

}  // namespace klamm
