// A machine's files: its storage commands on real directories. The engine's thread owns it all; the pool sees raw spans
// and descriptors only while this table holds the slices and the files they belong to.
//
// A file's writes and truncates run in their order: small writes here, at once, joined where they touch; what may wait
// for the device on the pool, one at a time (`busy`). A sync starts when what was submitted before it is done, runs
// beside later writes, and answers for all syncs that were waiting when it started; those of a directory's names too.
#pragma once
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/fifo.h"
#include "engine/env/command.h"
#include "engine/env/event.h"
#include "server/pool.h"
#include "server/posix.h"

namespace klamm::server {

class Disk final {
 public:
  static constexpr size_t kMaxInlineWrite = 1 << 20;  // bytes of one file and turn that the engine's thread writes

  struct Options {
    std::vector<std::string> directories;  // DirId is the index
    size_t most_descriptors = 512;         // kept open; busy files may exceed it
  };
  // Ends are appended to `events`, which must outlive the disk.
  Disk(Options options, Pool& pool, std::vector<Event>& events);
  ~Disk();

  void execute(OpenFile& c);
  void execute(CloseFile& c) { enqueue(c.file, {Step::close, c.token}); }
  void execute(WriteFile& c);
  void execute(TruncateFile& c) { enqueue(c.file, {Step::truncate, c.token, c.size}); }
  void execute(SyncFile& c) { enqueue(c.file, {Step::sync, c.token}); }
  void execute(ReadFile& c) { enqueue(c.file, {Step::read, c.token, c.offset, c.size}); }
  void execute(const LoadFile& c);
  void execute(const ListDir& c);
  void execute(const MakeDir& c);
  void execute(const Rename& c);
  void execute(const Remove& c);
  void execute(const SyncDir& c);
  void execute(const LockDir& c);
  // What a region of an open file reads from, for as long as one holds it: whether the file is closed, renamed or
  // removed meanwhile. Nothing: it cannot be read any more.
  Lease lease(FileId id);
  // The same where somebody holds it already; else nothing, and nothing is opened.
  Lease held(FileId id);
  // After a turn's commands: starts what they asked for.
  void flush();
  // Tells free space where it has changed much since it was told.
  void look_at_space();
  // Free space was not yet seen, or so much was written since that it may have changed much.
  bool space_in_doubt() const;

 private:
  enum class Step : uint8_t { write, truncate, sync, read, close };
  struct Op {
    Step step;
    Token token;
    int64_t offset = 0;
    uint32_t size = 0;
    std::vector<Slice> bytes = {};
  };
  struct File {
    FileId id;
    std::string path;
    Lease descriptor;                // with other holders it is not given up
    IoError broken = IoError::none;  // a failed open, write or sync is final
    bool busy = false;               // an open, truncate or large write is on the pool
    bool syncing = false;
    bool dirty = false;  // in dirty_
    uint32_t reads = 0;  // on the pool
    Fifo<Op> ops;
    std::vector<Token> syncs;  // wait for the next sync
    std::list<uint32_t>::iterator recent;
    bool idle() const { return !busy && !syncing && reads == 0; }
    bool leased() const { return descriptor.use_count() > 1; }
  };

  std::string path_of(DirId dir, const std::string& path) const;
  File& file(FileId id);
  void enqueue(FileId id, Op op);
  void mark(File& f);
  void advance(File& f);
  void start(File& f, const Op& op);
  bool write(File& f);  // false: it goes on on the pool
  void truncate(File& f, const Op& op);
  void start_sync(File& f);
  void read(File& f, const Op& op);
  bool close(File& f, Token token);
  bool ready(File& f);  // has a descriptor, opened anew if it was given up
  void give_up_descriptors();
  void sync_names(const std::string& path);
  void end(Token token, IoError error, int64_t value = 0) { events_.push_back(Ended{token, error, value}); }

  const Options options_;
  Pool& pool_;
  std::vector<Event>& events_;
  std::vector<std::unique_ptr<File>> files_;               // by slot
  std::set<std::pair<std::string_view, uint32_t>> paths_;  // theirs, with the slots: what a rename moves
  std::vector<uint32_t> dirty_;                            // slots with something to start
  std::list<uint32_t> recent_;                             // slots with a descriptor, most recent first
  std::map<std::string, std::vector<Token>> names_;        // syncs of directories under way; who waits for the next
  std::vector<Descriptor> locks_;
  std::vector<int64_t> told_free_;  // -1: never
  int64_t written_since_look_ = 0;
};

}  // namespace klamm::server
