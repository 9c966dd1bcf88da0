#include "engine/broker/meta_file.h"

#include <algorithm>

#include "engine/metadata/config_defs.h"

namespace klamm::broker {

Result<MetaFile> parse_meta_file(std::string_view text) {
  MetaFile m;
  std::string version;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t eq = line.find('=');
    if (line.empty() || line[0] == '#' || eq == line.npos) continue;
    const std::string_view key = line.substr(0, eq);
    const std::string value(metadata::trimmed(line.substr(eq + 1)));
    if (key == "version")
      version = value;
    else if (key == "cluster.id")
      m.cluster_id = value;
    else if (key == "node.id")
      m.node_id = value;
    else if (key == "directory.id" && !Uuid::parse(value.data(), value.size(), &m.directory_id))
      return fail(ErrorCode::kafka_storage_error, "its directory.id is not an id");
  }
  if (version == "0") return fail(ErrorCode::kafka_storage_error, "its version is 0, not 1: ZooKeeper's");
  if (version != "1") return fail(ErrorCode::kafka_storage_error, "its version is not 1");
  if (m.cluster_id.empty() || m.node_id.empty())
    return fail(ErrorCode::kafka_storage_error, "cluster.id or node.id is missing");
  return m;
}

std::string encode_meta_file(const MetaFile& m) {
  return "cluster.id=" + m.cluster_id + "\ndirectory.id=" + m.directory_id.text() + "\nnode.id=" + m.node_id +
         "\nversion=1\n";
}

}  // namespace klamm::broker
