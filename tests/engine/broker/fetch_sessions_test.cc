#include "engine/broker/fetch_sessions.h"

#include <gtest/gtest.h>

#include "engine/base/digest.h"

namespace klamm::broker {
namespace {

using protocol::FetchRequest;
using protocol::FetchResponse;

class TestChance final : public Chance {
 public:
  uint64_t below(ChoiceKey, uint64_t) override { return 0; }
  uint64_t name(ChoiceKey key) override { return mix(key.ordinal, static_cast<uint64_t>(key.stream)); }
};

struct Lab {
  explicit Lab(int32_t slots = 2) : sessions(slots) {}
  Ctx ctx() { return Ctx{now, Wall{0}, chance, flaws, trace, scratch}; }
  // A request for partitions [0, n) of topic "t".
  FetchRequest request(int32_t n, int32_t id = 0, int32_t epoch = 0) {
    FetchRequest q;
    q.session_id = id;
    q.session_epoch = epoch;
    if (n == 0) return q;
    auto& topic = q.topics.add(arena);
    topic.topic = "t";
    for (int32_t i = 0; i < n; ++i) topic.partitions.add(arena).partition = i;
    return q;
  }
  // What was read: the high watermark of each partition.
  FetchResponse response(std::initializer_list<int64_t> high_watermarks) {
    FetchResponse m;
    auto& topic = m.responses.add(arena);
    topic.topic = "t";
    for (int64_t hw : high_watermarks) {
      auto& y = topic.partitions.add(arena);
      y.partition_index = static_cast<int32_t>(topic.partitions.size()) - 1;
      y.high_watermark = hw;
      y.log_start_offset = 0;
      y.records = protocol::Records::empty();
    }
    return m;
  }
  int32_t open(int32_t partitions, bool follower = false) {
    Ctx c = ctx();
    const FetchRequest q = request(partitions);
    FetchResponse m;
    auto& topic = m.responses.add(arena);
    topic.topic = "t";
    for (int32_t i = 0; i < partitions; ++i) {
      auto& y = topic.partitions.add(arena);
      y.partition_index = i;
      y.high_watermark = y.log_start_offset = -1;
    }
    return sessions.open(c, 12, follower, q, m);
  }
  ErrorCode advance(int32_t id, int32_t epoch, int16_t version = 12) {
    Ctx c = ctx();
    return sessions.advance(c, version, request(0, id, epoch));
  }
  Instant now{};
  TestChance chance;
  Flaws flaws;
  NoTrace trace;
  Scratch scratch;
  Arena arena;
  FetchSessions sessions;
};

TEST(FetchSessions, epochs_count_and_a_wrong_one_is_refused) {
  Lab lab;
  const int32_t id = lab.open(2);
  ASSERT_GT(id, 0);
  EXPECT_EQ(lab.advance(id, 1), ErrorCode::none);
  EXPECT_EQ(lab.advance(id, 1), ErrorCode::invalid_fetch_session_epoch);
  EXPECT_EQ(lab.advance(id, 1, 13), ErrorCode::invalid_fetch_session_epoch);
  EXPECT_EQ(lab.advance(id, 2, 13), ErrorCode::fetch_session_topic_id_error);
  EXPECT_EQ(lab.advance(id, 2), ErrorCode::none);
  EXPECT_EQ(lab.advance(id ^ 1, 1), ErrorCode::fetch_session_id_not_found);
}

TEST(FetchSessions, only_news_is_told) {
  Lab lab;
  Ctx c = lab.ctx();
  const FetchResponse first = lab.response({1, 0});
  const int32_t id = lab.sessions.open(c, 12, false, lab.request(2), first);
  ASSERT_EQ(lab.advance(id, 1), ErrorCode::none);
  FetchResponse same = lab.response({1, 0});
  lab.sessions.answered(lab.arena, 12, id, same);
  EXPECT_TRUE(same.responses.empty());
  EXPECT_EQ(same.session_id, id);
  FetchResponse moved = lab.response({1, 5});
  lab.sessions.answered(lab.arena, 12, id, moved);
  ASSERT_EQ(moved.responses.size(), 1u);
  ASSERT_EQ(moved.responses[0].partitions.size(), 1u);
  EXPECT_EQ(moved.responses[0].partitions[0].partition_index, 1);
}

TEST(FetchSessions, who_gave_records_is_read_last_and_errors_are_told_each_time) {
  Lab lab;
  const int32_t id = lab.open(2);
  ASSERT_EQ(lab.advance(id, 1), ErrorCode::none);
  FetchResponse m = lab.response({1, -1});
  const uint8_t bytes[3] = {1, 2, 3};
  m.responses[0].partitions[0].records = protocol::Records::of(ByteSpan(bytes));
  m.responses[0].partitions[1].error_code = 3;
  lab.sessions.answered(lab.arena, 12, id, m);
  EXPECT_EQ(m.responses[0].partitions.size(), 2u);
  FetchRequest q = lab.request(0, id, 1);
  ASSERT_FALSE(lab.sessions.expand(lab.arena, 12, q));
  ASSERT_EQ(q.topics[0].partitions.size(), 2u);
  EXPECT_EQ(q.topics[0].partitions[0].partition, 1);
  FetchResponse again = lab.response({1, -1});
  again.responses[0].partitions[1].error_code = 3;
  lab.sessions.answered(lab.arena, 12, id, again);
  ASSERT_EQ(again.responses[0].partitions.size(), 1u);
  EXPECT_EQ(again.responses[0].partitions[0].error_code, 3);
}

TEST(FetchSessions, a_full_cache_keeps_the_young_and_evicts_the_idle) {
  Lab lab(2);
  const int32_t a = lab.open(1), b = lab.open(1);
  EXPECT_EQ(lab.open(1), 0);
  lab.now = lab.now + FetchSessions::kEvictAfter;
  EXPECT_EQ(lab.advance(a, 1), ErrorCode::none);
  lab.now = lab.now + milliseconds(1);
  const int32_t c = lab.open(1);
  EXPECT_GT(c, 0);
  EXPECT_TRUE(lab.sessions.has(a));
  EXPECT_FALSE(lab.sessions.has(b));
  EXPECT_EQ(lab.sessions.size(), 2u);
}

TEST(FetchSessions, a_follower_takes_the_place_of_an_older_consumer) {
  Lab lab(1);
  const int32_t consumer = lab.open(5);
  lab.now = lab.now + FetchSessions::kEvictAfter + milliseconds(1);
  EXPECT_EQ(lab.advance(consumer, 1), ErrorCode::none);  // not idle
  EXPECT_EQ(lab.open(4), 0);                             // of less weight
  EXPECT_GT(lab.open(1, true), 0);
  EXPECT_FALSE(lab.sessions.has(consumer));
}

TEST(FetchSessions, an_emptied_session_ends) {
  Lab lab;
  const int32_t id = lab.open(1);
  FetchRequest q = lab.request(0, id, 1);
  auto& gone = q.forgotten_topics_data.add(lab.arena);
  gone.topic = "t";
  gone.partitions.push_back(lab.arena, 0);
  Ctx c = lab.ctx();
  ASSERT_EQ(lab.sessions.advance(c, 12, q), ErrorCode::none);
  EXPECT_EQ(lab.sessions.expand(lab.arena, 12, q), ErrorCode::fetch_session_id_not_found);
  EXPECT_FALSE(lab.sessions.has(id));
  EXPECT_EQ(lab.sessions.partitions(), 0u);
}

TEST(FetchSessions, one_that_begins_empty_lives_until_its_next_fetch) {
  Lab lab;
  const int32_t kept = lab.open(0), ended = lab.open(0);
  ASSERT_GT(kept, 0);
  ASSERT_GT(ended, 0);
  Ctx c = lab.ctx();
  EXPECT_EQ(lab.sessions.advance(c, 12, lab.request(1, kept, 1)), ErrorCode::none);
  EXPECT_EQ(lab.advance(kept, 2), ErrorCode::none);
  EXPECT_EQ(lab.advance(ended, 1), ErrorCode::none);
  EXPECT_EQ(lab.advance(ended, 2), ErrorCode::fetch_session_id_not_found);
}

TEST(FetchSessions, the_order_of_the_first_answer_is_kept) {
  Lab lab;
  Ctx c = lab.ctx();
  FetchResponse m = lab.response({1, 1});
  m.responses[0].partitions[0].partition_index = 1;  // what was unknown comes last
  m.responses[0].partitions[1].partition_index = 0;
  const int32_t id = lab.sessions.open(c, 12, false, lab.request(2), m);
  ASSERT_EQ(lab.advance(id, 1), ErrorCode::none);
  FetchRequest q = lab.request(0, id, 1);
  ASSERT_FALSE(lab.sessions.expand(lab.arena, 12, q));
  EXPECT_EQ(q.topics[0].partitions[0].partition, 1);
  EXPECT_EQ(q.topics[0].partitions[1].partition, 0);
}

TEST(FetchSessions, one_that_was_evicted_while_it_was_served_is_told_in_full) {
  Lab lab;
  const int32_t id = lab.open(2);
  ASSERT_EQ(lab.advance(id, 1), ErrorCode::none);
  lab.sessions.end(id);
  FetchResponse m = lab.response({3, 4});
  lab.sessions.answered(lab.arena, 12, id, m);
  EXPECT_EQ(m.responses[0].partitions.size(), 2u);
  EXPECT_EQ(lab.advance(id, 2), ErrorCode::fetch_session_id_not_found);
}

TEST(FetchSessions, what_all_of_them_remember_is_bounded) {
  Lab lab(1000);
  const int32_t id = lab.open(1);
  Ctx c = lab.ctx();
  int32_t epoch = 1;
  size_t most = 0;
  ErrorCode error = ErrorCode::none;
  for (int32_t first = 0; error == ErrorCode::none; first += 50'000) {
    ASSERT_LT(epoch, 100);
    Arena arena;
    FetchRequest q = lab.request(0, id, epoch++);
    auto& topic = q.topics.add(arena);
    topic.topic = "t";
    for (int32_t i = 0; i < 50'000; ++i) topic.partitions.add(arena).partition = first + i;
    error = lab.sessions.advance(c, 12, q);
    most = std::max(most, lab.sessions.partitions());
  }
  EXPECT_EQ(error, ErrorCode::fetch_session_id_not_found);
  EXPECT_LE(most, FetchSessions::kPartitionsMost);
  EXPECT_FALSE(lab.sessions.has(id));
  EXPECT_EQ(lab.sessions.partitions(), 0u);
  EXPECT_GT(lab.open(3), 0);
  EXPECT_EQ(lab.sessions.partitions(), 3u);
}

TEST(FetchSessions, what_has_been_idle_makes_room_for_what_is_new) {
  constexpr auto kMost = static_cast<int32_t>(FetchSessions::kSessionPartitionsMost);
  Lab lab(1000);
  EXPECT_EQ(lab.open(kMost + 1), 0) << "one session";
  std::vector<int32_t> ids;
  for (size_t i = 0; i < FetchSessions::kPartitionsMost / FetchSessions::kSessionPartitionsMost; ++i) {
    ids.push_back(lab.open(kMost));
    ASSERT_GT(ids.back(), 0);
    lab.now = lab.now + milliseconds(1);
  }
  EXPECT_EQ(lab.open(1), 0);
  lab.now = lab.now + FetchSessions::kEvictAfter;
  ASSERT_EQ(lab.advance(ids[0], 1), ErrorCode::none) << "in use again";
  EXPECT_GT(lab.open(1), 0);
  EXPECT_TRUE(lab.sessions.has(ids[0]));
  EXPECT_FALSE(lab.sessions.has(ids[1])) << "the longest idle";
  EXPECT_TRUE(lab.sessions.has(ids[2]));
  EXPECT_EQ(lab.sessions.partitions(), FetchSessions::kPartitionsMost - FetchSessions::kSessionPartitionsMost + 1);
}

// A name that no topic has may be long, and is the same for all of its partitions.
TEST(FetchSessions, a_topic_is_named_once_however_many_partitions_it_has) {
  Lab lab;
  const std::string longest(32'767, 'n');
  FetchRequest q = lab.request(10'000);
  q.topics[0].topic = longest;
  Ctx c = lab.ctx();
  const int32_t id = lab.sessions.open(c, 12, false, q, FetchResponse());
  ASSERT_GT(id, 0);
  EXPECT_EQ(lab.sessions.partitions(), 10'000u);
  EXPECT_EQ(lab.sessions.name_bytes(), longest.size());
  FetchRequest next = lab.request(0, id, 1);
  auto& gone = next.forgotten_topics_data.add(lab.arena);
  gone.topic = longest;
  for (int32_t i = 1; i < 10'000; ++i) gone.partitions.push_back(lab.arena, i);
  ASSERT_EQ(lab.sessions.advance(c, 12, next), ErrorCode::none);
  EXPECT_EQ(lab.sessions.name_bytes(), longest.size());
  ASSERT_FALSE(lab.sessions.expand(lab.arena, 12, next));
  ASSERT_EQ(next.topics.size(), 1u);
  EXPECT_EQ(next.topics[0].topic, longest);
  EXPECT_EQ(next.topics[0].partitions.size(), 1u);
  FetchRequest last = lab.request(0, id, 2);
  auto& also = last.forgotten_topics_data.add(lab.arena);
  also.topic = longest;
  also.partitions.push_back(lab.arena, 0);
  ASSERT_EQ(lab.sessions.advance(c, 12, last), ErrorCode::none);
  EXPECT_EQ(lab.sessions.partitions(), 0u);
  EXPECT_EQ(lab.sessions.name_bytes(), 0u);
}

TEST(FetchSessions, the_names_that_all_of_them_remember_are_bounded) {
  Lab lab(1000);
  const int32_t id = lab.open(1);
  Ctx c = lab.ctx();
  int32_t epoch = 1, name = 0;
  size_t most = 0;
  ErrorCode error = ErrorCode::none;
  while (error == ErrorCode::none) {
    ASSERT_LT(epoch, 100);
    Arena arena;
    FetchRequest q = lab.request(0, id, epoch++);
    for (int i = 0; i < 100; ++i) {
      auto& topic = q.topics.add(arena);
      topic.topic = arena.copy(std::string(32'000, 'n') + std::to_string(name++));
      topic.partitions.add(arena);
    }
    error = lab.sessions.advance(c, 12, q);
    most = std::max(most, lab.sessions.name_bytes());
  }
  EXPECT_EQ(error, ErrorCode::fetch_session_id_not_found);
  EXPECT_LE(most, FetchSessions::kNameBytesMost);
  EXPECT_EQ(lab.sessions.name_bytes(), 0u);
  EXPECT_EQ(lab.sessions.partitions(), 0u);
}

}  // namespace
}  // namespace klamm::broker
