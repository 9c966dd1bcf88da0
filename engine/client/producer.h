// A producer: records in, one answer for each. Idempotent by default: exactly once and in order per partition.
//
// A record goes   waiting (its topic is not known yet) -> batch of its partition -> request -> answered.
// A batch goes    filling -> closed (full, lingered, flushed) -> in flight -> gone
//                                        ^                           |
//                                        +------- retry, renumber ---+
// The batches of a partition in flight are at its front, in order, and all at one node; a batch that failed once goes
// alone. With 5 in flight at most, a broker remembers enough to recognise every copy.
#pragma once
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "engine/base/chance.h"
#include "engine/client/cluster.h"
#include "engine/client/rules.h"
#include "engine/client/verbs.h"
#include "engine/protocol/messages/init_producer_id.h"
#include "engine/protocol/messages/produce.h"

namespace klamm::client {

class Producer final {
 public:
  Producer(const ProducerOpen& options, uint64_t token, Duration retry_backoff);

  void produce(Turn& turn, uint64_t token, Produce&& ask);
  void flush(Turn& turn, uint64_t token);
  // Answers whatever is unanswered; the host forgets the producer and its connections then.
  void close(Turn& turn);

  void on_answer(Turn& turn, const net::Answer& answer);
  void pump(Turn& turn);  // after anything has changed, and at the deadline
  Instant next_deadline() const { return deadline_; }

  template<class V>
  void fields(V& v) const {
    v("client", options_.client), v("open_token", open_token_), v("producer_id", producer_id_),
        v("producer_epoch", producer_epoch_), v("asking_id", asking_id_), v("id_backoff", id_backoff_),
        v("topics", topics_), v("requests", requests_), v("in_flight", in_flight_), v("flushes", flushes_),
        v("buffered", buffered_), v("unanswered", unanswered_), v("last_request", last_request_),
        v("last_batch", last_batch_), v("deadline", deadline_), v("dice", dice_);
  }

 private:
  static constexpr size_t kRequestBytesMax = 1 << 20;
  static constexpr int64_t kRecordOverhead = 64;  // what a buffered record is charged beside its bytes
  static constexpr size_t kFlushesMax = 1024;
  enum Step : uint16_t { kProducerId, kProduce };

  struct Pending {  // a record until it is encoded
    uint64_t token = 0;
    int64_t bytes = 0;
    int32_t partition = -1;
    Instant created;
    NewRecord record;
    template<class V>
    void fields(V& v) const {
      v("token", token), v("bytes", bytes), v("partition", partition), v("created", created);
    }
  };
  struct Batch {
    uint64_t number = 0;
    std::deque<Pending> records;   // until encoded
    std::vector<uint64_t> tokens;  // in order
    int64_t bytes = 0;
    Instant created;
    Slice encoded;
    int32_t sequence = -1;  // assigned at the first send; -1 without idempotence
    bool closed = false;
    bool in_flight = false;
    bool tried = false;      // and failed
    bool uncertain = false;  // an earlier try may have been written
    template<class V>
    void fields(V& v) const {
      v("number", number), v("records", records), v("tokens", tokens), v("bytes", bytes), v("created", created),
          v("encoded", encoded), v("sequence", sequence), v("closed", closed), v("in_flight", in_flight),
          v("tried", tried), v("uncertain", uncertain);
    }
  };
  struct Queue {  // of a partition
    std::deque<Batch> batches;
    ProducerId producer_id = -1;
    ProducerEpoch epoch = -1;
    int32_t next_sequence = 0;
    bool taken = false;     // a batch of this id and epoch
    Gap gap = Gap::none;    // then no new sequence is given out until those given are settled
    NodeId at = kNoNode;    // where the batches in flight are
    int32_t in_flight = 0;  // <= 5
    Backoff backoff;
    template<class V>
    void fields(V& v) const {
      v("batches", batches), v("producer_id", producer_id), v("epoch", epoch), v("next_sequence", next_sequence),
          v("taken", taken), v("gap", gap), v("at", at), v("in_flight", in_flight), v("backoff", backoff);
    }
  };
  struct Topic {
    std::deque<Pending> waiting;
    std::vector<Queue> queues;  // grows with the topic
    int32_t sticky = -1;        // where records without key go until a batch is full
    template<class V>
    void fields(V& v) const {
      v("waiting", waiting), v("queues", queues), v("sticky", sticky);
    }
  };
  struct Sent {  // one batch in a request
    std::string topic;
    int32_t partition = 0;
    uint64_t batch = 0;
    template<class V>
    void fields(V& v) const {
      v("topic", topic), v("partition", partition), v("batch", batch);
    }
  };
  struct Request {
    NodeId node;
    std::vector<Sent> batches;
    template<class V>
    void fields(V& v) const {
      v("node", node), v("batches", batches);
    }
  };
  struct Candidate {  // a batch that may go now; for a turn
    const std::string* topic;
    const TopicView* view;
    int32_t partition;
    Queue* queue;
    Batch* batch;
  };

  // producer_batches.cc: records become batches, batches are settled
  void route(Turn& turn, const std::string& name, Topic& topic);
  int32_t choose(Turn& turn, const TopicView& view, Topic& topic, const Pending& record);
  void append(Queue& queue, Pending&& record);
  void encode(const Queue& queue, Batch& batch);
  void expire(Turn& turn, const std::string& name, Topic& topic);
  void settle(Turn& turn, const Sent& at, ErrorCode error, int64_t base_offset);
  void give_up(Turn& turn, const Sent& at, Queue& queue, size_t index, ErrorCode error, bool maybe);
  void answer_batch(Turn& turn, const Sent& at, const Batch& batch, const Produced& result);
  void answer_record(Turn& turn, uint64_t token, int64_t bytes, const Produced& result);
  void answer_flushes(Turn& turn);

  // producer.cc: requests
  bool idempotent() const { return options_.idempotent; }
  void ask_id(Turn& turn);
  Batch* next_batch(Turn& turn, Queue& queue, NodeId leader);
  bool has_sequence(Queue& queue, const Batch& batch);
  void collect(Turn& turn, std::map<NodeId, std::vector<Candidate>>& out);
  bool send_to(Turn& turn, NodeId node, const std::vector<Candidate>& ready);
  void launch(NodeId node, const Candidate& candidate);
  void wake_at(Instant at) { deadline_ = earlier(deadline_, at); }
  void produce_answered(Turn& turn, const net::Answer& answer);

  ProducerOpen options_;
  uint64_t open_token_;  // 0 once answered
  Duration retry_backoff_;
  ProducerId producer_id_ = -1;
  ProducerEpoch producer_epoch_ = -1;
  bool asking_id_ = false;
  Backoff id_backoff_;
  std::map<std::string, Topic> topics_;
  std::map<uint32_t, Request> requests_;
  std::map<NodeId, int32_t> in_flight_;
  std::vector<uint64_t> flushes_;  // tokens; while there are any, no batch lingers
  int64_t buffered_ = 0;           // bytes charged, <= options_.buffer_bytes
  uint64_t unanswered_ = 0;
  uint32_t last_request_ = 0;
  uint64_t last_batch_ = 0;
  Instant deadline_ = kNever;
  Dice dice_;
};

}  // namespace klamm::client
