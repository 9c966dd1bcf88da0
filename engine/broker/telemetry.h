// What clients are asked to tell about themselves (KIP-714), and that they told it: what they push is counted and
// dropped.
//
//   unknown ──asks or pushes──> instance ──asks──> asked ──pushes──> pushed ──pushes──> ...  ──last push──> terminating
//                                  └── its connection closes, it is silent for kIdleIntervals, evicted ──> unknown
//
// Owned by the node. An instance is one client, by the id that it was given; what it may do next is in rules.h. The
// subscriptions are the client metrics configs of the image; when they change, every instance begins anew with its
// next request, as in Kafka.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/ctx.h"
#include "engine/broker/rules.h"
#include "engine/metadata/client_match.h"
#include "engine/metadata/image.h"
#include "engine/protocol/messages/get_telemetry_subscriptions.h"
#include "engine/protocol/messages/push_telemetry.h"

namespace klamm::broker {

class Telemetry final {
 public:
  static constexpr size_t kInstancesMost = 16'384;     // the one that was silent the longest leaves for a new one
  static constexpr size_t kSubscriptionsMost = 1'000;  // by name; the rest are for nobody
  static constexpr size_t kFactMost = 255;             // bytes of what a client says of itself; longer matches nothing
  static constexpr int64_t kStepsMost = 1'000'000;     // of all patterns for one client; then the rest match nothing
  static constexpr Duration kIdleLeast = seconds(60);  // an instance is forgotten after this
  static constexpr int64_t kIdleIntervals = 3;         // or so many of its intervals, if that is longer
  static constexpr Duration kIntervalDefault = seconds(300);

  explicit Telemetry(int32_t bytes_max = 1 << 20) : bytes_max_(bytes_max) {}

  // Who asks, on which connection.
  struct Asker {
    ConnId conn;
    Str client_id;
    const std::string* address = nullptr;
    uint16_t port = 0;
  };

  // The client metrics configs are new or have changed.
  void subscribe(const metadata::Image& image);
  // ApiVersions said what the client is made of; empty texts: it did not.
  void note_software(ConnId conn, Str name, Str version);
  void closed(ConnId conn);

  // The answer's texts live as long as the subscriptions.
  protocol::GetTelemetrySubscriptionsResponse asked(Ctx& ctx, const Asker& asker, const Uuid& id);
  ErrorCode pushed(Ctx& ctx, const Asker& asker, const protocol::PushTelemetryRequest& push);

  void on_time(Instant now);
  Instant next_deadline() const { return by_expiry_.empty() ? kNever : by_expiry_.begin()->first; }

  size_t instances() const { return instances_.size(); }
  uint64_t pushes() const { return pushes_; }
  uint64_t pushed_bytes() const { return pushed_bytes_; }

  template<class V>
  void fields(V& v) const {
    v("bytes_max", bytes_max_), v("changes", changes_), v("clients", clients_), v("instances", instances_),
        v("uses", uses_), v("drawn", drawn_), v("pushes", pushes_), v("pushed_bytes", pushed_bytes_);
  }

 private:
  struct Subscription {
    Duration interval;
    std::vector<std::string> metrics;  // prefixes of names; "*": all
    metadata::ClientMatch match;
  };
  struct Selected {
    Duration interval = kIntervalDefault;
    std::set<std::string_view> metrics;
  };
  struct Client {  // of a connection
    std::optional<std::string> software_name = "unknown", software_version = "unknown";
    std::optional<Uuid> instance;  // that goes with the connection
    template<class V>
    void fields(V& v) const {
      v("software_name", software_name), v("software_version", software_version), v("instance", instance);
    }
  };
  struct Instance {
    metadata::ClientFacts facts;  // of when it was first seen
    TelemetryClient client;
    int32_t subscription = 0;
    uint64_t changes = 0;  // of the subscriptions, when it was made
    ConnId conn;           // of its last request
    Instant expires;
    uint64_t used = 0;
    template<class V>
    void fields(V& v) const {
      v("facts", facts), v("client", client), v("subscription", subscription), v("changes", changes), v("conn", conn),
          v("expires", expires), v("used", used);
    }
  };
  using Instances = std::map<Uuid, Instance>;

  Instance& instance(Ctx& ctx, const Asker& asker, const Uuid& id);
  metadata::ClientFacts facts(const Asker& asker, const Uuid& id) const;
  Selected selected(const metadata::ClientFacts& facts) const;
  void erase(Instances::iterator it);

  int32_t bytes_max_;
  std::vector<Subscription> subscriptions_;  // derived from the image
  uint64_t changes_ = 0;
  std::map<ConnId, Client> clients_;
  Instances instances_;
  // Derived from the instances:
  std::set<std::pair<Instant, Uuid>> by_expiry_;
  std::map<uint64_t, Uuid> by_use_;
  uint64_t uses_ = 0;
  uint64_t drawn_ = 0;  // ids so far
  uint64_t pushes_ = 0, pushed_bytes_ = 0;
};

}  // namespace klamm::broker
