#include "engine/broker/telemetry.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "engine/base/digest.h"
#include "engine/metadata/records.h"
#include "engine/protocol/compression.h"

namespace klamm::broker {
namespace {

using E = ErrorCode;
using protocol::Compression;

class FixedChance final : public Chance {
 public:
  uint64_t below(ChoiceKey, uint64_t) override { return 0; }
  uint64_t name(ChoiceKey key) override { return mix(key.ordinal, static_cast<uint64_t>(key.stream)); }
};

constexpr ConnId kConn{1, 1}, kOther{2, 1};

struct TelemetryLab {
  Ctx ctx() { return Ctx{now, Wall{0}, chance, flaws, trace, scratch}; }
  void configure(const std::string& subscription, const std::string& name, const std::string& value) {
    protocol::ConfigRecord record;
    record.resource_type = static_cast<int8_t>(metadata::ResourceType::client_metrics);
    record.resource_name = subscription, record.name = name, record.value = value;
    ASSERT_TRUE(image.apply(scratch.arena, image.end(), metadata::encode_record(0, record).span()));
    telemetry.subscribe(image);
  }
  protocol::GetTelemetrySubscriptionsResponse ask(const Uuid& id = {}, ConnId conn = kConn, Str client = "client") {
    Ctx c = ctx();
    return telemetry.asked(c, {conn, client, &address, 4711}, id);
  }
  E ask_error(const Uuid& id) { return static_cast<E>(ask(id).error_code); }
  struct Push {
    int32_t subscription = 0;
    bool terminating = false;
    int8_t compression = 0;
    std::string metrics;
    ConnId conn = kConn;
  };
  E push(const Uuid& id, const Push& p) {
    protocol::PushTelemetryRequest q;
    q.client_instance_id = id, q.subscription_id = p.subscription, q.terminating = p.terminating;
    q.compression_type = p.compression;
    q.metrics = {reinterpret_cast<const uint8_t*>(p.metrics.data()), static_cast<uint32_t>(p.metrics.size())};
    Ctx c = ctx();
    return telemetry.pushed(c, {p.conn, "client", &address, 4711}, q);
  }
  void wait(Duration d) {
    now = now + d;
    telemetry.on_time(now);
  }
  Instant now{};
  FixedChance chance;
  Flaws flaws;
  NoTrace trace;
  Scratch scratch;
  std::string address = "10.0.0.7";
  metadata::Image image;
  Telemetry telemetry{1000};
};

std::vector<std::string> metrics(const protocol::GetTelemetrySubscriptionsResponse& m) {
  return {m.requested_metrics.begin(), m.requested_metrics.end()};
}

TEST(Telemetry, without_subscriptions_a_client_gets_an_id_and_nothing_to_tell) {
  TelemetryLab lab;
  const auto m = lab.ask();
  EXPECT_FALSE(m.client_instance_id.zero());
  EXPECT_EQ(m.push_interval_ms, 300'000);
  EXPECT_EQ(m.telemetry_max_bytes, 1000);
  EXPECT_EQ(metrics(m).size(), 0u);
  EXPECT_NE(lab.ask().client_instance_id, m.client_instance_id);
  EXPECT_EQ(lab.ask_error(m.client_instance_id), E::throttling_quota_exceeded);
  lab.wait(seconds(300));
  EXPECT_EQ(lab.ask_error(m.client_instance_id), E::none);
}

// CRC-32C of "[]300000" and of "[a, b]1000", by another program.
TEST(Telemetry, subscription_ids_are_kafkas) {
  Uuid id;
  EXPECT_EQ(static_cast<uint32_t>(telemetry_subscription_id({}, seconds(300), id)), 0xd4c75bdeu);
  EXPECT_EQ(static_cast<uint32_t>(telemetry_subscription_id({"b", "a"}, seconds(1), id)), 0x264ec4eau);
  id.bytes = {1, 2, 3, 4, 16, 32, 48, 64, 0, 0, 0, 1, 128, 0, 0, 0};
  EXPECT_EQ(static_cast<uint32_t>(telemetry_subscription_id({}, seconds(300), id)), 0xd4c75bdeu ^ 0x91223345u);
}

TEST(Telemetry, subscriptions_that_match_are_united_at_the_least_interval) {
  TelemetryLab lab;
  lab.configure("one", "metrics", "a.,b.");
  lab.configure("one", "match", "client_id=cl.*,client_source_address=10[.]0[.]0[.]\\d+,client_source_port=4711");
  lab.configure("one", "interval.ms", "2000");
  lab.configure("two", "metrics", "b.,c.");
  lab.configure("two", "match", "client_software_name=lib,client_software_version=1.0");
  lab.configure("two", "interval.ms", "1000");
  EXPECT_EQ(metrics(lab.ask()), (std::vector<std::string>{"a.", "b."}));
  lab.telemetry.note_software(kConn, "lib", "1.0");
  const auto both = lab.ask();
  EXPECT_EQ(metrics(both), (std::vector<std::string>{"a.", "b.", "c."}));
  EXPECT_EQ(both.push_interval_ms, 1000);
  EXPECT_EQ(metrics(lab.ask({}, kOther, kNullStr)).size(), 0u);
  lab.configure("all", "metrics", "*,a.");
  EXPECT_EQ(metrics(lab.ask()), std::vector<std::string>{"*"});
  const auto again = lab.ask(both.client_instance_id);  // at once, for what is asked has changed
  EXPECT_EQ(again.error_code, 0);
  EXPECT_NE(again.subscription_id, both.subscription_id);
}

TEST(Telemetry, a_pattern_of_another_kafka_is_for_nobody) {
  TelemetryLab lab;
  lab.configure("one", "metrics", "a.");
  lab.configure("one", "match", "client_id=(?!x).*");
  EXPECT_EQ(metrics(lab.ask()).size(), 0u);
}

TEST(Telemetry, pushes_come_in_time_and_name_what_they_answer) {
  TelemetryLab lab;
  const auto m = lab.ask();
  const Uuid id = m.client_instance_id;
  const int32_t sub = m.subscription_id;
  EXPECT_EQ(lab.push(id, {.subscription = sub, .metrics = "abc"}), E::none);
  EXPECT_EQ(lab.push(id, {.subscription = sub}), E::throttling_quota_exceeded);
  lab.wait(seconds(300));
  EXPECT_EQ(lab.push(id, {.subscription = sub + 1}), E::unknown_subscription_id);
  EXPECT_EQ(lab.ask_error(id), E::none) << "to learn the new one";
  EXPECT_EQ(lab.push(id, {.subscription = sub}), E::throttling_quota_exceeded);
  EXPECT_EQ(lab.ask_error(id), E::throttling_quota_exceeded);
  lab.wait(seconds(300));
  EXPECT_EQ(lab.push(id, {.subscription = sub, .metrics = std::string(1001, 'x')}), E::telemetry_too_large);
  EXPECT_EQ(lab.telemetry.pushes(), 1u);
  EXPECT_EQ(lab.telemetry.pushed_bytes(), 3u);
}

TEST(Telemetry, the_last_push_may_come_early_and_nothing_after_it) {
  TelemetryLab lab;
  const auto m = lab.ask();
  const TelemetryLab::Push last{.subscription = m.subscription_id, .terminating = true},
      other{.subscription = m.subscription_id};
  EXPECT_EQ(lab.push(m.client_instance_id, other), E::none);
  EXPECT_EQ(lab.push(m.client_instance_id, last), E::none);
  EXPECT_EQ(lab.push(m.client_instance_id, last), E::invalid_request);
  EXPECT_EQ(lab.push(m.client_instance_id, other), E::invalid_request);
  EXPECT_EQ(lab.push(m.client_instance_id, other), E::throttling_quota_exceeded) << "as Kafka, which forgets it then";
  EXPECT_EQ(lab.push(Uuid{}, last), E::invalid_request);
}

TEST(Telemetry, what_is_pushed_must_decompress_within_the_limit) {
  const auto pushed = [](int8_t codec, const std::string& metrics) {
    TelemetryLab lab;
    const auto m = lab.ask();
    return lab.push(m.client_instance_id, {m.subscription_id, false, codec, metrics, kConn});
  };
  for (int8_t codec = 1; codec <= 4; ++codec) {
    const auto packed = [&](const std::string& plain) {
      Writer w;
      protocol::compress(static_cast<Compression>(codec), as_bytes(plain), w);
      return std::string(as_text(w.finish_contiguous().span()));
    };
    EXPECT_EQ(pushed(codec, packed(std::string(1000, 'x'))), E::none);
    EXPECT_EQ(pushed(codec, packed(std::string(1001, 'x'))), E::invalid_record);
    EXPECT_EQ(pushed(codec, "x"), E::invalid_record);
    EXPECT_EQ(pushed(codec, ""), E::none);
  }
  EXPECT_EQ(pushed(5, ""), E::unsupported_compression_type);
  EXPECT_EQ(pushed(-1, ""), E::unsupported_compression_type);
}

TEST(Telemetry, an_instance_goes_with_its_connection_or_when_it_is_silent) {
  TelemetryLab lab;
  const auto m = lab.ask();
  EXPECT_EQ(lab.push(m.client_instance_id, {.subscription = m.subscription_id, .conn = kOther}), E::none);
  lab.telemetry.closed(kOther);
  EXPECT_EQ(lab.telemetry.instances(), 1u);
  lab.telemetry.closed(kConn);
  EXPECT_EQ(lab.telemetry.instances(), 0u);
  lab.ask();
  EXPECT_EQ(lab.telemetry.next_deadline(), lab.now + seconds(900));
  lab.wait(seconds(900));
  EXPECT_EQ(lab.telemetry.instances(), 0u);
  EXPECT_EQ(lab.telemetry.next_deadline(), kNever);
}

TEST(Telemetry, the_instance_that_was_silent_the_longest_makes_room) {
  TelemetryLab lab;
  const Uuid first = lab.ask().client_instance_id, second = lab.ask().client_instance_id;
  for (size_t i = 2; i < Telemetry::kInstancesMost; ++i) lab.ask();
  EXPECT_EQ(lab.ask_error(first), E::throttling_quota_exceeded);  // and now it is not the oldest
  lab.ask();
  EXPECT_EQ(lab.telemetry.instances(), Telemetry::kInstancesMost);
  EXPECT_EQ(lab.ask_error(first), E::throttling_quota_exceeded);
  EXPECT_EQ(lab.ask_error(second), E::none) << "it is unknown again";
}

TEST(Telemetry, what_a_client_says_of_itself_at_too_great_length_matches_nothing) {
  TelemetryLab lab;
  lab.configure("one", "metrics", "a.");
  lab.configure("one", "match", "client_id=.*");
  EXPECT_EQ(metrics(lab.ask({}, kConn, std::string(Telemetry::kFactMost, 'x'))).size(), 1u);
  EXPECT_EQ(metrics(lab.ask({}, kConn, std::string(Telemetry::kFactMost + 1, 'x'))).size(), 0u);
  lab.configure("one", "match", "client_software_name=.*");
  EXPECT_EQ(metrics(lab.ask({}, kOther)).size(), 1u);
  lab.telemetry.note_software(kOther, std::string(Telemetry::kFactMost + 1, 'x'), "1");
  EXPECT_EQ(metrics(lab.ask({}, kOther)).size(), 0u);
}

// Whatever clients, configs and connections do: a client that is let through keeps its interval, unless what is asked
// of it changed, or it was forgotten.
RC_GTEST_PROP(Telemetry, nobody_is_let_through_early, ()) {
  TelemetryLab lab;
  struct Known {
    Duration interval;
    std::optional<Instant> asked, pushed;
    bool forgiven = false;  // its last push named what is not known
    bool current = true;    // used since what is asked changed
  };
  std::map<Uuid, Known> known;
  std::optional<Uuid> tied;  // goes with the connection
  Duration configured = seconds(300);
  const auto use = [&](const Uuid& id) -> Known& {
    const auto [it, fresh] = known.try_emplace(id);
    if (fresh || !it->second.current) it->second = {configured, {}, {}, false, true}, tied = id;
    return it->second;
  };
  std::vector<Uuid> ids(1);
  const int n = *rc::gen::inRange(1, 80);
  for (int i = 0; i < n; ++i) {
    const Uuid id = ids[static_cast<size_t>(*rc::gen::inRange<int>(0, static_cast<int>(ids.size())))];
    switch (*rc::gen::inRange(0, 6)) {
      case 0: lab.wait(milliseconds(*rc::gen::inRange(1, 400))); break;
      case 1: {
        configured = milliseconds(*rc::gen::inRange(100, 500));
        lab.configure("s", "interval.ms", std::to_string(configured.ms()));
        for (auto& [what, k] : known) k.current = false;
        break;
      }
      case 2: {
        lab.telemetry.closed(kConn);
        if (tied) known.erase(*tied);
        tied.reset();
        break;
      }
      case 3: {
        const auto m = lab.ask(id);
        Known& k = use(m.error_code == 0 ? m.client_instance_id : id);
        if (m.error_code != 0) break;
        const std::optional<Instant> last = std::max(k.asked, k.pushed);
        const bool in_time = !last || lab.now - *last >= k.interval;
        const bool fine = in_time || k.forgiven;
        RC_ASSERT(fine);
        RC_ASSERT(milliseconds(m.push_interval_ms) == k.interval);
        if (in_time) k.asked = lab.now;
        k.forgiven = false;
        if (id.zero()) ids.push_back(m.client_instance_id);
        break;
      }
      default: {
        const int8_t codec = static_cast<int8_t>(*rc::gen::inRange(0, 6));
        const E error = lab.push(id, {.subscription = *rc::gen::inRange(0, 2), .compression = codec});
        RC_ASSERT(error != E::unknown_server_error);
        if (id.zero()) RC_ASSERT(error == E::invalid_request);
        if (id.zero()) break;
        Known& k = use(id);
        if (error != E::throttling_quota_exceeded) {
          const bool fine = k.asked > k.pushed || !k.pushed || lab.now - *k.pushed >= k.interval;
          RC_ASSERT(fine);
          k.pushed = lab.now;
        }
        k.forgiven = error == E::unknown_subscription_id || error == E::unsupported_compression_type;
      }
    }
    RC_ASSERT(lab.telemetry.instances() < ids.size() + 1);
  }
}

}  // namespace
}  // namespace klamm::broker
