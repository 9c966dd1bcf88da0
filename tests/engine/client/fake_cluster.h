// Two brokers in a few lines, for tests of a client host without a world: they share their logs, know sequences as a
// leader does, and fail as the test says. Answers come at once; time passes only when the test moves it.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/client/host.h"
#include "engine/protocol/frame.h"
#include "engine/protocol/record_batch.h"
#include "tests/support/turns.h"

namespace klamm::client {

struct Append {  // one batch that came, and what became of it
  int32_t node;
  int32_t partition;
  ProducerEpoch epoch;
  int32_t sequence;
  ErrorCode error;
  std::vector<std::string> values;
};

class FakeCluster {
 public:
  const Uuid topic_id{{1, 2, 3}};

  // What happens to the next batches: an error instead of appending, or `lose`: append, then break the connection.
  struct Fate {
    ErrorCode error = ErrorCode::none;
    bool lose = false;
    bool silent = false;  // no append, no answer
  };
  std::deque<Fate> fates;  // one a batch; then all goes well
  std::map<int32_t, int32_t> leaders{{0, 1}, {1, 2}};
  std::map<int32_t, int32_t> leader_epochs{{0, 0}, {1, 0}};
  std::map<int32_t, std::vector<std::string>> logs;
  std::vector<Append> appends;
  std::map<uint64_t, std::vector<Slice>> answers;

  FakeCluster() : host_(boot()) {}

  template<class T>
  void ask(uint64_t token, const char* verb, const T& what) {
    events_.push_back(Asked{token, verb, pack(what)});
    run();
  }
  void pass(Duration time) {
    const Instant until = world_.now + time;
    run();
    while (host_.next_deadline() <= until) {
      world_.now = std::max(world_.now, host_.next_deadline());
      run();
    }
    world_.now = until;
    run();
  }
  Produced produced(uint64_t token) {
    Produced p;
    EXPECT_EQ(answers[token].size(), 1u) << "token " << token;
    if (!answers[token].empty()) EXPECT_TRUE(unpack(answers[token][0], p));
    return p;
  }
  void move_leader(int32_t partition, int32_t to) {
    leaders[partition] = to;
    ++leader_epochs[partition];
  }

 private:
  static Boot boot() {
    Boot b;
    b.properties = {{"bootstrap.servers", "one:1,two:2"}, {"request.timeout.ms", "1000"}};
    return b;
  }
  struct Conn {
    int32_t node = 0;
    net::Frames frames{1 << 20};
  };

  void run() {
    do {
      Commands commands;
      Ctx ctx = world_.ctx();
      const std::vector<Event> now = std::exchange(events_, {});
      host_.turn(ctx, now, commands);
      for (Command& c : commands) {
        if (auto* d = std::get_if<Dial>(&c)) {
          conns_[d->conn].node = d->port;
          events_.push_back(Dialed{d->conn});
        } else if (auto* s = std::get_if<Send>(&c)) {
          take(s->conn, s->bytes);
        } else if (auto* k = std::get_if<Close>(&c)) {
          end(k->conn);
        } else if (auto* a = std::get_if<Answered>(&c)) {
          answers[a->token].push_back(a->bytes);
        }
      }
    } while (!events_.empty());
  }
  void end(ConnId conn) {
    if (conns_.erase(conn)) events_.push_back(Closed{conn});
  }
  void take(ConnId conn, const Slice& bytes) {
    const auto it = conns_.find(conn);
    if (it == conns_.end()) return;
    std::vector<Slice> frames;
    EXPECT_TRUE(it->second.frames.feed(bytes, frames));
    for (const Slice& f : frames) {
      if (!conns_.count(conn)) return;
      request(conn, conns_[conn].node, f);
    }
  }
  template<class Response>
  void reply(ConnId conn, const protocol::RequestHeader& header, const Response& response) {
    Writer w;
    protocol::encode_response(w, header.request_api_version, header.correlation_id, response);
    ASSERT_TRUE(w.ok());
    events_.push_back(Received{conn, w.finish_contiguous()});
  }

  void request(ConnId conn, int32_t node, const Slice& frame) {
    Arena arena;
    Reader r(frame.span());
    protocol::RequestHeader header;
    ASSERT_TRUE(protocol::decode_request_header(r, arena, header));
    const int16_t version = header.request_api_version;
    switch (header.request_api_key) {
      case 18: {
        protocol::ApiVersionsResponse out;
        for (const auto& [key, high] : std::map<int16_t, int16_t>{{0, 13}, {3, 13}, {18, 4}, {22, 5}})
          out.api_keys.push_back(arena, {key, static_cast<int16_t>(key == 0 ? 3 : 0), high});
        return reply(conn, header, out);
      }
      case 3: return reply(conn, header, metadata(arena));
      case 22: {
        protocol::InitProducerIdResponse out;
        out.producer_id = 77;
        return reply(conn, header, out);
      }
      case 0: {
        protocol::ProduceRequest in;
        ASSERT_TRUE(decode(r, arena, version, in));
        protocol::ProduceResponse out;
        bool lose = false, silent = false;
        for (const auto& t : in.topic_data) {
          EXPECT_EQ(t.topic_id, topic_id);
          auto& to = out.responses.add(arena);
          to.topic_id = t.topic_id;
          for (const auto& p : t.partition_data) {
            auto& po = to.partition_responses.add(arena);
            po.index = p.index;
            const Fate fate = next_fate();
            silent = silent || fate.silent;
            lose = lose || fate.lose;
            po.error_code = static_cast<int16_t>(append(node, p.index, p.records.span(), fate, &po.base_offset));
          }
        }
        if (lose) return end(conn);
        if (!silent && in.acks != 0) reply(conn, header, out);
        return;
      }
      default: FAIL() << "api " << header.request_api_key;
    }
  }
  Fate next_fate() {
    if (fates.empty()) return {};
    const Fate f = fates.front();
    fates.pop_front();
    return f;
  }
  protocol::MetadataResponse metadata(Arena& arena) {
    protocol::MetadataResponse out;
    out.brokers.push_back(arena, {1, "one", 1});
    out.brokers.push_back(arena, {2, "two", 2});
    auto& t = out.topics.add(arena);
    t.name = "t";
    t.topic_id = topic_id;
    for (int32_t i = 0; i < static_cast<int32_t>(leaders.size()); ++i) {
      auto& p = t.partitions.add(arena);
      p.partition_index = i;
      p.leader_id = leaders[i];
      p.leader_epoch = leader_epochs[i];
    }
    return out;
  }
  // As a leader admits a batch of an idempotent producer, without the memory of the last five.
  ErrorCode append(int32_t node, int32_t partition, ByteSpan bytes, const Fate& fate, int64_t* base_offset) {
    const auto header = protocol::check_batch(bytes);
    EXPECT_TRUE(header);
    std::vector<std::string> values;
    const auto batch = protocol::OpenBatch::open(*header, bytes, 1 << 20);
    protocol::RecordCursor records = batch->records();
    for (protocol::Record record; records.next(record);) values.emplace_back(as_text(record.value.span()));
    Sequence& s = sequences_[partition];
    ErrorCode error = fate.error;
    if (error == ErrorCode::none && leaders[partition] != node) error = ErrorCode::not_leader_or_follower;
    if (error == ErrorCode::none && header->has_producer()) {
      const bool unknown = s.epoch < 0;  // then any first sequence will do
      const bool fresh = header->producer_epoch > s.epoch;
      const int32_t expected = fresh ? 0 : s.next;
      if (header->producer_epoch < s.epoch)
        error = ErrorCode::invalid_producer_epoch;
      else if (!fresh && header->base_sequence < expected)
        error = ErrorCode::duplicate_sequence_number;
      else if (!unknown && header->base_sequence != expected)
        error = ErrorCode::out_of_order_sequence_number;
    }
    appends.push_back({node, partition, header->producer_epoch, header->base_sequence, error, values});
    if (error != ErrorCode::none || fate.silent) return error;
    s = {header->producer_epoch, header->base_sequence + static_cast<int32_t>(values.size())};
    *base_offset = static_cast<int64_t>(logs[partition].size());
    logs[partition].insert(logs[partition].end(), values.begin(), values.end());
    return error;
  }

  struct Sequence {
    ProducerEpoch epoch = -1;
    int32_t next = 0;
  };
  TestWorld world_;
  Host host_;
  std::vector<Event> events_;
  std::map<ConnId, Conn> conns_;
  std::map<int32_t, Sequence> sequences_;
};

}  // namespace klamm::client
