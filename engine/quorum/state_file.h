// Kafka's quorum-state file: one JSON object that holds what a voter has promised, replaced whole.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/env/io.h"
#include "engine/log/replace_file.h"
#include "engine/quorum/place.h"
#include "engine/raft/raft.h"

namespace klamm::quorum {

// Version 0 of the data, as Kafka writes it for static voters (kraft.version 0).
std::string encode_state_file(const raft::HardState& state, const std::vector<NodeId>& voters);
// Reads versions 0 and 1. Unknown members are skipped, absent ones have their defaults.
Result<raft::HardState> decode_state_file(std::string_view text);

// Reads the file at the start, then writes it, one version at a time; versions that come while one is under way are
// joined to the next. A version is durable once its content, its name and the folder's own name are.
class StateFile final {
 public:
  struct Out {
    bool loaded = false;   // `stored` is what the file says; nothing: there is no file
    uint64_t durable = 0;  // this version has become durable; 0: none has
    std::string fatal;     // not empty: unreadable or unwritable
  };

  explicit StateFile(Place place) : place_(std::move(place)) {}
  void load(Io& io);
  void save(Io& io, std::string text, uint64_t version);
  void on_storage(Io& io, const Owner& owner, const StorageEnd& end, Out& out);
  const raft::HardState& stored() const { return stored_; }

  template<class V>
  void fields(V& v) const {
    v("stored", stored_), v("replace", replace_), v("text", text_), v("wanted", wanted_), v("under_way", under_way_);
    v("written", written_), v("told", told_), v("named", named_);
  }

 private:
  enum Step : uint16_t { kLoad, kMakeFolder, kNameFolder, kReplace };
  static constexpr uint32_t kMostBytes = 64 << 10;
  Owner owner(Step step) const { return {place_.module, step, place_.key}; }
  std::string path() const { return place_.folder + "/quorum-state"; }
  void replace(Io& io);
  void replaced(Io& io, const Owner& owner, const StorageEnd& end, Out& out);
  void tell(Out& out);

  Place place_;
  raft::HardState stored_;
  log::ReplaceFile replace_;
  std::string text_;        // of `wanted_`
  uint64_t wanted_ = 0;     // newest version asked for
  uint64_t under_way_ = 0;  // what replace_ is writing
  uint64_t written_ = 0;    // durable but perhaps for the folder's name; told_ <= written_ <= under_way_ <= wanted_
  uint64_t told_ = 0;
  bool named_ = false;  // the folder's own name is durable
};

}  // namespace klamm::quorum
