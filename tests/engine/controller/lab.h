// A controller alone: requests as a node would hand them over, a log of what it appended, and every invariant checked
// after every step.
#pragma once
#include <gtest/gtest.h>

#include <deque>

#include "engine/base/digest.h"
#include "engine/base/reader.h"
#include "engine/controller/controller.h"
#include "engine/controller/operation.h"

namespace klamm::controller {

class TestChance final : public Chance {
 public:
  uint64_t seed = 1;
  uint64_t below(ChoiceKey key, uint64_t n) override { return seed == 0 ? 0 : name(key) % n; }
  uint64_t name(ChoiceKey key) override {
    return mix(mix(mix(seed, static_cast<uint64_t>(key.stream)), key.entity), key.ordinal);
  }
};

inline Options lab_options() {
  Options o;
  o.node = NodeId{1};
  o.cluster_id = "lab";
  o.default_partitions = 4;
  return o;
}
inline Uuid test_uuid(uint64_t a, uint64_t b = 1) {
  Uuid u;
  for (int i = 0; i < 8; ++i) u.bytes[i] = static_cast<uint8_t>(a >> (56 - 8 * i));
  for (int i = 0; i < 8; ++i) u.bytes[8 + i] = static_cast<uint8_t>(b >> (56 - 8 * i));
  u.bytes[0] |= 0x40;
  return u;
}

class Lab {
 public:
  explicit Lab(Options options = lab_options(), bool start = true) : controller(options) {
    if (start) activate(1);
  }
  Ctx ctx() { return Ctx{now, Wall{0}, chance, flaws, trace, scratch}; }

  void activate(LeaderEpoch epoch) {
    Ctx c = ctx();
    Out out;
    ++next;  // the quorum's own record of the epoch
    controller.activate(c, {epoch, next}, fold(), out);
    take(out);
  }
  void deactivate() {
    Ctx c = ctx();
    Out out;
    controller.deactivate(c, out);
    log.resize(committed_records);  // what was not committed is gone
    if (!log.empty()) next = log.back().offset + 1;
    take(out);
  }
  // Asks and, unless told otherwise, commits what that appended. The answer decoded, or nothing while it waits.
  template<class Response, class Request>
  std::optional<Response> ask(const Request& q, int16_t version, bool commit_now = true) {
    Writer w;
    encode(w, version, q);
    EXPECT_TRUE(w.ok());
    Ticket t;
    t.slot = ++slots;
    t.api = Request::kApiKey;
    t.version = version;
    Ctx c = ctx();
    Out out;
    controller.on_request(c, t, w.finish_contiguous(), out);
    take(out);
    if (commit_now) commit();
    return answer<Response>(t.slot);
  }
  template<class Response>
  std::optional<Response> answer(uint32_t slot) {
    const auto r = replies.find(slot);
    if (r == replies.end()) return std::nullopt;
    EXPECT_FALSE(r->second.close);
    Writer w;
    for (const Slice& s : r->second.body) w.raw(s.span());
    bodies.push_back(w.finish_contiguous());
    Reader reader(bodies.back().span());
    Response a;
    EXPECT_TRUE(decode(reader, scratch.arena, r->second.ticket.version, a));
    return a;
  }
  void commit() {
    Ctx c = ctx();
    Out out;
    committed_records = log.size();
    controller.committed(c, next, out);
    take(out);
  }
  void wait(Duration d) {
    now = now + d;
    Ctx c = ctx();
    Out out;
    controller.on_time(c, out);
    take(out);
    commit();
  }
  void refused(int32_t broker) {
    Ctx c = ctx();
    Out out;
    controller.broker_refused(c, NodeId{broker}, out);
    take(out);
    commit();
  }

  // --- requests in short ---
  protocol::BrokerRegistrationRequest registration(int32_t id, uint64_t incarnation, int64_t previous_epoch = -1) {
    protocol::BrokerRegistrationRequest q;
    q.broker_id = id;
    q.cluster_id = "lab";
    q.incarnation_id = test_uuid(id, incarnation);
    auto& l = q.listeners.add(scratch.arena);
    l.name = "PLAINTEXT", l.host = "h", l.port = static_cast<uint16_t>(9000 + id);
    for (const char* name : {"metadata.version", "group.version", "transaction.version", "share.version",
                             "streams.version", "eligible.leader.replicas.version"}) {
      auto& f = q.features.add(scratch.arena);
      f.name = name;
      f.min_supported_version = name == std::string_view("metadata.version") ? 7 : 0;
      f.max_supported_version = 30;
    }
    q.rack = kNullStr;
    q.log_dirs.push_back(scratch.arena, test_uuid(1000 + id));
    q.previous_broker_epoch = previous_epoch;
    return q;
  }
  BrokerEpoch epoch_of(int32_t id) {
    const metadata::Broker* b = controller.latest().broker(NodeId{id});
    return b ? b->epoch : -1;
  }
  ErrorCode register_broker(int32_t id, uint64_t incarnation, int64_t previous_epoch = -1) {
    const auto a = ask<protocol::BrokerRegistrationResponse>(registration(id, incarnation, previous_epoch), 4);
    return static_cast<ErrorCode>(a->error_code);
  }
  struct Beat {
    bool fence = false;
    bool shut_down = false;
    Offset reached = -1;  // -1: all
    std::optional<std::vector<Uuid>> cordoned = {};
  };
  protocol::BrokerHeartbeatResponse beat(int32_t id, Beat b) {
    protocol::BrokerHeartbeatRequest q;
    q.broker_id = id;
    q.broker_epoch = epoch_of(id);
    q.current_metadata_offset = b.reached < 0 ? next - 1 : b.reached;
    q.want_fence = b.fence;
    q.want_shut_down = b.shut_down;
    if (b.cordoned) q.cordoned_log_dirs = {};
    for (const Uuid& dir : b.cordoned.value_or(std::vector<Uuid>())) q.cordoned_log_dirs.push_back(scratch.arena, dir);
    return *ask<protocol::BrokerHeartbeatResponse>(q, 2);
  }
  protocol::BrokerHeartbeatResponse beat(int32_t id) { return beat(id, Beat()); }
  void start_broker(int32_t id, uint64_t incarnation = 1) {
    EXPECT_EQ(register_broker(id, incarnation), ErrorCode::none);
    EXPECT_FALSE(beat(id).is_fenced);
  }
  struct NewTopic {
    std::string name;
    int32_t partitions = 1;
    int16_t factor = 1;
    std::vector<std::pair<std::string, const char*>> configs = {};
    std::vector<std::pair<int32_t, std::vector<int32_t>>> assignments = {};
  };
  protocol::CreateTopicsRequest creation(const std::vector<NewTopic>& topics) {
    protocol::CreateTopicsRequest q;
    Arena& arena = scratch.arena;
    for (const NewTopic& t : topics) {
      auto& out = q.topics.add(arena);
      out.name = arena.copy(t.name);
      out.num_partitions = t.partitions;
      out.replication_factor = t.factor;
      for (const auto& [name, value] : t.configs) {
        auto& c = out.configs.add(arena);
        c.name = arena.copy(name);
        c.value = value ? arena.copy(value) : kNullStr;
      }
      for (const auto& [index, brokers] : t.assignments) {
        auto& a = out.assignments.add(arena);
        a.partition_index = index;
        for (int32_t b : brokers) a.broker_ids.push_back(arena, b);
      }
    }
    return q;
  }
  protocol::CreateTopicsResponse create(const std::vector<NewTopic>& topics) {
    return *ask<protocol::CreateTopicsResponse>(creation(topics), 7);
  }
  ErrorCode create_one(const NewTopic& t) { return static_cast<ErrorCode>(create({t}).topics[0].error_code); }
  const PartitionInfo& partition(std::string_view topic, int32_t index = 0) {
    const metadata::Topic* t = controller.latest().topic(topic);
    EXPECT_NE(t, nullptr);
    return *t->partitions.find(index);
  }
  struct Isr {
    std::string topic;
    int32_t partition = 0;
    std::vector<int32_t> isr;
    int64_t member_epoch_off = 0;  // added to the last member's broker epoch
    int32_t leader_epoch_off = 0;
    int32_t partition_epoch_off = 0;
    int32_t from = -1;  // -1: the leader
  };
  ErrorCode alter_isr(const Isr& i, int16_t version = 3) {
    const PartitionInfo& p = partition(i.topic, i.partition);
    protocol::AlterPartitionRequest q;
    q.broker_id = i.from < 0 ? p.leader.value : i.from;
    q.broker_epoch = epoch_of(q.broker_id);
    auto& t = q.topics.add(scratch.arena);
    t.topic_id = controller.latest().topic(i.topic)->id;
    auto& d = t.partitions.add(scratch.arena);
    d.partition_index = i.partition;
    d.leader_epoch = p.leader_epoch + i.leader_epoch_off;
    d.partition_epoch = p.partition_epoch + i.partition_epoch_off;
    for (int32_t n : i.isr) {
      if (version < 3) {
        d.new_isr.push_back(scratch.arena, n);
        continue;
      }
      auto& m = d.new_isr_with_epochs.add(scratch.arena);
      m.broker_id = n;
      m.broker_epoch = epoch_of(n) + (n == i.isr.back() ? i.member_epoch_off : 0);
    }
    const auto a = ask<protocol::AlterPartitionResponse>(q, version);
    return static_cast<ErrorCode>(a->error_code ? a->error_code : a->topics[0].partitions[0].error_code);
  }

  // --- truth ---
  struct LogRecord {
    Offset offset;
    Slice frame;
  };
  metadata::Image fold() {
    metadata::Image image;
    for (const LogRecord& r : log) EXPECT_TRUE(image.apply(scratch.arena, r.offset, r.frame.span()).has_value());
    return image;
  }
  void take(Out& out) {
    for (Append& a : out.appends) {
      EXPECT_EQ(a.base, next);
      EXPECT_EQ(a.epoch, controller.epoch());
      ++appends;
      for (Slice& s : a.records) log.push_back({next++, s});
    }
    for (Reply& r : out.replies) {
      EXPECT_FALSE(replies.contains(r.ticket.slot)) << "answered twice";
      replies[r.ticket.slot] = r;
    }
    check();
  }
  // Throws, so that a property can shrink what failed.
  void check() {
    if (!controller.active()) return;
    const metadata::Image& image = controller.latest();
    const metadata::Image again = fold();
    KLAMM_ASSERT(image == again);
    KLAMM_ASSERT(state_hash(image) == state_hash(again));
    for (const auto& [id, topic] : image.topics()) {
      const std::string* min = image.config({metadata::ResourceType::topic, topic.name}, "min.insync.replicas");
      if (!min) min = image.config({metadata::ResourceType::broker, ""}, "min.insync.replicas");
      for (const auto& [index, p] : topic.partitions)
        check_one(image, p, effective_min_isr(min ? std::stoi(*min) : 1, p.replicas.size()));
    }
  }
  void check_one(const metadata::Image& image, const PartitionInfo& p, size_t min_isr) {
    check_partition(p);  // R3, and R9's sets
    for (NodeId n : p.isr) {
      KLAMM_ASSERT(image.active(n));  // R9: with the elr a fenced broker is in no isr
    }
    KLAMM_ASSERT(p.leader == kNoNode || image.active(p.leader));
    KLAMM_ASSERT(p.leader != kNoNode || p.isr.empty());
    KLAMM_ASSERT(p.isr.size() < min_isr || p.elr.empty());
  }

  Instant now{1};
  TestChance chance;
  Flaws flaws;
  NoTrace trace;
  Scratch scratch;
  Controller controller;
  Offset next = 0;  // of the next append
  std::vector<LogRecord> log;
  size_t committed_records = 0;
  size_t appends = 0;
  uint32_t slots = 0;
  std::map<uint32_t, Reply> replies;
  std::deque<Slice> bodies;  // of decoded answers
};

}  // namespace klamm::controller
