#include "tests/engine/log/log_world.h"

namespace klamm::log {
namespace {

TEST(Log, an_empty_log_touches_no_disk) {
  LogWorld w;
  w.restart();
  w.settle();
  EXPECT_TRUE(w.log.ready());
  w.flush();
  w.sync();
  EXPECT_EQ(w.disk.ready(), 0u);
  EXPECT_TRUE(w.disk.names("").empty());
}

TEST(Log, appends_of_a_turn_join_one_write) {
  LogWorld w;
  w.restart();
  w.settle();
  for (int i = 0; i < 5; ++i) w.append({.records = 2}, 1);
  EXPECT_EQ(w.log.ends().submitted, 10);
  Commands commands;
  Ctx ctx = w.world.ctx();
  Io io{ctx, commands, w.ops};
  w.log.flush(io);
  int writes = 0;
  for (const Command& c : commands)
    if (const auto* x = std::get_if<WriteFile>(&c); x && x->bytes[0].size() > 100) {
      ++writes;
      EXPECT_EQ(x->bytes.size(), 1u);  // side by side in the tail block
    }
  EXPECT_EQ(writes, 1);
  w.disk.submit(commands);
  w.settle();
  EXPECT_EQ(w.log.ends().written, 10);
  EXPECT_EQ(w.log.ends().synced, 0);
  w.sync();
  w.settle();
  EXPECT_EQ(w.log.ends().synced, 10);
  EXPECT_TRUE(w.read_all(0).prefix_of(w.model));
}

TEST(Log, a_small_story_survives_a_restart_in_kafkas_formats) {
  LogWorld w;
  w.restart();
  w.settle();
  for (int i = 0; i < 40; ++i)
    w.append({.records = 3, .value_bytes = 400, .timestamp = 1'700'000'000'000 + i}, i < 20 ? 1 : 4);
  w.flush();
  w.settle();
  w.turn([&](Io& io) { EXPECT_FALSE(w.log.close(io)); });
  w.settle();
  EXPECT_TRUE(w.closed);
  EXPECT_EQ(w.log.recovery_point(), 120);
  const auto text = [&](const char* name) {
    const auto* c = w.disk.content(std::string("orders-5/") + name);
    return c ? std::string(c->begin(), c->end()) : "none";
  };
  EXPECT_EQ(text("partition.metadata"), "version: 0\ntopic_id: " + w.options.topic.text());
  EXPECT_EQ(text("leader-epoch-checkpoint"), "0\n2\n1 0\n4 60\n");
  // Kafka's rule for the indexes, by hand, over the first segment.
  std::vector<uint8_t> offsets, times;
  const auto put = [](std::vector<uint8_t>* v, uint64_t x, int bytes) {
    for (int i = bytes - 1; i >= 0; --i) v->push_back(static_cast<uint8_t>(x >> (8 * i)));
  };
  size_t position = 0, since = 0;
  const size_t first_size = w.disk.content("orders-5/00000000000000000000.log")->size();
  for (const auto& b : w.model.batches) {
    if (position == first_size) break;
    if (since > 300) {
      put(&offsets, static_cast<uint64_t>(b.last), 4);
      put(&offsets, position, 4);
      put(&times, static_cast<uint64_t>(b.header().max_timestamp), 8);
      put(&times, static_cast<uint64_t>(b.last), 4);
      since = 0;
    }
    since += b.bytes.size();
    position += b.bytes.size();
  }
  EXPECT_EQ(*w.disk.content("orders-5/00000000000000000000.index"), offsets);
  EXPECT_EQ(*w.disk.content("orders-5/00000000000000000000.timeindex"), times);

  w.restart({120, 0});
  w.settle();
  ASSERT_TRUE(w.log.ready());
  EXPECT_EQ(w.log.ends(), (Ends{0, 120, 120, 120}));
  const Model again = w.read_all(0);
  EXPECT_EQ(again.batches.size(), 40u);
  EXPECT_TRUE(again.prefix_of(w.model));
  w.check_derived(again);
  EXPECT_EQ(w.log.end_offset_for(1), (OffsetAndEpoch{60, 1}));
  EXPECT_EQ(w.log.end_offset_for(3), (OffsetAndEpoch{60, 1}));
  EXPECT_EQ(w.log.end_offset_for(4), (OffsetAndEpoch{120, 4}));
  EXPECT_EQ(w.log.end_offset_for(5), (OffsetAndEpoch{-1, kNoEpoch}));
}

TEST(Log, indexes_are_only_hints) {
  LogWorld w;
  w.options.track_producers = false;
  w.restart();
  w.settle();
  for (int i = 0; i < 60; ++i) w.append({.records = 3, .value_bytes = 400}, 1);
  w.turn([&](Io& io) { w.log.close(io); });
  w.settle();
  std::vector<uint8_t> wrong;
  for (uint8_t i = 1; i < 20; ++i) wrong.insert(wrong.end(), {0, 0, 0, i, 0, 0, i, 77});
  w.disk.set_content("orders-5/00000000000000000000.index", wrong);
  w.restart({180, 0});
  w.settle();
  EXPECT_TRUE(w.read_all(0).prefix_of(w.model));
  EXPECT_EQ(w.log.ends().submitted, 180);
}

// Its topic is deleted while the node starts.
TEST(Log, may_be_removed_while_it_opens) {
  for (const bool there : {true, false}) {
    LogWorld w;
    if (there) {
      w.restart();
      w.settle();
      w.append({.records = 5}, 1);
      w.flush();
      w.settle();
      w.disk.kill([](uint64_t n) { return n - 1; });
    }
    w.restart();
    w.turn([&](Io& io) { EXPECT_FALSE(w.log.remove(io, Uuid{{9}})); });
    w.settle();
    EXPECT_TRUE(w.removed) << there;
    EXPECT_TRUE(w.disk.names("orders-5").empty());
  }
}

TEST(Log, a_read_may_be_filled_with_a_part_of_the_next_batch) {
  LogWorld w;
  w.restart();
  w.settle();
  for (int i = 0; i < 4; ++i) w.append({.records = 5, .value_bytes = 100}, 1);
  w.flush();
  w.settle();
  const uint32_t one = static_cast<uint32_t>(w.model.batches[0].bytes.size());
  std::vector<uint8_t> all;
  for (const Model::Batch& b : w.model.batches) all.insert(all.end(), b.bytes.begin(), b.bytes.end());
  for (const bool cold : {false, true}) {
    if (cold) {
      w.log.drop_caches();
      w.turn([&](Io& io) { EXPECT_TRUE(w.log.load_cold(io, {0, one * 4})); });
      w.settle();
    }
    for (const uint32_t most : {one * 2 + 1, one * 2 + 30, one * 3 - 1}) {
      const ReadResult r = w.log.read({0, most, 20, true, true});
      ASSERT_EQ(r.status, ReadStatus::ok);
      EXPECT_EQ(r.next, 10);
      EXPECT_EQ(r.size, most);
      std::vector<uint8_t> got;
      for (const Slice& s : r.pieces) got.insert(got.end(), s.span().begin(), s.span().end());
      EXPECT_EQ(got, std::vector<uint8_t>(all.begin(), all.begin() + most));
    }
    EXPECT_EQ(w.log.read({0, one * 2 + 30, 10, true, true}).size, one * 2) << "nothing at or beyond the limit";
    EXPECT_EQ(w.log.read({0, 30, 20, true, true}).size, one) << "a first batch that is too large, and no more";
    EXPECT_EQ(w.log.read({0, 30, 20, false, true}).size, 0u) << "no first batch, no part of it";
  }
}

TEST(Log, a_read_stops_at_the_limit_and_at_most_bytes) {
  LogWorld w;
  w.restart();
  w.settle();
  for (int i = 0; i < 4; ++i) w.append({.records = 5, .value_bytes = 100}, 1);
  const uint32_t one = static_cast<uint32_t>(w.model.batches[0].bytes.size());
  EXPECT_EQ(w.log.read({7, one * 4, 15, false}).next, 15);  // from inside the second batch
  EXPECT_EQ(w.log.read({7, one * 4, 15, false}).size, one * 2);
  EXPECT_EQ(w.log.read({0, one * 2, 20, false}).next, 10);
  EXPECT_TRUE(w.log.read({0, one * 2, 20, false}).capped);
  EXPECT_EQ(w.log.read({0, 1, 20, true}).next, 5);
  EXPECT_EQ(w.log.read({0, 1, 20, false}).next, 0);
  EXPECT_EQ(w.log.read({0, 1, 4, true}).size, 0u);
  EXPECT_EQ(w.log.read({20, 1, 20, true}).status, ReadStatus::ok);
  EXPECT_EQ(w.log.read({21, 1, 20, true}).status, ReadStatus::out_of_range);
}

TEST(Log, a_follower_takes_only_what_continues_its_log) {
  LogWorld w;
  w.restart();
  w.settle();
  w.append({.records = 5}, 3);
  const Slice good = make_batch({.records = 2}, {5, 3});
  EXPECT_EQ(w.log.check_follower_batches(good)->size(), good.size());
  EXPECT_EQ(w.log.check_follower_batches(good.part(0, good.size() - 1))->size(), 0u);
  EXPECT_FALSE(w.log.check_follower_batches(make_batch({}, {4, 3})).has_value());
  EXPECT_FALSE(w.log.check_follower_batches(make_batch({}, {5, 2})).has_value());
  std::vector<uint8_t> bad(good.data(), good.data() + good.size());
  bad.back() ^= 1;
  EXPECT_FALSE(w.log.check_follower_batches(Slice::copy(bad)).has_value());
  w.turn([&](Io& io) {
    const Appended a = w.log.append_as_follower(io.ctx, good);
    EXPECT_EQ(a.base, 5);
    EXPECT_EQ(a.last, 6);
  });
  EXPECT_EQ(w.log.ends().submitted, 7);
}

TEST(Log, a_directory_of_another_topic_is_moved_aside) {
  LogWorld w;
  w.restart();
  w.settle();
  w.append({}, 1);
  w.flush();
  w.settle();
  w.options.topic.bytes[0] = 8;
  w.restart();
  w.settle();
  ASSERT_TRUE(w.log.ready());
  EXPECT_EQ(w.log.ends().submitted, 0);
  ASSERT_EQ(w.disk.names("").size(), 1u);
  const auto moved = parse_partition_dir(w.disk.names("")[0]);
  ASSERT_TRUE(moved.has_value());
  EXPECT_EQ(moved->kind, PartitionDirKind::stray);
  EXPECT_EQ(moved->topic, "orders");
  w.append({}, 1);
  w.flush();
  w.settle();
  EXPECT_EQ(w.disk.names("").size(), 2u);
  EXPECT_EQ(w.log.ends().written, 1);
}

TEST(Log, remove_takes_the_directory_away_from_any_state) {
  for (int stage = 0; stage < 4; ++stage) {
    LogWorld w;
    w.restart();
    w.settle();
    w.append({}, 1);
    w.flush();
    if (stage > 0) w.settle();
    if (stage == 2) w.restart();
    if (stage == 3) w.sync();
    w.turn([&](Io& io) { EXPECT_FALSE(w.log.remove(io, Uuid{{9}})); });
    w.settle();
    EXPECT_TRUE(w.removed);
    EXPECT_TRUE(w.disk.names("").empty());
    EXPECT_EQ(w.ops.under_way(), 0u);
  }
}

TEST(Log, truncate_fully_begins_anew_elsewhere) {
  LogWorld w;
  w.restart();
  w.settle();
  for (int i = 0; i < 40; ++i) w.append({.records = 3, .value_bytes = 400}, 1);
  w.flush();
  w.turn([&](Io& io) { w.log.truncate_fully_and_start_at(io, 1000, Uuid{{9}}); });
  EXPECT_EQ(w.log.ends(), (Ends{1000, 1000, 1000, 1000}));
  w.model = {1000, {}};
  w.append({.records = 3}, 2);
  w.flush();
  w.settle();
  EXPECT_EQ(w.log.ends().written, 1003);
  EXPECT_EQ(w.disk.names("").size(), 1u);
  w.restart();
  w.settle();
  EXPECT_EQ(w.log.ends().log_start, 1000);
  EXPECT_TRUE(w.read_all(1000).prefix_of(w.model));
}

TEST(Log, what_was_deleted_stays_deleted_though_the_records_were_lost) {
  LogWorld w;
  w.restart();
  w.settle();
  w.append({.records = 5}, 1);
  w.turn([&](Io& io) { w.log.sync(io); });
  w.settle();
  for (int i = 0; i < 20; ++i) w.append({.records = 5}, 1);
  w.flush();
  w.settle();
  w.disk.lose_power([](size_t) { return 0; });  // of what was not synced nothing is left
  w.restart({0, 80});
  w.settle();
  EXPECT_EQ(w.log.ends().log_start, 80);
  EXPECT_EQ(w.log.ends().submitted, 80);
  w.model = {80, {}};
  w.append({.records = 3}, 2);
  w.turn([&](Io& io) { w.log.sync(io); });
  w.settle();
  w.restart({83, 80});
  w.settle();
  EXPECT_EQ(w.log.ends().log_start, 80);
  EXPECT_EQ(w.read_all(80).batches, w.model.batches);
}

// Many requests with a little for this log must not stay in memory for the sake of that.
TEST(Log, a_small_part_of_a_large_buffer_does_not_keep_it) {
  LogWorld w;
  w.restart();
  w.settle();
  const Slice batch = make_batch({.value_bytes = 5'000});
  const auto size = static_cast<uint32_t>(batch.size());
  for (const uint32_t whole : {size, 3 * size}) {
    const BufferRef frame = BufferRef::make(whole);
    std::memcpy(frame->data(), batch.data(), size);
    w.turn([&](Io& io) { w.log.append_as_leader(io.ctx, 1, Slice(frame, frame->data(), size)); });
    EXPECT_EQ(frame->references > 1, whole == size);
    const Offset end = w.log.ends().submitted;
    const Slice next = make_batch({.value_bytes = 5'000});
    std::memcpy(frame->data(), next.data(), size);
    protocol::place_batch(frame->data(), next.data(), {end, 1});
    const BufferRef answer = BufferRef::make(whole);
    std::memcpy(answer->data(), frame->data(), size);
    w.turn([&](Io& io) { w.log.append_as_follower(io.ctx, Slice(answer, answer->data(), size)); });
    EXPECT_EQ(answer->references > 1, whole == size);
  }
}

// As a follower copies what compaction had left at its leader, of a topic that is compacted no more.
TEST(Log, gaps_between_good_batches_are_no_damage) {
  LogWorld w;
  w.restart();
  w.settle();
  for (const Offset base : {0, 7, 8, 30}) {
    protocol::BatchBuilder b(protocol::BatchBuilder::Options{.base_offset = base, .leader_epoch = 1});
    b.add_value(1'000, as_bytes("v"));
    const Slice batch = b.finish();
    w.turn([&](Io& io) { w.log.append_as_follower(io.ctx, batch); });
  }
  w.flush();
  w.settle();
  w.restart();
  w.settle();
  EXPECT_EQ(w.log.ends().submitted, 31);
  EXPECT_EQ(w.read_all(0).batches.size(), 4u);
}

TEST(Log, a_batch_larger_than_a_cold_block_is_read_whole) {
  LogWorld w;
  w.options.config.segment_bytes = 10'000'000;
  w.restart();
  w.settle();
  w.append({.value_bytes = 10}, 1);
  w.append({.value_bytes = 3'000'000}, 1);
  w.append({.value_bytes = 10}, 1);
  w.flush();
  w.settle();
  w.restart();
  w.settle();
  EXPECT_EQ(w.read_all(0).batches, w.model.batches);
}

TEST(Log, bytes_that_were_damaged_on_disk_are_told_until_that_is_forgotten) {
  LogWorld w;
  w.restart();
  w.settle();
  for (int i = 0; i < 3; ++i) w.append({.value_bytes = 100}, 1);
  w.flush();
  w.settle();
  w.log.drop_caches();
  w.expects_damage = true;
  const std::string path = w.log.path() + "/00000000000000000000.log";
  std::vector<uint8_t> bytes = *w.disk.content(path);
  bytes[w.model.batches[0].bytes.size() + 80] ^= 1;
  w.disk.set_content(path, bytes);
  const ReadResult told = w.read_at(1);
  EXPECT_EQ(told.status, ReadStatus::damaged);
  EXPECT_EQ(w.log.read({1, 5'000, 3, true}).status, ReadStatus::damaged);
  w.log.forget_fault(1);
  EXPECT_EQ(w.log.read({1, 5'000, 3, true}).status, ReadStatus::cold);
  EXPECT_EQ(w.read_at(0).next, 1);
  EXPECT_EQ(w.read_at(2).next, 3);
}

TEST(Log, finds_a_place_by_time) {
  LogWorld w;
  w.restart();
  w.settle();
  for (int i = 0; i < 100; ++i) w.append({.records = 3, .value_bytes = 400, .timestamp = 1'000 + 10 * i}, 1);
  for (const int64_t t : {0, 1'000, 1'005, 1'400, 1'990}) {
    const auto from = w.log.find_time(t);
    ASSERT_TRUE(from.has_value());
    const Model all = w.read_all(0);
    for (const auto& b : all.batches) {
      if (b.header().max_timestamp < t) continue;
      EXPECT_LE(*from, b.base);
      EXPECT_GE(*from, b.base - 30);
      break;
    }
  }
  EXPECT_FALSE(w.log.find_time(1'991).has_value());
  EXPECT_EQ(w.log.max_timestamp().offset, 299);
}

struct Latest final : Chance {
  uint64_t below(ChoiceKey key, uint64_t n) override { return key.stream == Stream::segment_jitter ? n - 1 : 0; }
  uint64_t name(ChoiceKey key) override { return key.ordinal; }
};

TEST(Log, segments_end_by_time_earlier_by_what_is_drawn) {
  for (const int64_t jitter : {0, 400, 5'000}) {
    LogWorld w;
    w.options.config.segment_ms = 1'000;
    w.options.config.segment_jitter_ms = jitter;
    w.restart();
    w.settle();
    Latest chance;
    Ctx ctx{w.world.now, w.world.wall, chance, w.world.flaws, w.world.trace, w.world.scratch};
    const auto append = [&](int64_t at) {
      w.log.append_as_leader(ctx, 1, make_batch({.timestamp = 1'700'000'000'000 + at}));
    };
    const int64_t lasts = 1'000 - std::max<int64_t>(0, std::min<int64_t>(jitter, 1'000) - 1);
    append(0);
    append(lasts);      // still in the first
    append(lasts + 1);  // begins the second
    append(lasts + 1 + lasts);
    append(lasts + 2 + lasts);
    w.flush();
    w.settle();
    std::vector<std::string> logs;
    for (const std::string& name : w.disk.names("orders-5"))
      if (name.ends_with(".log")) logs.push_back(name);
    EXPECT_EQ(logs,
              (std::vector<std::string>{segment_file(0, ".log"), segment_file(2, ".log"), segment_file(4, ".log")}));
  }
}

TEST(Log, forks_do_not_disturb_each_other) {
  LogWorld w;
  w.restart();
  w.settle();
  w.append({.fill = 'a'}, 1);
  Log fork = w.log;
  EXPECT_EQ(state_hash(w.log), state_hash(fork));
  w.append({.fill = 'b'}, 1);
  w.turn([&](Io& io) { fork.append_as_leader(io.ctx, 1, make_batch({.fill = 'c'})); });
  EXPECT_EQ(w.read_all(0).batches, w.model.batches);
  EXPECT_NE(state_hash(w.log), state_hash(fork));
  const ReadResult r = fork.read({1, 10'000, 2, true});
  ASSERT_EQ(r.pieces.size(), 1u);
  EXPECT_NE(r.pieces[0].text().find(std::string(10, 'c')), std::string::npos);
}

}  // namespace
}  // namespace klamm::log
