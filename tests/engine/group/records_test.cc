// Records as Apache Kafka 4.3.1 wrote them, byte for byte: read here, and written here the same.
#include "engine/group/records.h"

#include <gtest/gtest.h>

#include <string>

#include "engine/group/classic_group.h"

namespace klamm::group {
namespace {

using namespace std::string_literals;

const std::string kGroupKey = "\0\2\0\nfzhhikmp-g"s;
const std::string kNewGroup = "\0\3\0\0\0\0\0\0\xff\xff\xff\xff\0\0\1\xa1\xfdI\x87\xf8\0\0\0\0"s;
const std::string kMemberId = "client-a-87c6cdb0-6546-4b3b-a0a6-f04b7a6536d8";
const std::string kStableGroup =
    "\0\3\0\x08"s + "consumer\0\0\0\1\0\5range\0-"s + kMemberId + "\0\0\1\xa1\xfdI\x88\x07\0\0\0\1\0-"s + kMemberId +
    "\xff\xff\0\x08"s +
    "client-a\0\n/127.0.0.1\0\0'\x10\0\0'\x10\0\0\0\x16\0\0\0\0\0\1\0\nfzhhikmp-t\xff\xff\xff\xff"s + "\0\0\0\6plan-1"s;
const std::string kEmptiedGroup = "\0\3\0\x08"s + "consumer\0\0\0\2\xff\xff\xff\xff\0\0\1\xa1\xfdI\x8a:\0\0\0\0"s;
const std::string kOffsetKey = "\0\1\0\nfzhhikmp-g\0\nfzhhikmp-t\0\0\0\0"s;
const std::string kOffset = "\0\4\0\0\0\0\0\0\0\3\xff\xff\xff\xff\1\0\0\1\xa1\xfdI\x88\x18\1\0\x10\xde\xcfw\x8e\xfe"s +
                            "4CO\xa1"s + "1\xa3}\x05\x9d\x8d\n"s;

class Fold {
 public:
  HardState state;
  void take(const std::string& key, const std::string& value) {
    ASSERT_TRUE(
        replay(state, arena_, {protocol::Bytes::of(as_bytes(key)), protocol::Bytes::of(as_bytes(value)), at_++}));
  }
  void bury(const std::string& key) {
    ASSERT_TRUE(replay(state, arena_, {protocol::Bytes::of(as_bytes(key)), {}, at_++}));
  }
  Group group() { return Group::restored("fzhhikmp-g", *state.groups.find(std::string("fzhhikmp-g")), arena_); }
  coordinator::NewRecord written() { return group_record(arena_, group()); }

 private:
  Arena arena_;
  Offset at_ = 0;
};

TEST(GroupRecords, a_new_group) {
  Fold fold;
  fold.take(kGroupKey, kNewGroup);
  const Group g = fold.group();
  EXPECT_EQ(g.state, State::empty);
  EXPECT_TRUE(g.simple());
  EXPECT_EQ(new_group_record("fzhhikmp-g", g.since_ms).key.text(), kGroupKey);
  EXPECT_EQ(new_group_record("fzhhikmp-g", g.since_ms).value.text(), kNewGroup);
}

TEST(GroupRecords, a_stable_group) {
  Fold fold;
  fold.take(kGroupKey, kStableGroup);
  const Group g = fold.group();
  EXPECT_EQ(g.state, State::stable);
  EXPECT_EQ(g.generation, 1);
  ASSERT_TRUE(g.member(kMemberId));
  EXPECT_EQ(g.member(kMemberId)->client_host, "/127.0.0.1");
  EXPECT_EQ(g.member(kMemberId)->assignment.text(), "plan-1");
  EXPECT_TRUE(g.subscribes("fzhhikmp-t"));
  EXPECT_FALSE(g.subscribes("other"));
  EXPECT_EQ(fold.written().value.text(), kStableGroup);
}

TEST(GroupRecords, a_group_that_everybody_left) {
  Fold fold;
  fold.take(kGroupKey, kStableGroup);
  fold.take(kGroupKey, kEmptiedGroup);
  EXPECT_EQ(fold.group().state, State::empty);
  EXPECT_EQ(fold.group().generation, 2);
  EXPECT_EQ(fold.written().value.text(), kEmptiedGroup);
  fold.bury(kGroupKey);
  EXPECT_TRUE(fold.state.groups.empty());
}

TEST(GroupRecords, a_committed_offset) {
  Fold fold;
  fold.take(kOffsetKey, kOffset);
  const CommittedOffset* o = fold.state.offsets.find(OffsetKeyView{"fzhhikmp-g", "fzhhikmp-t", 0});
  ASSERT_TRUE(o);
  EXPECT_EQ(o->offset, 3);
  EXPECT_EQ(o->leader_epoch, -1);
  EXPECT_EQ(o->metadata, "");
  EXPECT_FALSE(o->topic_id.zero());
  EXPECT_TRUE(fold.group().simple()) << "offsets make a group";
  const auto record =
      offset_record({"fzhhikmp-g", "fzhhikmp-t", 0}, {.offset = 3, .commit_ms = o->commit_ms, .topic_id = o->topic_id});
  EXPECT_EQ(record.key.text(), kOffsetKey);
  EXPECT_EQ(record.value.text(), kOffset);
  fold.bury(kOffsetKey);
  EXPECT_TRUE(fold.state.offsets.empty());
}

TEST(GroupRecords, a_group_of_the_newer_protocol_keeps_its_offsets_and_with_them_its_place) {
  Fold fold;
  fold.take(kOffsetKey, kOffset);
  fold.take(kGroupKey, kStableGroup);
  fold.bury(kGroupKey);
  fold.take("\0\3\0\nfzhhikmp-g"s, "\0\0\0\0\0\1\0"s);
  ASSERT_TRUE(fold.state.groups.contains(std::string("fzhhikmp-g")));
  EXPECT_TRUE(fold.group().simple());
  EXPECT_EQ(fold.state.offsets.size(), 1u);
  fold.bury(kOffsetKey);
  fold.bury(kGroupKey);
  EXPECT_TRUE(fold.state.groups.empty());
}

TEST(GroupRecords, damage_is_refused_and_strangers_are_passed_over) {
  HardState state;
  Arena arena;
  const auto take = [&](const std::string& key, const std::string& value) {
    return replay(state, arena, {protocol::Bytes::of(as_bytes(key)), protocol::Bytes::of(as_bytes(value)), 0});
  };
  EXPECT_FALSE(take("\0"s, kNewGroup));
  for (size_t n = 2; n < kStableGroup.size(); ++n) EXPECT_FALSE(take(kGroupKey, kStableGroup.substr(0, n))) << n;
  EXPECT_TRUE(take("\0\3\0\1g"s, "\0\0\0\0\0\1\0"s)) << "a group of the newer protocol";
  EXPECT_TRUE(take("\0\x7f\0\1g"s, "x"s)) << "a kind that is not known";
  EXPECT_TRUE(state.groups.empty());
}

// What a transaction commits counts when it ends, unless a later plain commit has overtaken it.
TEST(GroupRecords, offsets_of_a_transaction_wait_for_its_end) {
  HardState state;
  Arena arena;
  const OffsetKeyView key{"g", "t", 0};
  const auto commit = [&](Offset offset, ProducerId producer, Offset at) {
    const auto r = offset_record(key, {.offset = offset});
    ASSERT_TRUE(
        replay(state, arena, {protocol::Bytes::of(r.key.span()), protocol::Bytes::of(r.value.span()), at, producer}));
  };
  commit(5, -1, 0);
  commit(7, 42, 1);
  EXPECT_EQ(state.offsets.find(key)->offset, 5);
  EXPECT_TRUE(state.has_unstable_offset(key));
  EXPECT_TRUE(state.has_open_transaction("g"));
  EXPECT_FALSE(state.has_open_transaction("f"));
  replay_marker(state, 42, true);
  EXPECT_EQ(state.offsets.find(key)->offset, 7);
  EXPECT_FALSE(state.has_unstable_offset(key));
  commit(8, 42, 3);
  replay_marker(state, 42, false);
  EXPECT_EQ(state.offsets.find(key)->offset, 7);
  commit(9, 42, 5);
  commit(10, -1, 6);
  replay_marker(state, 42, true);
  EXPECT_EQ(state.offsets.find(key)->offset, 10);
}

}  // namespace
}  // namespace klamm::group
