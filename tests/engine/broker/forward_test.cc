// Requests that only the controller can serve, on their way there and back: the broker's side with controllers that the
// test plays, the controller's side with brokers that it plays.
#include "engine/protocol/messages/create_topics.h"
#include "engine/protocol/messages/envelope.h"
#include "engine/protocol/messages/metadata.h"
#include "engine/protocol/records/principal.h"
#include "tests/engine/broker/wired_node.h"

namespace klamm::broker {
namespace {

using protocol::CreateTopicsRequest;
using protocol::CreateTopicsResponse;
using protocol::EnvelopeRequest;
using protocol::EnvelopeResponse;

constexpr int16_t kVersion = 7;  // of CreateTopics

CreateTopicsRequest create(Arena& arena, Str name) {
  CreateTopicsRequest m;
  auto& t = m.topics.add(arena);
  t.name = name;
  t.num_partitions = t.replication_factor = 1;
  m.timeout_ms = 1000;
  return m;
}
Slice frame(int16_t api, int16_t version, std::string_view body) {
  Writer w;
  protocol::begin_request(w, {api, version, 77, "c"});
  w.raw(as_bytes(body));
  protocol::end_frame(w);
  return w.finish_contiguous();
}

// ---- the broker's side

class Forward : public testing::Test {
 protected:
  Forward() { x.boot(); }
  ConnId ask() {
    const ConnId client = x.connect();
    x.ask(client, kVersion, create(x.arena(), "t"));
    return client;
  }
  std::optional<WiredNode::Call> envelope() { return x.next_call(EnvelopeRequest::kApiKey); }
  // What the controller says to the request that lies in the envelope.
  EnvelopeResponse content(ErrorCode error, int32_t correlation) {
    CreateTopicsResponse inner;
    auto& t = inner.topics.add(x.arena());
    t.name = "t";
    t.error_code = code(error);
    Writer w;
    protocol::encode_response(w, kVersion, correlation, inner);
    inner_ = w.finish_contiguous();
    EnvelopeResponse m;
    m.response_data = protocol::Bytes::of(inner_.span().subspan(4));
    return m;
  }
  static EnvelopeResponse error(ErrorCode e) {
    EnvelopeResponse m;
    m.error_code = code(e);
    return m;
  }
  int32_t correlation_of(const WiredNode::Call& call) {
    EnvelopeRequest m;
    Reader reader(call.body());
    EXPECT_TRUE(decode(reader, x.arena(), 0, m));
    Reader inner(m.request_data.span());
    protocol::RequestHeader header;
    EXPECT_TRUE(protocol::decode_request_header(inner, x.arena(), header));
    EXPECT_EQ(header.request_api_key, CreateTopicsRequest::kApiKey);
    return header.correlation_id;
  }
  ErrorCode told(ConnId client) {
    const auto m = x.take<CreateTopicsResponse>(client, kVersion);
    EXPECT_EQ(m.topics.size(), 1u);
    return m.topics.size() == 1 ? static_cast<ErrorCode>(m.topics[0].error_code) : ErrorCode::unknown_server_error;
  }
  // The next envelope goes to `leader`, and its answer to the client.
  void goes_well(ConnId client, NodeId leader) {
    const auto call = envelope();
    ASSERT_TRUE(call.has_value());
    EXPECT_EQ(call->port, WiredNode::kPort[leader.value - 8]);
    x.answer(*call, content(ErrorCode::topic_already_exists, correlation_of(*call)));
    EXPECT_EQ(told(client), ErrorCode::topic_already_exists);
  }

  WiredNode x = WiredNode::broker({{"num.partitions", "3"}, {"default.replication.factor", "2"}});
  Slice inner_;
};

TEST_F(Forward, the_client_gets_the_controllers_answer) {
  x.lead(NodeId{9});
  goes_well(ask(), NodeId{9});
}

TEST_F(Forward, an_envelope_that_failed_is_answered_as_kafka_answers) {
  x.lead(NodeId{9});
  EnvelopeResponse garbage;
  garbage.response_data = protocol::Bytes::of(as_bytes("?"));
  for (const EnvelopeResponse& m :
       {error(ErrorCode::cluster_authorization_failed), error(ErrorCode::principal_deserialization_failure),
        error(ErrorCode::invalid_request), EnvelopeResponse{}, garbage, content(ErrorCode::none, 5)}) {
    const ConnId client = ask();
    const auto call = envelope();
    ASSERT_TRUE(call.has_value());
    x.answer(*call, m);
    ASSERT_TRUE(x.answered(client)) << m.error_code;
    EXPECT_EQ(told(client), ErrorCode::unknown_server_error) << m.error_code;
  }
}

TEST_F(Forward, a_version_that_the_controller_does_not_serve_closes_the_connection) {
  x.lead(NodeId{9});
  const ConnId client = ask();
  const auto call = envelope();
  ASSERT_TRUE(call.has_value());
  x.answer(*call, error(ErrorCode::unsupported_version));
  EXPECT_TRUE(x.closed(client));
  EXPECT_FALSE(x.answered(client));
}

TEST_F(Forward, who_is_not_the_controller_any_more_is_asked_again_until_the_next_is_known) {
  x.lead(NodeId{9});
  const ConnId client = ask();
  for (int i = 0; i < 3; ++i) {
    const auto call = envelope();
    ASSERT_TRUE(call.has_value());
    x.answer(*call, error(ErrorCode::not_controller));
    EXPECT_FALSE(x.answered(client));
  }
  x.lead(NodeId{8});
  while (!x.calls.empty() && x.calls.front().port != WiredNode::kPort[0]) x.calls.pop_front();
  goes_well(client, NodeId{8});
}

TEST_F(Forward, a_connection_lost_is_no_answer) {
  x.lead(NodeId{9});
  const ConnId client = ask();
  const auto call = envelope();
  ASSERT_TRUE(call.has_value());
  x.cut(call->conn);
  goes_well(client, NodeId{9});
}

TEST_F(Forward, a_controller_that_moves_and_breaks_off_meanwhile_is_followed) {
  x.lead(NodeId{9});
  const ConnId client = ask();
  const auto call = envelope();
  ASSERT_TRUE(call.has_value());
  x.lead(NodeId{8});
  EXPECT_FALSE(x.answered(client));  // the one before may still answer
  x.cut(call->conn);
  goes_well(client, NodeId{8});
}

TEST_F(Forward, waits_for_a_controller) {
  const ConnId client = ask();
  x.run_for(seconds(3));
  EXPECT_FALSE(x.answered(client));
  x.lead(NodeId{8});
  goes_well(client, NodeId{8});
}

TEST_F(Forward, without_a_controller_it_times_out) {
  const ConnId client = ask();
  x.run_for(seconds(29));
  EXPECT_FALSE(x.answered(client));
  x.run_for(milliseconds(1'100));
  EXPECT_EQ(told(client), ErrorCode::request_timed_out);
}

TEST_F(Forward, a_silent_controller_does_not_keep_it_longer) {
  x.lead(NodeId{9});
  const ConnId client = ask();
  x.run_for(milliseconds(30'100));
  EXPECT_EQ(told(client), ErrorCode::request_timed_out);
}

TEST_F(Forward, a_malformed_request_closes_the_connection_and_bothers_nobody) {
  x.lead(NodeId{9});
  const ConnId client = x.connect();
  x.send(client, frame(CreateTopicsRequest::kApiKey, kVersion, "\x7f garbage"));
  x.run_for(milliseconds(100));
  EXPECT_TRUE(x.closed(client));
  for (const auto& call : x.calls) EXPECT_NE(call.header.request_api_key, EnvelopeRequest::kApiKey);
}

TEST_F(Forward, a_client_that_left_is_not_missed) {
  x.lead(NodeId{9});
  const ConnId client = ask();
  const auto call = envelope();
  ASSERT_TRUE(call.has_value());
  x.node.turn({Closed{client, IoError::failed}});
  x.answer(*call, content(ErrorCode::none, correlation_of(*call)));
  EXPECT_FALSE(x.answered(client));
  goes_well(ask(), NodeId{9});
}

TEST_F(Forward, no_more_wait_than_its_bound) {
  std::vector<ConnId> clients;
  for (size_t i = 0; i < Forwards::kMost; ++i) clients.push_back(ask());
  EXPECT_FALSE(x.answered(clients.back()));
  EXPECT_EQ(told(ask()), ErrorCode::request_timed_out);
}

// ---- topics that are created because a client names them

class AutoCreation : public Forward {
 protected:
  AutoCreation() { x.lead(NodeId{9}); }
  // A client names the topic; the envelope that follows, if any does.
  std::optional<WiredNode::Call> name_topic() {
    const ConnId client = x.connect();
    protocol::MetadataRequest m;
    m.topics.add(x.arena()).name = "t";
    m.allow_auto_topic_creation = true;
    x.ask(client, 9, m);
    const auto answer = x.take<protocol::MetadataResponse>(client, 9);
    EXPECT_EQ(static_cast<ErrorCode>(answer.topics[0].error_code), ErrorCode::unknown_topic_or_partition);
    return x.next_call(EnvelopeRequest::kApiKey, milliseconds(10));
  }
};

// A controller that is no broker may have other properties, or none, for topics.
TEST_F(AutoCreation, is_as_large_as_this_brokers_properties_say) {
  const auto call = name_topic();
  ASSERT_TRUE(call.has_value());
  EnvelopeRequest envelope;
  Reader outer(call->body());
  ASSERT_TRUE(decode(outer, x.arena(), 0, envelope));
  Reader inner(envelope.request_data.span());
  protocol::RequestHeader header;
  ASSERT_TRUE(protocol::decode_request_header(inner, x.arena(), header));
  CreateTopicsRequest m;
  ASSERT_TRUE(decode(inner, x.arena(), header.request_api_version, m));
  ASSERT_EQ(m.topics.size(), 1u);
  EXPECT_EQ(m.topics[0].num_partitions, 3);
  EXPECT_EQ(m.topics[0].replication_factor, 2);
}

TEST_F(AutoCreation, is_asked_for_once_until_it_is_answered_and_then_anew) {
  const auto call = name_topic();
  ASSERT_TRUE(call.has_value());
  EXPECT_FALSE(name_topic().has_value()) << "under way";
  x.answer(*call, content(ErrorCode::none, correlation_of(*call)));
  const auto again = name_topic();
  ASSERT_TRUE(again.has_value()) << "it may have been deleted meanwhile";
  x.answer(*again, error(ErrorCode::invalid_request));
  EXPECT_TRUE(name_topic().has_value()) << "a failure is no less of an answer";
}

TEST_F(AutoCreation, that_no_controller_takes_is_given_up) {
  ASSERT_TRUE(name_topic().has_value());
  x.run_for(milliseconds(30'100));
  EXPECT_TRUE(name_topic().has_value());
}

// ---- a node that is both

TEST(ForwardToOneself, a_malformed_request_closes_the_connection) {
  WiredNode x;
  x.boot();
  ASSERT_TRUE(x.node.ready);
  const ConnId client = x.connect();
  x.send(client, frame(CreateTopicsRequest::kApiKey, kVersion, "\x7f garbage"));
  x.run_for(milliseconds(100));
  EXPECT_TRUE(x.closed(client));
}

// One of two voters: elected with the votes of the other, which has fetched nothing yet. The epoch.
LeaderEpoch elect(WiredNode& x) {
  x.boot();
  for (int i = 0; i < 100; ++i) {
    const auto vote = x.next_call(quorum::kVote, seconds(3));
    if (!vote) break;
    x.grant(*vote);
    x.run_for(milliseconds(20));
    for (const auto& call : x.calls) {
      if (call.header.request_api_key != quorum::kBeginQuorumEpoch) continue;
      const auto asked = quorum::decode_request(x.arena(), {quorum::kBeginQuorumEpoch, 1}, call.body(), x.cluster_id());
      if (asked.body) return std::get<raft::BeginRequest>(*asked.body).epoch;
    }
  }
  ADD_FAILURE() << "not elected";
  return 0;
}
const WiredNode::Properties kOneOfTwo{{"controller.quorum.voters", "1@here:9093,9@nine:9009"}};

// It was elected, but nothing of its epoch is committed: not yet the active controller.
TEST(ForwardToOneself, an_elected_controller_is_waited_for) {
  WiredNode x(kOneOfTwo);
  elect(x);
  const ConnId client = x.connect();
  x.ask(client, kVersion, create(x.arena(), "t"));
  x.run_for(milliseconds(500));
  EXPECT_FALSE(x.answered(client));
}

// ---- the controller's side

class EnvelopeAt : public testing::Test {
 protected:
  static Slice principal() {
    protocol::DefaultPrincipalData who;
    who.type = "User";
    who.name = "ANONYMOUS";
    Writer w;
    w.i16(0);
    encode(w, 0, who);
    return w.finish_contiguous();
  }
  void put(WiredNode& x, ConnId conn, std::string_view content, std::string_view who, std::string_view address) {
    EnvelopeRequest m;
    m.request_data = protocol::Bytes::of(as_bytes(content));
    m.request_principal = protocol::Bytes::of(as_bytes(who));
    m.client_host_address = protocol::Bytes::of(as_bytes(address));
    x.ask(conn, 0, m);
    x.run_for(milliseconds(100));
  }
  static std::string inside(int16_t api, int16_t version, std::string_view body) {
    return std::string(frame(api, version, body).text().substr(4));
  }
  static std::string good(Arena& arena) {
    Writer w;
    protocol::encode_request(w, {CreateTopicsRequest::kApiKey, kVersion, 77, "c"}, create(arena, "t"));
    return std::string(w.finish_contiguous().text().substr(4));
  }
  const Slice who_ = principal();
  const std::string who{who_.text()};
  const std::string here{"\x7f\0\0\1", 4};
};

TEST_F(EnvelopeAt, the_active_controller_is_served_inside) {
  WiredNode x;
  x.boot();
  const ConnId broker = x.connect(1);
  put(x, broker, good(x.arena()), who, here);
  const auto m = x.take<EnvelopeResponse>(broker, 0);
  ASSERT_EQ(m.error_code, 0);
  Reader reader(m.response_data.span());
  protocol::ResponseHeader header;
  ASSERT_TRUE(protocol::decode_response_header(reader, x.arena(), {CreateTopicsRequest::kApiKey, kVersion}, header));
  EXPECT_EQ(header.correlation_id, 77);
  CreateTopicsResponse inner;
  ASSERT_TRUE(decode(reader, x.arena(), kVersion, inner));
  ASSERT_EQ(inner.topics.size(), 1u);
  EXPECT_EQ(inner.topics[0].error_code, 0);
}

TEST_F(EnvelopeAt, what_it_must_not_hold_is_refused_as_kafka_refuses_it) {
  WiredNode x;
  x.boot();
  const std::string request = good(x.arena());
  const struct {
    const char* what;
    std::string content, who, address;
    ErrorCode error;
  } cases[] = {
      {"nobody", request, "", here, ErrorCode::principal_deserialization_failure},
      {"a stranger's idea of a principal", request, "\1\2\3", here, ErrorCode::principal_deserialization_failure},
      {"an unknown version of it", request, "\x7f" + who, here, ErrorCode::principal_deserialization_failure},
      {"no address", request, who, "", ErrorCode::invalid_request},
      {"half an address", request, who, here.substr(1), ErrorCode::invalid_request},
      {"nothing", "", who, here, ErrorCode::unsupported_version},
      {"garbage", "\xff\xfe garbage", who, here, ErrorCode::unsupported_version},
      {"half a header", request.substr(0, 5), who, here, ErrorCode::unsupported_version},
      {"half a body", request.substr(0, request.size() - 6), who, here, ErrorCode::unsupported_version},
      {"an unknown version", inside(CreateTopicsRequest::kApiKey, 99, ""), who, here, ErrorCode::unsupported_version},
      {"an envelope", inside(EnvelopeRequest::kApiKey, 0, ""), who, here, ErrorCode::invalid_request},
      {"a heartbeat of a broker", inside(protocol::api::kBrokerHeartbeat, 0, ""), who, here,
       ErrorCode::invalid_request},
      {"a vote", inside(protocol::api::kVote, 0, ""), who, here, ErrorCode::invalid_request},
  };
  const ConnId broker = x.connect(1);
  for (const auto& c : cases) {
    put(x, broker, c.content, c.who, c.address);
    ASSERT_TRUE(x.answered(broker)) << c.what;
    const auto m = x.take<EnvelopeResponse>(broker, 0);
    EXPECT_EQ(static_cast<ErrorCode>(m.error_code), c.error) << c.what << ": " << m.error_code;
    EXPECT_TRUE(m.response_data.is_null()) << c.what;
  }
  put(x, broker, request, who, here);  // and the connection lives on
  EXPECT_EQ(x.take<EnvelopeResponse>(broker, 0).error_code, 0);
}

TEST_F(EnvelopeAt, a_listener_of_brokers_takes_none) {
  WiredNode x;
  x.boot();
  const ConnId client = x.connect(0);
  put(x, client, good(x.arena()), who, here);
  EXPECT_TRUE(x.closed(client));
}

TEST_F(EnvelopeAt, who_is_not_the_active_controller_says_so) {
  WiredNode x(kOneOfTwo);
  x.boot();
  const ConnId broker = x.connect(1);
  put(x, broker, good(x.arena()), who, here);
  EXPECT_EQ(static_cast<ErrorCode>(x.take<EnvelopeResponse>(broker, 0).error_code), ErrorCode::not_controller);
}

// What it had begun is not committed; who forwarded it is to ask the next one, and not to hand on the refusal.
TEST_F(EnvelopeAt, who_stops_being_it_meanwhile_says_so) {
  WiredNode x(kOneOfTwo);
  const LeaderEpoch epoch = elect(x);
  const ConnId follower = x.connect(1);
  const auto say = [&](const raft::RequestBody& body) {
    const quorum::ApiVersion as = quorum::asked_as(body);
    Writer w;
    protocol::begin_request(w, {as.api, as.version, 5, "c"});
    for (const Slice& s :
         quorum::encode_request(x.arena(), {x.cluster_id(), "CONTROLLER", "nine", 9009}, body, 1 << 20))
      w.raw(s.span());
    protocol::end_frame(w);
    x.send(follower, w.finish_contiguous());
    x.run_for(milliseconds(50));
  };
  say(raft::FetchRequest{.epoch = epoch, .replica = {NodeId{9}, {}}, .from = {1, epoch}, .max_wait = {}});
  const ConnId broker = x.connect(1);
  put(x, broker, good(x.arena()), who, here);
  EXPECT_FALSE(x.answered(broker));  // it is active, and waits for its follower
  say(raft::BeginRequest{epoch + 1, NodeId{9}, {NodeId{1}, {}}});
  ASSERT_TRUE(x.answered(broker));
  EXPECT_EQ(static_cast<ErrorCode>(x.take<EnvelopeResponse>(broker, 0).error_code), ErrorCode::not_controller);
}

}  // namespace
}  // namespace klamm::broker
