#include "engine/client/admin.h"

#include <algorithm>

#include "engine/protocol/messages/create_topics.h"
#include "engine/protocol/messages/delete_topics.h"
#include "engine/protocol/messages/list_offsets.h"

namespace klamm::client {

namespace {

constexpr size_t kNameMax = 1000;  // longer names are not sent: the wire could not carry every one

bool sendable(const std::string& name) { return name.size() <= kNameMax; }

}  // namespace

std::optional<Admin::Kind> Admin::kind_of(const std::string& verb) {
  static constexpr std::pair<std::string_view, Kind> kVerbs[] = {
      {"create_topics", Kind::create},        {"delete_topics", Kind::remove},
      {"describe", Kind::describe},           {"offset", Kind::offset},
      {"delete_records", Kind::records},      {"alter_configs", Kind::configs},
      {"create_partitions", Kind::partitions}};
  for (const auto& [name, kind] : kVerbs)
    if (name == verb) return kind;
  return std::nullopt;
}

bool Admin::ask(Turn& turn, uint64_t token, const std::string& verb, const Slice& bytes) {
  const auto kind = kind_of(verb);
  KLAMM_ASSERT(kind);
  Operation op{*kind, token, bytes, turn.now(), false, {retry_backoff_}, {}};
  bool good = true;
  int32_t timeout_ms = 0;
  if (op.kind == Kind::create) {
    CreateTopics ask;
    good = unpack(bytes, ask);
    timeout_ms = ask.timeout_ms;
    for (const NewTopic& t : ask.topics) {
      good = good && sendable(t.name);
      for (const NewTopic::Config& c : t.configs) good = good && sendable(c.name) && c.value.size() <= INT16_MAX;
    }
  } else if (op.kind == Kind::remove) {
    DeleteTopics ask;
    good = unpack(bytes, ask);
    timeout_ms = ask.timeout_ms;
    for (const std::string& name : ask.names) good = good && sendable(name);
  } else if (op.kind == Kind::offset) {
    OffsetAt ask;
    good = unpack(bytes, ask) && sendable(ask.partition.topic);
    timeout_ms = ask.timeout_ms;
  } else if (op.kind == Kind::records) {
    DeleteRecords ask;
    good = unpack(bytes, ask) && sendable(ask.partition.topic);
    timeout_ms = ask.timeout_ms;
  } else if (op.kind == Kind::configs) {
    AlterConfigs ask;
    good = unpack(bytes, ask) && sendable(ask.topic);
    timeout_ms = ask.timeout_ms;
    for (const AlterConfigs::Config& c : ask.configs)
      good = good && sendable(c.name) && (!c.value || c.value->size() <= INT16_MAX);
  } else if (op.kind == Kind::partitions) {
    CreatePartitions ask;
    good = unpack(bytes, ask) && sendable(ask.topic);
    timeout_ms = ask.timeout_ms;
  } else {
    Describe ask;
    good = unpack(bytes, ask) && (ask.node < 0 || turn.calls.address(static_cast<uint64_t>(ask.node)));
    timeout_ms = ask.timeout_ms;
    if (ask.topics)
      for (const std::string& name : *ask.topics) good = good && sendable(name);
  }
  if (!good || operations_.size() >= kOperationsMax) return false;
  op.give_up = turn.now() + milliseconds(timeout_ms);
  operations_[++last_] = std::move(op);
  return true;
}

void Admin::pump(Turn& turn) {
  deadline_ = kNever;
  for (auto it = operations_.begin(); it != operations_.end();) {
    Operation& op = it->second;
    if (turn.now() >= op.give_up) {
      finish(turn, op, ErrorCode::request_timed_out);
      it = operations_.erase(it);
      continue;
    }
    deadline_ = earlier(deadline_, op.give_up);
    if (!op.under_way) {
      if (turn.now() >= op.backoff.until)
        op.under_way = send(turn, it->first, op);
      else
        deadline_ = earlier(deadline_, op.backoff.until);
    }
    ++it;
  }
}

CallTo Admin::to(Turn& turn, uint32_t number, const Operation& op, uint64_t peer) const {
  const Owner owner{static_cast<uint16_t>(Part::admin), static_cast<uint16_t>(op.kind), number};
  return {peer, kAdminChannel, 0, std::min(op.give_up - turn.now(), request_timeout_), owner};
}

PartitionView Admin::leader(Turn& turn, Operation& op, const TopicPartition& tp) {
  turn.cluster.want(tp.topic);
  const PartitionView at = turn.cluster.leader(tp.topic, tp.partition);
  if (at.leader == kNoNode) {
    turn.cluster.stale();
    op.backoff.failed(turn.now());
  }
  return at;
}

bool Admin::send_offset(Turn& turn, uint32_t number, Operation& op) {
  OffsetAt ask;
  unpack(op.ask, ask);
  const PartitionView at = leader(turn, op, ask.partition);
  if (at.leader == kNoNode) return false;
  Arena& arena = turn.ctx().arena();
  protocol::ListOffsetsRequest request;
  request.replica_id = -1;
  auto& topic = request.topics.add(arena);
  topic.name = arena.copy(ask.partition.topic);
  auto& p = topic.partitions.add(arena);
  p.partition_index = ask.partition.partition;
  p.current_leader_epoch = at.epoch;
  p.timestamp = ask.at;
  return go(turn, to(turn, number, op, static_cast<uint64_t>(at.leader.value)), op, request, {4, 10});
}

bool Admin::send(Turn& turn, uint32_t number, Operation& op) {
  if (op.kind == Kind::offset) return send_offset(turn, number, op);
  if (op.kind == Kind::records) return send_delete_records(turn, number, op);
  if (op.kind == Kind::configs) return send_alter_configs(turn, number, op);
  if (op.kind == Kind::partitions) return send_create_partitions(turn, number, op);
  Arena& arena = turn.ctx().arena();
  CallTo call = to(turn, number, op, turn.cluster.any());
  const auto wait_ms = static_cast<int32_t>(call.timeout.ms());
  if (op.kind == Kind::create) {
    CreateTopics ask;
    unpack(op.ask, ask);
    protocol::CreateTopicsRequest request;
    request.timeout_ms = wait_ms;
    for (const NewTopic& t : ask.topics) {
      if (op.settled.count(t.name)) continue;
      auto& out = request.topics.add(arena);
      out.name = arena.copy(t.name);
      out.num_partitions = t.partitions;
      out.replication_factor = t.replicas;
      for (size_t i = 0; i < t.assignment.size(); ++i) {
        auto& a = out.assignments.add(arena);
        a.partition_index = static_cast<int32_t>(i);
        for (const int32_t b : t.assignment[i]) a.broker_ids.add(arena) = b;
      }
      for (const NewTopic::Config& c : t.configs) {
        auto& config = out.configs.add(arena);
        config.name = arena.copy(c.name);
        config.value = arena.copy(c.value);
      }
    }
    return go(turn, call, op, request, {4, 7});
  }
  if (op.kind == Kind::remove) {
    DeleteTopics ask;
    unpack(op.ask, ask);
    protocol::DeleteTopicsRequest request;
    request.timeout_ms = wait_ms;
    for (const std::string& name : ask.names)
      if (!op.settled.count(name)) request.topic_names.add(arena) = arena.copy(name);
    return go(turn, call, op, request, {1, 5});
  }
  Describe ask;
  unpack(op.ask, ask);
  if (ask.node >= 0) call.peer = static_cast<uint64_t>(ask.node);
  protocol::MetadataRequest request;
  request.allow_auto_topic_creation = false;
  if (!ask.topics) request.topics = decltype(request.topics)::null();
  if (ask.topics)
    for (const std::string& name : *ask.topics) request.topics.add(arena).name = arena.copy(name);
  return go(turn, call, op, request, {4, 12});
}

void Admin::on_answer(Turn& turn, const net::Answer& answer) {
  const auto it = operations_.find(own_of(answer.owner.key));
  if (it == operations_.end()) return;
  Operation& op = it->second;
  op.under_way = false;
  bool done = false;
  if (answer.error != IoError::none) {
    turn.cluster.failed(turn, answer.peer);
    turn.cluster.stale();
  } else {
    switch (op.kind) {
      case Kind::create: done = take_created(turn, op, answer); break;
      case Kind::remove: done = take_deleted(turn, op, answer); break;
      case Kind::describe: done = take_description(turn, op, answer); break;
      case Kind::offset: done = take_offset(turn, op, answer); break;
      case Kind::records: done = take_records_deleted(turn, op, answer); break;
      case Kind::configs: done = take_altered(turn, op, answer); break;
      case Kind::partitions: done = take_partitions_created(turn, op, answer); break;
    }
  }
  if (!done) return op.backoff.failed(turn.now());
  const bool changing = op.kind == Kind::create || op.kind == Kind::remove;
  if (changing) finish(turn, op, ErrorCode::none);
  if (changing) turn.cluster.stale();
  operations_.erase(it);
}

// True if this topic needs no other try.
bool Admin::settle(Operation& op, const TopicResults::Topic& result) {
  if (result.error != ErrorCode::none && retriable(result.error) &&
      result.error != ErrorCode::unknown_topic_or_partition)
    return false;
  op.settled[result.name] = pack(result);
  return true;
}

bool Admin::take_created(Turn& turn, Operation& op, const net::Answer& answer) {
  const auto* r = response_of<protocol::CreateTopicsResponse>(turn, answer);
  bool all = r != nullptr;
  if (r)
    for (const auto& t : r->topics)
      all = settle(op, {std::string(t.name), static_cast<ErrorCode>(t.error_code), std::string(t.error_message),
                        t.topic_id}) &&
            all;
  return all;
}

bool Admin::take_deleted(Turn& turn, Operation& op, const net::Answer& answer) {
  const auto* r = response_of<protocol::DeleteTopicsResponse>(turn, answer);
  bool all = r != nullptr;
  if (r)
    for (const auto& t : r->responses)
      all = settle(op, {std::string(t.name), static_cast<ErrorCode>(t.error_code), std::string(t.error_message),
                        t.topic_id}) &&
            all;
  return all;
}

bool Admin::take_offset(Turn& turn, Operation& op, const net::Answer& answer) {
  const auto* r = response_of<protocol::ListOffsetsResponse>(turn, answer);
  if (!r || r->topics.size() != 1 || r->topics[0].partitions.size() != 1) return false;
  const auto& p = r->topics[0].partitions[0];
  const auto error = static_cast<ErrorCode>(p.error_code);
  if (error != ErrorCode::none && refreshes_metadata(error)) turn.cluster.stale();
  if (error != ErrorCode::none && retriable(error)) return false;
  turn.answer(op.token, OffsetResult{error, p.offset, p.leader_epoch});
  return true;
}

bool Admin::take_description(Turn& turn, Operation& op, const net::Answer& answer) {
  const auto* r = response_of<protocol::MetadataResponse>(turn, answer);
  if (!r) return false;
  turn.cluster.learn(turn, *r);
  Description out;
  out.cluster_id = std::string(r->cluster_id);
  out.controller = r->controller_id;
  for (const auto& b : r->brokers) out.brokers.push_back({b.node_id, std::string(b.host), b.port});
  for (const auto& t : r->topics) {
    Description::Topic topic{std::string(t.name), t.topic_id, static_cast<ErrorCode>(t.error_code), {}};
    for (const auto& p : t.partitions)
      topic.partitions.push_back({p.partition_index,
                                  static_cast<ErrorCode>(p.error_code),
                                  p.leader_id,
                                  p.leader_epoch,
                                  {p.replica_nodes.begin(), p.replica_nodes.end()},
                                  {p.isr_nodes.begin(), p.isr_nodes.end()}});
    std::stable_sort(topic.partitions.begin(), topic.partitions.end(),
                     [](const auto& a, const auto& b) { return a.index < b.index; });
    out.topics.push_back(std::move(topic));
  }
  turn.answer(op.token, out);
  return true;
}

void Admin::finish(Turn& turn, const Operation& op, ErrorCode error) {
  if (op.kind == Kind::describe) return turn.answer(op.token, Description{.error = error});
  if (op.kind == Kind::offset) return turn.answer(op.token, OffsetResult{.error = error});
  if (op.kind == Kind::records) return turn.answer(op.token, RecordsDeleted{.error = error});
  if (op.kind == Kind::configs || op.kind == Kind::partitions) return turn.answer(op.token, Done{error, {}});
  TopicResults out{error, {}};
  for (const auto& [name, result] : op.settled) unpack(result, out.topics.emplace_back());
  turn.answer(op.token, out);
}

}  // namespace klamm::client
