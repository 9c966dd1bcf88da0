// Telemetry as a client of a whole node sees it.
#include "engine/protocol/messages/api_versions.h"
#include "engine/protocol/messages/get_telemetry_subscriptions.h"
#include "engine/protocol/messages/incremental_alter_configs.h"
#include "tests/engine/broker/wired_node.h"

namespace klamm::broker {
namespace {

class TelemetryApi : public testing::Test {
 protected:
  template<class Response, class Request>
  Response ask(ConnId conn, int16_t version, const Request& request) {
    x_->ask(conn, version, request);
    x_->run_for(seconds(1), [&] { return x_->answered(conn); });
    return x_->template take<Response>(conn, version);
  }
  void boot(const WiredNode::Properties& properties = {}) {
    x_ = std::make_unique<WiredNode>(properties);
    x_->boot();
  }
  bool advertised(ConnId conn) {
    protocol::ApiVersionsRequest q;
    q.client_software_name = "lib", q.client_software_version = "1.0";
    bool found = false;
    for (const auto& api : ask<protocol::ApiVersionsResponse>(conn, 3, q).api_keys)
      found = found || api.api_key == protocol::GetTelemetrySubscriptionsRequest::kApiKey;
    return found;
  }
  std::unique_ptr<WiredNode> x_;
};

TEST_F(TelemetryApi, is_served_though_it_is_not_advertised) {
  boot();
  const ConnId conn = x_->connect();
  EXPECT_FALSE(advertised(conn));
  const auto m =
      ask<protocol::GetTelemetrySubscriptionsResponse>(conn, 0, protocol::GetTelemetrySubscriptionsRequest());
  EXPECT_EQ(m.error_code, 0);
  EXPECT_EQ(m.telemetry_max_bytes, 1'048'576);
}

TEST_F(TelemetryApi, is_advertised_if_the_operator_wants_it) {
  boot({{"klamm.telemetry.advertise", "true"}});
  EXPECT_TRUE(advertised(x_->connect()));
}

TEST_F(TelemetryApi, a_subscription_is_for_whom_it_matches_from_its_commit_on) {
  boot();
  const ConnId conn = x_->connect();
  advertised(conn);
  protocol::IncrementalAlterConfigsRequest q;
  auto& r = q.resources.add(x_->arena());
  r.resource_type = 16, r.resource_name = "s";
  const auto set = [&](Str name, Str value) {
    auto& c = r.configs.add(x_->arena());
    c.name = name, c.value = value;
  };
  set("metrics", "a.");
  set("match", "client_software_name=lib,client_source_address=127.*,client_source_port=5000,client_id=c");
  EXPECT_EQ(ask<protocol::IncrementalAlterConfigsResponse>(conn, 1, q).responses[0].error_code, 0);
  x_->run_for(milliseconds(100));
  const protocol::GetTelemetrySubscriptionsRequest get;
  EXPECT_EQ(ask<protocol::GetTelemetrySubscriptionsResponse>(conn, 0, get).requested_metrics.size(), 1u);
  const ConnId silent = x_->connect();  // it never said what it is made of
  EXPECT_EQ(ask<protocol::GetTelemetrySubscriptionsResponse>(silent, 0, get).requested_metrics.size(), 0u);
}

}  // namespace
}  // namespace klamm::broker
