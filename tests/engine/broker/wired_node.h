// A LoneNode with a network that ends in the test: the test connects to it as clients do, and is the controllers 8 and
// 9 that it dials. These answer a Fetch with who leads, after its wait or when that changes, and keep the rest for the
// test.
#pragma once
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "engine/net/frames.h"
#include "engine/protocol/frame.h"
#include "engine/protocol/messages/create_topics.h"
#include "engine/protocol/messages/vote.h"
#include "engine/quorum/codec.h"
#include "tests/engine/broker/lone_node.h"

namespace klamm::broker {

class WiredNode {
 public:
  static constexpr uint16_t kPort[] = {9008, 9009};  // of the controllers
  struct Call {                                      // what the node asked of a controller
    ConnId conn;
    uint16_t port = 0;
    protocol::RequestHeader header;
    Slice frame;
    uint32_t body_at = 0;
    ByteSpan body() const { return frame.span().subspan(body_at); }
  };

  using Properties = std::map<std::string, std::string>;
  explicit WiredNode(const Properties& properties = {}) : node(properties) {
    node.on_command = [this](const Command& c) { command(c); };
  }
  static WiredNode broker(Properties more = {}) {
    more.insert({{"process.roles", "broker"},
                 {"listeners", "PLAINTEXT://here:9092"},
                 {"controller.quorum.voters", "8@eight:9008,9@nine:9009"}});
    return WiredNode(more);
  }

  void boot() { node.start(), run_for(milliseconds(20)); }
  // An orderly end; `boot` begins the next life, on the same disk.
  void stop() {
    node.stop();
    EXPECT_TRUE(node.exit.has_value());
    events_.clear(), outbound_.clear(), fetches_.clear(), told_.clear(), closed_.clear(), inbound_.clear();
    answers_.clear(), calls.clear();
  }
  // From now on that one leads, and the node learns it; kNoNode: neither does.
  void lead(NodeId id) {
    leader = id;
    ++epoch;
    for (auto& f : fetches_) f.first = node.world.now;
    run_for(milliseconds(20));
  }
  template<class Done>
  void run_for(Duration most, Done done) {
    const Instant end = node.world.now + most;
    while (!node.exit && !done() && node.world.now < end) {
      if (!events_.empty()) {
        node.turn(std::exchange(events_, {}));
      } else if (node.disk.ready() > 0) {
        if (const auto e = node.disk.step(0)) node.turn({*e});
      } else if (const Instant due = next_fetch(); due <= node.world.now) {
        answer_fetches();
      } else {
        const Instant next = std::min({node.node->next_deadline(), due, end});
        if (next > node.world.now) node.world.now = next;
        if (next < end) node.turn({});
      }
    }
  }
  void run_for(Duration most) {
    run_for(most, [] { return false; });
  }

  // ---- as a client
  ConnId connect(uint32_t listener = 0) {
    adopted_.reset();
    node.turn({Accepted{ListenerId{listener}, PendingId{++pending_}, "127.0.0.1", 5000, ""}});
    EXPECT_TRUE(adopted_.has_value());
    return adopted_.value_or(ConnId{});
  }
  void send(ConnId conn, const Slice& bytes) { node.turn({Received{conn, bytes}}); }
  template<class Request>
  void ask(ConnId conn, int16_t version, const Request& request) {
    send(conn, frame(conn, version, request));
  }
  // To be sent by the test.
  template<class Request>
  Slice frame(ConnId conn, int16_t version, const Request& request) {
    Writer w;
    asked_[conn].push_back(++correlation_);
    protocol::encode_request(w, {Request::kApiKey, version, correlation_, "c"}, request);
    EXPECT_TRUE(w.ok());
    return w.finish_contiguous();
  }
  bool answered(ConnId conn) const { return answers_.count(conn) && !answers_.at(conn).empty(); }
  bool closed(ConnId conn) const { return closed_.count(conn) != 0; }
  template<class Response>
  Response take(ConnId conn, int16_t version) {
    EXPECT_TRUE(answered(conn));
    Response m;
    if (!answered(conn)) return m;
    kept_ = answers_.at(conn).front();
    answers_.at(conn).pop_front();
    Reader reader(kept_.span());
    protocol::ResponseHeader header;
    EXPECT_TRUE(protocol::decode_response_header(reader, arena(), {Response::kApiKey, version}, header));
    EXPECT_EQ(header.correlation_id, asked_[conn].front());
    asked_[conn].pop_front();
    EXPECT_TRUE(decode(reader, arena(), version, m) && reader.ok());
    return m;
  }

  void create_topic(ConnId conn, Str name, int32_t partitions = 1) {
    protocol::CreateTopicsRequest m;
    auto& topic = m.topics.add(arena());
    topic.name = name;
    topic.num_partitions = partitions;
    topic.replication_factor = 1;
    ask(conn, 7, m);
    run_for(milliseconds(100));
    EXPECT_EQ(take<protocol::CreateTopicsResponse>(conn, 7).topics[0].error_code, 0);
  }

  // ---- as a controller
  std::deque<Call> calls;  // but for fetches
  // The next request of that api, once it comes.
  std::optional<Call> next_call(int16_t api, Duration most = seconds(1)) {
    const auto here = [&] {
      while (!calls.empty() && calls.front().header.request_api_key != api) calls.pop_front();
      return !calls.empty();
    };
    run_for(most, here);
    if (!here()) return std::nullopt;
    const Call c = calls.front();
    calls.pop_front();
    return c;
  }
  template<class Response>
  void answer(const Call& call, const Response& response) {
    Writer w;
    protocol::encode_response(w, call.header.request_api_version, call.header.correlation_id, response);
    EXPECT_TRUE(w.ok());
    events_.push_back(Received{call.conn, w.finish_contiguous()});
    run_for(milliseconds(5));
  }
  // Yes to a Vote.
  void grant(const Call& vote) {
    protocol::VoteRequest asked;
    Reader reader(vote.body());
    EXPECT_TRUE(decode(reader, arena(), vote.header.request_api_version, asked));
    protocol::VoteResponse m;
    auto& topic = m.topics.add(arena());
    topic.topic_name = quorum::kMetadataTopic;
    auto& p = topic.partitions.add(arena());
    p.leader_epoch = asked.topics[0].partitions[0].replica_epoch;
    p.leader_id = -1;
    p.vote_granted = true;
    answer(vote, m);
  }
  void cut(ConnId conn) {
    std::erase_if(fetches_, [&](const auto& f) { return f.second.conn == conn; });
    outbound_.erase(conn);
    events_.push_back(Closed{conn, IoError::failed});
  }
  Arena& arena() { return arena_; }
  std::string cluster_id() const {
    const std::string meta = node.file("meta.properties");
    const size_t at = meta.find("cluster.id=") + 11;
    return meta.substr(at, meta.find('\n', at) - at);
  }

  LoneNode node;
  NodeId leader = kNoNode;
  LeaderEpoch epoch = 0;

 private:
  struct Outbound {
    uint16_t port = 0;
    net::Frames frames{1 << 20};
  };

  void command(const Command& c) {
    if (const auto* d = std::get_if<Dial>(&c)) {
      outbound_[d->conn].port = d->port;
      events_.push_back(Dialed{d->conn});
    } else if (const auto* a = std::get_if<Adopt>(&c)) {
      adopted_ = a->conn;
      inbound_.try_emplace(a->conn, 1 << 20);
    } else if (const auto* s = std::get_if<Send>(&c)) {
      sent(s->conn, s->bytes);
    } else if (const auto* x = std::get_if<Close>(&c)) {
      closed_.insert(x->conn);
      if (outbound_.count(x->conn)) cut(x->conn);
    }
  }
  void sent(ConnId conn, const Slice& bytes) {
    std::vector<Slice> frames;
    if (const auto in = inbound_.find(conn); in != inbound_.end()) {
      EXPECT_TRUE(in->second.feed(bytes, frames));
      for (Slice& f : frames) answers_[conn].push_back(std::move(f));
      return;
    }
    const auto out = outbound_.find(conn);
    if (out == outbound_.end()) return;
    EXPECT_TRUE(out->second.frames.feed(bytes, frames));
    for (const Slice& frame : frames) {
      Call call{conn, out->second.port, {}, frame, 0};
      Reader reader(call.frame.span());
      EXPECT_TRUE(protocol::decode_request_header(reader, arena_, call.header));
      call.body_at = static_cast<uint32_t>(reader.position());
      if (call.header.request_api_key == protocol::api::kFetch)
        fetches_.push_back({node.world.now + (told_.count(conn) ? milliseconds(500) : Duration{}), call});
      else
        calls.push_back(std::move(call));
    }
  }
  Instant next_fetch() const {
    Instant at = kNever;
    for (const auto& [due, call] : fetches_) at = std::min(at, due);
    return at;
  }
  void answer_fetches() {
    std::vector<Call> due;
    std::erase_if(fetches_, [&](const auto& f) {
      if (f.first <= node.world.now) due.push_back(f.second);
      return f.first <= node.world.now;
    });
    for (const Call& call : due) {
      told_.insert(call.conn);
      raft::FetchReply reply;
      const bool leads = leader != kNoNode && call.port == kPort[leader.value - 8];
      reply.verdict = {leads ? ErrorCode::none : ErrorCode::not_leader_or_follower, epoch, leader};
      reply.high_watermark = 0;
      const quorum::ApiVersion as{call.header.request_api_key, call.header.request_api_version};
      Writer w;
      protocol::begin_response(w, {as.api, as.version}, call.header.correlation_id);
      for (const Slice& s : quorum::encode_reply(arena(), as, reply, nullptr, {})) w.raw(s.span());
      protocol::end_frame(w);
      events_.push_back(Received{call.conn, w.finish_contiguous()});
    }
  }

  std::vector<Event> events_;  // what the world has to say next
  std::map<ConnId, Outbound> outbound_;
  std::vector<std::pair<Instant, Call>> fetches_;  // and when each is answered
  std::set<ConnId> told_, closed_;
  std::map<ConnId, net::Frames> inbound_;
  std::map<ConnId, std::deque<Slice>> answers_;
  std::optional<ConnId> adopted_;
  uint64_t pending_ = 0;
  int32_t correlation_ = 100;
  std::map<ConnId, std::deque<int32_t>> asked_;  // and not taken yet
  Slice kept_;                                   // of the answer taken last
  Arena arena_;                                  // what messages point into, to the test's end
};

}  // namespace klamm::broker
