// Administration: each operation is tried at one node after the other until it is done or its time is over.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "engine/client/cluster.h"
#include "engine/client/verbs.h"

namespace klamm::client {

class Admin final {
 public:
  static constexpr size_t kOperationsMax = 1024;

  Admin(Duration request_timeout, Duration retry_backoff)
      : request_timeout_(request_timeout), retry_backoff_(retry_backoff) {}
  static bool knows(const std::string& verb) { return kind_of(verb).has_value(); }
  // A verb that it knows. False: the bytes cannot be understood.
  bool ask(Turn& turn, uint64_t token, const std::string& verb, const Slice& bytes);
  void on_answer(Turn& turn, const net::Answer& answer);
  void pump(Turn& turn);
  Instant next_deadline() const { return deadline_; }

  template<class V>
  void fields(V& v) const {
    v("operations", operations_), v("last", last_), v("deadline", deadline_);
  }

 private:
  enum class Kind : uint8_t { create, remove, describe, offset, records, configs, partitions };
  static std::optional<Kind> kind_of(const std::string& verb);
  struct Operation {
    Kind kind = Kind::create;
    uint64_t token = 0;
    Slice ask;  // as it came; decoded for each try
    Instant give_up;
    bool under_way = false;
    Backoff backoff;
    std::map<std::string, Slice> settled;  // packed results, by topic
    template<class V>
    void fields(V& v) const {
      v("kind", kind), v("token", token), v("ask", ask), v("give_up", give_up), v("under_way", under_way),
          v("backoff", backoff), v("settled", settled);
    }
  };
  bool send(Turn& turn, uint32_t number, Operation& op);
  // What an answer tells; false: try again.
  bool take_created(Turn& turn, Operation& op, const net::Answer& answer);
  bool take_deleted(Turn& turn, Operation& op, const net::Answer& answer);
  bool take_description(Turn& turn, Operation& op, const net::Answer& answer);
  bool take_offset(Turn& turn, Operation& op, const net::Answer& answer);
  bool send_offset(Turn& turn, uint32_t number, Operation& op);
  // admin_changes.cc: of what is there
  bool send_delete_records(Turn& turn, uint32_t number, Operation& op);
  bool send_alter_configs(Turn& turn, uint32_t number, Operation& op);
  bool send_create_partitions(Turn& turn, uint32_t number, Operation& op);
  bool take_records_deleted(Turn& turn, Operation& op, const net::Answer& answer);
  bool take_altered(Turn& turn, Operation& op, const net::Answer& answer);
  bool take_partitions_created(Turn& turn, Operation& op, const net::Answer& answer);
  // Once the node has said which versions it knows; true: it is under way.
  template<class Request>
  bool go(Turn& turn, CallTo call, Operation& op, const Request& request, protocol::Versions versions) {
    call.version = turn.cluster.version(turn, call.peer, Request::kApiKey, versions);
    if (call.version == Cluster::kUnsupported) op.backoff.failed(turn.now());
    if (call.version >= 0) turn.call(call, request);
    return call.version >= 0;
  }
  // The leader, or kNoNode: then it is looked for.
  PartitionView leader(Turn& turn, Operation& op, const TopicPartition& tp);
  CallTo to(Turn& turn, uint32_t number, const Operation& op, uint64_t peer) const;
  bool settle(Operation& op, const TopicResults::Topic& result);
  void finish(Turn& turn, const Operation& op, ErrorCode error);

  Duration request_timeout_;
  Duration retry_backoff_;
  std::map<uint32_t, Operation> operations_;
  uint32_t last_ = 0;
  Instant deadline_ = kNever;
};

}  // namespace klamm::client
