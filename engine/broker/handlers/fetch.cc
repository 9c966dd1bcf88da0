// Fetch 4-18: reads of consumers and followers. Long polls; the first batch comes even if it is too large (KIP-74); of
// the first without room a consumer gets what there is room for, as from Kafka, and leaves it off, a follower nothing;
// leader epochs and divergence (KIP-320, KIP-595); topic ids from 13 (KIP-516); where the leader is, on refusal, from
// 16 (KIP-951). A follower's fetch offset is its acknowledgement, and from 15 it names its broker epoch (KIP-903).
// Incremental sessions from 7 (KIP-227, fetch_sessions.h): a request that waits is served from its session each time.
//
//   serve ──enough──> reply      ──too little──> parked on every partition ──woken or due──> serve
//                                ──cold bytes──> parked until they are in memory
//
// A follower's Fetch that waits is answered as soon as its next one, for some of the same partitions, is here: it is
// asked on another connection because the partitions that it follows have changed (replication/replicas.h).
#include "engine/protocol/messages/fetch.h"

#include <algorithm>
#include <deque>
#include <set>

#include "engine/broker/handlers.h"
#include "engine/protocol/api_keys.h"

namespace klamm::broker {
namespace {

using protocol::FetchRequest;
using protocol::FetchResponse;
using replication::Partition;
using replication::Role;

constexpr Duration kColdPatience = seconds(30);

struct Serving {
  Turn& t;
  Request& r;
  FetchRequest q;
  FetchResponse m;
  NodeId replica = kNoNode;  // the follower that asks; -1: a consumer
  int64_t bytes = 0;
  int64_t left = 0;          // of max_bytes
  int64_t wanted = 0;        // min_bytes, of which no more than max_bytes can ever come
  bool must_answer = false;  // an error or a divergence is news
  bool cold = false;
  std::deque<std::vector<Slice>> pieces;  // hold what the response's records point to
  std::deque<FileRegion> regions;
  replication::Out moved;
  bool follower() const { return replica.value >= 0; }
  bool committed_only() const { return !follower() && q.isolation_level == 1; }
};

void add_leader(Serving& s, const TopicIdPartition& id, FetchResponse::PartitionData& y) {
  const auto error = static_cast<ErrorCode>(y.error_code);
  if (s.r.ticket.version < 16 ||
      (error != ErrorCode::not_leader_or_follower && error != ErrorCode::fenced_leader_epoch))
    return;
  const metadata::PartitionInfo* info = s.t.p.image.partition(id);
  if (!info) return;
  y.current_leader.leader_id = info->leader.value;
  y.current_leader.leader_epoch = info->leader_epoch;
  if (s.follower()) return;  // it knows the brokers
  const metadata::Broker* b = info->leader == kNoNode ? nullptr : s.t.p.image.broker(info->leader);
  const metadata::BrokerEndpoint* e = b ? endpoint_of(s.t, s.r, *b) : nullptr;
  if (!e) return;
  for (const auto& known : s.m.node_endpoints)
    if (known.node_id == info->leader.value) return;
  auto& x = s.m.node_endpoints.add(s.t.arena());
  x.node_id = info->leader.value, x.host = e->host, x.port = e->port;
  x.rack = b->rack ? Str(*b->rack) : kNullStr;
}

void tell(Serving& s, const TopicIdPartition& id, ErrorCode error, FetchResponse::PartitionData& y) {
  y.error_code = code(error);
  y.high_watermark = -1;
  y.records = protocol::Records::empty();
  y.aborted_transactions = List<FetchResponse::AbortedTransaction>::null();
  add_leader(s, id, y);
}

void refuse(Serving& s, const TopicIdPartition& id, ErrorCode error, FetchResponse::PartitionData& y) {
  tell(s, id, error, y);
  s.must_answer = true;
}

bool names_nothing(ErrorCode error) {
  return error == ErrorCode::unknown_topic_id || error == ErrorCode::unknown_topic_or_partition;
}

// Nothing of that name is known here: told, but other partitions are still waited for.
void tell_unknown(ErrorCode error, FetchResponse::PartitionData& y) {
  y.error_code = code(error);
  y.high_watermark = -1;
  y.records = protocol::Records::empty();
}

// A session that has known the topic by name asks for that name: is it gone, or another's now?
ErrorCode gone(Serving& s, Str name) {
  if (name.empty()) return ErrorCode::unknown_topic_id;
  return s.t.p.image.topic(name) ? ErrorCode::inconsistent_topic_id : ErrorCode::unknown_topic_or_partition;
}

// Nothing but batches that compaction has left without records, for their producers' sake: they tell a consumer
// nothing, and some do not get past an answer that holds nothing else.
bool recordless(const log::ReadResult& got) {
  constexpr size_t kHeader = protocol::kBatchHeaderSize;
  for (const Slice& piece : got.pieces)
    for (size_t at = 0; at < piece.size(); at += kHeader)
      if (piece.size() - at < kHeader || protocol::read_batch_header(piece.data() + at).size() != kHeader) return false;
  return got.status == log::ReadStatus::ok && got.size > 0 && got.region.size == 0;
}

struct Range {
  Offset from = 0, next = 0;
};
// So that a consumer can leave out what of the range belongs to them (KIP-98).
void tell_aborted(Serving& s, const Partition& p, const Range& range, FetchResponse::PartitionData& y) {
  for (const log::AbortedTxn& a : p.log().aborted_in(range.from, range.next)) {
    auto& x = y.aborted_transactions.add(s.t.arena());
    x.producer_id = a.producer, x.first_offset = a.first;
  }
}

// A follower may read what is written, a consumer what is committed, or of that what is decided.
void read(Serving& s, const Located& at, const FetchRequest::FetchPartition& x, FetchResponse::PartitionData& y) {
  const Partition& p = *at.replica;
  const ErrorCode fence = replication::fetch_fence(x.current_leader_epoch, p.assignment().leader_epoch);
  if (p.role() == Role::offline) return refuse(s, at.id, ErrorCode::kafka_storage_error, y);
  if (fence != ErrorCode::none) {
    if (fence == ErrorCode::fenced_leader_epoch)
      PROBE(s.t.ctx(), fetch_fenced_epoch);
    else
      PROBE(s.t.ctx(), fetch_unknown_epoch);
    return refuse(s, at.id, fence, y);
  }
  if (opens_to_lead(s.t, at)) return tell(s, at.id, ErrorCode::not_leader_or_follower, y);  // unless it leads in time
  const bool from_follower_allowed =
      !s.follower() && s.r.ticket.version >= 11 && p.role() == Role::follower;  // KIP-392
  if ((p.role() != Role::leader && !from_follower_allowed) || !p.log().ready())
    return refuse(s, at.id, ErrorCode::not_leader_or_follower, y);
  const log::Ends& ends = p.log().ends();
  const auto diverging = p.diverging(x.fetch_offset, x.last_fetched_epoch);
  if (diverging && diverging->epoch == kNoEpoch && !s.follower())
    return refuse(s, at.id, ErrorCode::offset_out_of_range, y);
  if (diverging) {
    PROBE(s.t.ctx(), raft_divergence);
    y.diverging_epoch = {diverging->epoch, diverging->offset};
    y.high_watermark = p.high_watermark();
    y.last_stable_offset = p.last_stable();
    y.log_start_offset = ends.log_start;
    y.records = protocol::Records::empty();
    y.aborted_transactions = List<FetchResponse::AbortedTransaction>::null();
    s.must_answer = true;
    return;
  }
  const bool own = s.replica.value == s.t.p.config.node_id;  // a leader does not follow itself
  if (s.follower() && (own || !metadata::contains(p.assignment().replicas, s.replica)))
    return refuse(s, at.id,
                  x.current_leader_epoch >= 0 ? ErrorCode::unknown_leader_epoch : ErrorCode::not_leader_or_follower, y);
  if (x.fetch_offset < ends.log_start || x.fetch_offset > ends.submitted) {
    refuse(s, at.id, ErrorCode::offset_out_of_range, y);
    if (s.follower()) y.log_start_offset = ends.log_start;  // where it may start anew
    return;
  }
  if (s.follower()) {
    const replication::FollowerFetch fetch{s.replica, s.q.replica_state.replica_epoch, x.fetch_offset,
                                           x.last_fetched_epoch, x.log_start_offset};
    const Result<void> noted = s.t.p.replicas.note_fetch(s.t.ctx(), at.id, fetch, s.moved);
    if (!noted) return refuse(s, at.id, noted.error().code, y);
  }
  const Offset limit =
      s.follower() ? ends.written : std::min(s.committed_only() ? p.last_stable() : p.high_watermark(), ends.submitted);
  if (x.fetch_offset < limit && (x.partition_max_bytes < 0 || s.left < 0))
    return refuse(s, at.id, ErrorCode::unknown_server_error, y);  // as Kafka, which has no better word for it
  y.high_watermark = p.high_watermark();
  y.last_stable_offset = p.last_stable();
  y.log_start_offset = ends.log_start;
  y.records = protocol::Records::empty();
  if (!s.follower() && s.q.isolation_level == 0)
    y.aborted_transactions = List<FetchResponse::AbortedTransaction>::null();
  const bool first = s.bytes == 0;
  if (x.fetch_offset >= limit || (s.left <= 0 && !first)) return;
  const int64_t most = std::clamp<int64_t>(std::min<int64_t>(x.partition_max_bytes, s.left), 0, INT32_MAX);
  const bool region = !s.follower() && s.r.ticket.conn;
  Offset from = x.fetch_offset;
  log::ReadResult got = p.log().read({from, static_cast<uint32_t>(most), limit, first, !s.follower(), region});
  for (size_t skipped = 1; !s.follower() && skipped < log::kColdBlocks && got.next < limit && recordless(got);
       ++skipped) {
    from = got.next;
    got = p.log().read({from, static_cast<uint32_t>(most), limit, first, true, region});
  }
  if (got.status == log::ReadStatus::cold) {
    s.cold = true;
    return s.t.p.replicas.load_cold(s.t.io, at.id, got.want);
  }
  if (got.status == log::ReadStatus::out_of_range) return refuse(s, at.id, ErrorCode::offset_out_of_range, y);
  if (got.status == log::ReadStatus::damaged || got.status == log::ReadStatus::unreadable) {
    s.t.p.replicas.forget_fault(at.id, from);
    const bool damaged = got.status == log::ReadStatus::damaged;
    return refuse(s, at.id, damaged ? ErrorCode::corrupt_message : ErrorCode::kafka_storage_error, y);
  }
  if (got.size == 0 && got.next >= limit) return;  // compaction has left nothing below the high watermark
  if (s.committed_only()) tell_aborted(s, p, {x.fetch_offset, got.region.size > 0 ? got.below : got.next}, y);
  s.bytes += got.size;
  s.left -= got.size;
  if (got.region.size > 0) {
    s.regions.push_back(got.region);
    y.records = protocol::Records::of(s.regions.back());
    return;
  }
  if (!p.log().used()) s.t.p.replicas.note_read(at.id);
  s.pieces.push_back(std::move(got.pieces));
  y.records = protocol::Records::of(std::span<const Slice>(s.pieces.back()));
}

// What the request means for its session, once: on arrival. Later it is served from what the session knows.
// Where the session has ended by that, only what the request names itself is served.
ErrorCode admit(Turn& t, int16_t version, bool arrived, FetchRequest& q) {
  if (version < 7 || q.session_epoch == -1 || q.session_epoch == 0) {
    if (arrived && version >= 7) t.p.sessions.end(q.session_id);
    return ErrorCode::none;
  }
  if (arrived)
    if (const ErrorCode error = t.p.sessions.advance(t.ctx(), version, q); error != ErrorCode::none) return error;
  const ErrorCode error = t.p.sessions.expand(t.arena(), version, q).value_or(ErrorCode::none);
  if (error != ErrorCode::fetch_session_id_not_found) return error;
  q.session_epoch = -1;
  return ErrorCode::none;
}

// What is refused as a whole: from 13 on without naming what was asked for.
void refuse_all(Turn& t, const Serving& s, const FetchRequest& named, ErrorCode error) {
  FetchResponse m;
  m.error_code = code(error);
  m.session_id = named.session_id;
  for (const auto& topic : named.topics) {
    if (s.r.ticket.version >= 13) break;
    auto& out = m.responses.add(t.arena());
    out.topic = topic.topic;
    for (const auto& x : topic.partitions) {
      auto& y = out.partitions.add(t.arena());
      y.partition_index = x.partition;
      tell_unknown(error, y);
    }
  }
  t.answer(s.r.ticket, m);
}

bool any_known(Turn& t, const FetchRequest& q, int16_t version) {
  for (const auto& topic : q.topics)
    for (const auto& x : topic.partitions) {
      if (!names_nothing(locate(t, topic.topic, topic.topic_id, version >= 13, x.partition).error)) return true;
    }
  return false;
}

// Partitions of one topic that follow each other are told together.
FetchResponse::PartitionData& add_partition(Serving& s, const FetchRequest::FetchTopic& topic, Str name,
                                            int32_t partition) {
  const bool by_id = s.r.ticket.version >= 13;
  const bool same = !s.m.responses.empty() &&
                    (by_id ? s.m.responses.back().topic_id == topic.topic_id : s.m.responses.back().topic == name);
  if (!same) {
    auto& out = s.m.responses.add(s.t.arena());
    out.topic = name;
    out.topic_id = topic.topic_id;
  }
  auto& y = s.m.responses.back().partitions.add(s.t.arena());
  y.partition_index = partition;
  return y;
}

void finish(Turn& t, Serving& s, size_t partitions) {
  const int16_t version = s.r.ticket.version;
  if (version >= 7 && s.q.session_epoch == 0)
    s.m.session_id = t.p.sessions.open(t.ctx(), version, s.follower(), s.q, s.m);
  else if (version >= 7 && s.q.session_epoch > 0)
    t.p.sessions.answered(t.arena(), version, s.q.session_id, s.m);
  t.answer(s.r.ticket, s.m, 256 + 64 * partitions);
}

void park(Turn& t, Serving& s, Instant until) {
  std::vector<parked::Watch<WaitKey>> watches;
  std::vector<uint32_t> unknown;
  const Wait what = s.follower() ? Wait::written : s.committed_only() ? Wait::stable : Wait::committed;
  uint32_t i = 0;
  for (const auto& topic : s.q.topics)
    for (const auto& x : topic.partitions) {
      const Located at = locate(t, topic.topic, topic.topic_id, s.r.ticket.version >= 13, x.partition);
      if (names_nothing(at.error)) unknown.push_back(i);
      ++i;
      if (at.error != ErrorCode::none) continue;
      watches.push_back({{at.id, what}});
      watches.push_back({{at.id, Wait::changed}});
    }
  const uint64_t owner = s.r.ticket.conn.packed();
  const parked::ParkedId id =
      t.p.fetches.park(watches, until, ParkedFetch{std::move(s.r), until, {}, std::move(unknown)}, owner);
  if (s.follower()) t.p.standing[s.replica] = id;
}

std::set<TopicIdPartition> asked_for(const FetchRequest& q) {
  std::set<TopicIdPartition> ids;
  for (const auto& topic : q.topics)
    for (const auto& x : topic.partitions) ids.insert({topic.topic_id, x.partition});
  return ids;
}

// Only where one asks for what the other asks for: a broker may have several fetchers, each for partitions of its own.
void let_go_of_standing(Turn& t, const Serving& s) {
  const auto it = t.p.standing.find(s.replica);
  if (it == t.p.standing.end()) return;
  const parked::ParkedId id = it->second;
  ParkedFetch* f = t.p.fetches.find(id);
  if (!f) return void(t.p.standing.erase(it));
  FetchRequest q;
  if (s.r.ticket.version < 13 || f->request.ticket.version < 13 || !decode_body(f->request, t.arena(), q)) return;
  const std::set<TopicIdPartition> now = asked_for(s.q), before = asked_for(q);
  if (std::none_of(before.begin(), before.end(), [&](const auto& x) { return now.count(x) > 0; })) return;
  t.p.standing.erase(it);
  ParkedFetch standing = t.p.fetches.take(id);
  standing.until = t.ctx().now;
  serve_parked(t, standing);
}

}  // namespace

void handle_fetch(Turn& t, Request& r, std::optional<Instant> until, const std::vector<uint32_t>* unknown) {
  Serving s{t, r, {}, {}, kNoNode, 0, 0, 0, false, false, {}, {}, {}};
  if (!decode_body(r, t.arena(), s.q)) return t.close(r.ticket);
  const int16_t version = r.ticket.version;
  make_plain(t.arena(), s.q);
  const FetchRequest named = s.q;
  s.replica = NodeId{version >= 15 ? s.q.replica_state.replica_id : s.q.replica_id};
  if (const ErrorCode error = admit(t, version, !until, s.q); error != ErrorCode::none) {
    s.m.error_code = code(error);
    return t.answer(r.ticket, s.m);
  }
  if ((s.q.isolation_level < 0 || s.q.isolation_level > 1) && any_known(t, s.q, version))
    return refuse_all(t, s, named, ErrorCode::unknown_server_error);  // as Kafka, which has no better word for it
  if (!until && s.follower()) let_go_of_standing(t, s);
  if (!until) until = t.ctx().now + milliseconds(std::max(s.q.max_wait_ms, 0));
  s.left = s.follower() ? s.q.max_bytes : std::min(s.q.max_bytes, t.p.config.fetch_max_bytes);
  s.wanted = std::min<int64_t>(s.q.min_bytes, s.left);
  size_t partitions = 0, known = 0;
  struct Unknown {
    const FetchRequest::FetchTopic* topic;
    int32_t partition;
    ErrorCode error;
  };
  std::vector<Unknown> unknowns;  // told last, as by Kafka
  for (const auto& topic : s.q.topics)
    for (const auto& x : topic.partitions) {
      ++partitions;
      const Located at = locate(t, topic.topic, topic.topic_id, version >= 13, x.partition);
      ErrorCode error = at.error;
      if (error == ErrorCode::unknown_topic_id) error = gone(s, topic.topic);
      const bool was_there = unknown && !std::binary_search(unknown->begin(), unknown->end(), partitions - 1);
      if (!was_there && names_nothing(error)) {
        unknowns.push_back({&topic, x.partition, error});
        continue;
      }
      ++known;
      auto& y = add_partition(s, topic, at.topic ? Str(at.topic->name) : topic.topic, x.partition);
      if (error == ErrorCode::unknown_topic_id) error = ErrorCode::unknown_topic_or_partition;
      if (error != ErrorCode::none)
        refuse(s, at.id, error, y);
      else
        read(s, at, x, y);
      s.left = std::max<int64_t>(s.left, 0);
    }
  const auto no_name = [](const Unknown& u) { return u.error == ErrorCode::unknown_topic_id; };
  if (!s.follower()) std::stable_partition(unknowns.begin(), unknowns.end(), no_name);
  for (const Unknown& u : unknowns) tell_unknown(u.error, add_partition(s, *u.topic, u.topic->topic, u.partition));
  // What this fetch acknowledged may commit records: others are told before this request waits or is answered.
  t.drain(s.moved);
  const bool enough = s.must_answer || s.bytes >= s.wanted || known == 0;
  if (s.cold && s.bytes == 0 && !s.must_answer) return park(t, s, std::max(*until, t.ctx().now + kColdPatience));
  if (!enough && t.ctx().now < *until) return park(t, s, *until);
  finish(t, s, partitions);
}

void serve_parked(Turn& t, ParkedFetch& parked) {
  switch (parked.request.ticket.api) {
    case protocol::api::kFetch: return handle_fetch(t, parked.request, parked.until, &parked.unknown);
    case protocol::api::kListOffsets: return handle_list_offsets(t, parked.request, std::move(parked.searches));
    case protocol::api::kMetadata: return handle_metadata(t, parked.request, parked.until);
    case protocol::api::kFindCoordinator: return handle_find_coordinator(t, parked.request, parked.until);
    default: return t.serve(parked.request);
  }
}

}  // namespace klamm::broker
