// A broker's standing with the controller (KIP-631, KIP-841): registration, heartbeats, and leaving in good order.
//
//   unregistered ──registered──> fenced ──heartbeat says so──> running ──stop──> leaving ──should shut down──> gone
//        ^                          |                             |
//        └──── not registered / stale broker epoch / lost ────────┘
//
// Heartbeats repeat at once until the broker is unfenced, then every broker.heartbeat.interval.ms. A call that fails is
// repeated after a short wait, so that a new controller is found quickly.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/base/ctx.h"
#include "engine/base/error_code.h"
#include "engine/base/ids.h"
#include "engine/base/units.h"
#include "engine/base/writer.h"

namespace klamm::broker {

enum class Standing : uint8_t { unregistered, fenced, running, leaving, gone };

struct LifecycleConfig {
  NodeId node;
  std::string cluster_id;
  std::string rack;  // empty: none
  Uuid incarnation;
  std::vector<Uuid> log_dirs;
  struct Endpoint {
    std::string name, host;
    uint16_t port = 0;
    int16_t security_protocol = 0;
    template<class V>
    void fields(V& v) const {
      v("name", name), v("host", host), v("port", port), v("security_protocol", security_protocol);
    }
  };
  std::vector<Endpoint> endpoints;
  struct Feature {
    std::string name;
    int16_t low = 0, high = 0;
    template<class V>
    void fields(V& v) const {
      v("name", name), v("low", low), v("high", high);
    }
  };
  std::vector<Feature> features;
  Duration heartbeat_interval = seconds(2);
  BrokerEpoch previous_epoch = -1;  // from the clean-shutdown file; -1: none was found
  template<class V>
  void fields(V& v) const {
    v("node", node), v("cluster_id", cluster_id), v("rack", rack), v("incarnation", incarnation),
        v("log_dirs", log_dirs);
    v("endpoints", endpoints), v("features", features), v("heartbeat_interval", heartbeat_interval),
        v("previous_epoch", previous_epoch);
  }
};

// A request for the active controller.
struct ToController {
  int16_t api = 0;
  int16_t version = 0;
  std::vector<Slice> body;
};

class Lifecycle final {
 public:
  Lifecycle() = default;
  explicit Lifecycle(LifecycleConfig config) : config_(std::move(config)) {}

  // At most one request is under way; asks for the next when it is due. `metadata_offset`: the last record applied.
  bool poll(Ctx& ctx, Offset metadata_offset, ToController* out);
  // What came of it; `ok` false: no answer came.
  void on_registered(Ctx& ctx, bool ok, ErrorCode error, BrokerEpoch epoch);
  struct Beat {
    ErrorCode error = ErrorCode::none;
    bool fenced = true;
    bool should_shut_down = false;
  };
  void on_heartbeat(Ctx& ctx, bool ok, Beat beat);
  // There may be a new controller: ask it without waiting.
  void controller_changed(Instant now) {
    if (!in_flight_) next_ = now;
  }
  // The metadata has moved: a fenced broker tells so at once.
  void metadata_moved(Instant now) {
    if (standing_ == Standing::fenced && !in_flight_) next_ = now;
  }
  // A peer shuts down and may go once everyone knows: tell at once what we know.
  void beat_now(Instant now) {
    if (standing_ != Standing::running) return;
    hurry_ = in_flight_;
    if (!in_flight_) next_ = now;
  }
  // Directories that take no new partitions (KIP-1066): heartbeats tell them from now on, the next at once.
  void set_cordoned(Instant now, std::vector<Uuid> log_dirs);
  // Leaders move away first; without a controller to ask it ends after `patience`.
  void stop(Instant now, Duration patience);

  Standing standing() const { return standing_; }
  BrokerEpoch epoch() const { return epoch_; }
  bool ever_unfenced() const { return ever_unfenced_; }
  Instant next_deadline() const { return in_flight_ ? give_up_ : earlier(next_, give_up_); }
  void on_time(Instant now);

  template<class V>
  void fields(V& v) const {
    v("config", config_), v("standing", standing_), v("epoch", epoch_), v("in_flight", in_flight_), v("next", next_),
        v("give_up", give_up_);
    v("retry", retry_), v("ever_unfenced", ever_unfenced_), v("hurry", hurry_), v("cordoned", cordoned_);
  }

 private:
  static constexpr Duration kRetryFirst = milliseconds(2);
  static constexpr Duration kRetryMost = milliseconds(200);
  void failed(Instant now);
  ToController registration(Ctx& ctx) const;
  ToController heartbeat(Ctx& ctx, Offset metadata_offset) const;

  LifecycleConfig config_;
  Standing standing_ = Standing::unregistered;
  BrokerEpoch epoch_ = -1;
  bool in_flight_ = false;
  bool ever_unfenced_ = false;
  bool hurry_ = false;  // the next heartbeat follows the one under way at once
  Instant next_{0};
  Instant give_up_ = kNever;
  Duration retry_ = kRetryFirst;
  std::optional<std::vector<Uuid>> cordoned_;  // nothing: the controller is not to hear of them
};

}  // namespace klamm::broker
