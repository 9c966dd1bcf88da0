#include "engine/broker/meta_file.h"

#include <gtest/gtest.h>

namespace klamm::broker {
namespace {

TEST(MetaFile, is_read_as_it_was_written) {
  Uuid id;
  id.bytes[5] = 7;
  const MetaFile meta{"a cluster", "12", id};
  const auto back = parse_meta_file(encode_meta_file(meta));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(*back, meta);
}

TEST(MetaFile, of_kafka) {
  const auto meta = parse_meta_file("#\n#Sat Nov 21 20:00:00 UTC 2026\ncluster.id=c\nversion=1\nnode.id=1\nx\n\n");
  ASSERT_TRUE(meta.has_value());
  EXPECT_EQ(*meta, (MetaFile{"c", "1", {}}));
}

TEST(MetaFile, that_tells_too_little_is_refused) {
  for (const char* text : {"", "version=1", "version=1\ncluster.id=c", "version=0\ncluster.id=c\nnode.id=1",
                           "version=1\ncluster.id=c\nnode.id=1\ndirectory.id=not an id"})
    EXPECT_FALSE(parse_meta_file(text).has_value()) << text;
}

}  // namespace
}  // namespace klamm::broker
