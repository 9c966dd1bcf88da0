// The law of what a replica of the metadata log keeps: total, pure functions.
#pragma once
#include <cstdint>
#include <vector>

#include "engine/base/error_code.h"
#include "engine/base/ids.h"
#include "engine/base/units.h"

namespace klamm::quorum::rules {

struct Retention {
  int64_t bytes = 100 << 20;     // metadata.max.retention.bytes; negative: any size
  int64_t ms = 604'800'000;      // metadata.max.retention.ms; negative: for ever
  Duration check = seconds(60);  // how often it is looked at, besides each new snapshot
  template<class V>
  void fields(V& v) const {
    v("bytes", bytes), v("ms", ms), v("check", check);
  }
};

inline constexpr size_t kMaxSnapshots = 1024;  // that a replica keeps

struct Kept {
  size_t snapshots = 0;
  int64_t bytes = 0;      // of all snapshots, and of the log from its start on
  int64_t oldest_ms = 0;  // the timestamp of the last record that the oldest snapshot contains
  int64_t now_ms = 0;
};
// The oldest snapshot goes, and the log up to the next one, while all together is too large or the oldest too old; the
// newest stays. Why: it is what the log's beginning is told by, and what a replica that lacks it is sent. KIP-630.
inline bool oldest_goes(const Kept& k, const Retention& r) {
  if (k.snapshots < 2) return false;
  if (k.snapshots > kMaxSnapshots) return true;
  if (r.bytes >= 0 && k.bytes > r.bytes) return true;
  return r.ms >= 0 && saturating_subtract(k.now_ms, k.oldest_ms) > r.ms;
}

struct Asked {
  bool found = false;
  int64_t bytes = 0;  // of the file
};
// Why a part of a snapshot cannot be had. Why: the asker begins again, with a Fetch that names another. KIP-630.
inline ErrorCode part_error(const Asked& file, int64_t position, int32_t max_bytes) {
  if (!file.found) return ErrorCode::snapshot_not_found;
  if (position < 0 || position >= file.bytes) return ErrorCode::position_out_of_range;
  return max_bytes > 0 ? ErrorCode::none : ErrorCode::invalid_request;
}

struct VoterFound {
  NodeId id;
  Uuid directory;  // zero: not known
};
struct VotersFound {
  int16_t kraft_version = 0;
  std::vector<VoterFound> named;  // by the last VotersRecord; empty: there was none
  size_t configured = 0;          // voters in controller.quorum.voters
  NodeId self;                    // one of them
  Uuid directory;
};
// Why this voter must not take part in the quorum that its log tells of; null: it may. Why: voters are static here, and
// with the votes of others than the log names a leader could be elected that lacks committed records. KIP-853.
inline const char* voters_refusal(const VotersFound& f) {
  constexpr int16_t kStatic = 0, kDynamic = 1;
  if (f.kraft_version > kDynamic) return "its version of KRaft is not known";
  if (f.kraft_version == kStatic || f.named.empty()) return nullptr;
  if (f.named.size() > 1) return "it has more than one voter, and voters that change are not served";
  if (f.named[0].id != f.self) return "its voter is another node";
  if (f.named[0].directory != Uuid{} && f.named[0].directory != f.directory)
    return "its voter is another directory of this node";
  if (f.configured != 1) return "it has one voter, and controller.quorum.voters names more";
  return nullptr;
}

}  // namespace klamm::quorum::rules
