// One host's storage commands on their way: order within a file, latency, failure, and what a crash cuts off.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/env/command.h"
#include "engine/env/event.h"
#include "sim/disk.h"
#include "sim/queue.h"
#include "sim/tape.h"

namespace klamm::sim {

// How fast a disk is, and what is wrong with it. Set by the swarm and by faults.
struct DiskModel {
  Delay write{.least_ns = 3'000, .spread_ns = 2'000};  // to the page cache
  Delay sync{.least_ns = 100'000, .spread_ns = 300'000, .far_ns = 0, .shape = Delay::Shape::exponential};
  Delay read{.least_ns = 5'000, .spread_ns = 50'000, .far_ns = 0, .shape = Delay::Shape::exponential};
  Delay name{.least_ns = 10'000, .spread_ns = 40'000};  // open, rename, remove, list
  int64_t stalled_until = 0;                            // nothing ends before
  uint32_t fail_writes = 0;                             // this many of the next ones
  uint32_t fail_syncs = 0;
  uint32_t fail_reads = 0;
  uint64_t fail_operation = 0;  // the one of this number, from 1 and over all lives; 0: none
};

// Value, forkable. Lives with its host; what is open belongs to the host's present process.
class Storage final {
 public:
  explicit Storage(HostId host, uint32_t directories);
  static constexpr size_t kMaxUnderWay = 1 << 16;

  // Accepts a command of the machine's turn that ended at `now`; its end comes by Due::storage.
  void submit(OpenFile&& c, int64_t now, Queue& q, Tape& t);
  void submit(CloseFile&& c, int64_t now, Queue& q, Tape& t);
  void submit(WriteFile&& c, int64_t now, Queue& q, Tape& t);
  void submit(TruncateFile&& c, int64_t now, Queue& q, Tape& t);
  void submit(SyncFile&& c, int64_t now, Queue& q, Tape& t);
  void submit(ReadFile&& c, int64_t now, Queue& q, Tape& t);
  void submit(LoadFile&& c, int64_t now, Queue& q, Tape& t);
  void submit(ListDir&& c, int64_t now, Queue& q, Tape& t);
  void submit(MakeDir&& c, int64_t now, Queue& q, Tape& t) { submit_name(std::move(c), now, q, t); }
  void submit(Rename&& c, int64_t now, Queue& q, Tape& t) { submit_name(std::move(c), now, q, t); }
  void submit(Remove&& c, int64_t now, Queue& q, Tape& t) { submit_name(std::move(c), now, q, t); }
  void submit(SyncDir&& c, int64_t now, Queue& q, Tape& t) { submit_name(std::move(c), now, q, t); }
  void submit(LockDir&& c, int64_t now, Queue& q, Tape& t) { submit_name(std::move(c), now, q, t); }
  void begin_turn() { turn_write_latency_ = -1; }  // writes of one turn end together

  // A due item of this storage. True if `out` holds the end of an operation.
  bool due(const Item& item, int64_t now, Queue& q, Tape& t, Event* out);

  // The process is gone: of what was under way any prefix in bytes per file has happened.
  void crash(Tape& t);
  // ... and the page cache with it.
  void lose_power(Tape& t);

  Disk& disk() { return disk_; }
  const Disk& disk() const { return disk_; }
  DiskModel& model() { return model_; }
  // What a region of an open file reads from; 0: its open failed. Holds though the file is closed or removed.
  uint64_t lease(FileId id) { return file(id).error == IoError::none ? file(id).inode : 0; }
  int64_t region_due(int64_t now, Tape& t) { return std::max(now + model_.read.draw(latency_, t), after_stall()); }
  Slice region(uint64_t inode, int64_t offset, uint32_t size);  // nothing: the disk fails
  bool failing() const { return failing_; }  // a write or sync of this life was made to fail, or will end so
  size_t under_way() const { return ops_in_use_; }
  uint64_t submitted() const { return submitted_; }  // operations, over all lives

 private:
  struct OpenOp {
    FileId file;
    DirId dir;
    std::string path;
    OpenMode mode;
  };
  struct WriteOp {
    FileId file;
    int64_t offset;
    std::vector<Slice> bytes;
    bool fails;
  };
  struct TruncateOp {
    FileId file;
    int64_t size;
  };
  struct SyncOp {
    FileId file;
    bool fails;
    bool taken;
    Cow<Content> what;
  };
  struct CloseOp {
    FileId file;
  };
  struct ReadOp {
    FileId file;
    int64_t offset;
    uint32_t size;
    bool sampled;
    bool fails;
    IoError error;
    Slice bytes;
  };
  struct LoadOp {
    IoError error;
    Slice bytes;
  };
  struct ListOp {
    IoError error;
    std::vector<DirEntry> entries;
  };
  struct NameOp {
    std::variant<MakeDir, Rename, Remove, SyncDir, LockDir> what;
  };
  using What = std::variant<OpenOp, WriteOp, TruncateOp, SyncOp, CloseOp, ReadOp, LoadOp, ListOp, NameOp>;
  struct Op {
    uint32_t generation = 1;
    bool used = false;
    uint64_t number = 0;  // order of submission
    Token token;
    What what;
  };
  struct File {
    uint32_t generation = 0;
    bool open = false;
    IoError error = IoError::none;  // of its OpenFile
    Inode inode = 0;
    int64_t writes_end = 0;  // when the last write, truncate or the open ends
    int64_t syncs_end = 0;
    int64_t reads_end = 0;
  };

  uint32_t add_op(Token token, What what);
  // What is submitted during a stall ends after what was under way when it began.
  int64_t after_stall() const { return model_.stalled_until + 1; }
  void schedule(uint32_t op, int64_t at, Due due, Queue& q);
  void submit_name(std::variant<MakeDir, Rename, Remove, SyncDir, LockDir> what, int64_t now, Queue& q, Tape& t);
  File& file(FileId id);
  IoError write_bytes(const WriteOp& w, int64_t most);
  void sample(ReadOp& r);
  void delay_file(const Op& op, int64_t until);
  IoError do_name(const NameOp& op);
  Event end(Op& op, Tape& t);
  Event fail(const Op& op);
  void crash_file_ops(const std::vector<Op*>& ops, Tape& t);

  HostId host_;
  Disk disk_;
  DiskModel model_;
  std::vector<Op> ops_;
  std::vector<uint32_t> free_ops_;
  size_t ops_in_use_ = 0;
  bool failing_ = false;
  uint64_t submitted_ = 0;
  std::vector<File> files_;  // by FileId slot
  int64_t turn_write_latency_ = -1;
  Draws latency_;
  Draws sampling_;
  Draws crash_;
};

}  // namespace klamm::sim
