// What one asks of a client host (Asked{token, verb, bytes}) and what it answers (Answered{token, last, bytes}).
// The bytes are `pack(struct)`; see pack.h. Clients are named by a number of the asker's choice, 1 to kClientMax.
//
//   verb                  asks             answers
//   producer.open         ProducerOpen     Done, once records can be sent (with idempotence: a producer id is there)
//   produce               Produce          Produced for every record, as if asked singly by token, token + 1, ...
//   flush                 ClientRef        Done, once no record is unanswered; nothing lingers until then
//   consumer.open         ConsumerOpen     ConsumerEvent again and again; `last` when the consumer is closed
//   assign                Assign           Done
//   subscribe             Subscribe        Done (what was assigned comes as ConsumerEvent)
//   commit                ClientRef        Done, when the positions of what was delivered are committed
//   pause, resume         ClientRef        Done (no fetch is sent while paused; one under way is delivered)
//   close                 ClientRef        Done; a producer's unanswered records fail first, a group is left
//   create_topics         CreateTopics     TopicResults
//   delete_topics         DeleteTopics     TopicResults
//   describe              Describe         Description
//   offset                OffsetAt         OffsetResult
//   delete_records        DeleteRecords    RecordsDeleted
//   alter_configs         AlterConfigs     Done
//   create_partitions     CreatePartitions Done
//   stop                  (nothing)        no answer; the host exits
//
// A verb that cannot be understood, or names no client, is answered by Done{invalid_request}.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/error_code.h"
#include "engine/client/pack.h"

namespace klamm::client {

inline constexpr uint32_t kClientMax = 30'000;

struct ClientRef {
  uint32_t client = 0;
  template<class C>
  void wire(C& c) {
    c(client);
  }
};

struct Done {
  ErrorCode error = ErrorCode::none;
  std::string message;
  template<class C>
  void wire(C& c) {
    c(error, message);
  }
};

struct Header {
  std::string key;
  std::optional<Slice> value;
  template<class C>
  void wire(C& c) {
    c(key, value);
  }
};

// ---- producing

struct ProducerOpen {
  uint32_t client = 0;
  int16_t acks = -1;       // -1, 0 or 1
  bool idempotent = true;  // needs acks -1
  int8_t compression = 0;  // as in a batch's attributes: none, gzip, snappy, lz4, zstd
  int32_t linger_ms = 0;
  int32_t batch_bytes = 16 << 10;
  int32_t in_flight = 5;  // requests per node, 1 to 5
  int32_t request_timeout_ms = 30'000;
  int32_t delivery_timeout_ms = 120'000;
  int64_t buffer_bytes = 32 << 20;  // a record beyond is answered with request_timed_out at once
  template<class C>
  void wire(C& c) {
    c(client, acks, idempotent, compression, linger_ms, batch_bytes, in_flight, request_timeout_ms, delivery_timeout_ms,
      buffer_bytes);
  }
};

struct NewRecord {
  std::optional<Slice> key;
  std::optional<Slice> value;
  int64_t timestamp = -1;  // ms; -1: the host's wall clock
  std::vector<Header> headers;
  template<class C>
  void wire(C& c) {
    c(key, value, timestamp, headers);
  }
};

struct Produce {
  uint32_t client = 0;
  std::string topic;
  int32_t partition = -1;  // -1: by the key's murmur2; without a key one partition until a batch is full
  std::vector<NewRecord> records;
  template<class C>
  void wire(C& c) {
    c(client, topic, partition, records);
  }
};

// `none`: written as acks demands, exactly once with idempotence. Otherwise `written` says what is known.
struct Produced {
  ErrorCode error = ErrorCode::none;
  bool maybe_written = false;  // an error, but a request with the record was sent and its fate is unknown
  int32_t partition = -1;
  int64_t offset = -1;  // -1: unknown (acks 0, or the answer of a duplicate)
  Uuid topic_id;
  template<class C>
  void wire(C& c) {
    c(error, maybe_written, partition, offset, topic_id);
  }
};

// ---- consuming

enum class Reset : int8_t { earliest, latest, none };

struct ConsumerOpen {
  uint32_t client = 0;
  std::string group;     // empty: none
  std::string instance;  // group.instance.id; empty: a dynamic member
  Reset reset = Reset::earliest;
  int32_t fetch_wait_ms = 500;
  int32_t fetch_min_bytes = 1;
  int32_t fetch_max_bytes = 50 << 20;
  int32_t partition_max_bytes = 1 << 20;
  int32_t session_timeout_ms = 45'000;
  int32_t heartbeat_ms = 3'000;
  int32_t rebalance_timeout_ms = 300'000;
  int32_t auto_commit_ms = 5'000;  // 0: only by `commit`
  int32_t request_timeout_ms = 30'000;
  template<class C>
  void wire(C& c) {
    c(client, group, instance, reset, fetch_wait_ms, fetch_min_bytes, fetch_max_bytes, partition_max_bytes,
      session_timeout_ms, heartbeat_ms, rebalance_timeout_ms, auto_commit_ms, request_timeout_ms);
  }
};

struct TopicPartition {
  std::string topic;
  int32_t partition = 0;
  friend auto operator<=>(const TopicPartition&, const TopicPartition&) = default;
  template<class C>
  void wire(C& c) {
    c(topic, partition);
  }
  template<class V>
  void fields(V& v) const {
    v("topic", topic), v("partition", partition);
  }
};

inline constexpr int64_t kFromEnd = -1;        // ListOffsets' own number
inline constexpr int64_t kFromBeginning = -2;  // likewise
inline constexpr int64_t kFromCommitted = -3;  // of the group; without one, as `reset` says

struct Assign {
  struct From {
    TopicPartition partition;
    int64_t offset = kFromCommitted;
    template<class C>
    void wire(C& c) {
      c(partition, offset);
    }
  };
  uint32_t client = 0;
  std::vector<From> partitions;
  template<class C>
  void wire(C& c) {
    c(client, partitions);
  }
};

struct Subscribe {
  uint32_t client = 0;
  std::vector<std::string> topics;
  template<class C>
  void wire(C& c) {
    c(client, topics);
  }
};

struct ConsumedRecord {
  int64_t offset = 0;
  int64_t timestamp = -1;
  std::optional<Slice> key;
  std::optional<Slice> value;
  std::vector<Header> headers;
  template<class C>
  void wire(C& c) {
    c(offset, timestamp, key, value, headers);
  }
};

struct ConsumerEvent {
  enum class Kind : int8_t {
    opened,
    records,   // of one partition, in order
    assigned,  // partitions: all that are ours now; a group's generation
    revoked,   // the group is about to rebalance, or was lost: none are ours
    error,     // of one partition, or of the group; the consumer goes on unless the error is final
    closed,
  };
  Kind kind = Kind::opened;
  ErrorCode error = ErrorCode::none;
  TopicPartition partition;  // records, error
  Uuid topic_id;             // records
  int64_t next = -1;         // records: the position after them
  int64_t high_watermark = -1;
  std::vector<ConsumedRecord> records;
  std::vector<TopicPartition> partitions;
  int32_t generation = -1;
  template<class C>
  void wire(C& c) {
    c(kind, error, partition, topic_id, next, high_watermark, records, partitions, generation);
  }
};

// ---- administration

struct NewTopic {
  struct Config {
    std::string name;
    std::string value;
    template<class C>
    void wire(C& c) {
      c(name, value);
    }
  };
  std::string name;
  int32_t partitions = -1;                       // -1: the broker's default
  int16_t replicas = -1;                         // likewise
  std::vector<std::vector<int32_t>> assignment;  // of each partition; then the two above stay -1
  std::vector<Config> configs;
  template<class C>
  void wire(C& c) {
    c(name, partitions, replicas, assignment, configs);
  }
};

// Retried at other nodes until the timeout; so a topic may be found to exist because an earlier try made it.
struct CreateTopics {
  std::vector<NewTopic> topics;
  int32_t timeout_ms = 30'000;
  template<class C>
  void wire(C& c) {
    c(topics, timeout_ms);
  }
};

struct DeleteTopics {
  std::vector<std::string> names;
  int32_t timeout_ms = 30'000;
  template<class C>
  void wire(C& c) {
    c(names, timeout_ms);
  }
};

struct TopicResults {
  struct Topic {
    std::string name;
    ErrorCode error = ErrorCode::none;
    std::string message;
    Uuid id;
    template<class C>
    void wire(C& c) {
      c(name, error, message, id);
    }
  };
  ErrorCode error = ErrorCode::none;  // of the whole: request_timed_out
  std::vector<Topic> topics;
  template<class C>
  void wire(C& c) {
    c(error, topics);
  }
};

// Where a partition begins or ends for consumers: kFromBeginning, kFromEnd (the high watermark), or the first record
// of a time in ms or later. Asked of the leader.
struct OffsetAt {
  TopicPartition partition;
  int64_t at = kFromEnd;
  int32_t timeout_ms = 30'000;
  template<class C>
  void wire(C& c) {
    c(partition, at, timeout_ms);
  }
};

struct OffsetResult {
  ErrorCode error = ErrorCode::none;
  int64_t offset = -1;  // -1: there is no such record
  int32_t leader_epoch = -1;
  template<class C>
  void wire(C& c) {
    c(error, offset, leader_epoch);
  }
};

// The partition is to start at an offset; -1: at its high watermark. Asked of the leader.
struct DeleteRecords {
  TopicPartition partition;
  int64_t offset = -1;
  int32_t timeout_ms = 30'000;
  template<class C>
  void wire(C& c) {
    c(partition, offset, timeout_ms);
  }
};

struct RecordsDeleted {
  ErrorCode error = ErrorCode::none;
  int64_t low_watermark = -1;  // no live replica has what is below
  template<class C>
  void wire(C& c) {
    c(error, low_watermark);
  }
};

// Sets what has a value, removes what has none.
struct AlterConfigs {
  struct Config {
    std::string name;
    std::optional<std::string> value;
    template<class C>
    void wire(C& c) {
      c(name, value);
    }
  };
  std::string topic;              // empty: of brokers
  std::optional<int32_t> broker;  // nothing: of all of them
  std::vector<Config> configs;
  int32_t timeout_ms = 30'000;
  template<class C>
  void wire(C& c) {
    c(topic, broker, configs, timeout_ms);
  }
};

// Retried until the timeout; so it may be refused because an earlier try has made them.
struct CreatePartitions {
  std::string topic;
  int32_t count = 0;  // in all
  int32_t timeout_ms = 30'000;
  template<class C>
  void wire(C& c) {
    c(topic, count, timeout_ms);
  }
};

struct Describe {
  std::optional<std::vector<std::string>> topics;  // nothing: all
  int32_t timeout_ms = 30'000;
  int32_t node = -1;  // whose view; it must be known by an earlier answer. -1: anybody's
  template<class C>
  void wire(C& c) {
    c(topics, timeout_ms, node);
  }
};

struct Description {
  struct Broker {
    int32_t id = -1;
    std::string host;
    int32_t port = 0;
    template<class C>
    void wire(C& c) {
      c(id, host, port);
    }
  };
  struct Partition {
    int32_t index = 0;
    ErrorCode error = ErrorCode::none;
    int32_t leader = -1;
    int32_t leader_epoch = -1;
    std::vector<int32_t> replicas;
    std::vector<int32_t> isr;
    template<class C>
    void wire(C& c) {
      c(index, error, leader, leader_epoch, replicas, isr);
    }
  };
  struct Topic {
    std::string name;
    Uuid id;
    ErrorCode error = ErrorCode::none;
    std::vector<Partition> partitions;  // ascending
    template<class C>
    void wire(C& c) {
      c(name, id, error, partitions);
    }
  };
  ErrorCode error = ErrorCode::none;
  std::string cluster_id;
  int32_t controller = -1;
  std::vector<Broker> brokers;
  std::vector<Topic> topics;
  template<class C>
  void wire(C& c) {
    c(error, cluster_id, controller, brokers, topics);
  }
};

}  // namespace klamm::client
