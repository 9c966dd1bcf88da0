#include "server/trace_ring.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace klamm::server {
namespace {

// What is logged of one event.
std::string logged(const TraceEvent& e) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  const LogLines log({.descriptor = ends[1], .name = "Broker id=1"});
  TraceRing(log, {"/data", "/more"}).event(e);
  ::close(ends[1]);
  std::string all(4096, 0);
  const ssize_t n = ::read(ends[0], all.data(), all.size());
  ::close(ends[0]);
  all.resize(n < 0 ? 0 : static_cast<size_t>(n));
  return all;
}

TEST(TraceRing, warns_of_metadata_without_effect) {
  const std::string kinds = logged({TraceKind::metadata_unused, 0, 0b101, 7, 0, 0});
  EXPECT_NE(kinds.find("] WARN [Broker id=1] The metadata has access control entries (ACLs), client quotas: they are "
                       "kept but have NO EFFECT"),
            std::string::npos)
      << kinds;
  EXPECT_EQ(kinds.find("no snapshots"), std::string::npos) << kinds;
  const std::string many = logged({TraceKind::metadata_unused, 0, 0, 7, 1, 0});
  EXPECT_NE(many.find("] WARN [Broker id=1] The metadata has too many records without effect"), std::string::npos)
      << many;
}

bool has(const std::string& all, const std::string& part) { return all.find(part) != std::string::npos; }

TEST(TraceRing, warns_of_what_a_start_did_not_find_whole) {
  const std::string file = logged({TraceKind::checkpoint_damaged, 0, 1, 2, 0, 0});
  EXPECT_TRUE(has(file,
                  "] WARN [Broker id=1] Error while reading the checkpoint file "
                  "/more/log-start-offset-checkpoint, which is damaged: "))
      << file;
  Uuid topic;
  topic.bytes[0] = 0xff, topic.bytes[15] = 3;
  const std::string tail = logged({TraceKind::log_tail_dropped, 0, 4, topic_key(topic), topic_key_rest(topic), 123});
  EXPECT_TRUE(has(tail,
                  "] WARN [Broker id=1] Found invalid messages at the end of the log of partition 4 of the topic "
                  "with id " +
                      topic.text() + ": recovery has discarded 123 bytes"))
      << tail;
  const std::string metadata = logged({TraceKind::log_tail_dropped, 0, 0, 0, 1, 5});
  EXPECT_TRUE(has(metadata, "of partition 0 of __cluster_metadata: recovery has discarded 5 bytes")) << metadata;
  const std::string more = logged({TraceKind::log_tails_dropped, 0, 7, 0, 99, 0});
  EXPECT_TRUE(has(more,
                  "] WARN [Broker id=1] Found invalid messages at the end of 7 more logs: recovery has discarded "
                  "99 bytes of them"))
      << more;
}

TEST(TraceRing, names_directories) {
  EXPECT_TRUE(has(logged({TraceKind::disk_full, 0, 1, 1, 0, 0}), "Log directory /more is nearly full"));
  EXPECT_TRUE(has(logged({TraceKind::disk_full, 0, 2, 0, 0, 0}), "Log directory 2 has room again"));
}

}  // namespace
}  // namespace klamm::server
