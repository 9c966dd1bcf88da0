// Administration: each operation is tried at one node after the other until it is done or its time is over.
#pragma once
#include <map>
#include <string>

#include "engine/client/cluster.h"
#include "engine/client/verbs.h"

namespace klamm::client {

class Admin final {
 public:
  static constexpr size_t kOperationsMax = 1024;

  Admin(Duration request_timeout, Duration retry_backoff)
      : request_timeout_(request_timeout), retry_backoff_(retry_backoff) {}
  // `verb` is one of create_topics, delete_topics, describe, offset. False: the bytes cannot be understood.
  bool ask(Turn& turn, uint64_t token, const std::string& verb, const Slice& bytes);
  void on_answer(Turn& turn, const net::Answer& answer);
  void pump(Turn& turn);
  Instant next_deadline() const { return deadline_; }

  template<class V>
  void fields(V& v) const {
    v("operations", operations_), v("last", last_), v("deadline", deadline_);
  }

 private:
  enum class Kind : uint8_t { create, remove, describe, offset };
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
