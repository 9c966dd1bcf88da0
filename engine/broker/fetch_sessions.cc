#include "engine/broker/fetch_sessions.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "engine/base/assert.h"

namespace klamm::broker {
namespace {

using protocol::FetchRequest;
using protocol::FetchResponse;

bool by_id(int16_t version) { return version >= 13; }

FetchSessions::TopicView topic_of(int16_t version, Str name, const Uuid& id) {
  if (by_id(version)) return {"", id};
  return {name, Uuid{}};
}

// By id: as the answer calls it that says what became of it, though none is sent.
std::string name_of(int16_t version, const FetchResponse::FetchableTopicResponse& topic) {
  return by_id(version) ? std::string(topic.topic) : std::string();
}

int32_t after(int32_t epoch) { return epoch == INT32_MAX ? 1 : epoch + 1; }

}  // namespace

std::optional<uint32_t> FetchSessions::Session::number(const TopicView& topic) const {
  const auto it = numbers.find(std::pair(topic.id, topic.name));
  return it == numbers.end() ? std::nullopt : std::optional(it->second);
}

void FetchSessions::Session::put(const TopicView& topic, const List<FetchRequest::FetchPartition>& partitions) {
  if (partitions.empty()) return;
  std::optional<uint32_t> known = number(topic);
  if (!known) {
    known = ++last_topic;
    topics.emplace(*known, Topic{std::string(topic.name), topic.id});
    numbers.emplace(std::pair(topic.id, std::string(topic.name)), *known);
    name_bytes += topic.name.size();
  }
  for (const auto& x : partitions) {
    const Key key{*known, x.partition};
    const auto [it, fresh] = places.try_emplace(key, last + 1);
    if (fresh) ++last, ++topics.at(*known).partitions;
    Entry& e = order[it->second];
    e.key = key;
    e.current_leader_epoch = x.current_leader_epoch;
    e.fetch_offset = x.fetch_offset;
    e.last_fetched_epoch = x.last_fetched_epoch;
    e.log_start = x.log_start_offset;
    e.max_bytes = x.partition_max_bytes;
  }
}

void FetchSessions::Session::tell_name(uint32_t number, std::string name) {
  Topic& t = topics.at(number);
  if (!t.told.empty()) return;
  t.told = std::move(name);
  name_bytes += t.told.size();
}

void FetchSessions::Session::move_to_end(uint64_t& place) {
  auto moved = order.extract(place);
  moved.key() = place = ++last;
  order.insert(std::move(moved));
}

void FetchSessions::Session::drop(const TopicView& topic, const List<int32_t>& partitions) {
  const std::optional<uint32_t> known = number(topic);
  if (!known) return;
  Topic& t = topics.at(*known);
  for (const int32_t partition : partitions) {
    const auto it = places.find({*known, partition});
    if (it == places.end()) continue;
    order.erase(it->second);
    places.erase(it);
    if (--t.partitions > 0) continue;
    name_bytes -= t.name.size() + t.told.size();
    numbers.erase(numbers.find(std::pair(topic.id, topic.name)));
    topics.erase(*known);
    return;
  }
}

ErrorCode FetchSessions::advance(Ctx& ctx, int16_t version, const FetchRequest& q) {
  const auto it = sessions_.find(q.session_id);
  if (it == sessions_.end()) return ErrorCode::fetch_session_id_not_found;
  Session& s = it->second;
  if (s.epoch != q.session_epoch) return ErrorCode::invalid_fetch_session_epoch;
  if (s.by_id != by_id(version)) return ErrorCode::fetch_session_topic_id_error;
  uncount(s);
  for (const auto& topic : q.topics) s.put(topic_of(version, topic.topic, topic.topic_id), topic.partitions);
  for (const auto& topic : q.forgotten_topics_data)
    s.drop(topic_of(version, topic.topic, topic.topic_id), topic.partitions);
  KLAMM_ASSERT_REL(s.order.size(), ==, s.places.size());
  KLAMM_ASSERT_REL(s.topics.size(), ==, s.numbers.size());
  count(s);
  s.used = ctx.now;
  if (s.order.size() > kSessionPartitionsMost || !make_room(ctx.now, 0, 0)) {
    erase(it);
    return ErrorCode::fetch_session_id_not_found;
  }
  if (s.order.empty()) {
    erase(it);
    return ErrorCode::none;
  }
  s.epoch = after(s.epoch);
  s.size = s.order.size();
  return ErrorCode::none;
}

std::optional<ErrorCode> FetchSessions::expand(Arena& arena, int16_t version, FetchRequest& q) const {
  const auto it = sessions_.find(q.session_id);
  if (it == sessions_.end()) return ErrorCode::fetch_session_id_not_found;
  const Session& s = it->second;
  if (s.epoch != after(q.session_epoch)) return ErrorCode::invalid_fetch_session_epoch;
  q.topics = {};
  uint32_t last = 0;  // numbers begin behind it
  for (const auto& [place, e] : s.order) {
    if (std::exchange(last, e.key.topic) != e.key.topic) {
      const Topic& t = s.topics.at(e.key.topic);
      auto& topic = q.topics.add(arena);
      topic.topic = by_id(version) ? t.told : t.name;
      topic.topic_id = t.id;
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
  if (records) s.move_to_end(it->second);
  return tell;
}

void FetchSessions::answered(Arena& arena, int16_t version, int32_t id, FetchResponse& response) {
  const auto it = sessions_.find(id);
  if (it == sessions_.end()) return void(response.session_id = id);  // evicted since: told in full, and next time so
  Session& s = it->second;
  uncount(s);
  List<FetchResponse::FetchableTopicResponse> told;
  for (auto& topic : response.responses) {
    const auto number = s.number(topic_of(version, topic.topic, topic.topic_id));
    if (number) s.tell_name(*number, name_of(version, topic));
    for (auto& y : topic.partitions) {
      if (number && !news(s, {*number, y.partition_index}, y)) continue;
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
  count(s);
  response.responses = told;
  response.session_id = id;
}

int32_t FetchSessions::open(Ctx& ctx, int16_t version, bool follower, const FetchRequest& q, const FetchResponse& m) {
  size_t partitions = 0, names = 0;
  for (const auto& topic : q.topics)
    partitions += topic.partitions.size(), names += by_id(version) ? 0 : topic.topic.size();
  if (partitions > kSessionPartitionsMost || !make_room(ctx.now, partitions, names)) return 0;
  if (!make_place(ctx.now, follower, partitions)) return 0;
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
  for (const auto& topic : q.topics) s.put(topic_of(version, topic.topic, topic.topic_id), topic.partitions);
  for (const auto& topic : m.responses) {
    const auto number = s.number(topic_of(version, topic.topic, topic.topic_id));
    if (!number) continue;
    s.tell_name(*number, name_of(version, topic));
    for (const auto& y : topic.partitions) {
      const auto place = s.places.find({*number, y.partition_index});
      if (place == s.places.end()) continue;
      s.move_to_end(place->second);
      Entry& e = s.order.at(place->second);
      e.told_high_watermark = y.error_code == 0 ? y.high_watermark : -1;
      e.told_log_start = y.log_start_offset;
    }
  }
  count(s);
  return id;
}

// Of the others what is idle goes, the longest first, until so much more fits.
bool FetchSessions::make_room(Instant now, size_t partitions, size_t names) {
  while (partitions_ + partitions > kPartitionsMost || name_bytes_ + names > kNameBytesMost) {
    const auto idle = std::min_element(sessions_.begin(), sessions_.end(),
                                       [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
    if (idle == sessions_.end() || now - idle->second.used <= kEvictAfter) return false;
    erase(idle);
  }
  return true;
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
