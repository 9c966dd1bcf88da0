#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <nlohmann/json.hpp>

#include "engine/base/reader.h"
#include "engine/base/writer.h"
#include "engine/protocol/batch_builder.h"
#include "engine/protocol/json.h"
#include "engine/protocol/legacy_batch.h"
#include "tests/engine/protocol/random_message.h"

namespace klamm::protocol {
namespace {

using test::Dice;

std::vector<uint8_t> encoded(const MessageDescriptor& m, int16_t version, const void* message) {
  Writer w;
  m.encode(w, version, message);
  RC_ASSERT(w.error() == nullptr);
  const Slice s = w.finish_contiguous();
  return {s.data(), s.data() + s.size()};
}

void round_trip(const MessageDescriptor& m, int16_t version, Dice& dice) {
  Arena arena;
  const void* message = test::random_message(m, {.version = version, .unknown_tags = true}, arena, dice);
  const std::vector<uint8_t> bytes = encoded(m, version, message);
  Reader r(bytes, UnknownTags::keep);
  void* back = make_message(m, arena);
  m.decode(r, arena, version, back);
  RC_ASSERT(r.error() == nullptr);
  RC_ASSERT(r.remaining() == 0u);
  RC_ASSERT(to_json(m, version, back) == to_json(m, version, message));
  RC_ASSERT(encoded(m, version, back) == bytes);
}

TEST(Codec, every_message_in_every_version_comes_back) {
  EXPECT_TRUE(rc::check("round trip", [](uint64_t seed) {
    Dice dice(seed);
    for (const MessageDescriptor* m : all_messages()) {
      for (int16_t v = m->versions.low; v <= m->versions.high; ++v) {
        RC_LOG() << m->name << " v" << v << "\n";
        round_trip(*m, v, dice);
      }
    }
  }));
}

// A decoder may take this much memory: a field of one byte on the wire is up to some dozen bytes of struct, and an
// arena grows by doubling.
size_t memory_max(size_t bytes) { return 64 * 1024 + 128 * bytes; }

void decode_damaged(const MessageDescriptor& m, int16_t version, std::vector<uint8_t> bytes, Dice& dice) {
  switch (dice.below(3)) {
    case 0: bytes.resize(dice.below(bytes.size() + 1)); break;
    case 1:
      for (size_t n = 1 + dice.below(4); n-- > 0 && !bytes.empty();)
        bytes[dice.below(bytes.size())] = static_cast<uint8_t>(dice.next());
      break;
    default:
      for (size_t n = 1 + dice.below(3); n-- > 0 && !bytes.empty();)
        bytes[dice.below(bytes.size())] = dice.one_in(2) ? 0xff : 0x7f;
  }
  bytes.shrink_to_fit();  // a sanitizer sees a read past the end
  Arena arena;
  Reader r(bytes, dice.one_in(2) ? UnknownTags::keep : UnknownTags::skip);
  void* message = make_message(m, arena);
  m.decode(r, arena, version, message);
  RC_ASSERT(arena.allocated() <= memory_max(bytes.size()));
  if (!r.ok()) return;
  encoded(m, version, message);  // what decodes can be encoded
}

TEST(Codec, damage_is_refused_in_bounds) {
  EXPECT_TRUE(rc::check("damage", [](uint64_t seed) {
    Dice dice(seed);
    for (int i = 0; i < 200; ++i) {
      const MessageDescriptor& m = *all_messages()[dice.below(all_messages().size())];
      const auto version =
          static_cast<int16_t>(m.versions.low + dice.below(static_cast<size_t>(m.versions.high - m.versions.low) + 1));
      RC_LOG() << m.name << " v" << version << "\n";
      Arena arena;
      const void* message = test::random_message(m, {.version = version, .unknown_tags = true}, arena, dice);
      decode_damaged(m, version, encoded(m, version, message), dice);
    }
  }));
}

TEST(Codec, a_list_that_claims_too_much_costs_nothing) {
  const MessageDescriptor* m = find_message("MetadataRequest");
  const std::vector<uint8_t> bytes = {0xff, 0xff, 0xff, 0xff, 0x07, 0x00, 0x00};  // 2^31 - 2 topics
  Arena arena;
  Reader r(bytes);
  void* message = make_message(*m, arena);
  EXPECT_FALSE(m->decode(r, arena, 12, message));
  EXPECT_LE(arena.allocated(), memory_max(bytes.size()));
}

// ---- batches

struct Batch {
  Slice bytes;
  size_t records;
};

Batch random_batch(Dice& dice) {
  BatchBuilder::Options o;
  o.base_offset = static_cast<int64_t>(dice.below(1'000'000));
  o.compression = static_cast<Compression>(dice.below(5));
  if (dice.one_in(2))
    o.producer_id = 7, o.producer_epoch = 1, o.base_sequence = static_cast<int32_t>(dice.below(0x7fffffff));
  if (dice.one_in(4)) o.log_append_time = 1'700'000'000'000;
  BatchBuilder builder(o);
  const size_t n = 1 + dice.below(20);
  const std::string text(dice.one_in(10) ? 10'000 : dice.below(200), static_cast<char>('a' + dice.below(26)));
  for (size_t i = 0; i < n; ++i) {
    const RecordHeader headers[] = {{"h", Bytes::of(as_bytes(text))}, {"", {}}};
    builder.add({.timestamp = static_cast<int64_t>(dice.next() >> (1 + dice.below(60))),
                 .key = dice.one_in(3) ? Bytes{} : Bytes::of(as_bytes(text).first(text.size() / 2)),
                 .value = dice.one_in(3) ? Bytes{} : Bytes::of(as_bytes(text)),
                 .headers = std::span(headers).first(dice.below(3))});
  }
  return {builder.finish(), n};
}

// Reads all there is; how many records, or -1 when something is wrong.
int read_all(ByteSpan bytes) {
  constexpr size_t kPlainMax = 1 << 20;
  int n = 0;
  BatchCursor cursor(bytes);
  while (cursor.next()) {
    if (cursor.magic() != kCurrentMagic) {
      const auto legacy = read_legacy_batch(cursor.batch(), kPlainMax);
      if (!legacy) return -1;
      n += static_cast<int>(legacy->records.size());
      continue;
    }
    const auto header = check_batch(cursor.batch());
    if (!header) return -1;
    const auto open = OpenBatch::open(*header, cursor.batch(), kPlainMax);
    if (!open) return -1;
    RecordCursor records = open->records();
    for (Record r; records.next(r); ++n) {
      HeaderCursor headers(r);
      for (RecordHeader h; headers.next(h);) {
      }
    }
    if (records.error() != nullptr) return -1;
  }
  return cursor.error() == nullptr ? n : -1;
}

TEST(Codec, batches_come_back_and_damage_is_found) {
  EXPECT_TRUE(rc::check("batches", [](uint64_t seed) {
    Dice dice(seed);
    const Batch b = random_batch(dice);
    RC_ASSERT(read_all(b.bytes.span()) == static_cast<int>(b.records));
    std::vector<uint8_t> damaged(b.bytes.data(), b.bytes.data() + b.bytes.size());
    damaged[kBatchCrcFrom + dice.below(damaged.size() - kBatchCrcFrom)] ^= static_cast<uint8_t>(1 + dice.below(255));
    RC_ASSERT(read_all(damaged) == -1);
    // The same with a checksum that fits: whatever the records say, reading stays in bounds.
    Slice tail = Slice::copy(ByteSpan(damaged).subspan(kBatchHeaderSize));
    BatchHeader h = read_batch_header(damaged.data());
    h.crc = batch_crc(damaged.data(), std::span(&tail, 1));
    write_batch_header(damaged.data(), h);
    read_all(damaged);
  }));
}

}  // namespace
}  // namespace klamm::protocol
