#include "engine/broker/fetch_sessions.h"

#include <algorithm>
#include <tuple>

#include "engine/base/assert.h"

namespace klamm::broker {
namespace {

using protocol::FetchRequest;
using protocol::FetchResponse;

bool by_id(int16_t version) { return version >= 13; }

FetchSessions::Key key_of(int16_t version, Str topic, const Uuid& id, int32_t partition) {
  if (by_id(version)) return {std::string(), id, partition};
  return {std::string(topic), Uuid{}, partition};
}

// By id: as the answer calls it that says what became of it, though none is sent.
std::string name_of(int16_t version, const FetchResponse::FetchableTopicResponse& topic) {
  return by_id(version) ? std::string(topic.topic) : std::string();
}

int32_t after(int32_t epoch) { return epoch == INT32_MAX ? 1 : epoch + 1; }

}  // namespace

void FetchSessions::Session::put(const Key& key, const FetchRequest::FetchPartition& x) {
  const auto [it, fresh] = places.try_emplace(key, last + 1);
  if (fresh) ++last;
  Entry& e = order[it->second];
  if (fresh) e.key = key;
  e.current_leader_epoch = x.current_leader_epoch;
  e.fetch_offset = x.fetch_offset;
  e.last_fetched_epoch = x.last_fetched_epoch;
  e.log_start = x.log_start_offset;
  e.max_bytes = x.partition_max_bytes;
}

void FetchSessions::Session::drop(const Key& key) {
  const auto it = places.find(key);
  if (it == places.end()) return;
  order.erase(it->second);
  places.erase(it);
}

ErrorCode FetchSessions::advance(Ctx& ctx, int16_t version, const FetchRequest& q) {
  const auto it = sessions_.find(q.session_id);
  if (it == sessions_.end()) return ErrorCode::fetch_session_id_not_found;
  Session& s = it->second;
  if (s.epoch != q.session_epoch) return ErrorCode::invalid_fetch_session_epoch;
  if (s.by_id != by_id(version)) return ErrorCode::fetch_session_topic_id_error;
  partitions_ -= s.order.size();
  for (const auto& topic : q.topics)
    for (const auto& x : topic.partitions) s.put(key_of(version, topic.topic, topic.topic_id, x.partition), x);
  for (const auto& topic : q.forgotten_topics_data)
    for (int32_t partition : topic.partitions) s.drop(key_of(version, topic.topic, topic.topic_id, partition));
  KLAMM_ASSERT_REL(s.order.size(), ==, s.places.size());
  partitions_ += s.order.size();
  if (partitions_ > kPartitionsMost) {
    erase(it);
    return ErrorCode::fetch_session_id_not_found;
  }
  if (s.order.empty()) {
    erase(it);
    return ErrorCode::none;
  }
  s.epoch = after(s.epoch);
  s.used = ctx.now;
  s.size = s.order.size();
  return ErrorCode::none;
}

std::optional<ErrorCode> FetchSessions::expand(Arena& arena, int16_t version, FetchRequest& q) const {
  const auto it = sessions_.find(q.session_id);
  if (it == sessions_.end()) return ErrorCode::fetch_session_id_not_found;
  const Session& s = it->second;
  if (s.epoch != after(q.session_epoch)) return ErrorCode::invalid_fetch_session_epoch;
  q.topics = {};
  for (const auto& [place, e] : s.order) {
    const bool same = !q.topics.empty() && (by_id(version) ? q.topics.back().topic_id == e.key.topic_id
                                                           : q.topics.back().topic == Str(e.key.topic));
    if (!same) {
      auto& topic = q.topics.add(arena);
      topic.topic = by_id(version) ? e.name : e.key.topic;
      topic.topic_id = e.key.topic_id;
    }
    auto& x = q.topics.back().partitions.add(arena);
    x.partition = e.key.partition;
    x.current_leader_epoch = e.current_leader_epoch;
    x.fetch_offset = e.fetch_offset;
    x.last_fetched_epoch = e.last_fetched_epoch;
    x.log_start_offset = e.log_start;
    x.partition_max_bytes = e.max_bytes;
  }
  return std::nullopt;
}

// Errors are told each time, until they are over; records go out once, and their partition is read last next time.
bool FetchSessions::news(Session& s, const Key& key, FetchResponse::PartitionData& y) {
  const auto it = s.places.find(key);
  if (it == s.places.end()) return true;
  Entry& e = s.order.at(it->second);
  const bool records = !y.records.is_null() && y.records.size > 0;
  bool tell = records || y.error_code != 0 || y.preferred_read_replica >= 0;
  tell = tell || y.high_watermark != e.told_high_watermark || y.log_start_offset != e.told_log_start;
  e.told_high_watermark = y.high_watermark;
  e.told_log_start = y.log_start_offset;
  if (y.error_code != 0 || y.diverging_epoch.end_offset >= 0) {
    tell = true;
    e.told_high_watermark = -1;  // so that the end of the error is news
  }
  if (records) {
    auto moved = s.order.extract(it->second);
    moved.key() = it->second = ++s.last;
    s.order.insert(std::move(moved));
  }
  return tell;
}

void FetchSessions::answered(Arena& arena, int16_t version, int32_t id, FetchResponse& response) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end()) return void(response.session_id = id);  // evicted since: told in full, and next time so
  Session& s = it->second;
  List<FetchResponse::FetchableTopicResponse> told;
  for (auto& topic : response.responses) {
    for (auto& y : topic.partitions) {
      const Key key = key_of(version, topic.topic, topic.topic_id, y.partition_index);
      if (const auto place = s.places.find(key); place != s.places.end() && s.order.at(place->second).name.empty())
        s.order.at(place->second).name = name_of(version, topic);
      if (!news(s, key, y)) continue;
      const bool same =
          !told.empty() && (by_id(version) ? told.back().topic_id == topic.topic_id : told.back().topic == topic.topic);
      if (!same) {
        auto& out = told.add(arena);
        out.topic = topic.topic;
        out.topic_id = topic.topic_id;
      }
      told.back().partitions.push_back(arena, y);
    }
  }
  response.responses = told;
  response.session_id = id;
}

int32_t FetchSessions::open(Ctx& ctx, int16_t version, bool follower, const FetchRequest& q, const FetchResponse& m) {
  size_t partitions = 0;
  for (const auto& topic : q.topics) partitions += topic.partitions.size();
  if (partitions_ + partitions > kPartitionsMost || !make_place(ctx.now, follower, partitions)) return 0;
  int32_t id = 0;
  while (id == 0 || sessions_.count(id)) {
    const uint64_t ordinal = drawn_++;
    id = static_cast<int32_t>(ctx.chance.name({Stream::fetch_session_id, 0, ordinal}) & INT32_MAX);
  }
  Session& s = sessions_[id];
  s.by_id = by_id(version);
  s.follower = follower;
  s.created = s.used = ctx.now;
  s.size = partitions;
  std::map<Key, const FetchRequest::FetchPartition*> wanted;
  for (const auto& topic : q.topics)
    for (const auto& x : topic.partitions) wanted[key_of(version, topic.topic, topic.topic_id, x.partition)] = &x;
  for (const auto& topic : m.responses)
    for (const auto& y : topic.partitions) {
      const Key key = key_of(version, topic.topic, topic.topic_id, y.partition_index);
      s.put(key, *wanted.at(key));
      Entry& e = s.order.at(s.places.at(key));
      e.name = name_of(version, topic);
      e.told_high_watermark = y.error_code == 0 ? y.high_watermark : -1;
      e.told_log_start = y.log_start_offset;
    }
  partitions_ += s.order.size();
  return id;
}

bool FetchSessions::make_place(Instant now, bool follower, size_t size) {
  if (slots_ <= 0) return false;
  if (sessions_.size() < static_cast<size_t>(slots_)) return true;
  auto idle = sessions_.begin(), least = sessions_.begin();
  const auto weight = [](const Session& s) { return std::make_tuple(s.follower, s.size, s.created); };
  for (auto it = sessions_.begin(); it != sessions_.end(); ++it) {
    if (it->second.used < idle->second.used) idle = it;
    if (weight(it->second) < weight(least->second)) least = it;
  }
  if (now - idle->second.used > kEvictAfter) {
    erase(idle);
    return true;
  }
  if (now - least->second.created <= kEvictAfter || !(weight(least->second) < std::make_tuple(follower, size, now)))
    return false;
  erase(least);
  return true;
}

}  // namespace klamm::broker
