// What the parts of a client host share during one turn. Passed down, never stored.
#pragma once
#include <string>
#include <vector>

#include "engine/client/pack.h"
#include "engine/net/calls.h"

namespace klamm::client {

// Who in the host made a call: Owner.module. Owner.key is client << 32 | what the part calls it.
enum class Part : uint16_t { cluster, admin, producer, consumer };

constexpr uint64_t owner_key(uint32_t client, uint32_t own) { return uint64_t{client} << 32 | own; }
constexpr uint32_t client_of(uint64_t key) { return static_cast<uint32_t>(key >> 32); }
constexpr uint32_t own_of(uint64_t key) { return static_cast<uint32_t>(key); }

// Channels: metadata and all that is quick on one, administration on another, then two a client.
inline constexpr uint16_t kQuickChannel = 0;
inline constexpr uint16_t kAdminChannel = 1;
constexpr uint16_t data_channel(uint32_t client) { return static_cast<uint16_t>(2 * client); }
constexpr uint16_t group_channel(uint32_t client) { return static_cast<uint16_t>(2 * client + 1); }

class Cluster;

struct CallTo {
  uint64_t peer = 0;
  uint16_t channel = 0;
  int16_t version = 0;
  Duration timeout;
  Owner owner;
  bool one_way = false;
};

struct Turn {
  net::NetIo net;
  net::Calls& calls;
  Cluster& cluster;
  const std::string& client_id;
  std::vector<net::Answer>& answers;  // found while something else was done; the host hands them out

  Ctx& ctx() { return net.io.ctx; }
  Instant now() const { return net.io.ctx.now; }
  template<class T>
  void answer(uint64_t token, const T& value, bool last = true) {
    net.io.out.push_back(Answered{token, last, pack(value)});
  }
  template<class Request>
  void call(const CallTo& to, const Request& request) {
    Writer w;
    encode(w, to.version, request);
    KLAMM_ASSERT(w.ok());
    calls.call(net, {to.peer, to.channel, Request::kApiKey, to.version, client_id, w.finish(), to.timeout, to.owner,
                     to.one_way});
  }
};

// The response in an answer, with its views into the answer's body; null if the connection failed or it is damaged.
template<class Response>
const Response* response_of(Turn& turn, const net::Answer& answer) {
  if (answer.error != IoError::none) return nullptr;
  Arena& arena = turn.ctx().arena();
  Response* out = arena.make_array<Response>(1);
  Reader r(answer.body.span());
  return decode(r, arena, answer.version, *out) ? out : nullptr;
}

// Exponential backoff between tries of one thing.
struct Backoff {
  Duration first = milliseconds(100);
  Duration most = milliseconds(1000);
  Duration last;
  Instant until;  // no try before
  void failed(Instant now) {
    last = last.ns == 0 ? first : last * 2 < most ? last * 2 : most;
    until = now + last;
  }
  void succeeded() { last = {}, until = {}; }
  template<class V>
  void fields(V& v) const {
    v("last", last), v("until", until);
  }
};

}  // namespace klamm::client
