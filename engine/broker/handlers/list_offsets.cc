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
constexpr uint32_t kLookBytes = 64 * 1024;  // a look-up's bite of the log
constexpr Duration kSearchPatience = seconds(30);

enum class Search : uint8_t { yes, no, cold };

struct Look {
  int16_t version = 0;
  bool consumer = false;
  bool stable_only = false;  // read_committed: nothing of a transaction that is not decided
  int64_t timestamp = 0;
  Offset limit(const Partition& p) const { return stable_only ? p.last_stable() : p.high_watermark(); }
};

// The first record below `limit` at or after `timestamp`, from `from` on.
struct Place {
  Offset from = 0;
  Offset limit = 0;
};
Search find_record(Turn& t, const Partition& p, const Place& place, int64_t timestamp,
                   ListOffsetsResponse::ListOffsetsPartitionResponse& y) {
  const Offset limit = place.limit;
  Offset from = place.from;
  while (from < limit) {
    const log::ReadResult got = p.log().read({from, kLookBytes, limit, true});
    if (got.status == log::ReadStatus::cold) {
      t.p.replicas.load_cold(t.io, p.id(), {from, kLookBytes});
      return Search::cold;
    }
    if (got.status != log::ReadStatus::ok || got.size == 0) return Search::no;
    Writer whole(got.size);
    for (const Slice& s : got.pieces) whole.raw(s.span());
    const Slice bytes = whole.finish_contiguous();
    protocol::BatchCursor cursor(bytes.span());
    while (cursor.next()) {
      const protocol::BatchHeader h = protocol::read_batch_header(cursor.batch().data());
      if (h.max_timestamp < timestamp) continue;
      const auto open = protocol::OpenBatch::open(h, cursor.batch(), protocol::kPlainMost);
      if (!open) continue;
      protocol::RecordCursor records = open->records();
      for (protocol::Record record; records.next(record);) {
        if (record.timestamp < timestamp || record.offset < from) continue;
        y.timestamp = record.timestamp, y.offset = record.offset, y.leader_epoch = h.partition_leader_epoch;
        return Search::yes;
      }
    }
    from = got.next;
  }
  return Search::no;
}

void unsupported(ListOffsetsResponse::ListOffsetsPartitionResponse& y) {
  y.error_code = code(ErrorCode::unsupported_version);
}

Search look(Turn& t, const Partition& p, const Look& asked, ListOffsetsResponse::ListOffsetsPartitionResponse& y) {
  const int16_t version = asked.version;
  const bool consumer = asked.consumer;
  const int64_t timestamp = asked.timestamp;
  const Offset limit = asked.limit(p);
  const Offset start = p.log().ends().log_start;
  if (timestamp == kLatest) {
    if (const ErrorCode gate = replication::list_offsets_gate(p.high_watermark(), p.epoch_start());
        gate != ErrorCode::none && consumer) {
      y.error_code = code(version >= 5 ? gate : ErrorCode::leader_not_available);
      return Search::yes;
    }
    y.offset = consumer ? limit : p.log().ends().submitted;
    y.leader_epoch = p.assignment().leader_epoch;
    return Search::yes;
  }
  if (timestamp == kEarliest || (timestamp == kEarliestLocal && version >= 8)) {
    y.offset = start;
    const LeaderEpoch epoch = p.log().epochs().epoch_at(start);
    y.leader_epoch = epoch;
    return Search::yes;
  }
  if (timestamp == kMaxTimestamp && version >= 7) {
    const log::TimestampAndOffset max = p.log().max_timestamp();
    if (max.timestamp < 0) return find_record(t, p, {start, limit}, protocol::kNoTimestamp, y);  // none tells a time
    const Offset from = std::min(max.offset, p.log().find_time(max.timestamp).value_or(max.offset));
    return find_record(t, p, {std::max(from, start), limit}, max.timestamp, y);
  }
  if (timestamp == kLatestTiered && version >= 9) return Search::yes;  // nothing is tiered: -1
  if (timestamp == kEarliestPending && version >= 11) return Search::yes;
  if (timestamp < 0) {
    unsupported(y);
    return Search::yes;
  }
  const auto place = p.log().find_time(timestamp);
  return place ? find_record(t, p, {std::max(*place, start), limit}, timestamp, y) : Search::yes;
}

}  // namespace

void handle_list_offsets(Turn& t, Request& r) {
  ListOffsetsRequest q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  protocol::merge_topics(t.arena(), q.topics, [](const auto& topic) { return topic.name; });
  ListOffsetsResponse m;
  std::vector<parked::Watch<WaitKey>> cold;
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
      const bool consumer = q.replica_id < 0;
      if (look(t, *at.replica, {r.ticket.version, consumer, consumer && q.isolation_level == 1, x.timestamp}, y) ==
          Search::cold)
        cold.push_back({{at.id, Wait::changed}});
      if (r.ticket.version < 4) y.leader_epoch = kNoEpoch;  // it is not ignorable
    }
  }
  if (!opening.empty()) return t.wait_to_lead(r, opening);
  if (cold.empty()) return t.answer(r.ticket, m);
  const Instant until = t.ctx().now + kSearchPatience;
  t.p.fetches.park(cold, until, ParkedFetch{std::move(r), until});
}

}  // namespace klamm::broker
