// A coordinator of one node with a log that takes every append at once, unless told otherwise. Requests are written as
// messages, answers read as messages; time moves by hand.
#pragma once
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <string>

#include "engine/base/reader.h"
#include "engine/base/writer.h"
#include "engine/group/coordinator.h"
#include "engine/protocol/record_batch.h"
#include "tests/support/turns.h"

namespace klamm::group {

// Topics "t" (2 partitions) and "u" (1).
class TwoTopics final : public Topics {
 public:
  static Uuid uuid(char c) {
    Uuid u;
    u.bytes.fill(static_cast<uint8_t>(c));
    return u;
  }
  int32_t partitions(Str t) const override { return t == "t" ? 2 : t == "u" ? 1 : 0; }
  Uuid id(Str t) const override { return partitions(t) ? uuid(t[0]) : Uuid{}; }
  Str name(const Uuid& u) const override { return u == uuid('t') ? "t" : u == uuid('u') ? "u" : kNullStr; }
};

inline std::string subscription(const std::string& topic) {
  std::string s("\0\0\0\0\0\1\0", 7);
  s += static_cast<char>(topic.size());
  return s + topic + std::string("\xff\xff\xff\xff", 4);
}

struct Joining {
  std::string group = "g";
  std::string member = "";
  const char* instance = nullptr;
  std::vector<std::pair<std::string, std::string>> protocols = {{"range", subscription("t")}};
  int32_t session_ms = 10'000;
  int32_t rebalance_ms = 20'000;
  std::string type = "consumer";
  int16_t version = 9;
};
struct Committing {
  std::string member = "";
  int32_t generation = -1;
  Offset offset = 0;
  std::string topic = "t";
  int32_t partition = 0;
  std::string metadata = "";
  std::string group = "g";
  int16_t version = 9;
};

class Rig {
 public:
  explicit Rig(Config config = quick()) : coordinator(config) {
    for (int32_t p = 0; p < config.partitions; ++p) elect(p);
  }
  static Config quick() {
    Config c;
    c.initial_rebalance_delay_ms = 0;
    c.partitions = 2;
    return c;
  }

  // ---- requests. The result names the request.
  template<class Request>
  uint32_t send(int16_t version, const Request& request, Str client = "client-a") {
    Writer w;
    encode(w, version, request);
    EXPECT_TRUE(w.ok()) << w.error();
    const Ticket ticket{.conn = {1, 1}, .slot = ++last_, .api = Request::kApiKey, .version = version};
    auto c = ctx();
    coordinator.on_request(c, {ticket, w.finish_contiguous(), client, "/127.0.0.1"}, topics, out);
    carry();
    return last_;
  }
  bool answered(uint32_t request) const { return answers_.contains(request); }
  // The answer, which must have come. Holds until the arena is reset: for the test.
  template<class Response>
  Response answer(uint32_t request) {
    Response response;
    const auto it = answers_.find(request);
    if (it == answers_.end()) {
      ADD_FAILURE() << "no answer";
      return response;
    }
    Writer w;
    for (const Slice& s : it->second.body) w.attach(s);
    kept_.push_back(w.finish_contiguous());
    Reader r(kept_.back().span());
    EXPECT_TRUE(decode(r, world.scratch.arena, it->second.ticket.version, response) && r.finished());
    return response;
  }
  template<class Response, class Request>
  Response ask(int16_t version, const Request& request, Str client = "client-a") {
    return answer<Response>(send(version, request, client));
  }

  // ---- the protocol in short
  uint32_t send_join(const Joining& j, Str client = "client-a") {
    protocol::JoinGroupRequest r;
    r.group_id = keep(j.group);
    r.member_id = keep(j.member);
    r.group_instance_id = j.instance ? Str(j.instance) : kNullStr;
    r.protocol_type = keep(j.type);
    r.session_timeout_ms = j.session_ms;
    r.rebalance_timeout_ms = j.rebalance_ms;
    for (const auto& [name, metadata] : j.protocols) {
      auto& p = r.protocols.add(world.scratch.arena);
      p.name = keep(name);
      p.metadata = protocol::Bytes::of(as_bytes(keep(metadata)));
    }
    return send(j.version, r, client);
  }
  protocol::JoinGroupResponse joined(uint32_t request) { return answer<protocol::JoinGroupResponse>(request); }
  // A new dynamic member's id.
  std::string new_id(Joining j = {}) {
    j.member = "";
    return std::string(joined(send_join(j)).member_id);
  }
  uint32_t send_sync(const std::string& member, int32_t generation,
                     const std::vector<std::pair<std::string, std::string>>& plan = {},
                     const std::string& group = "g") {
    protocol::SyncGroupRequest r;
    r.group_id = keep(group);
    r.member_id = keep(member);
    r.generation_id = generation;
    r.protocol_type = "consumer";
    r.protocol_name = "range";
    for (const auto& [who, what] : plan) {
      auto& a = r.assignments.add(world.scratch.arena);
      a.member_id = keep(who);
      a.assignment = protocol::Bytes::of(as_bytes(keep(what)));
    }
    return send(5, r);
  }
  protocol::SyncGroupResponse synced(uint32_t request) { return answer<protocol::SyncGroupResponse>(request); }
  uint32_t send_heartbeat(const std::string& member, int32_t generation, const char* instance = nullptr) {
    protocol::HeartbeatRequest r;
    r.group_id = "g";
    r.member_id = keep(member);
    r.generation_id = generation;
    r.group_instance_id = instance ? Str(instance) : kNullStr;
    return send(4, r);
  }
  ErrorCode heartbeat(const std::string& member, int32_t generation, const char* instance = nullptr) {
    const uint32_t request = send_heartbeat(member, generation, instance);
    return ErrorCode(answer<protocol::HeartbeatResponse>(request).error_code);
  }
  uint32_t send_leave(const std::string& member, const char* instance = nullptr) {
    protocol::LeaveGroupRequest r;
    r.group_id = "g";
    auto& m = r.members.add(world.scratch.arena);
    m.member_id = keep(member);
    m.group_instance_id = instance ? Str(instance) : kNullStr;
    return send(5, r);
  }
  ErrorCode leave(const std::string& member, const char* instance = nullptr) {
    return ErrorCode(answer<protocol::LeaveGroupResponse>(send_leave(member, instance)).members[0].error_code);
  }
  // A stable group of one; its member's id.
  std::string stable_group(Joining j = {}) {
    const std::string id = new_id(j);
    j.member = id;
    const uint32_t join = send_join(j);
    settle();
    EXPECT_EQ(joined(join).error_code, 0);
    EXPECT_EQ(synced(send_sync(id, joined(join).generation_id, {{id, "plan"}}, j.group)).error_code, 0);
    return id;
  }
  uint32_t send_commit(const Committing& c) {
    protocol::OffsetCommitRequest r;
    r.group_id = keep(c.group);
    r.member_id = keep(c.member);
    r.generation_id_or_member_epoch = c.generation;
    auto& t = r.topics.add(world.scratch.arena);
    t.name = c.version < 10 ? keep(c.topic) : Str("");
    if (c.version >= 10) t.topic_id = TwoTopics::uuid(c.topic[0]);
    auto& p = t.partitions.add(world.scratch.arena);
    p.partition_index = c.partition;
    p.committed_offset = c.offset;
    p.committed_metadata = keep(c.metadata);
    return send(c.version, r);
  }
  ErrorCode commit(const Committing& c) {
    const auto response = answer<protocol::OffsetCommitResponse>(send_commit(c));
    return ErrorCode(response.topics[0].partitions[0].error_code);
  }
  uint32_t send_fetch(const std::string& topic = "t", int32_t partition = 0, bool stable = false) {
    protocol::OffsetFetchRequest r;
    r.require_stable = stable;
    auto& g = r.groups.add(world.scratch.arena);
    g.group_id = "g";
    auto& t = g.topics.add(world.scratch.arena);
    t.name = keep(topic);
    t.partition_indexes.push_back(world.scratch.arena, partition);
    return send(9, r);
  }
  Offset fetched(uint32_t request) {
    return answer<protocol::OffsetFetchResponse>(request).groups[0].topics[0].partitions[0].committed_offset;
  }
  Offset fetch(const std::string& topic = "t", int32_t partition = 0) { return fetched(send_fetch(topic, partition)); }
  std::string state(const std::string& group = "g") {
    protocol::DescribeGroupsRequest r;
    r.groups.push_back(world.scratch.arena, keep(group));
    return std::string(ask<protocol::DescribeGroupsResponse>(6, r).groups[0].group_state);
  }

  // ---- time
  void settle() {  // whatever is due now
    auto c = ctx();
    for (int i = 0; i < 100 && coordinator.next_deadline() <= world.now; ++i) coordinator.on_time(c, out), carry();
  }
  void pass(int64_t ms) {
    const Instant until = world.now + milliseconds(ms);
    while (coordinator.next_deadline() <= until) {
      const Instant at = std::max(coordinator.next_deadline(), world.now);
      world.wall.ms += (at - world.now).ms();
      world.now = at;
      settle();
    }
    world.wall.ms += (until - world.now).ms();
    world.now = until;
  }

  // ---- the log below
  struct Log {
    std::vector<Slice> batches;
    Offset end = 0;
    LeaderEpoch epoch = 0;
  };
  bool committing = true;                // appends are committed at once
  ErrorCode refusing = ErrorCode::none;  // what the log says to appends
  std::map<int32_t, Log> logs;
  void commit_all() {
    auto c = ctx();
    for (auto& [p, log] : logs) coordinator.high_watermark(c, p, log.end, out);
    carry();
  }
  void elect(int32_t p) {
    auto c = ctx();
    Log& log = logs[p];
    ASSERT_TRUE(coordinator.elected(p, ++log.epoch));
    for (const Slice& b : log.batches) ASSERT_TRUE(coordinator.load(c, p, b.span()));
    coordinator.loaded(c, p, log.end, log.end, out);
    carry();
  }
  // The node loses every partition; another one, or the same, takes over.
  void fail_over() {
    auto c = ctx();
    for (auto& [p, log] : logs) coordinator.resigned(c, p, out);
    carry();
    for (auto& [p, log] : logs) elect(p);
  }
  const HardState& hard(const std::string& group = "g") {
    return coordinator.runtime().shard(coordinator.partition_of(group))->latest;
  }
  HardState fold(const std::string& group = "g") {
    HardState state;
    for (const Slice& batch : logs[coordinator.partition_of(group)].batches) {
      const auto open = protocol::OpenBatch::open(*protocol::check_batch(batch.span()), batch.span(), 1 << 20);
      auto records = open->records();
      protocol::Record r;
      while (records.next(r)) EXPECT_TRUE(replay(state, world.scratch.arena, {r.key, r.value, r.offset, -1}));
    }
    return state;
  }
  void carry() {
    while (!out.appends.empty()) {
      const auto appends = std::move(out.appends);
      out.appends.clear();
      for (const auto& a : appends) append(a);
    }
    for (Reply& r : out.replies) {
      EXPECT_TRUE(answers_.emplace(r.ticket.slot, r).second) << "answered twice";
    }
    out.replies.clear();
  }

  Ctx ctx() { return world.ctx(); }
  Str keep(const std::string& s) { return world.scratch.arena.copy(s); }
  TestWorld world;
  TwoTopics topics;
  Coordinator coordinator;
  Out out;

 private:
  void append(const coordinator::Append& a) {
    auto c = ctx();
    Log& log = logs[a.partition];
    coordinator::AppendEnd end{a.partition, a.epoch, refusing, log.end};
    if (refusing == ErrorCode::none) {
      Slice placed = Slice::copy(a.batch.span());
      protocol::place_batch(const_cast<uint8_t*>(placed.data()), a.batch.data(), {log.end, a.epoch});
      log.batches.push_back(placed);
      log.end += a.records;
    }
    coordinator.append_ended(c, end, out);
    if (refusing == ErrorCode::none && committing) coordinator.high_watermark(c, a.partition, log.end, out);
  }
  uint32_t last_ = 0;
  std::map<uint32_t, Reply> answers_;
  std::deque<Slice> kept_;
};

}  // namespace klamm::group
