// What a log knows of its cold reads: those under way, and what they have found.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/log/segment.h"
#include "engine/log/types.h"

namespace klamm::log {

inline constexpr size_t kColdBlocks = 4;          // read from disk and kept; as many reads are under way at most
inline constexpr size_t kMaxColdWants = 256;      // waiting behind those
inline constexpr uint32_t kColdLeast = 64 << 10;  // bytes of one cold read, unless a single batch is larger
inline constexpr uint32_t kColdMost = 1 << 20;
inline constexpr size_t kColdPlaces = 16;         // known of batches on disk; the oldest goes first
inline constexpr size_t kIndexWindows = 8;        // parts of index files in memory, of a log
inline constexpr size_t kWindowEntries = 8'192;   // of one
inline constexpr uint32_t kPlaceLeast = 4 << 10;  // bytes read to find a place
inline constexpr uint32_t kPlaceMost = 64 << 10;

struct ColdRead {
  uint64_t number = 0;
  ColdWant want;
  Offset segment = 0;
  int64_t position = 0;
  uint32_t size = 0;
  bool by_index = false;  // the position is a hint; if it is wrong, begin at the segment's start
  bool guess = false;     // it may lie behind the batch wanted: then it is looked for from an earlier one
  bool guessed = false;
  template<class V>
  void fields(V& v) const {
    v("number", number), v("want", want), v("segment", segment), v("position", position), v("size", size),
        v("by_index", by_index), v("guess", guess), v("guessed", guessed);
  }
};
// Whole batches from a file that hold all of [from, next).
struct ColdBlock {
  Offset from = 0;
  Offset next = 0;
  Offset segment = 0;
  int64_t end_position = 0;
  uint32_t memory = 0;  // what was read at once is kept whole
  Slice bytes;
  template<class V>
  void fields(V& v) const {
    v("from", from), v("next", next), v("segment", segment), v("end_position", end_position), v("memory", memory),
        v("bytes", bytes);
  }
};
// Why what was asked for is not in memory.
struct ColdFault {
  Offset offset = 0;
  IoError error = IoError::none;  // none: it is damaged
  template<class V>
  void fields(V& v) const {
    v("offset", offset), v("error", error);
  }
};
// Where the batch lies that holds all of [from, last], or is the first behind them: it has records.
struct ColdPlace {
  Offset from = 0;
  Offset last = 0;
  Offset segment = 0;
  int64_t position = 0;
  uint32_t size = 0;  // of the batch
  template<class V>
  void fields(V& v) const {
    v("from", from), v("last", last), v("segment", segment), v("position", position), v("size", size);
  }
};
// A part of a full segment's index file, of whose entries memory keeps only some.
struct IndexWindow {
  Offset segment = 0;
  std::vector<IndexEntry> entries;
  bool to_end = false;  // the file's last entry is in it
  template<class V>
  void fields(V& v) const {
    v("segment", segment), v("entries", entries), v("to_end", to_end);
  }
};

}  // namespace klamm::log
