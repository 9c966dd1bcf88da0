#include "engine/quorum/quorum.h"

#include <algorithm>

#include "engine/protocol/batch_builder.h"
#include "engine/raft/rules.h"

namespace klamm::quorum {
namespace {

std::string metadata_folder() { return std::string(kMetadataTopic) + "-0"; }

log::LogOptions log_options(const Options& o, uint64_t key) {
  log::LogOptions l;
  l.module = o.module;
  l.key = key;
  l.dir = o.dir;
  l.topic = kMetadataTopicId;
  l.topic_name = kMetadataTopic;
  l.config = o.log;
  l.track_producers = false;
  l.adopt_unnamed = true;
  l.tell_control = true;
  return l;
}

Options in_order(Options o) {
  std::sort(o.voters.begin(), o.voters.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return o;
}

std::vector<NodeId> ids(const std::vector<VoterAddress>& voters) {
  std::vector<NodeId> out;
  for (const VoterAddress& v : voters) out.push_back(v.id);
  return out;
}

}  // namespace

Quorum::Quorum(Options options)
    : options_(in_order(std::move(options))),
      log_(log_options(options_, kLogKey)),
      state_file_({options_.module, kStateFileKey, options_.dir, metadata_folder()}),
      snapshots_({options_.module, kSnapshotsKey, options_.dir, metadata_folder()}) {
  identity_ = {options_.cluster_id, options_.listener, {}, 0};
  if (const VoterAddress* own = voter(options_.self)) identity_.host = own->host, identity_.port = own->port;
}

void Quorum::start(Io& io, Out&) {
  state_file_.load(io);
  snapshots_.load(io);
}

const VoterAddress* Quorum::voter(NodeId id) const {
  for (const VoterAddress& v : options_.voters)
    if (v.id == id) return &v;
  return nullptr;
}

void Quorum::on_storage(Io& io, const Owner& owner, const StorageEnd& end, Out& out) {
  if (owner.key == kLogKey) return on_log(io, owner, end, out);
  if (owner.key == kSnapshotsKey) return on_snapshots(io, owner, end, out);
  KLAMM_ASSERT_REL(owner.key, ==, kStateFileKey);
  on_state_file(io, owner, end, out);
}

void Quorum::on_state_file(Io& io, const Owner& owner, const StorageEnd& end, Out& out) {
  StateFile::Out file;
  state_file_.on_storage(io, owner, end, file);
  if (!file.fatal.empty()) {
    out.fatal = file.fatal;
    return;
  }
  if (file.loaded) {
    loaded_ = true;
    run_if_loaded(io, out);
  }
  if (file.durable != 0) {
    durable_version_ = file.durable;
    step(io, raft::HardStateSynced{file.durable}, {}, out);
  }
}

// What a snapshot stands for was durable when it was taken, and is committed: the log is sound up to there.
void Quorum::on_snapshots(Io& io, const Owner& owner, const StorageEnd& end, Out& out) {
  Snapshots::Out s;
  snapshots_.on_storage(io, owner, end, s);
  if (!s.fatal.empty()) return void(out.fatal = s.fatal);
  if (s.loaded && !found_.apply_head(snapshots_.bytes().span()))
    return void(out.fatal = "the snapshot " + snapshot_file(*snapshot()) + " is damaged: its control records");
  if (s.loaded && snapshot()) log_.open(io, {.recovery_point = snapshot()->end, .epoch = snapshot()->epoch});
  if (s.loaded && !snapshot()) log_.open(io, {});
  for (const Snapshots::Part& part : s.parts) on_snapshot_part(io, part, out);
  if (s.stored && storing_) fetched_stored(io, out);
  if (s.stored || s.dated) cut(io, out);
}

std::optional<metadata::SnapshotId> Quorum::next_snapshot(Offset end) const {
  if (!started() || installing_ || snapshots_.busy() || end > committed() || end > raft_->log().synced)
    return std::nullopt;
  if (end <= log_start() || (snapshot() && end <= snapshot()->end)) return std::nullopt;
  for (auto it = raft_->log().epochs.starts().rbegin(); it != raft_->log().epochs.starts().rend(); ++it)
    if (it->offset < end) return metadata::SnapshotId{end, it->epoch};
  return std::nullopt;
}

void Quorum::on_log(Io& io, const Owner& owner, const StorageEnd& end, Out& out) {
  log::Out l;
  log_.on_storage(io, owner, end, l);
  if (l.failed != IoError::none) {
    out.fatal = std::string("the metadata log failed: ") + name(l.failed);
    return;
  }
  if (!note_control(l.control)) return void(out.fatal = "the control records of the metadata log cannot be read");
  if (installing_)
    pump_install(io, out);
  else if (l.ready && !started()) {
    if (log_.dropped_bytes() > 0) log_.tell_dropped(io.ctx);
    run_if_loaded(io, out);
  } else if (l.ready && log_.ends().submitted != raft_->log().end)
    out.fatal = "the metadata log is not what it was";
  if (l.ready && std::exchange(reader_waits_, false)) out.readable = true;
  if (l.synced && started() && !installing_ && out.fatal.empty())
    step(io, raft::LogSynced{std::min(log_.ends().synced, raft_->log().end)}, {}, out);
  for (const log::ColdEnd& cold : l.cold) on_cold(io, cold, out);
}

// Those that the snapshot contains are older than what it says.
bool Quorum::note_control(const std::vector<Slice>& batches) {
  if (started()) return true;
  for (const Slice& batch : batches) {
    const protocol::BatchHeader header = protocol::read_batch_header(batch.data());
    if (snapshot() && header.base_offset < snapshot()->end) continue;
    if (!found_.apply_batch(header, batch.span())) return false;
  }
  return true;
}

// Before anything is voted on or written: a voter that counts other votes than the rest of its quorum may undo what
// they have committed.
std::string Quorum::voters_refusal() const {
  if (!voter(options_.self)) return "";
  rules::VotersFound found{.self = options_.self, .directory = options_.directory};
  found.kraft_version = found_.kraft_version;
  found.configured = options_.voters.size();
  const std::vector<metadata::QuorumVoter> named = found_.named();
  for (const metadata::QuorumVoter& v : named) found.named.push_back({v.id, v.directory});
  const char* why = rules::voters_refusal(found);
  if (!why) return "";
  std::string all;
  for (const auto& [id, directory] : named)
    all.append(all.empty() ? "" : ", ").append(std::to_string(id.value)).append("@").append(directory.text());
  return std::string("the metadata log has a quorum that this version cannot serve: ") + why + " (kraft.version " +
         std::to_string(found_.kraft_version) + ", voters: " + all + "; this is " +
         std::to_string(options_.self.value) + "@" + options_.directory.text() + ")";
}

void Quorum::run_if_loaded(Io& io, Out& out) {
  if (!loaded_ || !log_usable()) return;
  if (std::string why = voters_refusal(); !why.empty()) return void(out.refused = std::move(why));
  raft::Options o;
  o.self = {options_.self, options_.directory};
  o.voters = ids(options_.voters);
  o.election_timeout = options_.election_timeout;
  o.election_backoff_max = options_.election_backoff_max;
  o.fetch_timeout = options_.fetch_timeout;
  o.request_timeout = options_.request_timeout;
  const log::Ends& ends = log_.ends();
  if (ends.log_start > 0 && (!snapshot() || snapshot()->end < ends.log_start))
    return void(out.fatal = "the metadata log begins at " + std::to_string(ends.log_start) +
                            " and there is no snapshot of what was before");
  snapshots_.remove_before(io, {ends.log_start, 0});
  raft::LogState log = recovered_log();
  // It had come in the place of the log, and that was not yet cut, or not all of it.
  if (snapshot() && (raft::rules::supersedes({snapshot()->end, snapshot()->epoch}, log.last()) ||
                     log_.begins_anew_behind_others(snapshot()->end)))
    return install(io, *snapshot(), out);
  sync_asked_ = log.synced;
  cut_at_ = io.ctx.now + options_.retention.check;
  raft_.emplace(std::move(o), state_file_.stored(), std::move(log));
  out.started = true;
  step(io, raft::Start{}, {}, out);
}

raft::LogState Quorum::recovered_log() const {
  const log::Ends& ends = log_.ends();
  raft::LogState log{ends.log_start, ends.submitted, std::clamp(ends.synced, ends.log_start, ends.submitted), {}};
  // Of the record before the log's first one a snapshot knows the epoch.
  if (const auto& files = snapshots_.files(); ends.log_start > 0 && files.begin()->first.end == ends.log_start)
    log.epochs.assign({ends.log_start - 1, files.begin()->first.epoch});
  for (const log::EpochEntry& e : log_.epochs().entries())
    if (e.epoch >= log.epochs.latest()) log.epochs.assign({e.start, e.epoch});
  log.snapshots = snapshot_ids();
  return log;
}

// A log that is read back after a truncation can neither be truncated again nor grow: until it is there this node hears
// no answer (messages.cc), stands for no election and answers nobody.
void Quorum::on_time(Io& io, Out& out) {
  if (!started() || !log_usable()) return;
  if (io.ctx.now >= raft_->next_deadline()) step(io, raft::Tick{}, {}, out);
  if (io.ctx.now >= log_.next_removal()) log_.remove_put_away(io);
  if (io.ctx.now >= cut_at_) cut(io, out);
}

Instant Quorum::next_deadline() const {
  if (!started() || !log_usable()) return kNever;
  if (checking_ && !snapshots_.busy()) return {};
  return earlier(raft_->next_deadline(), earlier(log_.next_removal(), cut_at_));
}

void Quorum::end_turn(Io& io, Out& out) {
  store_fetched(io, out);
  if (!started() || !log_.ready()) return;
  if (!raft::rules::flush_policy(io.ctx.flaws).flush) {
    if (log_.dirty()) log_.flush(io);
  } else if (log_.ends().submitted > sync_asked_) {
    sync_asked_ = log_.ends().submitted;
    log_.sync(io);
  }
}

Result<Offset> Quorum::propose(Io& io, LeaderEpoch epoch, std::span<const Slice> records, Out& out) {
  KLAMM_ASSERT(!records.empty());
  if (!started() || raft_->role() != raft::Role::leader || raft_->epoch() != epoch)
    return fail(ErrorCode::not_controller, "not the active controller");
  protocol::BatchBuilder batch({.base_offset = raft_->log().end, .leader_epoch = epoch});
  for (const Slice& r : records) {
    batch.add_value(io.ctx.wall.ms, r.span());
    if (batch.plain_size() > kMaxBatchBytes) return fail(ErrorCode::record_list_too_large, "too many records at once");
  }
  step(io, raft::Propose{batch.count()}, {.proposal = batch.finish()}, out);
  return raft_->log().end - 1;
}

void Quorum::resign(Io& io, bool stopping, Out& out) {
  if (started()) return step(io, raft::Resign{stopping}, {}, out);
  if (stopping) out.resigned = resigned_ = true;
}

CommittedRead Quorum::read(Io& io, Offset from) {
  CommittedRead r{.next = from};
  if (from >= committed()) return r;
  KLAMM_ASSERT_REL(from, >=, log_start());
  if (!log_usable()) {
    r.wait = reader_waits_ = true;
    return r;
  }
  log::ReadResult got = log_.read({from, kReadBytes, committed(), true});
  if (got.status == log::ReadStatus::cold) {
    // Too many wait: asked again with the next that ends.
    log_.load_cold(io, {from, kReadBytes});
    r.wait = reader_waits_ = true;
    return r;
  }
  if (got.status == log::ReadStatus::damaged || got.status == log::ReadStatus::unreadable) {
    r.wait = reader_waits_ = true;  // on_cold has ended this node
    return r;
  }
  KLAMM_ASSERT(got.status == log::ReadStatus::ok);
  r.next = read_to_ = got.next;
  if (got.pieces.size() == 1) {
    r.batches = std::move(got.pieces[0]);
  } else if (!got.pieces.empty()) {
    Writer joined(got.size);
    for (const Slice& piece : got.pieces) joined.raw(piece.span());
    r.batches = joined.finish_contiguous();
  }
  return r;
}

// ---- what the core decides

void Quorum::step(Io& io, const raft::Input& input, const Carried& carried, Out& out) {
  const raft::Ready ready = raft_->step(io.ctx, input);
  if (ready.fatal) {
    out.fatal = ready.fatal;
    return;
  }
  change_log(io, ready, carried, out);
  if (ready.persist)
    state_file_.save(io, encode_state_file(raft_->hard_state(), ids(options_.voters)), raft_->hard_state_version());
  if (ready.forget_held) std::erase_if(held_, [](const Held& h) { return h.call.has_value(); });
  for (const raft::Send& s : ready.sends) send(io, s, out);
  for (const raft::SendReply& r : ready.replies) send_reply(io, r, out);
  tell(io, ready, out);
  release(out);
  forget_fetched();
}

void Quorum::change_log(Io& io, const raft::Ready& ready, const Carried& carried, Out& out) {
  if (ready.truncate >= 0) {
    log_.truncate_to(io, ready.truncate);
    sync_asked_ = std::min(sync_asked_, ready.truncate);
  }
  if (ready.snapshot) take_part(*ready.snapshot, carried.answer);
  if (ready.accept) log_.append_as_follower(io.ctx, carried.answer);
  for (const raft::Append& a : ready.append) {
    const Slice batch =
        a.leader_change ? encode_leader_change(io.ctx.arena(), {a, options_.self, ids(options_.voters), io.ctx.wall.ms})
                        : carried.proposal;
    const log::Appended at = log_.append_as_leader(io.ctx, a.epoch, batch);
    KLAMM_ASSERT_REL(at.base, ==, a.base);
    KLAMM_ASSERT_REL(at.last, ==, a.base + a.records - 1);
  }
  if (log_usable() && log_.ends().submitted != raft_->log().end) out.fatal = "the metadata log was cut inside a batch";
}

void Quorum::tell(Io& io, const raft::Ready& ready, Out& out) {
  if (ready.committed) {
    out.committed = true;
    io.ctx.trace.event({.kind = TraceKind::high_watermark,
                        .a = 0,
                        .b = topic_key(kMetadataTopicId),
                        .c = raft_->committed(),
                        .d = raft_->epoch()});
  }
  const NodeId leader = raft_->role() == raft::Role::resigned ? kNoNode : raft_->leader();
  const Leadership now{raft_->epoch(), leader, raft_->leads_safely()};
  if (!(now == told_)) out.leadership = told_ = now;
  if (!resigned_ && raft_->resigned()) out.resigned = resigned_ = true;
}

bool Quorum::durable(const raft::Needs& needs) const {
  return needs.hard_state <= durable_version_ && needs.log <= raft_->log().synced;
}

void Quorum::release(Out& out) {
  std::erase_if(held_, [&](Held& h) {
    if (!durable(h.needs)) return false;
    if (h.call)
      out.calls.push_back(std::move(*h.call));
    else
      out.replies.push_back(std::move(h.reply));
    return true;
  });
}

}  // namespace klamm::quorum
