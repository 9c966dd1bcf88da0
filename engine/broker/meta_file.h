// meta.properties: whose a log directory is.
#pragma once
#include <string>
#include <string_view>

#include "engine/base/ids.h"
#include "engine/base/result.h"

namespace klamm::broker {

struct MetaFile {
  std::string cluster_id;
  std::string node_id;
  Uuid directory_id;  // zero: the file does not tell
  friend bool operator==(const MetaFile&, const MetaFile&) = default;
};
std::string encode_meta_file(const MetaFile& meta);
// Of one's own, of Kafka (version 1), or of anybody.
Result<MetaFile> parse_meta_file(std::string_view text);

}  // namespace klamm::broker
