// A compaction of one log under way: what its steps leave for each other (log_clean.cc, log_swap.cc).
//
//   mapping ──> rewriting ──> sealing ──> naming ──> name_sync ──> waiting ──> clearing ──> clear_sync ──> swapping
//    keys        ^   │ │       indexes,    *.swap                  for cold     old files                  .log.swap
//                │   │ │       syncs                               reads        but the first              over .log
//                │   │ └──> closing ──> removing ─┐                                                           │
//                │   └── nothing changed ──┘      │                                                           │
//                └────────── next group ──────────┴──────────────────────── swap_sync <───────────────────────┘
//
// Up to sealing it can be abandoned: what it wrote is closed and removed. From naming on a crash may complete it, and
// so its present group ends, whatever else happens to the log.
#pragma once
#include "engine/log/clean_transactions.h"
#include "engine/log/key_offsets.h"
#include "engine/log/rules.h"
#include "engine/log/scanner.h"
#include "engine/log/segment.h"

namespace klamm::log {

inline constexpr uint32_t kCleanBytes = 256 << 10;  // of one read; as many are written, unless a batch is larger

struct Cleaning {
  enum class Stage : uint8_t {
    mapping,
    rewriting,
    sealing,
    naming,
    name_sync,
    waiting,
    clearing,
    clear_sync,
    swapping,
    swap_sync,
    closing,
    removing,
  };
  uint64_t number = 0;  // an end that belongs to another cleaning is ignored
  uint64_t generation = 0;
  Stage stage = Stage::mapping;
  uint8_t running = 0;  // ops under way
  bool abandoned = false;
  CleanBy by;
  int64_t now_ms = 0;  // when it began
  CleanRange range;
  KeyOffsets keys;
  CleanEnd end;
  Instant not_before{};  // of the next read

  Offset source = 0;  // base of the segment that is read
  FileId source_file;
  int64_t position = 0;  // there
  uint32_t need = 0;     // bytes of the batch there, if it is longer than a read
  uint32_t asked = 0;    // bytes of the read under way
  Offset expect = 0;     // no batch begins before

  Offset rewrite_end = 0;           // segments before it are rewritten
  Offset group = 0, group_end = 0;  // the segments that become one
  FileId target;
  int64_t target_size = 0;
  int64_t first_timestamp = kNoTimestamp;
  bool changed = false;  // the new segment is not what the old one was
  SegmentIndex index = SegmentIndex();
  CleanTransactions transactions;   // of the pass under way
  std::vector<AbortedTxn> aborted;  // by markers that the new segment has
  bool txn_file = false;            // it gets a .txnindex

  bool committed() const { return stage >= Stage::naming && stage <= Stage::swap_sync; }
  std::vector<const char*> new_files() const {
    std::vector<const char*> suffixes = {".log", ".index", ".timeindex"};
    if (txn_file) suffixes.push_back(".txnindex");
    return suffixes;
  }
  bool wants_files_alone() const { return stage >= Stage::waiting && stage <= Stage::swapping; }
  template<class V>
  void fields(V& v) const {
    v("number", number), v("generation", generation), v("stage", stage), v("running", running),
        v("abandoned", abandoned), v("by", by), v("now_ms", now_ms), v("range", range), v("keys", keys), v("end", end),
        v("not_before", not_before);
    v("source", source), v("source_file", source_file), v("position", position), v("need", need), v("asked", asked),
        v("expect", expect);
    v("rewrite_end", rewrite_end), v("group", group), v("group_end", group_end), v("target", target),
        v("target_size", target_size), v("first_timestamp", first_timestamp), v("changed", changed), v("index", index);
    v("transactions", transactions), v("aborted", aborted), v("txn_file", txn_file);
  }
};

// What recovery does about swap files that a crash left: it finds the end of each, removes the segments that it
// replaces, and renames it.
struct Swaps {
  std::vector<Offset> logs;    // <base>.log.swap
  std::vector<int64_t> sizes;  // of these, in bytes
  size_t at = 0;               // being scanned
  FileId file;
  int64_t read_at = 0;
  BatchScanner scanner;
  std::vector<Offset> segments;      // that are there
  std::vector<std::string> doomed;   // files to be removed
  std::vector<std::string> indexes;  // that have swap files
  template<class V>
  void fields(V& v) const {
    v("logs", logs), v("sizes", sizes), v("at", at), v("file", file), v("read_at", read_at), v("scanner", scanner),
        v("segments", segments), v("doomed", doomed), v("indexes", indexes);
  }
};

}  // namespace klamm::log
