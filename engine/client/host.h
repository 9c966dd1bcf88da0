// A host of clients: any number of producers and consumers, and administration, behind the verbs of verbs.h.
//
// Properties of its boot value, with Kafka's names: bootstrap.servers, client.id, request.timeout.ms, retry.backoff.ms,
// metadata.max.age.ms, reconnect.backoff.ms, reconnect.backoff.max.ms, allow.auto.create.topics (false unless set).
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "engine/client/admin.h"
#include "engine/client/cluster.h"
#include "engine/client/consumer.h"
#include "engine/client/producer.h"
#include "engine/env/boot.h"
#include "engine/env/machine.h"

namespace klamm::client {

class Host final : public Machine {
 public:
  explicit Host(const Boot& boot);
  void turn(Ctx& ctx, std::span<const Event> events, Commands& out) override;
  Instant next_deadline() const override;
  std::unique_ptr<Machine> clone() const override { return std::make_unique<Host>(*this); }
  void fields(Visitor& v) const override;

 private:
  struct Options {
    std::string client_id;
    Duration retry_backoff;
    Duration request_timeout;
    net::CallsOptions calls;
    ClusterOptions cluster;
  };
  struct Client {  // one of the two
    std::optional<Producer> producer;
    std::optional<Consumer> consumer;
    Instant next_deadline() const { return producer ? producer->next_deadline() : consumer->next_deadline(); }
    bool dirty = true;  // something happened to it since its last pump
    template<class V>
    void fields(V& v) const {
      v("producer", producer), v("consumer", consumer), v("dirty", dirty);
    }
  };
  static Options read_options(const Boot& boot);
  explicit Host(const Options& options);

  void asked(Turn& turn, const Asked& ask);
  bool open(Turn& turn, const Asked& ask);
  bool asked_of_client(Turn& turn, const Asked& ask);
  void close(Turn& turn, uint32_t number);
  Client* find(uint32_t number);
  void hand_out(Turn& turn);
  void pump(Turn& turn);
  void pump(Turn& turn, uint32_t number);

  Options options_;
  OpTable ops_;
  net::ConnTable conns_;
  net::Calls calls_;
  Cluster cluster_;
  Admin admin_;
  std::map<uint32_t, Client> clients_;
  uint64_t seen_generation_ = 0;  // of the cluster, by all clients
  bool started_ = false;
};

std::unique_ptr<Machine> make_host(const Boot& boot);

}  // namespace klamm::client
