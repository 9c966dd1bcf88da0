// Snapshots of the metadata: what the image begins with or is replaced by, and what it is written to.
#include "engine/broker/turn.h"
#include "engine/metadata/difference.h"

namespace klamm::broker {
namespace {
constexpr size_t kReadPerTurn = 1 << 20;   // bytes of a snapshot folded in, then another turn goes on
constexpr size_t kWritePerTurn = 1 << 20;  // bytes of one made

Instant snapshot_due(const metadata::BrokerConfig& c, Instant now) {
  return c.metadata_snapshot_interval > Duration{} ? now + c.metadata_snapshot_interval : kNever;
}
}  // namespace

bool Turn::read_snapshot() {
  MetadataSnapshots& s = p.snapshots;
  if (s.read) return true;
  if (!p.quorum->started()) return false;
  if (!s.reader && p.quorum->snapshot()) s.reader.emplace(*p.quorum->snapshot(), p.quorum->take_snapshot());
  if (s.reader) {
    const Result<void> step = s.reader->step(arena(), kReadPerTurn);
    if (!step) {
      const char* why = step.error().reason;
      fatal(1, "the snapshot " + snapshot_file(s.reader->id()) + " is damaged: " + (why ? why : "a checksum"));
      return false;
    }
    if (!s.reader->done()) {
      p.again = p.reads_on = true;
      return false;
    }
    KLAMM_ASSERT_REL(p.published, <=, s.reader->id().end);
    if (const char* why = metadata::contradiction(p.carried, s.reader->image())) {
      fatal(1, "the snapshot " + snapshot_file(s.reader->id()) + " contradicts what was before it: " + why);
      return false;
    }
    p.image = s.reader->image();
    p.published = s.reader->id().end;
    p.unpublished = metadata::difference(p.carried, p.image);
    s.reader.reset();
  }
  s.read = true;
  s.due_at = snapshot_due(p.config, ctx().now);
  return true;
}

// Every so many bytes of committed records, or after a time, all that they amount to is written down (KIP-630).
void Turn::write_snapshot() {
  MetadataSnapshots& s = p.snapshots;
  if (!s.read) return;
  if (!s.writer) {
    if (s.bytes == 0 || (s.bytes < p.config.metadata_snapshot_bytes && ctx().now < s.due_at)) return;
    if (p.startup.phase != Phase::running || p.image.in_transaction() || !p.image.complete()) return;
    const auto id = p.quorum->next_snapshot(p.image.end());
    if (!id) return;
    PROBE(ctx(), metadata_snapshot);
    s.writer.emplace(p.image, metadata::SnapshotWriter::Options{*id, s.last_ms, ctx().wall.ms});
    s.bytes = 0;
    s.due_at = snapshot_due(p.config, ctx().now);
  }
  for (size_t made = 0; made < kWritePerTurn && !s.writer->done(); made += s.pieces.back().size())
    s.pieces.push_back(s.writer->next(arena()));
  if (!s.writer->done()) {
    p.again = true;
    return;
  }
  const metadata::SnapshotId id = s.writer->id();
  s.writer.reset();
  Writer file;
  for (const Slice& piece : std::exchange(s.pieces, {})) file.raw(piece.span());
  if (file.size() <= quorum::kMaxSnapshotBytes) p.quorum->store_snapshot(io, id, file.finish_contiguous());
}

}  // namespace klamm::broker
