#include "engine/metadata/bootstrap.h"

#include <gtest/gtest.h>

#include "engine/metadata/features.h"
#include "tests/engine/metadata/bootstrap_file.h"

namespace klamm::metadata {
namespace {

TEST(Bootstrap, its_records_are_handed_on_as_they_are) {
  Arena arena;
  const Slice scram = encode_record(0, protocol::UserScramCredentialRecord{.name = "alice", .mechanism = 1});
  const auto read =
      read_bootstrap(arena, Slice::copy(bootstrap_file({{kMetadataVersion, 27}, {kElrVersion, 1}}, {scram})));
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->image.feature(kMetadataVersion), 27);
  EXPECT_EQ(read->image.feature(kElrVersion), 1);
  EXPECT_EQ(read->image.unused().size(), 1u);
  Image again;
  for (const Slice& r : read->records) ASSERT_TRUE(again.apply(arena, again.end(), r.span()).has_value());
  EXPECT_EQ(read->records.size(), 3u);
  EXPECT_EQ(again.features(), read->image.features());
  EXPECT_EQ(again.unused(), read->image.unused());
}

TEST(Bootstrap, what_no_formatter_wrote_is_refused) {
  Arena arena;
  const std::string good = bootstrap_file({{kMetadataVersion, 27}});
  ASSERT_TRUE(read_bootstrap(arena, Slice::copy(good)).has_value());
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(read_bootstrap(arena, Slice::copy(good.substr(0, size))).has_value()) << size;
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x11);
    const auto read = read_bootstrap(arena, Slice::copy(bad));
    if (read) EXPECT_EQ(read->image.feature(kMetadataVersion), 27) << at;  // offsets and epochs are under no checksum
  }
  EXPECT_FALSE(read_bootstrap(arena, Slice::copy(bootstrap_file({{kElrVersion, 1}}))).has_value());
  const Slice topic = encode_record(0, protocol::TopicRecord{.name = "t", .topic_id = Uuid{{1}}});
  EXPECT_FALSE(read_bootstrap(arena, Slice::copy(bootstrap_file({{kMetadataVersion, 27}}, {topic}))).has_value());
}

TEST(Bootstrap, levels_beyond_ours_are_named) {
  const auto levels = [](const std::string& name, int16_t level) {
    Pmap<std::string, int16_t> all;
    all.set(name, level), all.set(kGroupVersion, 1);
    return unsupported_levels(all);
  };
  EXPECT_EQ(levels(kMetadataVersion, 30), "");
  EXPECT_EQ(levels(kMetadataVersion, 31), "metadata.version=31");
  EXPECT_EQ(levels(kMetadataVersion, 6), "metadata.version=6");
  EXPECT_EQ(levels("of.tomorrow", 1), "of.tomorrow=1");
}

}  // namespace
}  // namespace klamm::metadata
