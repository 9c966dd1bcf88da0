// ListOffsets 1-11: where a log starts and ends, and what lies at a time. Specials: latest -1, earliest -2, max
// timestamp -3 (KIP-734), earliest local -4 (KIP-405), latest tiered -5 (KIP-1005), earliest pending upload -6
// (KIP-1023). "Latest" waits for the new leader to know the high watermark (KIP-207).
#include "engine/protocol/messages/list_offsets.h"

#include <map>

#include "engine/broker/handlers.h"
#include "engine/protocol/batch_builder.h"
#include "engine/protocol/topics.h"

namespace klamm::broker {
namespace {

using protocol::ListOffsetsRequest;
using protocol::ListOffsetsResponse;
using replication::Partition;

constexpr int64_t kLatest = -1, kEarliest = -2, kMaxTimestamp = -3, kEarliestLocal = -4, kLatestTiered = -5,
                  kEarliestPending = -6;
constexpr int32_t kConsumer = -1;            // as a replica
constexpr uint32_t kLookBytes = 64 * 1024;   // a look-up's bite of the log
constexpr uint32_t kColdBytes = 512 * 1024;  // and of what is on disk
constexpr Duration kSearchPatience = seconds(30);

enum class Search : uint8_t {
  done,
  cold,  // when the disk has answered
  later  // this turn has unpacked enough
};

struct Look {
  int16_t version = 0;
  bool consumer = false;
  bool stable_only = false;  // read_committed: nothing of a transaction that is not decided
  int64_t timestamp = 0;
  Offset limit(const Partition& p) const {
    return !consumer ? p.log().ends().submitted : stable_only ? p.last_stable() : p.high_watermark();
  }
};

// The first of a batch's records at or after `timestamp`.
bool find_in_batch(Turn& t, const protocol::BatchHeader& h, ByteSpan batch, int64_t timestamp, TimeSearch& s) {
  const auto open = protocol::OpenBatch::open(h, batch, protocol::kPlainMost);
  if (!open) return false;
  t.searched += open->plain().size();
  protocol::RecordCursor records = open->records();
  for (protocol::Record record; records.next(record);) {
    if (record.timestamp < timestamp || record.offset < s.from) continue;
    s.found = {record.timestamp, record.offset};
    s.found_epoch = h.partition_leader_epoch;
    return true;
  }
  return false;
}

// The first record below `limit` at or after `timestamp`, from where the search has come to.
Result<Search> find_record(Turn& t, const Partition& p, Offset limit, int64_t timestamp, TimeSearch& s) {
  while (s.from < limit) {
    const log::ReadResult got = p.log().read({s.from, kLookBytes, limit, true});
    switch (got.status) {
      case log::ReadStatus::ok: break;
      case log::ReadStatus::cold: t.p.replicas.load_cold(t.io, p.id(), {s.from, kColdBytes}); return Search::cold;
      case log::ReadStatus::damaged:
      case log::ReadStatus::unreadable:
        t.p.replicas.forget_fault(p.id(), s.from);
        return fail(got.status == log::ReadStatus::damaged ? ErrorCode::corrupt_message
                                                           : ErrorCode::kafka_storage_error);
      case log::ReadStatus::out_of_range: return Search::done;
    }
    if (got.size == 0) return Search::done;  // compaction has left nothing below the limit
    Writer whole(got.size);
    for (const Slice& piece : got.pieces) whole.raw(piece.span());
    const Slice bytes = whole.finish_contiguous();
    protocol::BatchCursor cursor(bytes.span());
    while (cursor.next()) {
      const protocol::BatchHeader h = protocol::read_batch_header(cursor.batch().data());
      if (h.max_timestamp >= timestamp) {
        if (t.searched >= kUnpackedPerTurn) return Search::later;
        if (find_in_batch(t, h, cursor.batch(), timestamp, s)) return Search::done;
      }
      s.from = std::max(s.from, h.last_offset() + 1);
    }
    s.from = std::max(s.from, got.next);
  }
  return Search::done;
}

// By time, or the newest: what the request was told before is in `s`.
Result<Search> search(Turn& t, const Partition& p, const Look& asked, TimeSearch& s) {
  const LeaderEpoch epoch = p.assignment().leader_epoch;
  if (s.epoch != epoch) s = {.epoch = epoch};
  if (s.done) return Search::done;
  const log::Log& log = p.log();
  int64_t timestamp = asked.timestamp;
  std::optional<Offset> place = log.ends().log_start;
  if (timestamp == kMaxTimestamp) {
    const log::TimestampAndOffset max = log.max_timestamp();
    timestamp = max.timestamp < 0 ? protocol::kNoTimestamp : max.timestamp;  // none tells a time: the first
    if (max.timestamp >= 0) place = log.find_time(max.timestamp);
  } else {
    place = log.find_time(timestamp);
  }
  if (place && log.lacks_times(*place) && s.from <= *place) {
    t.p.replicas.load_cold(t.io, p.id(), {.offset = *place, .times = true});
    return Search::cold;
  }
  s.from = std::max({s.from, place.value_or(0), log.ends().log_start});
  const Result<Search> r = place ? find_record(t, p, asked.limit(p), timestamp, s) : Result<Search>(Search::done);
  s.done = r && *r == Search::done;
  return r;
}

bool supported(int64_t timestamp, int16_t version) {
  switch (timestamp) {
    case kLatest:
    case kEarliest: return true;
    case kMaxTimestamp: return version >= 7;
    case kEarliestLocal: return version >= 8;
    case kLatestTiered: return version >= 9;
    case kEarliestPending: return version >= 11;
    default: return timestamp >= 0;
  }
}

Search look(Turn& t, const Partition& p, const Look& asked, TimeSearches& searches,
            ListOffsetsResponse::ListOffsetsPartitionResponse& y) {
  const int16_t version = asked.version;
  const int64_t timestamp = asked.timestamp;
  const ErrorCode gate =
      asked.consumer ? replication::list_offsets_gate(p.high_watermark(), p.epoch_start()) : ErrorCode::none;
  const auto not_yet = [&] { y.error_code = code(version >= 5 ? gate : ErrorCode::leader_not_available); };
  if (timestamp == kLatest) {
    if (gate != ErrorCode::none) {
      not_yet();
      return Search::done;
    }
    y.offset = asked.limit(p);
    y.leader_epoch = p.assignment().leader_epoch;
    return Search::done;
  }
  if (timestamp == kEarliest || timestamp == kEarliestLocal) {
    y.offset = p.log().ends().log_start;
    y.leader_epoch = p.log().epochs().epoch_at(y.offset);
    return Search::done;
  }
  if (timestamp == kLatestTiered || timestamp == kEarliestPending) return Search::done;  // nothing is tiered: -1
  TimeSearch& s = searches[p.id()];
  const Result<Search> r = search(t, p, asked, s);
  if (!r) {
    y.error_code = code(r.error().code);
    return Search::done;
  }
  if (*r != Search::done) return *r;
  if (s.found.offset < 0 && gate != ErrorCode::none)
    not_yet();  // it may be there, above what is known to be committed
  else
    y.timestamp = s.found.timestamp, y.offset = s.found.offset, y.leader_epoch = s.found_epoch;
  return Search::done;
}

}  // namespace

void handle_list_offsets(Turn& t, Request& r, TimeSearches searches) {
  ListOffsetsRequest q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  protocol::merge_topics(t.arena(), q.topics, [](const auto& topic) { return topic.name; });
  ListOffsetsResponse m;
  std::vector<parked::Watch<WaitKey>> waits;
  bool later = false;
  std::vector<TopicIdPartition> opening;
  for (const auto& topic : q.topics) {
    auto& out = m.topics.add(t.arena());
    out.name = topic.name;
    std::map<int32_t, int> named;
    for (const auto& x : topic.partitions) ++named[x.partition_index];
    for (const auto& x : topic.partitions) {
      int& times = named[x.partition_index];
      if (times == 0) continue;  // a partition that is named twice is refused once
      auto& y = out.partitions.add(t.arena());
      y.partition_index = x.partition_index;
      if (times > 1) {
        times = 0;
        y.error_code = code(ErrorCode::invalid_request);
        continue;
      }
      if (q.replica_id < 0 && (q.isolation_level < 0 || q.isolation_level > 1)) {
        y.error_code = code(ErrorCode::unknown_server_error);  // as Kafka, which has no better word for it
        continue;
      }
      if (!supported(x.timestamp, r.ticket.version)) {
        y.error_code = code(ErrorCode::unsupported_version);
        continue;
      }
      const Located at = locate(t, topic.name, Uuid{}, false, x.partition_index);
      if (at.error != ErrorCode::none) {
        y.error_code = code(at.error);
        continue;
      }
      if (opens_to_lead(t, at)) {
        opening.push_back(at.id);
        continue;
      }
      const Result<void> leads = at.replica->leads(x.current_leader_epoch);
      if (!leads || !at.replica->log().ready()) {
        y.error_code = code(leads ? ErrorCode::not_leader_or_follower : leads.error().code);
        continue;
      }
      const bool consumer = q.replica_id == kConsumer;
      const Look asked{r.ticket.version, consumer, consumer && q.isolation_level == 1, x.timestamp};
      const Search s = look(t, *at.replica, asked, searches, y);
      if (s != Search::done) waits.push_back({{at.id, Wait::changed}});
      later = later || s == Search::later;
      if (r.ticket.version < 4) y.leader_epoch = kNoEpoch;  // it is not ignorable
    }
  }
  if (!opening.empty()) return t.wait_to_lead(r, opening);
  if (waits.empty()) return t.answer(r.ticket, m);
  const Instant until = later ? t.ctx().now : t.ctx().now + kSearchPatience;
  const uint64_t owner = t.owner_of(r.ticket);
  t.p.fetches.park(waits, until, ParkedFetch{std::move(r), until, std::move(searches)}, owner);
}

}  // namespace klamm::broker
