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
  TraceRing(log).event(e);
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

}  // namespace
}  // namespace klamm::server
