#include "engine/metadata/snapshot.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "engine/metadata/records.h"

namespace klamm::metadata {
namespace {

Uuid uid(uint32_t n) {
  Uuid u;
  u.bytes[0] = static_cast<uint8_t>(n + 1);
  u.bytes[15] = 7;
  return u;
}

// A cluster grown by numbers: each makes one record of some kind.
class Cluster {
 public:
  Image image;

  void grow(uint32_t c) {
    const uint32_t kind = c % 9, a = c / 9 % 16, b = c / 144;
    const std::string name = (b % 3 == 0 ? "a.b" : "t") + std::to_string(a);
    switch (kind) {
      case 0:
        if (!image.topic(uid(a)) && !image.topic(name)) put(0, protocol::TopicRecord{.name = name, .topic_id = uid(a)});
        return;
      case 1:
      case 2:
      case 3:
        if (image.topic(uid(a))) put(2, partition(a, b));
        return;
      case 4: {
        protocol::ConfigRecord r;
        r.resource_type = static_cast<int8_t>(b % 2 ? ResourceType::topic : ResourceType::broker);
        r.resource_name = name, r.name = b % 5 ? "retention.ms" : "segment.bytes";
        const std::string value = std::to_string(b);
        r.value = b % 7 == 0 ? kNullStr : Str(value);
        return put(0, r);
      }
      case 5: return put(4, broker(a, b));
      case 6:
        return put(0, protocol::FeatureLevelRecord{.name = b % 2 ? kMetadataVersion : kGroupVersion,
                                                   .feature_level = static_cast<int16_t>(1 + a)});
      case 7: return put(0, protocol::ProducerIdsRecord{.next_producer_id = image.next_producer_id() + a});
      default: {
        protocol::RegisterControllerRecord r;
        r.controller_id = static_cast<int32_t>(a), r.incarnation_id = uid(b % 50);
        auto& e = r.end_points.add(arena_);
        e.name = "CONTROLLER", e.host = "h", e.port = static_cast<uint16_t>(b % 60'000);
        return put(0, r);
      }
    }
  }

 private:
  template<class Record>
  void put(int16_t version, const Record& r) {
    const auto done = image.apply(arena_, image.end(), encode_record(version, r).span());
    KLAMM_ASSERT(done.has_value());
  }
  protocol::PartitionRecord partition(uint32_t a, uint32_t b) {
    protocol::PartitionRecord p;
    p.topic_id = uid(a);
    p.partition_id = static_cast<int32_t>(b % 20);
    for (int n = 0; n < 1 + static_cast<int>(b % 3); ++n) {
      p.replicas.push_back(arena_, n);
      p.directories.push_back(arena_, uid(static_cast<uint32_t>(n)));
    }
    if (b % 4) p.isr.push_back(arena_, 0);
    if (b % 4 == 1 && p.replicas.size() > 1) p.eligible_leader_replicas.push_back(arena_, 1);
    p.leader = b % 4 ? 0 : -1;
    p.leader_epoch = static_cast<int32_t>(b % 1'000), p.partition_epoch = static_cast<int32_t>(b % 2'000);
    p.leader_recovery_state = b % 11 == 0;
    return p;
  }
  protocol::RegisterBrokerRecord broker(uint32_t a, uint32_t b) {
    protocol::RegisterBrokerRecord r;
    r.broker_id = static_cast<int32_t>(a), r.incarnation_id = uid(b % 50), r.broker_epoch = b;
    r.rack = b % 2 ? kNullStr : Str("rack");
    r.fenced = b % 3 == 0, r.in_controlled_shutdown = b % 5 == 0;
    r.log_dirs.push_back(arena_, uid(1));
    auto& f = r.features.add(arena_);
    f.name = kMetadataVersion, f.min_supported_version = 7, f.max_supported_version = 30;
    return r;
  }
  Arena arena_;
};

Slice file_of(const Image& image, LeaderEpoch epoch) {
  Arena arena;
  SnapshotWriter writer(image, {{image.end(), epoch}, 1'000, 2'000});
  Writer all(1024);
  while (!writer.done()) all.raw(writer.next(arena).span());
  return all.finish_contiguous();
}

Result<Image> image_of(const SnapshotId& id, Slice file, size_t most) {
  Arena arena;
  SnapshotReader reader(id, std::move(file));
  while (!reader.done())
    if (const auto read = reader.step(arena, most); !read) return tl::unexpected(read.error());
  return reader.image();
}

RC_GTEST_PROP(MetadataSnapshot, gives_back_the_image, ()) {
  Cluster cluster;
  const auto steps =
      *rc::gen::container<std::vector<uint32_t>>(*rc::gen::inRange(0, 600), rc::gen::inRange<uint32_t>(0, 1 << 20));
  for (const uint32_t c : steps) cluster.grow(c);
  const SnapshotId id{cluster.image.end(), 5};
  const auto back = image_of(id, file_of(cluster.image, 5), *rc::gen::inRange<size_t>(1, 100'000));
  RC_ASSERT(back.has_value());
  RC_ASSERT(*back == cluster.image);
}

RC_GTEST_PROP(MetadataSnapshot, damage_is_found, (const std::vector<uint8_t>& seed)) {
  Cluster cluster;
  for (uint32_t i = 0; i < 40; ++i) cluster.grow(i * 7 + (seed.empty() ? 0 : seed[i % seed.size()]) * 131u);
  const Slice good = file_of(cluster.image, 5);
  std::vector<uint8_t> bytes(good.span().begin(), good.span().end());
  if (*rc::gen::inRange(0, 2) == 0) {
    bytes.resize(*rc::gen::inRange<size_t>(0, bytes.size()));
  } else {
    const size_t at = *rc::gen::inRange<size_t>(0, bytes.size());
    bytes[at] ^= static_cast<uint8_t>(1u << *rc::gen::inRange(0, 8));
  }
  const auto back = image_of({cluster.image.end(), 5}, Slice::copy(bytes), 1'000);
  // What no checksum covers (offsets, the leader epoch) is not looked at.
  if (back) RC_ASSERT(*back == cluster.image);
}

// Wherever the steps end, and whatever it is.
TEST(MetadataSnapshot, nothing_may_follow_its_end) {
  Cluster cluster;
  for (uint32_t i = 0; i < 40; ++i) cluster.grow(i * 7);
  const Slice good = file_of(cluster.image, 5);
  std::vector<uint8_t> twice(good.span().begin(), good.span().end());
  twice.insert(twice.end(), good.span().begin(), good.span().end());
  for (const size_t size : {twice.size(), good.size() + 1})
    for (size_t most = 1; most < good.size() + 100; most += 50)
      EXPECT_FALSE(image_of({cluster.image.end(), 5}, Slice::copy(ByteSpan(twice).first(size)), most).has_value());
}

TEST(MetadataSnapshot, many_partitions_come_in_several_batches) {
  Cluster cluster;
  Arena arena;
  cluster.grow(0);
  for (int32_t i = 0; i < 5'000; ++i) {
    protocol::PartitionRecord p;
    p.topic_id = uid(0);
    p.partition_id = i;
    for (int n : {1, 2, 3})
      p.replicas.push_back(arena, n), p.isr.push_back(arena, n), p.directories.push_back(arena, {});
    p.leader = 1;
    ASSERT_TRUE(cluster.image.apply(arena, cluster.image.end(), encode_record(2, p).span()));
  }
  const Slice file = file_of(cluster.image, 1);
  size_t batches = 0, largest = 0;
  Offset next = 0;
  for (protocol::BatchCursor c(file.span()); c.next(); ++batches) {
    const auto h = protocol::check_batch(c.batch());
    ASSERT_TRUE(h.has_value());
    EXPECT_EQ(h->base_offset, next);
    EXPECT_EQ(h->partition_leader_epoch, 1);
    next = h->last_offset() + 1;
    largest = std::max(largest, c.batch().size());
  }
  EXPECT_GT(batches, 5u);
  EXPECT_LT(largest, kSnapshotBatchBytes + 1'000);
  const auto back = image_of({cluster.image.end(), 1}, file, 10'000);
  ASSERT_TRUE(back.has_value());
  EXPECT_TRUE(*back == cluster.image);
}

TEST(MetadataSnapshot, names) {
  EXPECT_EQ(snapshot_file({1234, 7}), "00000000000000001234-0000000007.checkpoint");
  EXPECT_EQ(parse_snapshot_file("00000000000000001234-0000000007.checkpoint"), (SnapshotId{1234, 7}));
  for (const char* wrong : {"bootstrap.checkpoint", "00000000000000001234-0000000007.checkpoint.part",
                            "0000000000000000123x-0000000007.checkpoint", "99999999999999999999-0000000007.checkpoint",
                            "00000000000000001234-9999999999.checkpoint"})
    EXPECT_FALSE(parse_snapshot_file(wrong).has_value()) << wrong;
}

TEST(MetadataSnapshot, what_is_not_kept_is_told) {
  Cluster cluster;
  Arena arena;
  EXPECT_TRUE(cluster.image.complete());
  ASSERT_TRUE(cluster.image.apply(arena, 0, as_bytes(std::string_view("\x01\x0b\x00z", 4))));  // a credential, damaged
  EXPECT_FALSE(cluster.image.complete());
}

protocol::ClientQuotaRecord quota(Arena& arena, std::vector<std::pair<Str, Str>> entity, bool remove = false) {
  protocol::ClientQuotaRecord r;
  for (const auto& [type, name] : entity) {
    auto& part = r.entity.add(arena);
    part.entity_type = type, part.entity_name = name;
  }
  r.key = "producer_byte_rate", r.value = remove ? 0 : 1024.5, r.remove = remove;
  return r;
}

// The last of each key, byte for byte, until it is removed.
TEST(MetadataSnapshot, records_without_effect_here_are_kept) {
  Arena arena;
  Image image;
  const auto put = [&](const auto& r) {
    ASSERT_TRUE(image.apply(arena, image.end(), encode_record(0, r).span()));
    const SnapshotId id{image.end(), 5};
    const auto back = image_of(id, file_of(image, 5), 100);
    ASSERT_TRUE(back.has_value());
    EXPECT_TRUE(*back == image);
  };
  protocol::AccessControlEntryRecord acl;
  acl.id = uid(1), acl.resource_name = "t", acl.principal = "User:alice", acl.host = "*";
  put(acl);
  acl.id = uid(2);
  put(acl);
  put(quota(arena, {{"user", "alice"}, {"client-id", kNullStr}}));
  put(quota(arena, {{"user", "alice"}, {"client-id", ""}}));
  put(quota(arena, {{"client-id", kNullStr}, {"user", "alice"}}));  // the first, again
  protocol::UserScramCredentialRecord scram;
  scram.name = "alice", scram.mechanism = 1;
  put(scram);
  protocol::DelegationTokenRecord token;
  token.token_id = "x";
  put(token);
  const Uuid second = uid(2);
  EXPECT_EQ(image.unused().size(), 6u);
  EXPECT_EQ(image.unused_kinds(), 0b1111u);
  EXPECT_EQ(image.unused()
                .find(UnusedKey{UnusedKind::access_control, std::string(second.bytes.begin(), second.bytes.end())})
                ->size(),
            encode_record(0, acl).size());

  put(quota(arena, {{"user", "alice"}, {"client-id", kNullStr}}, true));
  put(protocol::RemoveAccessControlEntryRecord{.id = uid(1)});
  put(protocol::RemoveUserScramCredentialRecord{.name = "alice", .mechanism = 2});  // another
  EXPECT_EQ(image.unused().size(), 4u);
  put(protocol::RemoveUserScramCredentialRecord{.name = "alice", .mechanism = 1});
  put(protocol::RemoveDelegationTokenRecord{.token_id = "x"});
  EXPECT_EQ(image.unused_kinds(), 0b101u);
  put(protocol::RemoveAccessControlEntryRecord{.id = uid(2)});
  put(quota(arena, {{"client-id", ""}, {"user", "alice"}}, true));
  EXPECT_TRUE(image.unused().empty());
  EXPECT_TRUE(image.complete());
}

TEST(MetadataSnapshot, too_many_records_without_effect_are_not_kept) {
  Arena arena;
  Image image;
  const std::string large(32'000, 'x');
  protocol::AccessControlEntryRecord acl;
  acl.resource_name = "t", acl.host = "*";
  acl.principal = large;
  const auto put = [&](uint32_t i) {
    acl.id = uid(i % 200);
    acl.id.bytes[1] = static_cast<uint8_t>(i / 200);
    ASSERT_TRUE(image.apply(arena, image.end(), encode_record(0, acl).span()));
  };
  for (uint32_t i = 0; i < 1'500; ++i) put(i % 1'000);  // some again: no more than there are
  EXPECT_TRUE(image.complete());
  EXPECT_EQ(image.unused().size(), 1'000u);
  for (uint32_t i = 1'000; i < 1'100; ++i) put(i);
  EXPECT_FALSE(image.complete());
  EXPECT_LE(image.unused().size() * large.size(), kMaxUnusedBytes);
}

}  // namespace
}  // namespace klamm::metadata
