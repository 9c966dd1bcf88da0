// The quorum's conversation: requests taken apart, calls and replies put together, held back until they may leave.
#include <algorithm>
#include <bit>

#include "engine/protocol/record_batch.h"
#include "engine/quorum/quorum.h"

namespace klamm::quorum {

void Quorum::on_request(Io& io, const Ticket& ticket, ByteSpan body, Out& out) {
  const auto close = [&] { out.replies.push_back({ticket, {}, true}); };
  if (!started() || !log_usable()) return close();
  if (ticket.api == kDescribeQuorum) return describe(io, ticket, body, out);
  const ApiVersion as{ticket.api, ticket.version};
  Asked asked = decode_request(io.ctx.arena(), as, body, options_.cluster_id);
  if (asked.malformed) return close();
  if (asked.elsewhere) {
    const std::optional<Endpoint> leader = endpoint(told_.leader);
    return out.replies.push_back(
        {ticket, encode_unknown_snapshot(io.ctx.arena(), as, body, leader ? &*leader : nullptr), false});
  }
  if (!asked.body) return out.replies.push_back({ticket, encode_error(as, asked.error), false});
  step(io, raft::Request{ticket, std::move(*asked.body)}, {}, out);
}

void Quorum::on_answer(Io& io, const net::Answer& answer, Out& out) {
  if (!started()) return;
  KLAMM_ASSERT_REL(answer.owner.step, <, options_.voters.size());
  Carried carried;
  raft::Answer a;
  a.from = options_.voters[answer.owner.step].id;
  a.call = answer.owner.key;
  a.body = take_answer(io, answer, carried, out);
  step(io, a, carried, out);
}

// One voter may be the stranger itself; when most say it, it is us.
void Quorum::note_kinship(uint16_t voter, bool foreign, Out& out) {
  const uint64_t bit = uint64_t{1} << voter;
  foreign_ = foreign ? foreign_ | bit : foreign_ & ~bit;
  out.foreign = static_cast<size_t>(std::popcount(foreign_)) > options_.voters.size() / 2;
}

raft::AnswerBody Quorum::take_answer(Io& io, const net::Answer& answer, Carried& carried, Out& out) {
  if (answer.error != IoError::none) return raft::NoAnswer{answer.error == IoError::refused};
  if (!log_usable()) return raft::NoAnswer{};
  Answered answered = decode_answer(io.ctx.arena(), {answer.api, answer.version}, answer.body.span());
  note_kinship(answer.owner.step, answered.foreign, out);
  if (!answered.body) return raft::NoAnswer{};
  if (const auto* part = std::get_if<raft::SnapshotAnswer>(&*answered.body)) {
    if (part->size > kMaxSnapshotBytes || part->bytes > kFetchBytes) return raft::NoAnswer{};
    carried.answer = answer.body.of(answered.records);
  }
  auto* fetched = std::get_if<raft::FetchAnswer>(&*answered.body);
  if (!fetched || answered.records.empty()) return std::move(*answered.body);
  // Of the records, what is whole and sound and follows our log. Without that there is no answer.
  const Result<Slice> sound = log_.check_follower_batches(answer.body.of(answered.records));
  if (!sound || sound->empty()) return raft::NoAnswer{};
  carried.answer = *sound;
  for (protocol::BatchCursor batches(sound->span()); batches.next();) {
    const protocol::BatchHeader h = protocol::read_batch_header(batches.batch().data());
    fetched->runs.push_back({h.base_offset, h.last_offset() + 1, h.partition_leader_epoch});
  }
  return std::move(*answered.body);
}

void Quorum::send(Io& io, const raft::Send& s, Out& out) {
  Call call;
  call.to = s.to;
  call.api = asked_as(s.body).api;
  call.version = asked_as(s.body).version;
  call.body = encode_request(io.ctx.arena(), identity_, s.body, kFetchBytes);
  call.timeout = s.timeout;
  const auto at =
      std::find_if(options_.voters.begin(), options_.voters.end(), [&](const auto& v) { return v.id == s.to; });
  call.owner = {options_.module, static_cast<uint16_t>(at - options_.voters.begin()), s.call};
  if (durable(s.needs))
    out.calls.push_back(std::move(call));
  else
    held_.push_back({s.needs, std::move(call), {}});
}

void Quorum::send_reply(Io& io, raft::SendReply r, Out& out) {
  if (auto* fetch = std::get_if<raft::FetchReply>(&r.body))
    return send_fetch_reply(io, r.needs, r.ticket, std::move(*fetch), out);
  if (const auto* snapshot = std::get_if<raft::SnapshotReply>(&r.body))
    return send_snapshot_reply(io, r.needs, r.ticket, *snapshot, out);
  const std::optional<Endpoint> leader = std::visit([&](const auto& b) { return endpoint(b.verdict.leader); }, r.body);
  const ApiVersion as{r.ticket.api, r.ticket.version};
  deliver(r.needs, {r.ticket, encode_reply(io.ctx.arena(), as, r.body, leader ? &*leader : nullptr, {}), false}, out);
}

void Quorum::send_fetch_reply(Io& io, const raft::Needs& needs, const Ticket& ticket, raft::FetchReply reply,
                              Out& out) {
  std::vector<Slice> records;
  if (reply.read_from >= 0) {
    log::ReadResult read = log_.read({reply.read_from, kFetchBytes, log_.ends().submitted, true});
    if (read.status == log::ReadStatus::cold && cold_.size() < kMaxColdFetches &&
        log_.load_cold(io, {reply.read_from, kFetchBytes}))
      return cold_.push_back({needs, ticket, std::move(reply)});
    records = std::move(read.pieces);
  }
  const std::optional<Endpoint> leader = endpoint(reply.verdict.leader);
  const ApiVersion as{ticket.api, ticket.version};
  deliver(needs, {ticket, encode_reply(io.ctx.arena(), as, reply, leader ? &*leader : nullptr, records), false}, out);
}

void Quorum::send_snapshot_reply(Io& io, const raft::Needs& needs, const Ticket& ticket,
                                 const raft::SnapshotReply& reply, Out& out) {
  const metadata::SnapshotId id{reply.id.offset, reply.id.epoch};
  const auto file = id.end > 0 ? snapshots_.files().find(id) : snapshots_.files().end();
  SnapshotPartReply part{.verdict = reply.verdict};
  if (part.verdict.error == ErrorCode::none)
    part.verdict.error =
        rules::part_error({file != snapshots_.files().end(), file == snapshots_.files().end() ? 0 : file->second.bytes},
                          reply.position, reply.max_bytes);
  if (part.verdict.error == ErrorCode::none) {
    part = {reply.verdict, reply.id, file->second.bytes, reply.position};
    const int64_t rest = part.size - part.position;
    const auto size = static_cast<uint32_t>(std::min<int64_t>({rest, reply.max_bytes, kFetchBytes}));
    const auto slot = snapshots_.read_part(io, id, part.position, size);
    if (!slot) return out.replies.push_back({ticket, {}, true});
    serving_[*slot] = {needs, ticket, part};
    return;
  }
  const std::optional<Endpoint> leader = endpoint(part.verdict.leader);
  const ApiVersion as{ticket.api, ticket.version};
  deliver(needs, {ticket, encode_snapshot_part(io.ctx.arena(), as, part, leader ? &*leader : nullptr, {}), false}, out);
}

// The file may be gone since it was looked up, or this node's leadership.
void Quorum::on_snapshot_part(Io& io, const Snapshots::Part& read, Out& out) {
  Serving s = std::move(serving_.at(read.slot));
  serving_.erase(read.slot);
  raft::Verdict& v = s.part.verdict;
  if (raft_->role() != raft::Role::leader || raft_->epoch() != v.epoch)
    v = {ErrorCode::not_leader_or_follower, raft_->epoch(), told_.leader};
  else if (read.error != IoError::none || read.bytes.empty())
    v.error = read.error == IoError::not_found ? ErrorCode::snapshot_not_found : ErrorCode::kafka_storage_error;
  if (v.error != ErrorCode::none) s.part = {.verdict = v};
  const std::optional<Endpoint> leader = endpoint(v.leader);
  const ApiVersion as{s.ticket.api, s.ticket.version};
  const Slice bytes = v.error == ErrorCode::none ? read.bytes : Slice();
  deliver(s.needs,
          {s.ticket, encode_snapshot_part(io.ctx.arena(), as, s.part, leader ? &*leader : nullptr, bytes), false}, out);
}

void Quorum::deliver(const raft::Needs& needs, Reply reply, Out& out) {
  if (durable(needs))
    out.replies.push_back(std::move(reply));
  else
    held_.push_back({needs, std::nullopt, std::move(reply)});
}

// Bytes have come from disk, or not. The fetches that waited for them are answered by what holds now.
void Quorum::on_cold(Io& io, const log::ColdEnd& end, Out& out) {
  if (std::exchange(reader_waits_, false)) out.readable = true;
  std::vector<ColdFetch> due;
  std::erase_if(cold_, [&](ColdFetch& f) {
    if (f.reply.read_from != end.offset) return false;
    due.push_back(std::move(f));
    return true;
  });
  for (ColdFetch& f : due) {
    raft::Verdict& v = f.reply.verdict;
    if (raft_->role() != raft::Role::leader || raft_->epoch() != v.epoch)
      v = {ErrorCode::not_leader_or_follower, raft_->epoch(), told_.leader};
    else if (end.error != IoError::none || end.corrupt)
      v.error = ErrorCode::kafka_storage_error;
    if (v.error != ErrorCode::none) f.reply.read_from = -1;
    send_fetch_reply(io, f.needs, f.ticket, std::move(f.reply), out);
  }
  if (end.error != IoError::none || end.corrupt) out.fatal = "the metadata log cannot be read";
}

std::optional<Endpoint> Quorum::endpoint(NodeId id) const {
  const VoterAddress* v = voter(id);
  if (!v) return std::nullopt;
  return Endpoint{v->id, v->host, v->port};
}

}  // namespace klamm::quorum
