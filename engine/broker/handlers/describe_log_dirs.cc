// DescribeLogDirs 1-5 (KIP-113, KIP-827, KIP-1066): which partitions a directory holds, and how large they are; from 4
// on, what its disk has in all and free, as the driver told last, or -1 if it never did; from 5 on, whether it takes
// new partitions.
#include "engine/protocol/messages/describe_log_dirs.h"

#include <map>
#include <set>

#include "engine/broker/handlers.h"

namespace klamm::broker {

void handle_describe_log_dirs(Turn& t, Request& r) {
  protocol::DescribeLogDirsRequest q;
  if (!decode_body(r, t.arena(), q)) return t.close(r.ticket);
  std::set<std::pair<Str, int32_t>> asked;
  if (!q.topics.is_null())
    for (const auto& topic : q.topics)
      for (int32_t partition : topic.partitions) asked.insert({topic.topic, partition});
  std::map<uint32_t, std::map<std::pair<Str, int32_t>, const replication::Partition*>> found;  // by directory
  for (const auto& [id, replica] : t.p.replicas.all()) {
    const std::pair<Str, int32_t> key{(*replica).topic_name(), id.partition};
    if (q.topics.is_null() || asked.count(key)) found[(*replica).log().options().dir.value][key] = &*replica;
  }
  protocol::DescribeLogDirsResponse m;
  for (uint32_t dir = 0; dir < t.p.config.log_dirs.size(); ++dir) {
    auto& out = m.results.add(t.arena());
    out.log_dir = t.p.config.log_dirs[dir];
    out.is_cordoned = t.p.config.cordoned(t.p.config.log_dirs[dir]);
    if (const auto disk = t.p.disks.find(DirId{dir}); disk != t.p.disks.end())
      out.total_bytes = disk->second.total, out.usable_bytes = disk->second.free;
    for (const auto& [key, partition] : found[dir]) {
      if (out.topics.empty() || out.topics.back().name != key.first) out.topics.add(t.arena()).name = key.first;
      auto& y = out.topics.back().partitions.add(t.arena());
      y.partition_index = key.second;
      y.partition_size = partition->log().size_bytes();
      y.offset_lag = std::max<int64_t>(partition->high_watermark() - partition->log().ends().submitted, 0);
    }
  }
  t.answer(r.ticket, m, 1024);
}

}  // namespace klamm::broker
