// Kafka's quorum-state file: one JSON object that holds what a voter has promised, replaced whole.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/env/io.h"
#include "engine/raft/raft.h"

namespace klamm::quorum {

// Version 0 of the data, as Kafka writes it for static voters (kraft.version 0).
std::string encode_state_file(const raft::HardState& state, const std::vector<NodeId>& voters);
// Reads versions 0 and 1. Unknown members are skipped, absent ones have their defaults.
Result<raft::HardState> decode_state_file(std::string_view text);

// Writes the file, one version at a time; versions that come while one is under way are joined to the next.
//
//   idle --save--> writing (tmp: open, write, sync, close) --> renaming --> syncing_dir --> idle, or writing again
//
// The one owner of the two names. Keys its storage commands by `Owner{module, step, key}` with the steps below.
class StateFile final {
 public:
  enum Step : uint16_t { kOpen = 100, kWrite, kSync, kClose, kRename, kSyncDir };
  struct Place {
    uint16_t module = 0;
    DirId dir;
    std::string folder;  // relative to dir
    bool flush = true;   // false (a flaw): nothing is synced
  };

  void save(Io& io, const Place& place, std::string text, uint64_t version);
  static bool owns(const Owner& owner) { return owner.step >= kOpen && owner.step <= kSyncDir; }
  // Returns the version that has become durable, or 0.
  uint64_t on_storage(Io& io, const Place& place, const Owner& owner, const StorageEnd& end);

  template<class V>
  void fields(V& v) const {
    v("state", state_), v("file", file_), v("text", text_), v("wanted", wanted_), v("under_way", under_way_);
    v("waiting_for", waiting_for_);
  }

 private:
  enum class State : uint8_t { idle, writing, renaming, syncing_dir };
  void begin(Io& io, const Place& place);

  State state_ = State::idle;
  FileId file_;
  std::string text_;         // of `wanted_`
  uint64_t wanted_ = 0;      // newest version asked for
  uint64_t under_way_ = 0;   // <= wanted_
  int32_t waiting_for_ = 0;  // ends of `writing`
};

}  // namespace klamm::quorum
