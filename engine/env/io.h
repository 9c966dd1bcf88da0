// A machine's side of the door for commands that end: hands out tokens and file ids, remembers whose they are.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/ctx.h"
#include "engine/base/slab.h"
#include "engine/env/command.h"
#include "engine/env/event.h"

namespace klamm {

// Who waits for an end: a module's own reading of (module, key, step).
struct Owner {
  uint16_t module = 0;  // the machine's numbering of its parts
  uint16_t step = 0;    // the part's own: what it was doing
  uint64_t key = 0;     // which log, which op
  template<class V>
  void fields(V& v) const {
    v("module", module), v("step", step), v("key", key);
  }
};

class OpTable final {
 public:
  Token begin(Owner owner) { return owners_.add(owner); }
  // The owner of an ended command, once; nothing for a token it does not know.
  std::optional<Owner> end(Token token) {
    const Owner* o = owners_.find(token);
    if (!o) return std::nullopt;
    const Owner owner = *o;
    owners_.remove(token);
    return owner;
  }
  FileId open_file() { return files_.add(0); }
  void close_file(FileId file) { files_.remove(file); }  // once its CloseFile has ended
  size_t under_way() const { return owners_.size(); }
  template<class V>
  void fields(V& v) const {
    v("owners", owners_), v("files", files_);
  }

 private:
  Slab<Owner, Token> owners_;
  Slab<uint8_t, FileId> files_;
};

// For one turn: the context, the commands so far and the table of what is under way. Passed down, never stored.
struct Io {
  Ctx& ctx;
  Commands& out;
  OpTable& ops;

  FileId open(Owner owner, DirId dir, std::string path, OpenMode mode) {
    const FileId file = ops.open_file();
    out.push_back(OpenFile{file, ops.begin(owner), dir, std::move(path), mode});
    return file;
  }
  void close(Owner owner, FileId file) { out.push_back(CloseFile{file, ops.begin(owner)}); }
  void write(Owner owner, FileId file, int64_t offset, std::vector<Slice> bytes) {
    out.push_back(WriteFile{file, ops.begin(owner), offset, std::move(bytes)});
  }
  void truncate(Owner owner, FileId file, int64_t size) { out.push_back(TruncateFile{file, ops.begin(owner), size}); }
  void sync(Owner owner, FileId file) { out.push_back(SyncFile{file, ops.begin(owner)}); }
  void read(Owner owner, FileId file, int64_t offset, uint32_t size) {
    out.push_back(ReadFile{file, ops.begin(owner), offset, size});
  }
  void load(Owner owner, DirId dir, std::string path, uint32_t most) {
    out.push_back(LoadFile{ops.begin(owner), dir, std::move(path), most});
  }
  void list(Owner owner, DirId dir, std::string path) {
    out.push_back(ListDir{ops.begin(owner), dir, std::move(path)});
  }
  void make_dir(Owner owner, DirId dir, std::string path) {
    out.push_back(MakeDir{ops.begin(owner), dir, std::move(path)});
  }
  void rename(Owner owner, DirId dir, std::pair<std::string, std::string> from_to) {
    out.push_back(Rename{ops.begin(owner), dir, std::move(from_to.first), std::move(from_to.second)});
  }
  void remove(Owner owner, DirId dir, std::string path) {
    out.push_back(Remove{ops.begin(owner), dir, std::move(path)});
  }
  void sync_dir(Owner owner, DirId dir, std::string path) {
    out.push_back(SyncDir{ops.begin(owner), dir, std::move(path)});
  }
  void lock_dir(Owner owner, DirId dir) { out.push_back(LockDir{ops.begin(owner), dir}); }
};

// The terminal event of a storage command, in one shape for the parts of a machine.
struct StorageEnd {
  IoError error = IoError::none;
  int64_t value = 0;
  Slice bytes;
  const std::vector<DirEntry>* entries = nullptr;  // for the turn only
};

}  // namespace klamm
