// The metadata log cut below its snapshots, and snapshots that come in its place (KIP-630).
#include <algorithm>

#include "engine/quorum/quorum.h"
#include "engine/raft/rules.h"

namespace klamm::quorum {
namespace {
constexpr size_t kCheckedPerTurn = 4u << 20;  // bytes

OffsetAndEpoch id_of(const metadata::SnapshotId& id) { return {id.end, id.epoch}; }
}  // namespace

// What Kafka's tool writes into a new log, 0-0, is for its own node: nothing is contained in it that is not in the log.
std::optional<raft::SnapshotIds> Quorum::snapshot_ids() const {
  const Snapshots::Files& files = snapshots_.files();
  const auto oldest = std::find_if(files.begin(), files.end(), [](const auto& f) { return f.first.end > 0; });
  if (oldest == files.end()) return std::nullopt;
  return raft::SnapshotIds{id_of(oldest->first), id_of(files.rbegin()->first)};
}

void Quorum::store_snapshot(Io& io, const metadata::SnapshotId& id, Slice file) {
  if (snapshots_.busy() || installing_ || id.end < log_start() || (snapshot() && *snapshot() >= id)) return;
  snapshots_.store(io, id, std::move(file));
}

// The log's beginning moves to the end of the oldest snapshot that stays; whole segments below it go, then the older
// snapshots. A crash between leaves more than is needed.
void Quorum::cut(Io& io, Out& out) {
  if (!started() || !log_usable()) return;
  cut_at_ = io.ctx.now + options_.retention.check;
  const Snapshots::Files& files = snapshots_.files();
  while (files.size() > 1) {
    const auto oldest = files.begin();
    const metadata::SnapshotId next = std::next(oldest)->first;
    if (next.end > std::min(committed(), read_to_)) break;
    if (!oldest->second.contained_ms) {
      snapshots_.date_oldest(io);
      break;
    }
    rules::Kept kept{files.size(), log_.size_bytes(log_start()), *oldest->second.contained_ms, io.ctx.wall.ms};
    for (const auto& [id, file] : files) kept.bytes += file.bytes;
    if (!rules::oldest_goes(kept, options_.retention)) break;
    PROBE(io.ctx, metadata_log_cut);
    if (next.end > log_start()) {
      log_.advance_log_start(io.ctx, next.end);
      log_.retain(io, {.high_watermark = committed()});
    }
    snapshots_.remove_before(io, next);
    step(io, raft::LogCut{log_.ends().log_start, snapshot_ids()}, {}, out);
  }
  if (raft_->log().snapshots != snapshot_ids()) step(io, raft::LogCut{log_start(), snapshot_ids()}, {}, out);
}

// ---- a snapshot from the leader: gathered, looked at, stored; then the log begins anew where it ends

void Quorum::take_part(const raft::SnapshotPart& part, const Slice& bytes) {
  if (part.position == 0) fetched_ = Fetched{{part.id.offset, part.id.epoch}, {}};
  KLAMM_ASSERT(fetched_ && id_of(fetched_->id) == part.id && !fetched_->complete);
  fetched_->parts.push_back(bytes);
  fetched_->complete = part.last;
}

// Nobody waits for it any more.
void Quorum::forget_fetched() {
  if (fetched_ && raft_->fetched_snapshot() != id_of(fetched_->id)) fetched_.reset();
}

// One that cannot be read must not take the place of a good log: what it says is folded, a piece a turn, and forgotten.
void Quorum::store_fetched(Io& io, Out& out) {
  if (fetched_ && fetched_->complete && !checking_) {
    size_t size = 0;
    for (const Slice& part : fetched_->parts) size += part.size();
    Writer file(size);
    for (Slice& part : fetched_->parts) file.raw(part.span()), part = {};
    const Slice whole = file.finish_contiguous();
    checking_ = Checking{fetched_->id, whole, {fetched_->id, whole}};
    fetched_.reset();
  }
  if (!checking_ || snapshots_.busy() || installing_) return;
  const metadata::SnapshotId id = checking_->id;
  const bool wanted = raft::rules::supersedes(id_of(id), raft_->log().last()) && !snapshots_.files().count(id);
  const bool sound = wanted && checking_->reader.step(io.ctx.arena(), kCheckedPerTurn);
  if (sound && !checking_->reader.done()) return;
  Slice whole = std::move(checking_->file);
  checking_.reset();
  if (!sound) return step(io, raft::SnapshotEnded{.id = id_of(id), .unsound = wanted}, {}, out);
  storing_ = id;
  snapshots_.keep_bytes(whole);
  snapshots_.store(io, id, std::move(whole));
}

void Quorum::fetched_stored(Io& io, Out& out) {
  const metadata::SnapshotId id = *std::exchange(storing_, std::nullopt);
  if (raft::rules::supersedes(id_of(id), raft_->log().last())) {
    if (id.end < committed())
      return void(out.fatal = "a snapshot of the metadata quorum's leader would replace committed records");
    return install(io, id, out);
  }
  snapshots_.take_bytes();  // the log has come beyond it meanwhile
  step(io, raft::SnapshotEnded{.id = id_of(id)}, {}, out);
}

void Quorum::install(Io& io, const metadata::SnapshotId& id, Out& out) {
  installing_ = Installing{id};
  pump_install(io, out);
}

// What the log holds beyond the snapshot was never committed: it goes first, for segments lie in the order of offsets.
void Quorum::pump_install(Io& io, Out& out) {
  const metadata::SnapshotId id = installing_->id;
  if (!log_.ready()) return;
  if (!installing_->begun) {
    if (log_.ends().submitted > id.end) log_.truncate_to(io, id.end);
    if (!log_.ready()) return;
    if (log_.ends().synced < log_.ends().submitted) return log_.sync(io);
    log_.begin_anew_at(io, id.end);
    installing_->begun = true;
  }
  if (!log_.begun_anew()) return;
  installing_.reset();
  snapshots_.remove_before(io, id);
  if (!started()) return run_if_loaded(io, out);
  sync_asked_ = read_to_ = id.end;
  reader_waits_ = false;
  out.replaced = out.readable = true;
  step(io, raft::SnapshotEnded{.id = id_of(id), .installed = true}, {}, out);
}

}  // namespace klamm::quorum
