// The id of the cluster, where neither the properties nor a directory tell it.
#include <algorithm>

#include "engine/broker/turn.h"
#include "engine/protocol/messages/describe_cluster.h"

namespace klamm::broker {
namespace {

constexpr int16_t kVersion = 1;  // the first that controllers answer
constexpr int8_t kControllers = 2;
constexpr size_t kIdMost = 255;
constexpr Duration kAskAgain = milliseconds(100);

// Nodes of one static quorum that were given no id must come to the same one by themselves.
std::string derived_cluster_id(const metadata::BrokerConfig& config) {
  Uuid u;
  std::string all;
  for (const auto& v : config.voters)
    all += std::to_string(v.id.value) + "@" + v.host + ":" + std::to_string(v.port) + ",";
  for (size_t half = 0; half < 2; ++half) {
    const std::string text = all + (half ? "high" : "low");
    uint64_t h = 0x243f6a8885a308d3;
    for (char c : text) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3, h ^= h >> 29;
    for (size_t i = 0; i < 8; ++i) u.bytes[8 * half + i] = static_cast<uint8_t>(h >> (8 * i));
  }
  u.bytes[0] = static_cast<uint8_t>(u.bytes[0] & 0x7f);
  return u.text();
}

// It goes into a file of lines.
bool sound(std::string_view id) {
  return !id.empty() && id.size() <= kIdMost &&
         std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c < 127; });
}

}  // namespace

// A voter that is alone draws one, which nobody can know: others ask it.
void Turn::find_cluster_id() {
  const std::vector<metadata::Voter>& voters = p.config.voters;
  Startup& s = p.startup;
  if (voters.size() > 1) {
    s.cluster_id = derived_cluster_id(p.config);
  } else if (voters[0].id == NodeId{p.config.node_id}) {
    s.cluster_id = ctx().chance.uuid(Stream::cluster_id, 0, 0).text();
  } else {
    s.phase = Phase::asking;
    std::vector<net::Answer> none;
    p.calls.set_address(net(), controller_peer(voters[0].id), {voters[0].host, voters[0].port}, none);
    return ask_cluster_id();
  }
  give_identities();
}

void Turn::ask_cluster_id() {
  protocol::DescribeClusterRequest m;
  m.endpoint_type = kControllers;
  Writer w;
  encode(w, kVersion, m);
  KLAMM_ASSERT(w.ok());
  const NodeId voter = p.config.voters[0].id;
  p.startup.ask_at = kNever;
  call(controller_peer(voter), kQuick, voter, m.kApiKey, kVersion, w.finish(), Owner{kStartup, 0, 0},
       p.config.quorum_request_timeout);
}

void Turn::cluster_id_answered(const net::Answer& a) {
  Startup& s = p.startup;
  if (s.phase != Phase::asking) return;
  protocol::DescribeClusterResponse m;
  Reader reader(a.body.span());
  const bool good = a.error == IoError::none && decode(reader, arena(), kVersion, m) && m.error_code == 0;
  if (!good || !sound(m.cluster_id)) {
    s.ask_at = ctx().now + kAskAgain;
    return;
  }
  s.cluster_id = std::string(m.cluster_id);
  give_identities();
}

}  // namespace klamm::broker
