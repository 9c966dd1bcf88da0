// What a broker decides by itself, as pure functions: rule, why, KIP.
#pragma once
#include <algorithm>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/crc32c.h"
#include "engine/base/error_code.h"
#include "engine/base/ids.h"
#include "engine/base/units.h"

namespace klamm::broker {

// Rule: an answer that would name a leader waits while that leader is in doubt: a connection to its process has broken
// and none could be opened since, yet the metadata has it alive; no longer than this after the break. Then it tells
// what the metadata says.
// Why: clients ask at once when a leader dies, before the cluster can know of it, and then not again before a backoff
// (librdkafka: up to a second). A dead process is found out and replaced in a few round trips and syncs, an election of
// the metadata quorum included; one that lives takes our dial, and that ends the doubt in a round trip.
// No KIP: nothing is promised about when metadata is answered. See docs/decisions/0014.
inline constexpr Duration kDoubtMost = milliseconds(200);

struct LeaderSeen {
  bool alive_in_metadata = true;
  std::optional<Instant> broke_at;  // the last connection that did, if none has been opened since
};
inline Instant doubt_ends(const LeaderSeen& leader) {
  return leader.alive_in_metadata && leader.broke_at ? *leader.broke_at + kDoubtMost : Instant{};
}

// ---- directories

// A directory as a start finds it.
struct DirectoryFound {
  bool identity = false;  // meta.properties
  bool used = false;      // a former life has left logs, checkpoints or its mark of an orderly end
  bool metadata = false;  // the metadata log
};
enum class DirectoryFault : uint8_t { none, metadata_elsewhere, no_identity };
struct DirectoryVerdict {
  DirectoryFault fault = DirectoryFault::none;
  size_t at = 0;
};

// Rule: a node gives directories an identity when none has one; in its first life, therefore, and the metadata's comes
// last, so that a first life that was cut short begins again. Later one without is refused, unless the operator says
// that it is new (klamm.format.new.directories). The metadata log lies where it is configured, and nowhere else.
// Why: one that is not mounted, or log.dirs in another order, would found a second cluster or hand out offsets anew.
// Apache Kafka formats nothing by itself and refuses the same (KafkaRaftServer.initializeLogDirs, KIP-858).
inline DirectoryVerdict judge_directories(std::span<const DirectoryFound> found, size_t metadata, bool takes_new) {
  bool any = false, others_used = false;
  for (size_t i = 0; i < found.size(); ++i) {
    if (found[i].metadata && i != metadata) return {DirectoryFault::metadata_elsewhere, i};
    any = any || found[i].identity;
    others_used = others_used || (i != metadata && found[i].used);
  }
  if (!any) return {};
  if (!found[metadata].identity) {
    if (others_used) return {DirectoryFault::no_identity, metadata};
    return {};
  }
  for (size_t i = 0; i < found.size() && !takes_new; ++i)
    if (!found[i].identity) return {DirectoryFault::no_identity, i};
  return {};
}

// Rule: a new replica goes to the directory with the fewest partitions, the first of several, of those that are not
// cordoned; if all are, of all.
// Why: a cordoned directory is to be emptied or replaced. A broker that has no other gets nothing from the controller;
// what comes all the same was placed there by hand, or before it was told. KIP-1066.
inline size_t directory_for_new(std::span<const size_t> held, const std::vector<bool>& cordoned) {
  const bool all = std::find(cordoned.begin(), cordoned.end(), false) == cordoned.end();
  size_t best = held.size();
  for (size_t i = 0; i < held.size(); ++i)
    if ((all || !cordoned[i]) && (best == held.size() || held[i] < held[best])) best = i;
  return best;
}

// Rule: of directories of one name in several log.dirs that one is the partition's whose partition.metadata has the
// topic's id; the others are strays. Two of one id, or two without any, end the start.
// Why: a topic may have been deleted and created anew while a directory was away; but of two replicas of one partition
// nobody knows which holds what was acknowledged. Apache Kafka does the same (LogManager.loadLog, KAFKA-16234).
inline std::optional<std::pair<size_t, size_t>> alike_copies(std::span<const Uuid> topics) {
  for (size_t b = 1; b < topics.size(); ++b)
    for (size_t a = 0; a < b; ++a)
      if (topics[a] == topics[b]) return std::pair(a, b);
  return std::nullopt;
}
// The first, if none is: it is found to be a stray where it is opened.
inline size_t own_copy(std::span<const Uuid> topics, const Uuid& topic) {
  const auto own = std::find(topics.begin(), topics.end(), topic);
  return own == topics.end() ? 0 : static_cast<size_t>(own - topics.begin());
}

// ---- telemetry of clients (KIP-714)

// A client instance, as far as it matters for what it may do next.
struct TelemetryClient {
  Duration interval;                       // between its pushes
  std::optional<Instant> asked, pushed;    // when it last did so in time
  ErrorCode last_error = ErrorCode::none;  // of its last push; none again after a question
  bool terminating = false;                // its last push said that it was the last, refused or not
  template<class V>
  void fields(V& v) const {
    v("interval", interval), v("asked", asked), v("pushed", pushed), v("last_error", last_error),
        v("terminating", terminating);
  }
};

// Rule: a client asks for its subscription once an interval, and at once after a push that named a subscription or a
// compression which is not known.
// Why: that is how it learns what changed. KIP-714.
inline bool telemetry_question_due(const TelemetryClient& c, Instant now) {
  const std::optional<Instant> last = std::max(c.asked, c.pushed);
  return !last || now - *last >= c.interval;
}
inline bool telemetry_question_admitted(const TelemetryClient& c, Instant now) {
  return telemetry_question_due(c, now) || c.last_error == ErrorCode::unknown_subscription_id ||
         c.last_error == ErrorCode::unsupported_compression_type;
}

// Rule: a client pushes once an interval, and at any time the first time after a question that was in time.
// Why: its first push comes within half and one and a half intervals, so that clients spread. KIP-714.
inline bool telemetry_push_due(const TelemetryClient& c, Instant now) {
  return c.asked > c.pushed || !c.pushed || now - *c.pushed >= c.interval;
}

// Rule: in this order: nothing comes after the last push; only the last may come early; it must name the subscription
// as it is now, a codec, and no more bytes than allowed.
// Why: a client is told first what it can mend by waiting, then what by asking. KIP-714.
struct TelemetryPush {
  bool due = false;
  bool terminating = false;
  bool subscription_known = false;
  bool compression_known = false;
  bool fits = false;
};
inline ErrorCode telemetry_push_refusal(const TelemetryClient& c, const TelemetryPush& push) {
  if (c.terminating) return ErrorCode::invalid_request;
  if (!push.due && !push.terminating) return ErrorCode::throttling_quota_exceeded;
  if (!push.subscription_known) return ErrorCode::unknown_subscription_id;
  if (!push.compression_known) return ErrorCode::unsupported_compression_type;
  return push.fits ? ErrorCode::none : ErrorCode::telemetry_too_large;
}

// Rule: a subscription's id is the checksum of what is asked for, mixed with whom it is asked of.
// Why: every broker tells a client the same, and another when something changed. KIP-714.
inline int32_t telemetry_subscription_id(const std::set<std::string_view>& metrics, Duration interval,
                                         const Uuid& client) {
  std::string text = "[";
  for (std::string_view m : metrics) text.append(text.size() == 1 ? "" : ", ").append(m);
  text.append("]").append(std::to_string(interval.ms()));
  uint32_t id = crc32c(as_bytes(text));
  for (size_t i = 0; i < client.bytes.size(); ++i) id ^= uint32_t{client.bytes[i]} << (24 - 8 * (i % 4));
  return static_cast<int32_t>(id);
}

}  // namespace klamm::broker
