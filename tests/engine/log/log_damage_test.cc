// What recovery makes of files that are not as they were left: what Kafka wrote, and what a disk has spoilt since.
#include "engine/log/producer_snapshot.h"
#include "tests/engine/log/log_world.h"

namespace klamm::log {
namespace {

std::string path_of(Offset base, const char* suffix) { return "orders-5/" + segment_file(base, suffix); }

// Seven segments with an orderly end.
struct Left : LogWorld {
  Left() {
    expects_damage = true;
    restart();
    settle();
    for (int i = 0; i < 90; ++i) append({.records = 2, .value_bytes = 1'200, .timestamp = 1'000 + i}, 1 + i / 30);
    turn([&](Io& io) { log.close(io); });
    settle();
    for (const std::string& name : disk.names("orders-5"))
      if (Offset base = 0; parse_segment_file(name, ".log", &base)) bases.push_back(base);
    EXPECT_GT(bases.size(), 4u);
  }
  void spoil(Offset base, size_t at) {
    std::vector<uint8_t> bytes = *disk.content(path_of(base, ".log"));
    bytes[at] ^= 1;
    disk.set_content(path_of(base, ".log"), bytes);
  }
  // Nothing of it says when the records were written.
  void lose_times(Offset base) { disk.set_content(path_of(base, ".timeindex"), std::vector<uint8_t>(12, 0xff)); }
  void lose_epochs() { disk.set_content("orders-5/leader-epoch-checkpoint", {}); }
  void expect_readable(Offset from) {
    for (Offset at = from; at < 180;) {
      const ReadResult r = read_at(at);
      ASSERT_EQ(r.status, ReadStatus::ok) << at;
      ASSERT_GT(r.next, at);
      at = r.next;
    }
  }
  std::vector<Offset> bases;
};

// Where a round of cleaning ended Kafka keeps the last batch, and inside one it does not: segments end anywhere.
TEST(LogDamage, gaps_between_segments_of_kafkas_are_none) {
  LogWorld w;
  const auto put = [&](Offset base, Offset batch) {
    const Slice a = make_batch({}, {base, 1}), b = make_batch({}, {batch, 1});
    std::vector<uint8_t> bytes(a.data(), a.data() + a.size());
    bytes.insert(bytes.end(), b.data(), b.data() + b.size());
    w.disk.set_content(path_of(base, ".log"), bytes);
  };
  const std::string id = encode_partition_metadata(w.options.topic);
  w.disk.set_content("orders-5/partition.metadata", {id.begin(), id.end()});
  put(0, 69), put(200, 210), put(300, 301);
  const Slice none = encode_producer_snapshot({});
  w.disk.set_content(path_of(300, ".snapshot"), {none.data(), none.data() + none.size()});
  w.restart();
  w.settle();
  ASSERT_TRUE(w.log.ready());
  EXPECT_EQ(w.log.ends().submitted, 302);
  EXPECT_EQ(w.read_all(0).batches.size(), 6u);
  EXPECT_EQ(w.log.dropped_bytes(), 0);
}

TEST(LogDamage, below_the_recovery_point_takes_nothing_with_it) {
  for (const bool epochs : {true, false})
    for (const bool clean : {true, false}) {
      SCOPED_TRACE(testing::Message() << epochs << clean);
      Left w;
      w.spoil(0, 4'000);
      epochs ? w.lose_times(0) : w.lose_epochs();
      w.restart({180, 0, clean});
      w.settle();
      ASSERT_TRUE(w.log.ready());
      EXPECT_EQ(w.log.ends(), (Ends{0, 180, 180, 180}));
      EXPECT_EQ(w.log.epochs().latest(), 3);
      EXPECT_EQ(w.disk.content(path_of(0, ".log"))->size(), w.disk.content(path_of(w.bases[1], ".log"))->size());
      EXPECT_EQ(w.read_at(0).status, ReadStatus::ok);
      EXPECT_EQ(w.read_at(2).status, ReadStatus::damaged);
      w.expect_readable(w.bases[1]);
    }
}

// Whichever operation of such a recovery fails: it ends, or the log is as long as it was.
TEST(LogDamage, what_cannot_be_read_there_takes_nothing_with_it) {
  int opened = 0;
  for (uint64_t k = 1;; ++k) {
    SCOPED_TRACE(k);
    Left w;
    w.lose_epochs();
    w.disk.fail_in(k);
    const uint64_t before = w.disk.ended();
    w.restart({180, 0, true});
    w.settle();
    const bool happened = w.disk.ended() - before >= k;
    if (w.log.ready()) {
      EXPECT_EQ(w.log.ends().submitted, 180);
      opened += happened;
    }
    if (!happened || testing::Test::HasFailure()) break;
  }
  EXPECT_GE(opened, 7);  // each segment's bytes
}

TEST(LogDamage, of_the_last_segment_ends_that_one_after_an_orderly_end) {
  for (const size_t at : {20u, 500u, 4'000u}) {
    SCOPED_TRACE(at);
    Left w;
    const Offset last = w.bases.back();
    w.spoil(last, at);
    const std::vector<uint8_t> before = *w.disk.content(path_of(last, ".log"));
    w.restart({180, 0, true});
    w.settle();
    ASSERT_TRUE(w.log.ready());
    EXPECT_EQ(w.log.ends(), (Ends{0, 180, 180, 180}));
    EXPECT_EQ(*w.disk.content(path_of(last, ".log")), before);
    w.append({.records = 3}, 5);
    w.flush();
    w.turn([&](Io& io) { w.log.close(io); });
    w.settle();
    EXPECT_TRUE(w.closed);
    w.restart({183, 0, true});
    w.settle();
    EXPECT_EQ(w.log.ends().submitted, 183);
    const ReadResult behind = w.read_at(180);
    EXPECT_EQ(behind.status, ReadStatus::ok);
    EXPECT_EQ(behind.next, 183);
    EXPECT_EQ(w.read_at(last).status, at < 2'000 ? ReadStatus::damaged : ReadStatus::ok);
  }
}

TEST(LogDamage, records_without_times_are_not_read_at_each_start) {
  LogWorld w;
  w.restart();
  w.settle();
  for (int i = 0; i < 90; ++i) w.append({.records = 2, .value_bytes = 1'200, .timestamp = -1}, 1);
  w.turn([&](Io& io) { w.log.close(io); });
  w.settle();
  const uint64_t before = w.disk.bytes_read();
  w.restart({180, 0, true});
  w.settle();
  EXPECT_LT(w.disk.bytes_read() - before, 25'000u);
  EXPECT_EQ(w.log.ends().submitted, 180);
  EXPECT_FALSE(w.log.retains_too_much(w.world.wall, {180, true}));
  EXPECT_EQ(w.read_all(0).batches.size(), 90u);
}

// A full segment whose end is still in memory: its file was closed, as it could not be read.
TEST(LogDamage, a_segment_that_could_not_be_read_can_be_shortened) {
  LogWorld w;
  w.restart();
  w.settle();
  for (int i = 0; i < 26; ++i) w.append({.records = 2, .value_bytes = 400}, 1);
  w.sync();
  w.settle();
  const Offset second = [&] {
    for (Offset base = 1; base < 52; ++base)
      if (w.disk.content(path_of(base, ".log"))) return base;
    return Offset{0};
  }();
  ASSERT_GT(second, 0);
  ASSERT_EQ(w.log.read({0, 100, 52, true}).status, ReadStatus::cold);
  ASSERT_EQ(w.log.read({second - 2, 100, 52, true}).status, ReadStatus::ok);
  w.turn([&](Io& io) { EXPECT_TRUE(w.log.load_cold(io, {0, 100})); });
  w.disk.fail_in(1);
  w.settle();
  ASSERT_EQ(w.log.read({0, 100, 52, true}).status, ReadStatus::unreadable);
  w.turn([&](Io& io) { w.log.truncate_to(io, second - 2); });
  w.model.truncate(second - 2);
  w.append({.records = 3}, 2);
  w.sync();
  w.settle();
  EXPECT_EQ(w.log.ends().synced, w.model.end());
  w.log.forget_fault(0);
  EXPECT_TRUE(w.read_all(0).batches == w.model.batches);
  w.restart();
  w.settle();
  EXPECT_TRUE(w.read_all(0).batches == w.model.batches);
}

// The first of very many segments is damaged, and nothing says how far the log was durable.
TEST(LogDamage, any_number_of_segments_can_be_cut) {
  for (const int count : {16'385, 20'001}) {
    LogWorld w;
    std::vector<DirEntry> entries;
    for (Offset base = 0; base < count; ++base) entries.push_back({segment_file(base, ".log"), false, 100});
    entries.push_back({kPartitionMetadataFile, false, 1});
    std::set<std::string> removed;
    size_t most = 0;
    Commands commands;
    Ctx ctx = w.world.ctx();
    {
      Io io{ctx, commands, w.ops};
      w.log.open(io, {});
    }
    while (!commands.empty()) {
      const Commands now = std::exchange(commands, {});
      most = std::max(most, now.size());
      for (const Command& c : now) {
        StorageEnd end;
        std::optional<Token> token;
        std::visit(
            [&](const auto& x) {
              if constexpr (requires { x.token.slot; }) token = x.token;
            },
            c);
        if (std::holds_alternative<ListDir>(c)) end.entries = &entries;
        if (std::holds_alternative<OpenFile>(c)) end.value = 100;
        if (std::holds_alternative<LoadFile>(c)) end.bytes = Slice::copy(encode_partition_metadata(w.options.topic));
        if (std::holds_alternative<ReadFile>(c)) end.bytes = Slice::copy(std::string(100, 'x'));
        if (const auto* x = std::get_if<Remove>(&c)) removed.insert(x->path);
        ASSERT_TRUE(token.has_value());
        const auto owner = w.ops.end(*token);
        ASSERT_TRUE(owner.has_value());
        Out out;
        Io io{ctx, commands, w.ops};
        w.log.on_storage(io, *owner, end, out);
      }
    }
    EXPECT_TRUE(w.log.ready());
    EXPECT_EQ(w.log.ends().submitted, 0);
    for (Offset base = 1; base < count; ++base) ASSERT_TRUE(removed.count(path_of(base, ".log"))) << base;
    EXPECT_LE(most, 4'100u);
  }
}

}  // namespace
}  // namespace klamm::log
