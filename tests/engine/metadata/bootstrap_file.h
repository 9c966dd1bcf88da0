// The file that `kafka-storage format` leaves, made here.
#pragma once
#include <string>
#include <vector>

#include "engine/metadata/records.h"
#include "engine/metadata/snapshot.h"

namespace klamm::metadata {

// With these levels of features, and what else `with` puts into the image.
inline std::string bootstrap_file(const std::vector<std::pair<std::string, int16_t>>& levels,
                                  const std::vector<Slice>& with = {}) {
  Arena arena;
  Image image;
  const auto put = [&](const Slice& record) {
    KLAMM_ASSERT(image.apply(arena, image.end(), record.span()).has_value());
  };
  for (const auto& [name, level] : levels)
    put(encode_record(0, protocol::FeatureLevelRecord{.name = name, .feature_level = level}));
  for (const Slice& record : with) put(record);
  image.stand_at(0);
  SnapshotWriter writer(image, {});
  std::string out;
  while (!writer.done()) out += writer.next(arena).text();
  return out;
}

}  // namespace klamm::metadata
